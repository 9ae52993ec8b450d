"""What is printed without files: what was said and read, the errors marked, the rates, and what the model is."""

import json
import re
from types import SimpleNamespace

import pytest

from xlsr_ref.audio.clips import DATA
from xlsr_ref.audio.manifest import read_manifest
from xlsr_ref.cli import main
from xlsr_ref.cli.demonstration import HOURS, compared, digits, paint_on, rates

RED, END = "\x1b[31m", "\x1b[0m"


def test_errors_are_marked_word_by_word():
    assert compared("en", "press one to go on", "press won go on up", paint=False) == (
        "en  said: press one to  go on **\n"
        "    read: press *** won go on up\n"
        "                D   S         I\n"
    )  # fmt: skip


def test_a_sentence_that_is_read_rightly_takes_one_line():
    assert compared("fr", "un deux", "un  deux", paint=True) == "fr  both: un deux\n"


def test_on_a_terminal_what_is_wrong_is_red():
    painted = compared("en", "press one to go on", "press won go on up", paint=True)
    assert painted.splitlines()[1] == f"    read: press {RED}***{END} {RED}won{END} go on {RED}up{END}"
    assert painted.replace(RED, "").replace(END, "") == compared(
        "en", "press one to go on", "press won go on up", False
    )


@pytest.mark.parametrize(
    ("tty", "environment", "paints"),
    [(True, {}, True), (False, {}, False), (True, {"NO_COLOR": "1"}, False), (True, {"NO_COLOR": ""}, True),
     (True, {"TERM": "dumb"}, False)],
)  # fmt: skip
def test_colour_is_for_terminals_alone(monkeypatch, tty, environment, paints):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert paint_on(SimpleNamespace(isatty=lambda: tty)) is paints
    assert paint_on(None) is False


def test_rates_add_up_what_is_wrong():
    assert rates([("ab cd", "ab cx"), ("ab", "ab")]) == "1 of 3 words (33.3 %), 1 of 7 characters (14.3 %)"


def test_digits_are_counted_and_the_wrong_ones_named():
    clips = read_manifest(DATA / "clips.tsv")[10:13]
    model = SimpleNamespace(transcribe=lambda path: SimpleNamespace(text="" if "0" in path.stem else "one"))
    assert digits(model, {}, clips) == (
        "3 digits that training did hear: 1 right; read wrongly: zero as nothing, two as one\n"
    )


def test_without_files_every_test_clip_is_compared_and_nothing_is_coloured(capsys):
    assert main(["transcribe"]) == 0
    out, err = capsys.readouterr()
    unheard = [clip for clip in read_manifest(DATA / "clips.tsv") if clip.split == "test"]
    lines = out.splitlines()
    assert lines[0].startswith(f"{len(unheard)} sentences that training did not hear, read with a beam search of 100")
    assert "bundled language model" in lines[0]
    for clip in unheard:
        said = re.compile(r"\s+(?:\*+\s+)*".join(map(re.escape, clip.text.split())))
        assert any(line.startswith(clip.lang) and said.search(line) for line in lines), clip.text
    assert sum(line.startswith(("wrong: ", "without the search: ", "40 digits")) for line in lines) == 3
    assert f"2.9 million parameters, trained on {HOURS} hours of speech" in lines[-1]
    assert "--model facebook/mms-1b-all" in lines[-1]
    assert "\x1b" not in out
    assert err == ""


def test_the_way_of_decoding_can_be_chosen(capsys):
    assert main(["transcribe", "--beam", "2", "--hotwords", "monkeys"]) == 0
    assert "read with a beam search of 2 and the hotwords monkeys:" in capsys.readouterr().out.splitlines()[0]


def test_another_model_is_no_toy_and_has_no_bundled_language_model(capsys):
    assert main(["transcribe", "--model", str(DATA / "small-ctc")]) == 0
    out = capsys.readouterr().out
    assert "read with greedy decoding:" in out.splitlines()[0]
    assert "toy" not in out
    assert "without the search" not in out


def test_other_formats_and_folders_stay_as_they_are(capsys, tmp_path):
    assert main(["transcribe", "--format", "json"]) == 0
    names = [row["file"] for row in json.loads(capsys.readouterr().out)]
    assert names == [clip.path.relative_to(DATA).as_posix() for clip in read_manifest(DATA / "clips.tsv")]
    assert main(["transcribe", "--output", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").rglob("*.txt"))) == len(names)


def test_the_card_says_the_same_hours():
    card = (DATA / "small-ctc" / "MODEL_CARD.md").read_text("utf-8")
    assert f"{HOURS} hours" in " ".join(card.split())
