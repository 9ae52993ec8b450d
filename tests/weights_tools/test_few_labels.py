"""The probes behind notebook 18: what a head learns from states that differ by letter, the results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from weights_tools import few_labels, few_labels_finetune
from weights_tools.few_labels import Clip, clip_errors, first_minutes, of_layer, probe, rows_of

DATA = Path(xlsr_ref.__file__).parent / "data" / "few-labels"


@pytest.fixture
def corpus(tmp_path):
    lines = ["path\tlang\tspeaker\tseconds\tsplit\ttext"]
    lines += [f"{lang}/{i}.ogg\t{lang}\tsomebody\t{1 + i % 3}\t{'dev' if i % 5 == 0 else 'train'}\tabc"
              for lang in ("el", "ro") for i in range(20)]  # fmt: skip
    (tmp_path / few_labels.LIST).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def test_the_smaller_amount_is_a_part_of_the_larger_and_a_seed_changes_both(corpus):
    rows = rows_of(corpus, "ro", "train")
    assert len(rows) == 16
    assert {row["lang"] for row in rows} == {"ro"}
    few, more = first_minutes(rows, 0.1), first_minutes(rows, 0.3)
    assert more[: len(few)] == few
    assert sum(float(row["seconds"]) for row in few) <= 6 < sum(float(row["seconds"]) for row in rows[: len(few) + 1])
    assert [row["path"] for row in rows_of(corpus, "ro", "train", seed=1)] != [row["path"] for row in rows]
    assert rows_of(corpus, "ro", "train") == rows


@pytest.mark.parametrize(
    ("arguments", "says"), [(["CORPUS", "--languages", "xx"], "no clip of xx"), (["gone"], "gone")]
)
@pytest.mark.parametrize("tool", [few_labels, few_labels_finetune])
def test_what_is_not_there_is_said_in_a_line(corpus, tmp_path, tool, arguments, says):
    for name in ("one", "five"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model").symlink_to(DATA.parent / "small-pretrained")
    with pytest.raises(SystemExit, match=says) as caught:
        tool.main([str(corpus) if word == "CORPUS" else word for word in arguments] + ["--out", str(tmp_path)])
    assert "\n" not in str(caught.value)


def spoken(text, rng):
    """States in which each letter has a direction of its own, three frames each, between pauses."""
    directions = {letter: np.eye(6, dtype=np.float32)[i] for i, letter in enumerate(" abc")}
    frames = [directions[letter] for one in text for letter in (" ", one, one, one)] + [directions[" "]]
    return Clip((np.stack(frames) + 0.1 * rng.standard_normal((len(frames), 6))).astype(np.float32), text)


def test_a_head_reads_what_the_states_tell_apart(rng, monkeypatch):
    monkeypatch.setattr(few_labels, "STEPS", 120)
    monkeypatch.setattr(few_labels, "RATE", 0.05)
    texts = ["".join(rng.choice(list("abc"), size=rng.integers(1, 6))) for _ in range(20)]
    clips = [spoken(text, rng) for text in texts]
    short, unknown = Clip(clips[0].states[:2], "abc"), spoken("a", rng)._replace(text="d")
    result = probe(clips[:15], [*clips[15:], short, unknown], seed=0)
    assert [edits for edits, _, _ in result[:5]] == [0] * 5
    assert [length for _, length, _ in result[:5]] == [len(text) for text in texts[15:]]
    assert all(nats < 1 for _, _, nats in result[:5])
    assert result[5][2] is None  # three letters do not fit two frames
    assert result[6][1] == 1  # a letter that nobody taught counts, and is left out of the likelihood


def test_a_letter_may_have_any_number_and_other_tokens_are_not_read():
    path = [0, 7, 7, 0, 3, 1, 3]  # 1 is a token that no letter has
    logits = np.eye(8, dtype=np.float32)[path] * 20
    edits, length, nats = clip_errors(logits, "abbc", {"a": 7, "b": 3})
    assert (edits, length) == (1, 4)
    assert nats == pytest.approx(20, abs=0.1)  # one frame of the likeliest path is not a blank


def test_a_layer_is_a_part_of_the_states():
    clip = Clip(np.arange(12, dtype=np.float32).reshape(2, 6), "a")
    assert of_layer([clip], 1, 2)[0].states.tolist() == [[2, 3], [8, 9]]
    assert of_layer([clip], 1, 2)[0].text == "a"


def test_the_stored_result_is_whole():
    runs = [json.loads(line) for line in (DATA / "probes.jsonl").read_text("utf-8").splitlines()]
    keys = {(run["start"], run["language"], run["minutes"], run["seed"]) for run in runs}
    assert {key[3] for key in keys} == {0, 1, 2}
    assert len(keys) == len(runs) == 3 * 3 * len(few_labels.LANGUAGES) * len(few_labels.MINUTES)
    for language in few_labels.LANGUAGES:  # the same clips for all
        lengths = {tuple(clip[1] for clip in run["clips"]) for run in runs if run["language"] == language}
        assert len(lengths) == 1
    codes = json.loads((DATA / "codes.json").read_text("utf-8"))
    for of_languages in codes.values():
        assert tuple(of_languages) == few_labels.WITH_CODES
        assert {np.array(counts).shape for counts in of_languages.values()} == {(2, 64)}
        assert all(np.ptp(np.array(counts).sum(axis=1)) == 0 for counts in of_languages.values())
