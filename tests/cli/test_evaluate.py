"""``xlsr-ref evaluate``: the table, the hypotheses, what is refused, and the exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

import xlsr_ref
from xlsr_ref.audio.manifest import COLUMNS, read_manifest
from xlsr_ref.cli import main
from xlsr_ref.errors import AudioError, CannotTranscribeError
from xlsr_ref.text.search.beam import WIDTH
from xlsr_ref.text.transcript import Transcript

BUNDLED = Path(xlsr_ref.__file__).parent / "data" / "clips.tsv"
ROWS = [("one.wav", "en", "test", "one two"), ("sub/bad.wav", "en", "dev", "x"), ("zwei.wav", "de", "test", "zwei")]


class FakeModel:
    """Hears the name of the file."""

    tokenizer, asked, searches = None, None, 0

    def search(self, beam, lm):
        self.searches += 1
        return beam, lm

    def transcribe(self, path: Path, **how) -> Transcript:
        self.asked = how
        if path.stem == "bad":
            raise AudioError(f"{path}: is not audio")
        if path.stem == "stop":
            raise KeyboardInterrupt
        if path.stem == "mute":
            raise CannotTranscribeError("no head")
        return Transcript(path.stem, (), (), 0.5)


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A model that needs no computing, in a folder with a manifest. The value: the model."""
    model = FakeModel()
    monkeypatch.setattr(xlsr_ref, "load", lambda folder, dtype, **more: model, raising=False)
    monkeypatch.chdir(tmp_path)
    manifest("list.tsv", *ROWS)
    return model


def manifest(name, *rows):
    lines = ["\t".join(COLUMNS)]
    for path, lang, split, text in rows:
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).touch()
        lines.append(f"{path}\t{lang}\tanna\t1.5\t{split}\t{text}")
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_rates_by_language(fake, capsys):
    assert main(["evaluate", "list.tsv"]) == 0
    out, err = capsys.readouterr()
    lines = [line.split() for line in out.splitlines()]
    assert [line[:4] for line in lines[1:]] == [
        ["de", "1", "1", "0.0"],
        ["en", "1", "2", "50.0"],
        ["all", "2", "3", "33.3"],
    ]
    assert err == ""
    assert fake.asked == {}


def test_the_confusions_are_listed_where_they_are_asked_for(fake, capsys):
    assert main(["evaluate", "list.tsv", "--confusions", "3"]) == 0
    assert capsys.readouterr().out.endswith("\n\nhow often, said, read (* is nothing):\n1  two  *\n")
    assert main(["evaluate", "list.tsv", "--confusions", "-1"]) == 2
    assert "--confusions is -1: give 0 or more" in capsys.readouterr().err


def test_the_hypotheses(fake, capsys):
    assert main(["evaluate", "list.tsv", "--output", "new/out.tsv"]) == 0
    lines = [line.split("\t") for line in Path("new/out.tsv").read_text(encoding="utf-8").splitlines()]
    assert [(line[0], line[5], line[6]) for line in lines[1:]] == [
        ("one.wav", "one two", "one"),
        ("zwei.wav", "zwei", "zwei"),
    ]


def test_beam_and_language_model_reach_the_model_only_where_they_are_given(fake):
    assert main(["evaluate", "list.tsv", "--beam", "20", "--lm", "lm.arpa"]) == 0
    assert fake.asked == {"beam": (20, "lm.arpa")}
    assert main(["evaluate", "list.tsv", "--lm", "lm.arpa"]) == 0
    assert fake.asked == {"beam": (WIDTH, "lm.arpa")}
    assert fake.searches == 2  # once for all clips of a run


def rows_by(capsys, *argv):
    assert main(["evaluate", *argv]) == 0
    return [line.split()[:4] for line in capsys.readouterr().out.splitlines()]


def test_by_any_column_of_the_list(fake, capsys):
    """Three clips of two speakers and two rooms; "all" stands below each table."""
    lines = ["\t".join([*COLUMNS, "room"])]
    for path, lang, speaker, room in (
        ("one", "en", "anna", "hall"),
        ("two", "en", "bert", "hall"),
        ("zwei", "de", "anna", ""),
    ):
        Path(f"{path}.wav").touch()
        lines.append(f"{path}.wav\t{lang}\t{speaker}\t1\ttest\t{path if speaker == 'anna' else 'x'}\t{room}")
    Path("rooms.tsv").write_text("\n".join(lines) + "\n")
    assert [row[:2] for row in rows_by(capsys, "rooms.tsv", "--by", "speaker")] == [
        ["speaker", "clips"], ["anna", "2"], ["bert", "1"], ["all", "3"],
    ]  # fmt: skip
    assert rows_by(capsys, "rooms.tsv", "--by", "lang,speaker") == [
        ["lang", "speaker", "clips", "words"], ["de", "anna", "1", "1"], ["en", "anna", "1", "1"],
        ["en", "bert", "1", "1"], ["all", "3", "3", "33.3"],
    ]  # fmt: skip
    assert [row[:2] for row in rows_by(capsys, "rooms.tsv", "--by", "room")] == [
        ["room", "clips"], ['""', "1"], ["hall", "2"], ["all", "3"],
    ]  # fmt: skip
    assert [row[:3] for row in rows_by(capsys, "rooms.tsv", "list.tsv", "--by", "list,lang")] == [
        ["list", "lang", "clips"], ["list", "de", "1"], ["list", "en", "1"], ["rooms", "de", "1"], ["rooms", "en", "2"],
        ["all", "5", "6"],
    ]  # fmt: skip


