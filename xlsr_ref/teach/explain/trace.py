"""One utterance through the model: the array that every stage puts out, and how its text was found.

    waveform → features → projection → + positions → blocks → scores → best path → lattice → words

wav2vec 2.0 and its relatives learn their features, and add positions; Wav2Vec2-BERT is given log-mel features, and its
attention sees the distances itself, so it has no stage of positions.
The text is the greedy one: the likeliest token of every frame, repeats merged, blanks dropped. It is then laid over the
frames by the best path of CTC (text/align.py), which gives the times. Attention weights are made block by block from
the hidden states, and put into few bytes at once, since all of them would be gigabytes.
Letters: L samples, T frames, C channels, V tokens, H heads, N blocks, S tokens of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from xlsr_ref import audio
from xlsr_ref.errors import AudioError, CannotTranscribeError
from xlsr_ref.losses.ctc import ctc_loss, posteriors
from xlsr_ref.model.model import Model
from xlsr_ref.model.networks import architecture_of
from xlsr_ref.ops import threads
from xlsr_ref.ops.conv_length import frames, receptive_field
from xlsr_ref.ops.softmax import log_softmax
from xlsr_ref.settings import Settings
from xlsr_ref.teach.explain.compact import attention_levels, block_of
from xlsr_ref.text.align import Alignment, align
from xlsr_ref.text.confidence import of_tokens
from xlsr_ref.text.greedy import Run, best_path, collapse, split_words
from xlsr_ref.text.tokenizer import Tokenizer
from xlsr_ref.wav2vec2.config import Config

LONGEST = 30.0  # seconds on one page
HEADS_BYTES, MEANS_BYTES = 3_000_000, 1_000_000  # of the attention: of each head, and of the mean over the heads


class Attention(NamedTuple):
    """Attention weights as levels, see compact.py; a block is so many frames."""

    heads: np.ndarray  # (N, H, n, n) uint8
    heads_tops: np.ndarray  # (N, H)
    heads_block: int
    means: np.ndarray  # (N, m, m) uint8: of all heads of a block
    means_tops: np.ndarray  # (N,)
    means_block: int


class Word(NamedTuple):
    text: str
    first: int  # frames first to stop - 1
    stop: int
    score: float


class Trace(NamedTuple):
    """What the page shows. Frames are ``hop`` samples apart, and each sees ``field`` samples."""

    waveform: np.ndarray  # (L,)  as recorded
    is_normalised: bool  # before the network sees it
    rate: int
    hop: int
    field: int
    features: np.ndarray  # (T, C')
    projected: np.ndarray  # (T, C)
    positions: np.ndarray | None  # (T, C)  what is added, in a network that adds them
    states: tuple[np.ndarray, ...]  # N + 1 of (T, C): what enters the first block, what leaves each
    attention: Attention
    log_probs: np.ndarray  # (T, V)
    best: np.ndarray  # (T,)  the likeliest token of each frame
    labels: tuple[str, ...]  # (V,)  how each token is written; "" for the blank
    blank: int
    runs: tuple[Run, ...]  # (S,)  what is left of the best path, with its frames
    alignment: Alignment  # of these tokens: the best path through the lattice
    posterior: np.ndarray  # (T, 2S+1)  γ: how probable each place is at each frame
    log_p: float  # ln of the probability of the text: of all paths through the lattice
    words: tuple[Word, ...]
    text: str
    config: Settings
    parameters: int


def trace_of(model: Model, waveform: np.ndarray, sampling_rate: int) -> Trace:
    """Take ``waveform`` (L,) or (L, channels), of at most 30 s, through ``model``, which must write text.

    Raises AudioError for what is too short or too long, CannotTranscribeError for a model without a head for text, a
    vocabulary or a blank, and for one with a convolutional adapter, which lowers the frame rate.
    """
    tokenizer = require_text(model)
    rate, c = model.preprocessor.sampling_rate, model.config
    waveform = audio.from_array(waveform, sampling_rate, rate, model.dtype)
    if len(waveform) > LONGEST * rate:
        raise AudioError(f"{len(waveform) / rate:.1f} s are too long for one page: give at most {LONGEST:g} s")
    x = model.normalised(waveform)
    logits, network_cache = model.network.forward(x, "outputs")
    kept = network_cache.backbone
    learnt = isinstance(c, Config)
    features, positions = (kept.feature_encoder.outputs[-1], kept.encoder.position) if learnt else (x, None)
    projected, states = kept.projected, tuple(kept.encoder.states)
    del network_cache, kept

    log_probs = log_softmax(logits).astype(model.dtype)
    best, _ = best_path(logits)
    pad = tokenizer.pad_token
    runs = collapse([tokenizer.token(entry) for entry in best], pad)
    targets = [int(best[run.first]) for run in runs]
    blank = int(tokenizer.pad_id or 0)
    alignment = align(log_probs, targets, blank)
    _, cache = ctc_loss(logits, targets, blank)
    return Trace(
        waveform, getattr(model.preprocessor, "do_normalize", False), rate, c.hop,
        c.receptive_field, features, projected, positions, states, attention_of(model, states), log_probs, best,
        tuple(written(tokenizer, id) for id in range(log_probs.shape[1])), blank, tuple(runs), alignment,
        posteriors(cache), cache.log_p, words_of(runs, alignment, tokenizer),
        tokenizer.join(run.token for run in runs), c, model.report.parameters,
    )  # fmt: skip


def require_text(model: Model) -> Tokenizer:
    """The tokenizer of a model whose transcription can be shown. Raises CannotTranscribeError for any other."""
    tokenizer = model.tokenizer
    if model.network.head != "ctc":
        raise CannotTranscribeError(
            f"this is a {model.report.kind}, which has no CTC head and writes no text: give a model fine-tuned with CTC"
        )
    if tokenizer is None:
        raise CannotTranscribeError("the model's folder has no vocab.json, so its scores cannot be spelled: add it")
    if tokenizer.pad_id is None or tokenizer.pad_id >= len(model.params["lm_head"]["weight"]):
        raise CannotTranscribeError("the vocabulary has no pad token, which is the blank of CTC: no page can be made")
    if model.config.add_adapter:
        raise CannotTranscribeError("this model has a convolutional adapter, which the page cannot show")
    return tokenizer


def written(tokenizer: Tokenizer, id: int) -> str:
    """How a token stands in a text; the blank as nothing."""
    return "" if id == tokenizer.pad_id else tokenizer.spelled([tokenizer.token(id)]) or tokenizer.token(id)


def attention_of(model: Model, states: Sequence[np.ndarray]) -> Attention:
    """The attention weights of every block, from the hidden states, as levels; one block's are in memory at a time."""
    c, T = model.config, len(states[0])
    p = model.network.base["encoder"]["layers"]
    N, H = c.num_hidden_layers, c.num_attention_heads
    heads_block, means_block = block_of(T, N * H, HEADS_BYTES), block_of(T, N, MEANS_BYTES)
    heads, means = [], []
    block_attention = architecture_of(c).block_attention
    with threads.computing(model.threads):
        for i in range(N):
            weights = block_attention(states[i], p[str(i)], c)  # (H, T, T)
            heads.append(attention_levels(weights, heads_block))
            means.append(attention_levels(weights.mean(axis=0), means_block))
            del weights
    heads_levels, heads_tops = map(np.stack, zip(*heads))
    means_levels, means_tops = map(np.stack, zip(*means))
    return Attention(heads_levels, heads_tops, heads_block, means_levels, means_tops, means_block)


