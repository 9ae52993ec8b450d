"""Error rates: how far what was read is from what was said, in words, characters or phonemes.

    d[i, j] = min( d[i−1, j−1] + (said_i ≠ read_j),  d[i−1, j] + 1,  d[i, j−1] + 1 )       d[i, 0] = i,  d[0, j] = j
                   hit or substitution               deletion        insertion
    error rate = (substitutions + deletions + insertions) / length of what was said        above 1 where more was read
    MER = the same edits / (edits + hits)      WIP = hits / length said · hits / length read      WIL = 1 − WIP

d is the fewest edits between the first i of one and the first j of the other; going back from the end gives the edits.
Of equally few those with the most hits are taken, so an edit counts n + m + 1 and a substitution one more.
Rates of several recordings add up edits and lengths before they divide, so that long ones count for more. The interval
is a bootstrap: the rate of as many recordings drawn again, with replacement, many times.
Where: Wagner and Fischer 1974; Morris, Maier and Green 2004 for MER, WIL and WIP, the rates of matches and of words'
information lost and preserved; Bisani and Ney 2004 for both bootstraps. d has a byte per pair for the way back.
Letters: n tokens said, m tokens read.
"""

from __future__ import annotations

import functools
import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from xlsr_ref.ops.backend import choose, njit

Kind = Literal["hit", "substitution", "deletion", "insertion"]
SIGNS: dict[Kind, str] = {"hit": " ", "substitution": "S", "deletion": "D", "insertion": "I"}


class Edit(NamedTuple):
    """One step from what was said to what was read."""

    kind: Kind
    said: str | None  # None of an insertion
    read: str | None  # None of a deletion


class Errors(NamedTuple):
    """Counts over one recording or, added up with :meth:`plus`, over several."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def edits(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def length(self) -> int:
        """Of what was said."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float:
        """0 where nothing was said and nothing read, infinite where something was read nevertheless."""
        if self.length == 0:
            return math.inf if self.edits else 0.0
        return self.edits / self.length

    @property
    def mer(self) -> float:
        """The match error rate: which part of all pairs in the alignment is wrong; at most 1."""
        return self.edits / (self.edits + self.hits) if self.edits else 0.0

    @property
    def wip(self) -> float:
        """The word information preserved: the part of what was said that is right, times that of what was read."""
        read = self.hits + self.substitutions + self.insertions
        if not self.length or not read:
            return float(self.length == read)
        return self.hits / self.length * (self.hits / read)

    @property
    def wil(self) -> float:
        """The word information lost."""
        return 1 - self.wip

    def plus(self, other: Errors) -> Errors:
        """The counts of both together."""
        return Errors(*(mine + theirs for mine, theirs in zip(self, other)))


def added(each: Iterable[Errors]) -> Errors:
    """The counts of several recordings together."""
    return functools.reduce(Errors.plus, each, Errors())


def compare(said: Sequence[str], read: Sequence[str]) -> tuple[Edit, ...]:
    """The fewest edits that turn ``said`` (n,) into ``read`` (m,), in their order, hits among them.

    A string is a sequence of its characters. Takes n · m bytes and steps.
    """
    numbers: dict[str, int] = {}
    ours, theirs = (np.array([numbers.setdefault(x, len(numbers)) for x in row], np.int64) for row in (said, read))
    steps = _steps(ours, theirs)  # (n+1, m+1)
    i, j = len(said), len(read)
    edits: list[Edit] = []
    while i or j:
        step = steps[i, j]
        i, j = i - (step != INSERTED), j - (step != DELETED)
        if step == INSERTED:
            edits.append(Edit("insertion", None, read[j]))
        elif step == DELETED:
            edits.append(Edit("deletion", said[i], None))
        else:
            edits.append(Edit("hit" if said[i] == read[j] else "substitution", said[i], read[j]))
    return tuple(reversed(edits))


def count(edits: Iterable[Edit]) -> Errors:
    """How many there are of each kind."""
    kinds = [edit.kind for edit in edits]
    return Errors(*(kinds.count(kind) for kind in SIGNS))


def confusions(each: Iterable[Iterable[Edit]]) -> Counter[tuple[str | None, str | None]]:
    """How often each token was read as which other, (said, read), over several recordings; the most frequent first.

    None stands for nothing: (said, None) was deleted, (None, read) inserted.
    """
    counted = Counter((edit.said, edit.read) for edits in each for edit in edits if edit.kind != "hit")
    return Counter(dict(sorted(counted.items(), key=lambda item: (-item[1], item[0][0] or "", item[0][1] or ""))))


def compare_words(said: str, read: str) -> tuple[Edit, ...]:
    """The edits between the words of two texts; of two texts of phonemes, those between the phonemes.

    Texts are compared as they stand, but for one thing: an é is an é, in one code point or in two (Unicode's NFC).
    """
    return compare(_nfc(said).split(), _nfc(read).split())


def compare_characters(said: str, read: str) -> tuple[Edit, ...]:
    """The edits between the characters of two texts, spaces included; each stretch of white space is one space."""
    return compare(" ".join(_nfc(said).split()), " ".join(_nfc(read).split()))


def word_errors(said: str, read: str) -> Errors:
    """WER is their rate, and PER where the texts are phonemes with spaces between them."""
    return count(compare_words(said, read))


def character_errors(said: str, read: str) -> Errors:
    """CER is their rate."""
    return count(compare_characters(said, read))