def test_several_manifests(fake, capsys):
    manifest("sub/more.tsv", ("three.wav", "fr", "test", "three"))
    Path("sub/three.wav").touch()  # relative to its own manifest
    assert main(["evaluate", "list.tsv", "sub/more.tsv", "--output", "out.tsv"]) == 0
    assert "fr" in capsys.readouterr().out
    assert Path("out.tsv").read_text(encoding="utf-8").splitlines()[-1].startswith("sub/three.wav\t")


def test_a_clip_that_cannot_be_read_does_not_stop_the_others(fake, capsys):
    manifest("list.tsv", *ROWS, ("bad.wav", "en", "test", "x"))
    assert main(["evaluate", "list.tsv"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].split()[:2] == ["all", "2"]
    assert err == (
        "xlsr-ref: bad.wav: is not audio\n"
        "xlsr-ref: 1 of 3 recordings could not be judged and are not in the table\n"
    )  # fmt: skip


def test_what_stands_twice_is_counted_among_those_that_were_asked_for(fake, capsys):
    """Two clips are judged and one, which stands twice, is not: 1 of 3."""
    manifest("list.tsv", *ROWS, ROWS[0])
    assert main(["evaluate", "list.tsv"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].split()[:2] == ["all", "2"]
    assert "1 of 3 recordings could not be judged" in err


def test_a_recording_in_two_lists_is_told(fake, capsys):
    """Two clips, one of them in a second list, too: the bootstrap would take three for independent."""
    manifest("more.tsv", ROWS[0])
    assert main(["evaluate", "list.tsv", "more.tsv"]) == 0
    assert capsys.readouterr().err == (
        "xlsr-ref: 1 of 3 recordings stand in another list, too, and count once for each: "
        "the intervals of all together are too narrow\n"
    )
    assert main(["evaluate", "list.tsv"]) == 0
    assert capsys.readouterr().err == ""


def test_by_a_column_where_some_clips_are_of_every_split(fake, capsys):
    manifest("list.tsv", *ROWS[:2], ("zwei.wav", "de", "", "zwei"))
    rows = rows_by(capsys, "list.tsv", "--by", "seconds")
    assert [row[:2] for row in rows] == [["seconds", "clips"], ["1.5", "2"]]


@pytest.mark.parametrize("argv", [[], ["list.tsv", "--beam", "wide"], ["list.tsv", "--split"]])
def test_wrong_usage(fake, capsys, argv):
    assert main(["evaluate", *argv]) == 2
    assert "usage: xlsr-ref evaluate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["none.tsv"], "none.tsv is missing: give a table of recordings"),
        (["."], ".: is none of the layouts that are known: Common Voice"),
        (["one.wav"], "one.wav: its first line names no columns for a recording and its text"),
        (["list.tsv", "--split", "train"], "has no recording of the split train, only of dev, test"),
        (["list.tsv", "--by", "room"], "list.tsv: has no column room, only path, lang, speaker, seconds, split, text"),
        (["list.tsv", "--output", "list.tsv"], "list.tsv: is read here and would be replaced"),
        (["list.tsv", "--output", "one.wav"], "one.wav: is read here and would be replaced"),
        (["list.tsv", "--output", "sub"], "sub: is a folder; give --output a file"),
        (["mute.tsv"], "no head"),
    ],
)
def test_what_cannot_be_is_one_line(fake, capsys, argv, says):
    manifest("mute.tsv", ("mute.wav", "en", "test", "x"), ("one.wav", "en", "test", "x"))
    assert main(["evaluate", *argv]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert says in err


def test_phonemes_of_a_model_that_reads_letters(capsys, tmp_path):
    clips = read_manifest(BUNDLED)[:2]
    lines = ["\t".join(COLUMNS), *("\t".join(map(str, clip[:6])) for clip in clips)]
    (tmp_path / "one.tsv").write_text("\n".join(lines), encoding="utf-8")
    assert main(["evaluate", str(tmp_path / "one.tsv"), "--phonemes", "--split", clips[0].split]) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", "xlsr-ref: this model reads characters, not phonemes: give the text itself\n")


def test_nothing_that_can_be_judged(fake, capsys):
    assert main(["evaluate", "list.tsv", "--split", "dev"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[1] == "xlsr-ref: none of the 1 recordings could be judged"


def test_interrupted(fake, capsys):
    manifest("stop.tsv", ("stop.wav", "en", "test", "x"))
    assert main(["evaluate", "stop.tsv", "--output", "out.tsv"]) == 130
    assert capsys.readouterr() == ("", "xlsr-ref: interrupted\n")
    assert not Path("out.tsv").exists()


def test_bundled_clips(capsys, tmp_path, monkeypatch):
    """The real model on two clips of the package."""
    clips = read_manifest(BUNDLED)[:2]
    lines = ["\t".join(COLUMNS)]
    lines += ["\t".join(map(str, clip[:6])) for clip in clips]
    (tmp_path / "two.tsv").write_text("\n".join(lines), encoding="utf-8")
    assert main(["evaluate", str(tmp_path / "two.tsv"), "--split", clips[0].split]) == 0
    out = capsys.readouterr().out.splitlines()
    words = sum(len(clip.text.split()) for clip in clips)
    assert out[1].split()[:3] == ["en", "2", str(words)]
