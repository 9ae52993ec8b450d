"""Adapters-only fine-tuning: a new language is an adapter, a head and a vocabulary; everything else stays as it is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_run import make_corpus, recipe

import xlsr_ref
from xlsr_ref.checkpoint.safetensors_file import read_arrays
from xlsr_ref.errors import TrainingError, WeightsError
from xlsr_ref.training.loop import train
from xlsr_ref.training.prepare import prepare_run


def begin(folder, name="run", **changes):
    make_corpus(folder / "corpus")
    text = recipe(4, 2, **changes)
    if "stages" in changes:
        text = text.replace("[stages]", "[[stages]]")
    (folder / f"{name}.toml").write_text(text)
    said = []
    return prepare_run("finetune", folder / f"{name}.toml", folder / name, folder / "corpus", False, said.append), said


def test_a_new_language_beside_a_frozen_network(tmp_path):
    first, said = begin(tmp_path, "first", **{"model.config": "adapter_attn_dim = 4"})
    base = train(first, said.append)
    run, said = begin(tmp_path, model='start = "first/model"\nlanguage = "abc"', stages='learn = "adapters"')
    model = train(run, said.append)
    before, after = read_arrays(base / "model.safetensors"), read_arrays(model / "model.safetensors")
    changed = {name for name in after if not np.array_equal(before[name], after[name])}
    own = {name for name in after if ".adapter_layer." in name or name.startswith("lm_head.")}
    assert changed == own
    adapter = read_arrays(model / "adapter.abc.safetensors")
    assert set(adapter) == own
    assert all(np.array_equal(adapter[name], after[name]) for name in own)
    assert list(json.loads((model / "vocab.json").read_text())) == ["abc"]
    assert json.loads((model / "tokenizer_config.json").read_text())["target_lang"] == "abc"
    x = np.random.default_rng(0).standard_normal(8000)
    plain, of_language = xlsr_ref.load(model), xlsr_ref.load(model, language="abc")
    assert np.array_equal(plain.logits(x, 16000), of_language.logits(x, 16000))
    assert plain.transcribe(x, 16000).text == of_language.transcribe(x, 16000).text


@pytest.mark.parametrize(
    ("model", "error", "says"),
    [
        ('language = "abc"', TrainingError, "the model has no attention adapters: start from one such as MMS"),
        ('language = "a.b"\n[model.config]\nadapter_attn_dim = 4', WeightsError, "is no code of a language"),
    ],
)
def test_what_cannot_be_a_language(tmp_path, model, error, says):
    text = recipe(4, 2)
    if "adapter_attn_dim" in model:
        text = text.replace("[model.config]\n", "[model.config]\nadapter_attn_dim = 4\n", 1)
        model = model.split("\n")[0]
    (tmp_path / "a.toml").write_text(f"[model]\n{model}\n{text}")
    make_corpus(tmp_path / "corpus")
    with pytest.raises(error, match=says):
        prepare_run("finetune", tmp_path / "a.toml", tmp_path / "run", tmp_path / "corpus", False, print)
