"""The loop of the beam search: what beam.py says, on arrays, a frame at a time. Read beam.py first.

Prefixes form a tree, each one label longer than its parent; a prefix is an index and never made twice, so that paths
which write the same meet. Prefixes in the beam have a slot. One frame:
    stay     every prefix in the beam gets the blank, and its last label again
    meet     a prefix whose parent is in the beam, too, gets what the parent writes to become it
    extend   every other prefix that is one label longer is a candidate; most are never made
    select   the best `width` candidates within reach of the best one; a prefix is two, one for each ending
    keep     those become the beam, new ones are put into the tree
Marks are label times: a chain of them for every prefix's likeliest path, which shares its beginning with others.
Letters: T frames, V labels, W width, N prefixes, M marks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from xlsr_ref.ops.backend import njit
from xlsr_ref.text.search.fusion import CHARACTERS, TYPICAL, WORDS
from xlsr_ref.text.search.lexicon import OUTSIDE, walk
from xlsr_ref.text.search.lm import score_word

NONE = -1
BLANK, LABEL = -1, -2  # what a candidate that stays ends in
CARRY, GROW, NEW = 0, 1, 2  # what becomes of a path's last mark


def _record(**fields: type) -> np.dtype:
    return np.dtype(list(fields.items()), align=True)


# The tree, one record for each prefix; prefix 0 has written nothing.
PREFIX = _record(
    parent=np.int32,
    label=np.int32,  # the last one; NONE for prefix 0
    child=np.int32,  # one of those that are a label longer, or NONE
    sibling=np.int32,  # the next one of the same parent, or NONE
    node=np.int32,  # where its unfinished word stands in the lexicon, or OUTSIDE
    length=np.int32,  # characters of the unfinished word; 0 between words
    state=np.int32,  # of the language model
    closing_state=np.int32,  # the same if the word ended here
    closing=np.float64,  # and what would be added then; NaN: not asked yet
    said=np.float64,  # what finished words are worth (a model of characters: all labels)
    guess=np.float64,  # what the unfinished one is
)

# The beam, one record for each prefix in it. ln of the sum over paths that end in the blank, in the last label, in
# either; ln p of the likeliest of them, and its last mark.
BEAM = _record(
    prefix=np.int32, fate=np.int32, blank=np.float64, label=np.float64, total=np.float64,
    best_blank=np.float64, best_label=np.float64, mark_blank=np.int32, mark_label=np.int32,
)  # fmt: skip

# Label times: frames, the sum of the label's probabilities over them, and the mark of the label before, or NONE.
MARK = _record(first=np.int32, last=np.int32, total=np.float64, before=np.int32)


class Scratch(NamedTuple):
    """What a frame needs in between."""

    slot: np.ndarray  # (N,) int32  of each prefix in the beam; NONE for the others
    taken: np.ndarray  # (W, V) int32  in which frame a prefix met this child
    tried: np.ndarray  # (V,) int32  the labels that are tried
    is_tried: np.ndarray  # (V,) bool
    waiting: np.ndarray  # (W,) int32  prefixes whose language model must be asked outside
    best: np.ndarray  # (W,) float64
    best_mark: np.ndarray  # (W,) int32
    stay: np.ndarray  # (W,) BEAM  what the prefixes of the beam become; fate: of the mark of best_label
    next: np.ndarray  # (W,) BEAM
    score: np.ndarray  # (candidates,) float64  what may be in the beam next
    source: np.ndarray  # (candidates,) int32  the slot that it comes from
    wrote: np.ndarray  # (candidates,) int32  the label that it adds; BLANK or LABEL: none, it stays and ends so
    order: np.ndarray  # (candidates,) float64


def records(n: int, kind: np.dtype) -> np.recarray:
    """``n`` of them, all 0."""
    return np.zeros(n, kind).view(np.recarray)


def first_prefix(state: int, closing: float) -> np.recarray:
    """The tree before the first frame."""
    tree = records(1, PREFIX)
    tree[0] = (NONE, NONE, NONE, NONE, 0, 0, state, state, closing, 0.0, 0.0)
    return tree


def first_beam() -> np.recarray:
    """Nothing is written, by one path of no frames."""
    beam = records(1, BEAM)
    beam[0] = (0, CARRY, 0.0, -np.inf, 0.0, 0.0, -np.inf, NONE, NONE)
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

    Returns the frame that was not run, and why: 0, all were; n > 0, scratch.waiting[:n] must be asked outside first;
    NONE, no prefix is possible.
    """
    width, beam_prune, token_min = limits
    s = scratch
    for i in range(sizes[1]):
        s.slot[beams[i].prefix] = i
    while t < len(log_y):
        y, found = log_y[t], 0
        for lowest in (token_min, -math.inf):  # where a closed vocabulary leaves nothing: all labels
            tried, spaces = _choose_labels(y, blank, space, lowest, s)
            if spaces:
                waiting = _close_words(terms, prefixes, beams, sizes[1], s)
                if waiting > 0:
                    return t, waiting
            _stay(y, blank, space, prefixes, beams, sizes[1], s)
            _meet(y, t + 1, prefixes, beams, sizes[1], s)
            found = _extend(y, t + 1, space, tried, width, beam_prune, terms, prefixes, beams, sizes[1], s)
            if found > 0:
                break
        if found == 0:
            return t, NONE
        _select(found, width, s)
        _keep(y, frames + t, space, found, terms, prefixes, beams, marks, sizes, s)
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
    """What each unfinished word in the beam is worth as a finished one. Returns how many must be asked outside."""
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
def close_word(terms, node, state):
    """What a word that ends at a node of the lexicon adds, and the language model's state behind it."""
    lexicon, gain = terms.lexicon, 0.0
    known = node >= 0 and lexicon[node].listed
    if terms.closed and not known and not (node >= 0 and lexicon[node].hotword):
        return -math.inf, state
    if terms.level == WORDS:
        word = lexicon[node].word if node >= 0 else NONE
        log10_p, state = score_word(terms.tree, state, word if word >= 0 else terms.no_word)
        gain += terms.alpha * (log10_p + (0.0 if known else terms.unknown)) + terms.beta
    if node >= 0:
        gain += lexicon[node].hot
    return gain, np.int64(state)


