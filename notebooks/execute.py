"""Execute the notebooks, each from a clean kernel, one after the other.

    python notebooks/execute.py [NAME …] [--store] [--limit SECONDS]

A NAME is a notebook's number or file name; without one it is all of them, in reading order. Prints a line for each:
name, seconds, MB. Nothing is written without --store. With it the outputs go into the notebooks, in a form that is the
same on every machine: an executed notebook whose outputs did not change keeps its bytes. Exit status 1 if a cell fails,
if a notebook or all of them take too long, or if an output would show this machine's folders.

A notebook's solutions are in solutions/, in a file of the same name. Each is run where its answer cell is, and what it
defines is deleted afterwards, since the notebook must not need it. --store writes what it prints below it. The cells
that name the grader's exercises are made from the grader's list.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xlsr_ref.files import write_whole

FOLDER = Path(__file__).resolve().parent
ALL = "[0-9][0-9]*_*.ipynb"  # 01_sound.ipynb, 01b_…
NOTEBOOK_SECONDS = 180  # stops a cell that hangs; on two quiet cores 45 s are the aim and 90 s the most
ERROR_LINES = 12  # of a cell that failed
SOLUTION = re.compile(  # its number, its code, and what it prints
    r"^## Exercise (\d+)\n+```python\n(.*?)\n```\n(?:\nIt prints:\n\n```text\n(.*?)\n```\n)?", re.MULTILINE | re.DOTALL
)
GRADED = """### Write it yourself, and have it graded

Each of these is a function for you to write in plain NumPy. The grader tries it on many small cases, says which
properties hold, and names the mistake where it knows it. The tasks are printed below; write each function above the
line that grades it."""
SHOW_TASK = 'print(exercise(name).starter.rpartition("    raise")[0])'
BEFORE = "_known = dict(globals())"
AFTER = "for _name in set(globals()) - {*_known, '_known'}:\n    del globals()[_name]\nglobals().update(_known)"


class Problem(Exception):
    """What went wrong, in one sentence or with the last lines of an error."""


def find(names: Sequence[str], folder: Path) -> list[Path]:
    """The notebooks that the names mean, in reading order; all of them where there are none."""
    known = sorted(folder.glob(ALL))
    if not known:
        raise Problem(f"there is no notebook in {folder}")
    wanted = set()
    for name in names:
        stem = Path(name).name.removesuffix(".ipynb")
        fitting = [path for path in known if stem in (path.stem, number(path.stem))]
        if not fitting:
            raise Problem(f"{name} is no notebook: there are {', '.join(path.stem for path in known)}")
        wanted.update(fitting)
    return [path for path in known if path in wanted or not names]


def number(stem: str) -> str:
    """What a notebook is called by: "01" or "01b"."""
    return stem.partition("_")[0]


def solutions_of(path: Path) -> Path:
    """The file with a notebook's solutions."""
    return path.parent / "solutions" / f"{path.stem}.md"


def with_solutions(notebook: Any, path: Path) -> None:
    """Put each solution, in place, after its answer cell; cells around it note and restore all names."""
    file = solutions_of(path)
    found = [match[2] for match in SOLUTION.finditer(file.read_text(encoding="utf-8"))] if file.exists() else []
    cells, used = [], 0
    for cell in notebook["cells"]:
        cells.append(cell)
        if "answer" in cell["metadata"].get("tags", []):
            if used == len(found):
                raise Problem(f"{path.stem} has an answer cell without a solution: {file.name} has {len(found)}")
            cells += [_code(BEFORE, "around"), _code(found[used], "solution"), _code(AFTER, "around")]
            used += 1
    if used < len(found):
        raise Problem(f"{path.stem} has {used} answer cells, and {file.name} has {len(found)} solutions")
    notebook["cells"] = cells


def with_exercises(notebook: Any, stem: str) -> None:
    """Name, in place, the grader's exercises that belong to the notebook: a list, their tasks, a cell to write each in.

    They stand before "What you know now", and are made anew from the grader's own list.
    """
    from nbformat.v4 import new_markdown_cell

    from xlsr_ref.teach.grade.catalogue import all_exercises

    ours = [each for each in all_exercises() if each.notebook == number(stem)]
    made = {"graded", "task", "write"}
    notebook["cells"] = [cell for cell in notebook["cells"] if not made & set(cell["metadata"].get("tags", []))]
    if not ours:
        return
    names = ", ".join(f'"{each.name}"' for each in ours) + ("," if len(ours) == 1 else "")
    tasks = f"from xlsr_ref.teach.grade import exercise\n\nfor name in ({names}):\n    {SHOW_TASK}"
    lines = "\n".join(f'* {each.title}: `grade("{each.name}", {each.name})`' for each in ours)
    cells = [new_markdown_cell(f"{GRADED}\n\n{lines}", metadata={"tags": ["graded"]}), _code(_formatted(tasks), "task")]
    for each in ours:
        call = f'# from xlsr_ref.teach.grade import grade\n# grade("{each.name}", {each.name})'
        cells.append(_code(f"# {each.signature}\n{call}", "write"))
    starts = ["".join(cell["source"]).startswith("## What you know now") for cell in notebook["cells"]]
    end = starts.index(True) if True in starts else len(starts)
    notebook["cells"][end:end] = cells


