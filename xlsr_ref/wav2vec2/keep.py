"""What a forward pass keeps: for the backward pass, for whoever looks at the stages, or nothing.

    False            nothing: each stage's memory goes to the next
    "states"         the hidden states
    "outputs"        what every stage puts out
    "checkpoints"    and what the backward pass needs, but of a block only its input: its cache is computed again
    True             and all caches

Only the loops over tiles of time (feature_encoder.py) and over blocks (encoder.py), and backbone.py around them, ask.
Where "checkpoints" comes from: Chen et al. 2016, "Training deep nets with sublinear memory cost".
"""

from __future__ import annotations

from typing import Literal

Keep = bool | Literal["states", "outputs", "checkpoints"]


def keeps_outputs(keep: Keep) -> bool:
    """Every stage's output?"""
    return keep not in (False, "states")


def keeps_caches(keep: Keep) -> bool:
    """What the backward pass needs?"""
    return keep in (True, "checkpoints")
