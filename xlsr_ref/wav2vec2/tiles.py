"""Tiles of time: the feature encoder works through a recording in pieces, each from sound to features in one go.

    rows of layer i's input that frames [a, b) of its output need:   [a · stride_i, (b − 1) · stride_i + K_i)

applied from the last layer back to the first. Neighbouring tiles overlap by what one frame sees beyond one hop, 80
samples of 400 in the released models, so the result is exact and little is computed twice. What a tile makes between
its layers stays in a core's cache, where the first layer's output of a whole recording would not fit (ten minutes: 3.9
GB). The tiles depend on the length alone, never on the number of threads.
Letters: T frames, K kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from xlsr_ref.ops import threads
from xlsr_ref.ops.conv_length import conv_lengths

FRAMES = 64
AT_LEAST = 4  # tiles of a short recording, so that the cores have something to share
FEWEST = 16  # frames of such a tile


class Tile(NamedTuple):
    rows: tuple[slice, ...]  # of the waveform, then of each layer's output: what this tile reads and makes
    own: tuple[slice, ...]  # of each layer's output: what no other tile gives to the whole


def tiles(samples: int, kernels: Sequence[int], strides: Sequence[int]) -> list[Tile]:
    """Cut ``samples`` into tiles whose own frames, one after the other, are all frames; at least one frame is needed.

    The last tile takes the samples beyond the last frame as well: inner layers make rows of them, which no frame needs.
    """
    lengths = conv_lengths(samples, kernels, strides)
    T = lengths[-1]
    blocks = threads.blocks(T, max(FEWEST, min(FRAMES, -(-T // AT_LEAST))))
    first = [_first_rows(block.start, strides) for block in blocks] + [lengths]
    return [
        Tile(_rows(block, lengths, kernels, strides), tuple(slice(a, b) for a, b in zip(here[1:], after[1:])))
        for block, (here, after) in zip(blocks, pairwise(first))
    ]


def _first_rows(frame: int, strides: Sequence[int]) -> list[int]:
    """The first row that ``frame`` needs, of the waveform and of each layer's output."""
    rows = [frame]
    for stride in reversed(strides):
        rows.append(rows[-1] * stride)
    return rows[::-1]


def _rows(block: slice, lengths: Sequence[int], kernels: Sequence[int], strides: Sequence[int]) -> tuple[slice, ...]:
    """All rows that the frames of ``block`` need, of the waveform and of each layer's output."""
    if block.stop == lengths[-1]:
        return tuple(slice(start, length) for start, length in zip(_first_rows(block.start, strides), lengths))
    rows = [block]
    for kernel, stride in zip(reversed(kernels), reversed(strides)):
        seen = max(kernel, stride)  # where a kernel is shorter than its stride, the rows between go with this tile
        rows.append(slice(rows[-1].start * stride, (rows[-1].stop - 1) * stride + seen))
    return tuple(rows[::-1])
