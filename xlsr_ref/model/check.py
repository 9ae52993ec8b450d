"""An alignment checked: how sure its boundaries are, which words were not said, and what else was.

    P(word w has begun by frame t) = Σ over s ≥ first place of w of γ[t, s]        γ = α β / p, of losses/ctc.py
    P(word w has ended by frame t) = Σ over s >  last place of w of γ[t, s]

A path never goes back, so these are the distribution functions of the boundary, and their 5 % and 95 % points are the
interval. A network that is trained by CTC is surer of its frames than it is right: for the intervals its probabilities
are tempered, y^(1/TEMPER), and TEMPER is chosen so that nine of ten beginnings of speech whose place is known lie in
theirs. The words that were not said, and other sound, come from text/garbage.py.
A long recording is checked in windows of about WINDOW frames, cut in the pauses that the alignment found.
Letters: T frames, V tokens, W words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from xlsr_ref.errors import AlignmentError
from xlsr_ref.losses.ctc import ctc_loss, posteriors
from xlsr_ref.ops.softmax import log_softmax
from xlsr_ref.text.check import doubts_of
from xlsr_ref.text.garbage import evidence
from xlsr_ref.text.tokenizer import STAR, Tokenizer, Word
from xlsr_ref.text.transcript import Check, Span, Transcript, WordCheck

TEMPER = 4.0
TAIL = 0.05  # of the distribution on each side of an interval
WINDOW = 2000  # frames: 40 s
PAUSE = 0.4  # seconds: stretches of other sound with a shorter pause between them are one
SHORTEST = 0.2  # seconds of other sound, and LETTERS in it, below which nothing is said of it
LETTERS = 2


def check(
    log_probs: np.ndarray, words: Sequence[Word], aligned: Transcript, tokenizer: Tokenizer, seconds_per_frame: float
) -> Check:
    """The check of ``aligned``, the alignment of ``words`` with ``log_probs`` (T, V). Raises AlignmentError for a text
    with wildcards."""
    if any(word.text == STAR for word in words):
        raise AlignmentError(
            f"a text with {STAR} cannot be checked: put words in its place, or align without the check"
        )
    spf, T = seconds_per_frame, len(log_probs)
    ids = [[number for number in map(tokenizer.id_of, word.tokens) if number is not None] for word in words]
    checks: list[WordCheck] = []
    other = np.zeros(T)
    for own, frames in _windows(aligned.words, T, spf):
        found, elsewhere = _window(log_probs[frames].astype(np.float64), ids[own], tokenizer)
        other[frames] = elsewhere
        for said, start, end in found:
            first, second = ((low + frames.start) * spf for low in start), ((low + frames.start) * spf for low in end)
            checks.append(WordCheck(said, tuple(first), tuple(second)))  # type: ignore[arg-type]
    stretches = tuple(_stretches(log_probs, other, tokenizer, spf))
    return Check(tuple(checks), stretches, doubts_of(aligned.words, checks, stretches))


def _windows(words: Sequence[Span], T: int, spf: float) -> list[tuple[slice, slice]]:
    """Words and the frames that they are looked for in: cut in the longest pause of each window's second half."""
    cuts = [(0, 0)]  # (word, frame)
    while T - cuts[-1][1] > WINDOW:
        word, frame = cuts[-1]
        last = (frame + WINDOW) * spf
        gaps = [
            (words[i].start - words[i - 1].end, i)
            for i in range(word + 1, len(words))
            if words[i - 1].end >= (frame + WINDOW / 2) * spf and (words[i - 1].end <= last or i == word + 1)
        ]
        if not gaps:
            later = [i for i in range(word + 1, len(words)) if words[i - 1].end > last]
            gaps = [(0.0, i) for i in later[:1]]
        if not gaps:
            break
        _, i = max(gaps)
        middle = round((words[i - 1].end + words[i].start) / 2 / spf)
        cuts.append((i, min(max(middle, frame + 1), T)))
    ends = [*cuts[1:], (len(words), T)]
    return [(slice(a, b), slice(t, stop)) for (a, t), (b, stop) in zip(cuts, ends)]


