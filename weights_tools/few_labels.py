"""Does pre-training help where few texts are at hand? The experiment behind notebook 18, and its result.

    python -m weights_tools.few_labels CORPUS --out RUNS [--parts probes] [--languages ro el] [--seeds 0 1]

It compares three starts of one small network: random weights, and those of the recipes pretrain-one (Spanish) and
pretrain-five (English, Spanish, French, Italian, Russian), whose checkpoints stand in RUNS/one and RUNS/five. The
network stays as it is, and a linear CTC head learns to write from all its hidden states together: a linear probe, which
asks what the weights already know, and which a laptop can do for many languages, amounts of labels and seeds. A seed
draws the random weights and chooses the clips; the smaller amount is a part of the larger. The error is measured on the
dev split, by which nothing is chosen. Probes of Romanian also read each hidden state alone, with 9 minutes of labels.
Then it counts which codes of the quantizer each language uses.

A line of JSON for each probe goes to RUNS/probes.jsonl, the error rates by hidden state to RUNS/layers.json, the counts
to RUNS/codes.json. What all weights learn together, by fine-tuning: few_labels_finetune.py.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import xlsr_ref
from xlsr_ref import audio
from xlsr_ref.files import write_whole
from xlsr_ref.losses.ctc import ctc_loss, ctc_loss_backward
from xlsr_ref.model.networks import architecture_of
from xlsr_ref.ops import adam
from xlsr_ref.ops.linear import linear, linear_backward
from xlsr_ref.ops.norm import layer_norm
from xlsr_ref.ops.schedule import linear as linear_schedule
from xlsr_ref.ops.tree import nest
from xlsr_ref.text.greedy import collapse
from xlsr_ref.text.metrics import character_errors
from xlsr_ref.training.start import draw_weights
from xlsr_ref.wav2vec2.config import Config
from xlsr_ref.wav2vec2.feature_encoder import feature_encoder
from xlsr_ref.wav2vec2.quantizer import quantize_eval

LIST = "tuxpaint.tsv"
LANGUAGES = ("es", "ro", "ca", "bg", "be", "el")
OF_LAYERS = "ro"  # the language whose probes read each hidden state alone
WITH_CODES = ("es", "fr", "ru", "ro", "ca", "bg", "be", "el", "da")
MINUTES = (1.5, 9.0)
FEATURES = ("feature_extractor", "feature_projection")  # what a start "-features" keeps of the pre-trained network
STEPS, BATCH, RATE = 800, 8, 3e-3
BLANK = 0


ClipErrors = tuple[int, int, float | None]  # edits, characters, −ln p of the text in nats


class Clip(NamedTuple):
    states: np.ndarray  # (T, (N + 1) C)  all hidden states side by side
    text: str


def rows_of(corpus: Path, language: str, split: str, seed: int = 0) -> list[dict[str, str]]:
    """The rows of the corpus's list in this language and split, in an order that the seed decides.

    Raises OSError, and ValueError where there is none.
    """
    if not (corpus / LIST).is_file():
        raise ValueError(f"{corpus / LIST} is not there: give the folder that build_corpus has written")
    with (corpus / LIST).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if (row["lang"], row["split"]) == (language, split)]
    if not rows:
        raise ValueError(f"{corpus / LIST} has no clip of {language} in the split {split}: name another language")
    return sorted(rows, key=lambda row: hashlib.sha1(f"{seed}|{row['path']}".encode()).hexdigest())


def first_minutes(rows: Sequence[dict[str, str]], minutes: float) -> list[dict[str, str]]:
    """As many of the rows as these minutes hold."""
    ends = np.cumsum([float(row["seconds"]) for row in rows])
    return [row for row, end in zip(rows, ends) if end <= 60 * minutes]


def with_random_weights(model: xlsr_ref.Model, seed: int) -> None:
    """Give ``model`` weights as a run from nothing begins with."""
    config = model.config
    shapes = architecture_of(config).shapes(config, config.family + "ForPreTraining")
    model.network.params = nest(draw_weights(np.random.default_rng(seed), shapes, config))


def states_of(model: xlsr_ref.Model, corpus: Path, rows: Sequence[dict[str, str]]) -> dict[str, np.ndarray]:
    """All hidden states of each recording, side by side (T, (N + 1) C), by its path."""

    def one(row: dict[str, str]) -> np.ndarray:
        waveform = audio.read(corpus / row["path"], model.preprocessor.sampling_rate)
        return np.concatenate(model.hidden_states(waveform, model.preprocessor.sampling_rate), axis=1)

    return {row["path"]: one(row) for row in rows}


def probe(train: Sequence[Clip], dev: Sequence[Clip], seed: int) -> list[ClipErrors]:
    """Let a linear CTC head learn from ``train``. Of each clip of ``dev``: edits, characters, and −ln p of its text.

    Letters that ``train`` lacks are left out of that text; None where it has more letters than the sound has frames.
    """
    letters = sorted({letter for clip in train for letter in clip.text})
    ids = {letter: i for i, letter in enumerate(letters, 1)}
    every = np.concatenate([clip.states for clip in train])
    mean, std = every.mean(axis=0), every.std(axis=0) + 1e-6
    rng = np.random.default_rng(seed)
    p = {
        "weight": (0.01 * rng.standard_normal((len(letters) + 1, len(mean)))).astype(np.float32),
        "bias": np.zeros(len(letters) + 1, np.float32),
    }
    examples = [((clip.states - mean) / std, [ids[letter] for letter in clip.text]) for clip in train]
    examples = [(x, targets) for x, targets in examples if np.isfinite(ctc_loss(linear(x, p)[0], targets, BLANK)[0])]
    state, settings = adam.AdamState(), adam.Adam()
    for n, some in enumerate(_batches(len(examples), rng), 1):
        rate = linear_schedule(n, STEPS, RATE)
        grads = {name: np.zeros_like(array) for name, array in p.items()}
        letters_here = sum(len(examples[i][1]) for i in some)
        for i in some:
            x, targets = examples[i]
            logits, cache = linear(x, p)
            _, loss_cache = ctc_loss(logits, targets, BLANK)
            _, of_clip = linear_backward(ctc_loss_backward(1 / letters_here, loss_cache), cache)
            for name in grads:
                grads[name] += of_clip[name]
        adam.step(p, grads, state, dict.fromkeys(p, rate), settings)
    return [clip_errors(linear((clip.states - mean) / std, p)[0], clip.text, ids) for clip in dev]


def _batches(clips: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """STEPS batches of nearly equal size, in which every clip comes as often as any other."""
    at_once = -(-clips // BATCH)
    passes = (np.array_split(rng.permutation(clips), at_once) for _ in itertools.count())
    return itertools.islice(itertools.chain.from_iterable(passes), STEPS)


def clip_errors(logits: np.ndarray, text: str, ids: dict[str, int]) -> ClipErrors:
    """Edits, characters, and −ln p of ``text`` by these ``logits`` (T, V). Other tokens than ``ids`` are not read."""
    letters = {i: letter for letter, i in ids.items()}
    path = [letters.get(token, "") for token in logits.argmax(axis=1)]
    read = "".join(run.token for run in collapse(path, ""))
    errors = character_errors(text, read)
    nats, _ = ctc_loss(logits, [ids[letter] for letter in text if letter in ids], BLANK)
    return errors.edits, errors.length, round(nats, 2) if np.isfinite(nats) else None


def error_rate(clips: Sequence[ClipErrors]) -> float:
    """Edits in the number of characters, of all clips together."""
    return sum(clip[0] for clip in clips) / sum(clip[1] for clip in clips)


def codes_of(model: xlsr_ref.Model, corpus: Path, language: str) -> list[list[int]]:
    """How often each code of each group was chosen in the language's clips, those of train and dev: (G, V)."""
    config, params = model.config, model.params
    assert isinstance(config, Config)
    counts = np.zeros((config.num_codevector_groups, config.num_codevectors_per_group), np.int64)
    base, rate = params["wav2vec2"], model.preprocessor.sampling_rate
    for row in rows_of(corpus, language, "train") + rows_of(corpus, language, "dev"):
        waveform = model.normalised(audio.read(corpus / row["path"], rate))
        features, _ = feature_encoder(waveform, base["feature_extractor"], config, keep=False)
        normed, _ = layer_norm(features, base["feature_projection"]["layer_norm"], config.layer_norm_eps)
        _, codes = quantize_eval(normed, params["quantizer"], len(counts))
        for group, chosen in zip(counts, codes.T):
            group += np.bincount(chosen, minlength=len(group))
    return counts.tolist()


