"""Forced alignment against all paths, its rules one by one, kernel against twin."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.losses.ctc import ctc_loss
from xlsr_ref.ops.lattice import frames_needed, may_skip, places_of
from xlsr_ref.text import align as align_file
from xlsr_ref.text.align import WILDCARD, align


def collapse(path, blank):
    return [token for token, _ in itertools.groupby(path) if token != blank]


def log_probs(rng, T, V, zeros=0.0):
    y = rng.dirichlet(np.ones(V), T)
    y *= rng.random((T, V)) >= zeros
    y[y.sum(axis=1) == 0, 0] = 1
    with np.errstate(divide="ignore"):
        return np.log(y / y.sum(axis=1, keepdims=True))


def peaked(path, V, height=0.9):
    """Log-probabilities (T, V) whose best path is ``path``."""
    y = np.full((len(path), V), (1 - height) / (V - 1))
    y[np.arange(len(path)), path] = height
    return np.log(y)


@pytest.mark.parametrize("T", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize(("V", "blank"), [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)])
@pytest.mark.parametrize("zeros", [0.0, 0.3])
def test_it_is_the_best_of_all_paths(rng, T, V, blank, zeros):
    """Every row of targets that fits, over up to three tokens, with and without probabilities of 0."""
    tokens = [token for token in range(V) if token != blank]
    log_y = log_probs(rng, T, V, zeros)
    scored = [(sum(log_y[range(T), path]), path) for path in itertools.product(range(V), repeat=T)]
    for S in range(T + 1):
        for targets in itertools.product(tokens, repeat=S):
            best = max((one for one in scored if collapse(one[1], blank) == list(targets)), default=None)
            if best is None or best[0] == -math.inf:
                with pytest.raises(ObjectiveError, match="need" if best is None else "probability 0"):
                    align(log_y, targets, blank)
                continue
            found = align(log_y, targets, blank)
            assert found.labels.tolist() == list(best[1])  # no two paths of random numbers are equally likely
            assert found.log_p == pytest.approx(best[0], rel=1e-14)  # the same sum in the same order, but for its dtype
            assert found.places.tolist() == sorted(found.places.tolist())
            assert places_of(np.array(targets, int), blank)[found.places].tolist() == list(best[1])


def test_it_is_no_more_probable_than_all_paths_together(rng):
    for T, S in ((1, 1), (6, 2), (40, 7), (200, 60)):
        log_y, targets = log_probs(rng, T, 5), rng.integers(1, 5, S)
        loss, _ = ctc_loss(log_y, targets, 0)
        assert align(log_y, targets, 0).log_p <= -loss + 1e-12
    alone = log_probs(rng, 3, 4)
    assert align(alone, [1, 2, 3], 0).log_p == pytest.approx(-ctc_loss(alone, [1, 2, 3], 0)[0])  # only one path


def test_spans_and_scores(rng):
    path = [0, 1, 1, 0, 0, 2, 2, 0, 2, 0, 0]
    log_y = peaked(path, 4)
    log_y[2] = np.log([0.2, 0.5, 0.2, 0.1])
    found = align(log_y, [1, 2, 2], 0)
    assert found.labels.tolist() == path
    assert [(span.target, span.first, span.stop) for span in found.spans] == [(1, 1, 3), (2, 5, 7), (2, 8, 9)]
    assert [span.score for span in found.spans] == pytest.approx([0.7, 0.9, 0.9])  # mean probability, not log
    for span in found.spans:
        assert (found.labels[span.first : span.stop] == span.target).all()


def test_silence_at_either_end_belongs_to_no_target():
    found = align(peaked([0] * 20 + [1] + [0] * 20 + [2] + [0] * 40, 3), [1, 2], 0)
    assert [(span.first, span.stop) for span in found.spans] == [(20, 21), (41, 42)]


def test_the_last_target_may_last():
    found = align(peaked([0, 1, 0, 2, 2, 2], 3), [1, 2], 0)
    assert [(span.first, span.stop) for span in found.spans] == [(1, 2), (3, 6)]


def test_equal_neighbours_keep_a_blank_between_them():
    sure = peaked([1] * 6, 2, 0.999)  # the blank is nowhere likely, and must be somewhere
    found = align(sure, [1, 1], 0)
    assert collapse(found.labels.tolist(), 0) == [1, 1]
    assert (found.labels == 0).sum() == 1


def test_targets_that_were_not_heard_still_get_a_frame():
    found = align(peaked([0, 1, 1, 0, 0, 0], 4), [1, 3, 2], 0)
    assert all(span.stop > span.first for span in found.spans)
    assert [span.target for span in found.spans] == [1, 3, 2]
    assert found.spans[1].score < 0.1 < found.spans[0].score


def test_no_targets():
    found = align(peaked([0, 1, 0], 3), [], 0)
    assert (found.labels.tolist(), found.places.tolist(), found.spans) == ([0, 0, 0], [0, 0, 0], ())
    assert found.log_p == pytest.approx(2 * math.log(0.9) + math.log(0.05))


def test_of_equal_paths_the_one_that_is_further_on():
    T, V, targets = 5, 3, [1, 2]
    ways = []
    places = places_of(np.array(targets), 0)
    for way in itertools.product(range(5), repeat=T):
        labels = places[list(way)].tolist()
        if list(way) == sorted(way) and collapse(labels, 0) == targets:
            ways.append(way)
    found = align(np.full((T, V), -math.log(V)), targets, 0)
    assert tuple(found.places) == max(ways, key=lambda way: way[::-1])


def test_float32_and_lists_and_the_input_untouched(rng):
    log_y = log_probs(rng, 9, 4)
    narrow = log_y.astype(np.float32)
    narrow.setflags(write=False)
    ours, theirs = align(narrow, np.array([1, 2], np.uint8), np.int64(0)), align(log_y, [1, 2], 0)
    np.testing.assert_array_equal(ours.places, theirs.places)
    assert ours.log_p == pytest.approx(theirs.log_p, rel=1e-6)  # float32 has 7 digits
    assert align(np.asfortranarray(log_y), [1, 2], 0).log_p == theirs.log_p


def test_a_long_recording(rng):
    """30 s against 300 targets: finite, in order, every target at least a frame."""
    log_y, targets = log_probs(rng, 1499, 32), rng.integers(1, 32, 300)
    found = align(log_y, targets, 0)
    assert collapse(found.labels.tolist(), 0) == targets.tolist()
    assert found.log_p == pytest.approx(log_y[range(1499), found.labels].sum(), rel=1e-12)
    assert all(before.stop <= after.first for before, after in itertools.pairwise(found.spans))


@pytest.mark.parametrize(("T", "steps"), [(1, 1), (2, 9), (7, 9), (60, 99), (200, 99), (200, 5000)])
def test_blocks_find_the_same_path_as_the_direct_way(rng, monkeypatch, T, steps):
    """To the bit, whatever the size of a block; also where many paths are equally likely."""
    targets = rng.integers(1, 4, T // 4)
    for log_y in (log_probs(rng, T, 4), log_probs(rng, T, 4).astype(np.float32), np.full((T, 4), -math.log(4))):
        direct = align(log_y, targets, 0)
        monkeypatch.setattr(align_file, "_block", lambda frames, places: max(1, min(frames, steps // places)))
        blocks = align(log_y, targets, 0)
        monkeypatch.undo()
        np.testing.assert_array_equal(blocks.places, direct.places)
        assert (blocks.log_p, blocks.spans) == (direct.log_p, direct.spans)


def test_a_block_is_all_or_as_much_as_may_be_in_memory():
    assert align_file._block(1499, 901) == 1499  # 30 s are found the direct way
    assert align_file._block(90000, 10001) == align_file.STEPS // 10001
    assert align_file._block(90000, align_file.STEPS) == math.isqrt(8 * 90000) + 1
    assert align_file._block(1, 10**9) == 1


def test_a_long_recording_needs_little_memory():
    """10 minutes against 3,000 targets, where the direct way takes 180 MB for the steps alone."""
    log_y = np.full((30_000, 4), -math.log(4), np.float32)
    targets = np.tile([1, 2, 3], 1000)
    tracemalloc.start()
    try:
        align(log_y, targets, 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 45 * 2**20  # two blocks of steps, 16 MiB each, and v before each of 11 blocks


@pytest.mark.parametrize("targets", [[-1], [1, -1], [-1, 1], [-1, 1, -1], [1, -1, 2], [-1, -1], [2, -1, 2]])
def test_a_wildcard_takes_any_frames(rng, targets):
    """Against all ways through the lattice: on the wildcard's place a frame costs nothing."""
    T, places = 5, places_of(np.array(targets), 0)
    for zeros in (0.0, 0.3):
        log_y = log_probs(rng, T, 3, zeros)
        spelled = np.concatenate([log_y, np.zeros((T, 1))], axis=1)  # column −1
        ways = {}
        for way in itertools.combinations_with_replacement(range(len(places)), T):
            labels = places[list(way)]
            if collapse(labels.tolist(), 0) == targets:
                ways[way] = sum(spelled[range(T), labels])
        best = max(ways.values())
        found = align(log_y, targets, 0)
        assert found.log_p == pytest.approx(best, rel=1e-14)  # the same sum, in the same order
        assert ways[tuple(found.places.tolist())] == best
        wild = [span for span in found.spans if span.target == WILDCARD]
        assert len(wild) == targets.count(WILDCARD)
        assert all(span.score == 1 and span.stop > span.first for span in wild)


