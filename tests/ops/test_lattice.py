"""The lattice against its meaning: the ways through it are the sequences that collapse to the targets, each once."""

import itertools

import numpy as np
import pytest

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.ops.lattice import frames_needed, may_skip, places_of, require_targets, too_few


def ways(places, frames):
    """Every way through: a row of places."""
    skip, last = may_skip(places), len(places) - 1
    found = [[s] for s in range(min(2, len(places)))]
    for _ in range(frames - 1):
        ahead = [[*way, way[-1] + step] for way in found for step in (0, 1, 2) if way[-1] + step <= last]
        found = [way for way in ahead if way[-1] - way[-2] < 2 or skip[way[-1]]]
    return [way for way in found if way[-1] >= last - 1]


def collapse(path, blank):
    return [token for token, _ in itertools.groupby(path) if token != blank]


@pytest.mark.parametrize("T", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("blank", [0, 1, 2])
def test_the_ways_through_are_the_sequences_that_collapse_to_the_targets(T, blank):
    tokens = [token for token in range(3) if token != blank]
    for S in range(4):
        for targets in itertools.product(tokens, repeat=S):
            places = places_of(np.array(targets, np.int64), blank)
            spelled = sorted(tuple(places[way].tolist()) for way in ways(places, T))
            paths = [path for path in itertools.product(range(3), repeat=T) if collapse(path, blank) == list(targets)]
            assert spelled == paths
            assert bool(paths) == (frames_needed(targets) <= T)


def test_places_and_skips():
    places = places_of(np.array([5, 5, 2]), 9)
    assert places.tolist() == [9, 5, 9, 5, 9, 2, 9]
    assert may_skip(places).tolist() == [False, False, False, False, False, True, False]
    assert places_of(np.array([], np.int64), 9).tolist() == [9]
    assert may_skip(np.array([9])).tolist() == [False]


def test_frames_needed():
    assert [frames_needed(targets) for targets in ([], [1], [1, 2], [1, 1], [1, 1, 1, 2, 2])] == [0, 1, 2, 3, 8]
    assert too_few(2, np.array([1, 1])) == "2 targets with 1 equal neighbours need 3 frames, but there are 2"


@pytest.mark.parametrize(
    ("targets", "blank", "message"),
    [
        ([1, 0], 0, r"\[0\]: ids go from 0 to 2, without the blank 0"),
        ([1, 3, -1], 0, r"\[-1, 3\]"),
        ([1], 3, "blank is 3.*0 to 2"),
        ([1], -1, "blank is -1"),
        ([1], None, "blank is None"),
        ([1.5], 0, "float64"),
        ([[1]], 0, r"shape \(1, 1\)"),
    ],
)
def test_what_is_no_target_is_named(targets, blank, message):
    with pytest.raises(ObjectiveError, match=message):
        require_targets(targets, blank, 3)


def test_targets_become_a_row_of_int64():
    for targets in ([], [1, 2], (1, 2), np.array([1, 2], np.uint8)):
        assert require_targets(targets, 0, 3).dtype == np.int64
