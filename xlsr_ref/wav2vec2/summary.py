"""The stages of a wav2vec 2.0 model and the FLOPs of each, for the table of ops/stage_table.py.

    convolution   2 · T · C_out · (C_in / G) · K
    linear        2 · T · C_in · C_out
    attention     2 · T · T · C  for q kᵀ, and as much again for weights · v, over all heads together

Letters: T frames, C channels, K kernel, G groups, V entries.
"""

from __future__ import annotations

from collections.abc import Iterator

from xlsr_ref.errors import AudioError
from xlsr_ref.ops.conv_length import conv_length
from xlsr_ref.ops.stage_table import EVERY_BLOCK, Row, StageCost, adapter_stages, head_stages, table
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.shapes import expected_shapes


def stage_table(config: Config, kind: str, samples: int, prefix: str | None = None) -> list[Row]:
    """The stages of a model of ``kind`` (one of config.KINDS) in the order in which ``samples`` samples meet them.

    ``prefix`` is "wav2vec2." or "" (None: what transformers writes for this kind). Raises AudioError where the samples
    make no frame, ConfigError where the config cannot make such a model. An adapter or a head whose kernel is longer
    than what reaches it has 0 frames.
    """
    shapes = expected_shapes(config, kind, f"{config.base}.")
    return table(config, kind, prefix, shapes, _network(config, kind, samples), lambda T: _heads(config, kind, T))


def _network(config: Config, kind: str, samples: int) -> Iterator[StageCost]:
    """Each stage below the head: the arithmetic of the module's docstring."""
    convolutions = []
    T, inputs = samples, 1  # the waveform is one channel
    for i, (outputs, kernel, stride) in enumerate(zip(config.conv_dim, config.conv_kernel, config.conv_stride)):
        T = conv_length(T, kernel, stride)
        convolutions.append((f"feature_extractor.conv_layers.{i}", (T, outputs), 2 * T * outputs * inputs * kernel, 1))
        inputs = outputs
    if T < 1:
        raise AudioError(f"{samples} samples make no frame; this model needs at least {config.receptive_field}")
    yield "feature_extractor", (T, inputs), sum(flops for _, _, flops, _ in convolutions), 0
    yield from convolutions

    C, F, N = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    (P, K), G = config.positional_convolutions, config.num_conv_pos_embedding_groups
    yield "feature_projection", (T, C), 2 * T * inputs * C, 0
    yield "masked_spec_embed", (), 0, 0
    yield "encoder.pos_conv_embed", (T, C), P * 2 * T * C * (C // G) * K, 0

    attention = N * (4 * 2 * T * C * C + 2 * 2 * T * T * C)  # q, k, v, out; then q kᵀ and weights · v
    feed_forward = N * (2 * T * C * F + 2 * T * F * C)
    order: tuple[str, ...]
    if config.do_stable_layer_norm:  # pre-norm: each norm stands before what it feeds, and one more at the end
        order = ("layer_norm", "attention", "final_layer_norm", "feed_forward")
    else:
        order = ("attention", "layer_norm", "feed_forward", "final_layer_norm")
        yield "encoder.layer_norm", (T, C), 0, 0
    work = {"attention": attention, "feed_forward": feed_forward}
    if config.adapter_attn_dim is not None:
        order = (*order, "adapter_layer")
        work["adapter_layer"] = N * 2 * 2 * T * C * config.adapter_attn_dim
    yield EVERY_BLOCK, (T, C), sum(work.values()), 0
    for part in order:
        yield f"{EVERY_BLOCK}.{part}", (T, C), work.get(part, 0), 1
    if config.do_stable_layer_norm:
        yield "encoder.layer_norm", (T, C), 0, 0
    if config.add_adapter:
        unused = config.sums_layers(kind)  # of the hidden states, which are below it
        yield from [("adapter", (), 0, 0)] if unused else _adapter(config, T)


def _adapter(config: Config, T: int) -> Iterator[StageCost]:
    C = config.output_size
    return adapter_stages(config, T, lambda T: 2 * T * C * 2 * C * config.adapter_kernel_size)


def _heads(config: Config, kind: str, T: int) -> Iterator[StageCost]:
    """Each stage above the network, which gives ``T`` frames."""
    yield from head_stages(config, kind, T)
    if kind == "Wav2Vec2ForPreTraining":
        d, entries = config.codevector_dim, config.num_codevector_groups * config.num_codevectors_per_group
        inputs = config.conv_dim[-1]
        yield "quantizer", (T, d), 2 * T * inputs * entries, 0  # the codebook is looked up, not multiplied
        yield "project_q", (T, config.proj_codevector_dim), 2 * T * d * config.proj_codevector_dim, 0
        yield "project_hid", (T, config.proj_codevector_dim), 2 * T * config.hidden_size * config.proj_codevector_dim, 0
