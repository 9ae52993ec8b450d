"""The preparation of texts to learn from, to measure by or to align: a stated step, whose changes are counted.

    unicode       NFC, NFKC or NFD: whether an é is one character, and whether ﬁ is one letter
    case          lower or upper; the i with and without a dot of Turkish and Azerbaijani keep their dots
    punctuation   dropped; an apostrophe or a hyphen between two letters stays, and typographic ones become ' and -
    numerals      refused: a text with a digit is left out, since nobody knows how it was spoken

Without any of them a text stays as it is. With one, white space is one space between words, and none around the text.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from xlsr_ref.errors import XlsrError

DOTTED = ("tr", "az", "tur", "aze")  # languages in which I is the capital of ı
JOINERS = {"'": "'", "’": "'", "ʼ": "'", "‘": "'", "-": "-", "‐": "-", "‑": "-"}  # in a word, and how they are written
WORDS = {  # of --text, and what each sets
    "nfc": ("unicode", "NFC"),
    "nfkc": ("unicode", "NFKC"),
    "nfd": ("unicode", "NFD"),
    "lower": ("case", "lower"),
    "upper": ("case", "upper"),
    "no-punctuation": ("punctuation", "drop"),
    "no-numerals": ("numerals", "refuse"),
}
MOST_LISTED = 20  # characters


@dataclass(frozen=True)
class Preparation:
    """What is done to texts. The default leaves them as they are."""

    unicode: Literal["keep", "NFC", "NFKC", "NFD"] = "keep"
    case: Literal["keep", "lower", "upper"] = "keep"
    punctuation: Literal["keep", "drop"] = "keep"
    numerals: Literal["keep", "refuse"] = "keep"


class Prepared(NamedTuple):
    """Texts after their preparation, and what it changed."""

    texts: list[str | None]  # None: refused for its numerals
    changed: Counter[str]  # how many texts each step changed, by the step's name; "any" for all steps together
    removed: Counter[str]  # how often each character was dropped

    def report(self) -> list[str]:
        """What was changed, in lines to read; none where nothing was."""
        lines, refused = [], sum(text is None for text in self.texts)
        steps = [f"{n} by {step}" for step, n in self.changed.items() if step != "any"]
        if steps:
            lines.append(f"text: {self.changed['any']} of {len(self.texts)} changed: {', '.join(steps)}")
        if self.removed:
            lines.append(f"text: dropped {characters(self.removed)}")
        if refused:
            lines.append(f"text: {refused} of {len(self.texts)} left out for their numerals")
        return lines


def characters(counted: Counter[str]) -> str:
    """The most frequent characters with their counts: 'e' 120, 'n' 80 and 12 more."""
    named = [f"{c!r} {n}" if c.isprintable() else f"{c!a} {n}" for c, n in counted.most_common(MOST_LISTED)]
    more = f" and {len(counted) - MOST_LISTED} more" if len(counted) > MOST_LISTED else ""
    return ", ".join(named) + more


def preparation_of(words: str) -> Preparation:
    """The preparation that is spelled with words, as in ``nfc,lower,no-punctuation``. Raises XlsrError."""
    found: dict[str, str] = {}
    for word in filter(None, (one.strip().lower() for one in words.split(","))):
        if word not in WORDS:
            raise XlsrError(f"--text has {word[:40]!r}: give some of {', '.join(WORDS)}, with commas between them")
        key, value = WORDS[word]
        if found.setdefault(key, value) != value:
            raise XlsrError(f"--text has two answers for {key}: give {found[key].lower()} or {word}")
    return Preparation(**found)  # type: ignore[arg-type]


def prepare_texts(texts: Iterable[tuple[str, str]], how: Preparation) -> Prepared:
    """The ``texts``, each with the code of its language, prepared."""
    done, changed, removed = [], Counter[str](), Counter[str]()
    for text, lang in texts:
        new, steps = prepare_text(text, how, lang, removed)
        done.append(new)
        changed.update(steps)
        changed["any"] += bool(steps)
    return Prepared(done, changed, removed)


def prepare_text(
    text: str, how: Preparation, lang: str = "", removed: Counter[str] | None = None
) -> tuple[str | None, list[str]]:
    """One text prepared, or None where its numerals are refused; and the names of the steps that changed it.

    ``removed`` counts the characters that were dropped.
    """
    if how == Preparation():
        return text, []
    if how.numerals == "refuse" and any(unicodedata.category(c)[0] == "N" for c in text):
        return None, []
    steps = []
    for name, step in (
        ("Unicode form", lambda t: _form(t, how)),
        ("case", lambda t: _form(_cased(t, how.case, lang), how)),  # the form: a capital may come apart
        ("punctuation", lambda t: _without_punctuation(t, removed) if how.punctuation == "drop" else t),
        ("white space", lambda t: " ".join(t.split())),
    ):
        new = step(text)
        if new != text and not (name == "white space" and "punctuation" in steps):
            steps.append(name)
        text = new
    return text, steps


def _form(text: str, how: Preparation) -> str:
    return text if how.unicode == "keep" else unicodedata.normalize(how.unicode, text)


def _cased(text: str, case: str, lang: str) -> str:
    if case == "keep":
        return text
    if lang.split("-")[0].lower() in DOTTED:
        text = text.replace("I", "ı").replace("İ", "i") if case == "lower" else text.replace("i", "İ")
    return text.lower() if case == "lower" else text.upper()


def _without_punctuation(text: str, removed: Counter[str] | None) -> str:
    kept = []
    for i, c in enumerate(text):
        within = 0 < i < len(text) - 1 and _is_letter(text[i - 1]) and _is_letter(text[i + 1])
        if c in JOINERS and within:
            kept.append(JOINERS[c])
        elif unicodedata.category(c)[0] == "P" or c in JOINERS:
            kept.append(" ")
            if removed is not None:
                removed[c] += 1
        else:
            kept.append(c)
    return "".join(kept)


def _is_letter(c: str) -> bool:
    return unicodedata.category(c)[0] in "LM"
