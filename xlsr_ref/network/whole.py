"""The whole network: a normalised waveform goes in, what the head makes of it comes out, and a gradient goes back.

    waveform ─ feature_encoder ─ feature_projection ─ encoder ─┬─────────────────┬─ head
    (L,)        (T, 512)          (T, 1024)            (T, 1024) ├ adapter          │
                                                                └ layer sum of all ┘
    head:  lm_head (CTC) · classification.py (a recording's label, or each frame's) · xvector.py · none

Which head there is, and whether something stands before it, the parameters tell. The widths are XLSR-53's.
Where: wav2vec 2.0 §2; XLSR §2. Checkpoint: everything, behind the prefix `wav2vec2.` where there is a head.
Letters: L samples, T frames, C channels, V tokens, N labels.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from xlsr_ref.config import Config
from xlsr_ref.errors import ObjectiveError
from xlsr_ref.network.adapter import adapter, adapter_backward
from xlsr_ref.network.classification import (
    frame_head,
    frame_head_backward,
    layer_sum,
    layer_sum_backward,
    recording_head,
    recording_head_backward,
)
from xlsr_ref.network.context import (
    encoder,
    encoder_backward,
    feature_projection,
    feature_projection_backward,
    hidden_states,
)
from xlsr_ref.network.feature_encoder import feature_encoder, feature_encoder_backward
from xlsr_ref.network.heads import ctc_head, ctc_head_backward
from xlsr_ref.network.prepare import Prepared
from xlsr_ref.network.stage import Keep, Stage, Stages, remember
from xlsr_ref.network.xvector import embedding, embedding_backward, xvector_head, xvector_head_backward
from xlsr_ref.ops.norm import Moments
from xlsr_ref.ops.upstream import require_upstream
from xlsr_ref.params import add_to

Head = Literal["lm_head", "recording", "frame", "voice"]


def forward(
    x: np.ndarray,
    params: dict[str, Any],
    config: Config,
    keep: Keep,
    prepared: Prepared,
    whole: Moments | None = None,
    transformers_4: bool = False,
) -> tuple[np.ndarray, Stages]:
    """``x`` (L,), normalised, to the head's result, and the stages under the checkpoint's module paths.

    The result is logits (T, V) of CTC, scores (N,) of a recording or (T, N) of its frames, an x-vector's (E,), or,
    without a head, the context (T, C). ``whole`` and ``transformers_4`` are as for :func:`context_vectors`.
    """
    context, stages = context_vectors(x, params, config, keep, prepared, whole, transformers_4)
    y, of_the_head = _head(context, params, config, keep)
    return y, stages | of_the_head


def context_vectors(
    x: np.ndarray,
    params: dict[str, Any],
    config: Config,
    keep: Keep,
    prepared: Prepared,
    whole: Moments | None = None,
    transformers_4: bool = False,
) -> tuple[np.ndarray, Stages]:
    """What the head is given: the context vectors (T, C), the adapter's (T', C), or the weighted sum of all states.

    ``whole`` are the moments of the recording that ``x`` is a part of, see feature_encoder.py; ``transformers_4`` takes
    the last state of a pre-norm model behind the final norm, see classification.py.
    """
    p, base = params.get("wav2vec2", params), _prefix(params)
    stages: Stages = {}
    features, inner = feature_encoder(x, p["feature_extractor"], config, keep, prepared.matrices, whole)
    stages |= _under(f"{base}feature_extractor.", inner)
    del x  # what is not needed any more leaves its memory to the next stage
    projected, cache = feature_projection(features, p["feature_projection"], config.layer_norm_eps)
    remember(stages, f"{base}feature_projection", projected, cache, keep)
    del features, cache
    summed = "layer_weights" in params
    keep_inside = "outputs" if summed and not keep else keep
    context, inner = encoder(projected, p["encoder"], config, keep_inside, prepared.positional)
    if keep:
        stages |= _under(f"{base}encoder.", inner)
    if summed:
        states = hidden_states(projected, inner, config)
        if transformers_4 and config.do_stable_layer_norm:
            states[-1] = context
        context, sum_cache = layer_sum(states, params["layer_weights"])
        remember(stages, "layer_weights", context, sum_cache, keep)
    elif "adapter" in p:
        context, inner = adapter(context, p["adapter"], config, keep)
        stages |= _under(f"{base}adapter.", inner)
    return context, stages


def backward(
    dy: np.ndarray, stages: Stages, params: dict[str, Any], config: Config, transformers_4: bool = False
) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (L,) and every parameter that took part, nested as ``params`` are.

    ``dy`` is that of forward's result. Raises ObjectiveError for another shape or dtype, and where nothing was kept.
    """
    p, base = params.get("wav2vec2", params), _prefix(params)
    y = next(reversed(stages.values())).output if stages else None
    if y is None or stages[f"{base}feature_projection"].cache is None:
        raise ObjectiveError("forward kept nothing to go back through: call it with keep=True")
    require_upstream(dy, y.shape, y.dtype)
    dcontext, grads = _head_backward(dy, stages, params)  # undoes: the head
    dstates, backbone = None, {}
    if "layer_weights" in stages:
        cache = stages["layer_weights"].cache
        dstates, grads["layer_weights"] = layer_sum_backward(dcontext, cache)  # undoes: the weighted sum
        dcontext = np.zeros_like(dcontext)  # the context itself took no part
        if transformers_4 and config.do_stable_layer_norm:  # or it did, as the last state
            dcontext, dstates[-1] = dstates[-1], dcontext
    elif "adapter" in p:
        inner = _within(f"{base}adapter.", stages)
        dcontext, backbone["adapter"] = adapter_backward(dcontext, inner)  # undoes: adapter
    inner = _within(f"{base}encoder.", stages)
    dprojected, backbone["encoder"] = encoder_backward(dcontext, inner, p["encoder"], config, None, dstates)
    cache = stages[f"{base}feature_projection"].cache  # (the line above undoes: encoder)
    dfeatures, backbone["feature_projection"] = feature_projection_backward(dprojected, cache)  # undoes: the projection
    inner = _within(f"{base}feature_extractor.", stages)
    dx, backbone["feature_extractor"] = feature_encoder_backward(dfeatures, inner)  # undoes: feature_encoder
    if base:
        return dx, grads | {"wav2vec2": backbone}
    add_to(backbone, grads)  # an x-vector's linear bears the feature encoder's name
    return dx, backbone


