"""The network: a backbone and its head, forward and backward, on a number of threads.

    x ─ backbone ─┬──────────────────────┬─ dropout ─ head ─ y
        states ───┴ weighted layer sum ──┘

Which head there is, and whether a weighted sum of all hidden states stands before it, the parameters tell.
    lm_head (CTC): y (T, V)     sequence classification: (N,)     frame classification: (T, N)     x-vector: (E,)
    none: y is the context vectors (T, C)
Letters: L samples, T frames, C channels, V tokens, N labels, E channels of an x-vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.heads.layer_sum import LayerSumCache, layer_sum, layer_sum_backward
from xlsr_ref.model.heads import HeadName, head_of
from xlsr_ref.model.networks import architecture_of
from xlsr_ref.ops import threads
from xlsr_ref.ops.dropout import DropoutCache, dropout, dropout_backward
from xlsr_ref.ops.keep import Keep, allows_backward
from xlsr_ref.ops.spec_augment import NO_MASKS, Masks
from xlsr_ref.ops.tree import add_to, flatten, read_only
from xlsr_ref.ops.upstream import require_upstream
from xlsr_ref.settings import Settings

KEPT = 1 << 28  # bytes of weights whose derived forms a training step may keep


class NetworkCache(NamedTuple):
    backbone: Any  # BackboneCache of the network
    layer_sum: LayerSumCache | None
    summed: Any  # (T, C)  the weighted sum of the states; None where there is no such sum
    dropout: DropoutCache
    head: Any  # the cache of the head; None where there is none
    y: np.ndarray
    keep: Keep


@dataclass
class Network:
    """``params`` (nested, under the checkpoint's names) and ``config``; ``threads`` is how many it computes on (None:
    the default). ``transformers_4``: see heads/layer_sum.py."""

    params: dict[str, Any]
    config: Settings
    threads: int | None = None
    transformers_4: bool = False

    @property
    def base(self) -> dict[str, Any]:
        """The backbone's parameters."""
        return self.params.get(self.config.base, self.params)

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64: of the parameters, and so of everything computed with them."""
        return self.base["feature_projection"]["projection"]["weight"].dtype

    @property
    def head(self) -> HeadName | None:
        """Which head there is."""
        return head_of(self.params).name

    def forward(
        self,
        x: np.ndarray,
        keep: Keep = True,
        masks: Masks = NO_MASKS,
        **options: Any,
    ) -> tuple[np.ndarray, NetworkCache]:
        """``x``, a waveform (L,), normalised, or features (T, F), to the head's result, and the cache.

        ``keep``, ``masks`` and ``options`` are those of the network's own :func:`backbone`.
        """
        with threads.computing(self.threads):
            context, backbone_cache, sum_cache = self._context(x, keep, masks, **options)
            dropped, dropout_cache = dropout(context, masks.final)
            y, head_cache = head_of(self.params).forward(dropped, self.params, self.config)
        summed = context if sum_cache is not None else None
        return y, NetworkCache(backbone_cache, sum_cache, summed, dropout_cache, head_cache, y, keep)

    def context(self, x: np.ndarray) -> np.ndarray:
        """What the head is given: the context vectors (T, C), or the weighted sum of the hidden states."""
        with threads.computing(self.threads):
            return self._context(x, False, NO_MASKS)[0]

    def backward(
        self, dy: np.ndarray, cache: NetworkCache, adapters_only: bool = False
    ) -> tuple[np.ndarray | None, dict]:
        """Gradients with respect to x (L,) and every parameter that took part, nested as ``params`` are.

        ``dy`` is that of forward's result. What forward did not keep has no gradient: a frozen feature encoder, and
        with ``keep=False`` everything below the head. With ``adapters_only`` the attention adapters and the head alone
        have one. Raises ObjectiveError for another shape or dtype.
        """
        require_upstream(dy, cache.y.shape, cache.y.dtype)
        with threads.computing(self.threads):
            ddropped, grads = head_of(self.params).backward(dy, cache.head)  # undoes: the head
            if not allows_backward(cache.keep):
                return None, grads
            dcontext, _ = dropout_backward(ddropped, cache.dropout)  # undoes: dropout
            dstates = None
            if cache.layer_sum is not None:
                dstates, grads["layer_weights"] = layer_sum_backward(dcontext, cache.layer_sum)  # undoes: the sum
                dcontext = np.zeros_like(dcontext)  # the context itself took no part
                if self._sums_the_context:  # or it did, as the last state
                    dcontext, dstates[-1] = dstates[-1], dcontext
            backward, options = (
                architecture_of(self.config).backbone_backward,
                {"adapters_only": True} if adapters_only else {},
            )
            dx, below = backward(dcontext, cache.backbone, self.base, self.config, dstates=dstates, **options)
        if self.config.base in self.params:
            return dx, grads | {self.config.base: below}
        add_to(below, grads)  # an x-vector's linear bears the feature encoder's name
        return dx, below

    @property
    def _sums_the_context(self) -> bool:
        return self.transformers_4 and self.config.has_final_norm

    def _context(
        self, x: np.ndarray, keep: Keep, masks: Masks, **options: Any
    ) -> tuple[np.ndarray, Any, LayerSumCache | None]:
        summed = "layer_weights" in self.params
        keep = keep or ("states" if summed else False)
        backbone = architecture_of(self.config).backbone
        context, cache = backbone(x, self.base, self.config, masks, keep, **options)
        if not summed:
            return context, cache, None
        states = list(cache.encoder.states)
        if self._sums_the_context:
            states[-1] = context
        context, sum_cache = layer_sum(states, self.params["layer_weights"])
        return context, cache, sum_cache


def for_one_step(params: dict[str, Any]) -> dict[str, Any]:
    """``params`` as a training step passes them on: read-only, so that what is derived from a weight, such as its
    packed form, is kept for all utterances of the step (ops/derived.py). Of more than KEPT bytes it would take as much
    memory as the weights: there they stay as they are, and it is made anew for each utterance, as BLAS does anyway."""
    large = sum(array.nbytes for array in flatten(params).values()) > KEPT
    return params if large else read_only(params)


def require_kept(cache: NetworkCache) -> None:
    """Raise ObjectiveError where forward kept too little to go back to the waveform."""
    if not allows_backward(cache.keep):
        raise ObjectiveError("forward kept nothing to go back through: call it with keep=True")
