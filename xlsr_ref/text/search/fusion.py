"""Shallow fusion: what a language model and hotwords add to the acoustic score of a text while the search goes on.

    total(text) = ln p(text | sound) + Σ over words w of  α ln p(w | words before) + β + the weight of w as a hotword
                  + a guess about the unfinished word

α says how much the language model counts; β is paid for every word, since each costs probability. A word that the model
does not know loses α · unknown · ln 10 more. The guess about a word's beginning: `unknown` (more for long ones) if no
known word begins so; a share of the weight if a hotword does. A model of characters is asked for every character
instead, the space among them, and needs no guess. `closed` forbids what is not in the vocabulary.
Where: Gülçehre et al. 2015; β: Hannun et al. 2014. Defaults, guesses and units are those of pyctcdecode 0.5, so that an
α and a β found with it stay right; there `unknown` is called unk_score_offset.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from xlsr_ref.errors import DecodingError, LanguageModelError
from xlsr_ref.text.search.labels import Labels
from xlsr_ref.text.search.lexicon import build_lexicon
from xlsr_ref.text.search.lm import BEGIN, END, GRAM, UNKNOWN, LanguageModel
from xlsr_ref.text.search.spelling import check_hotwords, check_language_model, check_symbols
from xlsr_ref.text.search.terms import CHARACTERS, LETTER, NO_MODEL, TYPICAL, WORDS, Terms

ALPHA, BETA, UNKNOWN_WORD, HOTWORD = 0.5, 1.5, -10.0, 10.0
LN10 = math.log(10)

OWN = (BEGIN, END, UNKNOWN, "<UNK>")  # of the model's words those that no text has
DELIMITERS = ("|", "▁", "<space>", "_")  # how models of characters write the space


class Model(Protocol):
    """What the fusion asks of a language model, as lm.LanguageModel and kenlm_file.KenLM answer it."""

    @property
    def begin(self) -> Any:
        """The state before the first word of a sentence."""

    def score(self, state: Any, word: str) -> tuple[float, Any, bool]:
        """log10 p of ``word`` in ``state``, the state after it, and whether the model knows the word."""

    def end_score(self, state: Any) -> float:
        """log10 p of the sentence's end in ``state``."""


class Fusion(NamedTuple):
    """See the top of this file; made by :func:`fuse`."""

    labels: Labels
    lm: Model | None
    level: int
    alpha: float
    beta: float
    unknown: float
    boundary: bool
    empty_word: bool
    closed: bool
    hotwords: Mapping[str, float]
    listed: frozenset[str] | None  # the known words; None if they cannot be listed
    in_order: tuple[str, ...]  # the known words, sorted
    hot_beginnings: Mapping[str, float]  # of hotwords, and the most weight per character that one beginning so has
    begin: Any  # the model's state before the first word
    terms: Terms

    def score(self, prefix: Sequence[int], final: bool = False) -> float:
        """The specification: what is added to ln p of the labels ``prefix``. ``final``: nothing follows."""
        *words, part = "".join(self.labels.written[label] for label in prefix).split(" ")
        if final:
            words, part = [*words, part] if part else words, ""
        total, state = 0.0, self.begin
        for symbol in self.symbols(prefix) if self.level == CHARACTERS else ():
            gain, state = self.ask(state, symbol)
            total += gain
        for word in words:
            gain, state = self.word(state, word)
            total += gain
        return total + self.guess(part) + (self.ending(state) if final else 0.0)

    def guess(self, part: str) -> float:
        """What the beginning of a word adds."""
        if not part:
            return 0.0
        if part in self.hot_beginnings:
            return self.hot_beginnings[part] * len(part)
        if self.listed is None or self.leads(part):
            return 0.0
        if self.closed:
            return -math.inf
        return self.unknown * max(1.0, len(part) / TYPICAL) if self.level == WORDS else 0.0

    def leads(self, part: str) -> bool:
        """Does a known word begin so?"""
        at = bisect_left(self.in_order, part)
        return at < len(self.in_order) and self.in_order[at].startswith(part)

    def word(self, state: Any, word: str) -> tuple[float, Any]:
        """What a finished word adds in a state of the language model, and the state after it."""
        gain = self.hotwords.get(word, 0.0)
        if self.closed and word not in self.listed and word not in self.hotwords:  # type: ignore[operator]
            return -math.inf, state
        if self.level != WORDS:
            return gain, state
        more, after = self.ask(state, word)
        return more + gain, after

    def ask(self, state: Any, word: str) -> tuple[float, Any]:
        """α ln p of a word (or a character) + β, and the model's state after it."""
        assert self.lm is not None
        log10_p, after, known = self.lm.score(state, word)
        if self.level == WORDS and self.listed is not None:
            known = word in self.listed
        return self.alpha * LN10 * (log10_p + (0 if known else self.unknown)) + self.beta, after

    def symbols(self, prefix: Sequence[int]) -> list[str]:
        """What a model of characters calls the labels."""
        return [self.space_symbol if self.labels.space[label] else self.labels.written[label] for label in prefix]

    @property
    def space_symbol(self) -> str:
        """How the model of characters writes the space."""
        known = getattr(self.lm, "ids", {})
        return next((symbol for symbol in DELIMITERS if symbol in known), DELIMITERS[0])

    def ending(self, state: Any) -> float:
        """What the end of the text adds in ``state``."""
        if self.lm is None or not self.boundary:
            return 0.0
        return self.alpha * LN10 * self.lm.end_score(state)


