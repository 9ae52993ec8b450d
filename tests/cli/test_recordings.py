"""Which recordings the arguments mean, and where results are written."""

from __future__ import annotations

import csv
import io
import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

import xlsr_ref
from xlsr_ref.audio.suffixes import AUDIO_SUFFIXES
from xlsr_ref.cli.recordings import Recording, find, targets
from xlsr_ref.errors import XlsrError

DATA = Path(xlsr_ref.__file__).parent / "data"


def names(arguments: list[str]) -> tuple[list[str], bool, list[str]]:
    with ExitStack() as cleanup:
        recordings, several, problems = find(arguments, cleanup)
    return [recording.name for recording in recordings], several, problems


@pytest.fixture
def talks(tmp_path, monkeypatch):
    """A folder of empty files: finding looks at names only."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "b.wav",
        "a.WAV",
        "c.Mp3",
        "notes.txt",
        "d.raw",
        "._a.wav",
        "deep/er/a.flac",
        "deep/z.ogg",
        ".git/x.wav",
    ):
        path = tmp_path / "talks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "talks" / "folder.wav").mkdir()
    return tmp_path / "talks"


def test_no_argument_means_the_bundled_clips_in_their_order():
    with open(DATA / "clips.tsv", encoding="utf-8") as file:
        listed = [row["path"] for row in csv.DictReader(file, delimiter="\t")]
    assert names([]) == (listed, True, [])
    with ExitStack() as cleanup:
        assert all(recording.path.is_file() for recording in find([], cleanup)[0])


def test_a_folder_means_the_audio_files_below_it_sorted(talks):
    expected = ["a.WAV", "b.wav", "c.Mp3", "deep/er/a.flac", "deep/z.ogg"]
    assert names(["talks"]) == ([str(Path("talks", name)) for name in expected], True, [])


def test_a_folder_without_any_is_a_problem_of_its_own(talks):
    (talks / "empty").mkdir()
    found, several, problems = names(["talks/empty", "talks/b.wav"])
    assert found == ["talks/b.wav"]
    assert several
    assert [problem.split(":")[0] for problem in problems] == [str(Path("talks/empty"))]


def test_a_file_is_taken_at_its_word(talks):
    assert names(["talks/notes.txt"]) == (["talks/notes.txt"], False, [])
    assert names(["nowhere.wav"]) == (["nowhere.wav"], False, [])  # whoever opens it will say that it is missing
    assert names(["talks/b.wav", "talks/b.wav"]) == (["talks/b.wav"] * 2, True, [])


def test_an_empty_name_is_not_the_current_folder(talks):
    assert names([""]) == ([], False, ["'': an empty name; give a file or a folder"])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root and Windows read any folder")
def test_a_folder_that_cannot_be_read_is_named(talks):
    (talks / "deep").chmod(0)
    try:
        found, _, problems = names(["talks"])
    finally:
        (talks / "deep").chmod(0o755)
    assert len(found) == 3
    assert len(problems) == 1
    assert problems[0].startswith(str(Path("talks/deep")))


def test_every_suffix_is_lower_case_with_its_dot():
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in AUDIO_SUFFIXES)
    assert {".wav", ".flac", ".ogg", ".opus", ".mp3"} <= AUDIO_SUFFIXES


def test_the_suffixes_cover_what_libsndfile_names_after_its_format():
    soundfile = pytest.importorskip("soundfile")
    no_file_of_its_own = {"RAW", "MAT4", "MAT5", "WAVEX", "MPC2K"}
    known = {f".{name.lower()}" for name in set(soundfile.available_formats()) - no_file_of_its_own}
    assert known <= AUDIO_SUFFIXES


class Stdin:
    def __init__(self, content: bytes, terminal: bool = False) -> None:
        self.buffer, self.terminal = io.BytesIO(content), terminal

    def isatty(self) -> bool:
        return self.terminal


def test_the_standard_input_becomes_a_file_for_a_while(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stdin(b"RIFF and so on"))
    with ExitStack() as cleanup:
        [recording], several, problems = find(["-"], cleanup)
        assert (recording.name, recording.place, several, problems) == ("standard input", Path("stdin"), False, [])
        assert recording.path.read_bytes() == b"RIFF and so on"
    assert not recording.path.exists()


def test_where_files_without_a_name_cannot_be_opened_it_has_one(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stdin(b"RIFF and so on"))
    monkeypatch.setattr(os, "getpid", lambda: 0)  # no folder of /proc
    with ExitStack() as cleanup:
        [recording], _, _ = find(["-"], cleanup)
        assert recording.path.name == "stdin"
        assert recording.path.read_bytes() == b"RIFF and so on"
    assert not recording.path.exists()
    assert not recording.path.parent.exists()


@pytest.mark.parametrize("stdin", [None, Stdin(b"", terminal=True)])
def test_nobody_waits_for_a_terminal(monkeypatch, stdin):
    monkeypatch.setattr(sys, "stdin", stdin)
    with ExitStack() as cleanup, pytest.raises(XlsrError, match="nothing is piped"):
        find(["-"], cleanup)


# --- where results go ------------------------------------------------------------------------------------------------


def places(arguments: list[str], output: str) -> list[str]:
    with ExitStack() as cleanup:
        recordings, _, _ = find(arguments, cleanup)
    return [Path(str(path)).as_posix() for path in targets(recordings, output, ".txt")]


def test_without_output_there_are_no_targets():
    assert targets([Recording(Path("a.wav"), "a.wav", Path("a"))] * 2, None, ".txt") == [None, None]


def test_results_keep_the_sub_folders_of_a_folder(talks):
    assert places(["talks"], "out") == ["out/a.txt", "out/b.txt", "out/c.txt", "out/deep/er/a.txt", "out/deep/z.txt"]
    assert places(["talks/deep/z.ogg"], "out") == ["out/z.txt"]


def test_two_with_the_same_stem_do_not_overwrite_each_other(talks):
    again = ["x/talk.wav", "y/talk.mp3", "y/talk-2.wav", "TALK.flac", "talk.v2.wav"]
    expected = ["out/talk.txt", "out/talk-2.txt", "out/talk-2-2.txt", "out/TALK-3.txt", "out/talk.v2.txt"]
    assert places(again, "out") == expected


def test_one_name_spelled_in_two_ways_is_one_name(talks):
    """macOS keeps one file for both."""
    assert places(["x/caf\u00e9.wav", "y/cafe\u0301.wav"], "out") == ["out/caf\u00e9.txt", "out/cafe\u0301-2.txt"]


def test_output_must_be_a_folder(talks):
    with pytest.raises(XlsrError, match=r"notes\.txt: is a file; give --output a folder"):
        places(["talks"], "talks/notes.txt")
