"""The prefixes of a beam search as a tree, and the label times of its paths as chains. Both are arrays of records.

    prefix 0 (nothing written) ─ a ─ b          a prefix is one label longer than its parent
                               └ b              it is an index, made once, so that all paths which write it meet there

A mark is a label time: the frames of one label on one path. Each mark names the mark of the label before it, so paths
share the chain of their common beginning. Between pieces, what no path in the beam needs any more is removed.
Letters: N prefixes, M marks.
"""

from __future__ import annotations

import math

import numpy as np

from xlsr_ref.ops.backend import njit
from xlsr_ref.text.search.terms import extended

NONE = -1


def record(**fields: type) -> np.dtype:
    """A type of records with these fields, laid out as C would."""
    return np.dtype(list(fields.items()), align=True)


def records(n: int, kind: np.dtype) -> np.recarray:
    """(n,) records, all 0."""
    return np.zeros(n, kind).view(np.recarray)


PREFIX = record(
    parent=np.int32,
    label=np.int32,  # the last one; NONE for prefix 0
    child=np.int32,  # the first of those that are a label longer, or NONE
    sibling=np.int32,  # the next one of the same parent, or NONE
    node=np.int32,  # where its unfinished word stands in the lexicon, or OUTSIDE
    length=np.int32,  # characters of the unfinished word; 0 between words
    state=np.int32,  # of the language model
    closing_state=np.int32,  # the same if the word ended here
    closing=np.float64,  # and what would be added then; NaN: not asked yet
    words=np.float64,  # what finished words add (a model of characters: all labels)
    guess=np.float64,  # what the unfinished one adds
)

# The frames of a label on a path, the sum of its probabilities over them, and the mark of the label before, or NONE.
MARK = record(first=np.int32, last=np.int32, total=np.float64, before=np.int32)

# How a path comes to a frame whose prefix ends in its last label; this decides what becomes of its last mark.
BLANK, REPEAT, EXTEND = 0, 1, 2  # nothing written (a space between words, too); the last label again; a new label


def first_prefix(state: int, closing: float) -> np.recarray:
    """(1,) PREFIX: the tree before the first frame."""
    tree = records(1, PREFIX)
    tree[0] = (NONE, NONE, NONE, NONE, 0, 0, state, state, closing, 0.0, 0.0)
    return tree


@njit()
def child_of(terms, prefixes, parent, c, is_space, sizes):
    """The prefix that is label ``c`` longer than ``parent``: the one there is, or a new one (``sizes[0]`` counts)."""
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
    x.words, x.guess, x.node, x.length, x.state = extended(terms, prefixes[parent], c, is_space)
    x.closing, x.closing_state = 0.0 if terms.plain else math.nan, x.state
    return number


@njit()
def next_mark(marks, sizes, mark, step, frame, log_y):
    """The last mark of a path after ``step``: as it was, one frame longer, or a new one, counted in ``sizes[2]``."""
    if step == BLANK or (step == REPEAT and mark < 0):
        return np.int32(mark)
    number = np.int32(sizes[2])
    sizes[2] += 1
    m = marks[number]
    if step == REPEAT:
        marks[number] = marks[mark]
    else:
        m.first, m.total, m.before = frame, 0.0, mark
    m.last, m.total = frame, m.total + math.exp(log_y)
    return number


@njit()
def chain(end, before):
    """The indices (n,) int64 that lead to ``end`` by ``before``, the first one first; ``end`` < 0: none."""
    n, at = 0, end
    while at >= 0:
        n, at = n + 1, before[at]
    path, at = np.empty(n, np.int64), end
    while at >= 0:
        n -= 1
        path[n] = at
        at = before[at]
    return path


# --- between pieces --------------------------------------------------------------------------------------------------


@njit()
def remove_unneeded(prefixes, beams, marks, sizes):
    """Move what the beam still needs to the front of the arrays, in the old order; ``sizes`` become smaller."""
    ends = np.empty(2 * sizes[1], np.int32)
    for i in range(sizes[1]):
        ends[i] = beams[i].prefix
    renamed = _renumbered(sizes[0], ends[: sizes[1]], prefixes.parent)
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

    renamed = _renumbered(sizes[2], ends, marks.before)
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
def _renumbered(n, ends, before):
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
