"""The source of a function, as a notebook shows it: highlighted, below the file that it stands in.

The colours are as far from white as from black, and there is no background: it reads on light and on dark pages.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from html import escape
from typing import Any

from xlsr_ref.teach.show.picture import display, in_notebook

TONES = {  # what Pygments calls a piece of the source → its colour
    "Comment": "italic #767b80",
    "Keyword": "bold #1f78b4",
    "Operator.Word": "bold #1f78b4",
    "Name.Function": "bold",
    "Name.Decorator": "#a0609a",
    "Literal.String": "#00855f",
    "Literal.Number": "#bd5800",
}


class Code:
    """Python source for a notebook."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f'<pre style="font-family: monospace; line-height: 1.4">{highlighted(self.text)}</pre>'


def source(function: Callable[..., Any]) -> None:
    """Show the source of ``function`` below a comment that names its file; outside a notebook, print it.

    A kernel that Numba compiled is shown as it was written. Raises OSError where there is no source to be had.
    """
    if in_notebook():
        display(Code(text_of(function)))
    else:
        print(text_of(function))


def text_of(function: Callable[..., Any]) -> str:
    """The source of ``function``, from the left margin, below "# xlsr_ref/ops/norm.py"."""
    written = inspect.unwrap(function)  # below decorators and compilation
    text = textwrap.dedent(inspect.getsource(written)).rstrip()
    module = getattr(written, "__module__", None) or ""
    if module.partition(".")[0] != "xlsr_ref":
        return text
    changed = ", changed" if inspect.getfile(written).startswith("<") else ""
    return f"# {module.replace('.', '/')}.py{changed}\n{text}"


def highlighted(text: str) -> str:
    """Python source as HTML, with colours where Pygments is installed, as it is wherever a notebook runs."""
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer
        from pygments.style import Style
        from pygments.token import string_to_tokentype
    except ImportError:
        return escape(text)
    look = type("Look", (Style,), {"styles": {string_to_tokentype(kind): tone for kind, tone in TONES.items()}})
    return highlight(text, PythonLexer(), HtmlFormatter(style=look, noclasses=True, nowrap=True)).rstrip()
