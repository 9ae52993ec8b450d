"""Draw the README's picture: the way of one second of sound through XLSR-53, with the shape of every stage.

    python -m weights_tools.draw_pipeline [--output docs/pipeline.svg]

    frames = each convolution in turn: n -> (n - kernel) // stride + 1
    hop = product of the strides           field = how many samples one frame depends on

Every number in the picture follows from the sizes below. The SVG is plain text: no library draws it, it adapts to
light and dark pages, and its colours (Okabe and Ito's) can be told apart by colour-blind readers.
"""

from __future__ import annotations

import argparse
import math
from html import escape
from pathlib import Path
from typing import NamedTuple

from xlsr_ref.files import write_whole

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "pipeline.svg"


class Sizes(NamedTuple):
    """The fields of XLSR-53's config.json that the picture shows, under their own names, and the input."""

    conv_dim: tuple[int, ...] = (512,) * 7
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    hidden_size: int = 1024
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    intermediate_size: int = 4096
    sampling_rate: int = 16000
    samples: int = 16000

    @property
    def frames(self) -> int:
        length = self.samples
        for kernel, stride in zip(self.conv_kernel, self.conv_stride):
            length = (length - kernel) // stride + 1
        return length

    @property
    def hop(self) -> int:
        return math.prod(self.conv_stride)

    @property
    def field(self) -> int:
        field, step = 1, 1
        for kernel, stride in zip(self.conv_kernel, self.conv_stride):
            field += (kernel - 1) * step
            step *= stride
        return field


class Stage(NamedTuple):
    """One box: what it is, what it does in two short lines, and what leaves it."""

    part: str  # sound, features, context or text: the colour of its edge
    title: str
    lines: tuple[str, str]
    output: str


def stages(sizes: Sizes) -> list[Stage]:
    """The eight boxes, in the order of the signal."""
    T, C = sizes.frames, sizes.hidden_size
    kernel, groups = sizes.num_conv_pos_embeddings, sizes.num_conv_pos_embedding_groups
    return [
        Stage("sound", "waveform", ("mean 0, variance 1", "over the whole file"), f"({sizes.samples},)"),
        Stage(
            "features",
            "feature encoder",
            (f"{len(sizes.conv_dim)} convolutions, each", "with norm and GELU"),
            f"({T}, {sizes.conv_dim[-1]})",
        ),
        Stage("features", "projection", ("layer norm,", "linear"), f"({T}, {C})"),
        Stage("context", "+ positional conv", (f"kernel {kernel} frames,", f"{groups} groups, GELU"), f"({T}, {C})"),
        Stage(
            "context",
            f"{sizes.num_hidden_layers} blocks",
            (f"attention, {sizes.num_attention_heads} heads;", f"feed-forward {sizes.intermediate_size}"),
            f"({T}, {C})",
        ),
        Stage("context", "layer norm", ("mean 0, variance 1,", "then scale and shift"), f"({T}, {C})"),
        Stage("text", "lm_head", ("linear: a score for", "each of V characters"), f"({T}, V)"),
        Stage("text", "greedy decoding", ("best of every frame,", "repeats merged"), "“hello”"),
    ]


# --- the drawing -----------------------------------------------------------------------------------------------------

WIDTH, HEIGHT, MARGIN = 800, 526, 20
BOX_WIDTH, BOX_HEIGHT, GAP = 169, 112, 28
ROWS = (246, 394)  # upper edges of the two rows of boxes
FRAMES_SHOWN = 4

STYLE = """\
text { font-family: system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif; fill: #1f2328; }
.mono { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.page { fill: #ffffff; stroke: #d0d7de; }
.box { fill: #f6f8fa; stroke: #8c959f; }
.soft { fill: #57606a; }
.line { fill: none; stroke: #57606a; stroke-width: 2; }
.tip { fill: #57606a; }
.wave { fill: none; stroke: #1f2328; stroke-width: 1.2; }
.sound { fill: #7f8790; }
.features { fill: #0072b2; }
.context { fill: #d55e00; }
.text { fill: #009e73; }
.window { fill: #0072b2; fill-opacity: 0.16; stroke: #0072b2; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f3f6; }
  .page { fill: #0d1117; stroke: #30363d; }
  .box { fill: #1b222c; stroke: #6e7681; }
  .soft { fill: #b1bac4; }
  .line { stroke: #b1bac4; }
  .tip { fill: #b1bac4; }
  .wave { stroke: #f0f3f6; }
  .sound { fill: #9198a1; }
  .features { fill: #56b4e9; }
  .context { fill: #e69f00; }
  .window { fill: #56b4e9; fill-opacity: 0.25; stroke: #56b4e9; }
}"""


def text(
    x: float, y: float, content: str, size: float, kind: str = "", anchor: str = "middle", bold: bool = False
) -> str:
    """One line of real text, so that it can be selected, searched and read aloud."""
    weight = ' font-weight="600"' if bold else ""
    name = f' class="{kind}"' if kind else ""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}"{weight}{name}>{escape(content)}</text>'
    )