def start_of(name: str, runs: Path, seed: int) -> xlsr_ref.Model:
    """The network of the start new, one, five, one-features or five-features; ``seed`` draws what is random.

    With "-features", the feature encoder and the projection are pre-trained, and the context network is random.
    """
    folder = runs / ("five" if name == "new" else name.removesuffix("-features")) / "model"
    model = xlsr_ref.load(folder)
    if name in ("one", "five"):
        return model
    learnt = {part: model.params["wav2vec2"][part] for part in FEATURES}
    with_random_weights(model, seed)
    if name != "new":
        model.params["wav2vec2"].update(learnt)
    return model


def models(runs: Path, seed: int) -> dict[str, xlsr_ref.Model]:
    """The three starts of the probes by name."""
    return {name: start_of(name, runs, seed) for name in ("new", "one", "five")}


def clips_of(
    model: xlsr_ref.Model, corpus: Path, language: str, minutes: Sequence[float], seed: int
) -> tuple[dict[float, list[Clip]], list[Clip]]:
    """What the probes of a language learn from, by its amount, and what they are tested with."""
    rows = first_minutes(rows_of(corpus, language, "train", seed), max(minutes))
    dev = rows_of(corpus, language, "dev")
    states = states_of(model, corpus, rows + dev)
    train = {n: [Clip(states[row["path"]], row["text"]) for row in first_minutes(rows, n)] for n in minutes}
    return train, [Clip(states[row["path"]], row["text"]) for row in dev]


