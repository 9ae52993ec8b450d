"""The diversity loss: use all the codes, and all of them equally often.

    p̄_g = mean over the masked frames of ALL utterances of softmax(l_g)         without noise, without temperature
    loss = (G V − Σ_g exp H(p̄_g)) / (G V),      H(p) = −Σ_v p_v ln p_v           0 if every p̄_g is uniform

exp H is the perplexity: how many codes are in use. A mean comes before an entropy, so a batch takes three steps: each
utterance adds up its probabilities, one sum runs over utterances in their order, and each gets its gradient back.
In training transformers does this with the soft probabilities, as here; in evaluation with the one-hots of the argmax.
It multiplies the loss by the number of masked frames, since its contrastive loss is a sum; so does model/pretrain.py.
Where: wav2vec 2.0 §3.2 "Diversity loss", eq. 4 and its footnote, which has this form.
Letters: T frames, n masked frames of an utterance, G groups, V codes of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.ops.softmax import SoftmaxCache, softmax, softmax_backward


class CodeUseCache(NamedTuple):
    soft: SoftmaxCache  # (n*G, V)
    mask: np.ndarray  # (T,) bool
    groups: int


class DiversityCache(NamedTuple):
    mean: np.ndarray  # (G, V) float64  p̄
    perplexity: np.ndarray  # (G,)
    frames: int  # masked ones, of all utterances


def code_use(logits: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, CodeUseCache]:
    """One utterance: the sum of softmax(l) over the masked frames, (G, V) in float64, of ``logits`` (T, G, V)."""
    T, G, V = logits.shape
    if mask.shape != (T,) or mask.dtype != bool:
        raise ObjectiveError(f"the mask is {mask.dtype} of shape {mask.shape}: {T} frames need ({T},) bool")
    soft, cache = softmax(logits[mask].reshape(-1, V))  # (n*G, V)
    use = soft.reshape(-1, G, V).sum(axis=0, dtype=np.float64)
    return use, CodeUseCache(cache, mask, G)


def code_use_backward(duse: np.ndarray, cache: CodeUseCache) -> np.ndarray:
    """Gradient with respect to the utterance's logits (T, G, V), from that of its sum (G, V); 0 if not masked."""
    soft, mask, groups = cache
    V = duse.shape[1]
    n = len(soft.y) // groups
    dsoft = np.broadcast_to(duse, (n, groups, V)).reshape(-1, V).astype(soft.y.dtype)  # undoes: Σ over masked frames
    dmasked, _ = softmax_backward(dsoft, soft)  # undoes: softmax
    dlogits = np.zeros((len(mask), groups, V), soft.y.dtype)
    dlogits[mask] = dmasked.reshape(n, groups, V)  # undoes: logits[mask]
    return dlogits


def diversity_loss(uses: Sequence[np.ndarray], frames: int) -> tuple[float, DiversityCache]:
    """From each utterance's ``code_use`` (G, V) and the number of masked ``frames`` of all: the loss, 0 to 1."""
    if frames < 1:
        raise ObjectiveError(f"{frames} frames are masked: the codes' distribution is a mean over at least 1")
    total = np.zeros_like(uses[0])
    for use in uses:  # in order: the same bits every time
        total += use
    mean = total / frames  # p̄
    used = perplexity(mean)  # (G,)
    return float((mean.size - used.sum()) / mean.size), DiversityCache(mean, used, frames)


def diversity_loss_backward(dloss: float, cache: DiversityCache) -> np.ndarray:
    """Gradient with respect to every utterance's sum (G, V): it is the same for all of them."""
    mean, used, frames = cache
    dused = -dloss / mean.size  # undoes: (G V − Σ_g …) / (G V)
    dentropy = dused * used[:, None]  # (G, 1)  undoes: exp H
    dmean = -dentropy * (safe_log(mean) + 1)  # undoes: −Σ p ln p. Where p is 0, softmax passes nothing on
    return dmean / frames  # undoes: the mean


def perplexity(probabilities: np.ndarray) -> np.ndarray:
    """How many codes of each group are in use: exp(−Σ_v p ln p) of ``probabilities`` (G, V), from 1 to V: (G,).

    0 ln 0 is 0, as in transformers, which reports the sum over the groups; fairseq has ln(p + 1e-7) in its place.
    """
    p = np.asarray(probabilities, np.float64)
    return np.exp(-(p * safe_log(p)).sum(axis=-1))


def safe_log(p: np.ndarray) -> np.ndarray:
    """ln p, and 0 where p is 0: for use where p itself stands before it."""
    return np.log(p, out=np.zeros_like(p), where=p > 0)
