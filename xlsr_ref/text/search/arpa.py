r"""ARPA files: an n-gram model as text, as SRILM and KenLM write it. Any order; `.gz` is unpacked while it is read.

    \data\
    ngram 1=4                  how many n-grams of each order follow
    \1-grams:
    -0.6    monkeys  -0.3      log10 p(w | words before), the n-gram, and its back-off weight (log10; none means 0)
    …
    \end\

A file is believed only if it keeps what its head promises: counts, order, `\end\`.
Where: Doug Paul's format of 1991, described in the SRILM manual under ngram-format(5).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from xlsr_ref.errors import LanguageModelError
from xlsr_ref.untrusted import lines as lines_of
from xlsr_ref.untrusted import opened, shown, whole_number

HIGHEST = 20  # no file has a higher order; a head that says so is a mistake


class Grams(NamedTuple):
    """All n-grams of one order n, in the order of the file."""

    words: np.ndarray  # (M, n) int32  indices into the vocabulary
    log10_p: np.ndarray  # (M,) float64
    backoff: np.ndarray  # (M,) float64


class Arpa(NamedTuple):
    """The tables of an ARPA file."""

    vocabulary: tuple[str, ...]  # the 1-grams
    orders: tuple[Grams, ...]  # of order 1, 2, …


def read_arpa(path: str | Path) -> Arpa:
    """Read an ARPA file. Raises LanguageModelError, with the line, for one that is broken or breaks its promises."""
    name = shown(Path(path).name)
    with opened(path, LanguageModelError) as file:
        lines = _Lines(file, name)
        counts = _head(lines)
        ids: dict[bytes, int] = {}
        orders = [_section(lines, n, count, ids) for n, count in enumerate(counts, start=1)]
        if lines.text != rb"\end" + b"\\":
            raise lines.error(
                f"{_shown(lines.text)} stands where \\end\\ should: there are more n-grams than the head says"
            )
    try:
        vocabulary = tuple(word.decode("utf-8") for word in ids)
    except UnicodeDecodeError as error:
        raise LanguageModelError(f"{name}: the word {_shown(error.object)} is not UTF-8: convert the file") from None
    return Arpa(vocabulary, tuple(orders))


def write_arpa(arpa: Arpa, digits: int = 9) -> Iterator[str]:
    """The lines of the file, each with its end; numbers have so many ``digits``, and 9 lose nothing of float32."""
    yield "\\data\\\n"
    for n, grams in enumerate(arpa.orders, start=1):
        yield f"ngram {n}={len(grams.words)}\n"
    for n, grams in enumerate(arpa.orders, start=1):
        yield f"\n\\{n}-grams:\n"
        for words, log10_p, backoff in zip(grams.words.tolist(), grams.log10_p.tolist(), grams.backoff.tolist()):
            weight = f"\t{backoff:.{digits}g}" if n < len(arpa.orders) else ""
            yield f"{log10_p:.{digits}g}\t{' '.join(arpa.vocabulary[word] for word in words)}{weight}\n"
    yield "\n\\end\\\n"


# --- the parts of the file -------------------------------------------------------------------------------------------


class _Lines:
    """The lines that are not empty, one at a time, and the number of the last one."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.file, self.name, self.number, self.text = lines_of(file, name, LanguageModelError), name, 0, b""

    def __iter__(self) -> Iterator[bytes]:
        for number, line in self.file:
            stripped = line.strip()
            if stripped:
                self.number, self.text = number, stripped
                yield stripped
        self.text = b""
        raise LanguageModelError(f"{self.name} ends after line {self.number}, without \\end\\: it is cut off")

    def error(self, what: str) -> LanguageModelError:
        return LanguageModelError(f"{self.name}, line {self.number}: {what}")


def _head(lines: _Lines) -> list[int]:
    if next(iter(lines), b"") != rb"\data" + b"\\":
        raise lines.error(f"{_shown(lines.text)} is not \\data\\: this is no ARPA file")
    counts: list[int] = []
    for line in lines:
        if not line.startswith(b"ngram "):
            break
        order, equals, count = line.removeprefix(b"ngram ").partition(b"=")
        nth, promised = whole_number(order), whole_number(count)
        if not equals or nth is None or promised is None:
            raise lines.error(f"{_shown(line)} should be like 'ngram 1=1000'")
        if nth != len(counts) + 1 or len(counts) == HIGHEST:
            raise lines.error(f"{_shown(line)} stands where the count of the {len(counts) + 1}-grams should")
        counts.append(promised)
    if not counts or counts[0] == 0:
        raise lines.error("the head promises no 1-grams: this is no language model")
    return counts


def _section(lines: _Lines, n: int, promised: int, ids: dict[bytes, int]) -> Grams:
    """The n-grams of one order. ``ids``, word to index, is filled by the 1-grams."""
    if lines.text != b"\\%d-grams:" % n:
        raise lines.error(f"{_shown(lines.text)} stands where \\{n}-grams: should")
    flat: list[int] = []
    log10_p: list[float] = []
    backoff: list[float] = []
    for line in lines:
        if line.startswith(b"\\") and len(log10_p) == promised:
            break
        fields = line.split()
        if len(fields) not in (n + 1, n + 2) or len(log10_p) == promised:
            raise lines.error(_not_a_gram(line, n, promised, len(log10_p)))
        words = fields[1 : n + 1]
        if n == 1 and ids.setdefault(words[0], len(ids)) != len(log10_p):
            raise lines.error(f"the word {_shown(words[0])} is there twice")
        try:
            flat.extend([ids[word] for word in words])
            log10_p.append(float(fields[0]))
            backoff.append(float(fields[n + 1]) if len(fields) == n + 2 else 0.0)
        except KeyError as error:
            raise lines.error(f"the word {_shown(error.args[0])} is not among the 1-grams") from None
        except ValueError:
            raise lines.error(f"{_shown(line)} has something else where a number should be") from None
        if not log10_p[-1] <= 0 or not abs(backoff[-1]) < np.inf:
            raise lines.error(f"{_shown(line)}: log10 p is at most 0, and a back-off weight is finite")
    return Grams(np.array(flat, np.int32).reshape(-1, n), np.array(log10_p), np.array(backoff))


def _not_a_gram(line: bytes, n: int, promised: int, count: int) -> str:
    if line.startswith(b"\\") or count == promised:
        more = "more" if count == promised else f"only {count}"
        return f"the head promises {promised} {n}-grams, but there are {more}: the file is damaged"
    return f"{_shown(line)} is no {n}-gram: log10 p, {n} words, and perhaps a back-off weight"


def _shown(text: bytes) -> str:
    shown = text.decode("utf-8", "backslashreplace")
    return repr(shown if len(shown) <= 60 else shown[:60] + "…")