@pytest.mark.parametrize(
    ("T", "targets"),
    [(1, []), (1, [1]), (5, [1, 1, 2]), (9, [3, 3, 3]), (60, [1, 2, 2, 3] * 4), (20, [1, -1, 2, -1, -1, 3])],
)
@pytest.mark.parametrize("zeros", [0.0, 0.4])
def test_the_kernel_equals_its_twin(rng, T, targets, zeros):
    places = places_of(np.array(targets, np.int64), 0)
    for log_y in (log_probs(rng, T, 4, zeros), np.full((T, 4), -math.log(4), np.float32)):  # the second: only ties
        v = np.r_[0, np.full(2 * len(targets), -np.inf)]
        kernel, twin = (
            f(log_y, places, may_skip(places), v) for f in (align_file._viterbi_numba, align_file._viterbi_numpy)
        )
        for ours, theirs in zip(kernel, twin):
            np.testing.assert_array_equal(ours, theirs)  # max and one addition: the same to the bit
            assert ours.dtype == theirs.dtype


# --- what does not fit -----------------------------------------------------------------------------------------------


def test_more_targets_than_frames():
    with pytest.raises(ObjectiveError, match="2 targets with 1 equal neighbours need 3 frames, but there are 2"):
        align(np.full((2, 2), -math.log(2)), [1, 1], 0)
    assert frames_needed([1, 1]) == 3
    assert align(np.full((3, 2), -math.log(2)), [1, 1], 0).labels.tolist() == [1, 0, 1]