def arrow_head(x: float, y: float, downwards: bool = False) -> str:
    """A triangle whose point is at (x, y)."""
    corners = [(x, y), (x - 5, y - 9), (x + 5, y - 9)] if downwards else [(x, y), (x - 9, y - 5), (x - 9, y + 5)]
    return f'<polygon class="tip" points="{" ".join(f"{a:g},{b:g}" for a, b in corners)}"/>'


def draw_frames(sizes: Sizes) -> list[str]:
    """The beginning of a waveform, and which samples its first frames see."""
    shown = sizes.field + (FRAMES_SHOWN - 1) * sizes.hop
    scale = (WIDTH - 2 * MARGIN) / shown  # pixels per sample
    middle, height = 92, 30
    points = []
    for i in range(0, shown + 1, 4):  # a voiced sound: a low pitch whose overtones fade within each period
        phase = (i % 133) / 133
        loud = 0.35 + 0.65 * math.sin(math.pi * i / shown)
        value = loud * math.exp(-3 * phase) * math.sin(2 * math.pi * 5 * phase)
        points.append(f"{MARGIN + i * scale:.1f},{middle - height * value:.1f}")
    parts = [f'<polyline class="wave" points="{" ".join(points)}"/>']
    for t in range(FRAMES_SHOWN):
        begin = t * sizes.hop
        x, y, width = MARGIN + begin * scale, 130 + 25 * (t % 2), sizes.field * scale
        parts.append(f'<rect class="window" x="{x:.1f}" y="{y}" width="{width:.1f}" height="21" rx="4"/>')
        parts.append(
            text(round(x + width / 2, 1), y + 15, f"frame {t}: samples {begin}–{begin + sizes.field - 1}", 12.5)
        )
    return parts


def draw_box(x: float, y: float, stage: Stage) -> list[str]:
    """A box with its coloured upper edge; the shape stands at its foot."""
    centre = x + BOX_WIDTH / 2
    return [
        f'<rect class="box" x="{x:g}" y="{y:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6"/>',
        f'<rect class="{stage.part}" x="{x:g}" y="{y:g}" width="{BOX_WIDTH}" height="7" rx="3"/>',
        text(centre, y + 29, stage.title, 16, bold=True),
        text(centre, y + 49, stage.lines[0], 13, "soft"),
        text(centre, y + 66, stage.lines[1], 13, "soft"),
        text(centre, y + 97, stage.output, 16, "mono", bold=True),
    ]


def draw(sizes: Sizes = Sizes()) -> str:  # noqa: B008 (a NamedTuple cannot be changed)
    """The whole picture as the text of an SVG file."""
    boxes = stages(sizes)
    field_ms, hop_ms = (1000 * n / sizes.sampling_rate for n in (sizes.field, sizes.hop))
    framing = (
        f"Each encoder frame sees {sizes.field} samples ({field_ms:g} ms); "
        f"a new one begins every {sizes.hop} ({hop_ms:g} ms)."
    )
    letters = f"{sizes.samples} samples make {sizes.frames} frames. Shapes are (frames, channels)."
    described = "; then ".join(f"{b.title}: {' '.join(b.lines)}, giving {b.output}" for b in boxes)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" aria-labelledby="title desc">',
        '<title id="title">One second of speech on its way through XLSR-53</title>',
        f'<desc id="desc">{escape(f"{described}. {framing} {letters}")}</desc>',
        f"<style>\n{STYLE}\n</style>",
        f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="10"/>',
        text(MARGIN, 36, "From sound to text: one second of speech through XLSR-53", 19, anchor="start", bold=True),
        *draw_frames(sizes),
        text(WIDTH / 2, 204, framing, 14, "soft"),
        text(WIDTH / 2, 225, letters, 14, "soft"),
    ]
    per_row = len(boxes) // len(ROWS)
    step = BOX_WIDTH + GAP
    for i, stage in enumerate(boxes):
        x, y = MARGIN + step * (i % per_row), ROWS[i // per_row]
        parts += draw_box(x, y, stage)
        if (i + 1) % per_row:
            middle = y + BOX_HEIGHT / 2
            parts.append(f'<path class="line" d="M {x + BOX_WIDTH} {middle:g} H {x + step - 7}"/>')
            parts.append(arrow_head(x + step - 1, middle))
    # from the end of the first row to the beginning of the second
    first, last = MARGIN + BOX_WIDTH / 2, MARGIN + step * (per_row - 1) + BOX_WIDTH / 2
    bend = (ROWS[0] + BOX_HEIGHT + ROWS[1]) / 2
    parts.append(f'<path class="line" d="M {last:g} {ROWS[0] + BOX_HEIGHT} V {bend:g} H {first:g} V {ROWS[1] - 7}"/>')
    parts.append(arrow_head(first, ROWS[1] - 1, downwards=True))
    return "\n".join([*parts, "</svg>", ""])


def main(arguments: list[str] | None = None) -> None:
    """The command line: write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=PICTURE)
    chosen = parser.parse_args(arguments)
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    write_whole(chosen.output, draw())
    print(f"wrote {chosen.output}")


if __name__ == "__main__":
    main()
