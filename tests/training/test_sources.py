"""Corpora of any layout as what a run learns from: texts prepared, what was left out told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_run import recipe

from xlsr_ref.errors import ManifestError, TrainingError
from xlsr_ref.text.preparation import Preparation
from xlsr_ref.training.data import Sounds, read_clips
from xlsr_ref.training.loop import train
from xlsr_ref.training.prepare import prepare_run
from xlsr_ref.training.sources import prepared_corpus, summary

LOWER = Preparation(case="lower", punctuation="drop", numerals="refuse")


@pytest.fixture
def common_voice(tmp_path) -> Path:
    """A folder of Common Voice with four clips of noise."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "corpora" / "fy-NL"
    (folder / "clips").mkdir(parents=True)
    rows = {"train": [("a", "Ab!"), ("b", "Ba, a"), ("n", "4 a")], "dev": [("d", "AB")], "test": []}
    for split, clips in rows.items():
        lines = ["client_id\tpath\tsentence"]
        for name, text in clips:
            soundfile.write(folder / "clips" / f"{name}.mp3", rng.uniform(-0.5, 0.5, 16000 // 2), 16000)
            lines.append(f"{split}-{name}\t{name}.mp3\t{text}")
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def test_texts_are_prepared_and_changes_told(common_voice):
    corpus = prepared_corpus(common_voice, LOWER)
    assert [clip.text for clip in corpus.clips] == ["ab", "ba a", "ab"]
    assert corpus.notes == [
        "text: 3 of 4 changed: 3 by case, 2 by punctuation",
        "text: dropped '!' 1, ',' 1",
        "text: 1 of 4 left out for their numerals",
    ]
    assert summary(corpus.left_out) == "1 clip is left out: n.mp3, since its text has numerals"
    (common_voice / "one.csv").write_text("path,text\nclips/n.mp3,4\n")
    with pytest.raises(ManifestError, match="the texts of all 1 have numerals"):
        prepared_corpus(common_voice / "one.csv", LOWER)


def test_a_run_on_common_voice(common_voice, tmp_path):
    prepared = 'case = "lower"\npunctuation = "drop"\nnumerals = "refuse"'
    text = recipe(2, 2, text=prepared).replace('manifests = ["tiny.tsv"]\n', "")
    (tmp_path / "tiny.toml").write_text(text)
    said: list[str] = []
    run = prepare_run("finetune", tmp_path / "tiny.toml", tmp_path / "run", common_voice, False, said.append)
    assert "warning: fy-NL: 1 clip is left out: n.mp3, since its text has numerals" in said
    assert list(run.dev) == ["fy-NL-fy-NL"]
    assert set(run.tokenizer.vocabulary) == {"[PAD]", "[UNK]", "|", "a", "b"}
    assert (train(run, said.append) / "model.safetensors").is_file()


def test_parts_of_files_are_learnt_from(tmp_path):
    x = np.random.default_rng(0).uniform(-0.5, 0.5, 32000)
    soundfile.write(tmp_path / "a.wav", x, 16000, subtype="FLOAT")
    (tmp_path / "list.csv").write_text("path,text,start,end\na.wav,x,0.25,0.75\na.wav,y,1,1.5\n")
    clips = read_clips(tmp_path, ["list.csv"])["list"]
    sounds = Sounds(clips, 16000, "float32")
    assert np.array_equal(sounds[0], x[4000:12000].astype("float32"))
    assert np.array_equal(sounds[1], x[16000:24000].astype("float32"))
    assert {clip.split for clip in clips} == {"train"}  # a layout without splits is for learning


def test_a_corpus_that_is_not_there(tmp_path):
    with pytest.raises(TrainingError, match="is not there: give the corpus with --data"):
        read_clips(tmp_path / "nowhere", [])
    with pytest.raises(TrainingError, match="is not a folder"):
        read_clips(tmp_path / "nowhere", ["list.tsv"])
