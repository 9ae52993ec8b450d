"""The ribbon: the whole pipeline from sound to text as a strip of boxes, with the one that is being talked about lit.

    waveform → feature encoder → projection → + positional → blocks × N → norm → head → text

Under each box stands the shape of what it puts out. What only learning needs (quantizer, masking and the two losses)
hangs below the strip, and is drawn only when it is lit. In a post-norm model the norm stands before the blocks.
Where: wav2vec 2.0, figure 1 and §2. Letters: L samples, T frames, V tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from xlsr_ref.teach.show.picture import figure
from xlsr_ref.teach.show.style import COLOURS, INK, PALE, SOFT, legible, pale
from xlsr_ref.wav2vec2.config import Config

STRIP = ("waveform", "feature encoder", "projection", "positional", "blocks", "norm", "head", "text")
PRETRAINING = ("quantizer", "masking", "contrastive")  # drawn together
BRANCHES = (*PRETRAINING, "ctc")

PAINT = {
    "waveform": "sound",
    "feature encoder": "features",
    "projection": "features",
    "positional": "context",
    "blocks": "context",
    "norm": "context",
    "head": "text",
    "text": "text",
    "quantizer": "quantizer",
    "masking": "masked",
    "contrastive": "positive",
    "ctc": "text",
}
# Inches: a box's width and height, the space after it, the strip's lower edge, and how far below it branches hang.
WIDE, HIGH, GAP, BASE = 0.84, 0.46, 0.17, 0.33
DROP = {"masking": 0.86, "quantizer": 1.22, "contrastive": 1.22, "ctc": 0.95}


class Box(NamedTuple):
    name: str
    words: str
    shape: str
    x: float  # its left edge, inches
    y: float  # its lower edge


def ribbon(lit: str | tuple[str, ...], stages: Mapping[str, Any] | None = None, config: Config | None = None) -> None:
    """Display the pipeline with ``lit`` (one name or several) in full colour.

    ``stages``, as ``Model.forward`` returns them, give the shapes; with ``config`` alone they are letters and widths;
    with neither there are only names. Raises ValueError for a name that is no box.
    """
    lit = (lit,) if isinstance(lit, str) else tuple(lit)
    unknown = [name for name in lit if name not in PAINT]
    if unknown or not lit:
        raise ValueError(f"the ribbon has no {', '.join(map(repr, unknown)) or 'lit box'}: light {', '.join(PAINT)}")
    boxes = _boxes(lit, stages, config)
    bottom, top = min(box.y - (0.29 if box.shape else 0.07) for box in boxes), BASE + HIGH + 0.07
    with figure(_alt(boxes, lit), width=8, height=top - bottom, layout=None) as ax:
        ax.set_position((0, 0, 1, 1))
        ax.set_axis_off()
        ax.set_xlim(0, 8)
        ax.set_ylim(bottom, top)
        for box in boxes:
            _draw(ax, box, box.name in lit)
        _arrows(ax, {box.name: box for box in boxes})


def shapes_of(stages: Mapping[str, Any] | None, config: Config | None) -> dict[str, str]:
    """What to write under each box: the shapes of ``stages``, else the letters that ``config`` leaves open."""
    known: dict[str, str] = {}
    if config is not None:
        C, d = config.hidden_size, config.codevector_dim
        wide = dict.fromkeys(("projection", "positional", "blocks", "norm"), f"(T, {C})")
        known = {
            "waveform": "(L,)",
            "feature encoder": f"(T, {config.conv_dim[-1]})",
            **wide,
            "quantizer": f"(T, {d})",
        }
        if config.vocab_size:
            known["head"] = f"(T, {config.vocab_size})"
    if not stages:
        return known
    outputs = {name: stage.output.shape for name, stage in stages.items()}
    ends = {"projection": "feature_projection", "positional": "pos_conv_embed", "head": "lm_head"}
    shapes = {box: _last(outputs, end) for box, end in ends.items()}
    shapes["feature encoder"], shapes["blocks"] = _last(outputs, "conv_layers.*"), _last(outputs, "layers.*")
    shapes["norm"] = outputs.get("layer_norm") or _last(outputs, "encoder.layer_norm")
    for name, stage in stages.items():
        if name.endswith("conv_layers.0") and stage.cache is not None:
            shapes["waveform"] = stage.cache.conv.x.shape[:1]  # (L, 1): one channel
    exact = {box: str(shape) for box, shape in shapes.items() if shape}
    if "feature encoder" in exact and "quantizer" in known:
        known["quantizer"] = known["quantizer"].replace("T", str((shapes["feature encoder"] or "T")[0]))
    return {box: shape for box, shape in known.items() if box == "quantizer"} | exact


def _last(outputs: Mapping[str, tuple[int, ...]], end: str) -> tuple[int, ...] | None:
    """The shape under the last name that is ``end`` or ends in it; a star stands for a number."""
    last = None
    for name, shape in outputs.items():
        parts, wanted = name.split("."), end.split(".")
        tail = parts[-len(wanted) :]
        if len(tail) == len(wanted) and all(w == t or (w == "*" and t.isdigit()) for w, t in zip(wanted, tail)):
            last = shape
    return last


def _boxes(lit: tuple[str, ...], stages: Mapping[str, Any] | None, config: Config | None) -> list[Box]:
    shapes = shapes_of(stages, config)
    names = [name.split(".") for name in stages or ()]
    blocks = len({parts[-1] for parts in names if parts[-2:-1] == ["layers"]})
    blocks = blocks or (config.num_hidden_layers if config else 0)
    words = {"feature encoder": "feature\nencoder", "positional": "+ positional", "ctc": "CTC loss"}
    words |= {"blocks": f"blocks × {blocks or 'N'}", "contrastive": "contrastive\nloss"}
    order = list(STRIP)
    if _post_norm(names, config):
        order[4:6] = ["norm", "blocks"]
    left = (8 - len(order) * WIDE - (len(order) - 1) * GAP) / 2
    boxes = [
        Box(name, words.get(name, name), shapes.get(name, ""), left + i * (WIDE + GAP), BASE)
        for i, name in enumerate(order)
    ]
    place = {box.name: box.x for box in boxes}
    under = {"quantizer": place["feature encoder"], "contrastive": place[order[5]], "ctc": place["head"]}
    under["masking"] = (place["projection"] + place["positional"]) / 2
    for name in BRANCHES:
        if name in lit or (name in PRETRAINING and set(lit) & set(PRETRAINING)):
            boxes.append(Box(name, words.get(name, name), shapes.get(name, ""), under[name], BASE - DROP[name]))
    return boxes


def _post_norm(names: list[list[str]], config: Config | None) -> bool:
    """Whether the norm stands before the blocks: the order of the stages says so, else the config."""
    kinds = [parts[-2] if parts[-2:-1] == ["layers"] else parts[-1] for parts in names]
    if "layers" in kinds and "layer_norm" in kinds:
        return kinds.index("layer_norm") < kinds.index("layers")
    return config is not None and not config.do_stable_layer_norm


def _draw(ax: Axes, box: Box, lit: bool) -> None:
    colour = COLOURS[PAINT[box.name]]
    face, edge, words = (colour, colour, legible(colour)) if lit else (pale(colour, 0.1), PALE, SOFT)
    style = "round,pad=0,rounding_size=0.06"
    ax.add_patch(FancyBboxPatch((box.x, box.y), WIDE, HIGH, boxstyle=style, facecolor=face, edgecolor=edge, lw=0.8))
    middle = box.x + WIDE / 2
    weight = "bold" if lit else "normal"
    ax.text(
        middle, box.y + HIGH / 2, box.words, color=words, size=8.5, weight=weight, ha="center", va="center_baseline",
        linespacing=1.1,
    )  # fmt: skip
    colour = INK if lit else SOFT
    ax.text(middle, box.y - 0.07, box.shape, color=colour, size=8, family="DejaVu Sans Mono", ha="center", va="top")


def _arrows(ax: Axes, boxes: dict[str, Box]) -> None:
    look = {"arrowstyle": "-|>,head_width=0.16,head_length=0.28", "color": "#8c959f", "lw": 0.9}
    look |= {"shrinkA": 0, "shrinkB": 0}

    def arrow(begin: tuple[float, float], end: tuple[float, float]) -> None:
        ax.annotate("", end, begin, arrowprops=look)

    strip = [box for box in boxes.values() if box.name not in BRANCHES]
    for before, after in pairwise(strip):
        arrow((before.x + WIDE + 0.02, before.y + HIGH / 2), (after.x - 0.02, after.y + HIGH / 2))
    below = 0.12 if any(box.shape for box in strip) else BASE - 0.02  # the strip, where arrows to the branches begin
    for name, box in boxes.items():
        middle, edge = box.x + WIDE / 2, box.y + HIGH + 0.02
        if name == "masking":  # what it hides goes back into the strip, before the positions are added
            arrow((middle, edge - 0.02), (middle, BASE + HIGH / 2 - 0.03))
        elif name in BRANCHES:
            arrow((middle, below), (middle, edge))
    if "contrastive" in boxes:
        codes, loss = boxes["quantizer"], boxes["contrastive"]
        arrow((codes.x + WIDE + 0.02, codes.y + HIGH / 2), (loss.x - 0.02, loss.y + HIGH / 2))


def _alt(boxes: list[Box], lit: tuple[str, ...]) -> str:
    def words(box: Box) -> str:
        return " ".join([" ".join(box.words.split()), box.shape]).strip()

    strip = ", ".join(words(box) for box in boxes if box.name not in BRANCHES)
    below = ", ".join(words(box) for box in boxes if box.name in BRANCHES)
    return f"The pipeline: {strip}{f'; below it: {below}' if below else ''}; this step: {', '.join(lit)}"
