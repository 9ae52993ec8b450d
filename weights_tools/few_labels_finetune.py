"""From which weights does fine-tuning learn best where few texts are at hand? The second question of notebook 18.

    python -m weights_tools.few_labels_finetune CORPUS --out RUNS [--languages ro el] [--minutes 9] [--seeds 0]

All weights learn, by the recipe few-labels, from the starts of few_labels.py, whose checkpoints stand in RUNS/one and
RUNS/five:
    new                          random weights
    one, five                    pre-trained weights
    one-features, five-features  the pre-trained feature encoder and projection; the context network is random
The clips, the seeds and the dev split are those of few_labels.py. A line of JSON for each run is added to
RUNS/finetuned.jsonl. Runs that have a line there are left out, so the command goes on where it was stopped, and two
commands, for different languages, can share RUNS.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import xlsr_ref
from weights_tools.few_labels import (
    MINUTES,
    ClipErrors,
    clip_errors,
    error_rate,
    first_minutes,
    rows_of,
    start_of,
)
from xlsr_ref import audio
from xlsr_ref.training.loop import train
from xlsr_ref.training.prepare import prepare_run
from xlsr_ref.training.shipped import text_of

STARTS = ("new", "one", "five", "one-features", "five-features")
LANGUAGES = ("ro", "es", "bg", "el")
RESULTS = "finetuned.jsonl"


def finetuned(start: xlsr_ref.Model, corpus: Path, rows: Sequence[dict[str, str]], seed: int) -> xlsr_ref.Model:
    """What the recipe few-labels makes of ``start`` with the clips of ``rows``."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        start.save(folder / "start")
        recipe = folder / "few-labels.toml"
        recipe.write_text(text_of("few-labels"), encoding="utf-8")
        with (folder / "few.tsv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0], delimiter="\t")
            writer.writeheader()
            writer.writerows(row | {"path": str((corpus / row["path"]).resolve())} for row in rows)
        return xlsr_ref.load(train(prepare_run("finetune", recipe, folder / "run", folder, False, print, seed), print))


def errors_of(model: xlsr_ref.Model, corpus: Path, rows: Sequence[dict[str, str]]) -> list[ClipErrors]:
    """Of each row: edits, characters, and −ln p of its text."""
    rate = model.preprocessor.sampling_rate
    assert model.tokenizer is not None
    tokens = model.tokenizer.vocabulary.items()
    ids = {" " if token == model.tokenizer.word_delimiter else token: i for token, i in tokens if len(token) == 1}
    return [clip_errors(model.logits(audio.read(corpus / row["path"], rate), rate), row["text"], ids) for row in rows]


def finetune_all(a: argparse.Namespace) -> None:
    """The runs that RUNS/finetuned.jsonl has no line for yet, the larger amounts of labels first."""
    file = a.out / RESULTS
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    done = {(run["seed"], run["minutes"], run["language"], run["start"]) for run in map(json.loads, lines)}
    for key in itertools.product(a.seeds, sorted(a.minutes, reverse=True), a.languages, a.starts):
        if key in done:
            continue
        seed, minutes, language, name = key
        rows = first_minutes(rows_of(a.corpus, language, "train", seed), minutes)
        dev = rows_of(a.corpus, language, "dev")
        clips = errors_of(finetuned(start_of(name, a.out, seed), a.corpus, rows, seed), a.corpus, dev)
        print(f"seed {seed}, {name}, {language}, {minutes:g} min: {error_rate(clips):.3f}", flush=True)
        run = {"start": name, "language": language, "minutes": minutes, "seed": seed, "clips": clips}
        with file.open("a", encoding="utf-8") as results:
            results.write(json.dumps(run, separators=(",", ":")) + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=STARTS)
    parser.add_argument("--languages", nargs="+", default=LANGUAGES)
    parser.add_argument("--minutes", nargs="+", type=float, default=MINUTES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    try:
        finetune_all(parser.parse_args(argv))
    except (OSError, ValueError) as error:
        raise SystemExit(f"few_labels_finetune: {error}") from None


if __name__ == "__main__":
    main()
