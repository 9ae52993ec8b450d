"""A model that is saved is the model that was loaded: by this package, and by transformers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref.errors import XlsrError
from xlsr_ref.model import save as saving

GOLDEN = Path(__file__).parents[1] / "golden"
DATA = Path(xlsr_ref.__file__).parent / "data"
CLIP = DATA / "clips" / "es" / "vm-savefolder.flac"
FOLDERS = [
    DATA / "small-ctc",
    DATA / "small-pretrained",
    *(GOLDEN / "heads" / n for n in ("recording", "frames", "voices")),
]
FOLDERS += [GOLDEN / "heads" / "convolutions", GOLDEN / "heads" / "languages"]


FIELDS = (
    "vocabulary", "added", "special", "extra_special", "word_delimiter", "replace_word_delimiter_char", "do_lower_case",
    "clean_up_tokenization_spaces", "split_special_tokens", "phonemes",
)  # fmt: skip


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_is_saved_is_what_was_loaded(tmp_path, folder, rng):
    first = xlsr_ref.load(folder)
    first.save(tmp_path / "new" / "model")
    again = xlsr_ref.load(tmp_path / "new" / "model")
    x = rng.standard_normal(16000).astype(np.float32)
    np.testing.assert_array_equal(again.forward(x, 16000, keep=False)[0], first.forward(x, 16000, keep=False)[0])
    assert again.preprocessor == first.preprocessor
    assert again.config == first.config.__class__.from_dict(
        json.loads((tmp_path / "new/model/config.json").read_text())
    )
    assert again.config.labels == first.config.labels
    assert (again.config.pad_token_id, again.report.kind) == (first.config.pad_token_id, first.report.kind)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model"]


def test_a_vocabulary_is_saved_with_its_meaning(tmp_path):
    first = xlsr_ref.load()
    first.save(tmp_path / "model")
    again = xlsr_ref.load(tmp_path / "model")
    assert again.tokenizer.vocabulary == first.tokenizer.vocabulary
    assert again.tokenizer.files.special == first.tokenizer.files.special
    assert again.transcribe(CLIP) == first.transcribe(CLIP)
    assert again.tokenizer.encode("¿qué? <s> xé") == first.tokenizer.encode("¿qué? <s> xé")


def test_special_and_added_tokens_and_phonemes_are_saved(tmp_path):
    folder = Path(shutil.copytree(DATA / "small-ctc", tmp_path / "odd"))
    options = {
        "pad_token": "[PAD]", "unk_token": "[UNK]", "bos_token": "<s>", "eos_token": None, "do_lower_case": True,
        "word_delimiter_token": "|", "replace_word_delimiter_char": "_", "extra_special_tokens": ["<x>"],
        "added_tokens_decoder": {"78": {"content": "<s>", "lstrip": True}, "79": {"content": "<x>", "rstrip": True}},
    }  # fmt: skip
    phonemes = {"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer", "phonemizer_lang": "es", "phone_delimiter_token": "."}
    for number, more in enumerate(({}, phonemes)):
        (folder / "tokenizer_config.json").write_text(json.dumps(options | more))
        first = xlsr_ref.load(folder)
        first.save(tmp_path / f"saved-{number}")
        files = xlsr_ref.load(tmp_path / f"saved-{number}").tokenizer.files
        for field in FIELDS:
            assert getattr(files, field) == getattr(first.tokenizer.files, field), field


def test_nothing_is_replaced(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    model = xlsr_ref.load()
    with pytest.raises(XlsrError, match="full is not empty: give a new folder"):
        model.save(tmp_path / "full")
    with pytest.raises(XlsrError, match="file is a file: give a new folder"):
        model.save(tmp_path / "file")
    model.save(tmp_path / "empty")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_it_is_whole_or_not_there(tmp_path, monkeypatch, error):
    def broken(model):
        raise error

    monkeypatch.setattr(saving, "_files", broken)
    with pytest.raises(XlsrError if isinstance(error, OSError) else KeyboardInterrupt):
        xlsr_ref.load().save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
