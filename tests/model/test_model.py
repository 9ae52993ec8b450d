"""The front door: loading, the network as a whole on the bundled model, and what is refused."""

import csv
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref import AudioError, CannotTranscribeError, WeightsError, XlsrError
from xlsr_ref.model.load import BUNDLED
from xlsr_ref.ops import threads
from xlsr_ref.ops.tree import flatten

GOLDEN = BUNDLED.parents[2] / "tests" / "golden"
CLIPS = BUNDLED.parent / "clips.tsv"


@pytest.fixture(scope="module")
def model():
    return xlsr_ref.load()


@pytest.fixture(scope="module")
def clips():
    with CLIPS.open(encoding="utf-8") as lines:
        return [str(CLIPS.parent / row["path"]) for row in csv.DictReader(lines, delimiter="\t")]


@pytest.fixture
def waveform(rng):
    return (rng.standard_normal(9000) * 0.1).astype(np.float32)


# --- one forward pass, whatever is kept and whoever computes it ------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_keep_mode_gives_the_same_bits(waveform, dtype):
    model = xlsr_ref.load(dtype=dtype)
    logits, stages = model.forward(waveform, 16000, keep=True)
    np.testing.assert_array_equal(model.forward(waveform, 16000, keep=False)[0], logits)
    for keep in ("states", "outputs", "checkpoints"):
        np.testing.assert_array_equal(model.forward(waveform, 16000, keep=keep)[0], logits)
    np.testing.assert_array_equal(model.logits(waveform, 16000), logits)
    assert logits.dtype == dtype
    assert model.forward(waveform, 16000, keep=False)[1] == {}
    for unknown in ("attention", "checkpoint", None):
        with pytest.raises(XlsrError, match=r'keep=.* is not known: give True, False or one of "states"'):
            model.forward(waveform, 16000, keep=unknown)
    assert all(stage.output.dtype == dtype for stage in stages.values())
    weights = stages["wav2vec2.encoder.layers.3"].cache.attention.heads.weights
    assert weights.shape == (model.config.num_attention_heads, len(logits), len(logits))
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)


def test_stages_bear_the_checkpoints_module_paths(model, waveform):
    _, stages = model.forward(waveform, 16000)
    base = "wav2vec2."
    assert list(stages) == [
        *(f"{base}feature_extractor.conv_layers.{i}" for i in range(7)),
        f"{base}feature_projection",
        f"{base}encoder.pos_conv_embed",
        *(f"{base}encoder.layers.{i}" for i in range(6)),
        f"{base}encoder.layer_norm",
        "lm_head",
    ]


def test_any_number_of_threads_gives_the_same_bits(model, rng):
    waveform = rng.standard_normal(16000 * 12)  # 599 frames: more than one block of everything
    results = []
    for n in (1, 2, 3):
        with threads.use(n):
            results.append(model.logits(waveform, 16000))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_a_list_gives_what_each_gives_alone(model, clips):
    some = clips[:3]
    assert model.transcribe(some) == [model.transcribe(clip) for clip in some]
    assert model.transcribe([]) == []


def test_hidden_states_are_what_enters_and_leaves_each_block(model, waveform):
    states = model.hidden_states(waveform, 16000)
    _, stages = model.forward(waveform, 16000)
    assert len(states) == model.config.num_hidden_layers + 1
    for i in range(model.config.num_hidden_layers):
        np.testing.assert_array_equal(states[i + 1], stages[f"wav2vec2.encoder.layers.{i}"].output)
    base = "wav2vec2."
    entering = stages[f"{base}feature_projection"].output + stages[f"{base}encoder.pos_conv_embed"].output
    np.testing.assert_array_equal(states[0], entering)


def test_inputs_are_not_modified(model, waveform):
    before, parameters = waveform.copy(), {name: a.copy() for name, a in flatten(model.params).items()}
    waveform.flags.writeable = False
    model.forward(waveform, 16000)
    model.transcribe(waveform, 16000)
    np.testing.assert_array_equal(waveform, before)
    for name, array in flatten(model.params).items():
        np.testing.assert_array_equal(array, parameters[name])
        assert not array.flags.writeable


def test_scale_offset_and_integers_do_not_matter(model, clips):
    """With normalisation x, 3x + 0.1 and int16 give the same logits."""
    import soundfile

    x, rate = soundfile.read(clips[0], dtype="float32")
    logits = model.logits(x, rate)
    assert np.abs(model.logits(3 * x + 0.1, rate) - logits).max() < 1e-3
    as_int16 = np.round(32767 * x).astype(np.int16)  # rounded: cutting off would add noise of one step to a quiet clip
    assert np.abs(model.logits(as_int16, rate) - logits).max() < 1e-3


