"""One step of either task: nothing but its seed decides it, and without noise it is the model's own loss."""

import dataclasses

import numpy as np
import pytest

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.model.model import Model
from xlsr_ref.ops import conv_length, threads
from xlsr_ref.ops.tree import flatten, nest
from xlsr_ref.training import step
from xlsr_ref.training.recipe import TrainingStage, from_table
from xlsr_ref.training.start import start_of
from xlsr_ref.training.step import Batch, finetune_step, pretrain_step
from xlsr_ref.wav2vec2.quantizer import temperature

SIZES = {
    "conv_dim": [6, 5, 7], "conv_kernel": [10, 3, 2], "conv_stride": [5, 2, 2], "conv_bias": True,
    "feat_extract_norm": "layer", "do_stable_layer_norm": True,
    "hidden_size": 12, "num_attention_heads": 3, "num_hidden_layers": 2, "intermediate_size": 14,
    "num_conv_pos_embeddings": 6, "num_conv_pos_embedding_groups": 3, "initializer_range": 0.3,
    "num_codevectors_per_group": 8, "codevector_dim": 6, "proj_codevector_dim": 9, "num_negatives": 5,
    "feat_proj_dropout": 0.1, "feat_quantizer_dropout": 0.1, "ctc_loss_reduction": "mean",
    "mask_time_prob": 0.4, "mask_time_length": 3, "mask_feature_prob": 0.3, "mask_feature_length": 2,
}  # fmt: skip
AUGMENT = {"speeds": [0.9, 1.1], "noise": [5.0, 20.0], "noise_chance": 0.5, "silence": 0.01, "silence_chance": 0.5}
LENGTHS, TARGETS = (1300, 611, 980), ([3, 4, 4], [], [5, 2])
QUIET = TrainingStage(noise=False, augment=False)
TASKS = {"Wav2Vec2ForCTC": finetune_step, "Wav2Vec2ForPreTraining": pretrain_step}


def recipe_of(config, seed=0, augment=AUGMENT):
    table = {"seed": seed, "model": {"config": SIZES | config}, "augment": augment}
    return from_table(table | {"data": {"manifests": ["none.tsv"]}})


def begin(kind, seed=0, dtype="float64", augment=AUGMENT, **config):
    """A recipe, and what it starts from."""
    recipe = recipe_of(config, seed, augment)
    return recipe, start_of(recipe_of(config, 0, augment), kind, ["abc d"], None, dtype)


def sounds(dtype="float64"):
    rng = np.random.default_rng(1)
    return [rng.standard_normal(length).astype(dtype) for length in LENGTHS]


def take(kind, stage=TrainingStage(), n=7, dtype="float64", waveforms=None, **how):  # noqa: B008
    recipe, start = begin(kind, dtype=dtype, **how)
    batch = Batch(waveforms or sounds(dtype), [np.array(ids, int) for ids in TARGETS], n, stage)
    return TASKS[kind](nest(start.params), start.config, recipe, start.preprocessor, batch)


def same(one, other):
    return one[0] == other[0] and all((one[1][name] == other[1][name]).all() for name in one[1])


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_number_of_threads_gives_the_same_bits(kind, dtype):
    results = []
    for n in (1, 2, 3):
        with threads.use(n):
            results.append(take(kind, dtype=dtype))
    assert same(results[1], results[0])
    assert same(results[2], results[0])
    assert {grad.dtype for grad in results[0][1].values()} == {np.dtype(dtype)}
    assert results[0][1].keys() == begin(kind)[1].params.keys()


@pytest.mark.parametrize("kind", TASKS)
def test_seed_and_step_decide_what_is_drawn(kind):
    one = take(kind)
    assert same(take(kind), one)
    assert take(kind, n=8)[0]["loss"] != one[0]["loss"]
    assert take(kind, seed=1)[0]["loss"] != one[0]["loss"]
    assert take(kind, TrainingStage(noise=False))[0]["loss"] != one[0]["loss"]
    assert take(kind, TrainingStage(augment=False))[0]["loss"] != one[0]["loss"]


@pytest.mark.parametrize("kind", TASKS)
def test_the_sounds_are_not_changed(kind):
    waveforms = sounds()
    kept = [x.copy() for x in waveforms]
    take(kind, waveforms=waveforms)
    for x, before in zip(waveforms, kept):
        np.testing.assert_array_equal(x, before)


