"""The docstrings and the notebooks as a web site: ``python -m sphinx -W -c docs . site/html``, from the repository.

Sphinx reads the docstrings with autodoc, and the stored notebooks with MyST-NB, which runs nothing. Two things here are
ours. Docstrings are plain text with equations set in by four blanks: `literal` makes those code blocks, and keeps signs
such as * and | from meaning anything. Pictures in notebooks get the alt text that stands in them: `alt_texts`.
"""

import re
import sys
from html import unescape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from api_pages import write_pages  # noqa: E402
from command_line_page import write_command_line  # noqa: E402

write_pages(ROOT / "xlsr_ref", ROOT / "docs" / "api")
write_command_line(ROOT / "docs" / "command_line.md")

project, author = "xlsr_ref", "the xlsr_ref authors"
extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode", "sphinx.ext.mathjax", "myst_nb"]
root_doc = "docs/index"
include_patterns = [
    "docs/**", "notebooks/*.ipynb", "notebooks/*.md", "notebooks/solutions/*.md", "xlsr_ref/data/*/MODEL_CARD.md",
    "CONTRIBUTING.md",
]  # fmt: skip
html_theme = "furo"
html_title = "xlsr_ref"
html_static_path = ["static"]
html_css_files = ["wide.css"]
html_copy_source = False
nitpicky = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": False, "ignore-module-all": True}
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3  # a link may lead to a heading: solutions/05_attention.md#exercise-1
nb_execution_mode = "off"
nb_mime_priority_overrides = [("html", "image/svg+xml", 1)]
suppress_warnings = ["ref.python"]  # two modules may have a Run each: a type in a signature leads to one of them

ROLE = re.compile(r"(:[a-z]+:`[^`]+`|``.+?``|`[^`]+`)")  # what is marked up on purpose
SIGNS = re.compile(r"([\\*|]|(?<=\w)_(?=\W|$))")


def literal(app, what, name, obj, options, lines):
    """A docstring as reStructuredText: blocks that are set in are code, other lines are plain but for `code`."""
    made, inside, blank = [], False, True
    for line in lines:
        if not line.strip():
            made.append("")
            blank = True
            continue
        if line.startswith("    ") and (inside or blank):
            if not inside:
                made += [".. code-block:: text", ""]
            inside = True
            made.append(line)
        else:
            if inside and not blank:
                made.append("")
            inside = False
            parts = ROLE.split(line.strip() if not line.lstrip().startswith(("* ", "- ")) else line)
            made.append("".join(code(part) if i % 2 else SIGNS.sub(r"\\\1", part) for i, part in enumerate(parts)))
        blank = False
    lines[:] = [*made, ""]


def code(part):
    """`name`, as the docstrings write it, is code as ``name`` is."""
    return f"`{part}`" if part.startswith("`") and not part.startswith("``") else part


def skip(app, what, name, obj, skip, options):
    """The fields of a NamedTuple say nothing by themselves: its signature names them."""
    return True if (getattr(obj, "__doc__", "") or "").startswith("Alias for field number") else None


def alt_texts(app, doctree, docname):
    """Each picture of a notebook gets the title that its SVG carries."""
    from docutils import nodes

    for image in doctree.findall(nodes.image):
        file = Path(app.srcdir, image["uri"])
        if not image.get("alt") and file.suffix == ".svg" and file.exists():
            title = re.search(r"<title>(.*?)</title>", file.read_text(encoding="utf-8"), re.DOTALL)
            if title:
                image["alt"] = unescape(title[1])
        if not image.get("alt"):
            raise ValueError(f"{image['uri']} has no alt text")


def setup(app):
    app.connect("autodoc-process-docstring", literal)
    app.connect("autodoc-skip-member", skip)
    app.connect("doctree-resolved", alt_texts)
