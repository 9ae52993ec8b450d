"""Masks: what a mask puts where, its gradient, and what is drawn."""

import dataclasses

import numpy as np
import pytest

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.ops.spec_augment import NO_MASKS, Masks, mask_spans, mask_spans_backward
from xlsr_ref.teach import check
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.masks import draw_masks

FRAMES, CHANNELS = np.array([0, 1, 1, 0, 1, 0, 0], bool), np.array([0, 0, 1, 0, 1], bool)


@pytest.mark.parametrize("frames", [None, FRAMES, np.ones(7, bool), np.zeros(7, bool)])
@pytest.mark.parametrize("channels", [None, CHANNELS, np.ones(5, bool)])
def test_gradient(rng, frames, channels):
    masks = Masks(frames=frames, channels=channels)
    p = {"masked_spec_embed": rng.standard_normal(5)} if frames is not None else {}
    forward = lambda x, p: mask_spans(x, masks, p.get("masked_spec_embed"))  # noqa: E731
    comparison = check.gradient(forward, mask_spans_backward, rng.standard_normal((7, 5)), p, rng=rng)
    assert not comparison.missing
    assert not comparison.extra
    assert all(row.absolute < 1e-8 for row in comparison.rows), f"\n{comparison}"  # some are 0: judged absolutely


def test_masked_frames_are_the_vector_and_masked_channels_0(rng):
    x, embed = rng.standard_normal((7, 5)), rng.standard_normal(5)
    kept = x.copy()
    y, _ = mask_spans(x, Masks(frames=FRAMES, channels=CHANNELS), embed)
    expected = np.where(FRAMES[:, None], embed, x)
    expected[:, CHANNELS] = 0  # channels come after frames, so that they are 0 in masked frames, too
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(x, kept)


def test_without_masks_it_is_the_network_as_it_is_used(rng):
    x = rng.standard_normal((7, 5))
    y, cache = mask_spans(x, NO_MASKS, None)
    assert y is x
    assert mask_spans_backward(x, cache) == (x, {})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(rng, dtype):
    x, embed = rng.standard_normal((7, 5)).astype(dtype), rng.standard_normal(5).astype(dtype)
    y, cache = mask_spans(x, Masks(frames=FRAMES, channels=CHANNELS), embed)
    dx, grads = mask_spans_backward(y, cache)
    assert y.dtype == dx.dtype == grads["masked_spec_embed"].dtype == dtype


@pytest.mark.parametrize("wrong", [FRAMES[:-1], FRAMES[:1], FRAMES.astype(int), FRAMES[:, None]])
def test_what_does_not_fit_is_named(rng, wrong):
    x = rng.standard_normal((7, 5))
    with pytest.raises(ObjectiveError, match="mask of the frames"):
        mask_spans(x, Masks(frames=wrong), x[0])
    with pytest.raises(ObjectiveError, match="mask of the channels"):
        mask_spans(x, Masks(channels=wrong), x[0])
    with pytest.raises(ObjectiveError, match="masked_spec_embed"):
        mask_spans(x, Masks(frames=FRAMES), None)


def test_what_is_drawn(rng):
    settings = {"hidden_size": 12, "intermediate_size": 14, "num_attention_heads": 3, "num_hidden_layers": 2,
                "conv_dim": [5], "conv_kernel": [4], "conv_stride": [2], "num_conv_pos_embedding_groups": 3,
                "feat_quantizer_dropout": 0.2, "feat_proj_dropout": 0.3, "final_dropout": 0.4}  # fmt: skip
    config = Config.from_dict({"model_type": "wav2vec2", **settings})
    masks = draw_masks(rng, 3000, dataclasses.replace(config, attention_dropout=0.0), np.float32)
    assert masks.frames is masks.channels is None
    for factor, width, p in ((masks.quantized, 5, 0.2), (masks.projected, 12, 0.3), (masks.final, 12, 0.4)):
        assert factor.shape == (3000, width)
        assert factor.dtype == np.float32
        assert abs((factor == 0).mean() - p) < 5 * 0.5 / np.sqrt(factor.size)  # five deviations
    assert masks.encoder.entering.shape == (3000, 12)
    quiet = dataclasses.replace(config, feat_quantizer_dropout=0.0, feat_proj_dropout=0.0, final_dropout=0.0)
    assert draw_masks(rng, 9, quiet, np.float32)[:4] == NO_MASKS[:4]
    assert draw_masks(rng, 9, quiet, np.float32).final is None