def _formatted(source: str) -> str:
    """Source whose tuple of names may be too long for a line: broken as ruff breaks it."""
    first, _, rest = source.partition("for name in (")
    names, _, rest = rest.partition("):")
    if len(f"for name in ({names}):") <= 120:
        return source
    each = "".join(f"    {name.strip()},\n" for name in names.rstrip(",").split(","))
    return f"{first}for name in (\n{each}):{rest}"


def _code(source: str, tag: str) -> Any:
    from nbformat.v4 import new_code_cell

    return new_code_cell(source, metadata={"tags": [tag]})


def without_solutions(notebook: Any) -> list[str]:
    """Take the solutions out again, in place, and number the other cells without them; returns what each printed."""
    kept, printed, count = [], [], 0
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags", [])
        if "solution" in tags:
            streams = (output for output in cell["outputs"] if output["output_type"] == "stream")
            printed.append("".join("".join(output["text"]) for output in streams).strip("\n"))
        elif "around" not in tags:
            kept.append(cell)
            if cell["cell_type"] == "code":
                empty = not "".join(cell["source"]).strip()
                count += not empty
                cell["execution_count"] = None if empty else count
    notebook["cells"] = kept
    return printed


def store_solutions(path: Path, printed: Sequence[str]) -> None:
    """Put what each solution printed below it, in the file of the solutions."""
    file, outputs = solutions_of(path), iter(printed)

    def section(match: re.Match[str]) -> str:
        text = next(outputs)
        shown = f"\nIt prints:\n\n```text\n{text}\n```\n" if text else ""
        return f"## Exercise {match[1]}\n\n```python\n{match[2]}\n```\n{shown}"

    if printed:
        store(file, SOLUTION.sub(section, file.read_text(encoding="utf-8")).encode())


