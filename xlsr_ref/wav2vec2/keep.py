"""What a forward pass keeps: for the backward pass, for inspecting the stages, or nothing.

    False            nothing: each stage's memory goes to the next
    "states"         the hidden states
    "outputs"        what every stage puts out
    "checkpoints"    and what the backward pass needs, but of a block only its input: its cache is computed again
    True             and all caches

Only the loops over tiles of time (feature_encoder.py) and over blocks (encoder.py), and backbone.py around them, ask.
Where "checkpoints" comes from: Chen et al. 2016, "Training deep nets with sublinear memory cost".
"""

from __future__ import annotations

from typing import Any, Literal

Keep = bool | Literal["states", "outputs", "checkpoints"]


def kept_output(y: Any, keep: Keep) -> Any:
    """``y`` where every stage's output is kept, else None."""
    return y if keep not in (False, "states") else None


def kept_cache(cache: Any, keep: Keep) -> Any:
    """``cache`` where what the backward pass needs is kept, else None."""
    return cache if keep in (True, "checkpoints") else None


def allows_backward(keep: Keep) -> bool:
    """Is enough kept for the backward pass?"""
    return keep in (True, "checkpoints")
