"""Models that are no safetensors folder, loaded without torch: the same numbers to the bit, the same text."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.errors import WeightsError
from xlsr_ref.model.model import Model

GOLDEN = Path(__file__).parents[1] / "golden"
FOREIGN = GOLDEN / "foreign"
RATE = 16000


def waveform(golden: str) -> np.ndarray:
    with np.load(GOLDEN / golden / "stages.npz") as stages:
        return stages["waveform"]


def with_epsilon(model: Model, of: Model) -> Model:
    """fairseq's settings have no epsilon of the norms: it is always 1e-5 there, and not in the golden models."""
    config = dataclasses.replace(model.config, layer_norm_eps=of.config.layer_norm_eps)
    return Model(config, model.params, of.preprocessor, model.tokenizer, model.report)


@pytest.mark.parametrize(
    ("source", "golden"),
    [("torch", "xlsr"), ("flax", "xlsr"), ("fairseq_ctc", "xlsr"), ("fairseq_ctc/checkpoint.pt", "xlsr"),
     ("torch_old", "base"), ("fairseq_ctc_old", "base")],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_and_hidden_states_are_the_same_to_the_bit(source, golden, dtype):
    original = xlsr_ref.load(GOLDEN / golden, dtype)
    model = xlsr_ref.load(FOREIGN / source, dtype)
    assert (model.report.kind, model.report.surplus, model.report.missing) == ("Wav2Vec2ForCTC", (), ())
    if "fairseq" in source:
        assert model.config.layer_norm_eps == 1e-5
        model = with_epsilon(model, original)
    x = waveform(golden)
    np.testing.assert_array_equal(model.logits(x, RATE), original.logits(x, RATE), strict=True)
    pairs = list(zip(model.hidden_states(x, RATE), original.hidden_states(x, RATE)))
    assert len(pairs) == original.config.num_hidden_layers + 1
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs, strict=True)


def test_a_fairseq_model_with_its_dictionary_transcribes(capsys):
    model = xlsr_ref.load(FOREIGN / "fairseq_ctc")
    assert model.tokenizer is not None
    assert model.tokenizer.pad_id == model.config.pad_token_id == 0
    ids = model.logits(waveform("xlsr"), RATE).argmax(axis=1)
    letters = "|ETAONI"  # dict.ltr.txt, after <s>, <pad>, </s>, <unk>; the blank is <s>, the first
    kept = [n for n, before in zip(ids, [-1, *ids]) if n != before and n != 0]
    expected = "".join(letters[n - 4] if n > 3 else ["", "<s>", "</s>", "<unk>"][n] for n in kept)
    assert model.transcribe(waveform("xlsr"), RATE).text == expected.replace("|", " ").strip()
    assert model.preprocessor.do_normalize is True
    assert xlsr_ref.load(FOREIGN / "fairseq_ctc_old").preprocessor.do_normalize is False


@pytest.mark.parametrize("source", ["fairseq_ctc", "fairseq_ctc/checkpoint.pt"])
def test_the_command_line_takes_it(capsys, source):
    from xlsr_ref.cli import main

    clip = Path(xlsr_ref.__file__).parent / "data" / "clips" / "ru" / "vm-prev.flac"
    assert main(["transcribe", str(clip), "--model", str(FOREIGN / source)]) == 0
    assert capsys.readouterr() == (xlsr_ref.load(FOREIGN / source).transcribe(clip).text + "\n", "")


def test_without_the_dictionary_file_the_one_inside_is_taken(tmp_path):
    shutil.copy(FOREIGN / "fairseq_ctc" / "checkpoint.pt", tmp_path)
    model = xlsr_ref.load(tmp_path)
    assert model.tokenizer.vocabulary == xlsr_ref.load(FOREIGN / "fairseq_ctc").tokenizer.vocabulary


def test_a_pretrained_fairseq_model():
    model = xlsr_ref.load(FOREIGN / "fairseq_pretrained")
    assert model.report.kind == "Wav2Vec2ForPreTraining"
    assert model.report.surplus == ()
    bare = xlsr_ref.load(GOLDEN / "bare")
    model = with_epsilon(model, bare)
    x = waveform("bare")
    for ours, theirs in zip(model.hidden_states(x, RATE), bare.hidden_states(x, RATE)):
        np.testing.assert_array_equal(ours, theirs, strict=True)


def test_shards_of_pytorch_model_bin(tmp_path):
    shutil.copytree(FOREIGN / "torch", tmp_path / "m")
    (tmp_path / "m" / "pytorch_model.bin").rename(tmp_path / "m" / "pytorch_model-00001-of-00001.bin")
    from xlsr_ref.checkpoint.read import read_file

    names = read_file(tmp_path / "m" / "pytorch_model-00001-of-00001.bin").tensors
    entries = ", ".join(f'"{name}": "pytorch_model-00001-of-00001.bin"' for name in names)
    (tmp_path / "m" / "pytorch_model.bin.index.json").write_text(f'{{"weight_map": {{{entries}}}}}')
    model = xlsr_ref.load(tmp_path / "m")
    assert model.report.files == ("pytorch_model-00001-of-00001.bin",)
    assert model.report.copied_bytes == 0  # mapped, not copied


def test_safetensors_come_first(tmp_path):
    shutil.copytree(GOLDEN / "xlsr", tmp_path / "m")
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(b"\x80\x02cos\nsystem\n.")
    assert xlsr_ref.load(tmp_path / "m").report.files == ("model.safetensors",)


def refusal(source) -> str:
    with pytest.raises(WeightsError) as raised:
        xlsr_ref.load(source)
    message = str(raised.value)
    assert "\n" not in message
    assert "Traceback" not in message
    return message


def test_what_cannot_be_read_is_one_line(tmp_path):
    attack = b"\x80\x02cposix\nsystem\nX\x0c\0\0\0touch marker\x85R."
    (tmp_path / "x.pt").write_bytes(attack)
    assert "posix.system" in refusal(tmp_path / "x.pt")
    assert "posix.system" in refusal(tmp_path)
    shutil.copy(GOLDEN / "xlsr" / "config.json", tmp_path)
    (tmp_path / "x.pt").rename(tmp_path / "pytorch_model.bin")
    assert "posix.system" in refusal(tmp_path)
    assert not Path("marker").exists()
    assert "first bytes are" in refusal(__file__)


def test_what_is_not_said_is_asked_for(tmp_path):
    shutil.copy(FOREIGN / "torch" / "pytorch_model.bin", tmp_path)
    message = refusal(tmp_path)
    assert "--set num_attention_heads" in message
    assert "xlsr-ref weights convert" in message


def test_the_temporary_folder_is_not_mentioned_and_goes(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / "m"
    shutil.copytree(FOREIGN / "fairseq_ctc", folder)
    xlsr_ref.load(folder)
    assert os.listdir(tmp_path) == ["m"]
    monkeypatch.setattr("xlsr_ref.model.load.read_tokenizer", _complain)
    assert refusal(folder) == f"{folder} is wrong"
    assert os.listdir(tmp_path) == ["m"]


def _complain(folder, *_):
    raise WeightsError(f"{folder} is wrong")


def test_nothing_is_imported_for_a_safetensors_folder():
    script = (
        f"import sys, xlsr_ref; xlsr_ref.load({str(GOLDEN / 'xlsr')!r})\n"
        "sys.exit(', '.join(name for name in sys.modules if name.startswith('weights_tools') or name == 'torch'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.strip() == ""
    script = script.replace(str(GOLDEN / "xlsr"), str(FOREIGN / "fairseq_ctc")).replace("weights_tools", "omegaconf")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr.strip() == ""
