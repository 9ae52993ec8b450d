"""New sentences in a voice that is known: words cut out of its recordings, and joined in another order.

A model soon knows the few sentences of a small corpus by heart, and reads the next word from the one before. In spliced
clips that does not help: only the sound tells what is said (Lam et al. 2021, "On-the-fly aligned data augmentation for
sequence-to-sequence ASR", arXiv 2104.01393). A forced alignment says where each word is, a cut lies halfway between
two words, and a clip is joined from runs of one to four words, with ten milliseconds of cross-fade. A share of the long
words can be made of the first part of one and the last part of another: words that nobody says, so that no word can be
guessed from its beginning. Such a cut lies where the sound is least between two letters. Only train clips are cut,
and no clip says what the dev or the test split of its language says.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from weights_tools.corpus.write import RATE, Row, split_of
from xlsr_ref import audio
from xlsr_ref.audio.manifest import read_manifest
from xlsr_ref.errors import AlignmentError, VocabularyError
from xlsr_ref.model.model import Model
from xlsr_ref.text.transcript import Transcript

MARGIN = 0.08  # seconds that are kept before the first word and after the last
FADE = 0.01  # seconds of cross-fade
MOST_WORDS = 4  # of one run
SHORTEST, LONGEST = 1.5, 8.0  # seconds of a clip
LEAST_LETTERS = 3  # of a part of a word
WINDOW = 80  # samples, of the energy that says where the sound is least


class Word(NamedTuple):
    """A word, and its sound (L,) at 16 kHz with half of the pauses around it."""

    text: str
    sound: np.ndarray
    letters: tuple[int, ...]  # at which sample of the sound the middle of each letter is

    @property
    def is_long(self) -> bool:
        """Can it be cut into two parts?"""
        return len(self.letters) >= 2 * LEAST_LETTERS


class Voice(NamedTuple):
    """What a speaker has said in a language: the words of each clip, and all that are long."""

    clips: list[list[Word]]
    long: list[Word]


def splices(
    model: Model, corpus: Path, source: str, name: str, minutes: float, seed: int, parts: float = 0.0
) -> Iterator[Row]:
    """So many minutes of clips, of each speaker of the list ``source`` equally much, in the folder ``name``.

    ``parts`` is the share of the long words that are made of two. Raises as :func:`voices_of` does.
    """
    voices = voices_of(model, corpus, source)
    rng = random.Random(seed)
    seconds, number = 0.0, 0
    while seconds < 60 * minutes:
        for (lang, speaker), voice in voices.items():
            text, sound = splice(voice, rng, parts)
            if split_of(lang, text) == "train":
                number += 1
                seconds += len(sound) / RATE
                yield Row(f"{name}/{lang}-{seed}-{number:05}.ogg", lang, speaker, "train", text, sound)


def voices_of(model: Model, corpus: Path, source: str) -> dict[tuple[str, str], Voice]:
    """The words of the train clips, by language and speaker. Raises ValueError where there is none, and OSError."""
    voices: dict[tuple[str, str], Voice] = {}
    for clip in read_manifest(corpus / source, split="train"):
        sound = audio.read(clip.path, RATE)
        try:
            words = cut(sound, model.align(sound, clip.text, RATE))
        except (AlignmentError, VocabularyError):
            continue  # the text is too long for the sound, or the model cannot spell it
        voice = voices.setdefault((clip.lang, clip.speaker), Voice([], []))
        voice.clips.append(words)
        voice.long.extend(word for word in words if word.is_long)
    if not voices:
        raise ValueError(f"{corpus / source} has no train clip that the model can align")
    return voices


def cut(sound: np.ndarray, aligned: Transcript) -> list[Word]:
    """``sound`` (L,) in its words: the cuts lie halfway between the end of one and the start of the next."""
    words = aligned.words
    middles = [(one.end + following.start) / 2 for one, following in pairwise(words)]
    edges = [max(0.0, words[0].start - MARGIN), *middles, words[-1].end + MARGIN]
    samples = [round(edge * RATE) for edge in edges]
    spelt = [list(chars) for is_space, chars in groupby(aligned.chars, lambda char: char.text == " ") if not is_space]
    found = []
    for word, chars, (begin, end) in zip(words, spelt, pairwise(samples), strict=True):
        letters = tuple(round((char.start + char.end) / 2 * RATE) - begin for char in chars)
        found.append(Word(word.text, sound[begin:end], letters))
    return found


def splice(voice: Voice, rng: random.Random, parts: float = 0.0) -> tuple[str, np.ndarray]:
    """A text and its sound (L,): runs of words of random clips, until a random length is reached."""
    wanted = rng.uniform(SHORTEST, LONGEST) * RATE
    texts: list[str] = []
    sound = np.zeros(0, np.float32)
    while len(sound) < wanted:
        words = rng.choice(voice.clips)
        many = rng.randint(1, min(MOST_WORDS, len(words)))
        first = rng.randint(0, len(words) - many)
        goes_on = False  # is the last sound the one that this word follows in its own clip?
        for word in words[first : first + many]:
            if word.is_long and rng.random() < parts:
                begins, ends = first_part(word, rng), last_part(rng.choice(voice.long), rng)
                texts.append(begins.text + ends.text)
                sound, goes_on = join(join(sound, begins.sound), ends.sound), False
            else:
                texts.append(word.text)
                sound, goes_on = np.concatenate([sound, word.sound]) if goes_on else join(sound, word.sound), True
    return " ".join(texts), sound


def first_part(word: Word, rng: random.Random) -> Word:
    """The beginning of a long word, of three letters or more; as many are left."""
    letters, at = place_of_cut(word, rng)
    return Word(word.text[:letters], word.sound[:at], word.letters[:letters])


def last_part(word: Word, rng: random.Random) -> Word:
    """The end of a long word, of three letters or more; as many are left."""
    letters, at = place_of_cut(word, rng)
    return Word(word.text[letters:], word.sound[at:], tuple(letter - at for letter in word.letters[letters:]))


def place_of_cut(word: Word, rng: random.Random) -> tuple[int, int]:
    """Where a long word is cut: after how many letters, and at which sample."""
    letters = rng.randint(LEAST_LETTERS, len(word.letters) - LEAST_LETTERS)
    return letters, quietest(word.sound, word.letters[letters - 1], word.letters[letters])


def quietest(sound: np.ndarray, begin: int, end: int) -> int:
    """The middle of the window of least energy between two samples; halfway between them where no window fits."""
    starts = range(begin, end - WINDOW, WINDOW // 2)
    if not starts:
        return (begin + end) // 2
    return min(starts, key=lambda start: float(np.square(sound[start : start + WINDOW]).sum())) + WINDOW // 2


def join(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Both sounds, one after the other, with a linear cross-fade."""
    many = min(round(FADE * RATE), len(one), len(other))
    rising = np.linspace(0, 1, many, dtype=np.float32)
    faded = one[len(one) - many :] * (1 - rising) + other[:many] * rising
    return np.concatenate([one[: len(one) - many], faded, other[many:]])
