"""The beam search of beam.py in plain Python: the specification, which the loop of beam_loop.py must equal.

One frame: each prefix in the beam is extended by the blank or its last label again, which writes nothing, or by
another label; then the best sums are kept. Where: Hannun et al. 2014, algorithm 1. Letters: T frames, V labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from xlsr_ref.text.search.state import Search

Prefix = tuple[int, ...]


class Sum(NamedTuple):
    """Paths that write one prefix and end alike: ln of their sum, and the likeliest of them with its label times."""

    log_p: float = -math.inf
    best: float = -math.inf
    marks: tuple[tuple[int, int, float], ...] = ()  # first and last frame, sum of probabilities


Sums = dict[Prefix, tuple[Sum, Sum]]  # of each prefix the paths that end in the blank, and in its last label


def beam_search_python(log_y: np.ndarray, how: Search) -> Sums:
    """The sums of each prefix in the last beam. ``log_y`` (T, V) as :func:`beam.checked` gives them."""
    added = cache(how.fusion.score)
    beam: Sums = {(): (Sum(0.0, 0.0), Sum())}
    for t, y in enumerate(log_y):
        for lowest in (how.token_min, -math.inf):  # where a closed vocabulary leaves nothing: all labels
            tried = [c for c in range(len(y)) if y[c] >= lowest or c == y.argmax()]
            after = best_sums(extend(blank_or_repeat(beam, y, t, tried, how), beam, y, t, tried, how), how, added)
            if after:
                break
        beam = after
    return beam


def blank_or_repeat(beam: Sums, y: np.ndarray, t: int, tried: list[int], how: Search) -> Sums:
    """Frame ``t`` where nothing new is written: the blank, the last label again, or a space between words."""
    blank, space, after = how.labels.blank, how.labels.space, {}
    for prefix, (in_blank, in_label) in beam.items():
        between = not prefix or space[prefix[-1]]
        to_blank, to_label = Sum(), Sum()
        for c in tried:
            if c == blank:
                to_blank = step(either(in_blank, in_label), y[c])
            elif between and space[c]:
                repeats = bool(prefix) and c == prefix[-1] and in_label.best > in_blank.best
                to_label = either(to_label, step(either(in_blank, in_label), y[c], t if repeats else None))
            elif prefix and c == prefix[-1]:
                to_label = step(in_label, y[c], t)
        after[prefix] = (to_blank, to_label)
    return after


def extend(after: Sums, beam: Sums, y: np.ndarray, t: int, tried: list[int], how: Search) -> Sums:
    """``after`` with what frame ``t`` adds where another label is written."""
    blank, space = how.labels.blank, how.labels.space
    for prefix, sums in beam.items():
        for c in tried:
            if c == blank or ((not prefix or space[prefix[-1]]) and space[c]):
                continue
            source = sums[0] if prefix and c == prefix[-1] else either(*sums)
            reached = Sum(source.log_p + y[c], source.best + y[c], (*source.marks, (t, t, math.exp(y[c]))))
            to_blank, to_label = after.get((*prefix, c), (Sum(), Sum()))
            after[*prefix, c] = to_blank, either(to_label, reached)
    return after


def best_sums(after: Sums, how: Search, added: Callable[[Prefix], float]) -> Sums:
    """The `width` best sums of ``after``, near enough to the best one, by ln sum + what the fusion ``added``."""
    scores = {
        (prefix, end): one.log_p + added(prefix)
        for prefix, sums in after.items()
        for end, one in enumerate(sums)
        if one.log_p + added(prefix) > -math.inf
    }
    bar = max(scores.values(), default=0.0) + how.beam_prune
    near = [one for one, score in scores.items() if score >= bar]
    best = set(sorted(near, key=lambda one: -scores[one])[: how.width])
    kept: Sums = {}
    for prefix, sums in after.items():
        ends = tuple(one if (prefix, end) in best else Sum() for end, one in enumerate(sums))
        if ends != (Sum(), Sum()):
            kept[prefix] = ends[0], ends[1]
    return kept


def either(one: Sum, other: Sum) -> Sum:
    """Both together."""
    best = other if other.best > one.best else one
    return Sum(float(np.logaddexp(one.log_p, other.log_p)), best.best, best.marks)


def step(paths: Sum, log_p: float, repeats_in: int | None = None) -> Sum:
    """The next frame, in which nothing new is written. ``repeats_in``: the last label stands in this frame, too."""
    marks = paths.marks
    if repeats_in is not None and marks:
        first, _, total = marks[-1]
        marks = (*marks[:-1], (first, repeats_in, total + math.exp(log_p)))
    return Sum(paths.log_p + log_p, paths.best + log_p, marks)
