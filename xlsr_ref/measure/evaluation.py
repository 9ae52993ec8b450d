"""How well a model reads a corpus: error rates by group with their intervals, and every hypothesis beside the truth.

    manifest.py → clips → Model.transcribe → text/metrics.py → counts by clip → by group: sums, then rates

A group is a language or, by other columns of the manifest, a speaker, a speaker of a language, and so on.

Texts are compared as they stand, white space apart: the manifest's must be written as the model writes. Of a model of
phonemes the rate is that of phonemes, and the manifest's texts become phonemes first, or are phonemes already.
An interval of 95 % is a bootstrap over clips: what as many other clips of the same speakers might have given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.audio.manifest import Clip
from xlsr_ref.audio.segment import as_recording
from xlsr_ref.model.model import Model
from xlsr_ref.text.metrics import Errors, added, character_errors, compare_words, confusions, interval, word_errors
from xlsr_ref.text.preparation import Preparation, prepare_text
from xlsr_ref.text.transcript import Transcript

COLUMNS = (
    "path", "lang", "speaker", "seconds", "split", "text", "hypothesis", "score",
    "words", "word_edits", "characters", "character_edits",
)  # fmt: skip


class Judged(NamedTuple):
    """A clip, what was read in it, and the errors."""

    clip: Clip
    said: str  # the clip's text or, of a model of phonemes, its phonemes
    transcript: Transcript
    words: Errors  # of a model of phonemes: phonemes
    characters: Errors


def writes_phonemes(model: Model) -> bool:
    """Does the model write phonemes, with spaces between them?"""
    return model.tokenizer is not None and model.tokenizer.files.phonemes is not None


def judge(model: Model, clip: Clip, phonemes: bool = False, **how: Any) -> Judged:
    """Transcribe a ``clip``, with ``how`` of :meth:`Model.transcribe`, and count the errors as `compare` does.

    Raises what transcribe and compare raise.
    """
    recording = as_recording(clip, model.preprocessor.sampling_rate) if clip.is_part else clip.path
    return compare(model, clip, model.transcribe(recording, **how), phonemes)


def compare(
    model: Model, clip: Clip, transcript: Transcript, phonemes: bool = False, text: Preparation | None = None
) -> Judged:
    """Count the errors of a ``transcript`` of a ``clip``, whose text is compared with what the ``model`` wrote.

    ``phonemes`` says that the clips' texts are phonemes already. With ``text`` the transcript is prepared as the clips'
    texts were. Raises VocabularyError where text must become phonemes and cannot.
    """
    said = clip.text
    if text is not None and text != Preparation():
        read, _ = prepare_text(transcript.text, replace(text, numerals="keep"), clip.lang)
        transcript = replace(transcript, text=read or "")
    if model.tokenizer is not None and (phonemes or writes_phonemes(model)):
        said = " ".join(token for word in model.tokenizer.words_of(clip.text, phonemes) for token in word.tokens)
    words, characters = word_errors(said, transcript.text), character_errors(said, transcript.text)
    return Judged(clip, said, transcript, words, characters)


def table(
    judged: Sequence[Judged],
    rng: np.random.Generator,
    phonemes: bool = False,
    by: Sequence[str] = ("lang",),
    groups: Sequence[Sequence[str]] | None = None,
) -> str:
    """The rates by group, and of all where there are several: what a person reads.

    ``groups`` says what each clip has in the columns ``by``; by default its language. Rates are in percent, with the
    interval of 95 %; then the words that were substituted, deleted and inserted, and at the end what metrics.py calls
    MER, WIL and WIP, of words. ``phonemes`` leaves out the characters, which say nothing.
    """
    named = "PER" if phonemes else "WER"
    rows = [[*by, "clips", "phones" if phonemes else "words", named, "95 %", "sub", "del", "ins"]]
    rows[0] += [] if phonemes else ["CER", "95 %"]
    rows[0] += ["MER", "WIL", "WIP"]
    own_groups = [tuple(each) for each in groups] if groups is not None else [(one.clip.lang,) for one in judged]
    every = ("all", *[""] * (len(by) - 1))
    distinct = sorted(set(own_groups))
    for group in [*distinct, every] if len(distinct) > 1 else distinct:
        own = [one for one, its in zip(judged, own_groups) if its == group or group is every]
        rows.append([*(field or '""' if group is not every else field for field in group), *_row(own, rng, phonemes)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    n = len(by)
    left = ["  ".join(map(str.ljust, row[:n], widths)) for row in rows]
    return "".join("  ".join([begins, *map(str.rjust, row[n:], widths[n:])]) + "\n" for begins, row in zip(left, rows))


def _row(own: Sequence[Judged], rng: np.random.Generator, phonemes: bool) -> list[str]:
    """The numbers of one group."""
    words = [one.words for one in own]
    total = added(words)
    row = [str(len(own)), str(total.length), *_rate(words, rng)]
    row += [str(total.substitutions), str(total.deletions), str(total.insertions)]
    row += [] if phonemes else _rate([one.characters for one in own], rng)
    return [*row, _percent(total.mer), _percent(total.wil), _percent(total.wip)]


def mistakes(judged: Sequence[Judged], most: int) -> str:
    """The ``most`` frequent confusions of words, or of phonemes, a line each: how often, what was said, what was read.

    A "*" stands for nothing: beside it a word was deleted or inserted. "" where there are none.
    """
    counted = confusions(compare_words(one.said, one.transcript.text) for one in judged)
    rows = [(str(times), said or "*", read or "*") for (said, read), times in counted.most_common(most)]
    wide = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return "".join(f"{times:>{wide[0]}}  {said:{wide[1]}}  {read}\n" for times, said, read in rows)


def hypotheses(judged: Sequence[Judged], names: Sequence[str]) -> str:
    """Every hypothesis beside its truth, a line each, with tabs between COLUMNS; ``names`` are the clips' paths."""
    lines = ["\t".join(COLUMNS)]
    for name, (clip, said, transcript, words, characters) in zip(names, judged):
        score = "" if transcript.score is None else f"{transcript.score:.4f}"
        fields = [name, clip.lang, clip.speaker, f"{clip.seconds:g}", clip.split, said, transcript.text, score]
        counts = [words.length, words.edits, characters.length, characters.edits]
        lines.append("\t".join(" ".join(field.split()) for field in [*fields, *map(str, counts)]))
    return "\n".join(lines) + "\n"


def _rate(each: Sequence[Errors], rng: np.random.Generator) -> list[str]:
    low, high = interval(each, rng)
    return [_percent(added(each).rate), f"{_percent(low)}–{_percent(high)}"]


def _percent(rate: float) -> str:
    return "∞" if math.isinf(rate) else f"{100 * rate:.1f}"
