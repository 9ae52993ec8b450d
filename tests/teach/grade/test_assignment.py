"""Notebooks to hand out. tests/live/test_nbgrader_live.py gives them to nbgrader itself."""

import ast
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from xlsr_ref.errors import ExerciseError
from xlsr_ref.teach.grade import exercises
from xlsr_ref.teach.grade.assignment import Plan, assignment, notebook
from xlsr_ref.teach.grade.catalogue import find
from xlsr_ref.teach.grade.judge import judge
from xlsr_ref.teach.grade.personal import variant


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
    return {name: notebook(find(name), Plan(points=4)) for name in exercises()}


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
    paths = assignment(["layer_norm", "gelu", "layer_norm"], tmp_path, "week3", seed=5)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "source/week3/layer_norm.ipynb",
        "source/week3/gelu.ipynb",
    ]
    assert json.loads(paths[0].read_text(encoding="utf-8")) == notebook(find("layer_norm"), Plan(hidden_seed=5))
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


def test_the_hidden_numbers_are_new_each_time_and_cut_out_for_students(tmp_path):
    texts = [source(json.loads(assignment(["gelu"], tmp_path / n)[0].read_text("utf-8"))["cells"][2]) for n in "ab"]
    seeds = [re.search(r"### BEGIN HIDDEN TESTS\nseed = (\d+)\n### END HIDDEN TESTS\n", text)[1] for text in texts]
    assert seeds[0] != seeds[1]
    assert "seed = 0\n###" in texts[0]  # what a student has
    assert "hidden" not in source(notebook(find("gelu"))["cells"][2]).lower()


def test_the_points_are_stated_by_property_and_weights_change_them(tmp_path):
    weights = {"dtype kept": 0, "large values": 5}
    book = notebook(find("gelu"), Plan(weights=weights))
    task = source(book["cells"][0])
    assert "dtype kept 0 %" in task
    shares = {name: int(share) for name, share in re.findall(r"[:,] ([a-z0-9 ]+?) (\d+) %", task)}
    assert shares["large values"] > 2 * shares["float64"]
    assert 95 <= sum(shares.values()) <= 105
    assert "verdict.points(10, {'dtype kept': 0, 'large values': 5})" in source(book["cells"][2])
    with pytest.raises(ExerciseError, match="no property 'size' here"):
        assignment(["gelu"], tmp_path, weights={"size": 1})


def test_written_questions_are_graded_by_hand(tmp_path):
    paths = assignment(["gelu"], tmp_path, "week3", points=4, questions=["Why is ReLU faster?", "And worse?"])
    assert paths[-1].name == "questions.ipynb"
    cells = json.loads(paths[-1].read_text(encoding="utf-8"))["cells"]
    marks = [cell["metadata"]["nbgrader"] for cell in cells]
    assert [(mark["grade"], mark["solution"], mark.get("points")) for mark in marks] == 2 * [
        (False, False, None),
        (True, True, 4),
    ]
    assert {cell["cell_type"] for cell in cells} == {"markdown"}
    assert "And worse?" in source(cells[2])


def test_the_course_gets_settings_once(tmp_path):
    assignment(["gelu"], tmp_path / "speech", "week1")
    path = tmp_path / "speech" / "nbgrader_config.py"
    settings: dict = {}

    class Anything(dict):
        def __getattr__(self, name):
            return self.setdefault(name, Anything())

        def __setattr__(self, name, value):
            settings[name] = value

    exec(path.read_text(encoding="utf-8"), {"get_config": Anything})
    assert settings["course_id"] == "speech"
    assert settings["begin_test_delimeter"] == "BEGIN HIDDEN TESTS"
    path.write_text("# the instructor's own\n", encoding="utf-8")
    assignment(["gelu"], tmp_path / "speech", "week2")
    assert path.read_text(encoding="utf-8") == "# the instructor's own\n"


def test_each_student_has_numbers_of_their_own():
    for task in map(find, exercises()):
        mine = variant(task.name, "Anna ")
        assert mine.answer == variant(task.name, "anna").answer
        result = task.function()(**mine.arguments)
        parts = result if isinstance(result, tuple) else (result,)
        numbers = np.concatenate([np.ravel(np.asarray(a, float)) for part in parts for a in leaves(part)])
        assert mine.check(f"{numbers @ np.arange(1, numbers.size + 1):.7g}"), task.name
        assert not mine.check(mine.answer + max(1, 1e-3 * abs(mine.answer)))
        assert not any(mine.check(wrong) for wrong in (None, "", [1], float("nan")))
    answers = {variant("layer_norm", student).answer for student in ("anna", "ben", "carla", "dora")}
    assert len(answers) == 4
    with pytest.raises(ExerciseError, match="no student's name"):
        variant("layer_norm", " ")


def leaves(part):
    return [a for inner in part.values() for a in leaves(inner)] if isinstance(part, dict) else [part]


def test_a_question_on_them_is_a_cell_of_its_own():
    cells = notebook(find("gelu"), Plan(points=20, personal=True))["cells"]
    names = {"display": lambda shown: None}
    exec(source(cells[3]), names)
    *lines, last = source(cells[4]).splitlines()
    exec("\n".join(lines), names)
    assert eval(last, names) == 2
    names["answer"] = 1
    assert eval(last, names) == 0
