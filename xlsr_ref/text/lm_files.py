"""A language model wherever it lies: an ARPA file, a KenLM binary, or a folder as transformers' processors have it.

    folder/alphabet.json                          the labels that it was made for; they must be the tokenizer's
    folder/language_model/attrs.json              alpha, beta, unk_score_offset, score_boundary
    folder/language_model/unigrams.txt            the known words, one per line; empty: whatever the model knows
    folder/language_model/5gram.bin (or .arpa …)  the model

That is what `Wav2Vec2ProcessorWithLM.save_pretrained` and pyctcdecode write; the inner folder alone will do as well.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from xlsr_ref.errors import LanguageModelError
from xlsr_ref.text.fusion import ALPHA, BETA, UNKNOWN_WORD, Model
from xlsr_ref.text.kenlm_file import KenLM
from xlsr_ref.text.labels import Labels
from xlsr_ref.text.lm import read_lm

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
        if len(theirs) < len(ours):
            raise LanguageModelError(f"alphabet.json has {len(theirs)} labels, but the scores have {len(ours)} columns")
        for column, (one, other) in enumerate(zip(ours, theirs)):
            if one != other and one.lower() != other.lower():
                raise LanguageModelError(
                    f"alphabet.json has {other!r} as label {column}, but the vocabulary has {one!r}: "
                    "the language model was made for another model"
                )


def open_lm(path: str | os.PathLike[str]) -> Opened:
    """The language model at ``path``, a file or a folder. Raises LanguageModelError with one line."""
    place = Path(path)
    if place.is_dir():
        return _open_folder(place)
    return Opened(_open_file(place))


def read_lines(path: str | os.PathLike[str]) -> Iterator[str]:
    """The lines of a text in UTF-8, `-` being the standard input. Raises LanguageModelError."""
    name = "the standard input" if path == "-" else str(path)
    try:
        with open(sys.stdin.fileno() if path == "-" else path, "rb", closefd=path != "-") as file:
            for number, line in enumerate(file, start=1):
                if b"\0" in line:
                    raise LanguageModelError(f"{name}, line {number}: this is no text: give one sentence per line")
                yield line.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise LanguageModelError(f"{name}, line {number}: this is not UTF-8: convert the text") from None
    except OSError as error:
        raise LanguageModelError(f"{name} cannot be read: {error.strerror or error}") from None


def _open_file(path: Path) -> Model:
    try:
        with open(path, "rb") as file:
            beginning = file.peek(len(BINARY))[: len(BINARY)]  # type: ignore[attr-defined]
    except OSError as error:
        raise LanguageModelError(f"{path} cannot be read: {error.strerror or error}") from None
    if beginning == BINARY:
        return KenLM(path)
    return read_lm(path)


def _open_folder(folder: Path) -> Opened:
    inner = folder / "language_model" if (folder / "language_model").is_dir() else folder
    if not (inner / "attrs.json").exists():
        raise LanguageModelError(f"{folder} has no language_model folder with attrs.json: name the model's file itself")
    models = [
        path for path in sorted(inner.iterdir())
        if path.name not in ("attrs.json", "unigrams.txt") and not path.name.startswith((".", "__"))
    ]  # fmt: skip
    if len(models) != 1:
        raise LanguageModelError(f"{inner} has {len(models)} files that may be the model: leave exactly one")
    attrs = _read_object(inner / "attrs.json")
    numbers = {}
    for name in ("alpha", "beta", "unk_score_offset"):
        value = attrs.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise LanguageModelError(f"attrs.json has {value!r} as {name}: it must be a number")
        numbers[name] = float(value)
    boundary = attrs.get("score_boundary", True)
    if not isinstance(boundary, bool):
        raise LanguageModelError(f"attrs.json has {boundary!r} as score_boundary: it must be true or false")
    words = _read_words(inner / "unigrams.txt") if (inner / "unigrams.txt").exists() else frozenset()
    alphabet = None
    if (folder / "alphabet.json").exists():
        content = _read_object(folder / "alphabet.json")
        found = content.get("labels")
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            raise LanguageModelError("alphabet.json has no list of labels: it is damaged")
        if content.get("is_bpe"):
            raise LanguageModelError("alphabet.json says is_bpe: labels of several words' pieces are not implemented")
        alphabet = tuple(found)
    return Opened(
        _open_file(models[0]), words or None, numbers["alpha"], numbers["beta"], numbers["unk_score_offset"], boundary,
        alphabet,
    )  # fmt: skip


def _read_words(path: Path) -> frozenset[str]:
    try:
        return frozenset(path.read_text(encoding="utf-8").split("\n")) - {""}
    except (OSError, UnicodeDecodeError) as error:
        raise LanguageModelError(f"{path} cannot be read as UTF-8 text: {error}") from None


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LanguageModelError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise LanguageModelError(f"{path} is not JSON text in UTF-8: {error}") from None
    if not isinstance(value, dict):
        raise LanguageModelError(f"{path} must hold a JSON object")
    return value
