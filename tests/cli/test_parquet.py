"""``--results NAME.parquet``: the rows of the lines of JSON, whole at the end, and a command that goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import xlsr_ref
from xlsr_ref.audio.manifest import COLUMNS, read_manifest
from xlsr_ref.cli import main, many

DATA = Path(xlsr_ref.__file__).parent / "data"
CLIPS = [clip for clip in read_manifest(DATA / "clips.tsv") if clip.lang == "es" and clip.split == "train"][:4]
LINE = ["transcribe", "list.tsv", "--results", "all.parquet"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with a list of four spoken digits."""
    monkeypatch.chdir(tmp_path)
    lines = ["\t".join(COLUMNS), *("\t".join(map(str, clip[:6])) for clip in CLIPS)]
    Path("list.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    return tmp_path


def test_without_pyarrow_nothing_is_computed(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr(many, "work", None)
    assert main(LINE) == 1
    assert 'Parquet needs the package pyarrow: pip install "xlsr_ref[parquet]"' in capsys.readouterr().err
    assert not list(Path().glob("all*"))


def test_the_rows_are_those_of_the_lines():
    arrow = pytest.importorskip("pyarrow.parquet")
    assert main(LINE) == 0
    assert main([*LINE[:-1], "all.jsonl"]) == 0
    lines = [json.loads(line) for line in Path("all.jsonl").read_text("utf-8").splitlines()]
    assert arrow.read_table("all.parquet").to_pylist() == lines
    assert sorted(path.name for path in Path().glob("all*")) == ["all.jsonl", "all.parquet"]


def test_it_goes_on(capsys, monkeypatch):
    """After a command that ended in the middle, and after one that came to its end."""
    arrow = pytest.importorskip("pyarrow.parquet")
    add, added = many.Results.add, []

    def add_two(self, item, transcript):
        if len(added) == 2:
            raise RuntimeError("killed")
        added.append(item)
        add(self, item, transcript)

    with monkeypatch.context() as patch:
        patch.setattr(many.Results, "add", add_two)
        assert main(LINE) == 1
    assert [path.name for path in Path().glob("all*")] == ["all.parquet.jsonl"]
    assert main(LINE) == 1
    assert "all.parquet.jsonl: is there already: --skip-existing goes on" in capsys.readouterr().err
    assert main([*LINE, "--skip-existing"]) == 0
    assert "2 of 4 have their results already" in capsys.readouterr().err
    whole = arrow.read_table("all.parquet").to_pylist()
    assert [row["key"] for row in whole] == [str(clip.path) for clip in CLIPS]
    assert main(LINE) == 1
    assert "all.parquet: is there already" in capsys.readouterr().err
    assert main([*LINE, "--skip-existing"]) == 0
    assert "4 of 4 have their results already" in capsys.readouterr().err
    assert arrow.read_table("all.parquet").to_pylist() == whole


def test_what_is_no_parquet(capsys):
    pytest.importorskip("pyarrow")
    Path("all.parquet").write_text("text")
    assert main([*LINE, "--skip-existing"]) == 1
    assert "all.parquet: is no Parquet file" in capsys.readouterr().err
    assert Path("all.parquet").read_text() == "text"
