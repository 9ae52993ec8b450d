"""From the state of a beam search to its texts, the n best, each with its scores and the times of its labels.

    acoustic = ln Σ p over the prefixes in the beam that spell the text        (a space at the end counts for nothing,
    score    = acoustic + language                                              other labels may spell the same)

``language`` is what fusion.py adds to the text; at the end of a recording the last word is finished, and the sentence.
Label times are those of the likeliest single path. Letters: N prefixes, M marks.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.errors import DecodingError
from xlsr_ref.text.search.prefix_tree import chain
from xlsr_ref.text.search.state import Search, State, text_of
from xlsr_ref.text.search.terms import close_word


class Mark(NamedTuple):
    """A label, the frames ``first`` to ``stop`` - 1 in which the path stands on it, and its mean probability there."""

    label: int
    first: int
    stop: int
    score: float


class Hypothesis(NamedTuple):
    """A text that the search found. ``score`` is ``acoustic`` + ``language``, all natural logarithms."""

    text: str
    score: float
    acoustic: float  # ln of the probability that the frames spell the text, as far as its paths were kept
    language: float  # what fusion.py adds
    marks: tuple[Mark, ...]  # one for each label written, in order


def hypotheses(how: Search, state: State, n: int = 1, final: bool = True) -> list[Hypothesis]:
    """The ``n`` best texts of a state, best first. ``final=False``: more frames may follow, the last word may go on.

    Before the first frame the text is "", as greedy decoding has it. Raises DecodingError for an ``n`` below 1.
    """
    if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
        raise DecodingError(f"the number of texts is {n!r}: give a whole number of at least 1")
    scored = _scored(how, state, final)
    if not any(score > -math.inf for score, _ in scored):  # a closed vocabulary, and no prefix ends with a word
        scored = _scored(how, state, final, drop_last=True)
    return [_hypothesis(how, state, score, one) for score, one in sorted(scored, key=lambda pair: -pair[0])[:n]]


class _Candidate(NamedTuple):
    """A text: ln of the sum of its paths, and its best prefix in the beam."""

    acoustic: float
    top: float  # the best sum of that prefix with what the fusion added during the search
    slot: int
    prefix: int  # without the space at its end
    least: float  # the worst sum of all its prefixes, with the same
    spaced: bool  # that one ends in a space


def _scored(how: Search, state: State, final: bool, drop_last: bool = False) -> list[tuple[float, _Candidate]]:
    """Every text in the beam with its score. What spells the same (a space at the end, other labels) is added up."""
    prefixes, outside = state.prefixes, list(state.outside)
    length, parent = prefixes.length.tolist(), prefixes.parent.tolist()
    beams = state.beams
    language = (prefixes.words + prefixes.guess)[beams.prefix]
    tops = np.maximum(beams.blank, beams.label) + language
    least = np.where(np.isinf(beams.label), beams.blank, np.minimum(beams.label, beams.blank))
    least = np.where(np.isinf(beams.blank), beams.label, least) + language
    by_text: dict[Any, _Candidate] = {}
    for slot, x in enumerate(beams.prefix.tolist()):
        spaced = length[x] == 0
        while drop_last and length[x] > 0:
            x = parent[x]
        if final and length[x] == 0 and x > 0:
            x = parent[x]
        text = x if how.labels.unambiguous else text_of(how.labels, prefixes, x)
        new = _Candidate(float(beams.total[slot]), float(tops[slot]), slot, x, float(least[slot]), spaced)
        same = by_text.get(text)
        if same is not None:
            both = float(np.logaddexp(same.acoustic, new.acoustic))
            last = min(same, new, key=lambda one: one.least)
            best = max(same, new, key=lambda one: one.top)
            new = best._replace(acoustic=both, least=last.least, spaced=last.spaced)
        by_text[text] = new
    return [(one.acoustic + _language(how, state, one, outside, final), one) for one in by_text.values()]


def _language(how: Search, state: State, candidate: _Candidate, outside: list, final: bool) -> float:
    """What the fusion adds to a text."""
    fusion, terms, prefix = how.fusion, how.fusion.terms, state.prefixes[candidate.prefix]
    if terms.plain:
        return 0.0
    if not final:
        return float(prefix.words + prefix.guess)
    gain, number = 0.0, int(prefix.state)
    after = outside[number] if terms.outside else number
    if prefix.length > 0 and terms.outside:
        gain, after = fusion.word(after, text_of(how.labels, state.prefixes, candidate.prefix).rpartition(" ")[2])
    elif prefix.length > 0:
        gain, after = close_word(terms, prefix.node, number)
    if fusion.empty_word and candidate.spaced:
        more, after = fusion.word(after, "")
        gain += more
    return float(prefix.words) + float(gain) + fusion.ending(after)


def _hypothesis(how: Search, state: State, score: float, candidate: _Candidate) -> Hypothesis:
    marks, beam, prefix = state.marks, state.beams[candidate.slot], candidate.prefix
    labels = state.prefixes.label[chain(prefix, state.prefixes.parent)[1:]].tolist()
    path = chain(beam.mark_blank if beam.best_blank >= beam.best_label else beam.mark_label, marks.before)
    first, stop = marks.first[path], marks.last[path] + 1
    means = marks.total[path] / (stop - first)
    spans = map(Mark, labels, first.tolist(), stop.tolist(), means.tolist())
    text = text_of(how.labels, state.prefixes, prefix)
    return Hypothesis(text, score, candidate.acoustic, score - candidate.acoustic, tuple(spans))
