"""One network, many languages: adapter, head and vocabulary change together, or nothing does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.checkpoint.compare import assert_same
from xlsr_ref.checkpoint.languages import adapter_files, languages
from xlsr_ref.checkpoint.safetensors_file import read_arrays, write_arrays
from xlsr_ref.cli import main
from xlsr_ref.errors import VocabularyError, WeightsError
from xlsr_ref.model.language import read_language
from xlsr_ref.ops.tree import flatten
from xlsr_ref.wav2vec2.config import Config

GOLDEN = Path(__file__).parents[1] / "golden" / "heads" / "languages"
OTHER = GOLDEN.parent / "convolutions"
RATE = 16000


@pytest.fixture
def golden():
    with np.load(GOLDEN / "stages.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(GOLDEN, tmp_path / "mms"))


def refusal(folder, language) -> str:
    with pytest.raises(WeightsError) as refused:
        xlsr_ref.load(folder, language=language)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("language", ["eng", "fra"])
def test_a_language_says_what_transformers_says(golden, language):
    model = xlsr_ref.load(GOLDEN, "float64", language=language)
    assert_same({"": model.logits(golden["waveform"], RATE)}, {"": golden[f"output {language}"]}, 1e-12, language)
    assert model.transcribe(golden["waveform"], RATE).text == str(golden[f"text {language}"])
    assert model.config.vocab_size == len(model.params["lm_head"]["bias"]) == {"eng": 8, "fra": 10}[language]
    assert model.report.language == language
    assert model.report.files == ("model.safetensors", f"adapter.{language}.safetensors")
    last = str(model.report).splitlines()[-1]
    assert last == f"language {language}: its adapters, lm_head and vocabulary, from adapter.{language}.safetensors"


def test_everything_of_the_language_and_nothing_else_is_replaced():
    own, french = (flatten(xlsr_ref.load(GOLDEN, language=language).params) for language in ("eng", "fra"))
    adapter = read_arrays(GOLDEN / "adapter.fra.safetensors")
    for name, array in french.items():
        assert (name in adapter) == (".adapter_layer." in name or name.startswith("lm_head."))
        if name in adapter:
            np.testing.assert_array_equal(array, adapter[name])
            assert own[name].shape != array.shape or (own[name] != array).any()
        else:
            np.testing.assert_array_equal(array, own[name])


def test_without_a_language_a_model_is_what_its_folder_holds(golden, folder):
    """Adapters and head of model.safetensors, and the vocabulary that tokenizer_config.json names."""
    model = xlsr_ref.load(folder, "float64")
    assert_same({"": model.logits(golden["waveform"], RATE)}, {"": golden["output"]}, 1e-12)
    assert model.report.language is None
    assert "language" not in str(model.report)
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(VocabularyError, match=r"vocab\.json holds one vocabulary per language: choose"):
        xlsr_ref.load(folder)


def test_languages_of_a_folder(folder):
    assert languages(folder) == ["eng", "fra"]
    shutil.copy(folder / "adapter.fra.safetensors", folder / "adapter.azj-script_latin.bin")
    (folder / "adapter.deu.txt").touch()
    assert languages(folder) == ["azj-script_latin", "eng", "fra"]
    (folder / "vocab.json").unlink()
    assert languages(folder) == ["azj-script_latin", "eng", "fra"]


def test_an_unknown_language_lists_the_nearest(folder):
    assert refusal(folder, "fre").endswith(
        "has no adapter.fre.safetensors; of its 2 languages the nearest to 'fre' are fra, eng"
    )
    nested = json.loads((folder / "vocab.json").read_text("utf-8"))
    (folder / "vocab.json").write_text(json.dumps(nested | {f"x{i:02}": nested["eng"] for i in range(40)}))
    message = refusal(folder, "ewg")
    assert "of its 42 languages the nearest to 'ewg' are eng, " in message
    assert message.count(",") == 4  # five of them


def test_a_language_with_an_adapter_and_without_a_vocabulary(folder):
    nested = json.loads((folder / "vocab.json").read_text("utf-8"))
    (folder / "vocab.json").write_text(json.dumps({"eng": nested["eng"]}))
    assert "has no vocabulary 'fra' in vocab.json; of its 2 languages" in refusal(folder, "fra")


def test_an_adapter_without_its_file(folder):
    (folder / "adapter.fra.safetensors").unlink()
    assert "has no adapter.fra.safetensors; of its 2 languages the nearest to 'fra' are fra, eng" in refusal(
        folder, "fra"
    )


@pytest.mark.parametrize("language", ["../fra", "a/b", "", "fra.safetensors", "f\0", "-x", "f" * 65, 3])
def test_what_is_no_code(folder, language):
    assert "is no code of a language; one looks like 'fra'" in refusal(folder, language)
    with pytest.raises(WeightsError):
        adapter_files(language)


@pytest.mark.parametrize("change", ["lacks", "strange", "rows", "shape", "flat", "damaged", "empty"])
def test_a_wrong_adapter_is_refused(folder, change):
    path = folder / "adapter.fra.safetensors"
    flat = {name: np.array(array) for name, array in read_arrays(path).items()}
    layer = "wav2vec2.encoder.layers.1.adapter_layer."
    said = {
        "lacks": f"{path} lacks {layer}norm.bias: it is not the adapter of this model",
        "strange": f"{path} has the unknown wav2vec2.encoder.layers.2.adapter_layer.norm.bias: it is not",
        "rows": "other shapes than the config implies: lm_head.weight (9, 18) instead of (10, 18)",
        "shape": f"other shapes than the config implies: {layer}norm.bias (17,) instead of (18,)",
        "flat": "other shapes than the config implies: lm_head.weight (10, 18) instead of (1, 18)",
        "damaged": "is cut short or damaged",
        "empty": f"{path} lacks lm_head.bias, lm_head.weight, wav2vec2.encoder.layers.0.adapter_layer.linear_1.bias",
    }[change]
    if change == "lacks":
        del flat[f"{layer}norm.bias"]
    if change == "strange":
        flat["wav2vec2.encoder.layers.2.adapter_layer.norm.bias"] = flat[f"{layer}norm.bias"]
    if change == "rows":
        flat["lm_head.weight"] = flat["lm_head.weight"][:9]
    if change == "shape":
        flat[f"{layer}norm.bias"] = flat[f"{layer}norm.bias"][:17]
    if change == "flat":
        flat["lm_head.bias"] = flat["lm_head.bias"][None]
    write_arrays(path, {} if change == "empty" else flat)
    if change == "damaged":
        path.write_bytes(path.read_bytes()[:-1])
    assert said in refusal(folder, "fra")


def test_an_adapter_under_names_without_a_prefix_cannot_replace_nothing(folder):
    """The folder's own names have no prefix: the file's would all be surplus, and another language's stay in place."""
    path = folder / "model.safetensors"
    bare = {name.removeprefix("wav2vec2."): np.array(array) for name, array in read_arrays(path).items()}
    write_arrays(path, bare)
    assert "nothing in this model is called wav2vec2.encoder.layers.0.adapter_layer." in refusal(folder, "fra")


def test_a_model_with_one_language(tmp_path):
    assert "is a model without adapters, so it has one language: give none" in refusal(OTHER, "fra")
    recording = GOLDEN.parent / "recording"
    config = Config(architectures=("Wav2Vec2ForXVector",), do_stable_layer_norm=True, adapter_attn_dim=5)
    with pytest.raises(WeightsError, match="a Wav2Vec2ForXVector; only a Wav2Vec2ForCTC can change its language"):
        read_language(recording, config, "fra")


def test_on_the_command_line(tmp_path, golden, capsys):
    import soundfile

    soundfile.write(tmp_path / "a.wav", golden["waveform"], RATE, subtype="FLOAT")
    line = ["transcribe", str(tmp_path / "a.wav"), "--model", str(GOLDEN), "--dtype", "float64", "--language"]
    assert main([*line, "fra"]) == 0
    assert capsys.readouterr().out == f"{golden['text fra']}\n"
    assert main([*line, "fre"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "the nearest to 'fre' are fra, eng" in err
