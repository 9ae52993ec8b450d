"""CTC prefix beam search: the likeliest text, where greedy.py takes the likeliest path. Many paths spell one text.

    p(text) = Σ over paths that collapse to it.  A prefix is what a path has written so far; two sums are kept for each:
    blank[x]  paths that write x and end in the blank;      label[x]  paths that write x and end in its last label
    next frame:   blank'[x]    = (blank[x] + label[x]) y[−]
                  label'[x]   += label[x] y[last of x]                        a label that lasts writes nothing new
                  label'[x c] += (blank[x] + (label[x] if c ≠ last of x)) y[c]       after a blank, the same label again

Spaces before a word, after the last and after another write nothing either. Of all the sums, two for each prefix, the
`width` best are kept, by ln sum + fusion.py's terms, if near enough to the best one; improbable labels are not tried.
Label times are those of the likeliest single path. Sums are of logarithms, in float64. "Best": the earlier of equals.
Where: Graves 2008 §7.5 (thesis); Hannun et al. 2014. Letters: T frames, V labels, W width, y probabilities.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from xlsr_ref.errors import DecodingError
from xlsr_ref.text.search.beam_loop import (
    MARK,
    advance,
    chain,
    clear_away,
    close_word,
    first_beam,
    first_prefix,
    records,
    scratch_for,
)
from xlsr_ref.text.search.fusion import Fusion, fuse
from xlsr_ref.text.search.labels import Labels
from xlsr_ref.unmasked import refuse_masked

WIDTH, BEAM_PRUNE, TOKEN_MIN = 100, -10.0, -5.0
WIDEST = 100_000  # a few hundred MB
SLACK = 1e-3  # a log-softmax rounded to float32, of thousands of tokens, stays within it
ROOM = 2**15  # prefixes that may be added before those that nobody needs any more are cleared away


class Search(NamedTuple):
    """What to search with; made by :func:`search`."""

    labels: Labels
    fusion: Fusion
    width: int  # sums kept at each frame: of a prefix that ends in the blank, or of one that ends in its last label
    beam_prune: float  # ln: what is this much worse than the best is dropped
    token_min: float  # ln: a label that is less probable is not tried, unless it is the frame's likeliest


class State(NamedTuple):
    """A search under way. Feeding never changes a state: it makes a new one."""

    frames: int  # fed so far
    prefixes: np.recarray  # (N,) beam_loop.PREFIX  those in the beam and the beginnings of those
    beams: np.recarray  # (≤ width,) BEAM
    marks: np.recarray  # (M,) MARK
    outside: tuple  # states of a language model that the loop cannot ask


class Mark(NamedTuple):
    """A label, the frames ``first`` to ``stop`` - 1 on which it is heard, and its mean probability over them."""

    label: int
    first: int
    stop: int
    score: float


class Hypothesis(NamedTuple):
    """A text that the search found. ``score`` is ``acoustic`` + ``language``, all natural logarithms."""

    text: str
    score: float
    acoustic: float  # ln of the probability that the sound spells the text, as far as its paths were kept
    language: float  # what fusion.py adds
    marks: tuple[Mark, ...]  # one for each label written, in order


def search(
    labels: Labels,
    fusion: Fusion | None = None,
    *,
    width: int = WIDTH,
    beam_prune: float = BEAM_PRUNE,
    token_min: float = TOKEN_MIN,
) -> Search:
    """Settings of a search; −inf for the last two switches them off. Raises DecodingError for what cannot be."""
    if not isinstance(width, int | np.integer) or isinstance(width, bool) or not 1 <= width <= WIDEST:
        raise DecodingError(f"the beam is {width!r} wide: give a whole number from 1 to {WIDEST}")
    for name, value in (("beam_prune", beam_prune), ("token_min", token_min)):
        if not isinstance(value, int | float | np.floating) or not value <= 0:
            raise DecodingError(f"{name} is {value!r}: it is a logarithm, and at most 0")
    return Search(labels, fuse(labels) if fusion is None else fusion, int(width), float(beam_prune), float(token_min))


def beam_search(log_probs: np.ndarray, how: Search, n: int = 1) -> list[Hypothesis]:
    """The ``n`` best texts for ``log_probs`` (T, V), best first; fewer if the search kept fewer.

    ``log_probs`` are the logarithms of probabilities, each frame's summing to 1; −inf is a probability of 0.
    Raises DecodingError for anything else, such as logits, NaN, or another number of columns than labels.
    """
    return hypotheses(how, feed(how, start(how), log_probs), n)


# --- in pieces -------------------------------------------------------------------------------------------------------


def start(how: Search) -> State:
    """The state before the first frame: nothing written."""
    terms = how.fusion.terms
    outside = (how.fusion.begin,) if terms.outside else ()
    tree = first_prefix(0 if terms.outside else how.fusion.begin, 0.0 if terms.plain else math.nan)
    return State(0, tree, first_beam(), records(0, MARK), outside)


def feed(how: Search, state: State, log_probs: np.ndarray) -> State:
    """The state after some more frames (T, V), T may be 0. All at once or in pieces: the same bits."""
    log_y = checked(log_probs, len(how.labels.written), state.frames)
    rows = max(16, ROOM // how.width)
    for begin in range(0, len(log_y), rows):
        state = _feed_block(how, state, log_y[begin : begin + rows])
    return state


def _feed_block(how: Search, state: State, log_y: np.ndarray) -> State:
    (T, V), terms = log_y.shape, how.fusion.terms
    tried = V if terms.closed else int((log_y >= how.token_min).sum(axis=1).max()) + 1
    sizes = np.array([len(state.prefixes), len(state.beams), len(state.marks)])
    prefixes = _with_room(state.prefixes, T * how.width)
    beams = _with_room(state.beams, how.width - len(state.beams))
    marks = _with_room(state.marks, T * how.width)
    scratch = scratch_for(how.width, V, tried, len(prefixes))
    limits, outside, done = (how.width, how.beam_prune, how.token_min), list(state.outside), 0
    while done < T:
        done, left = advance(
            log_y, done, state.frames, how.labels.blank, how.labels.space, limits,
            terms, prefixes, beams, marks, sizes, scratch,
        )  # fmt: skip
        if left < 0:
            raise DecodingError(f"no text is possible at frame {state.frames + done}: the closed vocabulary has none")
        _ask(how, prefixes, scratch.waiting[:left].tolist(), outside)
    clear_away(prefixes, beams, marks, sizes)
    prefixes, beams, marks = (_with_room(array[:n], 0) for array, n in zip((prefixes, beams, marks), sizes))
    if outside:
        states = np.concatenate([prefixes.state, prefixes.closing_state])
        used, new = np.unique(states, return_inverse=True)
        prefixes.state[:], prefixes.closing_state[:] = new.reshape(2, -1)
        outside = [outside[i] for i in used.tolist()]
    return State(state.frames + T, prefixes, beams, marks, tuple(outside))


def _with_room(array: Any, more: int) -> np.recarray:
    """A copy with room for ``more`` records; copied as bytes, since NumPy goes through a record field by field."""
    roomy = np.empty(len(array) + more, array.dtype)
    roomy.view(np.uint8)[: array.nbytes] = array.view(np.uint8)
    return roomy.view(np.recarray)


def _ask(how: Search, prefixes: np.recarray, waiting: list[int], outside: list) -> None:
    """What words are worth that end these prefixes, from a language model that only Python can ask."""
    fusion = how.fusion
    for x in waiting:
        word = how_spelled(how.labels, prefixes, x).rpartition(" ")[2]
        gain, after = fusion.word(outside[prefixes.state[x]], word)
        prefixes.closing[x], prefixes.closing_state[x] = gain, len(outside)
        outside.append(after)


def how_spelled(labels: Labels, prefixes: np.recarray, x: int) -> str:
    """The text of a prefix."""
    written = chain(x, prefixes.parent)[1:]  # without prefix 0
    return "".join([labels.written[label] for label in prefixes.label[written].tolist()])


def checked(log_probs: np.ndarray, columns: int, before: int = 0) -> np.ndarray:
    """``log_probs`` (T, V) in float64. Raises DecodingError unless each frame is the log-softmax of something.

    ``before`` is the number of frames that came before these, for the message.
    """
    refuse_masked(log_probs, "log_probs", DecodingError)
    given = np.asarray(log_probs)
    if given.ndim != 2 or given.dtype not in (np.float32, np.float64):
        raise DecodingError(f"log_probs must be (frames, labels) floats, not {given.dtype} of shape {given.shape}")
    if given.shape[1] != columns:
        raise DecodingError(f"log_probs have {given.shape[1]} columns, but there are {columns} labels")
    log_y = np.ascontiguousarray(given, np.float64)
    bad = np.isnan(log_y).any(axis=1) | np.isposinf(log_y).any(axis=1)
    if bad.any():
        raise DecodingError(f"the log-probabilities of frame {before + int(bad.argmax())} are NaN or +infinite")
    with np.errstate(over="ignore"):
        sums = np.exp(log_y).sum(axis=1)
    off = ~(abs(sums - 1) <= SLACK)
    if off.any():
        frame = int(off.argmax())
        raise DecodingError(
            f"the probabilities of frame {before + frame} sum to {sums[frame]:.3g}, not 1: give log-softmax, not logits"
        )
    return log_y


# --- what was found --------------------------------------------------------------------------------------------------


class _Found(NamedTuple):
    """A text: ln of the sum of its paths, and its best prefix in the beam."""

    acoustic: float
    top: float  # the best sum of that prefix with its worth during the search
    slot: int
    prefix: int  # without the space behind it
    least: float  # the worst sum of all its prefixes with its worth
    spaced: bool  # that one ends in a space


def hypotheses(how: Search, state: State, n: int = 1, final: bool = True) -> list[Hypothesis]:
    """The ``n`` best texts of a state, best first. ``final=False``: more frames may follow, the last word may go on.

    Before the first frame the text is "", as greedy decoding has it.
    """
    if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1:
        raise DecodingError(f"the number of texts is {n!r}: give a whole number of at least 1")
    found = _scored(how, state, final)
    if not any(score > -math.inf for score, _ in found):  # a closed vocabulary, and no prefix ends with a word
        found = _scored(how, state, final, drop_last=True)
    return [_hypothesis(how, state, score, one) for score, one in sorted(found, key=lambda pair: -pair[0])[:n]]


def _scored(how: Search, state: State, final: bool, drop_last: bool = False) -> list[tuple[float, _Found]]:
    """Every text in the beam with its score. What spells the same (a space behind it, other labels) is added up."""
    prefixes, outside = state.prefixes, list(state.outside)
    length, parent = prefixes.length.tolist(), prefixes.parent.tolist()
    beams = state.beams
    worth = (prefixes.said + prefixes.guess)[beams.prefix]
    tops = np.maximum(beams.blank, beams.label) + worth
    least = np.where(np.isinf(beams.label), beams.blank, np.minimum(beams.label, beams.blank))
    least = np.where(np.isinf(beams.blank), beams.label, least) + worth
    found: dict[Any, _Found] = {}
    for slot, x in enumerate(beams.prefix.tolist()):
        spaced = length[x] == 0
        while drop_last and length[x] > 0:
            x = parent[x]
        if final and length[x] == 0 and x > 0:
            x = parent[x]
        text = x if how.labels.unambiguous else how_spelled(how.labels, prefixes, x)
        new = _Found(float(beams.total[slot]), float(tops[slot]), slot, x, float(least[slot]), spaced)
        same = found.get(text)
        if same is not None:
            both = float(np.logaddexp(same.acoustic, new.acoustic))
            last = min(same, new, key=lambda one: one.least)
            best = max(same, new, key=lambda one: one.top)
            new = best._replace(acoustic=both, least=last.least, spaced=last.spaced)
        found[text] = new
    return [(one.acoustic + _worth(how, state, one, outside, final), one) for one in found.values()]


def _worth(how: Search, state: State, found: _Found, outside: list, final: bool) -> float:
    """What the fusion says of a text."""
    fusion, terms, prefix = how.fusion, how.fusion.terms, state.prefixes[found.prefix]
    if terms.plain:
        return 0.0
    if not final:
        return float(prefix.said + prefix.guess)
    gain, number = 0.0, int(prefix.state)
    after = outside[number] if terms.outside else number
    if prefix.length > 0 and terms.outside:
        gain, after = fusion.word(after, how_spelled(how.labels, state.prefixes, found.prefix).rpartition(" ")[2])
    elif prefix.length > 0:
        gain, after = close_word(terms, prefix.node, number)
    if fusion.empty_word and found.spaced:
        more, after = fusion.word(after, "")
        gain += more
    return float(prefix.said) + float(gain) + fusion.ending(after)


def _hypothesis(how: Search, state: State, score: float, found: _Found) -> Hypothesis:
    marks, beam, prefix = state.marks, state.beams[found.slot], found.prefix
    labels = state.prefixes.label[chain(prefix, state.prefixes.parent)[1:]].tolist()
    path = chain(beam.mark_blank if beam.best_blank >= beam.best_label else beam.mark_label, marks.before)
    first, stop = marks.first[path], marks.last[path] + 1
    means = marks.total[path] / (stop - first)
    spans = map(Mark, labels, first.tolist(), stop.tolist(), means.tolist())
    text = how_spelled(how.labels, state.prefixes, prefix)
    return Hypothesis(text, score, found.acoustic, score - found.acoustic, tuple(spans))


# --- the specification -----------------------------------------------------------------------------------------------


class _Way(NamedTuple):
    """Paths that write one prefix and end alike: ln of their sum, and the likeliest of them with its label times."""

    log_p: float = -math.inf
    best: float = -math.inf
    marks: tuple[tuple[int, int, float], ...] = ()  # first and last frame, sum of probabilities


def beam_search_python(log_y: np.ndarray, how: Search) -> dict[tuple[int, ...], tuple[_Way, _Way]]:
    """The search without arrays: of each prefix in the last beam the ways that end in the blank, and in its last label.

    This is what the loop of beam_loop.py must equal. ``log_y`` (T, V) as :func:`checked` gives them.
    """
    blank, space, fusion = how.labels.blank, how.labels.space, how.fusion
    worth = cache(fusion.of)
    beams: dict[tuple[int, ...], tuple[_Way, _Way]] = {(): (_Way(0.0, 0.0), _Way())}
    for t, y in enumerate(log_y):
        kept: dict[tuple[int, ...], tuple[_Way, _Way]] = {}
        for lowest in (how.token_min, -math.inf):
            tried = [c for c in range(len(y)) if y[c] >= lowest or c == y.argmax()]
            after = {prefix: (_Way(), _Way()) for prefix in beams}
            for prefix, ways in beams.items():  # stay
                either, (in_blank, in_label) = _either(*ways), ways
                between = not prefix or space[prefix[-1]]
                to_blank, to_label = _Way(), _Way()
                for c in tried:
                    if c == blank:
                        to_blank = _step(either, y[c])
                    elif between and space[c]:
                        lasts = bool(prefix) and c == prefix[-1] and in_label.best > in_blank.best
                        to_label = _either(to_label, _step(either, y[c], t if lasts else None))
                    elif prefix and c == prefix[-1]:
                        to_label = _step(in_label, y[c], t)
                after[prefix] = (to_blank, to_label)
            for prefix, ways in beams.items():  # write another label
                for c in tried:
                    if c == blank or ((not prefix or space[prefix[-1]]) and space[c]):
                        continue
                    source = ways[0] if prefix and c == prefix[-1] else _either(*ways)
                    reached = _Way(source.log_p + y[c], source.best + y[c], (*source.marks, (t, t, math.exp(y[c]))))
                    stayed = after.get((*prefix, c), (_Way(), _Way()))
                    after[*prefix, c] = stayed[0], _either(stayed[1], reached)
            scores = {
                (prefix, end): way.log_p + worth(prefix)
                for prefix, ways in after.items()
                for end, way in enumerate(ways)
                if way.log_p + worth(prefix) > -math.inf
            }
            bar = max(scores.values(), default=0.0) + how.beam_prune
            near = [one for one, score in scores.items() if score >= bar]
            best = set(sorted(near, key=lambda one: -scores[one])[: how.width])
            for prefix, ways in after.items():
                ends = tuple(way if (prefix, end) in best else _Way() for end, way in enumerate(ways))
                if ends != (_Way(), _Way()):
                    kept[prefix] = ends[0], ends[1]
            if kept:
                break
        beams = kept
    return beams


def _either(one: _Way, other: _Way) -> _Way:
    """Both together."""
    best = other if other.best > one.best else one
    return _Way(float(np.logaddexp(one.log_p, other.log_p)), best.best, best.marks)


def _step(way: _Way, log_p: float, lasts_until: int | None = None) -> _Way:
    """The next frame, in which nothing new is written. ``lasts_until``: it is the last label's, too."""
    marks = way.marks
    if lasts_until is not None and marks:
        first, _, total = marks[-1]
        marks = (*marks[:-1], (first, lasts_until, total + math.exp(log_p)))
    return _Way(way.log_p + log_p, way.best + log_p, marks)
