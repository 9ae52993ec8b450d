"""tuxpaint.tsv: short descriptions of pictures, read by volunteers, from Debian's package tuxpaint-stamps-default.

    …/stamps/animals/cat_desc_fr.ogg      the sound of the French description
    …/stamps/animals/cat.txt              the texts: the English one, then lines such as `fr.utf8=Un chat.`

A text that holds what is not a letter of its language, such as a digit, is left out: nobody knows how it was read.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from weights_tools.corpus.debian import files_of
from weights_tools.corpus.texts import LETTERS, normalised
from weights_tools.corpus.write import RATE, Row, at_16_khz, split_of, trimmed

STAMPS = "usr/share/tuxpaint/stamps/"
SPEAKERS = {"es": "estefania-ortiz", "fr": "paulk+chion", "ru": "edwin-veber"}
LEAST, MOST = 0.2, 15.0  # seconds
FASTEST = 24  # letters a second, and six more: what is faster is not what was said


def stamps(package: Path) -> Iterator[Row]:
    """The clips of the five languages whose text is plain. Raises ValueError for what is no Debian package."""
    texts, sounds = {}, {}
    for path, content in files_of(package):
        name = path.removeprefix(STAMPS)
        if name.endswith(".txt"):
            texts[name.removesuffix(".txt")] = content.decode("utf-8", "replace").splitlines()
        elif match := re.fullmatch(r"(.*)_desc(?:_([a-z]+))?\.ogg", name):
            sounds[match[1], match[2] or "en"] = content
    for (name, lang), content in sorted(sounds.items()):
        text = normalised(described(texts.get(name, []), lang), lang) if lang in LETTERS else None
        if text is None:
            continue
        sound = trimmed(at_16_khz(*soundfile.read(io.BytesIO(content)))).astype(np.float32)
        seconds = len(sound) / RATE
        if LEAST <= seconds <= MOST and len(text) <= FASTEST * seconds + 6:
            path = f"tuxpaint/{lang}/{name.replace('/', '__')}.ogg"
            yield Row(path, lang, f"tuxpaint-{SPEAKERS.get(lang, lang)}", split_of(lang, text), text, sound)


def described(lines: Sequence[str], lang: str) -> str:
    """The description in ``lang``: the first line is the English one; "" where there is none."""
    if lang == "en":
        return lines[0] if lines else ""
    begins = f"{lang}.utf8="
    return next((line.removeprefix(begins) for line in lines[1:] if line.startswith(begins)), "")