def execute(path: Path, deadline: float) -> tuple[Any, list[str]]:
    """The notebook with its outputs, from a new kernel in the notebook's folder, and what its solutions print."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = nbformat.read(path, as_version=4)
    with_exercises(notebook, path.stem)
    with_solutions(notebook, path)
    started: list[int] = []
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        timeout_func=lambda cell: max(1, math.ceil(deadline - time.monotonic())),
        record_timing=False,
        shutdown_kernel="immediate",
        extra_arguments=["--log-level=ERROR"],  # its warning that localhost is not encrypted
        on_cell_start=lambda cell, cell_index: started.append(cell_index),
    )

    def where() -> str:  # the cell that was last begun, in the numbers of the stored notebook
        tags = [cell["metadata"].get("tags", []) for cell in notebook["cells"][: started[-1] + 1]]
        added = sum("solution" in each or "around" in each for each in tags)
        return f"{path.stem}, {'the solution of ' if 'solution' in tags[-1] else ''}cell {started[-1] - added}"

    try:
        client.execute()
    except CellExecutionError as error:
        last = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip().splitlines()[-ERROR_LINES:]
        raise Problem(f"{where()}:\n    " + "\n    ".join(last)) from None
    except CellTimeoutError:
        raise Problem(f"{where()}: still running when the notebook's time was over") from None
    except DeadKernelError:
        raise Problem(f"{where()}: the kernel died") from None
    return notebook, without_solutions(notebook)


def reading_minutes(notebook: Any) -> int:
    """How long a notebook takes to read, to the nearest five minutes; its exercises and their work are not counted.

    words / 150 + 1.5 for each displayed equation + lines of code / 30 + 0.5 for each picture
    """
    words = equations = lines = pictures = 0
    for cell in notebook["cells"]:
        tags, source = cell["metadata"].get("tags", []), "".join(cell["source"])
        if {"exercise", "answer", "graded"} & set(tags):
            continue
        if cell["cell_type"] == "markdown":
            equations += len(re.findall(r"\$\$.*?\$\$", source, re.DOTALL))
            text = re.sub(r"```.*?```|\$\$.*?\$\$|\]\([^)]*\)", " ", source, flags=re.DOTALL)
            words += len(re.findall(r"\w[\w'’-]*", re.sub(r"\$[^$]*\$|`[^`]*`", "word", text)))
        else:
            lines += sum(bool(line.strip()) for line in source.splitlines())
            pictures += "picture" in tags
    return max(5, 5 * round((words / 150 + 1.5 * equations + lines / 30 + 0.5 * pictures) / 5))


def normalise(notebook: Any, stem: str) -> None:
    """Take out, in place, what differs between two executions or two editors; write the reading time."""
    first = notebook["cells"][0]
    if first["cell_type"] == "markdown":
        minutes = f"Reading time: {reading_minutes(notebook)} minutes"
        first["source"] = re.sub(r"Reading time: \d+ minutes", minutes, "".join(first["source"]))
    notebook["metadata"] = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    notebook["nbformat"], notebook["nbformat_minor"] = 4, 5
    for i, cell in enumerate(notebook["cells"]):
        cell["id"] = f"{number(stem)}-{i:02d}"
        kept = {name: cell["metadata"][name] for name in ("tags", "jupyter") if cell["metadata"].get(name)}
        cell["metadata"] = kept
        if cell["cell_type"] == "code":
            cell["outputs"] = merged(cell["outputs"])


def merged(outputs: Sequence[Any]) -> list[Any]:
    """Neighbouring pieces of one stream as one: how the kernel cuts them is a matter of timing."""
    result: list[Any] = []
    for output in outputs:
        before = result[-1] if result else {}
        if output["output_type"] == before.get("output_type") == "stream" and output["name"] == before["name"]:
            before["text"] = "".join(before["text"]) + "".join(output["text"])
        else:
            result.append(output)
    return result


def not_to_be_stored(notebook: Any) -> Iterator[str]:
    """A sentence for each output that would be different on another machine, or in the next execution."""
    folders = {str(FOLDER.parent), str(Path.home()), tempfile.gettempdir(), sys.prefix, os.path.realpath(sys.prefix)}
    ours = "|".join(re.escape(folder) for folder in sorted(folders, key=len, reverse=True) if len(folder) > 1)
    usual = r"/(?:home|Users|root|tmp|var|work|mnt|private)/|\b[A-Za-z]:\\\w"
    patterns = {
        "a folder of this machine": re.compile(rf"(?<![\w.:/])(?:(?:{ours})(?![\w-])|{usual})[^\s\"'<>]*"),
        "an address in memory": re.compile(r"\bat 0x[0-9a-fA-F]{6,}"),
    }
    for i, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", []):
            if output["output_type"] == "stream" and output["name"] == "stderr":
                text = "".join(output["text"]).strip()
                yield f"cell {i} writes to stderr: {text.splitlines()[-1] if text else ''}"
            for text in texts(output):
                for what, pattern in patterns.items():
                    if found := pattern.search(text):
                        yield f"cell {i} shows {what}: {found.group()}"


def texts(output: Any) -> Iterator[str]:
    """Everything in an output that is text: streams, and data such as text/html and image/svg+xml."""
    if output["output_type"] == "stream":
        yield "".join(output["text"])
    for kind, data in output.get("data", {}).items():
        if kind.startswith("text/") or kind == "image/svg+xml":
            yield "".join(data)


def as_bytes(notebook: Any) -> bytes:
    """The file: keys sorted, a line of source or output on a line of its own."""
    import nbformat

    nbformat.validate(notebook)
    return (nbformat.writes(notebook, indent=1, sort_keys=True, ensure_ascii=False).rstrip("\n") + "\n").encode()


def store(path: Path, content: bytes) -> None:
    """Replace the file, whole or not at all; leave it alone if nothing changed."""
    if path.read_bytes() != content:
        write_whole(path, content)


def one(path: Path, deadline: float, storing: bool) -> None:
    """Execute one notebook, print its line, and store it if that is asked for."""
    began = time.monotonic()
    notebook, printed = execute(path, min(deadline, began + NOTEBOOK_SECONDS))
    seconds = time.monotonic() - began
    normalise(notebook, path.stem)
    content = as_bytes(notebook)
    if storing:
        if faults := list(not_to_be_stored(notebook)):
            raise Problem(f"{path.stem} is not stored:\n    " + "\n    ".join(faults))
        store(path, content)
        store_solutions(path, printed)
    print(f"{path.stem:<28} {seconds:6.1f} s  {len(content) / 1e6:5.2f} MB", flush=True)
    if seconds > NOTEBOOK_SECONDS:
        raise Problem(f"{path.stem}: {seconds:.0f} s, where {NOTEBOOK_SECONDS} are allowed")


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    """The command line: 0 if every notebook ran in its time, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a number or a file name; none: all of them")
    parser.add_argument("--store", action="store_true", help="put the outputs into the notebooks")
    parser.add_argument("--limit", type=float, default=math.inf, metavar="SECONDS", help="for all of them together")
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # or the kernel warns about its own debugger
    began, failed, done = time.monotonic(), 0, 0
    try:
        import nbclient  # noqa: F401

        for path in find(chosen.names, folder):
            if time.monotonic() - began > chosen.limit:
                raise Problem(f"over {chosen.limit:.0f} s, the limit for all notebooks, before {path.stem}")
            try:
                one(path, began + chosen.limit, chosen.store)
            except Problem as problem:
                print(problem, file=sys.stderr, flush=True)
                failed += 1
            done += 1
        seconds = time.monotonic() - began
        print(f"{f'{done} notebooks, {failed} failed':<28} {seconds:6.1f} s")
        if seconds > chosen.limit:
            raise Problem(f"{seconds:.0f} s in all, where {chosen.limit:.0f} are allowed")
    except ImportError as error:
        print(f'execute: {error.name} is missing: pip install -e ".[notebooks]"', file=sys.stderr)
        return 1
    except Problem as problem:
        print(f"execute: {problem}", file=sys.stderr)
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
