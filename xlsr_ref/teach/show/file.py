"""What a file of weights looks like: its regions in a row, its bytes one by one, and the bits of a number.

    regions     [length | header | encoder.… | lm_head.… ]     each with its bytes; small ones are drawn wider
    dump        0010  6c 6d 5f 68 65 61 64 2e   lm_head.       offset, bytes in hex, the same as letters
    bits        0 10000000 10010010000111111011011             sign, exponent, fraction

A region has one colour in all three. What is dark is printed in white, so that every byte can be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from xlsr_ref.teach.show.style import COLOURS, INK, SOFT, legible, pale

LEAST = 0.1  # of the width: what the narrowest region gets, so that its name fits
PARTS = {"sign": "context", "exponent": "quantizer", "fraction": "features"}  # of a floating-point number

Region = tuple[str, int, str]  # its name, how many bytes, and the name of its colour in COLOURS


def regions(ax: Axes, parts: Sequence[Region], to_scale: bool = False, offsets: bool = True) -> None:
    """The regions of a file from its first byte to its last; below each how many bytes it has, and where it begins.

    Widths follow the bytes, but what is below a tenth of the strip is drawn as a tenth; with ``to_scale`` it is drawn
    as it is, without a name. Without ``offsets`` nothing says where a region begins: for parts that are not a whole
    file. Raises ValueError for no bytes.
    """
    sizes = [size for _, size, _ in parts]
    if sum(sizes) <= 0:
        raise ValueError("a file needs a region with at least one byte")
    x, begin = 0.0, 0
    widths = [size / sum(sizes) for size in sizes] if to_scale else _widths(sizes)
    for (name, size, colour), width in zip(parts, widths):
        paint = COLOURS[colour]
        edge = 1.5 if width > LEAST / 10 else 0  # a white edge would hide what is narrower
        ax.add_patch(Rectangle((x, 0), width, 1, facecolor=paint, edgecolor="white", linewidth=edge))
        if width >= LEAST or not to_scale:
            ax.text(x + width / 2, 0.5, name, ha="center", va="center", color=legible(paint), size=8.5)
            ax.text(x + width / 2, -0.12, f"{size:,}\nbytes", ha="center", va="top", color=SOFT, size=8)
            if offsets:
                ax.text(x, 1.08, f"{begin:,}", ha="left", va="bottom", color=SOFT, size=7.5)
        x, begin = x + width, begin + size
    _bare(ax, (0, 1), (-0.85, 1.45))


def _widths(sizes: Sequence[int]) -> list[float]:
    """Of each region, as a part of the strip: its share, or LEAST where that is less; the wide ones give way."""
    least, small = min(LEAST, 1 / len(sizes)), [False] * len(sizes)
    while True:
        wide = sum(size for size, is_small in zip(sizes, small) if not is_small)
        left = 1 - least * sum(small)
        widths = [least if is_small else size / wide * left for size, is_small in zip(sizes, small)]
        if min(widths) >= least * (1 - 1e-9):
            return widths
        small = [width <= least for width in widths]


def dump(
    ax: Axes, data: bytes, parts: Sequence[Region] = (), columns: int = 16, begin: int = 0, rows: int = 12
) -> None:
    """``data`` as rows of ``columns`` bytes: the offset, each byte in hex on its region's colour, and as letters.

    ``parts`` are the regions of ``data`` from its start, ``begin`` is the offset of its first byte in the file. At most
    ``rows`` rows are drawn.
    """
    colours = [colour for _, size, colour in parts for _ in range(size)]
    drawn = data[: rows * columns]
    for at, byte in enumerate(drawn):
        row, column = divmod(at, columns)
        paint = pale(COLOURS[colours[at]], 0.3) if at < len(colours) else "#ffffff"
        ax.add_patch(Rectangle((column, -row - 0.5), 1, 1, facecolor=paint, linewidth=0))
        where: dict[str, Any] = {"ha": "center", "va": "center", "family": "DejaVu Sans Mono", "size": 8}
        ax.text(column + 0.5, -row, f"{byte:02x}", color=INK, **where)
        letter = chr(byte) if 32 <= byte < 127 else "·"
        ax.text(columns + 1 + column * 0.55, -row, letter, color=INK if letter != "·" else SOFT, **where)
        if column == 0:
            ax.text(-0.4, -row, f"{begin + at:,}", ha="right", va="center", color=SOFT, size=8)
    lines = -(-len(drawn) // columns)
    _bare(ax, (-2.2, columns * 1.55 + 1.5), (-lines + 0.4, 0.6))


def bits(ax: Axes, numbers: Mapping[str, tuple[str, Sequence[int]]]) -> None:
    """Floating-point numbers bit by bit, one row for each: label → (bits, how many are sign, exponent and fraction).

    Rows begin at the same place, so that what two formats share stands one below the other. Raises ValueError where the
    parts do not add up to the bits.
    """
    for row, (label, (digits, sizes)) in enumerate(numbers.items()):
        if sum(sizes) != len(digits) or len(sizes) != len(PARTS):
            raise ValueError(f"{label}: {len(digits)} bits cannot be cut into {', '.join(map(str, sizes))}")
        names = [part for part, size in zip(PARTS, sizes) for _ in range(size)]
        for column, (digit, part) in enumerate(zip(digits, names)):
            paint = COLOURS[PARTS[part]]
            paint = paint if digit == "1" else pale(paint, 0.25)
            ax.add_patch(Rectangle((column, -row - 0.4), 0.92, 0.8, facecolor=paint, linewidth=0))
            ax.text(column + 0.46, -row, digit, ha="center", va="center", color=legible(paint), size=8)
        ax.text(-0.5, -row, label, ha="right", va="center", color=INK, size=9)
    first = next(iter(numbers.values()))[1]
    at = 0
    for part, size in zip(PARTS, first):
        ax.text(at, 0.55, part if size > 1 else part[0], ha="left", va="bottom", color=COLOURS[PARTS[part]], size=8.5)
        at += size
    longest = max(len(digits) for digits, _ in numbers.values())
    _bare(ax, (-0.32 * max(map(len, numbers)) - 1, longest + 0.5), (-len(numbers) + 0.5, 1.2))


def _bare(ax: Axes, across: tuple[float, float], up: tuple[float, float]) -> None:
    """No axes, only what is drawn."""
    ax.set_axis_off()
    ax.set(xlim=across, ylim=up)
