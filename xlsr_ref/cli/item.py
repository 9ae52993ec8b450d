"""What a command computes over many recordings: the items, and the functions that compute and deliver a result."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from xlsr_ref.audio.manifest import Clip
    from xlsr_ref.text.transcript import Transcript


class Item(NamedTuple):
    """What one result is made of."""

    key: str  # its name among all results
    clips: tuple[Clip, ...]  # of one recording
    own: Any = None  # what the command needs to deliver the result


def keyed(named: Iterable[tuple[str, tuple[Clip, ...], Any]]) -> list[Item]:
    """Items by their names; where two have one name, the second becomes ``name#2``, and so on."""
    seen: Counter[str] = Counter()
    items = []
    for name, clips, own in named:
        seen[name] += 1
        items.append(Item(name if seen[name] == 1 else f"{name}#{seen[name]}", clips, own))
    return items


Hear = Callable[[Any, dict, tuple["Clip", ...]], "Transcript"]  # model, settings and clips to a transcript
Ready = Callable[[argparse.Namespace], tuple[Any, dict]]  # the model and the settings that a command asks for
Deliver = Callable[[Item, "Transcript | Exception"], None]
