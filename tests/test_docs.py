"""The API pages list every module: a new one must be put where a reader should meet it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_module_has_a_page():
    listed = re.findall(r"automodule:: (\S+)", "".join(page.read_text() for page in ROOT.glob("docs/api/*.rst")))
    files = [
        path for path in (ROOT / "xlsr_ref").rglob("*.py") if path.name != "__main__.py" and "cli" not in path.parts
    ]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files}
    assert sorted(listed) == sorted(names)
