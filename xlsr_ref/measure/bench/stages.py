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
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any, NamedTuple

from xlsr_ref.model.networks import architecture_of
from xlsr_ref.ops.stage_table import EVERY_BLOCK, ONLY_PRETRAINING, Row, total
from xlsr_ref.settings import Settings
from xlsr_ref.wav2vec2_bert.config import Config as BertConfig

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
BERT_FUNCTIONS = {  # of Wav2Vec2-BERT
    "projection": FUNCTIONS["projection"],
    "attention: q, k, v, out": ("xlsr_ref.wav2vec2_bert.relative_attention", "self_attention"),
    "attention: softmax(q kᵀ) v": FUNCTIONS["attention: softmax(q kᵀ) v"],
    "convolution module": ("xlsr_ref.wav2vec2_bert.conv_module", "conv_module"),
    "feed-forward": FUNCTIONS["feed-forward"],
    "norms": FUNCTIONS["norms"],
    "head": FUNCTIONS["head"],
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


Counts = dict[str, tuple[int, int, int]]  # of each stage: FLOPs, parameters, numbers that come in and go out


def work(config: Settings, kind: str, samples: int) -> dict[str, Work]:
    """The work of each stage on ``samples`` samples, for a model of ``kind``. Raises AudioError for too few.

    Adapters, and heads other than CTC's, are small and have no clock: they belong to the rest.
    """
    table = architecture_of(config).table(config, kind, samples, "")
    rows = {row.prefix: row for row in reversed(table)}  # the first of a name
    T, C = rows["feature_projection"].output
    counts = _of_bert(config, rows) if isinstance(config, BertConfig) else _of_wav2vec2(config, rows, samples)
    if "lm_head" in rows:
        counts["head"] = (*_counts(rows["lm_head"]), T * C + T * rows["lm_head"].output[1])
    return {stage: Work(flops, FLOAT32 * (held + moved)) for stage, (flops, held, moved) in counts.items()}


def _of_wav2vec2(config: Settings, rows: dict[str, Row], samples: int) -> Counts:
    T, features = rows["feature_extractor"].output
    C, N = config.hidden_size, config.num_hidden_layers
    attention, feed_forward = rows[f"{EVERY_BLOCK}.attention"], rows[f"{EVERY_BLOCK}.feed_forward"]
    norms = [rows[f"{EVERY_BLOCK}.layer_norm"], rows[f"{EVERY_BLOCK}.final_layer_norm"], rows["encoder.layer_norm"]]
    mixing = N * 4 * T * T * C  # q kᵀ, and weights · v
    return {
        "feature encoder": (*_counts(rows["feature_extractor"]), samples + T * features),
        "projection": (*_counts(rows["feature_projection"]), T * features + T * C),
        "positional convolution": (*_counts(rows["encoder.pos_conv_embed"]), 2 * T * C),
        "attention: q, k, v, out": (attention.flops - mixing, attention.parameters, N * 6 * T * C),
        "attention: softmax(q kᵀ) v": (mixing, 0, N * 4 * T * C),
        "feed-forward": (*_counts(feed_forward), N * 2 * T * C),
        "norms": (0, sum(row.parameters for row in norms), (2 * N + 1) * 2 * T * C),
    }


def _of_bert(config: BertConfig, rows: dict[str, Row]) -> Counts:
    T, C = rows["feature_projection"].output
    N, F = config.num_hidden_layers, config.feature_projection_input_dim
    parts = {part: rows[f"{EVERY_BLOCK}.{part}"] for part in ("ffn1", "ffn2", "self_attn", "conv_module")}
    attention, mixing = parts["self_attn"], N * 4 * T * T * C  # q kᵀ, and weights · v
    norms = [rows[f"{EVERY_BLOCK}.{name}_layer_norm"] for name in ("ffn1", "self_attn", "ffn2", "final")]
    both = [parts["ffn1"].flops + parts["ffn2"].flops, parts["ffn1"].parameters + parts["ffn2"].parameters]
    return {
        "projection": (*_counts(rows["feature_projection"]), T * F + T * C),
        "attention: q, k, v, out": (attention.flops - mixing, attention.parameters, N * 6 * T * C),
        "attention: softmax(q kᵀ) v": (mixing, 0, N * 4 * T * C),
        "convolution module": (*_counts(parts["conv_module"]), N * 2 * T * C),
        "feed-forward": (both[0], both[1], N * 4 * T * C),
        "norms": (0, sum(row.parameters for row in norms), N * 4 * 2 * T * C),
    }


def functions_of(config: Settings) -> dict[str, tuple[str, str]]:
    """The stages of a network, and where the function of each is at home."""
    return BERT_FUNCTIONS if isinstance(config, BertConfig) else FUNCTIONS


def all_flops(config: Settings, kind: str, samples: int) -> int:
    """FLOPs of the whole forward pass, by summary.py."""
    return total(architecture_of(config).table(config, kind, samples, None), without=ONLY_PRETRAINING)[1]


def _counts(row: Any) -> tuple[int, int]:
    return row.flops, row.parameters


# --- time ------------------------------------------------------------------------------------------------------------


@contextmanager
def watch(functions: Mapping[str, tuple[str, str]] = FUNCTIONS) -> Iterator[dict[str, float]]:
    """While it lasts, the calling thread's seconds in each stage are added to the dict that it yields."""
    spent = dict.fromkeys(functions, 0.0)
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
        for stage, (home, name) in functions.items():
            function = getattr(import_module(home), name)
            replacement = stand_in(stage, function)
            for module in [module for key, module in sys.modules.items() if key.startswith("xlsr_ref.")]:
                for attribute in [key for key, value in vars(module).items() if value is function]:
                    setattr(module, attribute, replacement)
                    restore.callback(setattr, module, attribute, function)
        yield spent
