"""Alignments that are checked: boundaries that are known by construction, text that was not said, other sound."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import xlsr_ref
from xlsr_ref import audio
from xlsr_ref.audio.levels import STEP
from xlsr_ref.audio.manifest import read_manifest
from xlsr_ref.errors import AlignmentError
from xlsr_ref.losses.ctc import ctc_loss, posteriors
from xlsr_ref.model import check
from xlsr_ref.ops.softmax import log_softmax
from xlsr_ref.text.check import doubts_of, line_of
from xlsr_ref.text.transcript import Span, WordCheck

DATA = Path(xlsr_ref.__file__).parent / "data"
TEST = [clip for clip in read_manifest(DATA / "clips.tsv") if clip.split == "test" and clip.lang in ("es", "fr")]
RATE = 16000


@pytest.fixture(scope="module")
def model():
    return xlsr_ref.load()


@pytest.fixture(scope="module")
def joined():
    """Four sentences with pauses of a second, their texts, and the seconds at which each begins and ends."""
    parts, times, at = [np.zeros(RATE)], [], 1.0
    for clip in TEST:
        x = audio.read(clip.path, RATE)
        parts += [x, np.zeros(RATE)]
        times.append((at, at + len(x) / RATE))
        at += len(x) / RATE + 1.0
    return np.concatenate(parts).astype("float32"), [clip.text for clip in TEST], times


def test_the_right_text_raises_few_doubts(model, joined):
    x, texts, times = joined
    found = model.align(x, "\n".join(texts), RATE, check=True)
    assert len(found.check.words) == len(found.words) == sum(len(text.split()) for text in texts)
    assert all(one.end - one.start < 1.0 for one in found.check.other)  # words that the small model misheard
    for one, (start, end) in zip(found.utterances, times):
        assert start - STEP / 2 < one.start < one.end < end + STEP / 2  # levels are a STEP long, bounds in their middle
    assert all(a.end <= b.start < b.end for a, b in pairwise(found.words))
    for word, one in zip(found.words, found.check.words):
        assert one.start[0] <= word.start <= one.start[1]
        assert one.end[0] <= word.end <= one.end[1]
    assert np.mean([one.said > 0.5 for one in found.check.words]) > 0.85
    plain = model.align(x, "\n".join(texts), RATE)
    assert plain.check is None
    assert plain.words == found.words


def test_a_sentence_that_was_not_said_and_one_that_is_not_in_the_text(model, joined):
    x, texts, times = joined
    extra = "escriba después números secretos quizás"
    found = model.align(x, "\n".join([texts[0], extra, texts[2], texts[3]]), RATE, check=True)  # texts[1] is missing
    first = len(texts[0].split())
    said = [one.said for one in found.check.words]
    assert np.mean(np.array(said[first : first + 5]) < 0.5) > 0.5
    assert np.mean(np.array(said[:first]) > 0.5) > 0.85
    assert any("was probably not said" in one.text and "secretos" in one.text for one in found.check.doubts)
    start, end = times[1]
    covered = sum(min(one.end, end) - max(one.start, start) for one in found.check.other if one.start < end)
    assert covered > 0.5 * (end - start)
    long = [one for one in found.check.other if one.end - one.start >= 1.0]
    assert all(start - 1.0 < one.start and one.end < end + 1.0 for one in long)  # with the pauses of a second


def test_intervals_are_those_of_the_distribution(rng):
    log_y = log_softmax(rng.standard_normal((30, 5)))
    targets = [2, 3, 1, 4]  # a word of two letters, the delimiter, a word of one
    _, cache = ctc_loss(log_y, targets, 0)
    gamma = posteriors(cache)
    begun = [gamma[t, 2 * 3 + 1 :].sum() for t in range(30)]  # of the second word
    low = next(t for t in range(30) if begun[t] >= 0.05)
    high = next(t for t in range(30) if begun[t] >= 0.95)
    assert check._interval(np.array(begun)) == (low - 1, high + 1)


def test_windows_are_cut_in_pauses(monkeypatch, model, joined):
    x, texts, _ = joined
    whole = model.align(x, " ".join(texts), RATE, check=True).check
    monkeypatch.setattr(check, "WINDOW", 200)
    words = model.align(x, " ".join(texts), RATE).words
    frames = model.config.frames(len(x))
    windows = check._windows(words, frames, 0.02)
    assert len(windows) > 2
    assert windows[0][0].start == windows[0][1].start == 0
    assert (windows[-1][0].stop, windows[-1][1].stop) == (len(words), frames)
    for (own, part), (after, later) in pairwise(windows):
        assert (own.stop, part.stop) == (after.start, later.start)
    cut = model.align(x, " ".join(texts), RATE, check=True).check
    same = [abs(one.said - other.said) < 0.05 for one, other in zip(cut.words, whole.words)]
    assert np.mean(same) > 0.9  # a window's edge takes other sound away from a word beside it


def test_label_priors_make_letters_longer(model, joined):
    x, texts, _ = joined
    plain, less = (model.align(x, " ".join(texts), RATE, label_prior=share) for share in (0.0, 0.8))
    assert sum(c.end - c.start for c in less.chars) > sum(c.end - c.start for c in plain.chars)
    with pytest.raises(AlignmentError, match=r"label_prior is -1: give a share from 0 to 1"):
        model.align(x, "a", RATE, label_prior=-1)


def test_a_wildcard_cannot_be_checked(model, joined):
    with pytest.raises(AlignmentError, match="a text with \\* cannot be checked"):
        model.align(joined[0], f"{joined[1][0]} *", RATE, check=True)


def test_doubts_in_words():
    words = [Span(text, i, i + 0.5, 0.5) for i, text in enumerate(["and", "then", "he", "left"])]
    checks = [WordCheck(said, (0, 0), (0, 0)) for said in (0.1, 0.2, 0.9, 0.3)]
    doubts = doubts_of(words, checks, [Span("uh", 2.6, 2.9, 0.8), Span("lef", 3.1, 3.6, 0.8)])
    assert [line_of(one) for one in doubts] == [
        "0.0–1.5 s: “and then” was probably not said",
        "2.6–2.9 s: speech that the text lacks, heard as “uh”",
        "3.0–3.5 s: “left” was probably not said, heard was “lef”",
    ]
    assert doubts[0].score == pytest.approx(0.85)
