"""TextGrid files: read back by Praat's rules, and by the praatio reader where it is installed."""

import itertools
import re

import pytest

from xlsr_ref.text.textgrid import textgrid
from xlsr_ref.text.transcript import Span, Transcript

WORDS = (Span("один", 0.02, 0.34, 0.9), Span('say "hi"', 0.34, 0.5, 0.8), Span("\n", 0.6, 0.7, 0.1))
CHARS = (Span("о", 0.02, 0.04, 0.9), Span(" ", 0.1, 0.12, 0.9), Span("н", 1 / 3, 0.34, 0.9), Span('"', 0.4, 0.5, 0.8))
TRANSCRIPT = Transcript("", WORDS, CHARS)


def read(content):
    """Praat's rules: what counts is the order of numbers, quoted texts and <flags>; all other text is a remark."""
    lines = content.splitlines()
    assert lines[:3] == ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    bare = re.sub(r"\[\d*\]", "", "\n".join(lines[3:]))  # numbers in brackets are remarks, too
    found = re.findall(r'"((?:[^"]|"")*)"|<(\w+)>|(?<![\w.])(\d+(?:\.\d+)?)(?![\w.])', bare)
    values = iter([flag or (float(number) if number else text.replace('""', '"')) for text, flag, number in found])
    start, end, exists, size = next(values), next(values), next(values), next(values)
    assert (start, exists) == (0, "exists")
    tiers = {}
    for _ in range(int(size)):
        kind, name, begin, stop, count = (next(values) for _ in range(5))
        assert (kind, begin, stop) == ("IntervalTier", 0, end)
        tiers[name] = [(next(values), next(values), next(values)) for _ in range(int(count))]
    assert next(values, None) is None
    return end, tiers


def holds(end, tiers):
    """Every tier reaches from 0 to the end without gaps, and no interval is empty."""
    for intervals in tiers.values():
        assert intervals[0][0] == 0
        assert intervals[-1][1] == end
        for (_, stop, _), (start, _, _) in itertools.pairwise(intervals):
            assert stop == start
        assert all(start < stop for start, stop, _ in intervals)
    return True


def test_two_tiers_without_gaps():
    end, tiers = read(textgrid(TRANSCRIPT, 1.25))
    assert end == 1.25
    assert holds(end, tiers)
    silence = (0.0, 0.02, "")
    assert tiers["words"] == [
        silence, (0.02, 0.34, "один"), (0.34, 0.5, 'say "hi"'), (0.5, 0.6, ""), (0.6, 0.7, ""), (0.7, 1.25, "")
    ]  # fmt: skip
    assert [text for _, _, text in tiers["characters"]] == ["", "о", "", "н", "", '"', ""]  # no space
    assert tiers["characters"][3][:2] == (0.333333, 0.34)


@pytest.mark.parametrize(
    ("spans", "duration", "texts"),
    [
        ((), 2.0, [""]),
        ((Span("a", 0.0, 2.0, 1.0),), 2.0, ["a"]),
        ((Span("a", 0.0, 1.0000001, 1.0), Span("b", 1.0, 2.0, 1.0)), 2.0, ["a", "b"]),
        ((Span("a", 1.0, 1.0, 1.0),), 2.0, [""]),
        ((Span("a", 1.0, 2.0000004, 1.0),), 2.0000001, ["", "a"]),
        ((Span("a", 1.0, 3.0, 1.0),), 2.0, ["", "a"]),
    ],
)
def test_edges(spans, duration, texts):
    end, tiers = read(textgrid(Transcript("", spans, spans), duration, "phones"))
    assert holds(end, tiers)
    assert [text for _, _, text in tiers["words"]] == [text for _, _, text in tiers["phones"]] == texts


def test_praatio_reads_it(tmp_path):
    praatio = pytest.importorskip("praatio.textgrid")
    path = tmp_path / "a.TextGrid"
    path.write_text(textgrid(TRANSCRIPT, 1.25), encoding="utf-8")
    grid = praatio.openTextgrid(str(path), includeEmptyIntervals=True, reportingMode="error")
    assert grid.tierNames == ("words", "characters")
    assert grid.maxTimestamp == 1.25
    assert grid.validate("error")
    labels = [(entry.start, entry.end, entry.label) for entry in grid.getTier("words").entries if entry.label]
    assert labels == [(0.02, 0.34, "один"), (0.34, 0.5, 'say "hi"')]
