"""What training does to the network at random, so that it cannot lean on any one number: dropout and SpecAugment.

    projection ─ dropout ─ mask spans of frames ─ mask spans of channels ─ encoder, with dropout ─ dropout ─ head
                           by masked_spec_embed    by 0

Everything is drawn outside and passed in, for one utterance at a time: the same noise gives the same numbers, and
none at all is the network as it is used. `feat_quantizer_dropout` thins what the quantizer sees, in pre-training.
Where: wav2vec 2.0 §3.1 (spans), Appendix B (spans of time and channels in fine-tuning); Park et al. 2019, SpecAugment.
Checkpoint: `masked_spec_embed` (C,), what a masked frame becomes.
Letters: T frames, C channels (`hidden_size`), F channels of the features (`conv_dim[-1]`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.config import Config
from xlsr_ref.errors import ObjectiveError
from xlsr_ref.network.context import EncoderDropout, draw_dropout
from xlsr_ref.ops.dropout import dropout_factor


class Noise(NamedTuple):
    """The noise of one utterance; None: nothing happens there."""

    quantized: np.ndarray | None = None  # (T, F)  `feat_quantizer_dropout`
    projected: np.ndarray | None = None  # (T, C)  `feat_proj_dropout`
    frames: np.ndarray | None = None  # (T,) bool  masked by masked_spec_embed
    channels: np.ndarray | None = None  # (C,) bool  masked by 0
    encoder: EncoderDropout | None = None
    final: np.ndarray | None = None  # (T, C)  `final_dropout`


SILENT = Noise()


class MaskCache(NamedTuple):
    frames: np.ndarray | None
    channels: np.ndarray | None


def draw_noise(rng: np.random.Generator, T: int, config: Config, dtype: type | np.dtype) -> Noise:
    """The dropout of one utterance of ``T`` frames, by the probabilities in the config; no masks."""
    shape = T, config.hidden_size
    return Noise(
        quantized=dropout_factor(rng, (T, config.conv_dim[-1]), config.feat_quantizer_dropout, dtype),
        projected=dropout_factor(rng, shape, config.feat_proj_dropout, dtype),
        encoder=draw_dropout(rng, T, config, dtype),
        final=dropout_factor(rng, shape, config.final_dropout, dtype),
    )


def mask(x: np.ndarray, noise: Noise, embed: np.ndarray | None) -> tuple[np.ndarray, MaskCache]:
    """``x`` (T, C) with the noise's spans masked; ``embed`` (C,) is masked_spec_embed, needed where frames are.

    Raises ObjectiveError where it is not there, and for masks of another shape.
    """
    for what, found, wanted in zip(("frames", "channels"), (noise.frames, noise.channels), x.shape):
        if found is not None and (found.shape, found.dtype) != ((wanted,), bool):
            raise ObjectiveError(f"the mask of the {what} is {found.dtype} of {found.shape}: give bool of ({wanted},)")
    if noise.frames is not None:
        if embed is None:
            raise ObjectiveError("frames are masked, but the parameters lack masked_spec_embed: give it or no mask")
        x = np.where(noise.frames[:, None], embed, x)
    if noise.channels is not None:
        x = np.where(noise.channels, x.dtype.type(0), x)
    return x, MaskCache(noise.frames, noise.channels)


def mask_backward(dy: np.ndarray, cache: MaskCache) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and, where frames were masked, `masked_spec_embed` (C,)."""
    grads = {}
    if cache.channels is not None:  # undoes: by 0
        dy = np.where(cache.channels, dy.dtype.type(0), dy)
    if cache.frames is not None:  # undoes: by masked_spec_embed, and on the other frames nothing
        grads["masked_spec_embed"] = dy[cache.frames].sum(axis=0, dtype=np.float64).astype(dy.dtype)
        dy = np.where(cache.frames[:, None], dy.dtype.type(0), dy)
    return dy, grads
