"""What a forward pass keeps: for the backward pass, for inspecting the stages, or nothing.

    False            nothing: each stage's memory goes to the next
    "states"         the hidden states
    "outputs"        the hidden states and every stage's output
    "checkpoints"    the outputs, and what the backward pass needs; of a block only its input, from which its cache is
                     computed again
    True             the outputs and all caches

Only feature_encoder.py (its loop over tiles of time), encoder.py (its loop over blocks) and backbone.py use these.
Where "checkpoints" comes from: Chen et al. 2016, "Training deep nets with sublinear memory cost".
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from xlsr_ref.errors import XlsrError

Name = Literal["states", "outputs", "checkpoints"]
Keep = bool | Name


def kept_output(y: Any, keep: Keep) -> Any:
    """``y`` where every stage's output is kept, else None."""
    return y if keep not in (False, "states") else None


def kept_cache(cache: Any, keep: Keep) -> Any:
    """``cache`` where what the backward pass needs is kept, else None."""
    return cache if keep in (True, "checkpoints") else None


def allows_backward(keep: Keep) -> bool:
    """Is enough kept for the backward pass?"""
    return keep in (True, "checkpoints")


def require_known(keep: object) -> None:
    """Raise XlsrError where ``keep`` is none of these."""
    if keep not in (False, True, *get_args(Name)):
        names = ", ".join(f'"{name}"' for name in get_args(Name))
        raise XlsrError(f"keep={keep!r} is not known: give True, False or one of {names}")
