"""A small table, as text for a terminal and as HTML for a notebook, light or dark: only marks have a colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

MARK = "border-left: 3px solid #d55e00"  # vermilion reads on white and on black


@dataclass(frozen=True)
class Table:
    """Cells as they are to be read. ``numbers`` are the columns set to the right, ``marked`` rows stand out."""

    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    numbers: tuple[int, ...] = ()
    marked: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()  # lines below

    def text(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]

        def cells(line: Sequence[str]) -> str:
            padded = (f"{c:>{w}}" if i in self.numbers else f"{c:<{w}}" for i, (c, w) in enumerate(zip(line, widths)))
            return "  ".join(padded).rstrip()

        return "\n".join([*map(cells, lines), *self.notes])

    def html(self) -> str:
        def cells(kind: str, line: Sequence[str], bold: bool = False) -> str:
            sides = ("right" if i in self.numbers else "left" for i in range(len(line)))
            inner = (f"<b>{escape(cell)}</b>" if bold and cell else escape(cell) for cell in line)
            style = "padding: 0 0.5em; text-align"  # with collapsed borders cells would touch
            return "".join(f'<{kind} style="{style}: {s}">{c}</{kind}>' for s, c in zip(sides, inner))

        rows = (
            f'<tr style="{MARK}">{cells("td", row, True)}</tr>' if i in self.marked else f"<tr>{cells('td', row)}</tr>"
            for i, row in enumerate(self.rows)
        )
        start = '<table style="border-collapse: collapse">'  # else a row has no border
        table = f"{start}<thead><tr>{cells('th', self.header)}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        notes = "".join(f"<div>{escape(note)}</div>" for note in self.notes)
        return f'<div style="max-height: 44em; overflow: auto">{table}</div>{notes}'


class Shown:
    """A result that is its table, wherever it is shown."""

    def table(self) -> Table:
        raise NotImplementedError

    def __str__(self) -> str:
        return self.table().text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table().html()
