"""CTC prefix beam search: the likeliest text, where greedy.py takes the likeliest path. Many paths spell one text.

    p(text) = Σ over paths that collapse to it.  A prefix is what a path has written so far; two sums are kept for each:
    blank[x]  paths that write x and end in the blank;      label[x]  paths that write x and end in its last label
    next frame:   blank'[x]    = (blank[x] + label[x]) y[−]
                  label'[x]   += label[x] y[last of x]                        a label that repeats writes nothing new
                  label'[x c] += (blank[x] + (label[x] if c ≠ last of x)) y[c]       after a blank, the same label again

Spaces before a word, after the last and after another write nothing either. Of all the sums, two for each prefix, the
`width` best are kept, by ln sum + fusion.py's terms, if near enough to the best one; improbable labels are not tried.
Label times are those of the likeliest single path. Sums are of logarithms, in float64. "Best": the earlier of equals.
beam_python.py is the same in plain Python, the specification; beam_loop.py runs it, and hypotheses.py reads the result.
Where: Graves 2008 §7.5 (thesis); Hannun et al. 2014. Letters: T frames, V labels, W width, y probabilities.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xlsr_ref.errors import DecodingError
from xlsr_ref.text.search.beam_loop import advance, first_beam, scratch_for
from xlsr_ref.text.search.fusion import Fusion, fuse
from xlsr_ref.text.search.hypotheses import Hypothesis, hypotheses
from xlsr_ref.text.search.labels import Labels
from xlsr_ref.text.search.prefix_tree import MARK, first_prefix, records, remove_unneeded
from xlsr_ref.text.search.state import Search, State, text_of
from xlsr_ref.unmasked import refuse_masked

WIDTH, BEAM_PRUNE, TOKEN_MIN = 100, -10.0, -5.0
WIDEST = 100_000  # a few hundred MB
SLACK = 1e-3  # a log-softmax rounded to float32, of thousands of tokens, stays within it
ROOM = 2**15  # prefixes that may be added before those that are not needed any more are removed


def search(
    labels: Labels,
    fusion: Fusion | None = None,
    *,
    width: int = WIDTH,
    beam_prune: float = BEAM_PRUNE,
    token_min: float = TOKEN_MIN,
) -> Search:
    """The settings of a search; state.py says what each means, and −inf switches the last two off.

    Raises DecodingError for a width that is no number from 1 to WIDEST, and for a logarithm above 0.
    """
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
    """The state after some more frames (T, V), T may be 0. All at once or in pieces: the same bits.

    Raises DecodingError as :func:`beam_search` does, and where a closed vocabulary has no text for the frames.
    """
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
    remove_unneeded(prefixes, beams, marks, sizes)
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
    """What the last words of these prefixes add, from a language model that only Python can ask."""
    fusion = how.fusion
    for x in waiting:
        word = text_of(how.labels, prefixes, x).rpartition(" ")[2]
        gain, after = fusion.word(outside[prefixes.state[x]], word)
        prefixes.closing[x], prefixes.closing_state[x] = gain, len(outside)
        outside.append(after)


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
