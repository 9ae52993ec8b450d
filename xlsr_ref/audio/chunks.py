"""Chunks: a long recording goes through the network in overlapping pieces, and each frame counts once.

    a chunk reads    … context │ its own frames │ context …        whole hops long, not beyond the recording's ends
    the logits are   those of the own frames of every chunk, one after the other

A frame near a chunk's edge has too little context; so the logits of the context are dropped, before
CTC collapses anything. What a frame knows from further away than the context is lost: the price for memory that does
not grow with the length, and for time that grows with the length and not with its square.
A chunk's length includes its context, as in transformers' pipelines. Normalising is over the recording, not the chunk.
Letters: L samples, T frames.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from xlsr_ref.audio.scale import Scale, measure
from xlsr_ref.errors import AudioError
from xlsr_ref.ops.conv_length import frames, hop, receptive_field

CHUNK = 30.0  # seconds of a chunk
CONTEXT = 1 / 6  # of the chunk, on each side: 5 s of 30
ABOVE = 60.0  # seconds; `transcribe` leaves what is not longer in one piece
LONGEST = 10**9  # seconds: 31 years


class Chunking(NamedTuple):
    """How long recordings are cut."""

    above: float  # seconds: a longer recording is cut. 0: every one, inf: none
    size: int  # frames of a chunk, its context included
    context: int  # frames of it on each side that are computed for their neighbours' sake and dropped


class Chunk(NamedTuple):
    """A piece of a recording that goes through the network at once, and which of its frames count."""

    samples: slice  # of the recording: what the network reads
    frames: slice  # of the recording: what this chunk gives to the result
    own: slice  # the same frames, counted from the chunk's first


def chunking(
    chunk_seconds: float | None, stride_seconds: float | None, seconds_per_frame: float, above: float = ABOVE
) -> Chunking:
    """What the two arguments of `transcribe` and `logits` mean, to the nearest whole number of hops.

    ``chunk_seconds`` is the length of a chunk with its context: None for 30 s where the recording is longer than
    ``above`` seconds, 0 for never. ``stride_seconds`` is the context on each side: None for a sixth of the chunk.
    Raises AudioError for what is no length, or leaves no frame.
    """
    length = CHUNK if chunk_seconds is None else _seconds(chunk_seconds, "a chunk")
    context = length * CONTEXT if stride_seconds is None else _seconds(stride_seconds, "a stride")
    if length == 0:
        if stride_seconds is not None:
            raise AudioError(f"a stride of {context:g} s needs chunks: give their length, too")
        return Chunking(math.inf, 0, 0)
    size, dropped = round(length / seconds_per_frame), round(context / seconds_per_frame)
    if size < 1:
        raise AudioError(f"a chunk of {length:g} s is shorter than a frame: give at least {seconds_per_frame:g} s")
    if size <= 2 * dropped:
        raise AudioError(
            f"a stride of {context:g} s on each side leaves nothing of a chunk of {length:g} s: "
            f"give a stride below {length / 2:g} s"
        )
    return Chunking(above if chunk_seconds is None else 0.0, size, dropped)


def chunks(samples: int, size: int, context: int, kernels: tuple[int, ...], strides: tuple[int, ...]) -> list[Chunk]:
    """Cut a recording of ``samples`` into chunks of ``size`` frames, the last one shorter; it must have a frame.

    Each but the first and the last has ``context`` frames on either side. ``kernels`` and ``strides`` are the feature
    encoder's. The last chunk takes the samples beyond the last frame as well.
    """
    T, step, field = frames(samples, kernels, strides), hop(strides), receptive_field(kernels, strides)
    starts = range(0, max(T - 2 * context, 1), size - 2 * context)
    return [chunk_at(first, T, samples, size, context, step, field) for first in starts]


def chunk_at(first: int, T: int, samples: int, size: int, context: int, step: int, field: int) -> Chunk:
    """The chunk whose frame number ``first`` is computed first, of a recording of ``T`` frames and ``samples``.

    Frames begin ``step`` samples apart and see ``field`` of them. Of a recording that goes on, ``T`` and ``samples``
    may be those so far, if more than ``first + size`` frames are there: it is the same chunk.
    """
    stop = min(first + size, T)
    own_first = first + context if first > 0 else 0
    own_stop = stop - context if stop < T else T
    return Chunk(
        samples=slice(first * step, (stop - 1) * step + field if stop < T else samples),
        frames=slice(own_first, own_stop),
        own=slice(own_first - first, own_stop - first),
    )


def cut(pieces: Iterable[np.ndarray], parts: Sequence[slice]) -> Iterator[np.ndarray]:
    """The ``parts`` of a recording that comes in ``pieces`` (n,). Parts may overlap, but none begins before the last.

    Raises AudioError if the recording ends before the last part does.
    """
    stream, held, first = iter(pieces), np.empty(0), 0  # held begins at sample `first`
    for part in parts:
        while first + len(held) < part.stop:
            piece = next(stream, None)
            if piece is None:
                raise AudioError(f"the recording changed while it was read: it ends at sample {first + len(held)}")
            held = np.concatenate([held, piece]) if len(held) else piece
        held, first = held[part.start - first :], part.start
        yield held[: part.stop - part.start]


def first_pass(pieces: Iterable[np.ndarray], longest: float) -> tuple[Scale, np.ndarray | None]:
    """The scale of a recording that comes in ``pieces`` (n,), and its samples (L,) where L is at most ``longest``."""
    held: list[np.ndarray] = []

    def holding() -> Iterator[np.ndarray]:
        samples = 0
        for piece in pieces:
            samples += len(piece)
            held.append(piece)
            if samples > longest:
                held.clear()
            yield piece

    scale = measure(holding())
    return scale, np.concatenate(held) if scale.samples <= longest else None


def _seconds(value: object, what: str) -> float:
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if number and 0 <= value <= LONGEST:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise AudioError(f"{what} of {reprlib.repr(value)} s: give a number of seconds from 0 to {LONGEST}")
