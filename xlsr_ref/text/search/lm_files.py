"""A language model wherever it lies: an ARPA file, a KenLM binary, or a folder as transformers' processors have it.

    folder/alphabet.json                          the labels that it was made for; they must be the tokenizer's
    folder/language_model/attrs.json              alpha, beta, unk_score_offset, score_boundary
    folder/language_model/unigrams.txt            the known words, one per line; empty: whatever the model knows
    folder/language_model/5gram.bin (or .arpa …)  the model

That is what `Wav2Vec2ProcessorWithLM.save_pretrained` and pyctcdecode write; the inner folder alone will do as well.
The name "bundled" stands for the folder that comes with the package, unless there is a file or a folder of that name.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, NamedTuple

from xlsr_ref.errors import LanguageModelError
from xlsr_ref.text.search.fusion import ALPHA, BETA, UNKNOWN_WORD, Model
from xlsr_ref.text.search.kenlm_file import KenLM
from xlsr_ref.text.search.labels import Labels
from xlsr_ref.text.search.lm import read_lm
from xlsr_ref.untrusted import open_regular, opened, read_json, read_text, shown, text_lines

BUNDLED = "bundled"
BUNDLED_FOLDER = Path(__file__).parents[2] / "data" / "small-ctc-lm"
BINARY = b"mmap lm http://kheafield.com/code"  # how KenLM's binary files begin
BLANK, UNKNOWN = re.compile(r"[<\[]pad[>\]]", re.IGNORECASE), re.compile(r"[<\[]unk[>\]]", re.IGNORECASE)


class Opened(NamedTuple):
    """A model and the settings that came with it."""

    lm: Model | None
    words: frozenset[str] | None = None
    alpha: float = ALPHA
    beta: float = BETA
    unknown: float = UNKNOWN_WORD
    boundary: bool = True
    alphabet: tuple[str, ...] | None = None  # "" is the blank, " " the space, "⁇" the unknown token

    def check(self, labels: Labels) -> None:
        """Raise LanguageModelError unless the alphabet, where there is one, is that of ``labels``."""
        if self.alphabet is None:
            return
        ours = ["⁇" if UNKNOWN.fullmatch(text) else text for text in labels.written]
        theirs = ["" if BLANK.fullmatch(text) else " " if text == "|" else text for text in self.alphabet]
        theirs = ["⁇" if UNKNOWN.fullmatch(text) else text for text in theirs]
        if len(theirs) < len(ours):
            raise LanguageModelError(f"alphabet.json has {len(theirs)} labels, but the scores have {len(ours)} columns")
        for column, (one, other) in enumerate(zip(ours, theirs)):
            if one != other and one.lower() != other.lower():
                raise LanguageModelError(
                    f"alphabet.json has {self.alphabet[column]!r} as label {column}, "
                    f"but the vocabulary has {labels.written[column]!r}: "
                    "the language model was made for another model"
                )


def open_lm(path: str | os.PathLike[str]) -> Opened:
    """The language model at ``path``, a file or a folder. Raises LanguageModelError with one line."""
    place = BUNDLED_FOLDER if os.fspath(path) == BUNDLED and not os.path.lexists(path) else Path(path)
    if place.is_dir():
        return _open_folder(place)
    return Opened(_open_file(place))


def read_lines(path: str | os.PathLike[str]) -> Iterator[str]:
    """The lines of a text in UTF-8, `-` being the standard input. Raises LanguageModelError."""
    name = "the standard input" if path == "-" else shown(path)
    try:
        with _input(path) as file:
            for _, line in text_lines(file, name, LanguageModelError):
                yield line
    except OSError as error:
        raise LanguageModelError(f"{name} cannot be read: {error.strerror or error}") from None


def _input(path: str | os.PathLike[str]) -> AbstractContextManager[IO[bytes]]:
    return open(sys.stdin.fileno(), "rb", closefd=False) if path == "-" else opened(path, LanguageModelError)


def _open_file(path: Path) -> Model:
    if path.is_file():  # what a pipe has given once it does not give again
        with open_regular(path, LanguageModelError) as file:
            beginning = file.read(len(BINARY))
        if beginning == BINARY:
            return KenLM(path)
    return read_lm(path)


def _open_folder(folder: Path) -> Opened:
    inner = folder / "language_model" if (folder / "language_model").is_dir() else folder
    if not (inner / "attrs.json").exists():
        raise LanguageModelError(
            f"{shown(folder)} has no language_model folder with attrs.json: name the model's file itself"
        )
    models = [
        path for path in sorted(inner.iterdir())
        if path.name not in ("attrs.json", "unigrams.txt") and not path.name.startswith((".", "__"))
    ]  # fmt: skip
    if len(models) != 1:
        raise LanguageModelError(f"{shown(inner)} has {len(models)} files that may be the model: leave exactly one")
    attrs = read_json(inner / "attrs.json", LanguageModelError)
    numbers = {}
    for name in ("alpha", "beta", "unk_score_offset"):
        value = attrs.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise LanguageModelError(f"attrs.json has {value!r} as {name}: it must be a number")
        numbers[name] = float(value)
    boundary = attrs.get("score_boundary", True)
    if not isinstance(boundary, bool):
        raise LanguageModelError(f"attrs.json has {boundary!r} as score_boundary: it must be true or false")
    words: frozenset[str] = frozenset()
    if os.path.lexists(inner / "unigrams.txt"):
        words = frozenset(read_text(inner / "unigrams.txt", LanguageModelError).split("\n")) - {""}
    alphabet = None
    if (folder / "alphabet.json").exists():
        content = read_json(folder / "alphabet.json", LanguageModelError)
        labels = content.get("labels")
        if not isinstance(labels, list) or not all(isinstance(text, str) for text in labels):
            raise LanguageModelError("alphabet.json has no list of labels: it is damaged")
        if content.get("is_bpe"):
            raise LanguageModelError("alphabet.json says is_bpe: labels of several words' pieces are not implemented")
        alphabet = tuple(labels)
    return Opened(
        _open_file(models[0]), words or None, numbers["alpha"], numbers["beta"], numbers["unk_score_offset"], boundary,
        alphabet,
    )  # fmt: skip
