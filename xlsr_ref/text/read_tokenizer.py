"""The tokenizer of a model folder: one of characters, or one of phonemes where the folder's files ask for that.

A folder without a vocab.json may have a SentencePiece vocabulary instead (sentencepiece_file.py).
"""

from __future__ import annotations

from pathlib import Path

from xlsr_ref.text.phonemes import PhonemeTokenizer
from xlsr_ref.text.sentencepiece_file import FILE, read_sentencepiece
from xlsr_ref.text.tokenizer import Tokenizer
from xlsr_ref.text.vocabulary import read_vocabulary


def has_tokenizer(folder: str | Path) -> bool:
    """Is there a vocabulary in ``folder``?"""
    return any((Path(folder) / name).exists() for name in ("vocab.json", FILE))


def read_tokenizer(folder: str | Path, target_lang: str | None = None, blank: int | None = None) -> Tokenizer:
    """The tokenizer of the files in ``folder``; ``target_lang`` picks a language of a nested vocabulary.

    ``blank`` is the config's pad_token_id, which a SentencePiece vocabulary does not know itself.
    Raises VocabularyError when the files are missing or broken.
    """
    if not (Path(folder) / "vocab.json").exists() and (Path(folder) / FILE).exists():
        return Tokenizer(read_sentencepiece(folder, blank))
    files = read_vocabulary(folder, target_lang)
    return Tokenizer(files) if files.phonemes is None else PhonemeTokenizer(files)
