"""The network as a table: every stage with its checkpoint prefix, output shape, parameters and FLOPs.

A multiply-add counts as 2 FLOPs. Counted are the convolutions, the linears and the two products of attention; norms,
GELU and softmax touch each number a few times only and stay below one per cent of the whole.

    convolution   2 · T · C_out · (C_in / G) · K
    linear        2 · T · C_in · C_out
    attention     2 · T · T · C  for q kᵀ, and as much again for weights · v, over all heads together

Parameters are summed from the shapes that the strict load expects, by prefix, so the table and the loader agree.
Letters: T frames, C channels, K kernel, G groups, V entries.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from xlsr_ref.errors import AudioError
from xlsr_ref.ops.conv_length import conv_length
from xlsr_ref.wav2vec2.adapter import PADDING
from xlsr_ref.wav2vec2.config import CLASSIFIERS, Config
from xlsr_ref.wav2vec2.shapes import expected_shapes

EVERY_BLOCK = "encoder.layers.*"  # the blocks are alike: one row stands for all of them
ONLY_PRETRAINING = ("quantizer", "project_q", "project_hid")


class Row(NamedTuple):
    """One stage. A row of level 1 is a part of the row of level 0 above it, and counted there already."""

    prefix: str  # of the checkpoint's names; "*" is every block's number
    output: tuple[int, ...]  # (T, C), (C,) of the whole recording, or () for a stage that is a parameter only
    parameters: int
    flops: int  # for one utterance of the table's length
    level: int = 0


StageCost = tuple[str, tuple[int, ...], int, int]  # prefix, output, FLOPs, level


def stage_table(config: Config, kind: str, samples: int, prefix: str | None = None) -> list[Row]:
    """The stages of a model of ``kind`` (one of config.KINDS) in the order in which ``samples`` samples meet them.

    ``prefix`` is "wav2vec2." or "" (None: what transformers writes for this kind). Raises AudioError where the samples
    make no frame, ConfigError where the config cannot make such a model. An adapter or a head whose kernel is longer
    than what reaches it has 0 frames.
    """
    if prefix is None:
        prefix = "" if kind == "Wav2Vec2Model" else "wav2vec2."
    base = "wav2vec2."
    sizes: dict[str, int] = {}  # parameters by name; those of all blocks together
    for name, shape in expected_shapes(config, kind, base).items():
        name = re.sub(r"\.encoder\.layers\.\d+\.", f".{EVERY_BLOCK}.", name)
        sizes[name] = sizes.get(name, 0) + math.prod(shape)

    def parameters(stage: str) -> int:
        return sum(size for name, size in sizes.items() if name == stage or name.startswith(f"{stage}."))

    network = [(prefix, base, stage) for stage in _network(config, kind, samples)]
    T = next(output[0] for _, _, (stage, output, _, _) in reversed(network) if output)
    stages = network + [("", "", stage) for stage in _heads(config, kind, T)]
    return [
        Row(shown + stage, output, parameters(stored + stage), flops, level)
        for shown, stored, (stage, output, flops, level) in stages
    ]


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
    K, G = config.num_conv_pos_embeddings, config.num_conv_pos_embedding_groups
    yield "feature_projection", (T, C), 2 * T * inputs * C, 0
    yield "masked_spec_embed", (), 0, 0
    yield "encoder.pos_conv_embed", (T, C), 2 * T * C * (C // G) * K, 0

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
        unused = kind in CLASSIFIERS and config.use_weighted_layer_sum  # of the hidden states, which are below it
        yield from [("adapter", (), 0, 0)] if unused else _adapter(config, T)


def _adapter(config: Config, T: int) -> Iterator[StageCost]:
    C, parts = config.output_size, []
    if config.hidden_size != C:
        parts.append(("adapter.proj", (T, C), 2 * T * config.hidden_size * C, 1))
        parts.append(("adapter.proj_layer_norm", (T, C), 0, 1))
    for i in range(config.num_adapter_layers):
        T = conv_length(T, config.adapter_kernel_size, config.adapter_stride, PADDING)
        parts.append((f"adapter.layers.{i}", (T, C), 2 * T * C * 2 * C * config.adapter_kernel_size, 1))
    yield "adapter", (T, C), sum(flops for _, _, flops, _ in parts), 0
    yield from parts


def _heads(config: Config, kind: str, T: int) -> Iterator[StageCost]:
    """Each stage above the network, which gives ``T`` frames."""
    C = config.output_size
    if kind in CLASSIFIERS and config.use_weighted_layer_sum:
        yield "layer_weights", (T, config.hidden_size), 0, 0
    if kind == "Wav2Vec2ForSequenceClassification":
        P, labels = config.classifier_proj_size, len(config.labels)
        yield "projector", (T, P), 2 * T * C * P, 0
        yield "classifier", (labels,), 2 * P * labels, 0
    if kind == "Wav2Vec2ForAudioFrameClassification":
        yield "classifier", (T, len(config.labels)), 2 * T * C * len(config.labels), 0
    if kind == "Wav2Vec2ForXVector":
        inputs, E, parts = config.tdnn_dim[0], config.xvector_output_dim, []
        yield "projector", (T, inputs), 2 * T * config.hidden_size * inputs, 0
        layers = zip(config.tdnn_dim, config.tdnn_kernel, config.tdnn_dilation)
        for i, (outputs, kernel, dilation) in enumerate(layers):
            T = max(0, T - (kernel - 1) * dilation)
            parts.append((f"tdnn.{i}", (T, outputs), 2 * T * inputs * outputs * kernel, 1))
            inputs = outputs
        yield "tdnn", (T, inputs), sum(flops for _, _, flops, _ in parts), 0
        yield from parts
        yield "feature_extractor", (E,), 2 * 2 * inputs * E, 0
        yield "classifier", (E,), 2 * E * E, 0
        yield "objective", (), 0, 0
    if kind == "Wav2Vec2ForCTC":
        V = config.vocab_size or 0  # null was refused with the shapes
        yield "lm_head", (T, V), 2 * T * C * V, 0
    if kind == "Wav2Vec2ForPreTraining":
        d, entries = config.codevector_dim, config.num_codevector_groups * config.num_codevectors_per_group
        inputs = config.conv_dim[-1]
        yield "quantizer", (T, d), 2 * T * inputs * entries, 0  # the codebook is looked up, not multiplied
        yield "project_q", (T, config.proj_codevector_dim), 2 * T * d * config.proj_codevector_dim, 0
        yield "project_hid", (T, config.proj_codevector_dim), 2 * T * config.hidden_size * config.proj_codevector_dim, 0


def total(rows: list[Row], without: tuple[str, ...] = ()) -> tuple[int, int]:
    """Parameters and FLOPs of all stages together, less those named in ``without``."""
    counted = [row for row in rows if row.level == 0 and row.prefix not in without]
    return sum(row.parameters for row in counted), sum(row.flops for row in counted)


def format_table(rows: list[Row], blocks: int) -> str:
    """The table as text; ``blocks`` is the number that the star in a prefix stands for."""
    lines = [("stage", "output", "parameters", "MFLOP")]
    for row in rows:
        name = "  " * row.level + row.prefix
        name += f"  × {blocks}" if row.prefix.endswith(".*") else ""
        lines.append((name, str(row.output) if row.output else "-", *_figures(row.parameters, row.flops)))
    lines.append(("total", "", *_figures(*total(rows))))
    if any(row.prefix in ONLY_PRETRAINING for row in rows):
        figures = _figures(*total(rows, without=ONLY_PRETRAINING))
        lines.append(("  without quantizer and projections", "", *figures))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {output:>{widths[1]}}  {parameters:>{widths[2]}}  {flops:>{widths[3]}}"
        for name, output, parameters, flops in lines
    )


def _figures(parameters: int, flops: int) -> tuple[str, str]:
    return f"{parameters:,}", f"{flops / 1e6:,.1f}"
