"""Parameters and gradients as trees: nested dicts of arrays, split from the checkpoint's dotted names.

"encoder.layers.0.attention.q_proj.weight"   ↔   p["encoder"]["layers"]["0"]["attention"]["q_proj"]["weight"]
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from xlsr_ref.errors import WeightsError


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": x} → {"a": {"b": x}}. Raises WeightsError where a name is both a tensor and a module ("a" and "a.b")."""
    nested: dict[str, Any] = {}
    for name, leaf in flat.items():
        *branches, last = name.split(".")
        here = nested
        for branch in branches:
            here = here.setdefault(branch, {})
            if not isinstance(here, dict):
                break
        if not isinstance(here, dict) or last in here:
            raise WeightsError(f"{reprlib.repr(name)} is a tensor's name and the beginning of another's")
        here[last] = leaf
    return nested


def flatten(nested: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of ``nest``: the same names, in the same order where each module's names stood together."""

    def pairs(branch: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for key, value in branch.items():
            if isinstance(value, dict):
                yield from pairs(value, f"{prefix}{key}.")
            else:
                yield prefix + key, value

    return dict(pairs(nested, ""))


def add_to(total: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add nested arrays to ``total``, in place; an array that it lacks becomes its own."""
    for name, value in more.items():
        if name not in total:
            total[name] = value
        elif isinstance(value, dict):
            add_to(total[name], value)
        else:
            total[name] += value


def read_only(nested: Mapping[str, Any]) -> dict[str, Any]:
    """The same nesting with read-only views of its arrays: a computation cannot change the parameters, and
    ops/derived.py may keep what it derives from them as long as the views live."""

    def view(array: np.ndarray) -> np.ndarray:
        if not array.flags.writeable:
            return array
        array = array[...]
        array.flags.writeable = False
        return array

    return {name: read_only(value) if isinstance(value, dict) else view(value) for name, value in nested.items()}


def zeros_like(nested: Mapping[str, Any]) -> dict[str, Any]:
    """Zeros of the same nesting and shapes: gradients of parameters that took no part."""
    return {
        name: zeros_like(value) if isinstance(value, dict) else np.zeros_like(value) for name, value in nested.items()
    }
