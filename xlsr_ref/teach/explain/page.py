"""The page itself: page.html filled with the words, the figures and the numbers of one utterance.

The numbers that the script draws stand in one JSON block (script_data.py). Whatever comes from outside
(the file's name, the model's, the text) is escaped.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from xlsr_ref.model.model import Model
from xlsr_ref.teach.explain.compact import Levels
from xlsr_ref.teach.explain.figures import figures
from xlsr_ref.teach.explain.header import compared, verdict, weights
from xlsr_ref.teach.explain.script_data import data_of, json_of, maps_of, wav
from xlsr_ref.teach.explain.stages import PageStage, plural, stages_of
from xlsr_ref.teach.explain.trace import Trace, surest_frame, trace_of
from xlsr_ref.version import __version__

FOLDER = Path(__file__).parent
UNIT = re.compile(r"(?<=\d) (?=(?:s|ms|%|kHz|Hz|dB)(?!\w))")
SCRIPT = (
    "data",
    "canvas",
    "recording",
    "attention",
    "frame",
    "cursor",
    "player",
    "start",
)  # run in this order


def explain(
    model: Model, waveform: np.ndarray, sampling_rate: int, name: str, model_name: str = "", said: str | None = None
) -> str:
    """The page of ``waveform`` (L,) at ``sampling_rate`` Hz, called ``name``, as HTML. Raises what trace_of raises.

    With ``said``, the text that was spoken, the page shows which words were read wrong.
    """
    return page(trace_of(model, waveform, sampling_rate), name, model_name, said)


def page(seen: Trace, name: str, model_name: str = "", said: str | None = None) -> str:
    """``seen`` as one HTML file that needs nothing else."""
    stages, maps = stages_of(seen), maps_of(seen)
    seconds = len(seen.waveform) / seen.rate
    heading = f"“{seen.text}”" if seen.text else "(no text)"
    parts = {
        "title": escape(f"{heading} – {name} – how speech recognition works"),
        "heading": _heading(seen),
        "facts": escape(f"{name} · {seconds:.2f} s · {plural(len(seen.best), 'frame')} · {model_name or 'a model'} "
                        f"with {seen.parameters:,} parameters"),
        "verdict": verdict(seen),
        "compared": compared(seen, said) if said is not None else "",
        "weights": weights(seen, model_name),
        "intro": _intro(seen),
        "pipeline": _pipeline(stages),
        "stages": "".join(_section(seen, stage, i, maps) for i, stage in enumerate(stages, 1)),
        "wav": base64.b64encode(wav(seen.waveform, seen.rate)).decode(),
        "data": json_of(data_of(seen, maps)),
        "last_frame": str(len(seen.best) - 1),
        "field_ms": f"{1000 * seen.field / seen.rate:g}",
        "channels": str(seen.features.shape[1]),
        "seconds": f"{seconds:.2f}",
        "first_frame": str(surest_frame(seen)),
        "version": escape(__version__),
        "css": (FOLDER / "page.css").read_text(encoding="utf-8"),
        "js": script(),
    }  # fmt: skip
    parts |= {name: _whole_units(parts[name]) for name in ("facts", "verdict", "compared", "intro", "stages")}
    return Template((FOLDER / "page.html").read_text(encoding="utf-8")).substitute(parts)


def script() -> str:
    """The files of script/ as one program, whose names are its own."""
    files = ((FOLDER / "script" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPT)
    return '"use strict";\n(() => {\n' + "\n".join(files) + "})();\n"


def _heading(seen: Trace) -> str:
    """The text, its words to be clicked on."""
    if not seen.text:
        return "(no text)"
    if " ".join(word.text for word in seen.words) != seen.text:  # the tokenizer has tidied it up
        return f"“{escape(seen.text)}”"
    words = (f"<span class='said' data-word='{i}'>{escape(word.text)}</span>" for i, word in enumerate(seen.words))
    return f"“{' '.join(words)}”"


def _intro(seen: Trace) -> str:
    hop = f"{1000 * seen.hop / seen.rate:g}"
    empty = ""
    if not seen.text:
        silent = not np.ptp(seen.waveform)
        why = "the recording is silent" if silent else "in no frame was a character likelier than the blank"
        empty = f"<p class='note'>The model wrote nothing: {why}. The steps are the same, and here they are.</p>"
    return (
        f"{empty}<p>A recording goes in, text comes out. Here is every step between, drawn from the real numbers of "
        "this recording.</p><p class='js-only'><strong>Point at any picture, tap it, or press ← and →:</strong> one "
        f"frame, {hop} ms of sound, lights up everywhere.{' A click on a word plays it.' if seen.words else ''}</p>"
    )


def _whole_units(html: str) -> str:
    """``html`` with blanks between a number and its unit at which no line is broken; tags stay as they are."""
    return UNIT.sub("\u00a0", html)


def _pipeline(stages: Sequence[PageStage]) -> str:
    """The stages as a list. After the scores there are two ways: to the text, and to the times of its characters."""
    steps = {stage.key: _step(stage, i) for i, stage in enumerate(stages, 1)}
    fork = (
        f'<li class="fork"><span class="ways">two ways from here: to the text, and to the times</span>'
        f"<ul>{steps.pop('path')}{steps.pop('lattice')}</ul></li>"
    )
    last = steps.pop("words")
    return "".join(steps.values()) + fork + last


def _step(stage: PageStage, i: int) -> str:
    return (
        f'<li class="{stage.key}"><a href="#{stage.key}"><span class="number">{i}</span> {escape(stage.name)}'
        f" <code>{escape(stage.shape)}</code></a></li>"
    )


def _section(seen: Trace, stage: PageStage, i: int, maps: dict[str, Levels]) -> str:
    names = (f"xlsr_ref.{name}".replace(".", ".<wbr>") for name in stage.functions)
    functions = ", ".join(f"<code>{name}</code>" for name in names)
    return (
        f'<section id="{stage.key}" class="stage {stage.key}" aria-labelledby="h-{stage.key}">'
        f'<h2 id="h-{stage.key}"><span class="number">{i}</span> {escape(stage.name)}'
        f' <code class="shape">{escape(stage.shape)}</code></h2>'
        f'<p class="says">{stage.says}</p>{figures(stage.key, seen, maps)}'
        f'<p class="function">In the library: {functions}</p></section>\n'
    )