@njit()
def _guess(terms, node, length):
    """What the beginning of a word is worth."""
    if length == 0 or terms.plain:
        return 0.0
    lexicon = terms.lexicon
    if node >= 0 and lexicon[node].leads_hot:
        return lexicon[node].hot_rate * length
    if not terms.lists or (node >= 0 and lexicon[node].leads):
        return 0.0
    if terms.closed:
        return -math.inf
    return terms.unknown * max(1.0, length / TYPICAL) if terms.level == WORDS else 0.0


@njit()
def _grown(terms, x, c, is_space):
    """What prefix ``x`` becomes with label ``c``: said, guess, node, length, state."""
    said, state, node, length = x.said, np.int64(x.state), np.int64(0), np.int64(0)
    if is_space:
        if not terms.plain:
            said += x.closing
            if terms.level == WORDS:
                state = np.int64(x.closing_state)
    else:
        spelling = terms.spelling[terms.letters[c].spelled : terms.letters[c + 1].spelled]
        length = np.int64(x.length + len(spelling))
        node = np.int64(OUTSIDE) if terms.plain else np.int64(walk(terms.lexicon, x.node, spelling))
    if terms.level == CHARACTERS:
        log10_p, state = score_word(terms.tree, state, terms.letters[c].symbol)
        said += terms.alpha * (log10_p + terms.letters[c].surprise) + terms.beta
    return said, _guess(terms, node, length), node, length, np.int64(state)


@njit()
def _stay(y, blank, space, prefixes, beams, n_beams, s):
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
        after.label, after.best_label, after.mark_label, after.fate = -math.inf, -math.inf, NONE, CARRY
        if x.length == 0:
            for c in range(len(y)):
                if space[c] and s.is_tried[c]:
                    after.label = log_add(after.label, b.total + y[c])
                    if s.best[i] + y[c] > after.best_label:
                        after.best_label, after.mark_label = s.best[i] + y[c], s.best_mark[i]
                        after.fate = GROW if c == x.label and not from_blank else CARRY
        elif s.is_tried[x.label]:
            after.label, after.best_label = b.label + y[x.label], b.best_label + y[x.label]
            after.mark_label, after.fate = b.mark_label, GROW


