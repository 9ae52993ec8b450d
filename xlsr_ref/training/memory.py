"""How much memory a run takes, worked out from shapes before the first step.

    weights     4 bytes each                         gradients   one for each weight that learns, for each utterance
    Adam        m and v of each of these                         at work and for their sum
    a batch     what the backward pass needs of the utterances that are computed at the same time, and their dropout
    sound       the clips that stay decoded (data.py)

Kept of one utterance, in numbers a frame (pre-norm or post-norm alike; a Conformer block has two feed-forwards):
    block       8 C + 2 F     its input, two normalised copies, q, k, v, their mixture, the sum; before and after GELU
    Conformer   19 C + 4 F    the same twice where there are two, and the convolution module
    encoder     Σ 2 C_i       of each convolution, its output and what GELU made of it; only where it learns
Beyond ROWS frames a block keeps 4 C and computes the rest again. Letters: T frames, C, F, C_i channels, H heads.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from xlsr_ref.model.finetune import Learn
from xlsr_ref.ops import threads
from xlsr_ref.ops.conv_length import conv_lengths
from xlsr_ref.ops.rows import ROWS
from xlsr_ref.settings import Settings
from xlsr_ref.training.data import IN_MEMORY, batches
from xlsr_ref.training.prepare import Run
from xlsr_ref.wav2vec2.config import Config

PROGRAM = 200 << 20  # bytes of Python, NumPy, Numba and its kernels
OUTSIDE = 8  # C of a frame: around the blocks
COPIES = 5  # C of a frame: k, v and the gradients of what is mixed, of k and of v, head by head, on the way back
BACK = 3  # of the largest array, on the way back


class Memory(NamedTuple):
    """Bytes, about."""

    weights: int
    gradients: int
    adam: int
    batch: int
    sound: int

    @property
    def total(self) -> int:
        """All of it, with the program itself."""
        return sum(self) + PROGRAM

    def line(self) -> str:
        """What a run says of it."""
        parts = ", ".join(f"{name} {_size(value)}" for name, value in self._asdict().items() if value >= 1 << 20)
        return f"memory: about {_size(self.total)}" + (f" ({parts})" if parts else "")


def memory_of(run: Run) -> Memory:
    """What a run needs at most, by the first epoch's batches."""
    config, recipe, params = run.start.config, run.recipe, run.start.params
    learns: set[Learn] = {stage.learn for stage in recipe.stages} if run.task == "finetune" else {"all"}
    learn = next(one for one in ("all", "context", "adapters", "head") if one in learns)
    learnt = sum(array.nbytes for name, array in params.items() if _learns(name, learn))
    rate, size = run.start.preprocessor.sampling_rate, next(iter(params.values())).itemsize
    longest = max(stage.longest for stage in recipe.stages)
    usable = [i for i, clip in enumerate(run.clips) if clip.seconds <= longest for _ in range(run.times(clip))]
    plan = batches(
        run.clips, usable, recipe.data.batch_seconds, recipe.data.alpha, np.random.default_rng([recipe.seed, 0])
    )
    noise = any(stage.noise for stage in recipe.stages)
    at_once = threads.count() if run.task == "finetune" else max(map(len, plan), default=1)  # pre-training: all
    lengths = [[int(run.clips[i].seconds * rate) for i in chosen] for chosen in plan]
    batch = max((batch_bytes(one, config, learn, at_once, noise) for one in lengths), default=0) * size
    side_by_side = min(at_once, max(map(len, plan), default=1))
    sound = sum(int(clip.seconds * rate) * size for clip in run.clips)
    return Memory(
        weights=sum(array.nbytes for array in params.values()),
        gradients=learnt * (1 + (side_by_side if side_by_side > 1 else 0)),
        adam=2 * learnt,
        batch=batch,
        sound=min(sound, IN_MEMORY),
    )


def batch_bytes(samples: Sequence[int], config: Settings, learn: Learn, at_once: int, noise: bool) -> int:
    """Numbers that a batch of recordings with so many ``samples`` needs, ``at_once`` of them side by side."""
    longest_first = sorted(samples, reverse=True)
    kept = sum(kept_numbers(one, config, learn) for one in longest_first[:at_once])
    return kept + sum(dropout_numbers(config.frames(one), config) if noise else 0 for one in samples)


def kept_numbers(samples: int, config: Settings, learn: Learn) -> int:
    """Numbers that are kept of one recording for its backward pass, and what this needs beside them."""
    T, C = config.frames(samples), config.hidden_size
    F = config.intermediate_size
    block = T * (8 * C + 2 * F if isinstance(config, Config) else 19 * C + 4 * F)
    long_block = T * 4 * C if T > ROWS else block
    blocks = block if learn == "head" else config.num_hidden_layers * long_block + (block if T > ROWS else 0)
    numbers = blocks + (OUTSIDE + COPIES) * T * C + BACK * T * F + 2 * samples
    if not isinstance(config, Config):
        return numbers
    rows = conv_lengths(samples, config.conv_kernel, config.conv_stride)[1:]
    outputs = [length * channels for length, channels in zip(rows, config.conv_dim)]
    return numbers + (2 * sum(outputs) + BACK * max(outputs) if learn == "all" else 0)


def dropout_numbers(T: int, config: Settings) -> int:
    """Numbers of all dropout of one recording, and of what it multiplies."""
    C, F, H = config.hidden_size, config.intermediate_size, config.num_attention_heads
    of_block = 0.0
    of_block += H * T * T if getattr(config, "attention_dropout", 0.0) > 0 else 0
    of_block += 2 * T * C if getattr(config, "hidden_dropout", 0.0) > 0 else 0
    of_block += 2 * T * F if getattr(config, "activation_dropout", 0.0) > 0 else 0
    return int(of_block * config.num_hidden_layers * (1 - getattr(config, "layerdrop", 0.0)))


def free_memory() -> int | None:
    """Bytes that this machine can give; None where that is not told."""
    with suppress(OSError, ValueError, IndexError), open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))
    with suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def memory_lines(run: Run) -> list[str]:
    """What to say before the first step: how much memory the run takes, and a warning where there is too little."""
    memory, free = memory_of(run), free_memory()
    lines = [memory.line()]
    if free is not None and memory.total > free:
        lines.append(
            f"warning: {_size(free)} of memory are free: lower data.batch_seconds and data.longest, or learn less"
        )
    return lines


def _learns(name: str, learn: Learn) -> bool:
    """Does the parameter of this name learn?"""
    if name.startswith("lm_head."):
        return True
    if learn == "head":
        return False
    if learn == "adapters":
        return ".adapter_layer." in name
    return learn == "all" or "feature_extractor." not in name


def _size(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{max(1, round(size / (1 << 20)))} MiB"
