"""Wrong words by how often training heard them, counted by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from weights_tools.words_heard import MARKS, counts, heard, main, row_of, table
from xlsr_ref.audio.clips import DATA
from xlsr_ref.audio.manifest import Clip


def clip(lang, split, text):
    return Clip(Path("x.wav"), lang, "voice", 1.0, split, text)


def test_only_train_clips_of_the_same_language_count():
    clips = [clip("en", "train", "on on no"), clip("en", "dev", "on"), clip("fr", "train", "on")]
    assert heard(clips) == {("en", "on"): 2, ("en", "no"): 1, ("fr", "on"): 1}


def test_each_count_has_its_row():
    assert [row_of(count) for count in (0, 1, 2, 3, 4, 7, 8, 31, 32, 500)] == [0, 1, 2, 2, 3, 3, 4, 5, 6, 6]


def test_replaced_and_missing_words_are_wrong_and_inserted_ones_are_of_no_row():
    known = Counter({("en", "a"): 1, ("en", "b"): 40})
    found = counts([("en", "a b c", "a d"), ("en", "b", "b b"), ("es", "a", "a")], known)
    assert found == {(1, True): 1, (6, True): 1, (6, False): 1, (0, False): 1, (0, True): 1}
    assert table({"wrong": found, "with LM": Counter({(1, True): 1, (0, False): 2, (6, True): 2})}).splitlines() == [
        "| times heard in training | words | wrong | with LM |",
        "|---|---:|---:|---:|",
        "| 0 | 2 | 0.50 | 1.00 |",
        "| 1 | 1 | 0.00 | 0.00 |",
        "| 32 or more | 2 | 0.50 | 0.00 |",
    ]


def test_the_command_fills_the_card_s_second_table(tmp_path, capsys):
    card = tmp_path / "card.md"
    card.write_text(f"before\n{MARKS[0]}\n{MARKS[1]}\nafter\n")
    lines = (DATA / "clips.tsv").read_text("utf-8").splitlines()
    few = [f"{DATA}/{line}" if number else line for number, line in enumerate(lines[:4])]
    (tmp_path / "few.tsv").write_text("\n".join(few) + "\n", "utf-8")
    main([str(DATA / "small-ctc"), str(tmp_path), "--list", "few.tsv", "--splits", "test", "--card", str(card)])
    assert "| 0 | " in capsys.readouterr().out
    assert card.read_text().startswith(f"before\n{MARKS[0]}\n\n| times heard")
    assert card.read_text().endswith("after\n")
    with pytest.raises(SystemExit, match=r"no clip is of the splits nowhere"):
        main([str(DATA / "small-ctc"), str(tmp_path), "--list", "few.tsv", "--splits", "nowhere"])
