"""Pre-training as a whole: what its gradient is, what the batch has to do with it, and the numbers that are known.

The straight-through slope is false on purpose, so finite differences cannot find it. At a cold temperature it vanishes,
and every gradient must be the true one; tests/wav2vec2/test_quantizer.py has the slope itself.
"""

import math

import numpy as np
import pytest

from xlsr_ref import audio
from xlsr_ref.audio import Preprocessor
from xlsr_ref.errors import AudioError, ObjectiveError
from xlsr_ref.losses.masking import draw_negatives, draw_spans
from xlsr_ref.model.model import Model
from xlsr_ref.model.pretrain import pretrain_loss
from xlsr_ref.ops import threads
from xlsr_ref.ops.tree import flatten, nest
from xlsr_ref.teach import check
from xlsr_ref.wav2vec2 import backbone
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.encoder import encoder
from xlsr_ref.wav2vec2.masks import draw_masks
from xlsr_ref.wav2vec2.quantizer import gumbel_noise
from xlsr_ref.wav2vec2.shapes import expected_shapes

SIZES = {
    "conv_dim": [4, 3, 5], "conv_kernel": [5, 3, 2], "conv_stride": [3, 2, 1], "conv_bias": True,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True,
    "hidden_size": 6, "num_attention_heads": 3, "intermediate_size": 10, "num_hidden_layers": 2,
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "layer_norm_eps": 1e-3,
    "num_codevector_groups": 2, "num_codevectors_per_group": 6, "codevector_dim": 6, "proj_codevector_dim": 5,
    "contrastive_logits_temperature": 0.3, "diversity_loss_weight": 0.2,
}  # fmt: skip
LENGTHS, TAU, RATE = (131, 60, 95), 0.7, 16000


def config(**changes):
    return Config.from_dict({"model_type": "wav2vec2", **SIZES, **changes})


def parameters(rng, c, prefix="wav2vec2.", dtype=np.float64):
    shapes = expected_shapes(c, "Wav2Vec2ForPreTraining", prefix)
    flat = {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
    flat["quantizer.weight_proj.weight"] *= 0.2  # so that the noise decides, and many codes are in use
    flat["quantizer.weight_proj.bias"] *= 0.2
    return nest(flat)


def frames(length, c):
    return c.frames(length)


def draws(rng, c, lengths=LENGTHS, K=4):
    spans = [draw_spans(frames(length, c), 0.2, 3, rng) for length in lengths]
    negatives = [draw_negatives(mask, K, rng) for mask in spans]
    shape = c.num_codevector_groups, c.num_codevectors_per_group
    return spans, negatives, [gumbel_noise(rng, (len(mask), *shape)) for mask in spans]


def sounds(rng, dtype=np.float64):
    return [rng.standard_normal(length).astype(dtype) for length in LENGTHS]


@pytest.fixture
def everything(rng):
    c = config()
    return c, parameters(rng, c), sounds(rng), *draws(rng, c)


# --- the gradient ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes", [{}, {"feat_extract_norm": "group", "do_stable_layer_norm": False}], ids=["xlsr", "base"]
)
def test_gradients(rng, changes):
    c = config(**changes)
    p, waveforms = parameters(rng, c), sounds(rng)
    spans, negatives, noise = draws(rng, c)
    noise = [100 * each for each in noise]  # so far apart that one code has all the probability
    zero = [
        name for name in flatten(p) if name.endswith("k_proj.bias") or (changes and name.endswith("layers.0.conv.bias"))
    ]

    def forward(_, p):
        losses, grads = pretrain_loss(waveforms, p, c, spans, negatives, noise, 1e-2, feature_penalty_weight=3.0)
        return np.array([losses.total]), grads

    def backward(dy, grads):
        return np.zeros(1), nest({name: dy[0] * grad for name, grad in flatten(grads).items()})

    with threads.use(1):  # the arrays are small: threads would wait for each other
        comparison = check.gradient(forward, backward, np.zeros(1), p, rng=rng, entries=3)
    assert {row.name for row in comparison.rows} == {"x", *(f"p.{name}" for name in flatten(p))}
    for row in comparison.rows:
        exact_zero = row.name.removeprefix("p.") in zero
        assert (row.absolute if exact_zero else row.relative) < 1e-6, str(comparison)


def dropping(rng, c, dtype=np.float64):
    """Dropout of each utterance, and one block of the second that is dropped whole."""
    masks = [draw_masks(rng, frames(length, c), c, dtype) for length in LENGTHS]
    of_the_encoder = masks[1].encoder
    masks[1] = masks[1]._replace(encoder=of_the_encoder._replace(blocks=(None, of_the_encoder.blocks[1])))
    return masks


