"""Connectionist temporal classification: the probability of a text, summed over every way to lay it out in time.

    p(l | x) = Σ over paths π with B(π) = l of Π_t y[t, π_t]          y = softmax(logits); loss = −ln p
    l' = − l₁ − l₂ − … −                          the targets with a blank around each: 2S + 1 places
    α[t, s] = y[t, l'_s] (α[t−1, s] + α[t−1, s−1] + α[t−1, s−2])      the last only if l'_s is no blank and ≠ l'_{s−2}
    β[t, s] the same from the end, without y[t, l'_s];   posterior γ[t, s] = α[t, s] β[t, s] / p
    ∂loss/∂logits[t, k] = y[t, k] − Σ over s with l'_s = k of γ[t, s]            so every frame's gradient sums to 0

α and β are kept as logarithms in float64: a product of a thousand probabilities is 0 in any float.
Where: Graves et al. 2006, §4 and eq. 6–16; wav2vec 2.0 §3.3 (fine-tuning). B is the collapse of text/greedy.py.
Letters: T frames, V tokens, S targets, p their probability.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.ops.backend import choose, njit
from xlsr_ref.ops.lattice import may_skip, places_of, require_targets, too_few
from xlsr_ref.ops.softmax import log_softmax
from xlsr_ref.unmasked import refuse_masked


class CtcCache(NamedTuple):
    log_y: np.ndarray  # (T, V) float64  log-softmax of the logits
    places: np.ndarray  # (2S+1,)  l': the token at each place, blanks included
    log_alpha: np.ndarray  # (T, 2S+1) float64  over all paths to place s at frame t
    log_p: float  # −inf if there is no path
    dtype: np.dtype  # of the logits, and so of their gradient


def ctc_loss(logits: np.ndarray, targets: Sequence[int] | np.ndarray, blank: int) -> tuple[float, CtcCache]:
    """−ln p(targets) of one utterance, in nats, and the cache; +inf where T < S + the number of equal neighbours.

    ``logits`` (T, V) are unnormalised, ``targets`` (S,) are ids of tokens other than ``blank``; S may be 0.
    Raises ObjectiveError for ids that cannot be, NaN or infinite logits, and arrays of another shape.
    """
    logits, labels = _checked(logits, targets, blank)
    log_y = log_softmax(logits)
    places = places_of(labels, blank)
    log_alpha = _log_alpha(log_y, places)
    log_p = float(np.logaddexp.reduce(log_alpha[-1, -2:]))  # end on the last target or on the blank after it
    return 0.0 - log_p, CtcCache(log_y, places, log_alpha, log_p, logits.dtype)


def ctc_loss_backward(dloss: float, cache: CtcCache) -> np.ndarray:
    """Gradient with respect to the logits (T, V), from that of the loss. Raises ObjectiveError for an infinite loss."""
    gamma = posteriors(cache)  # (T, 2S+1)
    posterior = np.zeros_like(cache.log_y)  # (T, V)
    for token in np.unique(cache.places):  # it may have more than one place
        posterior[:, token] = gamma[:, cache.places == token].sum(axis=1)
    return (dloss * (np.exp(cache.log_y) - posterior)).astype(cache.dtype)  # undoes: softmax and −ln Σ_π, in one


def posteriors(cache: CtcCache) -> np.ndarray:
    """γ (T, 2S+1) float64: how probable place s is at frame t, given the targets; every frame sums to 1.

    Raises ObjectiveError for an infinite loss.
    """
    if cache.log_p == -math.inf:
        wrong = too_few(len(cache.log_y), cache.places[1::2])
        raise ObjectiveError(f"{wrong}: the loss is infinite and has no gradient")
    return np.exp(cache.log_alpha + log_beta(cache) - cache.log_p)


def log_beta(cache: CtcCache) -> np.ndarray:
    """ln β (T, 2S+1) float64, over all paths that go on from place s after frame t. The loss does not need it."""
    return _log_beta(cache.log_y, cache.places)


def reduction_weights(sizes: Sequence[int], reduction: str) -> list[float]:
    """What each utterance's loss is multiplied by, from its number of targets.

    "sum" takes each as it is; "mean" divides each by its number of targets (by 1 if it has none) and takes the mean,
    as torch.nn.functional.ctc_loss does.
    """
    if reduction not in ("sum", "mean"):
        raise ObjectiveError(f"reduction is {reduction!r}: it must be 'sum' or 'mean'")
    return [1.0 if reduction == "sum" else 1 / (len(sizes) * max(size, 1)) for size in sizes]


def _checked(logits: np.ndarray, targets: Sequence[int] | np.ndarray, blank: int) -> tuple[np.ndarray, np.ndarray]:
    refuse_masked(logits, "logits", ObjectiveError)
    logits = np.asarray(logits)
    if logits.ndim != 2 or 0 in logits.shape or logits.dtype not in (np.float32, np.float64):
        raise ObjectiveError(f"logits must be (frames, tokens) floats, not {logits.dtype} of shape {logits.shape}")
    labels = require_targets(targets, blank, logits.shape[1])
    if not np.isfinite(logits).all():
        frame = int(np.argwhere(~np.isfinite(logits))[0, 0])
        raise ObjectiveError(f"the logits of frame {frame} are NaN or infinite")
    return logits, labels


# --- kernels ---------------------------------------------------------------------------------------------------------


def _log_alpha_numpy(log_y: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The specification: one frame at a time, all places at once."""
    skip = np.where(may_skip(places), 0.0, -np.inf)
    log_alpha = np.full((len(log_y), len(places)), -np.inf)
    log_alpha[0, :2] = log_y[0, places[:2]]  # begin on the first blank or the first target
    for t in range(1, len(log_y)):
        before = np.concatenate([[-np.inf, -np.inf], log_alpha[t - 1]])
        paths = np.logaddexp(np.logaddexp(before[2:], before[1:-1]), before[:-2] + skip)
        log_alpha[t] = paths + log_y[t, places]
    return log_alpha


