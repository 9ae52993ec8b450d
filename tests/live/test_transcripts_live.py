"""What is asked of `transcribe --model`, whole: from every kind of checkpoint, with no torch, the text of transformers.

The checkpoints are written here by torch, from the bundled model with its rows in fairseq's order, and from the golden
model with two languages. Our side runs in a process of its own in which torch and transformers cannot be imported.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest

import xlsr_ref
from weights_tools.record_foreign import network_settings
from xlsr_ref import audio
from xlsr_ref.audio import bundled_clips
from xlsr_ref.checkpoint.names import canonical, to_scheme

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
load_file, save_file = (getattr(pytest.importorskip("safetensors.torch"), name) for name in ("load_file", "save_file"))

ROOT = Path(__file__).parents[2]
SHIPPED = Path(xlsr_ref.__file__).parent / "data" / "small-ctc"
LANGUAGES = ROOT / "tests" / "golden" / "heads" / "languages"
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
BLOCKED = (
    "import sys; sys.modules.update(torch=None, transformers=None); from xlsr_ref.cli import main; sys.exit(main())"
)
CLIP = next(clip.path for clip in bundled_clips() if clip.path.suffix == ".flac")


def ours(model: str | Path, *options: str, **environment: str) -> str:
    """The line that the command prints, where there is no torch."""
    argv = [sys.executable, "-c", BLOCKED, "transcribe", str(CLIP), "--model", str(model), *options]
    done = subprocess.run(
        argv, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@functools.cache
def theirs(folder: Path, language: str | None = None) -> str:
    """transformers' text of the same samples."""
    tokenizer = transformers.Wav2Vec2CTCTokenizer.from_pretrained(folder)
    model = transformers.Wav2Vec2ForCTC.from_pretrained(folder).eval()
    if language is not None:
        tokenizer.set_target_lang(language)
        model.load_adapter(language)
    normalize = json.loads((folder / "preprocessor_config.json").read_text())["do_normalize"]
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalize)
    values = extractor(audio.read(CLIP, 16000), sampling_rate=16000, return_tensors="pt").input_values
    with torch.no_grad():
        return tokenizer.decode(model(values.float()).logits[0].argmax(-1)).strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The bundled model with the four special tokens of fairseq in front, in float32, as transformers opens it."""
    made = tmp_path_factory.mktemp("small") / "model"
    shutil.copytree(SHIPPED, made, ignore=shutil.ignore_patterns("*.md", "model.safetensors"))
    state = {name: tensor.float() for name, tensor in load_file(SHIPPED / "model.safetensors").items()}
    old, weight, bias = 2, state["lm_head.weight"], state["lm_head.bias"]
    never = torch.full((2,), -1e4)  # <s> and </s>
    state["lm_head.weight"] = torch.cat([weight[:1], torch.zeros(2, weight.shape[1]), weight[1:]])
    state["lm_head.bias"] = torch.cat([bias[:1], never, bias[1:]])
    save_file(state, made / "model.safetensors", metadata={"format": "pt"})
    vocabulary = json.loads((SHIPPED / "vocab.json").read_text("utf-8"))
    tokens = [*SPECIAL, *sorted(vocabulary, key=vocabulary.__getitem__)[old:]]
    (made / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}), "utf-8")
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        (made / name).write_text(json.dumps({"pad_token": "<pad>", "unk_token": "<unk>", "word_delimiter_token": "|",
                                             "tokenizer_class": "Wav2Vec2CTCTokenizer", "bos_token": "<s>",
                                             "eos_token": "</s>"}))  # fmt: skip
    config = json.loads((made / "config.json").read_text()) | {"vocab_size": len(tokens), "pad_token_id": 0}
    (made / "config.json").write_text(json.dumps(config | {"dtype": "float32"}))
    return made


def test_the_rows_in_another_order_say_the_same(folder):
    text = theirs(folder)
    assert len(text) > 10
    assert text == ours(SHIPPED)


def test_an_old_pytorch_model_bin(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "m", ignore=shutil.ignore_patterns("*.safetensors"))
    state = OrderedDict(load_file(folder / "model.safetensors"))
    torch.save(state, tmp_path / "m" / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert ours(tmp_path / "m") == theirs(folder)


def test_fairseq_with_its_dictionary(folder, tmp_path):
    """A file with its settings in a Namespace, in the format of that time, and dict.ltr.txt beside it."""
    state = load_file(folder / "model.safetensors")
    named = canonical(sorted(state))
    names = to_scheme(named.values(), "fairseq", "Wav2Vec2ForCTC")
    saved = OrderedDict()
    for name, tensor in state.items():
        fairseqs = names[named[name]].replace("parametrizations.weight.original0", "weight_g")
        saved[fairseqs.replace("parametrizations.weight.original1", "weight_v")] = tensor
    network = argparse.Namespace(**network_settings(folder), normalize=True)
    settings = argparse.Namespace(arch="wav2vec_ctc", w2v_args=network, normalize=True)
    torch.save({"args": settings, "model": saved}, tmp_path / "checkpoint.pt", _use_new_zipfile_serialization=False)
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    symbols = sorted(vocabulary, key=vocabulary.__getitem__)[len(SPECIAL) :]
    (tmp_path / "dict.ltr.txt").write_text("".join(f"{s} 1\n" for s in symbols), "utf-8")
    assert ours(tmp_path / "checkpoint.pt") == theirs(folder)


@pytest.mark.parametrize("language", ["eng", "fra"])
def test_two_languages(tmp_path, language):
    shutil.copytree(LANGUAGES, tmp_path / "mms")
    (tmp_path / "mms" / "preprocessor_config.json").write_text('{"do_normalize": true, "sampling_rate": 16000}')
    text = theirs(tmp_path / "mms", language)
    assert len(text) > 3
    assert ours(tmp_path / "mms", "--language", language) == text


def test_a_name_on_the_hub(folder, tmp_path, served):
    served.files = {path.name: path.read_bytes() for path in folder.iterdir()}
    state = OrderedDict(load_file(folder / "model.safetensors"))
    torch.save(state, tmp_path / "x.bin")
    served.files["pytorch_model.bin"] = (tmp_path / "x.bin").read_bytes()
    hub = {"HF_HOME": str(tmp_path), "HF_ENDPOINT": served.url, "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "*"}
    text = theirs(folder)
    assert ours("owner/name", HF_HUB_OFFLINE="0", **hub) == text
    del served.files["model.safetensors"]
    assert ours("owner/name", HF_HUB_OFFLINE="0", **hub | {"HF_HOME": str(tmp_path / "cold")}) == text
    assert "pytorch_model.bin" in served.of("GET")
