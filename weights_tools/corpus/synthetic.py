"""kokoro.tsv: sentences of train lists in synthetic voices, made by Kokoro-82M (Apache-2.0) with phonemes of espeak-ng.

The folder ENGINE holds kokoro-int8.onnx (or kokoro.onnx), vocab.json (the numbers of the phonemes) and voices/*.bin
(a style of 256 numbers for each length of a sentence). recipes/README.md says where they come from. Six in ten clips
have a native voice of the language, the others any voice: an accent. There is no native Russian voice, so no Russian
clip. The seed decides texts, voices and speeds.
"""

from __future__ import annotations

import csv
import json
import random
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from weights_tools.corpus.write import RATE, Row, at_16_khz, trimmed

NATIVE = {"en": ("af", "am", "bf", "bm"), "es": ("ef", "em"), "fr": ("ff",), "it": ("if", "im")}
ESPEAK = {"en": "en-us", "es": "es", "fr": "fr-fr", "it": "it"}
# espeak-ng's phonemes on the left are one symbol each in Kokoro's alphabet.
JOINED = {"tʃ": "ʧ", "dʒ": "ʤ", "ts": "ʦ", "dz": "ʣ"}
OF_ENGLISH = {"aɪ": "I", "aʊ": "W", "eɪ": "A", "oʊ": "O", "əʊ": "Q", "ɔɪ": "Y", "ɚ": "əɹ", "r": "ɹ", "ɐ": "ə", "ʔ": "t",
              "ɾ": "T"}  # fmt: skip
LEAST_WORDS, MOST_WORDS, MOST_PHONEMES = 3, 19, 400
SLOWEST, FASTEST, NATIVE_SHARE = 0.85, 1.2, 0.6
KOKORO_RATE = 24000

Speak = Callable[[str, str, str, float], np.ndarray]  # text, language, voice, speed → sound at 16 kHz


class Choice(NamedTuple):
    """What is to be spoken."""

    lang: str
    voice: str
    text: str
    speed: float


def texts_of(lists: Sequence[Path]) -> dict[str, list[str]]:
    """The sentences of the train splits that are neither short nor long, by language."""
    found: dict[str, set[str]] = {lang: set() for lang in NATIVE}
    for path in lists:
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                long_enough = LEAST_WORDS <= len(row["text"].split()) <= MOST_WORDS
                if row["split"] == "train" and row["lang"] in NATIVE and long_enough:
                    found[row["lang"]].add(row["text"])
    return {lang: sorted(texts) for lang, texts in found.items() if texts}


def choices(texts: Mapping[str, Sequence[str]], voices: Sequence[str], seed: int) -> Iterator[Choice]:
    """Endlessly: the languages in turn, a text, a voice and a speed. Raises ValueError where there is no text."""
    if not texts:
        raise ValueError("the lists have no train sentence of 3 to 19 words: give asterisk.tsv")
    rng = random.Random(seed)
    while True:
        for lang in texts:
            native = [voice for voice in voices if voice[:2] in NATIVE[lang]]
            voice = rng.choice(native if native and rng.random() < NATIVE_SHARE else list(voices))
            yield Choice(lang, voice, rng.choice(texts[lang]), rng.uniform(SLOWEST, FASTEST))


def synthetic(lists: Sequence[Path], voices: Sequence[str], speak: Speak, minutes: float, seed: int) -> Iterator[Row]:
    """So many minutes of clips for training."""
    seconds = 0.0
    for number, one in enumerate(choices(texts_of(lists), voices, seed), start=1):
        if seconds >= 60 * minutes:
            return
        sound = trimmed(speak(one.text, one.lang, one.voice, one.speed), threshold=0.01)
        if len(sound):
            seconds += len(sound) / RATE
            path = f"kokoro/{one.lang}-{one.voice}-{seed}-{number:05}.ogg"
            yield Row(path, one.lang, f"kokoro-{one.voice}", "train", one.text, sound)


def phonemes(ipa: str, english: bool) -> str:
    """What espeak-ng writes, in Kokoro's alphabet: no marks of ties, joins and languages, and its joined symbols."""
    said = re.sub(r"\([a-z-]+\)", "", " ".join(ipa.split()))
    said = re.sub("[\u200d\u0361_-]", "", said)
    for old, new in (JOINED | (OF_ENGLISH if english else {})).items():
        said = said.replace(old, new)
    return said


def kokoro(engine: Path) -> tuple[list[str], Speak]:
    """The voices in ENGINE, and the function that speaks. Needs onnxruntime and espeak-ng. Raises ValueError."""
    import onnxruntime  # of this tool alone

    model = next(iter(sorted(engine.glob("kokoro*.onnx"))), None)
    voices = sorted(path.stem for path in (engine / "voices").glob("*.bin"))
    if model is None or not voices:
        raise ValueError(f"{engine} has no kokoro*.onnx or no voices/*.bin: recipes/README.md says how to get them")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options)
    numbers: dict[str, int] = json.loads((engine / "vocab.json").read_text("utf-8"))["vocab"]

    def speak(text: str, lang: str, voice: str, speed: float) -> np.ndarray:
        accent = "en-gb" if lang == "en" and voice[0] == "b" else ESPEAK[lang]
        line = ["espeak-ng", "-q", "--ipa=3", "-v", accent, text]
        ipa = subprocess.run(line, capture_output=True, text=True, check=True).stdout
        tokens = [numbers[symbol] for symbol in phonemes(ipa, lang == "en") if symbol in numbers]
        if not 5 < len(tokens) < MOST_PHONEMES:
            return np.zeros(0, np.float32)
        styles = np.fromfile(engine / "voices" / f"{voice}.bin", "<f4").reshape(-1, 256)
        feed = {"tokens": np.array([[0, *tokens, 0]], np.int64), "style": styles[[len(tokens)]],
                "speed": np.array([speed], np.float32)}  # fmt: skip
        return at_16_khz(session.run(None, feed)[0].ravel(), KOKORO_RATE).astype(np.float32)

    return voices, speak
