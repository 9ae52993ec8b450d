"""Can the model's labels spell these words? Words in another case or script can never be transcribed.

    labels  a b c … z ' |      words  "casa" yes    "CASA" no: there is no "C"    "日本" no

A word can be spelled if it is a row of labels, blanks and spaces left out. Where (almost) no word of a language model
can, it is refused: it would only ever say "unknown word". Where many cannot, a warning says how many can.
"""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from xlsr_ref.errors import DecodingError, LanguageModelError
from xlsr_ref.text.search.labels import Labels

LOOKED_AT = 20_000  # words of a language model: enough to know the share
ALMOST_NONE = 0.01  # of the words: a model with so few is refused
MANY = 0.9  # of the words: a model with fewer is used, with a warning
NAMED = 5  # words or characters in a message

FORMS: tuple[tuple[str, Callable[[str], str]], ...] = (  # of writing a word, to advise
    ("in lower case", str.lower),
    ("in upper case", str.upper),
    ("in Unicode's composed form, NFC", lambda word: unicodedata.normalize("NFC", word)),
    ("in Unicode's decomposed form, NFD", lambda word: unicodedata.normalize("NFD", word)),
)


class Fit(NamedTuple):
    """How many of some words the labels can spell, and the first that they cannot."""

    words: int
    spelled: int
    unspelled: tuple[str, ...]

    @property
    def share(self) -> float:
        """Which part of the words can be spelled; 1 for no words."""
        return self.spelled / self.words if self.words else 1.0


class Speller:
    """Knows which words a row of labels can spell."""

    def __init__(self, labels: Labels) -> None:
        texts = {text for text, space in zip(labels.written, labels.space.tolist()) if text and not space}
        self.characters = frozenset(text for text in texts if len(text) == 1)
        self.longer = tuple(text for text in texts if len(text) > 1)

    def can_spell(self, word: str) -> bool:
        """Is ``word`` a row of labels?"""
        if self.characters.issuperset(word):
            return True
        if not any(text in word for text in self.longer):
            return False
        reached = [True] + [False] * len(word)  # can the first n characters be spelled?
        for n in range(len(word)):
            if reached[n]:
                reached[n + 1] |= word[n] in self.characters
                for text in self.longer:
                    if word.startswith(text, n):
                        reached[n + len(text)] = True
        return reached[-1]

    def fit(self, words: Iterable[str]) -> Fit:
        """How many of ``words`` can be spelled."""
        every = list(words)
        bad = [word for word in every if not self.can_spell(word)]
        return Fit(len(every), len(every) - len(bad), tuple(bad[:NAMED]))

    def advice(self, words: Sequence[str]) -> str:
        """How to write ``words``, none of which can be spelled, so that most of them can."""
        for name, form in FORMS:
            if 2 * sum(self.can_spell(form(word)) for word in words) > len(words):
                return f"write it {name}"
        return f"the model writes {_some(sorted(self.characters), 12)}"


def sample(words: Collection[str]) -> list[str]:
    """At most LOOKED_AT of ``words``, from all over."""
    return list(islice(words, 0, None, -(-len(words) // LOOKED_AT) or 1))


def check_language_model(labels: Labels, words: Collection[str]) -> None:
    """Raise LanguageModelError where the labels can spell (almost) none of a language model's ``words``; warn where
    they cannot spell many."""
    speller = Speller(labels)
    fit = speller.fit(sample(words))
    if fit.share >= MANY:
        return
    message = (
        f"the model's labels can spell {_percent(fit.share)} of the language model's words, and never "
        f"{_some(fit.unspelled)}: {speller.advice(fit.unspelled)}"
    )
    if fit.share < ALMOST_NONE:
        raise LanguageModelError(message)
    warnings.warn(message, stacklevel=2)


def check_symbols(labels: Labels, symbols: Collection[str]) -> None:
    """The same of a language model of characters, whose ``symbols`` are to be labels."""
    known = frozenset(labels.written)
    bad = [symbol for symbol in symbols if symbol not in known]
    share = 1 - len(bad) / len(symbols) if symbols else 1.0
    if share >= MANY:
        return
    message = (
        f"{_percent(share)} of the language model's characters are labels of the model, and never {_some(bad)}: "
        f"{Speller(labels).advice(bad)}"
    )
    if share < ALMOST_NONE:
        raise LanguageModelError(message)
    warnings.warn(message, stacklevel=2)


def check_hotwords(labels: Labels, words: Collection[str]) -> None:
    """Raise DecodingError where the labels can spell none of the hot ``words``; warn where they cannot spell some."""
    speller = Speller(labels)
    fit = speller.fit(words)
    if not fit.unspelled:
        return
    message = (
        f"the model's labels can spell {fit.spelled} of {fit.words} hotwords, and never {_some(fit.unspelled)}: "
        f"{speller.advice(fit.unspelled)}"
    )
    if not fit.spelled:
        raise DecodingError(message)
    warnings.warn(message, stacklevel=2)


def _some(texts: Sequence[str], most: int = NAMED) -> str:
    return ", ".join(map(repr, texts[:most])) + (" …" if len(texts) > most else "")


def _percent(share: float) -> str:
    return f"{100 * share:.{0 if share in (0, 1) else 1}f} %"
