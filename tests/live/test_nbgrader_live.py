"""The notebooks of ``xlsr-ref assignment`` in nbgrader itself: handed out, handed in, graded, and the points read."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from xlsr_ref.teach.grade.assignment import assignment

pytest.importorskip("nbgrader")

RIGHT = """    mean = x.mean(axis=1, keepdims=True)
    var = x.var(axis=1, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * p["weight"] + p["bias"]"""
STUDENTS = {
    "right": RIGHT,
    "wrong": RIGHT.replace("keepdims=True)\n    return", "keepdims=True, ddof=1)\n    return"),
    "partly": RIGHT.replace("    return", "    eps = max(eps, 0.1)\n    return"),
    "taken": "    from xlsr_ref.ops.norm import layer_norm as theirs\n    return theirs(x, p, eps)[0]",
    "empty": "    raise NotImplementedError()",
}


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course after both commands. The value: its folder."""
    folder = tmp_path_factory.mktemp("course")
    assignment(["layer_norm"], folder, "week3", points=8, seed=77, questions=["Why?"])
    nbgrader(folder, "generate_assignment", "week3")
    released = json.loads((folder / "release" / "week3" / "layer_norm.ipynb").read_text(encoding="utf-8"))
    for student, body in STUDENTS.items():
        handed_in = folder / "submitted" / student / "week3" / "layer_norm.ipynb"
        handed_in.parent.mkdir(parents=True)
        handed_in.write_text(json.dumps(filled(released, body)), encoding="utf-8")
    nbgrader(folder, "autograde", "week3")
    return folder


def nbgrader(folder, command, *arguments):
    """Run one of its commands, and see that it says nothing worse than INFO, but that there is no config file."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # it starts alembic by its name
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", command, *arguments],
        cwd=folder,
        env=os.environ | {"JUPYTER_CONFIG_DIR": str(folder / "settings"), "PATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    worse = [line for line in done.stderr.splitlines() if "ERROR" in line or "Traceback" in line]
    assert not worse, done.stderr


def filled(released, body):
    """A student's notebook: the stub of the second cell replaced."""
    notebook = json.loads(json.dumps(released))
    text = "".join(notebook["cells"][1]["source"])
    stub = "    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert text.count(stub) == 1
    notebook["cells"][1]["source"] = text.replace(stub, body)
    return notebook


def test_the_students_version_has_no_solution(course):
    text = (course / "release" / "week3" / "layer_norm.ipynb").read_text(encoding="utf-8")
    assert "normalised * p[" not in text
    assert "SOLUTION" not in text
    assert "HIDDEN" not in text
    assert "seed = 0" in text
    assert "77" not in text
    assert "YOUR CODE HERE" in text


def test_the_points_of_each_student(course):
    nbgrader(course, "export", f"--to={course / 'grades.csv'}")
    with open(course / "grades.csv", encoding="utf-8", newline="") as file:
        scores = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
        assert scores["right"] == 8  # all of them
        assert scores["empty"] == 0
        assert 0 < scores["partly"] < 4  # it is right where eps is large
        assert scores["wrong"] == 0  # right in no ordinary case
        assert scores["taken"] == 0


def test_the_student_reads_which_mistake_it_was(course):
    graded = json.loads((course / "autograded" / "wrong" / "week3" / "layer_norm.ipynb").read_text(encoding="utf-8"))
    shown, number = graded["cells"][2]["outputs"]
    text = "".join(shown["data"]["text/plain"])
    assert "n-1 variance" in text
    assert "in this process" not in text  # it ran in one of its own
    assert "<table" in "".join(shown["data"]["text/html"])
    assert number["output_type"] == "execute_result"
