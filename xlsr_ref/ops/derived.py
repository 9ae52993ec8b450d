"""What is derived from a parameter for speed: computed once for a read-only array, and kept as long as the array lives.

    derived(kernel_rows, weight)        is        kernel_rows(weight)

The function must be pure, and its sources must be read-only, as what `load` returns is; from an array that can be
written to the value is computed anew at every call. A training step passes read-only views of its parameters
(tree.read_only), so that what is derived from them is computed once in a step.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

_known: dict[tuple, tuple[list[weakref.ref], Any]] = {}  # (function, id of each source): the sources, the value
_lock = threading.Lock()


def derived(function: Callable[..., Any], *sources: np.ndarray) -> Any:
    """``function(*sources)``, computed once for each function and set of read-only arrays."""
    if any(source.flags.writeable for source in sources):
        return function(*sources)
    key = (function, *map(id, sources))
    with _lock:
        references, value = _known.get(key, ([], None))
    if references and all(reference() is source for reference, source in zip(references, sources)):
        return value
    value = function(*sources)
    with _lock:
        _known[key] = [weakref.ref(source, partial(_forget, _known, key)) for source in sources], value
    return value


def _forget(values: dict, key: tuple, reference: weakref.ref) -> None:
    """A source is gone. Its id may already belong to another array, whose value stays."""
    references, _ = values.get(key, ([], None))
    if any(known is reference for known in references):
        values.pop(key, None)
