"""The marks of a class: who handed in what, the table, and that a second run grades only what changed."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from xlsr_ref.cli import main
from xlsr_ref.errors import ExerciseError
from xlsr_ref.teach.grade import marks, sandbox
from xlsr_ref.teach.grade.assignment import assignment
from xlsr_ref.teach.grade.catalogue import find
from xlsr_ref.teach.grade.handed_in import of_class, read_notebook
from xlsr_ref.teach.grade.judge import judge

RIGHT = "import math\n\ndef temperature(step, start, decay, floor):\n    return max(floor, start * decay**step)\n"
WRONG = RIGHT.replace("max(", "min(")


def _notebook(*cells):
    made = [{"cell_type": kind, "source": text, "metadata": {"nbgrader": marks}} for kind, text, marks in cells]
    return json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


WRITTEN = {"grade": True, "solution": True, "grade_id": "question-1"}
BEN = _notebook(
    ("markdown", "# My work", {}),
    ("code", "%matplotlib inline\nimport math\nx = open('not here').read()\nprint('hello')\nK = 2", {}),
    ("code", RIGHT, {}),
    ("code", "!ls\nverdict = grade('temperature', temperature)\nverdict.points(10)", {}),
    ("markdown", "=1+1 is not\na formula", WRITTEN),
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "class" / "carla" / "week3").mkdir(parents=True)
    (tmp_path / "class" / "anna.py").write_text(WRONG, encoding="utf-8")
    (tmp_path / "class" / "ben.ipynb").write_text(BEN, encoding="utf-8")
    (tmp_path / "class" / "carla" / "week3" / "a.py").write_text(RIGHT, encoding="utf-8")
    (tmp_path / "class" / "carla" / "week3" / "b.py").write_text("def frames(:\n", encoding="utf-8")
    (tmp_path / "class" / "=dora.py").write_text("pass\n", encoding="utf-8")
    return tmp_path / "class"


@pytest.fixture
def here(monkeypatch):
    """Functions are graded in this process, and counted: that each has its own is test_sandbox's."""
    graded = []

    def run(name, source, function, *, seed, path, **_):
        graded.append((path.rsplit("/", 1)[-1], name))
        names: dict = {}
        exec(source, names)
        return judge(find(name), names[name], np.random.default_rng(seed))

    monkeypatch.setattr(sandbox, "run", run)
    return graded


def test_students_are_named_by_file_or_folder(folder):
    found = {one.student: one for one in of_class(folder)}
    assert set(found) == {"anna", "ben", "carla", "=dora"}
    assert {name for one in found.values() for name in one.texts} == {"temperature"}
    assert found["ben"].written == {"question-1": "=1+1 is not\na formula"}
    assert "b.py: line 1: Python cannot read this" in found["carla"].problems[0]
    with pytest.raises(ExerciseError, match=r"has no \.py or \.ipynb file"):
        of_class(folder / "carla" / "week3" / "none")


def test_of_a_notebook_only_definitions_are_taken(folder):
    text, _ = read_notebook(folder / "ben.ipynb")
    names = {"grade": lambda *_: None}
    exec(text, names)
    assert names["temperature"](0, 1.0, 0.5, 0.1) == 1
    assert names["K"] == 2
    assert "print" not in text
    assert "points" not in text
    for wrong in ("[]", '{"cells": 3}', "no"):
        (folder / "wrong.ipynb").write_text(wrong, encoding="utf-8")
        with pytest.raises(ExerciseError, match="give a Jupyter notebook"):
            read_notebook(folder / "wrong.ipynb")


def test_a_notebook_of_an_assignment_can_be_read(tmp_path):
    path = assignment(["layer_norm"], tmp_path)[0]
    names: dict = {}
    exec(read_notebook(path)[0], names)
    assert judge(find("layer_norm"), names["layer_norm"], np.random.default_rng(0)).passed


def test_the_table(folder, here, tmp_path):
    rows = marks.grade_class(of_class(folder), points=8, seed=3)
    by_name = {row["student"]: row for row in rows}
    assert set(by_name) == {"anna", "ben", "carla", "'=dora"}  # no formula in a spreadsheet
    assert (by_name["ben"]["temperature"], by_name["ben"]["points"], by_name["ben"]["of"]) == ("8", "8", "8")
    assert float(by_name["anna"]["temperature"]) < 8
    assert "min in place of max" in by_name["anna"]["feedback"]
    assert by_name["'=dora"]["temperature"] == "0"
    assert by_name["ben"]["question-1 text"] == "'=1+1 is not\na formula"
    marks.write_table(tmp_path / "marks.csv", rows)
    assert marks.read_table(tmp_path / "marks.csv") == rows


def test_a_second_run_grades_what_changed_and_keeps_points_given_by_hand(folder, here):
    first = marks.grade_class(of_class(folder), points=8, seed=3)
    for row in first:
        row["question-1"] = "4.5" if row["student"] == "ben" else ""
    here.clear()
    (folder / "anna.py").write_text(RIGHT, encoding="utf-8")
    again = {row["student"]: row for row in marks.grade_class(of_class(folder), points=8, seed=3, before=first)}
    assert here == [("anna.py", "temperature")]
    assert again["anna"]["points"] == "8"
    assert again["ben"]["points"] == "12.5"
    assert again["carla"]["feedback"] == next(row["feedback"] for row in first if row["student"] == "carla")
    here.clear()
    marks.grade_class(of_class(folder), points=8, seed=4, before=first)  # other numbers: all again
    assert len(here) == 3
    first[1]["question-1"] = "many"
    with pytest.raises(ExerciseError, match="write a number"):
        marks.grade_class(of_class(folder), points=8, seed=3, before=first)


def test_the_command(folder, here, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["grade", "class", "--csv", "marks.csv"]) == 1
    assert "ben: 10 of 10\n" in capsys.readouterr().out
    with open("marks.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    here.clear()
    assert main(["grade", "class", "--csv", "marks.csv"]) == 1  # with the seed of the table
    assert here == []
    with open("marks.csv", encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == rows
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    for words, status, line in (
        ("grade class --csv other.csv", 1, "other.csv: is no table of marks"),
        ("grade class/anna.py --csv marks.csv", 1, "class/anna.py: is no folder; --csv grades a folder"),
        ("grade class --csv marks.csv --exercise gleu", 2, "did you mean gelu"),
        ("grade class --csv marks.csv --points 0", 2, "--points 0"),
    ):
        assert main(words.split()) == status
        assert line in capsys.readouterr().err


def test_each_function_is_graded_in_its_own_process_with_limits(tmp_path):
    text = "import os\n\ndef temperature(*_):\n    while True: pass\n"
    (tmp_path / "loop.py").write_text(text, encoding="utf-8")
    (row,) = marks.grade_class(of_class(tmp_path), seed=3, seconds=0.2)
    assert row["points"] == "0"
    assert "0 of 1 properties hold" in row["feedback"]
