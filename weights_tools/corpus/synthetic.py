"""Sentences of train lists in synthetic voices: of Kokoro-82M (Apache-2.0), and of Debian's flite and festival.

Kokoro: the folder ENGINE holds kokoro-int8.onnx (or kokoro.onnx), vocab.json (the numbers of the phonemes) and
voices/*.bin (a style of 256 numbers for each length of a sentence). recipes/README.md says where they come from; the
phonemes are espeak-ng's. Six in ten clips have a native voice of the language, the others any voice: an accent. There
is no native Russian voice, so no Russian clip.
Debian: flite's four English voices, and festival's Russian one (package festvox-ru), all free to use and to change.
The seed decides texts, voices and speeds.
"""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

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
FLITE = ("awb", "kal16", "rms", "slt")
FESTIVAL = {"ru": "msu_ru_nsh_clunits"}

Speak = Callable[[str, str, str, float], np.ndarray]  # text, language, voice, speed → sound at 16 kHz


class Engine(NamedTuple):
    """Voices, and the function that speaks with them."""

    native: Mapping[str, Sequence[str]]  # the voices of each language that it speaks
    others: Sequence[str]  # these speak every one of those languages, with an accent; may be empty
    speak: Speak


class Choice(NamedTuple):
    """What is to be spoken."""

    lang: str
    voice: str
    text: str
    speed: float


def texts_of(lists: Sequence[Path], languages: Collection[str]) -> dict[str, list[str]]:
    """The sentences of the train splits that are neither short nor long, by language."""
    found: dict[str, set[str]] = {lang: set() for lang in sorted(languages)}
    for path in lists:
        if not path.is_file():
            raise ValueError(f"{path} is not there: build that list first, or name another with --texts")
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                long_enough = LEAST_WORDS <= len(row["text"].split()) <= MOST_WORDS
                if row["split"] == "train" and row["lang"] in found and long_enough:
                    found[row["lang"]].add(row["text"])
    return {lang: sorted(texts) for lang, texts in found.items() if texts}


def choices(texts: Mapping[str, Sequence[str]], engine: Engine, seed: int) -> Iterator[Choice]:
    """Endlessly: the languages in turn, a text, a voice and a speed. Raises ValueError where there is no text."""
    if not texts:
        raise ValueError("the lists have no train sentence of 3 to 19 words in a language of these voices")
    rng = random.Random(seed)
    while True:
        for lang in texts:
            native = engine.native[lang]
            accented = engine.others and not (native and rng.random() < NATIVE_SHARE)
            voice = rng.choice(engine.others if accented else native)
            yield Choice(lang, voice, rng.choice(texts[lang]), rng.uniform(SLOWEST, FASTEST))


def synthetic(
    texts: Mapping[str, Sequence[str]], engine: Engine, name: str, minutes: float, seed: int, jobs: int = 1
) -> Iterator[Row]:
    """So many minutes of clips for training, in the folder ``name``; ``jobs`` are spoken side by side."""
    seconds = 0.0
    todo = choices(texts, engine, seed)
    for number, (one, spoken) in enumerate(_in_order(engine.speak, todo, jobs), start=1):
        if seconds >= 60 * minutes:
            return
        sound = trimmed(spoken, threshold=0.01)
        if len(sound):
            seconds += len(sound) / RATE
            path = f"{name}/{one.lang}-{one.voice}-{seed}-{number:05}.ogg"
            yield Row(path, one.lang, f"{name}-{one.voice}", "train", one.text, sound)


def _in_order(speak: Speak, todo: Iterator[Choice], jobs: int) -> Iterator[tuple[Choice, np.ndarray]]:
    """Each choice and its sound, in the order of the choices, however many jobs there are."""
    with ThreadPoolExecutor(jobs) as pool:
        begun: deque[tuple[Choice, Future[np.ndarray]]] = deque()

        def begin(one: Choice) -> None:
            begun.append((one, pool.submit(speak, one.text, one.lang, one.voice, one.speed)))

        for one in islice(todo, 2 * jobs):
            begin(one)
        while begun:
            one, spoken = begun.popleft()
            yield one, spoken.result()
            for following in islice(todo, 1):
                begin(following)


def phonemes(ipa: str, english: bool) -> str:
    """What espeak-ng writes, in Kokoro's alphabet: no marks of ties, joins and languages, and its joined symbols."""
    said = re.sub(r"\([a-z-]+\)", "", " ".join(ipa.split()))
    said = re.sub("[\u200d\u0361_-]", "", said)
    for old, new in (JOINED | (OF_ENGLISH if english else {})).items():
        said = said.replace(old, new)
    return said


def kokoro(engine: Path) -> Engine:
    """What the folder ENGINE can say. Needs onnxruntime and espeak-ng. Raises ValueError."""
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

    native = {lang: [voice for voice in voices if voice[:2] in begins] for lang, begins in NATIVE.items()}
    return Engine(native, voices, speak)


def debian_voices() -> Engine:
    """What flite and festival can say: English and Russian. Raises ValueError where one is not installed."""
    if missing := [program for program in ("flite", "text2wave") if shutil.which(program) is None]:
        raise ValueError(f"{missing[0]} is not installed: apt-get install flite festival festvox-ru")

    def speak(text: str, lang: str, voice: str, speed: float) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            wav = f"{folder}/said.wav"
            if lang == "en":
                pace = f"duration_stretch={1 / speed:.3f}"
                line = ["flite", "-voice", voice.removeprefix("flite-"), "--setf", pace, "-t", text, "-o", wav]
            else:
                line = ["text2wave", "-o", wav, "-eval", f"(voice_{FESTIVAL[lang]})"]
            subprocess.run(line, input=text, text=True, capture_output=True, check=True)
            sound, rate = soundfile.read(wav)
        return at_16_khz(sound, rate).astype(np.float32)

    native = {"en": [f"flite-{voice}" for voice in FLITE]} | {lang: [f"festival-{lang}"] for lang in FESTIVAL}
    return Engine(native, (), speak)