Found = tuple[float, tuple[float, float], tuple[float, float]]  # said, and frames of where it begins and ends


def _window(log_y: np.ndarray, words: Sequence[Sequence[int]], tokenizer: Tokenizer) -> tuple[list[Found], np.ndarray]:
    """Of each word of a window whether it was said and its intervals, in frames, and of each frame (T,) other sound."""
    blank, delimiter, T = tokenizer.pad_id, tokenizer.delimiter_id, len(log_y)
    assert blank is not None  # it was aligned
    if delimiter is not None and delimiter >= log_y.shape[1]:
        delimiter = None
    found = evidence(log_y, words, blank, delimiter)
    targets: list[int] = []
    places = []  # of the first and the last token of each word in the lattice
    for i, word in enumerate(words):
        if i and delimiter is not None:
            targets.append(delimiter)
        places.append((2 * len(targets) + 1, 2 * (len(targets) + len(word)) - 1))
        targets += word
    _, cache = ctc_loss(log_softmax(log_y / TEMPER), targets, blank)
    if cache.log_p == -math.inf:  # a window that is too short for its words: it says nothing of their boundaries
        return [(float(said), (0.0, float(T)), (0.0, float(T))) for said in found.said], found.other
    from_here = np.cumsum(posteriors(cache)[:, ::-1], axis=1)[:, ::-1]  # (T, 2S+1): at place s or beyond it
    intervals = [(_interval(from_here[:, first]), _interval(from_here[:, last + 1])) for first, last in places]
    return [(float(said), *both) for said, both in zip(found.said, intervals)], found.other


def _interval(distribution: np.ndarray) -> tuple[float, float]:
    """From where to where a boundary lies, in frames, by its distribution function (T,).

    What happened by frame t at the earliest happened at its beginning; a frame more on each side is the grid's.
    """
    low, high = np.searchsorted(distribution, [TAIL, 1 - TAIL])
    return max(float(low) - 1, 0.0), min(float(high) + 1, float(len(distribution)))


def _stretches(log_probs: np.ndarray, other: np.ndarray, tokenizer: Tokenizer, spf: float) -> list[Span]:
    """Sound that the text lacks: frames that are probably of no word, with short pauses closed."""
    on = np.flatnonzero(other > 0.5)
    if len(on) == 0:
        return []
    breaks = np.flatnonzero(np.diff(on) * spf > PAUSE)
    firsts, lasts = on[np.concatenate([[0], breaks + 1])], on[np.concatenate([breaks, [len(on) - 1]])]
    spans = []
    for first, last in zip(firsts, lasts):
        best = log_probs[first : last + 1].argmax(axis=1)
        kept = best[np.concatenate([[True], best[1:] != best[:-1]])]
        text = " ".join(tokenizer.spelled([tokenizer.token(int(k)) for k in kept if k != tokenizer.pad_id]).split())
        if (last + 1 - first) * spf >= SHORTEST and len(text) >= LETTERS:
            score = float(other[first : last + 1].mean())
            spans.append(Span(text, float(first * spf), float((last + 1) * spf), score))
    return spans


def with_label_prior(log_probs: np.ndarray, share: float) -> np.ndarray:
    """``log_probs`` (T, V) less ``share`` of the logarithm of each token's mean probability, renormalised.

    The blank is by far the most frequent token of a CTC model, and its letters are short peaks. Divided by its prior
    it gives frames back to the letters beside it (Huang et al. 2024, "Less peaky and more accurate CTC forced
    alignment by label priors"; there the priors are used in training as well).
    """
    prior = np.log(np.exp(log_probs.astype(np.float64)).mean(axis=0) + 1e-10)
    return log_softmax(log_probs - share * prior).astype(log_probs.dtype)
