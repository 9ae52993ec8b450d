"""The API pages are made from the tree: every folder and every module of the package has its place."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))

from api_pages import FOLDERS, LEFT_OUT, write_pages  # noqa: E402


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
