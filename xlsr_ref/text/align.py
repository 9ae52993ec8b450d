"""Forced alignment: given the text, the likeliest way to lay it out over the frames (Viterbi on the CTC lattice).

    v[0, s] = ln y[0, l'_s]  for the first two places, −∞ elsewhere
    v[t, s] = ln y[t, l'_s] + max(v[t−1, s], v[t−1, s−1], v[t−1, s−2])      the last only where ops/lattice.py allows it
    ln p(best path) = max(v[T−1, 2S−1], v[T−1, 2S])                         and back along the steps that were taken

These are the α of losses/ctc.py with max for sum: one path in place of all, so never more probable than the text.
text/greedy.py takes the best token of every frame, whatever that spells; here the path must spell the targets.
A target's frames are those on its own place. Frames on a blank belong to no target, so silence sticks to no letter.
Where: Viterbi 1967, on the lattice of Graves et al. 2006, §4.1. The steps back take a byte per frame and place. Of a
long recording only v before each block of frames is kept, and the block's steps are computed again on the way back.
Letters: T frames, V tokens, S targets, y their probabilities, l' the places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.ops.backend import choose, njit
from xlsr_ref.ops.lattice import frames_needed, may_skip, places_of, require_targets, too_few
from xlsr_ref.unmasked import refuse_masked

WILDCARD = -1  # a target that stands for anything: words that are not in the text


class Placed(NamedTuple):
    """A target and the frames ``first`` to ``stop`` - 1 on which the path stands on it; at least one."""

    target: int
    first: int
    stop: int
    score: float  # the mean probability of the target over its frames


class Alignment(NamedTuple):
    """A path through the lattice, the likeliest."""

    places: np.ndarray  # (T,)  in l': 2i for the blank before target i, 2i + 1 for target i; never falls
    labels: np.ndarray  # (T,)  the token at that place: collapsed, they are the targets
    log_p: float  # ln of the probability of this one path
    spans: tuple[Placed, ...]  # (S,)


def align(log_probs: np.ndarray, targets: Sequence[int] | np.ndarray, blank: int) -> Alignment:
    """The likeliest path that spells ``targets`` (S,), ids of tokens other than ``blank``; S may be 0.

    ``log_probs`` (T, V) are the logarithms of probabilities, each frame's summing to 1; −inf is a probability of 0. Of
    equally likely paths that one wins which is further on in the last frame where they differ. A target may be
    WILDCARD: it takes one frame or more and has the probability 1 there, whatever was said. Raises ObjectiveError
    where the targets do not fit into the frames, where all their paths have the probability 0, and for what is no
    log-probability or no target.
    """
    log_y, labels = _checked(log_probs, targets, blank)
    frames, places = len(log_y), places_of(labels, blank)
    if frames < frames_needed(labels):
        raise ObjectiveError(too_few(frames, labels))
    skip, starts = may_skip(places), range(0, frames, _block(frames, len(places)))
    v = np.full(len(places), -np.inf)
    v[0] = 0.0  # before the first frame: from here a step leads to place 0 or 1, with nothing added
    kept = []  # v before each block
    for start in starts:
        kept.append(v)
        steps, v = _viterbi(log_y[start : start + starts.step], places, skip, v)  # (≤ block, 2S+1), (2S+1,)
    last, ends = len(places) - 1, v
    place = last if last == 0 or ends[last] >= ends[last - 1] else last - 1
    log_p = float(ends[place])
    if log_p == -math.inf:
        raise ObjectiveError("every path that spells the targets has the probability 0")
    path = np.empty(frames, np.int64)
    for start, v in zip(reversed(starts), reversed(kept)):
        if start < starts[-1]:  # the last block's steps are still there
            steps, _ = _viterbi(log_y[start : start + starts.step], places, skip, v)
        for t in range(len(steps) - 1, -1, -1):
            path[start + t] = place
            place -= int(steps[t, place])
    return Alignment(path, places[path], log_p, _spans(path, _along(log_y, places[path]), labels))


def _block(frames: int, places: int) -> int:
    """How many frames have their steps in memory at once: all, if they take no more than STEPS bytes.

    Else as many as that; at least √(8T), where the steps of a block take as much as v before each of them.
    """
    return min(frames, max(STEPS // places, math.isqrt(8 * frames) + 1))


STEPS = 16 * 2**20  # bytes


def _along(log_y: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """The probability of one token per frame (T,), float64; 1 of a wildcard."""
    on_path = log_y[np.arange(len(log_y)), tokens].astype(np.float64)
    return np.exp(np.where(tokens == WILDCARD, 0.0, on_path))


def _spans(path: np.ndarray, y: np.ndarray, labels: np.ndarray) -> tuple[Placed, ...]:
    on = 2 * np.arange(len(labels)) + 1  # their places
    first, stop = np.searchsorted(path, on, "left"), np.searchsorted(path, on, "right")  # the path never falls
    if len(labels) == 0:
        return ()
    ends = np.stack([first, stop], axis=1).ravel()  # sums from first to stop, and from there to the next first
    scores = np.add.reduceat(np.append(y, 0.0), ends)[::2] / (stop - first)
    return tuple(map(Placed, labels.tolist(), first.tolist(), stop.tolist(), scores.tolist()))


def _checked(log_probs: np.ndarray, targets: Sequence[int] | np.ndarray, blank: int) -> tuple[np.ndarray, np.ndarray]:
    refuse_masked(log_probs, "log_probs", ObjectiveError)
    refuse_masked(targets, "targets", ObjectiveError)
    log_y = np.asarray(log_probs)
    if log_y.ndim != 2 or 0 in log_y.shape or log_y.dtype not in (np.float32, np.float64):
        raise ObjectiveError(f"log_probs must be (frames, tokens) floats, not {log_y.dtype} of shape {log_y.shape}")
    labels = np.asarray(targets)
    spelled = labels[labels != WILDCARD] if labels.ndim == 1 else labels
    require_targets(spelled, blank, log_y.shape[1])
    for first in range(0, len(log_y), ROWS):
        _check_rows(log_y[first : first + ROWS].astype(np.float64), first)
    return np.ascontiguousarray(log_y), labels.astype(np.int64)


def _check_rows(log_y: np.ndarray, first: int) -> None:
    bad = np.isnan(log_y).any(axis=1) | np.isposinf(log_y).any(axis=1)
    if bad.any():
        raise ObjectiveError(f"the log-probabilities of frame {first + int(bad.argmax())} are NaN or +infinite")
    with np.errstate(over="ignore"):
        sums = np.exp(log_y).sum(axis=1)
    off = abs(sums - 1) > SLACK
    if off.any():
        row = int(off.argmax())
        raise ObjectiveError(
            f"the probabilities of frame {first + row} sum to {sums[row]:.3g}, not 1: give log-softmax, not logits"
        )


ROWS = 4096  # frames that are checked at once
SLACK = 1e-3  # a log-softmax rounded to float32, of thousands of tokens, stays within it


# --- kernels ---------------------------------------------------------------------------------------------------------


def _viterbi_numpy(
    log_y: np.ndarray, places: np.ndarray, skip: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The specification: from v (2S+1,) of the frame before, how far back each place's best way came from (T, 2S+1),
    and v of the last frame (2S+1,)."""
    steps = np.empty((len(log_y), len(places)), np.int8)
    for t in range(len(log_y)):
        before = np.concatenate([[-np.inf, -np.inf], v])
        ways = np.stack([before[2:], before[1:-1], np.where(skip, before[:-2], -np.inf)])  # stay, step, skip
        steps[t] = ways.argmax(axis=0)  # of equals the first
        v = ways.max(axis=0) + np.where(places == WILDCARD, 0.0, log_y[t, places])
    return steps, v


@njit()
def _viterbi_loop(log_y, places, skip, before, after, log_p_of_place, steps):
    T, n = steps.shape
    for t in range(T):
        for s in range(n):
            log_p_of_place[s] = log_y[t, places[s]] if places[s] >= 0 else 0.0
        for s in range(n):  # without a branch: eight places at a time
            stay, step, jump = before[s + 2], before[s + 1], before[s] + skip[s]
            one = stay if stay >= step else step
            best = one if one >= jump else jump
            after[s + 2] = best + log_p_of_place[s]
            steps[t, s] = 2 if jump > one else (1 if step > stay else 0)
        before, after = after, before
    return before


def _viterbi_numba(
    log_y: np.ndarray, places: np.ndarray, skip: np.ndarray, v: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    before = np.concatenate([[-np.inf, -np.inf], v])  # place s stands at s + 2
    barred = np.where(skip, 0.0, -np.inf)  # added to the way over s − 2
    steps = np.empty((len(log_y), len(places)), np.int8)
    before = _viterbi_loop(log_y, places, barred, before, before.copy(), np.empty(len(places)), steps)
    return steps, before[2:]


_viterbi = choose(_viterbi_numba, _viterbi_numpy)