HEAVY = {
    "hidden_dropout": 0.3, "attention_dropout": 0.3, "activation_dropout": 0.3, "layerdrop": 0.0,
    "feat_proj_dropout": 0.3, "feat_quantizer_dropout": 0.3, "final_dropout": 0.3,
}  # fmt: skip


def test_gradients_with_dropout(rng):
    c = config(**HEAVY)
    p, waveforms, masks = parameters(rng, c), sounds(rng), dropping(rng, c)
    spans, negatives, gumbel = draws(rng, c)
    gumbel = [100 * each for each in gumbel]

    def forward(_, p):
        losses, grads = pretrain_loss(waveforms, p, c, spans, negatives, gumbel, 1e-2, masks=masks)
        return np.array([losses.total]), grads

    def backward(dy, grads):
        return np.zeros(1), nest({name: dy[0] * grad for name, grad in flatten(grads).items()})

    with threads.use(1):
        comparison = check.gradient(forward, backward, np.zeros(1), p, rng=rng, entries=2)
    assert {row.name for row in comparison.rows} == {"x", *(f"p.{name}" for name in flatten(p))}
    for row in comparison.rows:
        assert (row.absolute if row.name.endswith("k_proj.bias") else row.relative) < 1e-6, str(comparison)


def test_of_the_masks_dropout_counts_and_spans_do_not(rng):
    c = config(**HEAVY)
    p, waveforms, masks, drawn = parameters(rng, c), sounds(rng), dropping(rng, c), draws(rng, c)
    losses, grads = pretrain_loss(waveforms, p, c, *drawn, TAU, masks=masks)
    assert losses.total != pretrain_loss(waveforms, p, c, *drawn, TAU)[0].total
    masked = [one._replace(frames=np.ones(3, bool), channels=np.ones(6, bool), final=None) for one in masks]
    again, same = pretrain_loss(waveforms, p, c, *drawn, TAU, masks=masked)
    assert again.total == losses.total
    assert check.compare(same, grads).worst == 0
    for part in ("quantized", "projected", "encoder"):  # each of them matters
        some = [one._replace(**{part: None}) for one in masks]
        assert pretrain_loss(waveforms, p, c, *drawn, TAU, masks=some)[0].total != losses.total
    with pytest.raises(ObjectiveError, match="3 utterances and dropout for 2"):
        pretrain_loss(waveforms, p, c, *drawn, TAU, masks=masks[:2])


@pytest.mark.parametrize("prefix", ["", "wav2vec2."])
@pytest.mark.parametrize("old", [False, True], ids=["parametrizations", "weight_g"])
def test_gradients_are_nested_as_the_parameters_are(rng, prefix, old):
    c = config()
    flat = flatten(parameters(rng, c, prefix))
    if old:
        for new, name in (
            ("parametrizations.weight.original0", "weight_g"),
            ("parametrizations.weight.original1", "weight_v"),
        ):
            flat = {key.replace(new, name): value for key, value in flat.items()}
    _, grads = pretrain_loss(sounds(rng), nest(flat), c, *draws(rng, c), TAU)
    assert {name: grad.shape for name, grad in flatten(grads).items()} == {name: x.shape for name, x in flat.items()}


def test_float32_stays_float32_and_close(rng):
    c = config()
    p, waveforms, drawn = parameters(rng, c), sounds(rng), draws(rng, c)
    single = nest({name: array.astype(np.float32) for name, array in flatten(p).items()})
    wide, reference = pretrain_loss(waveforms, p, c, *drawn, TAU)
    losses, grads = pretrain_loss([x.astype(np.float32) for x in waveforms], single, c, *drawn, TAU)
    assert {grad.dtype for grad in flatten(grads).values()} == {np.dtype("float32")}
    assert losses.total == pytest.approx(
        wide.total, rel=1e-4
    )  # float32 has seven digits, and a network costs two or three
    zero = {name for name in flatten(p) if name.endswith("k_proj.bias")}
    for row in check.compare(grads, reference).rows:
        assert (row.absolute if row.name in zero else row.relative) < 1e-3, row


def test_checkpoints_and_threads_change_no_bit(everything):
    c, p, waveforms, *drawn = everything
    losses, grads = pretrain_loss(waveforms, p, c, *drawn, TAU)
    results = [pretrain_loss(waveforms, p, c, *drawn, TAU, checkpoints=True)]
    for n in (1, 3):
        with threads.use(n):
            results.append(pretrain_loss(waveforms, p, c, *drawn, TAU))
    for other_losses, other_grads in results:
        assert other_losses.total == losses.total
        for name, grad in flatten(grads).items():
            np.testing.assert_array_equal(flatten(other_grads)[name], grad)