@njit()
def _source(beams, i, again, s):
    """From which paths of slot ``i`` a longer prefix grows: ln of their sum, the likeliest, its mark. The same label
    ``again`` needs a blank between."""
    if again:
        return beams[i].blank, beams[i].best_blank, beams[i].mark_blank
    return beams[i].total, s.best[i], s.best_mark[i]


@njit()
def _meet(y, stamp, prefixes, beams, n_beams, s):
    """Where both a prefix and its parent are in the beam, paths that go from one to the other."""
    for k in range(n_beams):
        x, after = prefixes[beams[k].prefix], s.stay[k]
        i = s.slot[x.parent] if x.parent >= 0 else NONE
        if i >= 0 and s.is_tried[x.label]:
            s.taken[i, x.label] = stamp
            total, best, mark = _source(beams, i, prefixes[x.parent].label == x.label, s)
            after.label = log_add(after.label, total + y[x.label])
            if best + y[x.label] > after.best_label:
                after.best_label, after.mark_label, after.fate = best + y[x.label], mark, NEW


@njit()
def _extend(y, stamp, space, tried, width, beam_prune, terms, prefixes, beams, n_beams, s):
    """The candidates that come near enough to the best one: those that stay, then longer ones. Returns their number."""
    found, top = 0, -math.inf
    for i in range(n_beams):
        x = prefixes[beams[i].prefix]
        worth = x.said + x.guess
        for wrote, log_p in ((BLANK, s.stay[i].blank), (LABEL, s.stay[i].label)):
            if log_p + worth > -math.inf:
                s.score[found], s.source[found], s.wrote[found] = log_p + worth, i, wrote
                found += 1
                top = max(top, log_p + worth)
    # As many as fit stay: then nothing is needed that is not better than the worst of those.
    bar = _nth_best(found, width, s) if found >= width else -math.inf
    for i in range(n_beams):
        b, x = beams[i], prefixes[beams[i].prefix]
        for n in range(tried):
            c = s.tried[n]
            most = b.total + y[c] + x.said + (terms.most if space[c] else terms.most_inside)
            if most < bar or most < top + beam_prune:
                continue
            if s.taken[i, c] == stamp or (space[c] and x.length == 0):
                continue
            score = (b.blank if c == x.label else b.total) + y[c]
            if not terms.plain:
                said, guess, _, _, _ = _grown(terms, x, c, space[c])
                score += said + guess
            if score > -math.inf and score >= bar and score >= top + beam_prune:
                s.score[found], s.source[found], s.wrote[found] = score, i, c
                found += 1
                top = max(top, score)
    near = 0
    for n in range(found):  # some came before the best one was known
        if s.score[n] >= top + beam_prune:
            s.score[near], s.source[near], s.wrote[near] = s.score[n], s.source[n], s.wrote[n]
            near += 1
    return near


@njit()
def _nth_best(found, n, s):
    """The ``n``-th largest of the first ``found`` scores: quickselect."""
    s.order[:found] = s.score[:found]
    low, high, wanted = 0, found - 1, n - 1
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
def _select(found, width, s):
    """Leave the scores of the ``width`` best as they are, and make the others −inf. Of equals the first stay."""
    if found <= width:
        return
    bar, above = _nth_best(found, width, s), 0
    for n in range(found):
        above += s.score[n] > bar
    equals = width - above
    for n in range(found):
        if s.score[n] == bar and equals > 0:
            equals -= 1
        elif s.score[n] <= bar:
            s.score[n] = -math.inf


@njit()
def _keep(y, frame, space, found, terms, prefixes, beams, marks, sizes, s):
    """The selected candidates become the beam."""
    for i in range(sizes[1]):
        s.slot[beams[i].prefix] = NONE
    kept, staying = 0, NONE  # the slot that came last and stays
    for n in range(found):
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
        if c == BLANK:
            after.blank, after.best_blank, after.mark_blank = stay.blank, stay.best_blank, stay.mark_blank
            staying = i
        elif c == LABEL:
            last = prefixes[stay.prefix].label
            after.label, after.best_label = stay.label, stay.best_label
            after.mark_label = _next_mark(marks, sizes, stay.mark_label, stay.fate, frame, y[last])
            staying = i
        else:
            total, best, mark = _source(beams, i, prefixes[stay.prefix].label == c, s)
            after.label, after.best_label = total + y[c], best + y[c]
            after.mark_label = _next_mark(marks, sizes, mark, NEW, frame, y[c])
            after.prefix = _child(terms, prefixes, stay.prefix, c, space[c], sizes)
        after.total = log_add(after.blank, after.label)
    for i in range(kept):
        beams[i] = s.next[i]
        s.slot[beams[i].prefix] = i
    sizes[1] = kept


