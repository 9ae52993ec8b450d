"""The page itself: page.html filled with the words, the pictures and the numbers of one utterance.

Text stands in the HTML; numbers that the script draws stand in one JSON block, arrays in base64 (compact.py). Whatever
comes from outside (the file's name, the model's, the text) is escaped.
"""

from __future__ import annotations

import base64
import io
import json
import math
import wave
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from xlsr_ref import __version__
from xlsr_ref.model.model import Model
from xlsr_ref.teach.explain import stills
from xlsr_ref.teach.explain.compact import Levels, described, feature_map, quantise, text
from xlsr_ref.teach.explain.journey import Journey, journey, repeats, surest_frame
from xlsr_ref.teach.explain.stages import Stage, layer_rows, plural, stages_of
from xlsr_ref.teach.show.sound import COLUMNS, decibels

HERE = Path(__file__).parent
FLOOR = 70.0  # dB below the loudest, where the spectrogram ends
BAND = 6  # places on each side of the best path whose posteriors the page carries
TOP = 5  # characters of each frame
ROWS = 26  # characters in the map of the scores


def explain(model: Model, waveform: np.ndarray, sampling_rate: int, name: str, model_name: str = "") -> str:
    """The page of ``waveform`` (L,) at ``sampling_rate`` Hz, called ``name``, as HTML. Raises what journey raises."""
    return page(journey(model, waveform, sampling_rate), name, model_name)


def page(seen: Journey, name: str, model_name: str = "") -> str:
    """``seen`` as one HTML file that needs nothing else."""
    stages, maps = stages_of(seen), _maps(seen)
    seconds = len(seen.waveform) / seen.rate
    heading = f"“{seen.text}”" if seen.text else "(no text)"
    parts = {
        "title": escape(f"{heading} – {name} – how speech recognition works"),
        "heading": _heading(seen),
        "facts": escape(f"{name} · {seconds:.2f} s · {plural(len(seen.best), 'frame')} · {model_name or 'a model'} "
                        f"with {seen.parameters:,} parameters"),
        "intro": _intro(seen),
        "pipeline": "".join(_step(stage, i) for i, stage in enumerate(stages, 1)),
        "stages": "".join(_section(seen, stage, i, maps) for i, stage in enumerate(stages, 1)),
        "wav": base64.b64encode(wav(seen.waveform, seen.rate)).decode(),
        "data": _json(_data(seen, maps)),
        "last_frame": str(len(seen.best) - 1),
        "first_frame": str(surest_frame(seen)),
        "version": escape(__version__),
        "css": (HERE / "page.css").read_text(encoding="utf-8"),
        "js": (HERE / "page.js").read_text(encoding="utf-8"),
    }  # fmt: skip
    return Template((HERE / "page.html").read_text(encoding="utf-8")).substitute(parts)


def wav(x: np.ndarray, rate: int) -> bytes:
    """``x`` (L,) as a WAV file of 16 bits; made quieter as a whole where it goes beyond ±1."""
    loudest = max(1.0, float(np.abs(x).max()))
    samples = np.rint(32767 * (x.astype(np.float64) / loudest)).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


# --- numbers for the script ------------------------------------------------------------------------------------------


def _maps(seen: Journey) -> dict[str, Levels]:
    return {
        "spectrogram": _spectrogram(seen),
        "features": feature_map(seen.features),
        "projection": feature_map(seen.projected),
        "positions": feature_map(seen.positions),
        "states": feature_map(*seen.states, rows=48, columns=400),
        "scores": Levels(quantise(np.exp(seen.log_probs[:, shown_tokens(seen)]).T, 0, 1), 0, 1, False),
    }


def _spectrogram(seen: Journey) -> Levels:
    """From 0 Hz at the bottom; a column every 10 ms, fewer in a long recording."""
    window, hop = _spectrogram_steps(seen)
    level = decibels(seen.waveform, window, hop)
    if not seen.waveform.any():
        level[:] = -FLOOR
    return Levels(quantise(level.T[::-1], -FLOOR, 0), -FLOOR, 0, False)