def bad(row):
    return np.vstack([np.log([[0.5, 0.25, 0.25]]), [row], np.log([[0.5, 0.25, 0.25]])])


@pytest.mark.parametrize(
    ("given", "targets", "blank", "message"),
    [
        (bad([0.0, np.nan, -np.inf]), [1], 0, "frame 1 are NaN"),
        (bad([0.0, np.inf, -np.inf]), [1], 0, "frame 1 are NaN or \\+infinite"),
        (bad([-np.inf] * 3), [1], 0, "frame 1 sum to 0, not 1"),
        (bad([2.0, 1.0, 1e4]), [1], 0, "frame 1 sum to inf, not 1: give log-softmax"),
        (np.zeros((4, 3)), [1], 0, "frame 0 sum to 3, not 1"),
        (np.zeros((0, 3)), [], 0, r"shape \(0, 3\)"),
        (np.zeros(3), [1], 0, r"shape \(3,\)"),
        (np.zeros((5, 3), int), [1], 0, "int64"),
        (bad([0, -np.inf, -np.inf]), [0], 0, r"targets contain \[0\]"),
        (bad([0, -np.inf, -np.inf]), [3], 0, r"targets contain \[3\]"),
        (bad([0, -np.inf, -np.inf]), [-2, -1], 0, r"targets contain \[-2\]"),
        (np.concatenate([np.full((5000, 3), -math.log(3)), bad([0, 0, 0])]), [], 0, "frame 5001 sum to 3"),
        (bad([0, -np.inf, -np.inf]), [1], 3, "blank is 3"),
        (bad([0, -np.inf, -np.inf]), [0.5], 0, "float64"),
        (bad([0, -np.inf, -np.inf]), [1, 2, 1], 0, "probability 0"),  # the second frame can only be a blank
    ],
)
def test_bad_input_is_named(given, targets, blank, message):
    with pytest.raises(ObjectiveError, match=message) as error:
        align(given, targets, blank)
    assert "\n" not in str(error.value)