def words_of(runs: Sequence[Run], alignment: Alignment, tokenizer: Tokenizer) -> tuple[Word, ...]:
    """The words of the text, where the alignment has placed them."""
    placed = [
        (Run(run.token, one.first, one.stop), one.score) for run, one in zip(runs, alignment.spans)
    ]  # the token's frames on the best path through the lattice, not on the greedy one
    scores = {run.first: score for run, score in placed}
    words = []
    for part in split_words([run for run, _ in placed], tokenizer):
        score = of_tokens([scores[run.first] for run in part])
        words.append(Word(tokenizer.spelled(run.token for run in part), part[0].first, part[-1].stop, score))
    return tuple(words)


def layers_of(config: Config, samples: int) -> list[tuple[int, int, int, int]]:
    """Of each convolution: its kernel, its stride, the rows it puts out for ``samples``, and the samples a row sees."""
    layers = []
    for i, (kernel, stride) in enumerate(zip(config.conv_kernel, config.conv_stride), 1):
        kernels, strides = config.conv_kernel[:i], config.conv_stride[:i]
        rows = frames(samples, kernels, strides)
        layers.append((kernel, stride, rows, receptive_field(kernels, strides)))
    return layers


def surest_frame(seen: Trace) -> int:
    """The frame to begin with: of those that are surest of a letter the one nearest to the middle; else the middle."""
    T, p = len(seen.best), np.exp(seen.log_probs)
    letters = [t for t, token in enumerate(seen.best) if seen.labels[token].strip()]
    most = max((p[t, seen.best[t]] for t in letters), default=1.0)
    sure = [t for t in letters if p[t, seen.best[t]] > 0.9 * most]
    return min(sure, key=lambda t: abs(t - T // 2), default=T // 2)


def repeats(best: np.ndarray) -> np.ndarray:
    """Which frames have the token of the frame before (T,)."""
    return np.array([False, *(a == b for a, b in pairwise(best.tolist()))], bool)
