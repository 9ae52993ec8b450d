"""A SentencePiece vocabulary of characters beside the weights: as Omnilingual ASR's folders have one."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import xlsr_ref
from xlsr_ref.errors import VocabularyError
from xlsr_ref.text.read_tokenizer import read_tokenizer

GOLDEN = Path(__file__).parents[1] / "golden" / "xlsr"


def trained(kind: str = "char", size: int = 12) -> bytes:
    sentencepiece = pytest.importorskip("sentencepiece")
    model = io.BytesIO()
    texts = iter(["abba cade", "face bad", "cab deaf", "decade"] * 3)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=texts, model_writer=model, vocab_size=size, model_type=kind, hard_vocab_limit=False,
        bos_id=0, pad_id=1, eos_id=2, unk_id=3, bos_piece="<s>", pad_piece="<pad>", minloglevel=2,
    )  # fmt: skip
    return model.getvalue()


@pytest.fixture
def folder(tmp_path):
    """The golden model with a vocabulary of that kind: its blank is <s>, id 0."""
    place = Path(shutil.copytree(GOLDEN, tmp_path / "model"))
    for name in ("vocab.json", "tokenizer_config.json", "special_tokens_map.json"):
        (place / name).unlink(missing_ok=True)
    (place / "tokenizer.model").write_bytes(trained())
    rows = len(read_tokenizer(place, blank=0).vocabulary)
    flat, rng = load_file(place / "model.safetensors"), np.random.default_rng(0)
    C = flat["lm_head.weight"].shape[1]
    flat |= {
        "lm_head.weight": rng.standard_normal((rows, C)).astype(np.float32),
        "lm_head.bias": np.zeros(rows, np.float32),
    }
    save_file(flat, place / "model.safetensors")
    config = json.loads((place / "config.json").read_text()) | {"vocab_size": rows, "pad_token_id": 0}
    (place / "config.json").write_text(json.dumps(config))
    return place


def refused(call) -> str:
    with pytest.raises(VocabularyError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_ids_are_those_of_the_file_and_back(folder):
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    tokenizer = read_tokenizer(folder, blank=0)
    assert (tokenizer.pad_token, tokenizer.pad_id) == ("<s>", 0)
    assert tokenizer.encode("bad cafe") == [pieces.piece_to_id(piece) for piece in "bad▁cafe"]
    ids = [pieces.piece_to_id(piece) for piece in "ba"] + [0, pieces.piece_to_id("a"), pieces.piece_to_id("▁"), 0]
    assert tokenizer.decode([*ids, pieces.piece_to_id("c")]) == "baa c"


def test_a_model_writes_with_it_and_is_saved_without_it(folder, tmp_path):
    model, sound = xlsr_ref.load(folder), np.random.default_rng(1).standard_normal(9000).astype(np.float32)
    text = model.transcribe(sound, 16000).text
    best = model.logits(sound, 16000).argmax(axis=1)
    assert text == model.tokenizer.decode(best)
    model.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "tokenizer.model").exists()
    assert xlsr_ref.load(tmp_path / "saved").transcribe(sound, 16000).text == text


def test_what_cannot_be_used_is_refused(folder, monkeypatch):
    assert "no piece for the blank of CTC, pad_token_id=999" in refused(lambda: read_tokenizer(folder, blank=999))
    (folder / "tokenizer.model").write_bytes(trained("bpe", 20))
    assert "has pieces of several characters" in refused(lambda: read_tokenizer(folder, blank=0))
    (folder / "tokenizer.model").write_bytes(b"\x00garbage")
    assert "is no SentencePiece vocabulary" in refused(lambda: read_tokenizer(folder, blank=0))
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    assert "pip install sentencepiece" in refused(lambda: read_tokenizer(folder, blank=0))