@njit()
def _child(terms, prefixes, parent, c, is_space, sizes):
    """The prefix that is label ``c`` longer than ``parent``: the one there is, or a new one."""
    number = prefixes[parent].child
    while number >= 0:
        if prefixes[number].label == c:
            return number
        number = prefixes[number].sibling
    number = np.int32(sizes[0])
    sizes[0] += 1
    x = prefixes[number]
    x.parent, x.label, x.child, x.sibling = parent, c, NONE, prefixes[parent].child
    prefixes[parent].child = number
    x.said, x.guess, x.node, x.length, x.state = _grown(terms, prefixes[parent], c, is_space)
    x.closing, x.closing_state = 0.0 if terms.plain else math.nan, x.state
    return number


@njit()
def _next_mark(marks, sizes, mark, fate, frame, log_y):
    """The mark of a path that ends in its last label: as it was, one frame longer, or a new one behind it."""
    if fate == CARRY or (fate == GROW and mark < 0):
        return np.int32(mark)
    number = np.int32(sizes[2])
    sizes[2] += 1
    m = marks[number]
    if fate == GROW:
        marks[number] = marks[mark]
    else:
        m.first, m.total, m.before = frame, 0.0, mark
    m.last, m.total = frame, m.total + math.exp(log_y)
    return number


# --- between pieces --------------------------------------------------------------------------------------------------


@njit()
def clear_away(prefixes, beams, marks, sizes):
    """Move what the beam still needs to the front of the arrays, in the old order; ``sizes`` become smaller."""
    ends = np.empty(2 * sizes[1], np.int32)
    for i in range(sizes[1]):
        ends[i] = beams[i].prefix
    renamed = _needed(sizes[0], ends[: sizes[1]], prefixes.parent)
    sizes[0] = 0
    for old in range(len(renamed)):
        if renamed[old] >= 0:
            number = renamed[old]
            prefixes[number] = prefixes[old]
            x = prefixes[number]
            x.child, x.sibling = NONE, NONE
            if x.parent >= 0:
                x.parent = renamed[x.parent]
                x.sibling = prefixes[x.parent].child
                prefixes[x.parent].child = number
            sizes[0] += 1
    for i in range(sizes[1]):
        b = beams[i]
        b.prefix = renamed[b.prefix]
        ends[2 * i], ends[2 * i + 1] = b.mark_blank, b.mark_label

    renamed = _needed(sizes[2], ends, marks.before)
    sizes[2] = 0
    for old in range(len(renamed)):
        if renamed[old] >= 0:
            marks[renamed[old]] = marks[old]
            m = marks[renamed[old]]
            m.before = renamed[m.before] if m.before >= 0 else NONE
            sizes[2] += 1
    for i in range(sizes[1]):
        b = beams[i]
        b.mark_blank = renamed[b.mark_blank] if b.mark_blank >= 0 else NONE
        b.mark_label = renamed[b.mark_label] if b.mark_label >= 0 else NONE


@njit()
def _needed(n, ends, before):
    """The new number (n,) of everything on the chains back from ``ends``; NONE for what is on none."""
    renamed = np.full(n, NONE, np.int32)
    for end in ends:
        while end >= 0 and renamed[end] < 0:
            renamed[end] = 0
            end = before[end]
    new = 0
    for i in range(n):
        if renamed[i] == 0:
            renamed[i] = new
            new += 1
    return renamed


@njit()
def chain(end, before):
    """What leads to ``end``, first things first."""
    n, at = 0, end
    while at >= 0:
        n, at = n + 1, before[at]
    found, at = np.empty(n, np.int64), end
    while at >= 0:
        n -= 1
        found[n] = at
        at = before[at]
    return found