def fuse(
    labels: Labels,
    lm: Model | None = None,
    *,
    alpha: float = ALPHA,
    beta: float = BETA,
    unknown: float = UNKNOWN_WORD,
    boundary: bool = True,
    hotwords: Mapping[str, float] | Collection[str] = (),
    hotword_weight: float = HOTWORD,
    words: Collection[str] | None = None,
    closed: bool = False,
    empty_word: bool = False,
    level: str | None = None,
) -> Fusion:
    """What the search adds to the acoustic score; the top of this file says what the numbers mean.

    ``lm``: a model of words or of characters, told apart by its vocabulary unless ``level`` says "word" or "character".
    ``boundary``: let it know where the text begins and ends. ``hotwords``: words, each with ``hotword_weight`` or as a
    mapping with its own; one of several words counts word by word. ``words``: the known words, where they are not just
    all of the model's. ``closed``: nothing but known words and hotwords. Raises DecodingError for what cannot be, and
    LanguageModelError for a model whose words the labels cannot spell; warns where they cannot spell many.

    ``empty_word``: pyctcdecode's habit, where a text may end in a space, to count an unknown word of no characters
    after it. Texts lose much by it, for no reason; it is here to compare.
    """
    for name, value in (("alpha", alpha), ("beta", beta), ("unknown", unknown)):
        _require_number(name, value)
    if alpha < 0 or unknown > 0:
        raise DecodingError(
            f"alpha is {alpha!r} and unknown {unknown!r}: the first is at least 0, the second at most 0"
        )
    hot = _hotwords(hotwords, hotword_weight)
    kind = _level(lm, level, labels)
    ids = _own_words(lm)
    listed = _known_words(lm, kind, ids, words)
    if closed and listed is None:
        raise DecodingError("a closed vocabulary needs words: give a model of words in ARPA form, or a list of words")
    _require_spelling(labels, kind, listed, lm, hot)
    fusion = Fusion(
        labels, lm, kind, alpha, beta, unknown, boundary, empty_word, closed, hot, listed, tuple(sorted(listed or ())),
        _hot_beginnings(hot), _begin(lm, boundary), None,  # type: ignore[arg-type]
    )  # fmt: skip
    return fusion._replace(terms=_terms(fusion, ids))


def _own_words(lm: Model | None) -> dict[str, int]:
    """The words of a model in memory that a text may have, and their numbers; {} for any other model."""
    return {word: id for word, id in lm.ids.items() if word not in OWN} if isinstance(lm, LanguageModel) else {}


def _known_words(
    lm: Model | None, kind: int, ids: Mapping[str, int], words: Collection[str] | None
) -> frozenset[str] | None:
    """The words that count as known; None where they cannot be listed. Raises DecodingError where there is none."""
    inside = isinstance(lm, LanguageModel) and kind == WORDS
    if words is None:
        return frozenset(ids) if inside else None
    known = frozenset(word for word in words if not inside or word in ids)
    if not known:
        raise DecodingError("none of the known words is in the language model: they do not belong together")
    return known


