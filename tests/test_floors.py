"""The house: imports run down the floors, never up, across or in a circle; files and functions stay short."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "xlsr_ref"
FLOORS = {
    "ops": 1, "files": 1, "errors": 1, "untrusted": 1, "unmasked": 1, "settings": 1, "version": 1,
    "wav2vec2": 2, "wav2vec2_bert": 2, "heads": 2, "losses": 2, "text": 2, "audio": 2, "checkpoint": 2,
    "model": 3,
    "training": 4, "teach": 4, "measure": 4, "__init__": 4,
    "cli": 5,
    "__main__": 6,
}  # fmt: skip
LONGEST_FILE, LONGEST_FUNCTION = 400, 60


def place(module: str) -> str:
    """The folder or file right below the package that ``module`` stands in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@functools.cache
def modules() -> dict[str, Path]:
    files = sorted(PACKAGE.rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imported(tree: ast.AST, known: frozenset[str]) -> Iterator[str]:
    """The modules of the package that a file imports, wherever in it; a name from a folder may be a module itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in ("xlsr_ref", "weights_tools"))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("xlsr_ref", "weights_tools"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else str(node.module)


@functools.cache
def arrows() -> list[tuple[str, str]]:
    """(importer, imported) for all modules of the package."""
    known = frozenset(modules())
    return [
        (module, target)
        for module, path in modules().items()
        for target in imported(ast.parse(path.read_text("utf-8")), known)
    ]


def wrong_arrows(found: list[tuple[str, str]]) -> list[str]:
    """Arrows that run up, or from one folder of the second floor to another, or out of the package."""
    wrong = []
    for importer, target in found:
        if target.startswith("weights_tools"):
            wrong.append(f"{importer} imports {target}, which is no part of the package")
            continue
        a, b = place(importer), place(target)
        if a == b:
            continue
        if FLOORS[a] < FLOORS[b] or (FLOORS[a] == FLOORS[b] and FLOORS[a] in (2, 3)):
            wrong.append(f"{importer} (floor {FLOORS[a]}) imports {target} (floor {FLOORS[b]})")
    return sorted(set(wrong))


def circles(found: list[tuple[str, str]]) -> list[str]:
    """Files that import each other, directly or by way of others."""
    below: dict[str, set[str]] = {}
    for importer, target in found:
        if importer != target and target != "xlsr_ref":
            below.setdefault(importer, set()).add(target)
    state: dict[str, int] = {}
    wrong = []

    def visit(module: str, path: list[str]) -> None:
        state[module] = 1
        for target in sorted(below.get(module, ())):
            if state.get(target) == 1:
                wrong.append(" → ".join([*path[path.index(target) :], target]))
            elif target not in state:
                visit(target, [*path, target])
        state[module] = 2

    for module in sorted(below):
        if module not in state:
            visit(module, [module])
    return wrong


def test_every_folder_has_a_floor():
    assert {place(module) for module in modules()} <= set(FLOORS)


def test_imports_run_down():
    assert wrong_arrows(arrows()) == []


def test_no_file_imports_itself_by_way_of_others():
    assert circles(arrows()) == []


@pytest.mark.parametrize(
    ("arrow", "why"),
    [
        (("xlsr_ref.ops.linear", "xlsr_ref.model.model"), "floor 1"),
        (("xlsr_ref.heads.ctc", "xlsr_ref.wav2vec2.block"), "floor 2"),
        (("xlsr_ref.text.search.beam", "weights_tools.record_goldens"), "no part"),
    ],
)
def test_a_wrong_arrow_is_seen(arrow, why):
    assert why in wrong_arrows([arrow])[0]


def test_a_circle_is_seen():
    arrows = [("xlsr_ref.a", "xlsr_ref.b"), ("xlsr_ref.b", "xlsr_ref.c"), ("xlsr_ref.c", "xlsr_ref.a")]
    assert circles(arrows) == ["xlsr_ref.a → xlsr_ref.b → xlsr_ref.c → xlsr_ref.a"]


def sources() -> list[Path]:
    """The Python files, and those of the page, that git knows in the package and its workshop; all, without git."""
    listed = subprocess.run(["git", "ls-files", "xlsr_ref", "weights_tools"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.split() if listed.returncode == 0 else [
        str(path.relative_to(ROOT)) for folder in (PACKAGE, ROOT / "weights_tools") for path in folder.rglob("*")
    ]  # fmt: skip
    return [ROOT / name for name in names if name.endswith((".py", ".js", ".css")) and (ROOT / name).exists()]


def test_no_file_is_long():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in sources()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}


def test_no_function_is_long():
    long = {}
    for path in sources():
        if path.suffix == ".py":
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    lines = (node.end_lineno or 0) - node.lineno + 1
                    if lines > LONGEST_FUNCTION:
                        long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert long == {}
