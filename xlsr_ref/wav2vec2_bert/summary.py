"""The stages of a Wav2Vec2-BERT model and the FLOPs of each, for the table of ops/stage_table.py.

    linear, pointwise   2 · T · C_in · C_out
    depthwise           2 · T · C · K
    attention           2 · T · T · C  for q kᵀ, as much again for weights · v; positions: 2 · T · P · C for P distances

Letters: T frames, C channels, F inner channels, K kernel, N blocks.
"""

from __future__ import annotations

from collections.abc import Iterator

from xlsr_ref.errors import AudioError
from xlsr_ref.ops.stage_table import EVERY_BLOCK, Row, StageCost, adapter_stages, head_stages, table
from xlsr_ref.wav2vec2_bert.config import Config
from xlsr_ref.wav2vec2_bert.shapes import expected_shapes


def stage_table(config: Config, kind: str, samples: int, prefix: str | None = None) -> list[Row]:
    """The stages of a model of ``kind`` in the order in which the features of ``samples`` samples meet them.

    Raises AudioError where the samples make no frame, ConfigError where the config cannot make such a model.
    """
    shapes = expected_shapes(config, kind, f"{config.base}.")
    return table(config, kind, prefix, shapes, _network(config, samples), lambda T: head_stages(config, kind, T))


def _network(config: Config, samples: int) -> Iterator[StageCost]:
    T, C, F, N = config.frames(samples), config.hidden_size, config.intermediate_size, config.num_hidden_layers
    if T < 1:
        raise AudioError(f"{samples} samples make no frame; this model needs at least {config.fewest_samples}")
    yield "feature_projection", (T, C), 2 * T * config.feature_projection_input_dim * C, 0
    yield "masked_spec_embed", (), 0, 0
    feed_forward = 2 * 2 * T * C * F
    left, right = config.left_max_position_embeddings, config.right_max_position_embeddings
    rows = {"relative_key": left + 1 + right, "relative": 2 * T - 1}.get(config.position_embeddings_type or "", 0)
    projected = 2 * (2 * T - 1) * C * C if config.position_embeddings_type == "relative" else 0  # linear_pos
    convolution = 2 * T * C * (2 * C + config.conv_depthwise_kernel_size + C)
    work = {
        "ffn1_layer_norm": 0,
        "ffn1": feed_forward,
        "self_attn_layer_norm": 0,
        "self_attn": _attention(T, C) + 2 * T * rows * C + projected,
        "conv_module": convolution,
        "ffn2_layer_norm": 0,
        "ffn2": feed_forward,
        "final_layer_norm": 0,
    }
    yield EVERY_BLOCK, (T, C), N * sum(work.values()), 0
    for part, flops in work.items():
        yield f"{EVERY_BLOCK}.{part}", (T, C), N * flops, 1
    if config.use_intermediate_ffn_before_adapter:
        yield "intermediate_ffn", (T, C), feed_forward, 0
    if config.add_adapter:
        yield from _adapter(config, T)


def _attention(T: int, C: int) -> int:
    return 4 * 2 * T * C * C + 2 * 2 * T * T * C  # q, k, v, out; then q kᵀ and weights · v


def _adapter(config: Config, T: int) -> Iterator[StageCost]:
    C, F, K = config.output_size, config.intermediate_size, config.adapter_kernel_size
    return adapter_stages(config, T, lambda T: 2 * 2 * T * C * 2 * C * K + _attention(T, C) + 2 * 2 * T * C * F)
