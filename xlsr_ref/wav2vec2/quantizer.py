"""The quantizer: each frame's features become one of V codevectors, in each of G groups; targets of pre-training.

    l = features Wᵀ + b                                    (T, G, V): a score for every code
    p = softmax((l + n) / τ),   n = −ln(−ln u), u ~ U(0, 1)   (Gumbel noise: argmax(l + n) is a draw from softmax(l))
    q = onehot(argmax p) · codevectors                     the groups side by side: (T, d)

argmax has no gradient, so the backward pass uses that of p at τ (straight-through). τ falls from 2 as training
goes on, and p comes closer to a one-hot. ``hard=False`` mixes with p itself. Evaluation takes argmax l, without noise.
Where: wav2vec 2.0 §2 "Quantization module", eq. 1; Jang et al. 2016, Gumbel-softmax.
Checkpoint: `quantizer.{weight_proj.{weight,bias}, codevectors}`, the latter (1, G·V, d/G), one group after the other.
Letters: T frames, C channels of the features, G groups, V codes of each, d channels of all G codevectors together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.ops.linear import LinearCache, linear, linear_backward
from xlsr_ref.ops.matmul import matmul
from xlsr_ref.ops.softmax import SoftmaxCache, softmax, softmax_backward


class QuantizerCache(NamedTuple):
    weight_proj: LinearCache
    logits: np.ndarray  # (T, G, V)  l, without noise or τ: the diversity loss looks at these
    soft: SoftmaxCache  # (T*G, V)  p
    choice: np.ndarray  # (T, G, V)  what the codevectors were multiplied by: one-hot if hard, else p
    codes: np.ndarray  # (T, G)  which code is the largest
    codebook: np.ndarray  # (G, V, d/G)
    tau: float


def quantize(
    features: np.ndarray, p: dict, groups: int, noise: np.ndarray, tau: float, hard: bool = True
) -> tuple[np.ndarray, QuantizerCache]:
    """``features`` (T, C), normalised, to codevectors (T, d). ``noise`` (T, G, V) comes from :func:`gumbel_noise`.

    ``tau`` is the temperature. Raises ObjectiveError for one that is not above 0, and for noise of another shape.
    """
    if not tau > 0:
        raise ObjectiveError(f"tau is {tau}: a temperature must be above 0")
    logits, proj_cache = _code_logits(features, p, groups)
    if noise.shape != logits.shape:
        raise ObjectiveError(f"the noise is {noise.shape}, but the codes' scores are {logits.shape}: draw it for those")
    T, G, V = logits.shape
    codebook = p["codevectors"].reshape(G, V, -1)  # (G, V, d/G)
    noisy = (logits + noise.astype(logits.dtype)) / float(tau)
    soft, softmax_cache = softmax(noisy.reshape(T * G, V))
    codes = noisy.argmax(axis=-1)  # (T, G)
    choice = _one_hot(codes, V, logits.dtype) if hard else soft.reshape(T, G, V)
    quantized = np.concatenate([matmul(choice[:, g], codebook[g]) for g in range(G)], axis=1)  # (T, d)
    return quantized, QuantizerCache(proj_cache, logits, softmax_cache, choice, codes, codebook, float(tau))


def quantize_backward(
    dquantized: np.ndarray, cache: QuantizerCache, dlogits: np.ndarray | None = None
) -> tuple[np.ndarray, dict]:
    """Gradients with respect to features (T, C) and the parameters, from ``dquantized`` (T, d).

    ``dlogits`` (T, G, V) is what another loss, the diversity loss, already has for l. Raises ObjectiveError for a
    gradient of another shape or dtype.
    """
    proj_cache, logits, softmax_cache, choice, _, codebook, tau = cache
    T, G, V = logits.shape
    width = codebook.shape[2]  # d/G
    if (dquantized.shape, dquantized.dtype) != ((T, G * width), codebook.dtype):
        given, wanted = f"{dquantized.dtype} {dquantized.shape}", f"{codebook.dtype} {(T, G * width)}"
        raise ObjectiveError(f"the gradient is {given}, but the codevectors were {wanted}")
    parts = [dquantized[:, g * width : (g + 1) * width] for g in range(G)]  # undoes: the groups side by side
    dcodebook = np.stack([matmul(choice[:, g].T, parts[g]) for g in range(G)])  # undoes: onehot · codevectors
    dchoice = np.stack([matmul(parts[g], codebook[g].T) for g in range(G)], axis=1)  # (T, G, V)  undoes: the same
    dsoft = dchoice.reshape(T * G, V)  # straight through: onehot(argmax p) is passed over as if it were p
    dnoisy, _ = softmax_backward(dsoft, softmax_cache)  # undoes: softmax
    dl = (dnoisy / tau).reshape(T, G, V)  # undoes: (l + n) / τ
    if dlogits is not None:
        dl = dl + dlogits  # l went two ways
    dfeatures, proj_grads = linear_backward(dl.reshape(T, G * V), proj_cache)  # undoes: features Wᵀ + b
    return dfeatures, {"weight_proj": proj_grads, "codevectors": dcodebook.reshape(1, G * V, width)}


def quantize_eval(features: np.ndarray, p: dict, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Without noise: the codevectors (T, d) of ``features`` (T, C), and their codes (T, G), from 0 to V − 1."""
    logits, _ = _code_logits(features, p, groups)
    codes = logits.argmax(axis=-1)  # (T, G)
    codebook = p["codevectors"].reshape(groups, logits.shape[2], -1)
    return codebook[np.arange(groups), codes].reshape(len(features), -1), codes


def gumbel_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """−ln(−ln u) for u uniform in (0, 1), float64. −ln u is a standard exponential draw, so that is what is drawn."""
    exponential = rng.standard_exponential(shape)
    return -np.log(np.maximum(exponential, np.finfo(np.float64).tiny))  # a draw of 0 would be infinite noise


def temperature(step: int, start: float = 2.0, decay: float = 0.999995, floor: float = 0.1) -> float:
    """τ at an update: max(floor, start · decayⁿ). The floor is 0.5 for BASE, 0.1 for LARGE (w2v2 §4.2)."""
    return max(floor, start * decay**step)


def _code_logits(features: np.ndarray, p: dict, groups: int) -> tuple[np.ndarray, LinearCache]:
    logits, cache = linear(features, p["weight_proj"])  # (T, G*V)
    return logits.reshape(len(features), groups, -1), cache


def _one_hot(codes: np.ndarray, V: int, dtype: np.dtype) -> np.ndarray:
    return (codes[..., None] == np.arange(V)).astype(dtype)  # (T, G, V)