def _log_beta_numpy(log_y: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The specification: the same from the end; what frame t itself says is in α already."""
    skip = np.where(may_skip(places), 0.0, -np.inf)
    log_beta = np.full((len(log_y), len(places)), -np.inf)
    log_beta[-1, -2:] = 0
    for t in range(len(log_y) - 2, -1, -1):
        after = np.concatenate([log_beta[t + 1] + log_y[t + 1, places], [-np.inf, -np.inf]])
        log_beta[t] = np.logaddexp(np.logaddexp(after[:-2], after[1:-1]), after[2:] + np.append(skip, [0, 0])[2:])
    return log_beta


@njit()
def _log_sum(a, b, c):
    """ln(e^a + e^b + e^c), where −inf is a value."""
    largest = max(a, b, c)
    if largest == -math.inf:
        return largest
    return largest + math.log(math.exp(a - largest) + math.exp(b - largest) + math.exp(c - largest))


@njit()
def _log_alpha_loop(log_y, places, skip, log_alpha):
    T, n = log_alpha.shape
    log_alpha[0, 0] = log_y[0, places[0]]
    if n > 1:
        log_alpha[0, 1] = log_y[0, places[1]]
    for t in range(1, T):
        for s in range(n):
            one = log_alpha[t - 1, s - 1] if s > 0 else -math.inf
            two = log_alpha[t - 1, s - 2] if skip[s] else -math.inf
            log_alpha[t, s] = _log_sum(log_alpha[t - 1, s], one, two) + log_y[t, places[s]]


@njit()
def _log_beta_loop(log_y, places, skip, log_beta):
    T, n = log_beta.shape
    for s in range(max(0, n - 2), n):
        log_beta[T - 1, s] = 0
    for t in range(T - 2, -1, -1):
        for s in range(n):
            zero = log_beta[t + 1, s] + log_y[t + 1, places[s]]
            one = log_beta[t + 1, s + 1] + log_y[t + 1, places[s + 1]] if s + 1 < n else -math.inf
            two = log_beta[t + 1, s + 2] + log_y[t + 1, places[s + 2]] if s + 2 < n and skip[s + 2] else -math.inf
            log_beta[t, s] = _log_sum(zero, one, two)


def _log_alpha_numba(log_y: np.ndarray, places: np.ndarray) -> np.ndarray:
    log_alpha = np.full((len(log_y), len(places)), -np.inf)
    _log_alpha_loop(log_y, places, may_skip(places), log_alpha)
    return log_alpha


def _log_beta_numba(log_y: np.ndarray, places: np.ndarray) -> np.ndarray:
    log_beta = np.full((len(log_y), len(places)), -np.inf)
    _log_beta_loop(log_y, places, may_skip(places), log_beta)
    return log_beta


_log_alpha = choose(_log_alpha_numba, _log_alpha_numpy)
_log_beta = choose(_log_beta_numba, _log_beta_numpy)
