"""The stages of a forward pass: how much work each one has, and how long it takes.

Work is counted, not measured: FLOPs as in summary.py, and the bytes that a stage must move at least, in float32: its
weights once, what it takes in and what it gives out. What it makes in between may stay in a core's cache.

    intensity = FLOPs / bytes        a stage of low intensity waits for memory, however fast the cores multiply

Time is taken by standing in for the functions that are the stages, for as long as `watch` lasts, so that no file needs
a clock of its own. A stage's time is without that of the stage inside it.
Letters: T frames, C channels, N blocks.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, NamedTuple

from xlsr_ref.ops.stage_table import EVERY_BLOCK, ONLY_PRETRAINING, total
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.summary import stage_table

FLOAT32 = 4  # bytes

FUNCTIONS = {  # stage: where its function is at home
    "feature encoder": ("xlsr_ref.wav2vec2.feature_encoder", "feature_encoder"),
    "projection": ("xlsr_ref.ops.feature_projection", "feature_projection"),
    "positional convolution": ("xlsr_ref.wav2vec2.positional", "positional"),
    "attention: q, k, v, out": ("xlsr_ref.ops.attention", "attention"),
    "attention: softmax(q kᵀ) v": ("xlsr_ref.ops.attention", "scaled_dot_product"),
    "feed-forward": ("xlsr_ref.ops.feed_forward", "feed_forward"),
    "norms": ("xlsr_ref.ops.norm", "layer_norm"),
    "head": ("xlsr_ref.heads.ctc", "ctc_head"),
}
OPEN = {"attention: q, k, v, out"}  # a stage that has another one inside; in the others everything is theirs
REST = "the rest"  # normalising the waveform, adding what goes around a block's halves


class Work(NamedTuple):
    """Of one stage, over all blocks."""

    flops: int
    bytes: int  # that it must move at least

    @property
    def intensity(self) -> float:
        """FLOPs per byte; 0 where nothing moves."""
        return self.flops / self.bytes if self.bytes else 0.0


def work(config: Config, kind: str, samples: int) -> dict[str, Work]:
    """The work of each stage on ``samples`` samples, for a model of ``kind``. Raises AudioError for too few.

    Adapters, and heads other than CTC's, are small and have no clock: they belong to the rest.
    """
    rows = {row.prefix: row for row in reversed(stage_table(config, kind, samples, prefix=""))}  # the first of a name
    T, features = rows["feature_extractor"].output
    C, N = config.hidden_size, config.num_hidden_layers
    attention, feed_forward = rows[f"{EVERY_BLOCK}.attention"], rows[f"{EVERY_BLOCK}.feed_forward"]
    norms = [rows[f"{EVERY_BLOCK}.layer_norm"], rows[f"{EVERY_BLOCK}.final_layer_norm"], rows["encoder.layer_norm"]]
    mixing = N * 4 * T * T * C  # q kᵀ, and weights · v
    counts = {  # stage: FLOPs, parameters, numbers that come in and go out
        "feature encoder": (*_counts(rows["feature_extractor"]), samples + T * features),
        "projection": (*_counts(rows["feature_projection"]), T * features + T * C),
        "positional convolution": (*_counts(rows["encoder.pos_conv_embed"]), 2 * T * C),
        "attention: q, k, v, out": (attention.flops - mixing, attention.parameters, N * 6 * T * C),
        "attention: softmax(q kᵀ) v": (mixing, 0, N * 4 * T * C),
        "feed-forward": (*_counts(feed_forward), N * 2 * T * C),
        "norms": (0, sum(row.parameters for row in norms), (2 * N + 1) * 2 * T * C),
    }
    if "lm_head" in rows:
        counts["head"] = (*_counts(rows["lm_head"]), T * C + T * rows["lm_head"].output[1])
    return {stage: Work(flops, FLOAT32 * (held + moved)) for stage, (flops, held, moved) in counts.items()}


def all_flops(config: Config, kind: str, samples: int) -> int:
    """FLOPs of the whole forward pass, by summary.py."""
    return total(stage_table(config, kind, samples), without=ONLY_PRETRAINING)[1]


def _counts(row: Any) -> tuple[int, int]:
    return row.flops, row.parameters


# --- time ------------------------------------------------------------------------------------------------------------


@contextmanager
def watch() -> Iterator[dict[str, float]]:
    """While it lasts, the calling thread's seconds in each stage are added to the dict that it yields."""
    spent = dict.fromkeys(FUNCTIONS, 0.0)
    under_way: list[list[Any]] = []  # of each stage that has begun: its name, the seconds of those inside it
    owner = threading.get_ident()

    def stand_in(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            if threading.get_ident() != owner or (under_way and under_way[-1][0] not in OPEN):
                return function(*arguments, **options)
            under_way.append([stage, 0.0])
            start = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                seconds = time.perf_counter() - start
                _, inside = under_way.pop()
                spent[stage] += seconds - inside
                if under_way:
                    under_way[-1][1] += seconds

        return called

    with ExitStack() as restore:
        for stage, (home, name) in FUNCTIONS.items():
            function = getattr(import_module(home), name)
            replacement = stand_in(stage, function)
            for module in [module for key, module in sys.modules.items() if key.startswith("xlsr_ref.")]:
                for attribute in [key for key, value in vars(module).items() if value is function]:
                    setattr(module, attribute, replacement)
                    restore.callback(setattr, module, attribute, function)
        yield spent
