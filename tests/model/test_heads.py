"""What stands above the encoder, against what transformers computed with the same weights (recorded: no torch here).

float64: 1e-12 of a stage's largest value, as in test_goldens.py. float32: 1e-5, or FLOAT32_SLACK times as far as
torch's own float32 is from its float64 where that is more.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.checkpoint.compare import assert_same, relative_error
from xlsr_ref.errors import AudioError, CannotClassifyError, CannotTranscribeError, ObjectiveError
from xlsr_ref.ops import threads
from xlsr_ref.ops.tree import flatten, nest
from xlsr_ref.text.read_tokenizer import read_tokenizer

GOLDEN = Path(__file__).parents[1] / "golden" / "heads"
NAMES = ["recording", "frames", "voices", "convolutions", "languages"]
RATE = 16000
FLOAT64, FLOAT32, FLOAT32_SLACK = 1e-12, 1e-5, 4


def recorded(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / name / "stages.npz") as arrays:
        return dict(arrays)


def load(name: str, dtype: str = "float64", **options) -> xlsr_ref.Model:
    return xlsr_ref.load(GOLDEN / name, dtype, **options)


def changed(name: str, folder: Path, **values) -> Path:
    """The golden model ``name`` in another folder, with something changed in its config.json."""
    target = Path(shutil.copytree(GOLDEN / name, folder / name, dirs_exist_ok=True))
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(config | values))
    return target


# --- the numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_in_float64(name):
    golden = recorded(name)
    output, stages = load(name).forward(golden["waveform"], RATE)
    assert_same({"output": output}, {"output": golden["output"]}, FLOAT64, name)
    expected = {key.removeprefix("stage "): array for key, array in golden.items() if key.startswith("stage ")}
    assert_same({path: stage.output for path, stage in stages.items()}, expected, FLOAT64, name)
    assert [path for path in stages if path in expected] == list(expected)
    np.testing.assert_array_equal(output, next(reversed(stages.values())).output)


@pytest.mark.parametrize("name", NAMES)
def test_the_output_in_float32(name):
    golden = recorded(name)
    output, _ = load(name, "float32").forward(golden["waveform"], RATE, keep=False)
    assert output.dtype == np.float32
    assert relative_error(output, golden["output"]) <= max(FLOAT32, FLOAT32_SLACK * golden["float32_error"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_keep_mode_and_number_of_threads_gives_the_same_bits(name, dtype):
    waveform, model = recorded(name)["waveform"], load(name, dtype)
    expected, _ = model.forward(waveform, RATE)
    for keep in (False, "outputs", "checkpoints"):
        y, stages = model.forward(waveform, RATE, keep)
        np.testing.assert_array_equal(y, expected)
        assert bool(stages) == bool(keep)
    with threads.use(1):
        np.testing.assert_array_equal(model.forward(waveform, RATE)[0], expected)


def test_the_layer_sum_as_transformers_4_has_it():
    golden = recorded("recording")
    output, _ = load("recording", transformers_4=True).forward(golden["waveform"], RATE)
    assert_same({"": output}, {"": golden["output transformers 4"]}, FLOAT64)
    assert relative_error(output, golden["output"]) > 1e-3  # two different things, for a pre-norm model


def test_for_a_post_norm_model_the_two_versions_agree():
    waveform = recorded("voices")["waveform"]
    one, other = (load("voices", transformers_4=version).forward(waveform, RATE)[0] for version in (True, False))
    np.testing.assert_array_equal(one, other)


# --- labels ----------------------------------------------------------------------------------------------------------


def test_the_labels_of_a_recording():
    golden = recorded("recording")
    found = load("recording").classify(golden["waveform"], RATE)
    expected = np.exp(golden["output"]) / np.exp(golden["output"]).sum()
    by_label = dict(zip(("yes", "no", "up", "down"), expected))
    assert list(found) == sorted(by_label, key=by_label.__getitem__, reverse=True)
    assert found == pytest.approx(by_label, rel=1e-10)
    assert sum(found.values()) == pytest.approx(1)


def test_labels_that_may_be_right_together(tmp_path):
    golden = recorded("recording")
    model = xlsr_ref.load(changed("recording", tmp_path, problem_type="multi_label_classification"), "float64")
    found = model.classify(golden["waveform"], RATE)
    assert [found[label] for label in model.config.labels] == pytest.approx(list(1 / (1 + np.exp(-golden["output"]))))


def test_the_labels_of_frames(tmp_path):
    golden = recorded("frames")
    model = load("frames")
    found = model.frame_labels(golden["waveform"], RATE)
    assert found.shape == (35, 4)
    np.testing.assert_allclose(found, np.exp(golden["output"]) / np.exp(golden["output"]).sum(axis=1)[:, None])
    alone = 1 / (1 + np.exp(-golden["output"]))
    np.testing.assert_allclose(model.frame_labels(golden["waveform"], RATE, multi_label=True), alone)
    several = xlsr_ref.load(changed("frames", tmp_path, problem_type="multi_label_classification"), "float64")
    np.testing.assert_allclose(several.frame_labels(golden["waveform"], RATE), alone)


def test_the_vector_of_a_voice():
    golden = recorded("voices")
    found = load("voices").embed(golden["waveform"], RATE)
    assert_same({"": found}, {"": golden["embedding"]}, FLOAT64)


def test_a_recording_is_a_path_or_an_array_of_any_rate(tmp_path):
    import soundfile

    waveform, model = recorded("recording")["waveform"], load("recording")
    soundfile.write(tmp_path / "a.wav", waveform, RATE, subtype="FLOAT")
    assert (
        model.classify(tmp_path / "a.wav") == model.classify(waveform, RATE) == model.classify(str(tmp_path / "a.wav"))
    )
    assert model.classify(waveform, RATE // 2) != model.classify(waveform, RATE)  # twice as long
    with pytest.raises(AudioError, match="a recording is a path or an array, not list"):
        model.classify([0.0, 1.0])


@pytest.mark.parametrize(
    ("name", "method", "says"),
    [
        (
            "recording",
            "transcribe",
            r"ForSequenceClassification, which writes no text: use classify\(…\), or xlsr-ref cl",
        ),
        ("recording", "logits", "which writes no text"),
        ("frames", "transcribe", r"which writes no text: use frame_labels\(…\)"),
        ("voices", "transcribe", r"which writes no text: use embed\(…\)"),
        ("languages", "classify", r"Wav2Vec2ForCTC, which gives no label to a recording: use transcribe\(…\)"),
        ("recording", "frame_labels", r"which gives no labels to frames: use classify\(…\)"),
        ("frames", "classify", r"which gives no label to a recording: use frame_labels\(…\)"),
        ("recording", "embed", "which makes no x-vectors"),
    ],
)
def test_what_a_model_is_not_made_for_is_one_line(name, method, says):
    with pytest.raises((CannotTranscribeError, CannotClassifyError), match=says) as refused:
        getattr(load(name), method)(recorded(name)["waveform"], RATE)
    assert "\n" not in str(refused.value)


def test_a_regression_has_no_probabilities(tmp_path):
    model = xlsr_ref.load(changed("recording", tmp_path, problem_type="regression"))
    with pytest.raises(CannotClassifyError, match="problem_type: regression"):
        model.classify(recorded("recording")["waveform"], RATE)


# --- too short -------------------------------------------------------------------------------------------------------


def test_the_fewest_samples_of_an_x_vector():
    """Ten frames of 152 samples, 120 apart: two are left, which a standard deviation needs."""
    model, waveform = load("voices"), recorded("voices")["waveform"]
    c = model.config
    fewest = c.receptive_field + (2 + 2 * 2 + 1 * 3 - 1) * c.hop
    assert np.isfinite(model.embed(waveform[:fewest], RATE)).all()
    with pytest.raises(AudioError, match="too few frames, an x-vector needs 9: the recording is too short"):
        model.embed(waveform[: fewest - 1], RATE)


def test_the_fewest_samples_of_a_convolutional_adapter():
    model, waveform = load("convolutions"), recorded("convolutions")["waveform"]
    c = model.config  # two layers of kernel 4, a frame of zeros on either side: 2 frames, then 2 + 2 = 4 of 2
    fewest = next(T for T in range(1, 99) if (T + 2 - 4) // 3 + 1 >= 2)
    samples = c.receptive_field + (fewest - 1) * c.hop
    assert model.logits(waveform[:samples], RATE).shape == (1, 7)
    with pytest.raises(AudioError, match="too few frames, the convolutional adapter needs more"):
        model.logits(waveform[: samples - 1], RATE)


# --- a convolutional adapter below the CTC head ----------------------------------------------------------------------


def test_frames_behind_an_adapter_are_further_apart():
    model = load("convolutions")
    assert model.seconds_per_frame == 6 * 5 * 4 * 3**2 / RATE
    waveform = recorded("convolutions")["waveform"]
    assert len(model.hidden_states(waveform, RATE)[0]) == 35
    np.testing.assert_array_equal(model.logits(waveform, RATE, chunk_seconds=0), model.logits(waveform, RATE))
    with pytest.raises(AudioError, match="takes a recording in one piece"):
        model.logits(waveform, RATE, chunk_seconds=0.1)


def test_a_text_is_laid_over_all_frames_behind_an_adapter(tmp_path, rng):
    """Over 60 s a recording is cut into chunks, but not after an adapter, whose frames are elsewhere."""
    model = load("convolutions")
    vocabulary = {"<pad>": 0, **{letter: i for i, letter in enumerate("|abcde", start=1)}}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    model.tokenizer = read_tokenizer(tmp_path)
    waveform = rng.standard_normal(61 * RATE).astype(np.float32)
    aligned, read = model.align(waveform, "* abc *", RATE), model.transcribe(waveform, RATE)
    assert aligned.words[-1].end == 61  # the last frame would end at 61.02 s
    assert read.chars[-1].end > 50
    for use in (lambda: model.align(waveform, "abc", RATE, chunk_seconds=9.0), lambda: model.chunking(9.0)):
        with pytest.raises(AudioError, match="takes a recording in one piece"):
            use()


def test_pretraining_does_not_go_through_an_adapter(tmp_path):
    model = load("convolutions")
    with pytest.raises(ObjectiveError):
        model.pretrain_loss([recorded("convolutions")["waveform"]], RATE, [], [], [], 1.0)


# --- backwards -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"), [(name, {}) for name in NAMES] + [("recording", {"transformers_4": True})]
)
def test_finite_differences_through_the_whole_model(rng, name, options):
    """One entry of every tensor and five of the waveform: a weighted sum of the output moves as the gradient says."""
    model, waveform = load(name, **options), recorded(name)["waveform"].astype(np.float64)[:1900]
    output, stages = model.forward(waveform, RATE)
    weight = rng.standard_normal(output.shape)
    _, grads = model.backward(weight, stages)
    flat, step = {path: np.array(array) for path, array in flatten(model.params).items()}, 1e-5
    unused = {path for path in flat if path == "objective.weight" or "masked_spec_embed" in path}
    assert flatten(grads).keys() == flat.keys() - unused

    def loss_with(changed):
        parts = model.config, nest(changed), model.preprocessor, model.tokenizer, model.report
        other = type(model)(*parts, transformers_4=model.network.transformers_4)
        return float((weight * other.forward(waveform, RATE, keep=False)[0]).sum())

    for path, grad in flatten(grads).items():
        i = tuple(rng.integers(0, n) for n in grad.shape)
        losses = []
        for sign in (1, -1):
            moved = flat[path].copy()
            moved[i] += sign * step
            losses.append(loss_with(flat | {path: moved}))
        numeric = (losses[0] - losses[1]) / (2 * step)
        # the quotient's own error: a sum of some tens, rounded to 1e-15 of that, over 2e-5; and a relu's corner is rare
        assert abs(grad[i] - numeric) < 1e-6 * max(1.0, np.abs(grad).max()), path