def test_frames_are_counted_as_the_paper_does(model):
    for samples, frames in [(400, 1), (719, 1), (720, 2), (3200, 9), (3280, 10), (16000, 49), (16080, 50)]:
        assert len(model.logits(np.sin(np.arange(samples)), 16000)) == frames


def test_parameters_may_be_replaced(waveform):
    """Nothing that was derived from old parameters is used with new ones."""
    model = xlsr_ref.load(GOLDEN / "xlsr")
    before = model.logits(waveform, 16000)
    parts = model.params["wav2vec2"]["encoder"]["pos_conv_embed"]["conv"]["parametrizations"]["weight"]
    parts["original0"] = parts["original0"] * 3
    after = model.logits(waveform, 16000)
    assert np.abs(after - before).max() > 0.01
    parts["original0"] *= 2  # in place: it is a copy, and can be written to
    assert np.abs(model.logits(waveform, 16000) - after).max() > 0.01
    model.params = xlsr_ref.load(GOLDEN / "xlsr").params
    np.testing.assert_array_equal(model.logits(waveform, 16000), before)


def test_the_numpy_twins_give_the_same_model(waveform, model, tmp_path):
    """The whole network without Numba, in a process of its own."""
    np.save(tmp_path / "x.npy", waveform)
    code = (
        "import sys, numpy, xlsr_ref; x = numpy.load(sys.argv[1]); "
        "y = xlsr_ref.load(dtype='float64').logits(x, 16000); numpy.save(sys.argv[2], y); "
        "assert 'numba' not in sys.modules"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]
    subprocess.run(run, check=True, env=os.environ | {"XLSR_REF_BACKEND": "numpy"})
    expected = xlsr_ref.load(dtype="float64").logits(waveform, 16000)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, atol=1e-11 * np.abs(expected).max())


# --- text ------------------------------------------------------------------------------------------------------------


def test_words_and_characters_lie_inside_the_recording(model, clips):
    import soundfile

    transcript = model.transcribe(clips[0])
    duration = soundfile.info(clips[0]).duration
    assert [word.text for word in transcript.words] == transcript.text.split()  # it may write two spaces
    for span in (*transcript.words, *transcript.chars):
        assert 0 <= span.start < span.end <= duration
        assert 0 < span.score <= 1


def test_transcribe_resamples_and_takes_channels(model, clips):
    import soundfile

    x, rate = soundfile.read(clips[0])
    stereo = np.stack([x, x], axis=1)
    assert model.transcribe(stereo, rate).text == model.transcribe(clips[0]).text
    doubled = np.repeat(x, 2)  # 32 kHz, roughly
    assert len(model.transcribe(doubled, 2 * rate).text) > 0


# --- loading ---------------------------------------------------------------------------------------------------------


def copy_of(tmp_path, source=BUNDLED):
    return shutil.copytree(source, tmp_path / "model")


def test_a_pretrained_model_says_why_it_has_no_text(waveform, tmp_path):
    model = xlsr_ref.load(GOLDEN / "bare")
    assert model.tokenizer is None
    for ask in (lambda: model.transcribe(waveform, 16000), lambda: model.logits(waveform, 16000)):
        with pytest.raises(CannotTranscribeError, match=r"no lm_head and no vocabulary.*hidden_states"):
            ask()
    states, (last, _) = model.hidden_states(waveform, 16000), model.forward(waveform, 16000)
    assert states[0].shape == last.shape == (len(last), model.config.hidden_size)


def test_a_ctc_model_without_a_vocabulary_has_logits_only(waveform, tmp_path):
    folder = copy_of(tmp_path)
    (folder / "vocab.json").unlink()
    model = xlsr_ref.load(folder)
    assert model.logits(waveform, 16000).shape[1] == 78
    with pytest.raises(CannotTranscribeError, match=r"no vocab\.json"):
        model.transcribe(waveform, 16000)


def test_an_id_without_a_token_is_read_as_unknown_with_a_warning(tmp_path):
    folder = copy_of(tmp_path)
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    del vocabulary["я"]
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    with pytest.warns(UserWarning, match=r"no token for the ids 77: they are read as \[UNK\]"):
        model = xlsr_ref.load(folder)
    assert model.tokenizer.token(77) == "[UNK]"


def test_a_vocabulary_that_is_larger_loads(tmp_path, model, waveform):
    folder = copy_of(tmp_path)
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    (folder / "vocab.json").write_text(json.dumps(vocabulary | {"<s>": 78, "</s>": 79}), encoding="utf-8")
    larger = xlsr_ref.load(folder)
    assert larger.transcribe(waveform, 16000) == model.transcribe(waveform, 16000)


