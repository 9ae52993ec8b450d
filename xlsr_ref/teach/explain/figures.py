"""The figures of each stage as HTML: a canvas for the script, and a still picture where there is no script."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape

import numpy as np

from xlsr_ref.teach.explain import stills
from xlsr_ref.teach.explain.compact import Levels
from xlsr_ref.teach.explain.script_data import label, shown_tokens
from xlsr_ref.teach.explain.stages import layer_rows
from xlsr_ref.teach.explain.trace import Trace, repeats


def figures(key: str, seen: Trace, maps: dict[str, Levels]) -> str:
    """The figures of the stage ``key``, as HTML."""
    return _FIGURES[key](seen, maps)


def _lane(seen: Trace, key: str, name: str, alt: str, still: str, caption: str, gutter: str = "") -> str:
    """A picture over time, with the cursor; its still version where there is no script."""
    return (
        f'<figure class="view"><div class="lane js-only"><div class="gutter" aria-hidden="true">{gutter}</div>'
        f'<div class="track" data-lane="{key}" tabindex="0" role="group" '
        f'aria-label="{escape(name)}: the left and right arrow keys go from frame to frame">'
        f'<canvas role="img" aria-label="{escape(alt)}"></canvas>'
        '<span class="field" aria-hidden="true"></span><span class="cursor" aria-hidden="true"></span></div></div>'
        f"<noscript>{still}</noscript>"
        f'<div class="ruler{"" if still else " js-only"}" aria-hidden="true">{ruler(seen)}</div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def ruler(seen: Trace) -> str:
    """Seconds below a lane."""
    seconds = len(seen.waveform) / seen.rate
    step = next((step for step in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10) if seconds / step <= 7), 10)
    marks = [i * step for i in range(int(seconds / step + 1e-9) + 1)]
    return "".join(
        f'<span style="left:{100 * mark / seconds:.3f}%">{mark:g}{" s" if i == 0 else ""}</span>'
        for i, mark in enumerate(marks)
        if mark / seconds < 0.985
    )


def _sound(seen: Trace, maps: dict[str, Levels]) -> str:
    x = seen.waveform
    peak = f", loudest at {np.argmax(np.abs(x)) / seen.rate:.2f} s" if x.any() else ", silent throughout"
    alt = f"The waveform of {len(x) / seen.rate:.2f} seconds of sound{peak}."
    tones = "The spectrogram: time to the right, frequency upwards, brightness for loudness."
    top = f"{seen.rate / 2000:g} kHz"
    eyes = (
        "The model does not get this picture: it is here for our eyes."
        if seen.positions is not None
        else "The model gets a picture much like this one: the features below."
    )
    return _lane(
        seen, "wave", "Waveform", alt, stills.waveform_still(x, alt),
        "Air pressure over time. <span class='js-only'>What the frame at the cursor sees is lit: "
        f"{seen.field} samples, {1000 * seen.field / seen.rate:g} ms.</span>",
    ) + _lane(
        seen, "spectrogram", "Spectrogram", tones, stills.map_still(maps["spectrogram"], tones),
        f"The same sound by frequency. {eyes} "
        f"{stills.scale('−70 dB', '0 dB, the loudest')}",
        f"<span style='top:0'>{top}</span><span style='bottom:0'>0</span>",
    )  # fmt: skip


def _features(seen: Trace, maps: dict[str, Levels]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{row[0]}</th>" + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>"
        for row in layer_rows(seen)
    )
    table = (
        "<details><summary>The convolutions, one by one</summary><table><thead><tr><th scope='col'>layer</th>"
        "<th scope='col'>adds up</th><th scope='col'>steps by</th><th scope='col'>rows out</th>"
        f"<th scope='col'>a row sees</th></tr></thead><tbody>{rows}</tbody></table></details>"
    )
    return _map(seen, maps, "features", "Features", "the features of the sound") + (table if rows else "")


def _map(seen: Trace, maps: dict[str, Levels], key: str, name: str, what: str) -> str:
    levels = maps[key]
    alt = f"{name}: a heat map of {what}, a column for each frame and a row for each channel."
    channels = (seen.features if key == "features" else seen.projected).shape[1]
    blocks = f" ({levels.levels.shape[0]} rows: neighbours are averaged)" if channels > levels.levels.shape[0] else ""
    return _lane(
        seen, key, name, alt, stills.map_still(levels, alt),
        f"A column is a frame, a row one of {channels} channels{blocks}. {_colours(levels)}",
        f"<span style='top:0'>{channels}</span><span style='bottom:0'>1</span>",
    )  # fmt: skip


def _colours(levels: Levels) -> str:
    """What the colours of a map mean, in words and as a bar."""
    says = "Purple is above 0, orange below." if levels.signed else "Bright is high."
    return f"{says} {stills.scale(f'{levels.low:.3g}'.replace('-', '−'), f'{levels.high:.3g}', levels.signed)}"


def _projection(seen: Trace, maps: dict[str, Levels]) -> str:
    return _map(seen, maps, "projection", "Projection", "the frames at their new width")


def _positions(seen: Trace, maps: dict[str, Levels]) -> str:
    return _map(seen, maps, "positions", "Positions", "what is added to the frames")


def _blocks(seen: Trace, maps: dict[str, Levels]) -> str:
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
    states_alt = "Hidden states: a heat map of the frames after the chosen block."
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
        f"more. {stills.scale('0', 'the most in this map')} <span class='js-only'>"
        f"The frame at the cursor has its row lit.</span>{blocks}<br>"
        "<strong class='js-only' id='looks'></strong>"
        "</figcaption></figure>"
        + _lane(
            seen, "attention", "Attention of this frame", row_alt, "",
            "<span class='js-only'>The lit row, laid along the sound: where the frame at the cursor looks. The tallest "
            "bar has the share at the upper left; heights go with the root, so that small ones can be seen.</span>",
            "<span id='tallest' style='top:0'></span><span style='bottom:0'>0</span>",
        )
        + _lane(
            seen, "states", "Hidden states", states_alt,
            stills.map_still(maps["states"], "Hidden states after the last block.", len(seen.states) - 1),
            "<span id='state-name'>After the last block</span>: the frames with what they have taken over, "
            f"<dfn>hidden states</dfn>. {_colours(maps['states'])}",
            f"<span style='top:0'>{seen.states[0].shape[1]}</span><span style='bottom:0'>1</span>",
        )
    )  # fmt: skip


def _scores(seen: Trace, maps: dict[str, Levels]) -> str:
    tokens = shown_tokens(seen)
    names = "".join(f"<span dir='auto'>{escape(label(seen, token))}</span>" for token in tokens)
    more = len(seen.labels) - len(tokens)
    left = f" {more} entries that are never likely are left out." if more else ""
    rows = escape(" ".join(label(seen, token) for token in tokens))
    left += f"<noscript> From top to bottom: <span dir='auto'>{rows}</span></noscript>"
    alt = "Probabilities: a row for each character, the blank on top, and a column for each frame; bright is likely."
    return _lane(
        seen, "scores", "Probabilities", alt, stills.map_still(maps["scores"], alt),
        f"Bright is likely. {stills.scale('0', '1')} The blank (–) fills the gaps between characters; ␣ is the space "
        f"between words.{left}",
        f"<div class='names'>{names}</div>",
    )  # fmt: skip


def _path(seen: Trace, maps: dict[str, Levels]) -> str:
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


def _lattice(seen: Trace, maps: dict[str, Levels]) -> str:
    S = len(seen.runs)
    if not S:
        return "<p class='note'>There is no character, so the only path is the blank in every frame.</p>"
    alt = f"The lattice of {S} characters: the likeliest path goes in steps from the top left to the bottom right."
    near = "The lattice around the cursor: circles for places, larger where the path is likelier to pass."
    drawn = np.zeros((len(seen.best), 2 * S + 1), np.uint8)
    drawn[np.arange(len(drawn)), seen.alignment.places] = 255
    return _lane(
        seen, "lattice", "Lattice", alt, stills.map_still(Levels(drawn.T, 0, 1, False), alt),
        f"The whole recording: {2 * S + 1:,} places from top to bottom. The line is the likeliest path; which letter "
        "it is at, the close-up below says. The shade is "
        "where others pass: of the probability of all paths that spell this text, the likeliest alone has "
        f"{_share(seen)}.",
    ) + (
        "<figure class='view js-only'><canvas id='near' class='near' role='img' "
        f"aria-label='{near}'></canvas><figcaption>The same, close to the cursor. A circle is a place at a frame, "
        "larger where it is more probable to be there (in %). Grey lines are the steps that are allowed, the green one "
        "is the likeliest path.</figcaption></figure>"
    )  # fmt: skip


def _share(seen: Trace) -> str:
    """What part of the probability of all paths the likeliest has, in words."""
    share = math.exp(seen.alignment.log_p - seen.log_p)
    if share >= 0.01:
        return f"{100 * share:.0f} %"
    return f"one part in {float(f'{1 / share:.2g}'):,.0f}" if share > 1e-9 else "less than one part in a billion"


def _words(seen: Trace, maps: dict[str, Levels]) -> str:
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
        f"<div class='ruler' aria-hidden='true'>{ruler(seen)}</div>"
        "<table class='words'><thead><tr><th scope='col'>word</th><th scope='col'>begins</th><th scope='col'>ends</th>"
        f"<th scope='col'>confidence</th></tr></thead><tbody>{rows}</tbody></table>"
    )


_FIGURES: dict[str, Callable[[Trace, dict[str, Levels]], str]] = {
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
