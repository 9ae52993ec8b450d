"""Fine-tuning from few labels: what each start keeps, what a run writes, and the stored result."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest

import xlsr_ref
from weights_tools import few_labels_finetune
from weights_tools.few_labels import LIST
from weights_tools.few_labels_finetune import RESULTS, STARTS, errors_of, main, start_of
from xlsr_ref.audio.clips import DATA
from xlsr_ref.files import write_whole
from xlsr_ref.losses.ctc import ctc_loss
from xlsr_ref.ops.tree import flatten
from xlsr_ref.training.shipped import text_of


@pytest.fixture
def runs(tmp_path):
    for name in ("one", "five"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model").symlink_to(DATA / "small-pretrained")
    return tmp_path


@pytest.fixture
def corpus(tmp_path):
    """The list of the package's clips under the name that the tool reads, beside the clips."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "clips").symlink_to(DATA / "clips")
    with open(DATA / "clips.tsv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    names = ("path", "lang", "speaker", "seconds", "split", "text")
    lines = ["\t".join(names)]
    for number, row in enumerate(row for row in rows if row["lang"] == "es"):
        lines.append("\t".join((row | {"split": "dev" if number < 2 else "train"})[name] for name in names))
    write_whole(folder / LIST, "\n".join(lines) + "\n")
    return folder


def same(one, other, part):
    """Which share of the arrays whose names have ``part`` are equal in both models."""
    one, other = flatten(one.params), flatten(other.params)
    return np.mean([np.array_equal(one[name], other[name]) for name in one if part in name])


def test_each_start_keeps_what_its_name_says(runs):
    learnt = xlsr_ref.load(DATA / "small-pretrained")
    models = {name: start_of(name, runs, seed=0) for name in STARTS}
    assert same(models["five"], learnt, "wav2vec2") == 1
    for name in ("one-features", "five-features"):
        assert same(models[name], learnt, "wav2vec2.feature_") == 1
        assert same(models[name], learnt, "encoder.layers.0.attention.q_proj.weight") == 0
        assert same(models[name], models["new"], "wav2vec2.encoder") == 1
    assert same(models["new"], learnt, "conv.weight") == 0
    assert same(models["new"], start_of("new", runs, seed=1), "conv.weight") == 0


def test_errors_are_those_of_the_transcript_and_the_loss(corpus):
    model = xlsr_ref.load(DATA / "small-ctc")
    with open(corpus / LIST, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if " " in row["text"]][:2]
    for row, (edits, length, nats) in zip(rows, errors_of(model, corpus, rows), strict=True):
        sound, rate = xlsr_ref.audio.read(corpus / row["path"], 16000), 16000
        read = model.transcribe(sound, rate).text
        errors = xlsr_ref.text.metrics.character_errors(row["text"], read)
        assert (edits, length) == (errors.edits, errors.length)
        tokens = model.tokenizer.encode(row["text"])
        assert nats == pytest.approx(ctc_loss(model.logits(sound, rate), tokens, model.tokenizer.pad_id)[0], abs=0.01)


def test_a_run_of_every_start_adds_a_line_and_goes_on_where_it_stopped(runs, corpus, monkeypatch, capsys):
    recipe = re.sub(r"\bsteps = \d+", "steps = 2", text_of("few-labels"))
    monkeypatch.setattr(few_labels_finetune, "text_of", lambda name: recipe)
    arguments = [str(corpus), "--out", str(runs), "--languages", "es", "--minutes", "0.2", "--seeds", "3"]
    main([*arguments, "--starts", "new"])
    main([*arguments, "--starts", "new", "one-features"])
    found = [json.loads(line) for line in (runs / RESULTS).read_text("utf-8").splitlines()]
    assert [(run["start"], run["language"], run["minutes"], run["seed"]) for run in found] == [
        ("new", "es", 0.2, 3), ("one-features", "es", 0.2, 3),
    ]  # fmt: skip
    assert found[0]["clips"] != found[1]["clips"]
    assert all(len(run["clips"]) == 2 for run in found)
    assert "drawn: lm_head.weight, lm_head.bias" in capsys.readouterr().out


def test_the_stored_result_is_whole():
    """Every start has runs; the letters of the dev clips are those of the probes, whose clips they are."""
    runs, probes = (
        [json.loads(line) for line in (DATA / "few-labels" / name).read_text("utf-8").splitlines()]
        for name in (RESULTS, "probes.jsonl")
    )
    assert {run["start"] for run in runs} == set(STARTS)
    assert len({(run["start"], run["language"], run["minutes"], run["seed"]) for run in runs}) == len(runs)
    letters = {run["language"]: [clip[1] for clip in run["clips"]] for run in probes}
    assert all([clip[1] for clip in run["clips"]] == letters[run["language"]] for run in runs)
    layers = json.loads((DATA / "few-labels" / "layers.json").read_text("utf-8"))
    assert {name: np.array(rates).shape for name, rates in layers.items()} == dict.fromkeys(
        ("new", "one", "five"), (5, 3)
    )
