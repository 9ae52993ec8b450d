"""SpecAugment, and all that is drawn for one utterance while a network trains.

    projection ─ dropout ─ mask spans of frames ─ mask spans of channels ─ encoder, with dropout ─ dropout ─ head
                           by masked_spec_embed    by 0

Everything is drawn outside and passed in, for one utterance at a time: the same masks give the same numbers, and
NO_MASKS is the network as it is used. Each network draws its own dropout; the spans are losses/masking.py's.
Where: wav2vec 2.0 §3.1 (spans), Appendix B (spans of time and channels in fine-tuning); Park et al. 2019, SpecAugment.
Checkpoint: `masked_spec_embed` (C,), what a masked frame becomes.
Letters: T frames, C channels (`hidden_size`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.ops.blocks import EncoderMasks


class Masks(NamedTuple):
    """All masks of one utterance; None: nothing happens there."""

    quantized: np.ndarray | None = None  # (T, conv_dim[-1])  what the quantizer sees, in pre-training
    projected: np.ndarray | None = None  # (T, C)  `feat_proj_dropout`
    frames: np.ndarray | None = None  # (T,) bool  masked by masked_spec_embed
    channels: np.ndarray | None = None  # (C,) bool  masked by 0
    encoder: EncoderMasks | None = None
    final: np.ndarray | None = None  # (T, C)  before the head: `final_dropout`
    adapter: Any = None  # of an adapter that drops something while it trains


NO_MASKS = Masks()


class MaskCache(NamedTuple):
    frames: np.ndarray | None
    channels: np.ndarray | None


def mask_spans(x: np.ndarray, masks: Masks, embed: np.ndarray | None) -> tuple[np.ndarray, MaskCache]:
    """``x`` (T, C) with the spans masked; ``embed`` (C,) is masked_spec_embed, needed where frames are.

    Raises ObjectiveError where it is not there, and for masks of another shape.
    """
    for what, given, wanted in zip(("frames", "channels"), (masks.frames, masks.channels), x.shape):
        if given is not None and (given.shape, given.dtype) != ((wanted,), bool):
            raise ObjectiveError(f"the mask of the {what} is {given.dtype} of {given.shape}: give bool of ({wanted},)")
    if masks.frames is not None:
        if embed is None:
            raise ObjectiveError("frames are masked, but the parameters lack masked_spec_embed: give it or no mask")
        x = np.where(masks.frames[:, None], embed, x)
    if masks.channels is not None:
        x = np.where(masks.channels, x.dtype.type(0), x)
    return x, MaskCache(masks.frames, masks.channels)


def mask_spans_backward(dy: np.ndarray, cache: MaskCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and, where frames were masked, `masked_spec_embed` (C,)."""
    grads = {}
    if cache.channels is not None:  # undoes: by 0
        dy = np.where(cache.channels, dy.dtype.type(0), dy)
    if cache.frames is not None:  # undoes: by masked_spec_embed, and on the other frames nothing
        grads["masked_spec_embed"] = dy[cache.frames].sum(axis=0, dtype=np.float64).astype(dy.dtype)
        dy = np.where(cache.frames[:, None], dy.dtype.type(0), dy)
    return dy, grads