def _spectrogram_steps(seen: Journey) -> tuple[int, int]:
    L = len(seen.waveform)
    return min(L, round(0.025 * seen.rate)), max(1, round(0.01 * seen.rate), L // COLUMNS)


def shown_tokens(seen: Journey) -> list[int]:
    """The tokens in the map of the scores: the blank, then those of the text and the likeliest others, by their id."""
    highest = np.exp(seen.log_probs.max(axis=0))
    text = {int(token) for token in seen.best}
    order = sorted(range(len(highest)), key=lambda token: (token not in text, -highest[token]))
    kept = [token for token in order if token in text or highest[token] > 0.05]
    chosen = [token for token in kept if token != seen.blank][: ROWS - 1]
    return [seen.blank, *sorted(chosen)]


def _data(seen: Journey, maps: dict[str, Levels]) -> dict[str, Any]:
    """What the script reads. Frame t is the samples from t · hop, ``field`` of them."""
    T = len(seen.best)
    count = min(TOP, seen.log_probs.shape[1])
    top = np.argsort(-seen.log_probs, axis=1, kind="stable")[:, :count]
    probability = np.exp(np.take_along_axis(seen.log_probs, top, axis=1))
    path = seen.alignment.places
    near = path[:, None] + np.arange(-BAND, BAND + 1)  # (T, 2·BAND+1)
    inside = (near >= 0) & (near < seen.posterior.shape[1])
    band = np.where(inside, np.take_along_axis(seen.posterior, np.where(inside, near, 0), axis=1), 0)
    window, step = _spectrogram_steps(seen)
    attention = seen.attention
    targets = [span.target for span in seen.alignment.spans]
    return {
        "L": len(seen.waveform), "T": T, "rate": seen.rate, "hop": seen.hop, "field": seen.field,
        "labels": [label(seen, token) for token in range(len(seen.labels))], "blank": seen.blank,
        "palettes": {name: text(colours) for name, colours in stills.palettes().items()},
        "maps": {name: described(levels) for name, levels in maps.items()},
        "spectrogram": {"left": (window - step) / 2, "width": maps["spectrogram"].levels.shape[1] * step},
        "rows": shown_tokens(seen),
        "top": {"count": count, "tokens": text(top.astype(np.uint16)),
                "probabilities": text(np.rint(65535 * probability).astype(np.uint16))},
        "attention": {
            "layers": len(attention.heads), "heads": attention.heads.shape[1], "n": attention.heads.shape[-1],
            "block": attention.heads_block, "data": text(attention.heads),
            "tops": attention.heads_tops.ravel().tolist(), "mean_tops": attention.means_tops.tolist(),
            "mean_n": attention.means.shape[-1], "mean_block": attention.means_block, "mean": text(attention.means),
        },
        "lattice": {"half": BAND, "path": text(path.astype(np.uint16)), "targets": targets,
                    "band": text(quantise(band, 0, 1))},
        "characters": [{"text": label(seen, span.target), "first": span.first, "stop": span.stop}
                       for span in seen.alignment.spans],
        "words": [{"text": word.text, "first": word.first, "stop": word.stop} for word in seen.words],
    }  # fmt: skip


def label(seen: Journey, token: int) -> str:
    """A token as the page writes it: – for the blank, ␣ for a space."""
    return "–" if token == seen.blank else "␣" if seen.labels[token].isspace() else seen.labels[token]


def _json(data: dict[str, Any]) -> str:
    """JSON that can stand inside ``<script>``."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


# --- the page, part by part ------------------------------------------------------------------------------------------


def _heading(seen: Journey) -> str:
    """The text, its words to be clicked on."""
    if not seen.text:
        return "(no text)"
    if " ".join(word.text for word in seen.words) != seen.text:  # the tokenizer has tidied it up
        return f"“{escape(seen.text)}”"
    words = (f"<span class='said' data-word='{i}'>{escape(word.text)}</span>" for i, word in enumerate(seen.words))
    return f"“{' '.join(words)}”"


def _intro(seen: Journey) -> str:
    hop = f"{1000 * seen.hop / seen.rate:g}"
    empty = ""
    if not seen.text:
        silent = not np.ptp(seen.waveform)
        why = "the recording is silent" if silent else "it heard no character that was likelier than “none”"
        empty = f"<p class='note'>The model wrote nothing: {why}. The steps are the same, and here they are.</p>"
    return (
        f"{empty}<p>A recording goes in, text comes out. Here is every step between, drawn from the real numbers of "
        "this recording.</p><p class='js-only'><strong>Point at any picture, tap it, or press ← and →:</strong> one "
        f"frame, {hop} ms of sound, lights up everywhere.{' A click on a word plays it.' if seen.words else ''}</p>"
    )


def _step(stage: Stage, i: int) -> str:
    return (
        f'<li class="{stage.key}"><a href="#{stage.key}"><span class="number">{i}</span> {escape(stage.name)}'
        f" <code>{escape(stage.shape)}</code></a></li>"
    )


def _section(seen: Journey, stage: Stage, i: int, maps: dict[str, Levels]) -> str:
    names = (f"xlsr_ref.{name}".replace(".", ".<wbr>") for name in stage.functions)
    functions = ", ".join(f"<code>{name}</code>" for name in names)
    return (
        f'<section id="{stage.key}" class="stage {stage.key}" aria-labelledby="h-{stage.key}">'
        f'<h2 id="h-{stage.key}"><span class="number">{i}</span> {escape(stage.name)}'
        f' <code class="shape">{escape(stage.shape)}</code></h2>'
        f'<p class="says">{stage.says}</p>{_PICTURES[stage.key](seen, maps)}'
        f'<p class="function">In the library: {functions}</p></section>\n'
    )


def _lane(seen: Journey, key: str, name: str, alt: str, still: str, caption: str, gutter: str = "") -> str:
    """A picture over time, with the cursor; its still version where there is no script."""
    return (
        f'<figure class="view"><div class="lane js-only"><div class="gutter" aria-hidden="true">{gutter}</div>'
        f'<div class="track" data-lane="{key}" tabindex="0" role="group" '
        f'aria-label="{escape(name)}: the left and right arrow keys go from frame to frame">'
        f'<canvas role="img" aria-label="{escape(alt)}"></canvas>'
        '<span class="field" aria-hidden="true"></span><span class="cursor" aria-hidden="true"></span></div></div>'
        f"<noscript>{still}</noscript>"
        f'<div class="ruler{"" if still else " js-only"}" aria-hidden="true">{_ruler(seen)}</div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _ruler(seen: Journey) -> str:
    """Seconds below a lane."""
    seconds = len(seen.waveform) / seen.rate
    step = next((step for step in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if seconds / step <= 7), 10)
    marks = [i * step for i in range(int(seconds / step + 1e-9) + 1)]
    return "".join(
        f'<span style="left:{100 * mark / seconds:.3f}%">{mark:g}{" s" if i == 0 else ""}</span>'
        for i, mark in enumerate(marks)
        if mark / seconds < 0.985
    )


def _sound(seen: Journey, maps: dict[str, Levels]) -> str:
    x = seen.waveform
    peak = f", loudest at {np.argmax(np.abs(x)) / seen.rate:.2f} s" if x.any() else ", silent throughout"
    alt = f"The waveform of {len(x) / seen.rate:.2f} seconds of sound{peak}."
    tones = "The spectrogram: time to the right, pitch upwards, brightness for loudness."
    top = f"{seen.rate / 2000:g} kHz"
    return _lane(
        seen, "wave", "Waveform", alt, stills.waveform_still(x, alt),
        "Air pressure over time. <span class='js-only'>What the frame at the cursor sees is lit: "
        f"{seen.field} samples, {1000 * seen.field / seen.rate:g} ms.</span>",
    ) + _lane(
        seen, "spectrogram", "Spectrogram", tones, stills.map_still(maps["spectrogram"], tones),
        "The same sound by pitch. The model does not get this picture: it is here for our eyes.",
        f"<span style='top:0'>{top}</span><span style='bottom:0'>0</span>",
    )  # fmt: skip


def _features(seen: Journey, maps: dict[str, Levels]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{row[0]}</th>" + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>"
        for row in layer_rows(seen)
    )
    table = (
        "<details><summary>The convolutions, one by one</summary><table><thead><tr><th scope='col'>layer</th>"
        "<th scope='col'>adds up</th><th scope='col'>steps by</th><th scope='col'>rows out</th>"
        f"<th scope='col'>a row sees</th></tr></thead><tbody>{rows}</tbody></table></details>"
    )
    return _map(seen, maps, "features", "Features", "what the feature encoder found") + table


def _map(seen: Journey, maps: dict[str, Levels], key: str, name: str, what: str) -> str:
    levels = maps[key]
    alt = f"{name}: a heat map of {what}, a column for each frame and a row for each channel."
    channels = {"features": seen.features, "projection": seen.projected, "positions": seen.positions}[key].shape[1]
    blocks = f" ({levels.levels.shape[0]} rows: neighbours are averaged)" if channels > levels.levels.shape[0] else ""
    scale = "Purple is above 0, orange below." if levels.signed else "Bright is high."
    return _lane(
        seen, key, name, alt, stills.map_still(levels, alt),
        f"A column is a frame, a row one of {channels} channels{blocks}. {scale}",
        f"<span style='top:0'>{channels}</span><span style='bottom:0'>1</span>",
    )  # fmt: skip


def _projection(seen: Journey, maps: dict[str, Levels]) -> str:
    return _map(seen, maps, "projection", "Projection", "the frames at their new width")


def _positions(seen: Journey, maps: dict[str, Levels]) -> str:
    return _map(seen, maps, "positions", "Positions", "what is added to the frames")


def _blocks(seen: Journey, maps: dict[str, Levels]) -> str:
    a, N = seen.attention, len(seen.attention.heads)
    H, first = a.heads.shape[1], N // 2
    options = "".join(
        f"<option value='{i}'{' selected' if i == first else ''}>block {i + 1} of {N}</option>" for i in range(N)
    )
    heads = "".join(
        f"<label class='head'><input type='radio' name='head' value='{h}'{' checked' if h < 0 else ''}>"
        f"<canvas aria-hidden='true'></canvas><span>{'all' if h < 0 else f'<span class=hidden>head </span>{h + 1}'}"
        "</span></label>"
        for h in range(-1, H)
    )
    alt = f"Attention of block {first + 1}, the mean of its {H} heads: a row for each frame that looks."
    still = stills.image(stills.png(a.means[first], stills.palettes()["sequential"]), alt)
    row_alt = "The attention of the frame at the cursor: a bar for each frame that it looks at."
    states_alt = "Hidden states: a heat map of the frames behind the chosen block."
    signed = "Purple is above 0, orange below." if maps["states"].signed else "Bright is high."
    coarse = max(a.heads_block, a.means_block)
    blocks = f" To keep the page small, up to {coarse} neighbouring frames share a field." if coarse > 1 else ""
    return (
        "<figure class='view square'><div class='js-only choosers'>"
        f"<label>Block <select id='layer'>{options}</select></label>"
        f"<fieldset class='heads'><legend>Head</legend>{heads}</fieldset></div>"
        "<div class='matrix js-only' data-matrix tabindex='0' role='group' "
        "aria-label='Attention: the left and right arrow keys go from frame to frame'>"
        f"<canvas role='img' aria-label='{escape(alt)}'></canvas><span class='row' aria-hidden='true'></span>"
        f"<span class='column' aria-hidden='true'></span></div><noscript>{still}</noscript><figcaption>"
        "A row is a frame that looks, a column one that is looked at; time runs down and to the right. Brighter is "
        f"more. <span class='js-only'>The frame at the cursor has its row lit.</span>{blocks}<br>"
        "<strong class='js-only' id='looks'></strong>"
        "</figcaption></figure>"
        + _lane(
            seen, "attention", "Attention of this frame", row_alt, "",
            "<span class='js-only'>The lit row, laid along the sound: where the frame at the cursor looks.</span>",
        )
        + _lane(
            seen, "states", "Hidden states", states_alt,
            stills.map_still(maps["states"], "Hidden states behind the last block.", len(seen.states) - 1),
            "<span id='state-name'>Behind the last block</span>: the frames with what they have taken over, "
            f"<dfn>hidden states</dfn>. {signed}",
            f"<span style='top:0'>{seen.states[0].shape[1]}</span><span style='bottom:0'>1</span>",
        )
    )  # fmt: skip


def _scores(seen: Journey, maps: dict[str, Levels]) -> str:
    tokens = shown_tokens(seen)
    names = "".join(f"<span dir='auto'>{escape(label(seen, token))}</span>" for token in tokens)
    more = len(seen.labels) - len(tokens)
    left = f" {more} entries that are never likely are left out." if more else ""
    rows = escape(" ".join(label(seen, token) for token in tokens))
    left += f"<noscript> From top to bottom: <span dir='auto'>{rows}</span></noscript>"
    alt = "Probabilities: a row for each character, the blank on top, and a column for each frame; bright is likely."
    return _lane(
        seen, "scores", "Probabilities", alt, stills.map_still(maps["scores"], alt),
        f"Bright is likely. The blank (–) fills the gaps between characters; ␣ is the space between words.{left}",
        f"<div class='names'>{names}</div>",
    )  # fmt: skip


def _path(seen: Journey, maps: dict[str, Levels]) -> str:
    again = repeats(seen.best)
    chips = []
    for t, token in enumerate(seen.best.tolist()):
        kinds = " ".join(kind for kind, so in (("again", again[t]), ("blank", token == seen.blank)) if so)
        kind = f" class='{kinds}'" if kinds else ""
        chips.append(f"<span data-t='{t}'{kind}>{escape(label(seen, token))}</span>")
    merged = int((~again).sum())
    steps = (
        ("1", "Likeliest of each frame", len(seen.best)),
        ("2", "Repeats merged", merged),
        ("3", "Blanks dropped", len(seen.runs)),
    )
    radios = "".join(
        f"<input type='radio' name='step' id='step{i}'{' checked' if i == '1' else ''}>"
        f"<label for='step{i}'><b>{i}</b> {name} <small>{count:,}</small></label>"
        for i, name, count in steps
    )
    read = f"reads “{escape(seen.text)}”" if seen.text else "is empty"
    return (
        f"<div class='collapse'>{radios}<button type='button' id='next-step' class='js-only'>Next step</button>"
        f"<div class='strip' aria-hidden='true' id='strip'>{''.join(chips)}</div></div>"
        f"<p class='hidden'>{len(seen.best):,} characters, one for each frame; {merged:,} once repeats are merged; "
        f"{len(seen.runs):,} once blanks are dropped. What is left {read}.</p>"
    )


def _lattice(seen: Journey, maps: dict[str, Levels]) -> str:
    S = len(seen.runs)
    if not S:
        return "<p class='note'>There is no character, so the only way is the blank in every frame.</p>"
    alt = f"The lattice of {S} characters: the likeliest way goes in steps from the top left to the bottom right."
    near = "The lattice around the cursor: circles for places, larger where the way is likelier to pass."
    ways = np.zeros((len(seen.best), 2 * S + 1), np.uint8)
    ways[np.arange(len(ways)), seen.alignment.places] = 255
    return _lane(
        seen, "lattice", "Lattice", alt, stills.map_still(Levels(ways.T, 0, 1, False), alt),
        f"The whole recording: {2 * S + 1:,} places from top to bottom. The line is the likeliest way. The shade is "
        "where others pass: of the probability of all ways that spell this text, the likeliest alone has "
        f"{_share(seen)}.",
    ) + (
        "<figure class='view js-only'><canvas id='near' class='near' role='img' "
        f"aria-label='{near}'></canvas><figcaption>The same, close to the cursor. A circle is a place at a frame, "
        "larger where it is more probable to be there (in %). Grey lines are the steps that are allowed, the green one "
        "is the likeliest way.</figcaption></figure>"
    )  # fmt: skip


def _share(seen: Journey) -> str:
    """What part of all ways' probability the likeliest has, in words."""
    share = math.exp(seen.alignment.log_p - seen.log_p)
    if share >= 0.01:
        return f"{100 * share:.0f} %"
    return f"one part in {float(f'{1 / share:.2g}'):,.0f}" if share > 1e-9 else "less than one part in a billion"


def _words(seen: Journey, maps: dict[str, Levels]) -> str:
    if not seen.words:
        return "<p class='note'>There are no words.</p>"
    rows = "".join(
        f"<tr><th scope='row'><button type='button' class='word js-only' data-word='{i}' dir='auto' "
        f"aria-label='Play {escape(word.text)}'><span aria-hidden='true'>▶</span> {escape(word.text)}</button>"
        f"<noscript>{escape(word.text)}</noscript></th>"
        f"<td>{word.first * seen.hop / seen.rate:.2f} s</td><td>{word.stop * seen.hop / seen.rate:.2f} s</td>"
        f"<td><span class='sure'><i style='width:{100 * word.score:.0f}%'></i></span> {100 * word.score:.0f} %</td>"
        "</tr>"
        for i, word in enumerate(seen.words)
    )
    return (
        "<div class='lane js-only'><div class='gutter' aria-hidden='true'></div><div class='track words-lane' "
        "data-lane='words' aria-hidden='true'><canvas></canvas><span class='cursor'></span></div></div>"
        f"<div class='ruler' aria-hidden='true'>{_ruler(seen)}</div>"
        "<table class='words'><thead><tr><th scope='col'>word</th><th scope='col'>begins</th><th scope='col'>ends</th>"
        f"<th scope='col'>confidence</th></tr></thead><tbody>{rows}</tbody></table>"
    )


_PICTURES = {
    "sound": _sound,
    "features": _features,
    "projection": _projection,
    "positions": _positions,
    "blocks": _blocks,
    "scores": _scores,
    "path": _path,
    "lattice": _lattice,
    "words": _words,
}
