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
from typing import Any, Literal, NamedTuple

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.heads.ctc import ctc_head, ctc_head_backward
from xlsr_ref.heads.frame_classification import frame_head, frame_head_backward
from xlsr_ref.heads.layer_sum import LayerSumCache, layer_sum, layer_sum_backward
from xlsr_ref.heads.sequence_classification import sequence_head, sequence_head_backward
from xlsr_ref.heads.xvector import xvector_head, xvector_head_backward
from xlsr_ref.ops import threads
from xlsr_ref.ops.dropout import DropoutCache, dropout, dropout_backward
from xlsr_ref.ops.norm import Moments
from xlsr_ref.ops.tree import add_to
from xlsr_ref.ops.upstream import require_upstream
from xlsr_ref.wav2vec2.backbone import BackboneCache, backbone, backbone_backward
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.keep import Keep, allows_backward
from xlsr_ref.wav2vec2.masks import NO_MASKS, Masks

BASE = "wav2vec2"  # the backbone's name in the parameters of a model that has a head

HeadName = Literal["ctc", "sequence classification", "frame classification", "xvector"]


class NetworkCache(NamedTuple):
    backbone: BackboneCache
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
    config: Config
    threads: int | None = None
    transformers_4: bool = False

    @property
    def base(self) -> dict[str, Any]:
        """The backbone's parameters."""
        return self.params.get(BASE, self.params)

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64: of the parameters, and so of everything computed with them."""
        return self.base["encoder"]["layer_norm"]["weight"].dtype

    @property
    def head(self) -> HeadName | None:
        """Which head there is."""
        if "tdnn" in self.params:
            return "xvector"
        if "classifier" in self.params:
            return "sequence classification" if "projector" in self.params else "frame classification"
        return "ctc" if "lm_head" in self.params else None

    def forward(
        self,
        x: np.ndarray,
        keep: Keep = True,
        masks: Masks = NO_MASKS,
        *,
        freeze_feature_encoder: bool = False,
        stats: Moments | None = None,
    ) -> tuple[np.ndarray, NetworkCache]:
        """``x`` (L,), normalised, to the head's result, and the cache; the arguments are those of
        :func:`xlsr_ref.wav2vec2.backbone.backbone`."""
        with threads.computing(self.threads):
            context, backbone_cache, sum_cache = self._context(x, keep, masks, freeze_feature_encoder, stats)
            dropped, dropout_cache = dropout(context, masks.final)
            y, head_cache = self._head(dropped)
        summed = context if sum_cache is not None else None
        return y, NetworkCache(backbone_cache, sum_cache, summed, dropout_cache, head_cache, y, keep)

    def context(self, x: np.ndarray) -> np.ndarray:
        """What the head is given: the context vectors (T, C), or the weighted sum of the hidden states."""
        with threads.computing(self.threads):
            return self._context(x, False, NO_MASKS, False, None)[0]

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
            ddropped, grads = self._head_backward(dy, cache)  # undoes: the head
            if not allows_backward(cache.keep):
                return None, grads
            dcontext, _ = dropout_backward(ddropped, cache.dropout)  # undoes: dropout
            dstates = None
            if cache.layer_sum is not None:
                dstates, grads["layer_weights"] = layer_sum_backward(dcontext, cache.layer_sum)  # undoes: the sum
                dcontext = np.zeros_like(dcontext)  # the context itself took no part
                if self._sums_the_context:  # or it did, as the last state
                    dcontext, dstates[-1] = dstates[-1], dcontext
            dx, below = backbone_backward(
                dcontext, cache.backbone, self.base, self.config, dstates=dstates, adapters_only=adapters_only
            )
        if BASE in self.params:
            return dx, grads | {BASE: below}
        add_to(below, grads)  # an x-vector's linear bears the feature encoder's name
        return dx, below

    @property
    def _sums_the_context(self) -> bool:
        return self.transformers_4 and self.config.do_stable_layer_norm

    def _context(
        self, x: np.ndarray, keep: Keep, masks: Masks, freeze: bool, stats: Moments | None
    ) -> tuple[np.ndarray, BackboneCache, LayerSumCache | None]:
        summed = "layer_weights" in self.params
        keep = keep or ("states" if summed else False)
        context, cache = backbone(x, self.base, self.config, masks, keep, freeze_feature_encoder=freeze, stats=stats)
        if not summed:
            return context, cache, None
        states = list(cache.encoder.states)
        if self._sums_the_context:
            states[-1] = context
        context, sum_cache = layer_sum(states, self.params["layer_weights"])
        return context, cache, sum_cache

    def _head(self, x: np.ndarray) -> tuple[np.ndarray, Any]:
        match self.head:
            case "ctc":
                return ctc_head(x, self.params)
            case "sequence classification":
                return sequence_head(x, self.params)
            case "frame classification":
                return frame_head(x, self.params)
            case "xvector":
                return xvector_head(x, self.params, self.config.tdnn_kernel, self.config.tdnn_dilation)
        return x, None

    def _head_backward(self, dy: np.ndarray, cache: NetworkCache) -> tuple[np.ndarray, dict]:
        match self.head:
            case "ctc":
                return ctc_head_backward(dy, cache.head)
            case "sequence classification":
                return sequence_head_backward(dy, cache.head)
            case "frame classification":
                return frame_head_backward(dy, cache.head)
            case "xvector":
                return xvector_head_backward(dy, cache.head)
        return dy, {}


def require_kept(cache: NetworkCache) -> None:
    """Raise ObjectiveError where forward kept too little to go back to the waveform."""
    if not allows_backward(cache.keep):
        raise ObjectiveError("forward kept nothing to go back through: call it with keep=True")
