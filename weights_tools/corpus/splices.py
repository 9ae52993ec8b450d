"""New sentences in a voice that is known: words cut out of its recordings, and joined in another order.

A model soon knows the few sentences of a small corpus by heart, and reads the next word from the one before. In spliced
clips that does not help: only the sound tells what is said (Lam et al. 2021, "On-the-fly aligned data augmentation for
sequence-to-sequence ASR", arXiv 2104.01393). A forced alignment says where each word is, a cut lies halfway between
two words, and a clip is joined from runs of one to four words, with ten milliseconds of cross-fade. Only train clips
are cut, and no clip says what the dev or the test split of its language says.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from weights_tools.corpus.write import RATE, Row, split_of
from xlsr_ref import audio
from xlsr_ref.audio.manifest import read_manifest
from xlsr_ref.errors import AlignmentError, VocabularyError
from xlsr_ref.model.model import Model
from xlsr_ref.text.transcript import Span

MARGIN = 0.08  # seconds that are kept before the first word and after the last
FADE = 0.01  # seconds of cross-fade
MOST_WORDS = 4  # of one run
SHORTEST, LONGEST = 1.5, 8.0  # seconds of a clip


class Word(NamedTuple):
    """A word, and its sound (L,) at 16 kHz with half of the pauses around it."""

    text: str
    sound: np.ndarray


Speaker = tuple[str, str]  # language and name


def splices(model: Model, corpus: Path, source: str, name: str, minutes: float, seed: int) -> Iterator[Row]:
    """So many minutes of clips, of each speaker of the list ``source`` equally much, in the folder ``name``."""
    voices = words_of(model, corpus, source)
    rng = random.Random(seed)
    seconds, number = 0.0, 0
    while seconds < 60 * minutes:
        for (lang, speaker), clips in voices.items():
            text, sound = splice(clips, rng)
            if split_of(lang, text) == "train":
                number += 1
                seconds += len(sound) / RATE
                yield Row(f"{name}/{lang}-{seed}-{number:05}.ogg", lang, speaker, "train", text, sound)


def words_of(model: Model, corpus: Path, source: str) -> dict[Speaker, list[list[Word]]]:
    """The words of each train clip, by language and speaker. Raises ValueError where there is none."""
    voices: dict[Speaker, list[list[Word]]] = {}
    for clip in read_manifest(corpus / source, split="train"):
        sound = audio.read(clip.path, RATE)
        try:
            words = model.align(sound, clip.text, RATE).words
        except (AlignmentError, VocabularyError):
            continue  # the text is too long for the sound, or the model cannot spell it
        voices.setdefault((clip.lang, clip.speaker), []).append(cut(sound, words))
    if not voices:
        raise ValueError(f"{corpus / source} has no train clip that the model can align")
    return voices


def cut(sound: np.ndarray, words: Sequence[Span]) -> list[Word]:
    """``sound`` (L,) in its words: the cuts lie halfway between the end of one and the start of the next."""
    starts = [max(0.0, words[0].start - MARGIN)]
    ends = [(one.end + following.start) / 2 for one, following in pairwise(words)]
    edges = [round(at * RATE) for at in [*starts, *ends, words[-1].end + MARGIN]]
    return [Word(word.text, sound[begin:end]) for word, (begin, end) in zip(words, pairwise(edges), strict=True)]


def splice(clips: Sequence[Sequence[Word]], rng: random.Random) -> tuple[str, np.ndarray]:
    """A text and its sound (L,): runs of words of random clips, until a random length is reached."""
    wanted = rng.uniform(SHORTEST, LONGEST) * RATE
    texts: list[str] = []
    sound = np.zeros(0, np.float32)
    while len(sound) < wanted:
        words = rng.choice(clips)
        many = rng.randint(1, min(MOST_WORDS, len(words)))
        first = rng.randint(0, len(words) - many)
        for word in words[first : first + many]:
            texts.append(word.text)
        sound = join(sound, np.concatenate([word.sound for word in words[first : first + many]]))
    return " ".join(texts), sound


def join(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Both sounds, one after the other, with a linear cross-fade."""
    many = min(round(FADE * RATE), len(one), len(other))
    rising = np.linspace(0, 1, many, dtype=np.float32)
    faded = one[len(one) - many :] * (1 - rising) + other[:many] * rising
    return np.concatenate([one[: len(one) - many], faded, other[many:]])
