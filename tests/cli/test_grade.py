"""``xlsr-ref grade`` and ``xlsr-ref assignment``: tables, JSON, what is refused in one line, and the exit status."""

import inspect
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from xlsr_ref.cli import _parsers, main
from xlsr_ref.teach.grade import assignment, exercises, grade, sandbox

FILE = """
import numpy as np

def gelu(x):  # the tanh form
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

def layer_norm(x, p, eps):
    mean = x.mean(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(x.var(axis=-1, keepdims=True) + eps) * p["weight"] + p["bias"]

from xlsr_ref.teach.grade import grade

grade("gelu", gelu).check()  # graded itself, this is quiet
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "solution.py").write_text(FILE, encoding="utf-8")
    return tmp_path


def test_a_file_with_a_right_and_a_wrong_function(folder, capsys):
    assert main(["grade", "solution.py", "--json", "--seconds", "60", "--seed", "5"]) == 1
    whole = json.loads(capsys.readouterr().out)
    gelu, norm = whole["exercises"]
    assert (gelu["exercise"], gelu["passed"], gelu["mistake"], gelu["distance"]) == ("gelu", False, "tanh GELU", 0)
    assert (norm["exercise"], norm["passed"], norm["score"]) == ("layer_norm", True, 1)
    assert (whole["passed"], whole["seed"], whole["score"]) == (False, 5, (gelu["score"] + 1) / 2)


def test_only_the_one_that_is_asked_for(folder, capsys):
    assert main(["grade", "solution.py", "--exercise", "layer_norm", "--seconds", "60"]) == 0
    out = capsys.readouterr().out
    assert "layer_norm: passed, all" in out
    assert out.endswith("\n1 of 1 passed; 100% of the points\n")


def test_a_hint_says_no_more_than_it_should(folder, capsys):
    said = []
    for hint in ("1", "2", "3"):
        main(["grade", "solution.py", "--exercise", "gelu", "--seconds", "60", "--seed", "5", "--hint", hint])
        said.append(capsys.readouterr().out)
    assert ["tanh GELU" in text for text in said] == [False, False, True]
    assert ["what is returned" in text for text in said] == [False, True, False]
    assert ["line 5: return 0.5 * x" in text for text in said] == [False, False, True]
    assert all("where tanh departs" in text for text in said)


def test_a_name_that_is_nearly_an_exercise_is_pointed_out(folder, capsys):
    """A misspelt one would else be left out in silence, and the rest would count as all."""
    more = "def layernorm(x, p, eps): ...\ndef gellu(x): ...\ndef helper(x): ...\ndef softmax(x): ...\n"
    (folder / "near.py").write_text(more, encoding="utf-8")
    main(["grade", "near.py", "--seconds", "60"])
    assert capsys.readouterr().err == (
        "xlsr-ref: near.py: not graded, for no exercise has this name: layernorm (did you mean layer_norm?), "
        "gellu (did you mean gelu?)\n"
    )
    main(["grade", "near.py", "--exercise", "softmax", "--seconds", "60"])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        ("grade", 2, "give a FILE with functions"),
        ("grade --exercise gelu solution.py", 2, "give a FILE with functions first"),
        ("grade solution.py --list", 2, "not both"),
        ("grade solution.py --exercise gleu", 2, "did you mean gelu"),
        ("grade solution.py --exercise xyz", 2, "no exercise 'xyz': xlsr-ref grade --list shows their names"),
        ("grade solution.py --seconds 0", 2, "--seconds 0"),
        ("grade solution.py --seconds nan", 2, "--seconds nan"),
        ("grade solution.py --memory 0", 2, "--memory 0"),
        ("grade solution.py --seed -1", 2, "--seed -1"),
        ("grade solution.py --exercise softmax", 1, "solution.py: has no function softmax; it has gelu, layer_norm"),
        ("grade none.py", 1, "none.py is missing; give a Python file"),
        ("grade .", 1, ".: is a folder"),
        ("grade broken.py --seconds 60", 1, "broken.py: line 1: ModuleNotFoundError: No module named 'nosuch'"),
        ("assignment gelu", 2, "-o/--output"),
        ("assignment gleu -o course", 2, "did you mean gelu"),
        ("assignment gelu -o solution.py", 1, "solution.py/source/xlsr/gelu.ipynb cannot be written"),
        ("assignment gelu -o course --points inf", 1, "inf points: give a number above 0"),
        ("assignment gelu -o course --name a+b", 1, "use letters"),
    ],
)
def test_what_is_refused_in_one_line(folder, capsys, words, status, line):
    (folder / "broken.py").write_text("import nosuch\ndef gelu(x): ...\n", encoding="utf-8")
    assert main(words.split()) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.splitlines()[-1]
    assert last.startswith("xlsr-ref")
    assert line in last
    assert status == 2 or len(captured.err.splitlines()) == 1


def test_the_defaults_are_those_of_python():
    """They stand twice, for the help is shown before anything is imported."""
    parser, _ = _parsers()
    asked = parser.parse_args(["grade", "solution.py"])
    assert (asked.seconds, asked.memory) == (sandbox.SECONDS, sandbox.MEMORY_MB)
    python = inspect.signature(grade).parameters
    assert (python["seconds"].default, python["memory_mb"].default) == (asked.seconds, asked.memory)
    asked = parser.parse_args(["assignment", "gelu", "-o", "course"])
    assert (asked.name, asked.points) == (assignment.ASSIGNMENT, assignment.POINTS)


def test_the_list(folder, capsys):
    assert main(["grade", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines[1:]} == set(exercises())
    assert lines[0].split() == ["exercise", "module", "notebook", "title"]
    assert any(line.split()[:3] == ["layer_norm", "ops.norm", "03"] for line in lines)
    assert main(["grade", "--list", "--json"]) == 0
    assert {each["name"] for each in json.loads(capsys.readouterr().out)} == set(exercises())


def test_an_assignment_names_its_files(folder, capsys):
    assert main(["assignment", "gelu", "-o", "course", "--name", "week3", "--points", "3"]) == 0
    path = capsys.readouterr().out.strip()
    assert path == os.path.join("course", "source", "week3", "gelu.ipynb")
    with open(path, encoding="utf-8") as file:
        assert json.load(file)["cells"][2]["metadata"]["nbgrader"]["points"] == 3


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal elsewhere")
def test_ctrl_c_ends_the_function_too(folder):
    """The function says in a file which process it is, and never comes back."""
    loop = "import os\n\ndef gelu(x):\n    open('pid', 'w').write(str(os.getpid()))\n    while True: pass\n"
    (folder / "loop.py").write_text(loop, encoding="utf-8")
    command = [sys.executable, "-m", "xlsr_ref", "grade", "loop.py", "--seconds", "60"]
    heeds = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731 - one started in the background is deaf
    program = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heeds)
    while program.poll() is None and not ((folder / "pid").exists() and (folder / "pid").read_text()):
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    _, err = program.communicate()
    assert program.returncode == 130
    assert err == "xlsr-ref: interrupted\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "pid").read_text()), 0)
