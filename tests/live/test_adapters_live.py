"""The adapters of a language that a run learnt, as transformers loads them: the same logits and the same text."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_run import make_corpus, recipe

import xlsr_ref
from xlsr_ref.training.loop import train
from xlsr_ref.training.prepare import prepare_run

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def test_transformers_loads_the_adapter_of_the_language(tmp_path):
    make_corpus(tmp_path / "corpus")
    text = recipe(3, 3, model='language = "abc"', stages='learn = "adapters"').replace("[stages]", "[[stages]]")
    (tmp_path / "a.toml").write_text(text.replace("[model.config]\n", "[model.config]\nadapter_attn_dim = 4\n", 1))
    run = prepare_run("finetune", tmp_path / "a.toml", tmp_path / "run", tmp_path / "corpus", False, print)
    folder = train(run, print)
    ours = xlsr_ref.load(folder, language="abc")
    theirs = transformers.Wav2Vec2ForCTC.from_pretrained(folder, target_lang="abc")
    processor = transformers.Wav2Vec2Processor.from_pretrained(folder, target_lang="abc")
    x = np.random.default_rng(0).standard_normal(16000).astype("float32")
    with torch.no_grad():
        logits = theirs.eval()(**processor(x, sampling_rate=16000, return_tensors="pt")).logits[0].numpy()
    expected = ours.logits(x, 16000)
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()  # two float32 programs
    assert processor.batch_decode(logits[None].argmax(axis=-1))[0] == ours.transcribe(x, 16000).text