# --- fine-tuning -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_without_noise_it_is_the_models_own_ctc_loss(reduction):
    numbers, grads = take("Wav2Vec2ForCTC", QUIET, ctc_loss_reduction=reduction)
    _, start = begin("Wav2Vec2ForCTC", ctc_loss_reduction=reduction)
    model = Model(start.config, nest(start.params), start.preprocessor, None, None)
    losses, expected = zip(*(model.ctc_loss(x, 16000, ids) for x, ids in zip(sounds(), TARGETS)))
    sizes = np.array([3, 1, 2])  # an empty text counts as one, as in torch
    weights = 1 / (3 * sizes) if reduction == "mean" else np.ones(3)
    assert numbers["loss"] == pytest.approx(np.dot(losses, weights), rel=1e-14)
    assert numbers["nats_per_token"] == pytest.approx(sum(losses) / 6, rel=1e-14)
    blanks = [(model.logits(x, 16000).argmax(axis=1) == 0).mean() for x in sounds()]
    assert numbers["blanks"] == pytest.approx(np.mean(blanks))
    total = {
        name: sum(weight * flatten(each)[name] for each, weight in zip(expected, weights))
        for name in flatten(expected[0])
    }
    assert grads.keys() == total.keys()
    zero = max(np.abs(grad).max() for grad in total.values())
    for name, grad in grads.items():
        scale = zero if name.endswith("k_proj.bias") else np.abs(total[name]).max()
        assert np.abs(grad - total[name]).max() <= 1e-12 * scale, name
    if reduction == "sum":  # nothing is multiplied: the very same bits
        _, exact = model.ctc_losses(sounds(), 16000, TARGETS)
        assert all((grads[name] == grad).all() for name, grad in flatten(exact).items())


def test_masks_are_as_the_config_has_them(monkeypatch):
    seen = []
    monkeypatch.setattr(step, "ctc_losses", lambda *_, **how: seen.append(how) or ([], {}))

    def drawn_masks(**config):
        recipe, start = begin("Wav2Vec2ForCTC", **config)
        batch = Batch(sounds() * 20, [np.array(ids, int) for ids in TARGETS] * 20, 1, TrainingStage(augment=False))
        finetune_step(nest(start.params), start.config, recipe, start.preprocessor, batch)
        return seen.pop()["masks"]

    drawn = drawn_masks()
    frames = [conv_length.frames(length, SIZES["conv_kernel"], SIZES["conv_stride"]) for length in LENGTHS]
    assert [len(noise.frames) for noise in drawn] == frames * 20
    # spans of 3 start at 0.4 / 3 of the frames and overlap: 1 − (1 − 0.4 / 3)³ = 0.35 of them, and 60 utterances
    assert 0.3 < np.mean(np.concatenate([noise.frames for noise in drawn])) < 0.4
    assert 0.1 < np.mean([noise.channels for noise in drawn]) < 0.4
    assert len({noise.channels.tobytes() for noise in drawn}) > 5
    assert all(noise.frames is None for noise in drawn_masks(mask_time_prob=0.0))
    assert all(noise.channels is None for noise in drawn_masks(mask_feature_prob=0.0))
    bare = drawn_masks(apply_spec_augment=False)
    assert all(noise.frames is noise.channels is None for noise in bare)
    assert all(noise.projected is not None for noise in bare)


def test_speech_that_would_be_too_fast_for_its_text_stays_as_it_is(monkeypatch):
    """611 samples make 29 frames: enough for 29 letters, and at twice the speed for 14."""
    waveforms, seen = sounds()[1:2], []
    monkeypatch.setattr(step, "ctc_losses", lambda x, *_, **__: seen.append(len(x[0])) or ([], {}))
    for letters in (14, 15):
        recipe, start = begin("Wav2Vec2ForCTC", augment={"speeds": [2.0]})
        batch = Batch(waveforms, [np.arange(letters) % 2 + 3], 1, TrainingStage(noise=False))
        finetune_step(nest(start.params), start.config, recipe, start.preprocessor, batch)
    assert seen == [305, 611]


def test_what_learns_is_passed_on():
    _, grads = take("Wav2Vec2ForCTC", TrainingStage(learn="head"))
    assert grads.keys() == {"lm_head.weight", "lm_head.bias"}


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_clip_with_too_few_frames_takes_no_part(reduction, zero_infinity):
    """The others' randomness is that of their places in the batch; whether it counts in the mean, the config says."""
    how = {"ctc_loss_reduction": reduction, "ctc_zero_infinity": zero_infinity}
    recipe, start = begin("Wav2Vec2ForCTC", **how)
    targets = [np.array(ids, int) for ids in TARGETS]

    def learn(waveforms):
        batch = Batch(waveforms, targets, 7, TrainingStage())
        return finetune_step(nest(start.params), start.config, recipe, start.preprocessor, batch)

    x = sounds()
    for short in (x[0][:80], x[0][:3]):  # 3 frames for 3 targets with two equal neighbours; no frame at all
        numbers, grads = learn([short, x[1], x[2]])
        _, whole = learn(x)
        assert grads.keys() == whole.keys()
        each = []
        for i in (1, 2):  # alone, in its place
            alone = [x[j] if j == i else x[j][:0] for j in range(3)]
            each.append(learn(alone))
        share = 1.0 if reduction == "sum" or zero_infinity else 1 / 2  # alone the mean is over one
        assert numbers["loss"] == pytest.approx(share * sum(one[0]["loss"] for one in each), rel=1e-12)
        for name, grad in grads.items():
            expected = share * sum(one[1][name] for one in each)
            np.testing.assert_allclose(grad, expected, rtol=1e-9, atol=1e-13 * np.abs(expected).max() + 1e-300)


