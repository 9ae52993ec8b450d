"""notebooks/execute.py: what it runs, what it refuses, and that what it stores is the same every time."""

import importlib.util
import json
from pathlib import Path

import pytest

pytest.importorskip("nbclient", reason='needs pip install -e ".[notebooks]"')

SCRIPT = Path(__file__).parents[2] / "notebooks" / "execute.py"


@pytest.fixture
def execute(monkeypatch, request):
    """The script. But for the test of that, the grader has no exercise for the notebooks here."""
    if "grader" not in request.node.name:
        monkeypatch.setattr("xlsr_ref.teach.grade.catalogue.all_exercises", tuple)
    spec = importlib.util.spec_from_file_location("execute_notebooks", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(folder, name, *sources):
    """A notebook as an editor might leave it: random ids, times, outputs of another day."""
    cells = [
        {
            "cell_type": "code",
            "execution_count": 7,
            "id": f"made-up-{i}",
            "metadata": {"tags": ["check"], "execution": {"iopub.execute_input": "2026-01-01"}, "scrolled": True},
            "outputs": [],
            "source": source,
        }
        for i, source in enumerate(sources)
    ]
    metadata = {
        "kernelspec": {"display_name": "mine", "language": "python", "name": "mine"},
        "language_info": {"name": "python", "version": "3.11.7"},
        "widgets": {},
    }
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return path


def test_nothing_is_written_without_store(execute, tmp_path, capsys):
    path = write(tmp_path, "00_first", "print('one')\nimport os; print(os.path.basename(os.getcwd()))")
    before = path.read_bytes()
    assert execute.main([], tmp_path) == 0
    assert path.read_bytes() == before
    out = capsys.readouterr().out
    assert out.startswith("00_first ")
    assert "1 notebooks, 0 failed" in out


def test_what_is_stored(execute, tmp_path):
    path = write(
        tmp_path,
        "00_first",
        "import os, sys\nprint('one', flush=True)\nprint('zwei', end='ö')",
        f"assert os.path.basename(os.getcwd()) == {tmp_path.name!r}\n2 + 1",
    )
    assert execute.main(["00", "--store"], tmp_path) == 0
    text = path.read_text(encoding="utf-8")
    stored = json.loads(text)
    assert "zweiö" in text
    assert text.endswith("}\n")
    assert stored["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    first, second = stored["cells"]
    assert first["outputs"] == [{"name": "stdout", "output_type": "stream", "text": ["one\n", "zweiö"]}]
    assert second["outputs"][0]["data"] == {"text/plain": ["3"]}
    assert [cell["id"] for cell in stored["cells"]] == ["00-00", "00-01"]
    assert [cell["execution_count"] for cell in stored["cells"]] == [1, 2]
    assert all(cell["metadata"] == {"tags": ["check"]} for cell in stored["cells"])
    before = path.stat()
    assert execute.main(["00_first.ipynb", "--store"], tmp_path) == 0
    assert path.read_text(encoding="utf-8") == text
    assert path.stat().st_ino == before.st_ino  # it was not even replaced
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_failing_cell_is_named_and_the_next_notebook_runs(execute, tmp_path, capsys):
    failing = write(tmp_path, "00_first", "x = 1", "assert x == 2, 'no two'")
    write(tmp_path, "01_second", "assert 'x' not in dir()")
    before = failing.read_bytes()
    assert execute.main(["--store"], tmp_path) == 1
    out, err = capsys.readouterr()
    assert "00_first, cell 1" in err
    assert "AssertionError: no two" in err
    assert "\x1b" not in err
    assert "01_second" in out
    assert "2 notebooks, 1 failed" in out
    assert failing.read_bytes() == before


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import os; print(os.getcwd())", "a folder of this machine"),
        ("import sys; sys.executable", "a folder of this machine"),
        ("print('see C:\\\\Users\\\\me')", "a folder of this machine"),
        ("object()", "an address in memory"),
        ("import sys; print('careful', file=sys.stderr)", "writes to stderr: careful"),
    ],
)
def test_what_another_machine_would_not_show_is_refused(execute, tmp_path, capsys, source, message):
    path = write(tmp_path, "00_first", source)
    before = path.read_bytes()
    assert execute.main(["--store"], tmp_path) == 1
    err = capsys.readouterr().err
    assert "00_first is not stored" in err
    assert f"cell 0 {'' if 'stderr' in message else 'shows '}{message}" in err
    assert path.read_bytes() == before


def test_ordinary_text_is_stored(execute):
    for text in ("https://example.org/home/page", "Σ/T and a/tmp/b", "400/320", "clips/en/digits__1.ogg", "0x1p-3"):
        output = {"output_type": "stream", "name": "stdout", "text": text}
        assert not list(execute.not_to_be_stored({"cells": [{"outputs": [output]}]})), text


def test_time_is_limited(execute, tmp_path, capsys, monkeypatch):
    write(tmp_path, "00_first", "import time; time.sleep(60)")
    write(tmp_path, "01_second", "1")
    assert execute.main(["--limit", "2"], tmp_path) == 1
    err = capsys.readouterr().err
    assert "00_first, cell 0: still running" in err
    assert "over 2 s, the limit for all notebooks, before 01_second" in err
    monkeypatch.setattr(execute, "NOTEBOOK_SECONDS", 2)
    assert execute.main(["00"], tmp_path) == 1
    assert "00_first, cell 0: still running" in capsys.readouterr().err