def test_checkpoints_let_the_blocks_caches_die(everything, monkeypatch):
    c, p, waveforms, *drawn = everything
    seen = []

    def spy(*arguments):
        context, cache = encoder(*arguments)
        seen.append([block is None for block in cache.blocks])
        return context, cache

    monkeypatch.setattr(backbone, "encoder", spy)
    for checkpoints in (False, True):
        seen.clear()
        pretrain_loss(waveforms, p, c, *drawn, TAU, checkpoints=checkpoints)
        assert seen == [[checkpoints] * 2] * 3


def test_nothing_given_is_changed(everything):
    c, p, *rest = everything
    for array in [*flatten(p).values(), *(array for each in rest for array in each)]:
        array.flags.writeable = False
    first, second = (pretrain_loss(rest[0], p, c, *rest[1:], TAU) for _ in range(2))
    assert first[0].total == second[0].total


# --- the batch -------------------------------------------------------------------------------------------------------


def test_the_total_is_the_sum_of_its_parts(everything):
    c, p, waveforms, *drawn = everything
    losses, _ = pretrain_loss(waveforms, p, c, *drawn, TAU, feature_penalty_weight=3.0)
    n = losses.masked_frames
    assert n == sum(mask.sum() for mask in drawn[0])
    assert losses.total == pytest.approx(losses.contrastive + n * (0.2 * losses.diversity + 3 * losses.feature_penalty))
    assert losses.diversity == pytest.approx((12 - losses.perplexity.sum()) / 12)
    assert losses.skipped == 0
    assert 0 <= losses.accuracy <= 1
    hot = config(contrastive_logits_temperature=1e6)  # all are equally similar: ln(1 + K), if no codes are equal
    losses, _ = pretrain_loss(waveforms, p, hot, *drawn, TAU)
    assert n * math.log(1 + 4) * 0.8 < losses.contrastive < n * math.log(1 + 4)


def test_contrastive_losses_add_up_and_diversities_do_not(everything):
    c, p, waveforms, *drawn = everything
    together, _ = pretrain_loss(waveforms, p, c, *drawn, TAU)
    alone = [
        pretrain_loss([waveform], p, c, *([part[i]] for part in drawn), TAU)[0] for i, waveform in enumerate(waveforms)
    ]
    assert together.contrastive == pytest.approx(sum(each.contrastive for each in alone), rel=1e-13)
    mean_diversity = sum(each.diversity * each.masked_frames for each in alone) / together.masked_frames
    assert together.diversity != pytest.approx(mean_diversity, rel=1e-9)  # no mean of theirs
    told = sum(each.accuracy * each.masked_frames for each in alone)  # every frame has a negative of another code
    assert together.accuracy == pytest.approx(told / together.masked_frames)


def test_a_single_masked_frame_has_no_contrastive_term(rng, everything):
    c, p, waveforms, spans, negatives, noise = everything
    alone, _ = pretrain_loss(
        [waveforms[0], waveforms[2]],
        p,
        c,
        [spans[0], spans[2]],
        [negatives[0], negatives[2]],
        [noise[0], noise[2]],
        TAU,
    )
    spans[1] = np.arange(len(spans[1])) == 3
    for given in (draw_negatives(spans[1], 4, rng), np.full((1, 4), 2)):  # whatever is given for it
        negatives[1] = given
        losses, _ = pretrain_loss(waveforms, p, c, spans, negatives, noise, TAU)
        assert losses.skipped == 1
        assert losses.contrastive == alone.contrastive
        assert losses.accuracy == alone.accuracy
        assert losses.masked_frames == alone.masked_frames + 1  # its code counts among the others
    spans[1] = np.zeros(len(spans[1]), bool)
    negatives[1] = draw_negatives(spans[1], 4, rng)
    losses, _ = pretrain_loss(waveforms, p, c, spans, negatives, noise, TAU)
    assert losses.skipped == 1
    assert losses.total == alone.total


# --- the paper's rules -----------------------------------------------------------------------------------------------


def test_masking_is_for_the_context_network_only(everything):
    """With every frame masked the projection is of no use, while the quantizer still learns from the features."""
    c, p, waveforms, spans, _, noise = everything
    everywhere = [np.ones_like(mask) for mask in spans]
    others = [(np.arange(len(mask))[:, None] + [1, 2, 3]) % len(mask) for mask in spans]
    _, grads = pretrain_loss(waveforms, p, c, everywhere, others, noise, TAU)
    np.testing.assert_array_equal(grads["wav2vec2"]["feature_projection"]["projection"]["weight"], 0)
    assert np.abs(grads["quantizer"]["weight_proj"]["weight"]).max() > 1e-3
    assert np.abs(grads["wav2vec2"]["feature_extractor"]["conv_layers"]["0"]["conv"]["weight"]).max() > 1e-3


