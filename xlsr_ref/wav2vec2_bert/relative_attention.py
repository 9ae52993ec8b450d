"""Self-attention that knows how far apart two frames are, in one of four ways.

    scores[i, j] = q_i · k_j / √D                                          none, as in an adapter
                 = q_i · (k_j + E[clip(j − i, −left, right) + left]) / √D  relative_key: a learned row of a distance
                 = ((q_i + u) · k_j + (q_i + v) · W_pos pe[i − j]) / √D    relative: sines of the distance, projected
    rotary turns pairs of channels of x by an angle that grows with the frame, before W_q and W_k; W_v takes x as it is

pe[d] = (sin(d w₀), cos(d w₀), sin(d w₁), …), w_m = 10000^(−2m/C), in float32 whatever the model, as in transformers.
Where: Shaw et al. 2018; Dai et al. 2019, eq. 5 (Transformer-XL); Su et al. 2021 (RoPE). The look-up of distances and
the scaled dot product: ops/relative_positions.py, ops/attention.py.
Checkpoint: `self_attn.linear_{q,k,v,out}`, `self_attn.distance_embedding.weight` (left + 1 + right, D), or
`self_attn.{linear_pos.weight, pos_bias_u, pos_bias_v}`. Letters: T frames, C channels, H heads, D channels of a head.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.ops.attention import ScaledDotProductCache, relative_dot_product_backward, scaled_dot_product
from xlsr_ref.ops.dropout import DropoutCache, dropout, dropout_backward
from xlsr_ref.ops.linear import LinearCache, linear, linear_backward
from xlsr_ref.ops.matmul import matmul
from xlsr_ref.ops.position_tables import angles, rotate, sinusoids
from xlsr_ref.ops.relative_positions import Positions
from xlsr_ref.ops.rows import ROWS, by_rows
from xlsr_ref.ops.sums import sum_over_time
from xlsr_ref.wav2vec2_bert.config import Config
from xlsr_ref.wav2vec2_bert.masks import AttentionMasks


class Form(NamedTuple):
    """Which attention it is, for an utterance of T frames."""

    heads: int
    positions: str | None  # a name of config.py, or None
    left: int = 0  # of relative_key
    table: Any = None  # relative: pe (2T − 1, C), from distance T − 1 to −(T − 1); rotary: cos and sin, each (T, D)


class AttentionCache(NamedTuple):
    form: Form
    linear_q: LinearCache
    linear_k: LinearCache
    linear_v: LinearCache
    mixed: ScaledDotProductCache
    linear_out: LinearCache
    out: DropoutCache


class LongAttentionCache(NamedTuple):
    """Of a recording longer than a block of ops/rows.py: the rest is computed again in the backward pass."""

    x: np.ndarray  # (T, C)
    p: dict
    form: Form
    masks: AttentionMasks


def form_of(config: Config, T: int, dtype: np.dtype) -> Form:
    """The attention of a model's blocks for ``T`` frames."""
    kind, heads = config.position_embeddings_type, config.num_attention_heads
    if kind == "relative":
        return Form(heads, kind, table=sinusoids(T, config.hidden_size).astype(dtype))
    if kind == "rotary":
        return Form(heads, kind, table=angles(T, config.head_dim, config.rotary_embedding_base, dtype))
    return Form(heads, kind, config.left_max_position_embeddings)


def self_attention(x: np.ndarray, p: dict, form: Form, masks: AttentionMasks) -> tuple[np.ndarray, Any]:
    """Self-attention over ``x`` (T, C): y (T, C), and the cache."""
    if len(x) <= ROWS:
        return _whole(x, p, form, masks)
    turned = _turned(x, form)
    (k, _), (v, _) = linear(turned, p["linear_k"]), linear(x, p["linear_v"])
    table = _table(p, form)

    def some(rows: slice) -> tuple[np.ndarray, None]:  # only keys and values are in memory for the whole recording
        q, _ = linear(turned[rows], p["linear_q"])
        factor = None if masks.weights is None else masks.weights[:, rows]
        mixed, _ = _mixed(q, k, v, p, form, table, factor, rows.start)
        return linear(mixed, p["linear_out"])[0], None

    y, _ = dropout(by_rows(some, len(x))[0], masks.out)
    return y, LongAttentionCache(x, p, form, masks)


def self_attention_weights(x: np.ndarray, p: dict, form: Form) -> np.ndarray:
    """The attention weights (H, T, T) of ``x`` (T, C); those of a long recording take gigabytes."""
    _, cache = _whole(x, p, form, AttentionMasks())
    return cache.mixed.weights


