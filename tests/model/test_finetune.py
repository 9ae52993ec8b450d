"""Fine-tuning as a whole: its gradient under dropout and masks, what learns and what does not, and weights."""

import dataclasses

import numpy as np
import pytest

from xlsr_ref.audio import Preprocessor
from xlsr_ref.errors import ObjectiveError
from xlsr_ref.model.finetune import ctc_losses
from xlsr_ref.model.model import Model
from xlsr_ref.ops import threads
from xlsr_ref.ops.spec_augment import NO_MASKS
from xlsr_ref.ops.tree import flatten, nest
from xlsr_ref.teach import check
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.masks import draw_masks
from xlsr_ref.wav2vec2.shapes import expected_shapes

SIZES = {
    "conv_dim": [4, 3, 5], "conv_kernel": [5, 3, 2], "conv_stride": [3, 2, 1], "conv_bias": True,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True,
    "hidden_size": 6, "num_attention_heads": 3, "intermediate_size": 10, "num_hidden_layers": 2,
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "layer_norm_eps": 1e-3, "vocab_size": 7,
    "hidden_dropout": 0.3, "attention_dropout": 0.3, "activation_dropout": 0.3, "feat_proj_dropout": 0.3,
    "final_dropout": 0.3, "layerdrop": 0.0,
}  # fmt: skip
LENGTHS, TARGETS, WEIGHTS = (131, 60, 95), ([1, 2, 2], [], [6, 3]), (0.5, 2.0, 1.0)


def config(**changes):
    return Config.from_dict({"model_type": "wav2vec2", **SIZES, **changes})


def parameters(rng, c, prefix="wav2vec2.", dtype=np.float64):
    shapes = expected_shapes(c, "Wav2Vec2ForCTC", prefix)
    return nest({name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()})


def masks_of(rng, c, length, dtype=np.float64):
    T = c.frames(length)
    spans = rng.random(T) < 0.3, np.arange(c.hidden_size) == 4
    return draw_masks(rng, T, c, dtype)._replace(frames=spans[0], channels=spans[1])


@pytest.fixture
def everything(rng):
    c = config()
    return c, parameters(rng, c), [rng.standard_normal(n) for n in LENGTHS], [masks_of(rng, c, n) for n in LENGTHS]


# --- the gradient ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"do_stable_layer_norm": False}], ids=["pre-norm", "post-norm"])
@pytest.mark.parametrize("layerdrop", [False, True])
def test_gradients(rng, changes, layerdrop):
    """Of three utterances, each with dropout and masks of its own, and with a weight of its own."""
    c = config(**changes)
    p, waveforms = parameters(rng, c), [rng.standard_normal(n) for n in LENGTHS]
    masks = [masks_of(rng, c, n) for n in LENGTHS]
    if layerdrop:
        masks[1] = masks[1]._replace(encoder=masks[1].encoder._replace(blocks=(masks[1].encoder.blocks[0], None)))

    def forward(_, p):
        results, _ = ctc_losses(waveforms, TARGETS, p, c, masks=masks, learn="head")  # the same loss, sooner
        return np.array([sum(one.loss * weight for one, weight in zip(results, WEIGHTS))]), p

    def backward(dy, p):
        _, grads = ctc_losses(waveforms, TARGETS, p, c, masks=masks, weights=WEIGHTS)
        return np.zeros(1), nest({name: dy[0] * grad for name, grad in flatten(grads).items()})

    with threads.use(1):  # the arrays are small: threads would wait for each other
        comparison = check.gradient(forward, backward, np.zeros(1), p, rng=rng, entries=3)
    assert {row.name for row in comparison.rows} == {"x", *(f"p.{name}" for name in flatten(p))}
    for row in comparison.rows:
        assert (row.absolute if row.name.endswith("k_proj.bias") else row.relative) < 1e-6, str(comparison)


# --- what learns -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["wav2vec2.", ""])
@pytest.mark.parametrize("learn", ["head", "context", "all"])
def test_what_does_not_learn_has_no_gradient_and_the_rest_the_same(rng, prefix, learn):
    c = config()
    p, waveforms = parameters(rng, c, prefix), [rng.standard_normal(n) for n in LENGTHS]
    masks = [masks_of(rng, c, n) for n in LENGTHS]
    results, grads = ctc_losses(waveforms, TARGETS, p, c, masks=masks)
    some_results, some = ctc_losses(waveforms, TARGETS, p, c, masks=masks, learn=learn)
    frozen = {"head": prefix or ("masked", "feature", "encoder"), "context": f"{prefix}feature_extractor", "all": ()}
    expected = {name: grad for name, grad in flatten(grads).items() if not name.startswith(frozen[learn])}
    assert flatten(grads).keys() == flatten(p).keys()
    assert len(expected) == {"head": 2, "context": len(flatten(p)) - 12, "all": len(flatten(p))}[learn]
    assert some_results == results
    assert flatten(some).keys() == expected.keys()
    for name, grad in flatten(some).items():
        np.testing.assert_array_equal(grad, expected[name])