def test_surplus_tensors_change_nothing_and_are_listed(tmp_path, model, waveform):
    from xlsr_ref.checkpoint.safetensors_file import write_arrays

    folder = copy_of(tmp_path)
    flat = flatten(model.params) | {"quantizer.codevectors": np.zeros((1, 4, 2), np.float32)}
    write_arrays(folder / "model.safetensors", flat)
    extra = xlsr_ref.load(folder)
    assert extra.report.surplus == ("quantizer.codevectors",)
    np.testing.assert_array_equal(extra.logits(waveform, 16000), model.logits(waveform, 16000))


def test_no_prefix_gives_the_same_logits(tmp_path, model, waveform):
    from xlsr_ref.checkpoint.safetensors_file import write_arrays

    folder = copy_of(tmp_path)
    flat = {name.removeprefix("wav2vec2."): array for name, array in flatten(model.params).items()}
    write_arrays(folder / "model.safetensors", flat)
    bare = xlsr_ref.load(folder)
    logits, stages = bare.forward(waveform, 16000)
    np.testing.assert_array_equal(logits, model.logits(waveform, 16000))
    assert "encoder.layers.0" in stages


def test_loading_twice_gives_the_same_bits():
    first, second = flatten(xlsr_ref.load().params), flatten(xlsr_ref.load().params)
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("dtype", ["float16", "int32", "nonsense", None, object()])
def test_other_dtypes_are_refused(dtype):
    if dtype is None:  # NumPy reads None as float64
        assert xlsr_ref.load(dtype=None).dtype == np.float64
        return
    with pytest.raises(WeightsError, match="float32"):
        xlsr_ref.load(dtype=dtype)


# --- bad input -------------------------------------------------------------------------------------------------------


def test_another_rate_is_refused_by_all_but_transcribe(model, waveform):
    for ask in (model.logits, model.hidden_states, model.forward):
        with pytest.raises(AudioError, match="takes 16000 Hz, not 8000"):
            ask(waveform, 8000)
    assert model.transcribe(waveform, 8000).text is not None


def test_an_array_without_a_rate_is_refused(model, waveform):
    for ask in (model.transcribe, lambda x: model.logits(x, None), lambda x: model.forward(x, None)):
        with pytest.raises(AudioError, match="rate"):
            ask(waveform)


@pytest.mark.parametrize("samples", [0, 1, 399])
def test_fewer_samples_than_a_frame_needs_are_refused(model, samples):
    with pytest.raises(AudioError):
        model.logits(np.ones(samples, np.float32), 16000)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(model, waveform, value):
    waveform[100] = value
    with pytest.raises(AudioError):
        model.logits(waveform, 16000)


def test_silence_is_transcribed(model):
    assert np.isfinite(model.logits(np.zeros(16000, np.float32), 16000)).all()


@pytest.mark.parametrize("recording", [None, 3, {}, [None], [0.1, 0.2]])
def test_what_is_no_recording_is_refused(model, recording):
    with pytest.raises(AudioError):
        model.transcribe(recording, 16000)


def test_missing_files_are_named(model, tmp_path):
    with pytest.raises(AudioError, match="nowhere"):
        model.transcribe(tmp_path / "nowhere.wav")
    with pytest.raises(xlsr_ref.ConfigError, match="nowhere"):
        xlsr_ref.load(tmp_path / "nowhere")


# --- the package -----------------------------------------------------------------------------------------------------


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, xlsr_ref; print(sorted({'numba', 'scipy', 'numpy', 'torch', 'soundfile'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"


def test_the_names_at_the_front_door():
    assert xlsr_ref.__version__
    for name in xlsr_ref.__all__:
        assert getattr(xlsr_ref, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = xlsr_ref.nothing


def test_the_number_of_threads_is_the_models_own(monkeypatch):
    seen = []
    run = threads.run
    monkeypatch.setattr(threads, "run", lambda tasks, *work: (seen.append(threads.count()), run(tasks, *work)))
    x = np.zeros(4000, np.float32)
    xlsr_ref.load(threads=3).logits(x, 16000)
    assert set(seen) == {3}
    seen.clear()
    with threads.use(5):
        xlsr_ref.load().logits(x, 16000)
    assert set(seen) == {5}


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "2"])
def test_a_number_of_threads_that_is_none(wrong):
    with pytest.raises(xlsr_ref.XlsrError, match="whole number of at least 1"):
        xlsr_ref.load(threads=wrong)
