"""The contrastive loss: tell a masked frame's own code from those of other masked frames, by the context alone.

    s[i, k] = cos(c_i, q_k) / κ                  k: frame i itself, then its K negatives
    loss = Σ_i −ln ( exp s[i, i] / Σ_k exp s[i, k] )           summed, not averaged, over the masked frames
    cos(a, b) = a/max(‖a‖, ε) · b/max(‖b‖, ε)    ε = 1e-8, as in torch

A negative that was quantised to the same codes as the positive cannot be told from it: its s is −∞. That is decided on
the codes; transformers compares floats, which is the same only while equal codes come out as equal bits.
Positives and negatives are rows of one array q, so all similarities of an utterance are one matrix product.
Where: wav2vec 2.0 §3.2 "Contrastive loss", eq. 3 (K = 100, κ = 0.1).
Letters: T frames, n masked frames, d channels, K negatives of each, G groups.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.ops.matmul import matmul

EPS = 1e-8


class DirectionCache(NamedTuple):
    unit: np.ndarray  # (rows, d)  every row divided by its length
    length: np.ndarray  # (rows, 1)  never below EPS


class ContrastiveCache(NamedTuple):
    context: DirectionCache  # (n, d)
    quantized: DirectionCache  # (T, d)
    candidates: np.ndarray  # (n, 1 + K)  frames: the positive, then the negatives
    logits: np.ndarray  # (n, 1 + K) float64  s, −inf where a negative is the positive's equal
    kappa: float


def contrastive_loss(
    context: np.ndarray,
    quantized: np.ndarray,
    codes: np.ndarray,
    masked: np.ndarray,
    negatives: np.ndarray,
    kappa: float = 0.1,
) -> tuple[float, ContrastiveCache]:
    """The loss of one utterance in nats, summed over its n masked frames, and the cache.

    ``context`` (n, d) are the projected context vectors at the masked frames, ``masked`` (n,) which frames these are,
    ``quantized`` (T, d) the projected codevectors of all frames, ``codes`` (T, G) what they were made from, and
    ``negatives`` (n, K) frames. Without negatives (K = 0) the loss is 0. Raises ObjectiveError for shapes that do not
    go together, frames that are not there, and NaN or infinite vectors.
    """
    candidates = _checked(context, quantized, codes, masked, negatives, kappa)
    context_unit, context_cache = direction(context)
    quantized_unit, quantized_cache = direction(quantized)
    similarity = matmul(context_unit, quantized_unit.T)  # (n, T): all of them, of which some are looked at
    logits = np.take_along_axis(similarity, candidates, axis=1).astype(np.float64) / kappa  # (n, 1 + K)
    equal = (codes[candidates[:, 1:]] == codes[candidates[:, :1]]).all(axis=-1)  # (n, K)
    logits[:, 1:][equal] = -np.inf
    losses = log_sum_exp(logits) - logits[:, 0]  # (n,)
    return float(losses.sum()), ContrastiveCache(context_cache, quantized_cache, candidates, logits, kappa)


def contrastive_loss_backward(dloss: float, cache: ContrastiveCache) -> tuple[np.ndarray, np.ndarray]:
    """Gradients with respect to context (n, d) and quantized (T, d), from that of the loss."""
    context, quantized, candidates, logits, kappa = cache
    dlogits = dloss * np.exp(logits - log_sum_exp(logits)[:, None])  # undoes: ln Σ exp s; 0 where s is −inf
    dlogits[:, 0] -= dloss  # undoes: − s[i, i]
    dsimilarity = np.zeros((len(context.unit), len(quantized.unit)))  # (n, T)
    rows = np.arange(len(candidates))[:, None]
    np.add.at(dsimilarity, (rows, candidates), dlogits / kappa)  # undoes: take_along_axis; a frame may be drawn twice
    dsimilarity = dsimilarity.astype(context.unit.dtype)
    dcontext = direction_backward(matmul(dsimilarity, quantized.unit), context)  # undoes: the product, from its left
    dquantized = direction_backward(matmul(dsimilarity.T, context.unit), quantized)  # and from its right
    return dcontext, dquantized


def hits(cache: ContrastiveCache) -> tuple[int, int]:
    """(correct, counted): masked frames whose positive is the most similar, of those with a negative of other codes."""
    closest = cache.logits[:, 1:].max(axis=1, initial=-np.inf)  # (n,)
    counted = closest > -np.inf
    return int((cache.logits[counted, 0] > closest[counted]).sum()), int(counted.sum())


def direction(x: np.ndarray) -> tuple[np.ndarray, DirectionCache]:
    """Every row of ``x`` (rows, d) divided by its length, or by EPS if it is shorter than that."""
    squares = (x * x).sum(axis=1, keepdims=True, dtype=np.float64)
    length = np.maximum(np.sqrt(squares), EPS).astype(x.dtype)  # (rows, 1)
    unit = x / length
    return unit, DirectionCache(unit, length)


def direction_backward(dunit: np.ndarray, cache: DirectionCache) -> np.ndarray:
    """Gradient with respect to x (rows, d). Moving x along itself changes its length only: that part is taken out.

    A row shorter than EPS was divided by a constant, and nothing is taken out. (torch takes it out there too, which is
    not the slope of what it computes.)
    """
    unit, length = cache
    along = (dunit * unit).sum(axis=1, keepdims=True)  # (rows, 1)
    along[length <= EPS] = 0
    return (dunit - unit * along) / length  # undoes: x / max(‖x‖, ε)


def log_sum_exp(logits: np.ndarray) -> np.ndarray:
    """ln Σ_k exp of each row (n, 1 + K), whose first is finite: (n,)."""
    largest = logits.max(axis=1, keepdims=True)
    return largest[:, 0] + np.log(np.exp(logits - largest).sum(axis=1))


def _checked(context, quantized, codes, masked, negatives, kappa) -> np.ndarray:
    """The candidates (n, 1 + K), if everything goes together."""
    masked, negatives = np.asarray(masked, int), np.asarray(negatives, int)
    if context.ndim != 2 or quantized.ndim != 2 or context.shape[1] != quantized.shape[1]:
        raise ObjectiveError(f"context is {context.shape} and quantized {quantized.shape}: both must be (frames, d)")
    n, T = len(context), len(quantized)
    if masked.shape != (n,) or negatives.ndim != 2 or len(negatives) != n or codes.ndim != 2 or len(codes) != T:
        raise ObjectiveError(
            f"{n} context vectors and {T} frames need masked ({n},), negatives ({n}, K) and codes ({T}, G), "
            f"not {masked.shape}, {negatives.shape} and {codes.shape}"
        )
    candidates = np.concatenate([masked[:, None], negatives], axis=1)
    if candidates.size and (candidates.min() < 0 or candidates.max() >= T):
        raise ObjectiveError(f"masked and negatives go from {candidates.min()} to {candidates.max()}, of {T} frames")
    if not kappa > 0:
        raise ObjectiveError(f"kappa is {kappa}: a temperature must be above 0")
    for name, array in (("context", context), ("quantized", quantized)):
        if not np.isfinite(array).all():
            raise ObjectiveError(f"{name} is NaN or infinite in row {np.argwhere(~np.isfinite(array))[0, 0]}")
    return candidates