def _whole(x: np.ndarray, p: dict, form: Form, masks: AttentionMasks) -> tuple[np.ndarray, AttentionCache]:
    turned = _turned(x, form)
    q, q_cache = linear(turned, p["linear_q"])
    k, k_cache = linear(turned, p["linear_k"])
    v, v_cache = linear(x, p["linear_v"])
    mixed, mixed_cache = _mixed(q, k, v, p, form, _table(p, form), masks.weights)
    projected, out_cache = linear(mixed, p["linear_out"])
    y, dropped_cache = dropout(projected, masks.out)
    return y, AttentionCache(form, q_cache, k_cache, v_cache, mixed_cache, out_cache, dropped_cache)


def self_attention_backward(dy: np.ndarray, cache: Any, p: dict) -> tuple[np.ndarray, dict]:
    """Gradients with respect to x (T, C) and the parameters ``p``, from ``dy`` (T, C)."""
    if isinstance(cache, LongAttentionCache):
        _, cache = _whole(*cache)
    grads: dict = {}
    form = cache.form
    dprojected, _ = dropout_backward(dy, cache.out)  # undoes: dropout
    dmixed, grads["linear_out"] = linear_backward(dprojected, cache.linear_out)  # undoes: … W_outᵀ + b_out
    (dq, dk, dv), dpositions = relative_dot_product_backward(dmixed, cache.mixed)  # undoes: softmax(scores) v
    if dpositions is not None:
        dq, of_positions = _positions_backward(dq, *dpositions, p, form)  # undoes: + u, + v, the table
        grads |= of_positions
    dturned, grads["linear_q"] = linear_backward(dq, cache.linear_q)  # undoes: … W_qᵀ + b_q
    dturned_from_k, grads["linear_k"] = linear_backward(dk, cache.linear_k)  # undoes: … W_kᵀ + b_k
    dx, grads["linear_v"] = linear_backward(dv, cache.linear_v)  # undoes: … W_vᵀ + b_v
    dturned += dturned_from_k
    if form.positions == "rotary":
        cos, sin = form.table
        dturned = rotate(dturned, form.heads, cos, -sin)  # undoes: the turn, by the opposite angle
    dx += dturned  # x went both ways
    return dx, grads


# --- the four kinds of positions -------------------------------------------------------------------------------------


def _mixed(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, p: dict, form: Form, table: Any, factor: Any, first: int = 0
) -> tuple[np.ndarray, ScaledDotProductCache]:
    """softmax(scores) v for the queries ``q`` (T', C), of which the first is frame ``first``."""
    if table is None:
        return scaled_dot_product(q, k, v, form.heads, factor)
    if form.positions == "relative_key":
        return scaled_dot_product(q, k, v, form.heads, factor, Positions(q, table, form.left, first))
    to_content, to_position = q + p["pos_bias_u"].reshape(-1), q + p["pos_bias_v"].reshape(-1)
    positions = Positions(to_position, table, len(k) - 1, first)
    return scaled_dot_product(to_content, k, v, form.heads, factor, positions)


def _table(p: dict, form: Form) -> np.ndarray | None:
    """A row for every distance, the keys before the query first: (1 or H, P, D); None where distances do not count."""
    if form.positions == "relative_key":
        return p["distance_embedding"]["weight"][None]
    if form.positions == "relative":
        projected = matmul(form.table, p["linear_pos"]["weight"].T)  # (2T − 1, C)
        return projected.reshape(len(projected), form.heads, -1).swapaxes(0, 1)
    return None


def _positions_backward(
    dq: np.ndarray, dq_position: np.ndarray, dtable: np.ndarray, p: dict, form: Form
) -> tuple[np.ndarray, dict]:
    """Gradients with respect to q (T, C) and the positions' parameters, from those of both kinds of queries."""
    if form.positions == "relative_key":
        return dq + dq_position, {"distance_embedding": {"weight": dtable[0]}}
    dprojected = np.ascontiguousarray(dtable.swapaxes(0, 1)).reshape(len(form.table), -1)  # (2T − 1, C)
    shape = p["pos_bias_u"].shape
    return dq + dq_position, {
        "linear_pos": {"weight": matmul(dprojected.T, form.table)},
        "pos_bias_u": sum_over_time(dq).reshape(shape),
        "pos_bias_v": sum_over_time(dq_position).reshape(shape),
    }


def _turned(x: np.ndarray, form: Form) -> np.ndarray:
    return rotate(x, form.heads, *form.table) if form.positions == "rotary" else x
