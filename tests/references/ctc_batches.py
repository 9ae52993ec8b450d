"""torch.nn.functional.ctc_loss over a batch, without padding, on top of the loss of one utterance."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.losses.ctc import CtcCache, ctc_loss, ctc_loss_backward, reduction_weights


class CtcBatchCache(NamedTuple):
    each: tuple[CtcCache, ...]
    scales: tuple[float, ...]  # what each utterance's loss is multiplied by before they are added; 0 where zeroed
    zeroed: int  # infinite losses that zero_infinity dropped


def ctc_batch_loss(
    logits: Sequence[np.ndarray],
    targets: Sequence[Sequence[int] | np.ndarray],
    blank: int,
    *,
    reduction: Literal["sum", "mean"],
    zero_infinity: bool,
) -> tuple[float, CtcBatchCache]:
    """The loss of several utterances, each (T_i, V) with its own targets: torch.nn.functional.ctc_loss without padding.

    "sum" adds them; "mean" divides each by its number of targets (by 1 if it has none) and takes the mean.
    ``zero_infinity`` leaves infinite ones out of loss and gradient, and the cache counts them; without it one of them
    makes the loss infinite.
    """
    whole = reduction_weights([len(labels) for labels in targets], reduction)
    if len(logits) != len(targets) or len(logits) == 0:
        raise ObjectiveError(f"there are {len(logits)} utterances and {len(targets)} targets: give one for each")
    losses, caches = zip(*(ctc_loss(each, labels, blank) for each, labels in zip(logits, targets)))
    drop = [zero_infinity and math.isinf(loss) for loss in losses]
    scales = tuple(0.0 if dropped else scale for dropped, scale in zip(drop, whole))
    total = math.fsum(loss * scale for loss, scale, dropped in zip(losses, scales, drop) if not dropped)
    return total, CtcBatchCache(tuple(caches), scales, sum(drop))


def ctc_batch_loss_backward(dloss: float, cache: CtcBatchCache) -> list[np.ndarray]:
    """Gradients with respect to each utterance's logits (T_i, V); zeros for those that were left out.

    Raises ObjectiveError for an infinite loss that was not.
    """
    return [
        ctc_loss_backward(dloss * scale, each) if scale else np.zeros(each.log_y.shape, each.dtype)
        for each, scale in zip(cache.each, cache.scales)
    ]