def of_layer(clips: Sequence[Clip], layer: int, width: int) -> list[Clip]:
    """The same clips with one of their hidden states alone; 0 is what enters the first block."""
    return [clip._replace(states=clip.states[:, layer * width : (layer + 1) * width]) for clip in clips]


def probe_all(a: argparse.Namespace) -> None:
    """A probe for each seed, start, language and amount, to probes.jsonl."""
    lines: list[str] = []
    for seed in a.seeds:
        for start, model in models(a.out, seed).items():
            for language in a.languages:
                train, dev = clips_of(model, a.corpus, language, a.minutes, seed)
                for minutes in a.minutes:
                    clips = probe(train[minutes], dev, seed)
                    print(f"seed {seed}, {start}, {language}, {minutes:g} min: {error_rate(clips):.3f}", flush=True)
                    one: dict[str, Any] = {"start": start, "language": language, "minutes": minutes, "seed": seed}
                    lines.append(json.dumps(one | {"clips": clips}, separators=(",", ":")) + "\n")
                    write_whole(a.out / "probes.jsonl", "".join(lines))


def probe_layers(a: argparse.Namespace) -> None:
    """Character error rates of probes of each hidden state alone, by start, layer and seed, to layers.json."""
    found: dict[str, list[list[float]]] = {}
    for seed in a.seeds:
        for start, model in models(a.out, seed).items():
            train, dev = clips_of(model, a.corpus, OF_LAYERS, MINUTES, seed)
            width, layers = model.config.hidden_size, range(model.config.num_hidden_layers + 1)
            rates = found.setdefault(start, [[] for _ in layers])
            for layer in layers:
                clips = probe(of_layer(train[max(MINUTES)], layer, width), of_layer(dev, layer, width), seed)
                rates[layer].append(round(error_rate(clips), 4))
                print(f"seed {seed}, {start}, hidden state {layer}: {rates[layer][-1]:.3f}", flush=True)
    write_whole(a.out / "layers.json", json.dumps(found) + "\n")


def count_codes(a: argparse.Namespace) -> None:
    """Which codes each language uses, by start, to codes.json."""
    both = {name: model for name, model in models(a.out, 0).items() if name != "new"}
    codes = {
        name: {language: codes_of(model, a.corpus, language) for language in WITH_CODES} for name, model in both.items()
    }
    write_whole(a.out / "codes.json", json.dumps(codes, separators=(",", ":")) + "\n")


PARTS = {"probes": probe_all, "layers": probe_layers, "codes": count_codes}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--languages", nargs="+", default=LANGUAGES)
    parser.add_argument("--minutes", nargs="+", type=float, default=MINUTES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    a = parser.parse_args(argv)
    try:
        for part in a.parts:
            PARTS[part](a)
    except (OSError, ValueError) as error:
        raise SystemExit(f"few_labels: {error}") from None


if __name__ == "__main__":
    main()