def interval(
    each: Sequence[Errors], rng: np.random.Generator, level: float = 0.95, draws: int = 1000
) -> tuple[float, float]:
    """Between which rates ``level`` of all draws fall, where each draws as many recordings again from ``each``.

    It says what other recordings of the same kind might have given: the same speakers, the same rooms. NaN for none.
    """
    if not each:
        return math.nan, math.nan
    counts = np.array([[errors.edits, errors.length] for errors in each])  # (recordings, 2)
    times = rng.multinomial(len(each), np.full(len(each), 1 / len(each)), size=draws)  # (draws, recordings)
    edits, lengths = (times @ counts).T
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.where(edits == 0, 0.0, edits / lengths)
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return float(low), float(high)


class Paired(NamedTuple):
    """How two systems compare on the same recordings: what :func:`paired_bootstrap` finds."""

    difference: float  # the rate of the second minus that of the first: below 0 where the second is better
    low: float  # between which differences the asked share of all draws falls
    high: float
    better: float  # the share of draws in which the second has the lower rate; an equal one counts half


def paired_bootstrap(
    one: Sequence[Errors], other: Sequence[Errors], rng: np.random.Generator, level: float = 0.95, draws: int = 1000
) -> Paired:
    """Compare two systems by their errors on the same recordings, in the same order.

    Each draw takes as many recordings again, the *same* for both systems, and the difference of the two rates: that one
    recording is harder than another cancels. Raises ValueError for no recordings, and where the lengths of what was
    said differ, for then they are not the same recordings.
    """
    lengths = [(mine.length, theirs.length) for mine, theirs in zip(one, other)]
    if not one or len(one) != len(other) or any(mine != theirs for mine, theirs in lengths):
        raise ValueError("a paired bootstrap takes the errors of two systems on the same recordings, in the same order")
    counts = np.array([[mine.edits, theirs.edits, mine.length] for mine, theirs in zip(one, other)])  # (recordings, 3)
    times = rng.multinomial(len(one), np.full(len(one), 1 / len(one)), size=draws)  # (draws, recordings)
    mine, theirs, length = (times @ counts).T
    with np.errstate(divide="ignore", invalid="ignore"):
        differences = np.where(mine == theirs, 0.0, (theirs - mine) / length)
    low, high = np.quantile(differences, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    better = float((differences < 0).mean() + (differences == 0).mean() / 2)
    return Paired(added(other).rate - added(one).rate, float(low), float(high), better)


def written(edits: Sequence[Edit], width: int = 100, wrong: Callable[[str], str] = str) -> str:
    """The edits as a text of three rows: what was said, what was read, and S, D or I where they differ.

    ``width`` is how many characters a row may have; longer ones go on below. ``wrong`` may put a colour around what was
    read where that differs.
    """
    rows: list[list[str]] = [["said:"], ["read:"], ["     "]]
    blocks = [rows]
    for edit in edits:
        said, read = edit.said or "*" * len(edit.read or ""), edit.read or "*" * len(edit.said or "")
        cells = [said, read, SIGNS[edit.kind]]
        wide = max(map(len, cells))
        if len(rows[0]) > 1 and sum(len(cell) + 1 for cell in rows[0]) + wide > width:
            rows = [["said:"], ["read:"], ["     "]]
            blocks.append(rows)
        said, read, sign = (cell.ljust(wide) for cell in cells)
        for row, cell in zip(rows, (said, read if edit.kind == "hit" else wrong(read), sign)):
            row.append(cell)
    return "\n".join("".join(" ".join(row).rstrip() + "\n" for row in block) for block in blocks)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


# --- kernels ---------------------------------------------------------------------------------------------------------

BOTH, DELETED, INSERTED = 0, 1, 2  # where a way came from: (i−1, j−1), (i−1, j), (i, j−1)


def _steps_numpy(said: np.ndarray, read: np.ndarray) -> np.ndarray:
    """The specification: the last step of the best way to every (i, j), (n+1, m+1). A row at a time."""
    edit = len(said) + len(read) + 1  # more than there can be substitutions
    across = np.arange(len(read) + 1) * edit
    steps = np.full((len(said) + 1, len(read) + 1), INSERTED, np.int8)
    d = across  # d[0, j] = j edits
    for i, token in enumerate(said, start=1):
        both = np.append(i * edit, d[:-1] + (token != read) * (edit + 1))  # column 0, with nothing read: i deletions
        deleted = d + edit
        d = np.minimum.accumulate(np.minimum(both, deleted) - across) + across  # insertions: from any column before
        steps[i] = np.where(d == both, BOTH, np.where(d == deleted, DELETED, INSERTED))
        steps[i, 0] = DELETED
    return steps


@njit()
def _steps_loop(said, read, d, steps):
    n, m = len(said), len(read)
    edit = n + m + 1
    for j in range(m + 1):
        d[j] = j * edit
        steps[0, j] = 2
    for i in range(1, n + 1):
        before = d[0]  # d[i−1, j−1]
        d[0] = i * edit
        steps[i, 0] = 1
        for j in range(1, m + 1):
            best, step = before + (edit + 1 if said[i - 1] != read[j - 1] else 0), 0
            before = d[j]
            if before + edit < best:
                best, step = before + edit, 1
            if d[j - 1] + edit < best:
                best, step = d[j - 1] + edit, 2
            d[j] = best
            steps[i, j] = step


def _steps_numba(said: np.ndarray, read: np.ndarray) -> np.ndarray:
    steps = np.empty((len(said) + 1, len(read) + 1), np.int8)
    _steps_loop(said, read, np.empty(len(read) + 1, np.int64), steps)
    return steps


_steps = choose(_steps_numba, _steps_numpy)