def test_without_masks_the_vector_of_masked_frames_has_no_gradient(everything):
    c, p, waveforms, masks = everything
    bare = [one._replace(frames=None) for one in masks]
    _, grads = ctc_losses(waveforms, TARGETS, p, c, masks=bare)
    assert flatten(p).keys() - flatten(grads).keys() == {"wav2vec2.masked_spec_embed"}
    _, grads = ctc_losses(waveforms, TARGETS, p, c, masks=[*bare[:2], masks[2]])  # one of three is masked
    _, alone = ctc_losses(waveforms[2:], TARGETS[2:], p, c, masks=masks[2:])
    np.testing.assert_array_equal(grads["wav2vec2"]["masked_spec_embed"], alone["wav2vec2"]["masked_spec_embed"])


# --- what comes out --------------------------------------------------------------------------------------------------


def test_without_masks_it_is_the_models_own_loss(everything):
    c, p, waveforms, _ = everything
    model = Model(c, p, Preprocessor(do_normalize=False), None, None)
    losses, expected = model.ctc_losses(waveforms, 16000, TARGETS)
    for masks in (None, [NO_MASKS] * 3):
        results, grads = ctc_losses(waveforms, TARGETS, p, c, masks=masks)
        assert [one.loss for one in results] == losses
        assert check.compare(grads, expected).worst == 0
        for one, waveform in zip(results, waveforms):
            assert one.blanks == (model.logits(waveform, 16000).argmax(axis=1) == 0).mean()
            assert one.grads == {}


def test_gradients_are_weighted_and_losses_are_not(everything):
    c, p, waveforms, masks = everything
    results, total = ctc_losses(waveforms, TARGETS, p, c, masks=masks, weights=WEIGHTS)
    expected: dict = {}
    for i, weight in enumerate(WEIGHTS):
        (one,), grads = ctc_losses([waveforms[i]], [TARGETS[i]], p, c, masks=[masks[i]])
        assert one == results[i]
        for name, grad in flatten(grads).items():
            expected[name] = expected.get(name, 0) + weight * grad
    zero = {name for name in expected if name.endswith("k_proj.bias")}
    for row in check.compare(total, expected).rows:
        assert (row.absolute if row.name in zero else row.relative) < 1e-12, row


def test_checkpoints_and_threads_change_no_bit(everything):
    c, p, waveforms, masks = everything
    losses, grads = ctc_losses(waveforms, TARGETS, p, c, masks=masks)
    results = [ctc_losses(waveforms, TARGETS, p, c, masks=masks, checkpoints=True)]
    for n in (1, 2, 3):
        with threads.use(n):
            results.append(ctc_losses(waveforms, TARGETS, p, c, masks=masks))
    for other_losses, other in results:
        assert other_losses == losses
        assert check.compare(other, grads).worst == 0


def test_float32_stays_float32_and_close(rng):
    c = config()
    p, waveforms = parameters(rng, c), [rng.standard_normal(131)]
    masks, single_masks = ([masks_of(np.random.default_rng(7), c, 131, dtype)] for dtype in (np.float64, np.float32))
    single = nest({name: array.astype(np.float32) for name, array in flatten(p).items()})
    wide, reference = ctc_losses(waveforms, TARGETS[:1], p, c, masks=masks)
    results, grads = ctc_losses([x.astype(np.float32) for x in waveforms], TARGETS[:1], single, c, masks=single_masks)
    assert {grad.dtype for grad in flatten(grads).values()} == {np.dtype("float32")}
    assert results[0].loss == pytest.approx(wide[0].loss, rel=1e-4)  # seven digits, and a network costs two or three
    zero = {name for name in flatten(p) if name.endswith("k_proj.bias")}
    for row in check.compare(grads, reference).rows:
        assert (row.absolute if row.name in zero else row.relative) < 1e-3, row


def test_what_does_not_go_together_is_named(everything):
    c, p, waveforms, masks = everything
    for more in ({"masks": masks[:2]}, {"weights": [1.0]}):
        with pytest.raises(ObjectiveError, match=r"3 utterances, . masks and . weights"):
            ctc_losses(waveforms, TARGETS, p, c, **more)
    with pytest.raises(ObjectiveError, match="3 utterances and 2 targets"):
        ctc_losses(waveforms, TARGETS[:2], p, c)
    with pytest.raises(ObjectiveError, match="pad_token_id"):
        ctc_losses(waveforms, TARGETS, p, dataclasses.replace(c, pad_token_id=None))
    broken = nest(flatten(p) | {"lm_head.bias": np.full(7, np.nan)})
    with pytest.raises(ObjectiveError, match="NaN"):
        ctc_losses(waveforms, TARGETS, broken, c)


def test_adapters_alone_have_the_gradients_that_they_have_among_all(rng):
    c = config(adapter_attn_dim=3)
    p = parameters(rng, c)
    xs = [rng.standard_normal(n) for n in LENGTHS]
    _, every = ctc_losses(xs, TARGETS, p, c, weights=WEIGHTS)
    for checkpoints in (False, True):
        _, own = ctc_losses(xs, TARGETS, p, c, weights=WEIGHTS, learn="adapters", checkpoints=checkpoints)
        found, all_of_them = flatten(own), flatten(every)
        expected = {name for name in all_of_them if ".adapter_layer." in name or name.startswith("lm_head.")}
        assert set(found) == expected
        assert len(expected) == 2 * 6 + 2
        for name in expected:
            assert np.array_equal(found[name], all_of_them[name]), name
    with pytest.raises(ObjectiveError, match="the model has no attention adapters"):
        ctc_losses(xs, TARGETS, parameters(rng, config()), config(), learn="adapters")