def test_the_frames_of_a_clip_are_counted_above_the_adapter():
    """1300 samples make 64 frames, and 8 above three layers of stride 2: too few for ten letters."""
    recipe, start = begin("Wav2Vec2ForCTC", add_adapter=True)
    for letters, fits in ((8, True), (9, False)):
        batch = Batch([np.ones(1300)], [np.arange(letters) % 2 + 3], 1, QUIET)
        assert step.fits_ctc(batch.waveforms[0], batch.targets[0], start.config) is fits
    with pytest.raises(ObjectiveError, match="none of its 1 clips has as many frames as its text needs"):
        finetune_step(nest(start.params), start.config, recipe, start.preprocessor, batch)


def test_a_clip_without_room_for_a_masked_span_takes_no_part_in_pretraining():
    x = sounds()
    numbers, _ = take("Wav2Vec2ForPreTraining", waveforms=[x[0], x[1][:30], x[2]])
    assert np.isfinite(numbers["loss"])
    with pytest.raises(ObjectiveError, match="none of its 3 clips has the 3 frames of a masked span"):
        take("Wav2Vec2ForPreTraining", waveforms=[one[:30] for one in x])


def test_nan_is_an_error():
    recipe, start = begin("Wav2Vec2ForCTC")
    start.params["lm_head.weight"][:] = np.nan
    batch = Batch(sounds(), [np.array(ids, int) for ids in TARGETS], 1, TrainingStage())
    with pytest.raises(ObjectiveError, match="NaN"):
        finetune_step(nest(start.params), start.config, recipe, start.preprocessor, batch)


# --- pre-training ----------------------------------------------------------------------------------------------------


def test_pretraining_is_the_models_own_loss_per_masked_frame(monkeypatch):
    seen = []
    pretrain_loss = step.pretrain_loss
    monkeypatch.setattr(
        step, "pretrain_loss", lambda *args, **how: seen.append((args, how)) or pretrain_loss(*args, **how)
    )
    numbers, grads = take("Wav2Vec2ForPreTraining", QUIET, n=5)
    _, start = begin("Wav2Vec2ForPreTraining")
    (_, _, _, *draws, tau), how = seen[0]
    assert how["masks"] == (step.NO_MASKS,) * 3
    assert tau == temperature(4, 2.0, 0.999995, 0.5) == numbers["tau"]  # the first step has the first temperature
    model = Model(start.config, nest(start.params), start.preprocessor, None, None)
    losses, expected = model.pretrain_loss(sounds(), 16000, *draws, tau)
    n = sum(int(mask.sum()) for mask in draws[0])
    assert n == losses.masked_frames == numbers["masked_frames"]
    assert numbers["loss"] == losses.total / n
    assert numbers["contrastive"] == losses.contrastive / n
    assert (numbers["diversity"], numbers["accuracy"]) == (losses.diversity, losses.accuracy)
    assert numbers["perplexity"] == losses.perplexity.tolist()
    for name, grad in flatten(expected).items():
        np.testing.assert_array_equal(grads[name], grad / n)


def test_the_recipes_penalty_and_gradient_scale_are_passed_on(monkeypatch):
    seen = []
    pretrain_loss = step.pretrain_loss
    monkeypatch.setattr(step, "pretrain_loss", lambda *args, **how: seen.append(how) or pretrain_loss(*args, **how))
    recipe, start = begin("Wav2Vec2ForPreTraining")
    part = dataclasses.replace(recipe.pretrain, feature_penalty=10.0, encoder_gradient_scale=0.1)
    batch = Batch(sounds(), [np.empty(0, int)] * 3, 1, TrainingStage())
    for each in (recipe, dataclasses.replace(recipe, pretrain=part)):
        pretrain_step(nest(start.params), start.config, each, start.preprocessor, batch)
    assert [how["feature_penalty_weight"] for how in seen] == [0.0, 10.0]
    assert [how["encoder_gradient_scale"] for how in seen] == [1.0, 0.1]
    assert all(noise.encoder is not None for how in seen for noise in how["masks"])
