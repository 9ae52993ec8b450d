"""The tokenizer of a model folder: one of characters, or one of phonemes where the folder's files ask for that."""

from __future__ import annotations

from pathlib import Path

from xlsr_ref.text.phonemes import PhonemeTokenizer
from xlsr_ref.text.tokenizer import Tokenizer
from xlsr_ref.text.vocabulary import read_vocabulary


def read_tokenizer(folder: str | Path, target_lang: str | None = None) -> Tokenizer:
    """The tokenizer of the files in ``folder``; ``target_lang`` picks a language of a nested vocabulary.

    Raises VocabularyError when the files are missing or broken.
    """
    files = read_vocabulary(folder, target_lang)
    return Tokenizer(files) if files.phonemes is None else PhonemeTokenizer(files)
