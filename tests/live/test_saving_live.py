"""A folder that this package saved, as transformers reads it: the same logits, the same text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import xlsr_ref

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

DATA = Path(xlsr_ref.__file__).parent / "data"
CLIP = DATA / "clips" / "es" / "vm-savefolder.flac"


def test_transformers_reads_what_was_saved(tmp_path):
    import soundfile

    ours = xlsr_ref.load()
    ours.save(tmp_path / "model")
    theirs, report = transformers.Wav2Vec2ForCTC.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    processor = transformers.Wav2Vec2Processor.from_pretrained(tmp_path / "model")
    waveform, rate = soundfile.read(CLIP, dtype="float32")
    with torch.no_grad():
        logits = theirs.eval()(**processor(waveform, sampling_rate=rate, return_tensors="pt")).logits[0].numpy()
    expected = ours.logits(waveform, rate)
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()  # two float32 programs, six blocks
    assert processor.batch_decode(logits[None].argmax(axis=-1))[0] == ours.transcribe(CLIP).text
    assert theirs.config.pad_token_id == processor.tokenizer.pad_token_id == ours.tokenizer.pad_id