def test_a_collapsed_codebook(rng):
    """V = 320, G = 2: contrastive loss 0, diversity 0.996875, perplexity 2.0, and 0.0996875 for each masked frame."""
    c = config(num_codevectors_per_group=320, diversity_loss_weight=0.1)
    p, waveforms, drawn = parameters(rng, c), sounds(rng), draws(rng, c)
    p["quantizer"]["weight_proj"]["weight"][:] = 0
    p["quantizer"]["weight_proj"]["bias"][:] = 0
    p["quantizer"]["weight_proj"]["bias"][[5, 320 + 77]] = 2000
    losses, _ = pretrain_loss(waveforms, p, c, *drawn, 2.0)
    assert losses.contrastive == 0
    assert losses.diversity == 0.996875
    assert losses.perplexity.tolist() == [1, 1]  # 2.0 as transformers reports it
    assert losses.total / losses.masked_frames == pytest.approx(0.0996875, rel=1e-12)
    assert math.isnan(losses.accuracy)  # nothing could be told apart
    assert losses.skipped == 0


def test_a_scaled_encoder_learns_slower_and_nothing_else_does(everything):
    c, p, waveforms, *drawn = everything
    plain, scaled = (
        flatten(pretrain_loss(waveforms, p, c, *drawn, TAU, feature_penalty_weight=2.0, encoder_gradient_scale=s)[1])
        for s in (1.0, 0.1)
    )
    for name, grad in plain.items():
        slower = "feature_extractor" in name
        np.testing.assert_allclose(
            scaled[name], grad * (0.1 if slower else 1), rtol=1e-12, atol=1e-12 * np.abs(grad).max()
        )


# --- the model -------------------------------------------------------------------------------------------------------


def test_the_models_method_normalises_and_passes_on(everything):
    c, p, waveforms, *drawn = everything
    model = Model(c, p, Preprocessor(), None, None)
    losses, grads = model.pretrain_loss([3 * x + 1 for x in waveforms], RATE, *drawn, TAU, feature_penalty_weight=2.0)
    expected, reference = pretrain_loss(
        [audio.normalise(3 * x + 1) for x in waveforms], p, c, *drawn, TAU, feature_penalty_weight=2.0
    )
    assert losses.total == expected.total
    assert all(np.array_equal(flatten(grads)[name], grad) for name, grad in flatten(reference).items())
    with pytest.raises(AudioError, match="takes 16000 Hz, not 8000"):
        model.pretrain_loss(waveforms, 8000, *drawn, TAU)


# --- bad input -------------------------------------------------------------------------------------------------------


def test_bad_input(everything):
    c, p, waveforms, spans, negatives, noise = everything

    def loss(waveforms=waveforms, p=p, spans=spans, negatives=negatives, noise=noise):
        return pretrain_loss(waveforms, p, c, spans, negatives, noise, TAU)

    with pytest.raises(ObjectiveError, match="lack quantizer, project_q: take a checkpoint of Wav2Vec2ForPreTraining"):
        loss(p={name: p[name] for name in ("wav2vec2", "project_hid")})
    backbone = {name: module for name, module in p["wav2vec2"].items() if name != "masked_spec_embed"}
    with pytest.raises(ObjectiveError, match="lack masked_spec_embed"):
        loss(p=p | {"wav2vec2": backbone})
    with pytest.raises(ObjectiveError, match="3 waveforms, 2 spans, 3 negatives and 3 noises"):
        loss(spans=spans[1:])
    with pytest.raises(ObjectiveError, match="0 waveforms"):
        loss([], p, [], [], [])
    with pytest.raises(ObjectiveError, match="none of the 3 utterances has a masked frame"):
        loss(spans=[np.zeros_like(mask) for mask in spans])
    with pytest.raises(ObjectiveError, match=r"a mask is \(19,\), but its 131 samples make 20 frames"):
        loss(spans=[spans[0][1:], *spans[1:]])
    with pytest.raises(ObjectiveError, match="spans must be arrays of bool"):
        loss(spans=[mask.astype(int) for mask in spans])
    with pytest.raises(ObjectiveError, match="negatives"):
        loss(negatives=negatives[::-1])
    with pytest.raises(ObjectiveError, match="the noise is"):
        loss(noise=noise[::-1])