# --- heads -----------------------------------------------------------------------------------------------------------


def head_of(params: dict[str, Any]) -> Head | None:
    """Which head there is. The parameters tell, so that what was put together by hand works, too."""
    if "tdnn" in params:
        return "voice"
    if "classifier" in params:
        return "recording" if "projector" in params else "frame"
    return "lm_head" if "lm_head" in params else None


def _head(context: np.ndarray, params: dict[str, Any], config: Config, keep: Keep) -> tuple[np.ndarray, Stages]:
    """From the context to the result; without a head that is the context itself."""
    y = context
    stages: Stages = {}
    match head_of(params):
        case "lm_head":
            y, cache = ctc_head(context, params["lm_head"])
            remember(stages, "lm_head", y, cache, keep)
        case "recording":
            y, stages = recording_head(context, params, keep)
        case "frame":
            y, cache = frame_head(context, params)
            remember(stages, "classifier", y, cache, keep)
        case "voice":
            vector, stages = embedding(context, params, config, keep)
            y, cache = xvector_head(vector, params)
            remember(stages, "classifier", y, cache, keep)
    return y, stages


def _head_backward(dy: np.ndarray, stages: Stages, params: dict[str, Any]) -> tuple[np.ndarray, dict]:
    """Gradients with respect to what the head was given, and its parameters."""
    match head_of(params):
        case "lm_head":
            dcontext, grads = ctc_head_backward(dy, stages["lm_head"].cache)  # undoes: ctc_head
            return dcontext, {"lm_head": grads}
        case "recording":
            return recording_head_backward(dy, stages)  # undoes: recording_head
        case "frame":
            return frame_head_backward(dy, stages["classifier"].cache)  # undoes: frame_head
        case "voice":
            dvector, grads = xvector_head_backward(dy, stages["classifier"].cache)  # undoes: xvector_head
            dcontext, more = embedding_backward(dvector, stages)  # undoes: embedding
            return dcontext, grads | more
    return dy, {}


# --- names -----------------------------------------------------------------------------------------------------------


def _prefix(params: dict[str, Any]) -> str:
    return "wav2vec2." if "wav2vec2" in params else ""


def _under(prefix: str, stages: Stages) -> dict[str, Stage]:
    return {prefix + name: stage for name, stage in stages.items()}


def _within(prefix: str, stages: Stages) -> Stages:
    return {name.removeprefix(prefix): stage for name, stage in stages.items() if name.startswith(prefix)}
