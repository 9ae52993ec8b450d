"""The texts are true of the tree: every module has an API page, and every file that a text names exists."""

import ast
import importlib
import io
import json
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))

from api_pages import FOLDERS, LEFT_OUT, write_pages  # noqa: E402

PAGES = [  # CHANGELOG.md also tells of what is gone
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "docs/index.md", "tests/benchmarks/README.md")),
    *sorted((ROOT / "xlsr_ref" / "data").rglob("*.md")),
]
PLACES = ("xlsr_ref", "weights_tools", "tests", "notebooks", "docs")
CODE = sorted(path for place in PLACES for path in (ROOT / place).rglob("*.py") if "api" not in path.parts)
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RECIPES = sorted((ROOT / "xlsr_ref" / "data" / "recipes").glob("*.toml"))

NAMED = re.compile(r"(?<![\w./<{…-])(?:[\w-]+/)*[\w-]+\.(?:py|md|toml|ipynb|css|tsv)\b(?!\()")
DOTTED = re.compile(r"\b(?:xlsr_ref|weights_tools)(?:\.\w+)+")
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
NOT_OURS = {  # files of other projects, and those that a user writes or a command makes
    "fairseq/models/wav2vec/wav2vec2.py", "wav2vec2_asr.py", "fairseq/data/dictionary.py", "flax/serialization.py",
    "torch/_utils.py", "import_fairseq.py", "convert_wav2vec2_original_pytorch_checkpoint_to_pytorch.py",
    "solution.py", "FILE.py", "recipe.toml", "RUN/recipe.toml", "mine.toml", "tiny.toml", "tiny.tsv", "corpus.tsv",
    "train.tsv", "list.tsv", "asterisk.tsv", "fsdd.tsv", "librivox.tsv", "tuxpaint.tsv", "kokoro.tsv",
    "games.tsv", "spliced.tsv", "spliced-more.tsv", "spliced-parts.tsv", "NAME.tsv", "LIST.tsv", "few.tsv",
    "handbook-texts.tsv", "handbook-debian.tsv", "handbook-kokoro.tsv",
    "nbgrader_config.py", "FOLDER/nbgrader_config.py", "FOLDER/anna.py", "FOLDER/ben.ipynb",
    "FOLDER/carla/week3/layer_norm.ipynb", "CORPUS/tuxpaint.tsv", "FOLDER/source/ASSIGNMENT/NAME.ipynb",
}  # fmt: skip


def files() -> set[str]:
    """Every file of the project and every end of its path: of ops/norm.py also norm.py."""
    paths = [path.relative_to(ROOT).parts for place in PLACES for path in (ROOT / place).rglob("*.*")]
    paths += [(path.name,) for path in ROOT.glob("*.*")]
    return {"/".join(parts[i:]) for parts in paths for i in range(len(parts))}


def words_of(code: str) -> Iterator[str]:
    """The docstrings and comments of a Python file."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def words_of_notebook(text: str) -> Iterator[str]:
    """The text and the comments of a notebook."""
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        yield from [source] if cell["cell_type"] == "markdown" else words_of(source)


def words(path: Path) -> str:
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        return "\n".join(words_of(text))
    return "\n".join(words_of_notebook(text)) if path.suffix == ".ipynb" else text


def missing_files(text: str, known: set[str]) -> list[str]:
    """The files that ``text`` names and the project does not have."""
    return sorted({name for name in NAMED.findall(text) if name not in NOT_OURS and name not in known})


def missing_names(text: str) -> list[str]:
    """The dotted names of modules, or of what is in them, that do not exist."""
    return sorted({name for name in DOTTED.findall(text) if not exists(name)})


def exists(name: str) -> bool:
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            here = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError:
            continue
        for part in parts[i:]:
            if not hasattr(here, part):
                return False
            here = getattr(here, part)
        return True
    return False


def dead_links(text: str, folder: Path) -> list[str]:
    """The links that lead nowhere, or to another file than their words say."""
    wrong = []
    for label, target in LINK.findall(text):
        if re.match(r"[a-z]+:|#", target):
            continue
        path = folder / target.partition("#")[0]
        named = re.fullmatch(r"`([\w/]+(?:\.\w+|/))`", label)
        if not path.exists() or (named and not f"{target.rstrip('/')}".endswith(named[1].rstrip("/"))):
            wrong.append(f"[{label}]({target})")
    return wrong


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS, *RECIPES], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(path):
    text = words(path)
    assert missing_files(text.replace("../", ""), files()) == []
    assert missing_names(text) == []


def test_every_file_that_the_code_names_exists():
    known = files()
    missing = {str(path.relative_to(ROOT)): missing_files(words(path), known) for path in CODE}
    assert {path: names for path, names in missing.items() if names} == {}


def test_every_module_that_the_code_names_exists():
    package = [path for path in CODE if path.parts[len(ROOT.parts)] in ("xlsr_ref", "weights_tools", "docs")]
    missing = {str(path.relative_to(ROOT)): missing_names(words(path)) for path in package}
    assert {path: names for path, names in missing.items() if names} == {}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_what_they_name(path):
    assert dead_links(path.read_text("utf-8"), path.parent) == []


def test_what_is_not_there_is_seen():
    known = files()
    assert missing_files("see network/whole.py, ops/norm.py and norm.py", known) == ["network/whole.py"]
    assert missing_files("wav2vec2/norm.py is in another folder", known) == ["wav2vec2/norm.py"]
    assert missing_names("xlsr_ref.network.whole and xlsr_ref.ops.norm.layer_norm") == ["xlsr_ref.network.whole"]
    assert missing_names("xlsr_ref.ops.norm.no_such_norm") == ["xlsr_ref.ops.norm.no_such_norm"]
    assert list(words_of('"""one.py"""\nx = "two.py"  # three.py\n')) == ["one.py", "# three.py"]
    wrong = "[a](none.md) and [`conv.py`](xlsr_ref/ops/norm.py)"
    right = " [`ops/norm.py`](xlsr_ref/ops/norm.py) [`ops/`](xlsr_ref/ops) [b](https://a.b) [c](#d)"
    assert dead_links(wrong + right, ROOT) == ["[a](none.md)", "[`conv.py`](xlsr_ref/ops/norm.py)"]


def test_every_module_has_a_page(tmp_path):
    pages = write_pages(ROOT / "xlsr_ref", tmp_path)
    listed = re.findall(r"automodule:: (\S+)", "".join(path.read_text() for path in tmp_path.glob("*.rst")))
    files = [path.relative_to(ROOT) for path in (ROOT / "xlsr_ref").rglob("*.py") if path.name != "__main__.py"]
    files = [path for path in files if path.parts[1] not in LEFT_OUT]
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in files}
    assert sorted(listed) == sorted(names)
    assert set(re.findall(r"^api/(\w+)$", (ROOT / "docs" / "index.md").read_text(), re.M)) == set(pages)


def test_every_folder_has_a_title():
    folders = {path.parent.name for path in (ROOT / "xlsr_ref").glob("*/*.py")}
    assert folders - set(LEFT_OUT) <= set(FOLDERS)
