"""Whole files and folders: complete under their name or not there, and nobody else's file is touched."""

import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from xlsr_ref import files
from xlsr_ref.errors import TrainingError, XlsrError
from xlsr_ref.files import UNFINISHED, Lines, descriptor, leftovers, whole_file, whole_folder, write_whole

POSIX = pytest.mark.skipif(os.name != "posix", reason="modes, links and pipes as POSIX has them")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="descriptors as Linux names them")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole_with_its_folder(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_whole(path, "привет\n")
    assert path.read_bytes() == "привет\n".encode()
    assert names(path.parent) == ["b.txt"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch, broken):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    path = tmp_path / "b.txt"
    path.write_text("old")
    monkeypatch.setattr(os, broken, full)
    with pytest.raises(TrainingError, match=r"b\.txt cannot be written: No space left on device"):
        write_whole(path, "new", TrainingError)
    assert names(tmp_path) == ["b.txt"]
    assert path.read_text() == "old"


def test_an_interruption_leaves_nothing_half_written(tmp_path):
    path = tmp_path / "b.txt"
    path.write_text("old")

    def half(unfinished):
        unfinished.write_text("half of it")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), whole_file(path) as unfinished:
        half(unfinished)
    assert names(tmp_path) == ["b.txt"]
    assert path.read_text() == "old"


def test_a_long_name_is_no_obstacle(tmp_path):
    write_whole(tmp_path / ("é" * 120 + ".txt"), "x")
    with whole_folder(tmp_path / ("é" * 120)):
        pass
    assert len(names(tmp_path)) == 2


@POSIX
def test_the_mode_is_that_of_the_file_before_or_the_usual_one(tmp_path):
    write_whole(tmp_path / "new", "x")
    (tmp_path / "like").touch()
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "like").stat().st_mode
    (tmp_path / "secret").touch()
    (tmp_path / "secret").chmod(0o600)
    write_whole(tmp_path / "secret", "x")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


@POSIX
def test_a_file_that_may_not_be_written_to_is_kept(tmp_path, monkeypatch):
    (tmp_path / "kept").write_text("old")
    (tmp_path / "kept").chmod(0o444)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as for anybody but root
    with pytest.raises(XlsrError, match="kept cannot be written: it may not be written to"):
        write_whole(tmp_path / "kept", "new")
    assert (tmp_path / "kept").read_text() == "old"


@POSIX
def test_a_link_in_the_way_is_not_followed(tmp_path, monkeypatch):
    """Whoever can foresee the name could lay one there."""
    (tmp_path / "victim").write_text("precious")
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "foreseen")
    (tmp_path / f".a.foreseen{UNFINISHED}").symlink_to(tmp_path / "victim")
    with pytest.raises(XlsrError, match="a cannot be written: File exists"):
        write_whole(tmp_path / "a", "new")
    with pytest.raises(FileExistsError), whole_folder(tmp_path / "a"):
        pass
    assert (tmp_path / "victim").read_text() == "precious"
    assert names(tmp_path) == [f".a.foreseen{UNFINISHED}", "victim"]


@POSIX
def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.txt").symlink_to(tmp_path / "real" / "file.txt")
    for text in ("new", "newer"):  # the file is made, then replaced
        write_whole(tmp_path / "link.txt", text)
        assert (tmp_path / "link.txt").is_symlink()
        assert (tmp_path / "real" / "file.txt").read_text() == text
    assert names(tmp_path / "real") == ["file.txt"]


