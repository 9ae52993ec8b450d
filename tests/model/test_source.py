"""What a recording may be, from Python: a path, an array, a dictionary, bytes, a file object; and what is none."""

import io
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.errors import AudioError

sf = pytest.importorskip("soundfile")

CLIP = Path(xlsr_ref.__file__).parent / "data" / "clips" / "es" / "vm-savefolder.flac"


@pytest.fixture(scope="module")
def model():
    return xlsr_ref.load()


@pytest.fixture(scope="module")
def text(model):
    return model.transcribe(CLIP)


def kinds():
    array, rate = sf.read(CLIP, dtype="float32")
    content = CLIP.read_bytes()
    return {
        "a dictionary": lambda: {"array": array, "sampling_rate": rate, "path": None},
        "bytes": lambda: content,
        "a bytearray": lambda: bytearray(content),
        "a view": lambda: memoryview(content),
        "a stream in memory": lambda: io.BytesIO(content),
        "an open file": lambda: open(CLIP, "rb"),
    }


@pytest.mark.parametrize("kind", kinds())
def test_all_kinds_of_recordings_are_one(model, text, kind):
    make = kinds()[kind]
    assert model.transcribe(make()) == text
    assert model.transcribe([make(), str(CLIP)]) == [text, text]
    assert model.transcribe(make(), chunk_seconds=1.0) == model.transcribe(CLIP, chunk_seconds=1.0)
    assert model.align(make(), "guardar") == model.align(CLIP, "guardar")


@pytest.mark.parametrize(
    ("recording", "says"),
    [
        ([0.0, 0.5], r"a recording is a path or an array, not list: for a list of samples give numpy\.asarray\(it\)"),
        ([np.float32(0.0)], r"numpy\.asarray"),
        ([[0.0, 0.5], [0.1, 0.2]], r"numpy\.asarray"),
        (3.5, "a recording is a path or an array, not float$"),
        (None, "a recording is a path or an array, not NoneType$"),
        ({"array": np.ones(9)}, "needs 'array' and 'sampling_rate': it has no 'sampling_rate'"),
        ({"sampling_rate": 16000}, "it has no 'array'"),
        ({"array": np.ones(9), "sampling_rate": "16000"}, "the sampling rate is '16000'; give whole Hz"),
        ({"array": np.ma.masked_array(np.ones(9), True), "sampling_rate": 16000}, "a masked array"),
        (b"", "the bytes: is empty"),
        (b"RIFF and nothing", "the bytes: is not audio"),
        (io.StringIO("text"), "the file object gives str, not bytes: open it in binary mode"),
    ],
)
def test_what_is_no_recording_is_a_sentence(model, recording, says):
    with pytest.raises(AudioError, match=says) as caught:
        model.transcribe(recording)
    assert "xlsr_ref-" not in str(caught.value)  # the name of a file that nobody made


def test_a_rate_is_given_once(model):
    with pytest.raises(AudioError, match="the recording says sampling_rate=8000, the call 16000: leave out the second"):
        model.transcribe({"array": np.ones(9), "sampling_rate": 8000}, 16000)


@pytest.mark.parametrize("rate", ["16000", True, 16000.5])
def test_a_rate_is_a_number(model, rate):
    with pytest.raises(AudioError, match=r"the sampling rate is .*; give whole Hz"):
        model.logits(np.ones(1000), rate)


def test_nothing_is_left_behind(model, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    model.transcribe(CLIP.read_bytes())
    with pytest.raises(AudioError):
        model.transcribe(b"no sound")
    assert list(tmp_path.iterdir()) == []


def test_all_errors_are_exported():
    from xlsr_ref import errors

    named = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert named <= set(xlsr_ref.__all__)
    assert all(getattr(xlsr_ref, name) is getattr(errors, name) for name in named)


def test_a_tokenizer_shows_itself(model):
    assert repr(model.tokenizer) == "Tokenizer(78 tokens, blank '[PAD]' = 0, word delimiter '|')"
