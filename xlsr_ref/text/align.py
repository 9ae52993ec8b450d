"""Forced alignment: given the text, the likeliest way to lay it out over the frames (Viterbi on the CTC lattice).

    v[0, s] = ln y[0, l'_s]  for the first two places, −∞ elsewhere
    v[t, s] = ln y[t, l'_s] + max(v[t−1, s], v[t−1, s−1], v[t−1, s−2])      the last only where ops/lattice.py allows it
    ln p(best path) = max(v[T−1, 2S−1], v[T−1, 2S])                         and back along the steps that were taken

These are the α of objectives/ctc.py with max for sum: one path in place of all, so never more probable than the text.
text/greedy.py takes the best token of every frame, whatever that spells; here the path must spell the targets.
A target's frames are those on its own place. Frames on a blank belong to no target, so silence sticks to no letter.
Where: Viterbi 1967, on the lattice of Graves et al. 2006, §4.1. The steps back take a byte per frame and place.
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
    equally likely paths that one wins which is further on in the last frame where they differ. Raises ObjectiveError
    where the targets do not fit into the frames, where all their paths have the probability 0, and for what is no
    log-probability or no target.
    """
    log_y, labels = _checked(log_probs, targets, blank)
    frames, places = len(log_y), places_of(labels, blank)
    if frames < frames_needed(labels):
        raise ObjectiveError(too_few(frames, labels))
    steps, ends = _viterbi(log_y, places, may_skip(places))  # (T, 2S+1), (2S+1,)
    last = len(places) - 1
    place = last if last == 0 or ends[last] >= ends[last - 1] else last - 1
    log_p = float(ends[place])
    if log_p == -math.inf:
        raise ObjectiveError("every path that spells the targets has the probability 0")
    path = np.empty(frames, np.int64)
    for t in range(frames - 1, -1, -1):
        path[t] = place
        place -= int(steps[t, place])
    return Alignment(path, places[path], log_p, _spans(path, np.exp(log_y), labels))


def _spans(path: np.ndarray, y: np.ndarray, labels: np.ndarray) -> tuple[Placed, ...]:
    on = 2 * np.arange(len(labels)) + 1  # their places
    first, stop = np.searchsorted(path, on, "left"), np.searchsorted(path, on, "right")  # the path never falls
    return tuple(
        Placed(int(label), int(begin), int(end), float(y[begin:end, label].mean()))
        for label, begin, end in zip(labels, first, stop)
    )


def _checked(log_probs: np.ndarray, targets: Sequence[int] | np.ndarray, blank: int) -> tuple[np.ndarray, np.ndarray]:
    given = np.asarray(log_probs)
    if given.ndim != 2 or 0 in given.shape or given.dtype not in (np.float32, np.float64):
        raise ObjectiveError(f"log_probs must be (frames, tokens) floats, not {given.dtype} of shape {given.shape}")
    labels = require_targets(targets, blank, given.shape[1])
    log_y = given.astype(np.float64)
    bad = np.isnan(log_y).any(axis=1) | np.isposinf(log_y).any(axis=1)
    if bad.any():
        raise ObjectiveError(f"the log-probabilities of frame {int(bad.argmax())} are NaN or +infinite")
    with np.errstate(over="ignore"):
        sums = np.exp(log_y).sum(axis=1)
    off = abs(sums - 1) > SLACK
    if off.any():
        frame = int(off.argmax())
        raise ObjectiveError(
            f"the probabilities of frame {frame} sum to {sums[frame]:.3g}, not 1: give log-softmax, not logits"
        )
    return log_y, labels


SLACK = 1e-3  # a log-softmax rounded to float32, of thousands of tokens, stays within it


# --- kernels ---------------------------------------------------------------------------------------------------------


def _viterbi_numpy(log_y: np.ndarray, places: np.ndarray, skip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The specification: how far back each place's best way came from (T, 2S+1), and v of the last frame (2S+1,)."""
    steps = np.zeros((len(log_y), len(places)), np.int8)
    v = np.full(len(places), -np.inf)
    v[:2] = log_y[0, places[:2]]  # begin on the first blank or the first target
    for t in range(1, len(log_y)):
        before = np.concatenate([[-np.inf, -np.inf], v])
        ways = np.stack([before[2:], before[1:-1], np.where(skip, before[:-2], -np.inf)])  # stay, step, skip
        steps[t] = ways.argmax(axis=0)  # of equals the first
        v = ways.max(axis=0) + log_y[t, places]
    return steps, v


@njit()
def _viterbi_loop(log_y, places, skip, steps, v):
    T, n = steps.shape
    for s in range(min(n, 2)):
        v[s] = log_y[0, places[s]]
    for t in range(1, T):
        for s in range(n - 1, -1, -1):  # from the end: v[s − 1] and v[s − 2] are still those of frame t − 1
            best, step = v[s], 0
            if s > 0 and v[s - 1] > best:
                best, step = v[s - 1], 1
            if skip[s] and v[s - 2] > best:
                best, step = v[s - 2], 2
            steps[t, s] = step
            v[s] = best + log_y[t, places[s]]


def _viterbi_numba(log_y: np.ndarray, places: np.ndarray, skip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    steps = np.zeros((len(log_y), len(places)), np.int8)
    v = np.full(len(places), -np.inf)
    _viterbi_loop(log_y, places, skip, steps, v)
    return steps, v


_viterbi = choose(_viterbi_numba, _viterbi_numpy)
