"""A network as a table: every stage with its prefix in the checkpoint, output shape, parameters and FLOPs.

A multiply-add counts as 2 FLOPs. Counted are the convolutions, the linears and the products of attention; norms,
activations and softmax touch each number a few times only and stay below one per cent of the whole.
A network's summary.py says which stages it has; those of the heads are here. Parameters are summed
from the shapes that the strict load expects, by prefix, so the table and the loader agree.
Letters: T frames, C channels, P channels of a projector, E of an x-vector, V tokens.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from xlsr_ref.ops.shapes import Shapes
from xlsr_ref.settings import Settings

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


def table(
    config: Settings,
    kind: str,
    prefix: str | None,
    shapes: Shapes,
    network: Iterable[StageCost],
    heads: Callable[[int], Iterable[StageCost]],
) -> list[Row]:
    """The rows of a model of ``kind``, with the parameters of its ``shapes``, whose prefix is the network's name.

    ``network`` are the stages below the head, and ``heads`` makes those above it from the frames T that come out below.
    """
    base = f"{config.base}."
    if prefix is None:
        prefix = "" if config.task_of(kind) == "Model" else base
    sizes: dict[str, int] = {}  # parameters by name; those of all blocks together
    for name, shape in shapes.items():
        name = re.sub(r"\.encoder\.layers\.\d+\.", f".{EVERY_BLOCK}.", name)
        sizes[name] = sizes.get(name, 0) + math.prod(shape)

    def parameters(stage: str) -> int:
        return sum(size for name, size in sizes.items() if name == stage or name.startswith(f"{stage}."))

    below = [(prefix, base, stage) for stage in network]
    T = next(output[0] for _, _, (stage, output, _, _) in reversed(below) if output)
    stages = below + [("", "", stage) for stage in heads(T)]
    return [
        Row(shown + stage, output, parameters(stored + stage), flops, level)
        for shown, stored, (stage, output, flops, level) in stages
    ]


def adapter_stages(config: Settings, T: int, flops_of_a_layer: Callable[[int], int]) -> Iterator[StageCost]:
    """The convolutional adapter above ``T`` frames, and its parts; a layer's FLOPs by the frames that it puts out."""
    C, parts = config.output_size, []
    if config.hidden_size != C:
        parts.append(("adapter.proj", (T, C), 2 * T * config.hidden_size * C, 1))
        parts.append(("adapter.proj_layer_norm", (T, C), 0, 1))
    for i in range(config.num_adapter_layers):
        T = config.adapter_layer_frames(T)
        parts.append((f"adapter.layers.{i}", (T, C), flops_of_a_layer(T), 1))
    yield "adapter", (T, C), sum(flops for _, _, flops, _ in parts), 0
    yield from parts


def head_stages(config: Settings, kind: str, T: int) -> Iterator[StageCost]:
    """Each stage of the head of a model of ``kind``, above a network that gives ``T`` frames.

    A head whose kernel is longer than what reaches it has 0 frames.
    """
    C, labels, task = config.output_size, len(config.labels), config.task_of(kind)
    if config.sums_layers(kind):
        yield "layer_weights", (T, config.hidden_size), 0, 0
    if task == "ForSequenceClassification":
        P = config.classifier_proj_size
        yield "projector", (T, P), 2 * T * C * P, 0
        yield "classifier", (labels,), 2 * P * labels, 0
    if task == "ForAudioFrameClassification":
        yield "classifier", (T, labels), 2 * T * C * labels, 0
    if task == "ForXVector":
        yield from _xvector_stages(config, T)
    if task == "ForCTC":
        V = config.vocab_size or 0  # null was refused with the shapes
        yield "lm_head", (T, V), 2 * T * C * V, 0


def _xvector_stages(config: Settings, T: int) -> Iterator[StageCost]:
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
