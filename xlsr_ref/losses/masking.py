"""Masking: which frames the context network may not see, and which other frames are the negatives.

    spans:      ⌊p T + ε⌋ starts without replacement, M frames from each; spans may overlap       ε ~ U[0, 1)
    negatives:  K for each masked frame, uniform over the OTHER masked frames of the same utterance

Masking replaces the context network's input only; the quantizer sees the features as they are. Toolkits' `mask_prob`
is p·M: 0.65 for the paper's p = 0.065, M = 10, which mask 49 % of a 15 s utterance in spans of 14.7 frames on average.
Drawing and filling are kept apart: the same draws fill the same frames anywhere.
Where: wav2vec 2.0 §3.1 (masking), §3.2 (negatives), Appendix A (statistics of the spans).
Letters: T frames, M frames of a span, n masked frames, K negatives of each, N utterances.
"""

from __future__ import annotations

import numpy as np

from xlsr_ref.errors import ObjectiveError

# --- spans -----------------------------------------------------------------------------------------------------------


def draw_spans(T: int, p: float, M: int, rng: np.random.Generator, min_masks: int = 1) -> np.ndarray:
    """Which of T frames are masked, (T,) bool. ``p`` is the share of frames that start a span of ``M``.

    There are at least ``min_masks`` spans where they fit side by side. Fewer than M frames are never masked.
    """
    epsilon, starts = rng.random(), rng.permutation(max(T - M + 1, 0))
    return spans_from_draws(T, epsilon, starts, M, p, min_masks)


def spans_from_draws(
    T: int, epsilon: float, starts: np.ndarray, M: int, p: float | None = None, min_masks: int = 1
) -> np.ndarray:
    """Fill the spans of M frames that begin at ``starts``: (T,) bool.

    With ``p`` only the first ⌊p T + ε⌋ of the starts begin one (see :func:`span_count`), so that a random order of all
    places may be given; without it all of them do, and ``epsilon`` has nothing to round.
    """
    if M < 1:
        raise ObjectiveError(f"a span has {M} frames: it needs at least 1")
    mask = np.zeros(T, bool)
    if T < M:
        return mask
    used = np.asarray(starts, int) if p is None else np.asarray(starts, int)[: span_count(T, epsilon, M, p, min_masks)]
    if used.size and (used.min() < 0 or used.max() > T - M):
        raise ObjectiveError(f"spans of {M} in {T} frames start at 0 to {T - M}, not at {used.min()} to {used.max()}")
    mask[used[:, None] + np.arange(M)] = True
    return mask


def span_count(T: int, epsilon: float, M: int, p: float, min_masks: int = 1) -> int:
    """⌊p T + ε⌋, at least as many of ``min_masks`` as fit side by side, at most one from each place. p = 0 masks none.

    ε, uniform in [0, 1), rounds up as often as the fraction says: on average there are p T spans.
    """
    if T < M or p == 0:
        return 0
    return min(max(int(p * T + epsilon), min(min_masks, T // M)), T - M + 1)


# --- negatives -------------------------------------------------------------------------------------------------------


def draw_negatives(mask: np.ndarray, K: int, rng: np.random.Generator) -> np.ndarray:
    """For each masked frame of ``mask`` (T,), K frames to tell it from: (n, K) indices into the T frames.

    A single masked frame has no others: it gets none, (1, 0).
    """
    n = int(np.count_nonzero(mask))
    return negatives_from_draws(mask, rng.integers(0, n - 1, (n, K)) if n > 1 else np.empty((n, 0), int))


def negatives_from_draws(mask: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """``draws`` (n, K) count the n − 1 others of each masked frame, 0 to n − 2: (n, K) indices into the T frames."""
    masked = np.flatnonzero(mask)  # (n,)
    n, draws = len(masked), np.asarray(draws, int)
    if draws.ndim != 2 or len(draws) != n:
        raise ObjectiveError(f"the draws are {draws.shape}, but {n} frames are masked: give a row for each")
    if draws.size and (draws.min() < 0 or draws.max() > n - 2):
        raise ObjectiveError(
            f"draws go from {draws.min()} to {draws.max()}: each of {n} masked frames has {n - 1} others, 0 to {n - 2}"
        )
    own = np.arange(n)[:, None]
    return masked[draws + (draws >= own)]  # step over the frame itself