def test_names(execute, tmp_path, capsys):
    assert execute.main([], tmp_path) == 1
    assert "there is no notebook in" in capsys.readouterr().err
    write(tmp_path, "01_second", "1")
    write(tmp_path, "00_first", "1")
    assert [path.stem for path in execute.find([], tmp_path)] == ["00_first", "01_second"]
    assert [path.stem for path in execute.find(["notebooks/01_second.ipynb", "00"], tmp_path)] == [
        "00_first",
        "01_second",
    ]
    assert execute.main(["second"], tmp_path) == 1
    assert "second is no notebook: there are 00_first, 01_second" in capsys.readouterr().err


def test_what_is_printed_stays_where_it_was_printed(execute, tmp_path):
    source = "from IPython.display import display\nprint(1)\ndisplay(2)\nprint(3)\nprint(4)"
    path = write(tmp_path, "00_first", source)
    assert execute.main(["--store"], tmp_path) == 0
    outputs = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["outputs"]
    assert [output.get("text", "shown") for output in outputs] == [["1\n"], "shown", ["3\n", "4\n"]]


def test_streams_are_merged(execute):
    streams = [("stdout", "a"), ("stdout", ["b\n"]), ("stdout", "c"), ("stderr", "d"), ("stdout", "e")]
    outputs = [{"output_type": "stream", "name": name, "text": text} for name, text in streams]
    outputs.insert(1, {"output_type": "display_data", "data": {}, "metadata": {}})
    result = execute.merged(outputs)
    assert [output.get("text") for output in result] == ["a", None, "b\nc", "d", "e"]


def with_exercise(folder, after, solution):
    """A notebook with one exercise, a cell after it, and the file of its solution."""
    path = write(folder, "01b_sums", "x = 1\nprint(x)", "", after)
    raw = json.loads(path.read_text())
    raw["cells"][1]["metadata"] = {"tags": ["answer"]}
    raw["cells"].insert(0, {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "Reading time: 90 minutes."})
    path.write_text(json.dumps(raw))
    (folder / "solutions").mkdir()
    file = folder / "solutions" / "01b_sums.md"
    file.write_text(f"# Solutions\n\n## Exercise 1\n\n```python\n{solution}\n```\n")
    return path, file


def test_solutions_are_run_and_not_stored_in_the_notebook(execute, tmp_path):
    path, file = with_exercise(
        tmp_path, "assert x == 1\nprint('secret' in globals())", "x, secret = 2, 3\nprint(x + secret)"
    )
    assert execute.main(["01b", "--store"], tmp_path) == 0
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert [cell["id"] for cell in stored["cells"]] == ["01b-00", "01b-01", "01b-02", "01b-03"]
    assert stored["cells"][2]["source"] == []
    assert stored["cells"][2]["outputs"] == []
    assert [cell.get("execution_count") for cell in stored["cells"]] == [None, 1, None, 2]
    assert stored["cells"][3]["outputs"][0]["text"] == ["False\n"]  # the notebook does not need what it defines
    assert "".join(stored["cells"][0]["source"]) == "Reading time: 5 minutes."
    assert file.read_text().endswith(
        "```python\nx, secret = 2, 3\nprint(x + secret)\n```\n\nIt prints:\n\n```text\n5\n```\n"
    )
    before = file.read_text()
    assert execute.main(["01b", "--store"], tmp_path) == 0
    assert file.read_text() == before


def test_a_solution_that_no_longer_runs_is_noticed(execute, tmp_path, capsys):
    with_exercise(tmp_path, "pass", "assert x == 7, 'seven'")
    assert execute.main([], tmp_path) == 1
    assert "01b_sums, the solution of cell 2:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "solutions", ["", "## Exercise 1\n\n```python\n1\n```\n\n## Exercise 2\n\n```python\n2\n```\n"]
)
def test_as_many_solutions_as_answers(execute, tmp_path, capsys, solutions):
    _, file = with_exercise(tmp_path, "pass", "1")
    file.write_text(solutions)
    assert execute.main([], tmp_path) == 1
    assert "solution" in capsys.readouterr().err


def test_the_graders_exercises_stand_before_the_end(execute, tmp_path):
    path = write(tmp_path, "14_speed", "x = 1")
    raw = json.loads(path.read_text())
    raw["cells"].append({"cell_type": "markdown", "id": "z", "metadata": {}, "source": "## What you know now"})
    raw["cells"][0]["metadata"] = {"tags": ["task"]}  # of a list that is no longer the grader's
    path.write_text(json.dumps(raw))
    assert execute.main(["14", "--store"], tmp_path) == 0
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert [cell["metadata"]["tags"] for cell in cells[:-1]] == [["graded"], ["task"], ["write"]]
    assert '* Packed product: `grade("packed_product", packed_product)`' in "".join(cells[0]["source"])
    assert "def packed_product(" in "".join(cells[1]["outputs"][0]["text"])
    assert "".join(cells[2]["source"]).endswith('# grade("packed_product", packed_product)')
    assert cells[-1]["source"] == ["## What you know now"]
    before = path.read_bytes()
    assert execute.main(["14", "--store"], tmp_path) == 0
    assert path.read_bytes() == before


def test_a_long_list_of_names_is_broken_as_ruff_breaks_it(execute):
    names = ", ".join(f'"a_name_of_some_length_{i}"' for i in range(6))
    made = execute._formatted(f"import x\n\nfor name in ({names}):\n    print(name)")
    assert made.splitlines()[2:4] == ["for name in (", '    "a_name_of_some_length_0",']
    assert made.splitlines()[-2:] == ["):", "    print(name)"]
    assert execute._formatted('for name in ("a",):\n    pass') == 'for name in ("a",):\n    pass'
