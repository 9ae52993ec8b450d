"""Functions written by hand, wrong and right: EXERCISE__anything, and the docstring says what the judge must find."""

import functools
import itertools

import numpy as np


def _runs(path):
    t = 0
    for token, group in itertools.groupby(path):
        length = len(list(group))
        yield token, t, t + length
        t += length


def collapse__groupby(path, blank):
    """right"""
    return [run for run in _runs(path) if run[0] != blank]


def collapse__array(path, blank):
    """right"""
    return np.array([run for run in _runs(path) if run[0] != blank]).reshape(-1, 3)


def collapse__each_frame(path, blank):
    """repeats are not collapsed"""
    return [(token, t, t + 1) for t, token in enumerate(path) if token != blank]


def collapse__blanks_first(path, blank):
    """blanks are dropped first, then repeats merged"""
    kept = [(token, t) for t, token in enumerate(path) if token != blank]
    groups = [list(group) for _, group in itertools.groupby(kept, key=lambda pair: pair[0])]
    return [(group[0][0], group[0][1], group[-1][1] + 1) for group in groups]


def collapse__zero(path, blank):
    """blank is taken to be 0"""
    return [run for run in _runs(path) if run[0]]


def collapse__everything(path, blank):
    """blanks are kept"""
    return list(_runs(path))


def collapse__inclusive(path, blank):
    """stop is the last frame, not the one after it"""
    return [(token, first, stop - 1) for token, first, stop in _runs(path) if token != blank]


def collapse__two(path, blank):
    """blanks are kept and stop is the last frame, not the one after it"""
    return [(token, first, stop - 1) for token, first, stop in _runs(path)]


def _recursive(said, read, substitution=1, deletion=1, insertion=1, hit=0):
    @functools.cache
    def distance(i, j):
        if i == 0:
            return j * insertion
        if j == 0:
            return i * deletion
        return min(
            distance(i - 1, j - 1) + (hit if said[i - 1] == read[j - 1] else substitution),
            distance(i - 1, j) + deletion,
            distance(i, j - 1) + insertion,
        )

    return distance(len(said), len(read))


def edit_distance__recursive(said, read):
    """right"""
    return _recursive(said, read)


def edit_distance__one_row(said, read):
    """right"""
    row = list(range(len(read) + 1))
    for i, a in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, b in enumerate(read, 1):
            before, row[j] = row[j], min(before + (a != b), row[j] + 1, row[j - 1] + 1)
    return row[-1], None


def edit_distance__longest_common(said, read):
    """a substitution costs two"""
    return _recursive(said, read, substitution=2)


def edit_distance__free_insertions(said, read):
    """insertions are free"""
    return _recursive(said, read, insertion=0)


def edit_distance__free_deletions(said, read):
    """deletions are free"""
    return _recursive(said, read, deletion=0)


def edit_distance__hits_cost(said, read):
    """a hit costs as much as a substitution"""
    return _recursive(said, read, hit=1)


def edit_distance__hamming(said, read):
    """place by place, without moving"""
    return sum(a != b for a, b in itertools.zip_longest(said, read, fillvalue=-1))


def edit_distance__rate(said, read):
    """divided by the length: this is the error rate"""
    return _recursive(said, read) / (len(said) or 1)


def edit_distance__two(said, read):
    """a substitution costs two and divided by the length: this is the error rate"""
    return _recursive(said, read, substitution=2) / (len(said) or 1)
