"""One thing that the tensors of a checkpoint say of its config, by a name that is there or by a shape."""

from __future__ import annotations

from typing import Any, NamedTuple


class Evidence(NamedTuple):
    """What the tensors say of one field of config.json."""

    field: str
    value: Any  # None: nothing
    tensor: str  # the name that says so
    by_name: bool = False  # by being there or not; otherwise its shape says it
