"""Notebooks to hand out. tests/live/test_nbgrader_live.py gives them to nbgrader itself."""

import ast
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from xlsr_ref.errors import ExerciseError
from xlsr_ref.teach.grade import exercises
from xlsr_ref.teach.grade.assignment import assignment, notebook
from xlsr_ref.teach.grade.catalogue import find
from xlsr_ref.teach.grade.judge import judge


def source(cell):
    return "".join(cell["source"])


def own(text, name):
    """The statements of a function, without their places in the text."""
    (definition,) = (n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == name)
    return [ast.dump(statement) for statement in definition.body]


def test_a_helper_of_a_solution_is_cut_out_with_it():
    solution = "import math\n\nA = 1\n\ndef gelu(x):\n    return half(x)\n\ndef half(x):\n    return x / 2\n"
    text = source(notebook(replace(find("gelu"), solution=solution))["cells"][1])
    head, inside = text.split("    ### BEGIN SOLUTION\n")
    assert "half" not in head
    assert "A = 1" not in head
    assert inside.endswith("\n    ### END SOLUTION")
    namespace = {}
    exec(text, namespace)
    assert namespace["gelu"](3) == 1.5


def only_large_eps(x, p, eps):
    return find("layer_norm").function()(x, p, max(eps, 0.1))


@pytest.fixture(scope="module")
def notebooks():
    return {name: notebook(find(name), points=4) for name in exercises()}


def test_every_cell_is_marked_for_nbgrader(notebooks):
    """What each key means stands in nbgrader's nbgraderformat/v3.json."""
    shared = {"schema_version": 3, "task": False}
    for name, book in notebooks.items():
        text, solution, test = (cell["metadata"]["nbgrader"] for cell in book["cells"])
        assert text == {**shared, "grade_id": f"{name}-task", "grade": False, "solution": False, "locked": True}
        assert solution == {**shared, "grade_id": f"{name}-solution", "grade": False, "solution": True, "locked": False}
        assert test.pop("points") == 4
        assert test == {**shared, "grade_id": f"{name}-test", "grade": True, "solution": False, "locked": True}


def test_nbformat_finds_nothing_wrong(notebooks):
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.from_dict(notebooks["layer_norm"]))  # slow, and all have the same form


def test_the_instructors_cell_holds_the_solution_and_the_students_does_not(notebooks):
    """nbgrader puts another text in the place of what stands between the marks, and of the marks."""
    for name, book in notebooks.items():
        text = source(book["cells"][1])
        assert own(text, name)[1:] == own(find(name).solution, name)  # but for the docstring
        exec(text, {})

        stub, cut = re.subn(
            r"( *)### BEGIN SOLUTION\n.*?### END SOLUTION", r"\1raise NotImplementedError", text, flags=re.S
        )
        assert cut == 1
        namespace = {}
        exec(stub, namespace)
        assert namespace[name].__doc__.split() == find(name).task.split()
        with pytest.raises(NotImplementedError):
            namespace[name](*[None] * namespace[name].__code__.co_argcount)


def test_the_last_cell_ends_with_the_points(notebooks):
    """nbgrader reads a number there; 1.0 and not np.float64(1.0)."""
    text = source(notebooks["layer_norm"]["cells"][2]).replace('grade("layer_norm", layer_norm, ', "verdict_of(")
    shown, verdict = [], judge(find("layer_norm"), only_large_eps, np.random.default_rng(0))
    *lines, last = text.replace("from xlsr_ref.teach.grade import grade\n", "").splitlines()
    namespace = {"verdict_of": lambda **_: verdict, "display": shown.append}
    exec("\n".join(lines), namespace)
    points = eval(last, namespace)
    assert shown == [verdict]
    assert points == round(4 * verdict.score, 2)
    assert float(repr(points)) == points
    assert 0 < points < 4


def test_a_cell_that_checks_raises_with_what_is_wrong():
    right, wrong = (
        judge(find("gelu"), f, np.random.default_rng(0)) for f in (find("gelu").function(), lambda x: 2 * x)
    )
    right.check()
    assert right.points(10) == 10
    with pytest.raises(AssertionError, match=r"^gelu: not yet, \d+ of \d+ properties hold(.|\n)*\nfloat64: y: error"):
        wrong.check()


def test_the_files_and_what_is_refused(tmp_path):
    paths = assignment(["layer_norm", "gelu", "layer_norm"], tmp_path, "week3")
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "source/week3/layer_norm.ipynb",
        "source/week3/gelu.ipynb",
    ]
    assert json.loads(paths[0].read_text(encoding="utf-8")) == notebook(find("layer_norm"))
    for names, title, points, words in (
        (["gelu"], "week3", 1, "is there already"),
        (["gleu"], "week4", 1, "did you mean gelu"),
        (["gelu"], "week+4", 1, "use letters"),
        (["gelu"], "../up", 1, "use letters"),
        (["gelu"], "week4", 0, "above 0"),
    ):
        with pytest.raises(ExerciseError, match=words):
            assignment(names, tmp_path, title, points)
    assert sorted(path.name for path in (tmp_path / "source").iterdir()) == ["week3"]
