"""What a package index shows, and what pip installs, say the same as the repository."""

import re
import tomllib
from pathlib import Path

import xlsr_ref

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def shown_on_the_index():
    """The README as hatch-fancy-pypi-readme rewrites it: the patterns of pyproject.toml, one after the other."""
    text = (ROOT / "README.md").read_text("utf-8")
    for each in PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)
    return text


def test_the_index_shows_no_link_that_leads_nowhere():
    text = shown_on_the_index()
    assert [link for link in re.findall(r"\]\(([^)]*)\)", text) if not link.startswith("https://")] == []
    assert "[`" not in text
    assert "its model card says how many" in re.sub(r"\s+", " ", text).lower()
    assert "<!-- command one -->" in text


def test_every_address_is_whole():
    assert PROJECT["project"]["urls"]
    assert all(url.startswith("https://") for url in PROJECT["project"]["urls"].values())


def test_one_version_everywhere():
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert PROJECT["project"]["version"] == xlsr_ref.__version__
    assert f"\nversion: {xlsr_ref.__version__}\n" in citation


def test_what_the_package_reads_lies_in_the_package():
    """The package goes into the wheel whole, and nothing else does: it needs neither its tests nor its workshop."""
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["xlsr_ref"]
    ignored = (ROOT / ".gitignore").read_text("utf-8").split()
    for path in (ROOT / "xlsr_ref" / "data").rglob("*"):
        assert not any(part + "/" in ignored for part in path.relative_to(ROOT).parts)
