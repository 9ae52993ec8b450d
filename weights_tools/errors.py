"""What can go wrong with somebody else's checkpoint. Every message is one line: what was found, and what to do."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, unsafe, or does not say all that is needed."""


def shown(name: object) -> str:
    """A name for a message of one line: as it is, or quoted and cut where it is odd or very long."""
    text = str(name) if isinstance(name, str) or hasattr(name, "__fspath__") else reprlib.repr(name)
    return text if text.isprintable() and 0 < len(text) <= 300 else reprlib.repr(text)


def listed(names: Iterable[object], most: int = 8) -> str:
    """The first ``most`` names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown(name) for name in names[:most]) + more