@POSIX
def test_a_pipe_is_written_into_and_not_replaced(tmp_path):
    """So is a device: a file in the place of /dev/null would be in everybody's way."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(pipe, "text")
        assert pipe.is_fifo()
        assert os.read(reader, 10) == b"text"
        with pytest.raises(FileExistsError), whole_file(pipe):
            pass
    finally:
        os.close(reader)


@LINUX
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_what_was_appended_to_is_appended_to(tmp_path, name):
    (tmp_path / "log").write_text("kept\n")
    (tmp_path / "link").symlink_to("/dev/stdout")
    program = (
        "import sys\nfrom xlsr_ref.files import write_whole\nprint('said')\nwrite_whole(sys.argv[1], 'written\\n')"
    )
    with open(tmp_path / "log", "a") as log:
        subprocess.run([sys.executable, "-c", program, name], stdout=log, check=True, cwd=tmp_path)
    assert (tmp_path / "log").read_text() == "kept\nsaid\nwritten\n"
    assert names(tmp_path) == ["link", "log"]


@LINUX
def test_only_descriptors_are_descriptors(tmp_path):
    (tmp_path / "1").touch()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    assert descriptor("/dev/stderr") == descriptor("/dev/fd/2") == 2
    for path in (tmp_path / "1", tmp_path / "circle", tmp_path / "nothing", "1", "/dev/null", ""):
        assert descriptor(path) is None


def test_two_threads_do_not_disturb_each_other(tmp_path):
    wrong = []

    def work(letter):
        for _ in range(40):
            write_whole(tmp_path / letter, letter * 10_000)
            write_whole(tmp_path / "both", letter * 10_000)
            if (tmp_path / letter).read_text() != letter * 10_000:
                wrong.append(letter)
            if (tmp_path / "both").read_text() not in ("a" * 10_000, "b" * 10_000):
                wrong.append("both")

    threads = [threading.Thread(target=work, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert names(tmp_path) == ["a", "b", "both"]


# --- folders ---------------------------------------------------------------------------------------------------------


def test_a_folder_appears_whole_or_not(tmp_path):
    with whole_folder(tmp_path / "new") as unfinished:
        (unfinished / "deep").mkdir()
        (unfinished / "deep" / "a").write_text("x")
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "new" / "deep" / "a").read_text() == "x"
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "other") as unfinished:
        raise KeyboardInterrupt
    assert names(tmp_path) == ["new"]


def test_a_folder_that_is_there_stays_unless_it_is_to_be_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "old").touch()
    with pytest.raises(FileExistsError), whole_folder(tmp_path / "there"):
        pass
    with pytest.raises(FileExistsError), whole_folder(tmp_path / "meanwhile"):
        shutil.copytree(tmp_path / "there", tmp_path / "meanwhile")
    assert names(tmp_path / "there") == names(tmp_path / "meanwhile") == ["old"]
    with whole_folder(tmp_path / "there", replace=True) as unfinished:
        (unfinished / "new").touch()
    assert names(tmp_path / "there") == ["new"]
    assert names(tmp_path) == ["meanwhile", "there"]


@POSIX
def test_a_link_to_a_folder_stays(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with whole_folder(tmp_path / "link", replace=True) as unfinished:
        (unfinished / "new").touch()
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "real") == ["new"]
    assert names(tmp_path) == ["link", "real"]


def test_a_folder_that_cannot_be_exchanged_comes_back(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "old").touch()
    rename = os.rename

    def second_fails(source, target):
        if Path(target).name == "there" and (Path(source) / "new").exists():
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(OSError, match="Input/output error"), whole_folder(tmp_path / "there", replace=True) as made:
        (made / "new").touch()
    assert names(tmp_path) == ["there"]
    assert names(tmp_path / "there") == ["old"]


def test_everything_in_a_folder_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(files, "to_disk", lambda path: synced.append((path.name, (tmp_path / "new").exists())))
    with whole_folder(tmp_path / "new") as unfinished:
        (unfinished / "a").touch()
        (unfinished / "b").touch()
    before = sorted(name for name, there in synced if not there)
    assert before == [unfinished.name, "a", "b"]
    assert synced[-1] == (tmp_path.name, True)


def test_what_a_killed_writer_left_can_be_told(tmp_path):
    for name in (f".model.0123{UNFINISHED}", f".models.0123{UNFINISHED}", "model", ".model.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in leftovers(tmp_path / "model")] == [f".model.0123{UNFINISHED}"]
    assert leftovers(tmp_path / "nowhere" / "model") == []


# --- a file that grows -----------------------------------------------------------------------------------------------


def test_lines_are_added_and_half_a_line_is_taken_off(tmp_path):
    path = tmp_path / "new" / "lines.jsonl"
    with Lines(path) as lines:
        lines.add("one")
        assert path.read_text() == "one\n"  # at once
        lines.add("é")
    for half in (b"thr", b"x" * 200_000):
        with open(path, "ab") as file:
            file.write(half)
        with Lines(path):
            assert path.read_text("utf-8") == "one\né\n"
    path.write_bytes(b"no end")
    with Lines(path) as lines:
        lines.add("one")
    assert path.read_text() == "one\n"


@POSIX
def test_one_process_at_a_time_holds_a_file(tmp_path):
    with Lines(tmp_path / "a"), pytest.raises(TrainingError, match=r"a cannot be written: another process writes into"):
        Lines(tmp_path / "a", TrainingError)
    Lines(tmp_path / "a").close()


def test_lines_into_what_cannot_be(tmp_path):
    with pytest.raises(TrainingError, match="cannot be written: Is a directory"):
        Lines(tmp_path, TrainingError)
