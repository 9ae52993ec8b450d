"""The loop of the beam search: what beam.py says, on arrays, a frame at a time. Read beam.py and prefix_tree.py first.

A prefix in the beam has a slot. One frame:
    blank, repeat   every prefix in the beam gets the blank, and its last label again: it stays as it is
    extend inside   a prefix whose parent is in the beam, too, gets what the parent writes to become it
    candidates      both endings of those, and every other prefix that is one label longer; most are never made
    select          the best `width` candidates that are near enough to the best one
    next beam       those become the beam, and new prefixes are put into the tree
Where: Hannun et al. 2014, algorithm 1. Letters: T frames, V labels, W width, N prefixes, M marks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.backend import njit
from xlsr_ref.text.search.prefix_tree import BLANK, EXTEND, NONE, REPEAT, child_of, next_mark, record, records
from xlsr_ref.text.search.terms import close_word, extended

ENDS_IN_BLANK, ENDS_IN_LABEL = -1, -2  # which of the two sums of a prefix that stays a candidate is

# The beam, one record for each prefix in it. ln of the sum over paths that end in the blank, in the last label, in
# either; ln p of the likeliest of them, and its last mark; by which step the likeliest one came to the last label.
BEAM = record(
    prefix=np.int32, step=np.int32, blank=np.float64, label=np.float64, total=np.float64,
    best_blank=np.float64, best_label=np.float64, mark_blank=np.int32, mark_label=np.int32,
)  # fmt: skip


class Scratch(NamedTuple):
    """What a frame needs in between."""

    slot: np.ndarray  # (N,) int32  of each prefix in the beam; NONE for the others
    extended: np.ndarray  # (W, V) int32  the frame, from 1, in which this extension of a slot was in the beam itself
    tried: np.ndarray  # (V,) int32  the labels that are tried
    is_tried: np.ndarray  # (V,) bool
    waiting: np.ndarray  # (W,) int32  prefixes whose language model only Python can ask
    best: np.ndarray  # (W,) float64
    best_mark: np.ndarray  # (W,) int32
    stay: np.ndarray  # (W,) BEAM  what the prefixes of the beam become where they stay as they are
    next: np.ndarray  # (W,) BEAM
    score: np.ndarray  # (candidates,) float64
    source: np.ndarray  # (candidates,) int32  the slot that it comes from
    wrote: np.ndarray  # (candidates,) int32  the label that it adds; ENDS_IN_BLANK or ENDS_IN_LABEL: none
    order: np.ndarray  # (candidates,) float64


def first_beam() -> np.recarray:
    """(1,) BEAM: nothing is written, by one path of no frames."""
    beam = records(1, BEAM)
    beam[0] = (0, BLANK, 0.0, -np.inf, 0.0, 0.0, -np.inf, NONE, NONE)
    return beam


def scratch_for(width: int, labels: int, tried: int, prefixes: int) -> Scratch:
    """For a beam of ``width``, ``labels`` of which at most ``tried`` at a frame, and as many ``prefixes`` as fit."""
    whole, candidates = np.int32, width * (tried + 2)
    return Scratch(
        np.full(prefixes, NONE, whole), np.zeros((width, labels), whole), np.zeros(labels, whole),
        np.zeros(labels, bool), np.zeros(width, whole), np.zeros(width), np.zeros(width, whole),
        records(width, BEAM), records(width, BEAM),
        np.zeros(candidates), np.zeros(candidates, whole), np.zeros(candidates, whole), np.zeros(candidates),
    )  # fmt: skip


# --- one frame -------------------------------------------------------------------------------------------------------


@njit()
def log_add(a, b):
    """ln(e^a + e^b)."""
    if a < b:
        a, b = b, a
    if b == -math.inf or a - b > 40:  # e^−40 is nothing beside 1 in float64
        return a
    return a + math.log(1.0 + math.exp(b - a))


@njit()
def advance(log_y, t, frames, blank, space, limits, terms, prefixes, beams, marks, sizes, scratch):
    """Run frames t, t + 1, … of ``log_y`` (T, V); ``frames`` came before. ``sizes``: used prefixes, beams and marks.

    Returns the frame that was not run, and why: 0, all were; n > 0, scratch.waiting[:n] must be asked by Python first;
    NONE, no prefix is possible.
    """
    width, beam_prune, token_min = limits
    s = scratch
    for i in range(sizes[1]):
        s.slot[beams[i].prefix] = i
    while t < len(log_y):
        y, candidates = log_y[t], 0
        for lowest in (token_min, -math.inf):  # where a closed vocabulary leaves nothing: all labels
            tried, spaces = _choose_labels(y, blank, space, lowest, s)
            if spaces:
                waiting = _close_words(terms, prefixes, beams, sizes[1], s)
                if waiting > 0:
                    return t, waiting
            _blank_and_repeat(y, blank, space, prefixes, beams, sizes[1], s)
            _extend_inside(y, t + 1, prefixes, beams, sizes[1], s)
            candidates = _candidates(y, t + 1, space, tried, width, beam_prune, terms, prefixes, beams, sizes[1], s)
            if candidates > 0:
                break
        if candidates == 0:
            return t, NONE
        _select(candidates, width, s)
        _next_beam(y, frames + t, space, candidates, terms, prefixes, beams, marks, sizes, s)
        t += 1
    return t, 0


@njit()
def _choose_labels(y, blank, space, lowest, s):
    """The labels to try. Returns their number without the blank, and whether a space is among them."""
    likeliest, n, spaces = np.argmax(y), 0, False
    for c in range(len(y)):
        s.is_tried[c] = y[c] >= lowest or c == likeliest
        if s.is_tried[c] and c != blank:
            s.tried[n] = c
            n += 1
            spaces = spaces or space[c]
    return n, spaces


@njit()
def _close_words(terms, prefixes, beams, n_beams, s):
    """What each unfinished word in the beam adds as a finished one. Returns how many only Python can ask about."""
    waiting = 0
    for i in range(n_beams):
        x = prefixes[beams[i].prefix]
        if x.length > 0 and math.isnan(x.closing):
            if terms.outside:
                s.waiting[waiting] = beams[i].prefix
                waiting += 1
            else:
                x.closing, x.closing_state = close_word(terms, x.node, x.state)
    return waiting


@njit()
def _blank_and_repeat(y, blank, space, prefixes, beams, n_beams, s):
    """The blank, and the last label again. Between words a space writes nothing, either."""
    for i in range(n_beams):
        b, x, after = beams[i], prefixes[beams[i].prefix], s.stay[i]
        from_blank = b.best_blank >= b.best_label
        s.best[i] = b.best_blank if from_blank else b.best_label
        s.best_mark[i] = b.mark_blank if from_blank else b.mark_label
        after.prefix = b.prefix
        after.blank = b.total + y[blank] if s.is_tried[blank] else -math.inf
        after.best_blank = s.best[i] + y[blank] if s.is_tried[blank] else -math.inf
        after.mark_blank = s.best_mark[i]
        after.label, after.best_label, after.mark_label, after.step = -math.inf, -math.inf, NONE, BLANK
        if x.length == 0:
            for c in range(len(y)):
                if space[c] and s.is_tried[c]:
                    after.label = log_add(after.label, b.total + y[c])
                    if s.best[i] + y[c] > after.best_label:
                        after.best_label, after.mark_label = s.best[i] + y[c], s.best_mark[i]
                        after.step = REPEAT if c == x.label and not from_blank else BLANK
        elif s.is_tried[x.label]:
            after.label, after.best_label = b.label + y[x.label], b.best_label + y[x.label]
            after.mark_label, after.step = b.mark_label, REPEAT


@njit()
def _source(beams, i, again, s):
    """From which paths of slot ``i`` an extension comes: ln of their sum, ln p of the likeliest, its mark. The same
    label ``again`` needs a blank between."""
    if again:
        return beams[i].blank, beams[i].best_blank, beams[i].mark_blank
    return beams[i].total, s.best[i], s.best_mark[i]


@njit()
def _extend_inside(y, stamp, prefixes, beams, n_beams, s):
    """Where both a prefix and its parent are in the beam: paths that go from the parent to the prefix."""
    for k in range(n_beams):
        x, after = prefixes[beams[k].prefix], s.stay[k]
        i = s.slot[x.parent] if x.parent >= 0 else NONE
        if i >= 0 and s.is_tried[x.label]:
            s.extended[i, x.label] = stamp
            total, best, mark = _source(beams, i, prefixes[x.parent].label == x.label, s)
            after.label = log_add(after.label, total + y[x.label])
            if best + y[x.label] > after.best_label:
                after.best_label, after.mark_label, after.step = best + y[x.label], mark, EXTEND


@njit()
def _candidates(y, stamp, space, tried, width, beam_prune, terms, prefixes, beams, n_beams, s):
    """The candidates that come near enough to the best one: those that stay, then longer ones. Returns their number."""
    count, top = 0, -math.inf
    for i in range(n_beams):
        x = prefixes[beams[i].prefix]
        added = x.words + x.guess
        for wrote, log_p in ((ENDS_IN_BLANK, s.stay[i].blank), (ENDS_IN_LABEL, s.stay[i].label)):
            if log_p + added > -math.inf:
                s.score[count], s.source[count], s.wrote[count] = log_p + added, i, wrote
                count += 1
                top = max(top, log_p + added)
    # As many as fit stay: then nothing is needed that is not better than the worst of those.
    bar = _nth_best(count, width, s) if count >= width else -math.inf
    for i in range(n_beams):
        b, x = beams[i], prefixes[beams[i].prefix]
        for n in range(tried):
            c = s.tried[n]
            most = b.total + y[c] + x.words + (terms.most if space[c] else terms.most_inside)
            if most < bar or most < top + beam_prune:
                continue
            if s.extended[i, c] == stamp or (space[c] and x.length == 0):
                continue
            score = (b.blank if c == x.label else b.total) + y[c]
            if not terms.plain:
                words, guess, _, _, _ = extended(terms, x, c, space[c])
                score += words + guess
            if score > -math.inf and score >= bar and score >= top + beam_prune:
                s.score[count], s.source[count], s.wrote[count] = score, i, c
                count += 1
                top = max(top, score)
    near = 0
    for n in range(count):  # some came before the best one was known
        if s.score[n] >= top + beam_prune:
            s.score[near], s.source[near], s.wrote[near] = s.score[n], s.source[n], s.wrote[n]
            near += 1
    return near


@njit()
def _nth_best(count, n, s):
    """The ``n``-th largest of the first ``count`` scores: quickselect (Hoare 1961)."""
    s.order[:count] = s.score[:count]
    low, high, wanted = 0, count - 1, n - 1
    while low < high:
        pivot, i, j = s.order[(low + high) >> 1], low, high
        while i <= j:
            while s.order[i] > pivot:
                i += 1
            while s.order[j] < pivot:
                j -= 1
            if i <= j:
                s.order[i], s.order[j] = s.order[j], s.order[i]
                i += 1
                j -= 1
        if wanted <= j:
            high = j
        elif wanted >= i:
            low = i
        else:
            break
    return s.order[wanted]


@njit()
def _select(count, width, s):
    """Leave the scores of the ``width`` best as they are, and make the others −inf. Of equals the first stay."""
    if count <= width:
        return
    bar, above = _nth_best(count, width, s), 0
    for n in range(count):
        above += s.score[n] > bar
    equals = width - above
    for n in range(count):
        if s.score[n] == bar and equals > 0:
            equals -= 1
        elif s.score[n] <= bar:
            s.score[n] = -math.inf


@njit()
def _next_beam(y, frame, space, count, terms, prefixes, beams, marks, sizes, s):
    """The selected candidates become the beam."""
    for i in range(sizes[1]):
        s.slot[beams[i].prefix] = NONE
    kept, staying = 0, NONE  # the slot that came last and stays
    for n in range(count):
        if s.score[n] == -math.inf:
            continue
        i, c, stay = s.source[n], s.wrote[n], s.stay[s.source[n]]
        if c >= 0 or i != staying:
            after = s.next[kept]
            kept += 1
            after.prefix = stay.prefix
            after.blank, after.best_blank, after.mark_blank = -math.inf, -math.inf, NONE
            after.label, after.best_label, after.mark_label = -math.inf, -math.inf, NONE
            after.total = -math.inf
        after = s.next[kept - 1]
        if c == ENDS_IN_BLANK:
            after.blank, after.best_blank, after.mark_blank = stay.blank, stay.best_blank, stay.mark_blank
            staying = i
        elif c == ENDS_IN_LABEL:
            last = prefixes[stay.prefix].label
            after.label, after.best_label = stay.label, stay.best_label
            after.mark_label = next_mark(marks, sizes, stay.mark_label, stay.step, frame, y[last])
            staying = i
        else:
            total, best, mark = _source(beams, i, prefixes[stay.prefix].label == c, s)
            after.label, after.best_label = total + y[c], best + y[c]
            after.mark_label = next_mark(marks, sizes, mark, EXTEND, frame, y[c])
            after.prefix = child_of(terms, prefixes, stay.prefix, c, space[c], sizes)
        after.total = log_add(after.blank, after.label)
    for i in range(kept):
        beams[i] = s.next[i]
        s.slot[beams[i].prefix] = i
    sizes[1] = kept