def _hot_beginnings(hot: Mapping[str, float]) -> dict[str, float]:
    """The beginnings of hotwords, and the most weight per character that a hotword beginning so has."""
    rates: dict[str, float] = {}
    for word, weight in hot.items():
        for n in range(1, len(word) + 1):
            rates[word[:n]] = max(rates.get(word[:n], -math.inf), weight / len(word))
    return rates


def _terms(fusion: Fusion, ids: Mapping[str, int]) -> Terms:
    """``fusion`` as the search's loop reads it."""
    kind, hot = fusion.level, fusion.hotwords
    inside = fusion.lm if isinstance(fusion.lm, LanguageModel) else None
    written = fusion.labels.written
    letters = np.zeros(len(written) + 1, LETTER).view(np.recarray)
    letters.spelled = np.cumsum([0, *map(len, written)])
    if inside and kind == CHARACTERS:
        for label, name in enumerate(fusion.symbols(range(len(written)))):
            known = name in ids
            symbol, surprise = (ids[name], 0.0) if known else (inside.unknown, fusion.unknown)
            letters.symbol[label], letters.surprise[label] = symbol, surprise
    return Terms(
        level=kind,
        alpha=fusion.alpha * LN10,
        beta=float(fusion.beta),
        unknown=float(fusion.unknown),
        plain=kind == NO_MODEL and not hot and not fusion.closed,
        lists=fusion.listed is not None,
        closed=fusion.closed,
        outside=kind != NO_MODEL and not inside,
        most=max(0.0, fusion.beta) + max(0.0, *hot.values(), 0.0),
        most_inside=max(0.0, *hot.values(), 0.0) + (max(0.0, fusion.beta) if kind == CHARACTERS else 0.0),
        no_word=inside.unknown if inside else 0,
        letters=letters,
        spelling=np.frombuffer("".join(written).encode("utf-32-le", "surrogatepass"), np.int32).copy(),
        lexicon=build_lexicon(ids if kind == WORDS else {}, set(fusion.listed or ()), hot),
        tree=inside.tree if inside else NO_TREE,
    )


def _require_spelling(labels: Labels, kind: int, listed: Collection[str] | None, lm: Any, hot: Collection[str]) -> None:
    """Raise or warn where the labels can never write what the model or the hotwords are about."""
    known = [word for word in getattr(lm, "words", ()) if word not in OWN]
    if kind == CHARACTERS:
        check_symbols(labels, [symbol for symbol in known if symbol not in DELIMITERS])
    else:
        check_language_model(labels, known if listed is None else sorted(listed))
    check_hotwords(labels, hot)


NO_TREE = np.zeros(2, GRAM).view(np.recarray)


def _begin(lm: Model | None, boundary: bool) -> Any:
    if lm is None:
        return 0
    return lm.begin if boundary else getattr(lm, "nothing", 0)


def _level(lm: Model | None, level: str | None, labels: Labels) -> int:
    if lm is None:
        return NO_MODEL
    if level not in (None, "word", "character"):
        raise DecodingError(f"level is {level!r}: it must be word or character")
    if level is None:
        known = set(getattr(lm, "ids", ())) - {*OWN, *DELIMITERS}
        letters = known <= {text for text in labels.written if text != " "} or all(len(text) == 1 for text in known)
        level = "character" if known and letters else "word"
    if level == "character" and not isinstance(lm, LanguageModel):
        raise LanguageModelError(
            "a model of characters must be an ARPA file: KenLM's binary form is read for words only"
        )
    return CHARACTERS if level == "character" else WORDS


def _hotwords(hotwords: Mapping[str, float] | Collection[str], weight: float) -> dict[str, float]:
    if isinstance(hotwords, str):
        raise DecodingError(f"hotwords is the text {hotwords!r}: give a list of words")
    each = hotwords if isinstance(hotwords, Mapping) else dict.fromkeys(hotwords, weight)
    weights: dict[str, float] = {}
    for phrase, own in each.items():
        if not isinstance(phrase, str) or not phrase.split():
            raise DecodingError(f"a hotword is {phrase!r}: give words")
        _require_number(f"the weight of the hotword {phrase!r}", own)
        weights |= dict.fromkeys(phrase.split(), float(own))
    return weights


def _require_number(name: str, value: Any) -> None:
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise DecodingError(f"{name} is {value!r}: give a finite number")
