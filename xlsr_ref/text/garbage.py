"""Was the text said, and was anything else? The CTC lattice of a text, with states for what it lacks and for its gaps.

    between words   blank, delimiter, and a garbage state that emits the likeliest token of each frame
    ln g[t] = max_k ln y[t, k] − LETTER · [a new letter begins at t]        garbage pays for each letter that it writes
    ln p(path) = Σ_t ln e[t, state of t] + ENTER · (times garbage is entered) + SKIP · (words that are passed over)

    p(word w was said)       = Σ over the paths through w / Σ over all paths      by α and β, as in the CTC loss
    p(frame t is not text)   = Σ_w γ[t, garbage before w]

LETTER is ln V: as if the other text were any letters, each as likely. A junction w lies before word w, and words are
passed over from junction to junction without a frame. A(w) is reached from a word's end, R(w) from the states between
words: where the vocabulary has a delimiter, two words have a frame between them. Where: the idea of garbage and skip
states is that of keyword spotting (Rose and Paul 1990). Letters: T frames, V tokens, W words, N states.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.ops.backend import choose, njit

ENTER = math.log(0.01)  # these two decide how much must speak against the text before it is doubted
SKIP = math.log(0.0001)
MOST = 2**26  # of T · N: half a gigabyte


class Evidence(NamedTuple):
    """What the sound says of a text."""

    said: np.ndarray  # (W,)  how probable it is that each word was said
    other: np.ndarray  # (T,)  how probable it is that each frame is sound that the text lacks


class Graph(NamedTuple):
    """The states, and how a path comes to them: from the states before, then from the junctions R and A."""

    token: np.ndarray  # (N,)  that a state emits; −1: garbage
    before: np.ndarray  # (N, 4)  indices into the N states, then W + 1 times R, then W + 1 times A
    weight: np.ndarray  # (N, 4)  ln of what the way costs; −∞ where there is none
    leads: np.ndarray  # (N,)  the junction, counted as in ``before``, that a state leads to; −1: none
    first: np.ndarray  # (W,)  the first state of each word


def evidence(log_probs: np.ndarray, words: Sequence[Sequence[int]], blank: int, delimiter: int | None) -> Evidence:
    """How probable it is that each of ``words``, ids of tokens, was said in ``log_probs`` (T, V), and each frame not.

    Raises ObjectiveError for more than MOST states and frames together.
    """
    log_y = np.asarray(log_probs, np.float64)
    graph = graph_of(words, blank, delimiter)
    if len(log_y) * len(graph.token) > MOST:
        raise ObjectiveError(f"{len(log_y)} frames and {len(words)} words are too many at once: give parts of them")
    emitted = np.where(graph.token >= 0, log_y[:, graph.token], garbage(log_y, blank)[:, None])  # (T, N)
    said, gamma = _posteriors(emitted, graph, len(words))
    return Evidence(np.minimum(said, 1.0), np.minimum(gamma[:, graph.token < 0].sum(axis=1), 1.0))


def garbage(log_y: np.ndarray, blank: int) -> np.ndarray:
    """ln g (T,): the likeliest token of each frame, less ln V where a new letter begins."""
    best = log_y.argmax(axis=1)
    new = (best != blank) & (best != np.concatenate([[blank], best[:-1]]))
    return log_y.max(axis=1) - math.log(log_y.shape[1]) * new


def graph_of(words: Sequence[Sequence[int]], blank: int, delimiter: int | None) -> Graph:
    """The states of the text, in its order."""
    W = len(words)
    token: list[int] = []
    ways: list[list[tuple[int, float]]] = []  # where from: a state, −1 − w for R(w), or −1 − (W + 1) − w for A(w)
    leads: list[int] = []
    first = []

    def state(emits: int, come: list[tuple[int, float]], junction: int | None = None) -> int:
        token.append(emits)
        ways.append(come)
        leads.append(0 if junction is None else -1 - junction)
        return len(token) - 1

    for w in range(W + 1):
        R, A = -1 - w, -1 - (W + 1) - w
        for emits in (blank,) if delimiter is None else (blank, delimiter):
            state(emits, [(R, 0.0), (A, 0.0)], w)
        state(-1, [(len(token), 0.0), (R, ENTER), (A, ENTER)], w)
        if w == W:
            break
        places = [place for i, one in enumerate(words[w]) for place in ((blank, one) if i else (one,))]
        first.append(len(token))
        for k, place in enumerate(places):
            here = len(token)
            come = [(here, 0.0)]
            if k == 0:
                come += [(R, 0.0)] + ([(A, 0.0)] if delimiter is None else [])
            else:
                come.append((here - 1, 0.0))
            if k >= 2 and place not in (blank, places[k - 2]):
                come.append((here - 2, 0.0))
            state(place, come, W + 1 + w + 1 if k == len(places) - 1 else None)
    N = len(token)
    before, weight = np.zeros((N, 4), np.int64), np.full((N, 4), -np.inf)
    for s, come in enumerate(ways):
        for i, (where, cost) in enumerate(come):
            before[s, i], weight[s, i] = (where if where >= 0 else N - 1 - where), cost
    return Graph(
        np.array(token), before, weight, np.array([N - 1 - j if j else -1 for j in leads]), np.array(first, np.int64)
    )


# --- kernels ----------------------------------------------------------------------------------------------------------


def _posteriors_numpy(emitted: np.ndarray, graph: Graph, W: int) -> tuple[np.ndarray, np.ndarray]:
    """The specification: p(said) (W,), and γ (T, N)."""
    T, N = emitted.shape
    passed = SKIP * np.arange(W + 1)
    leading = graph.leads >= 0

    def junctions(states: np.ndarray) -> np.ndarray:
        """The N states, and what they and skipped words bring to R and A: (N + 2W + 2,)."""
        every = np.concatenate([states, np.full(2 * W + 2, -np.inf)])
        np.logaddexp.at(every, graph.leads[leading], states[leading])
        for j in (slice(N, N + W + 1), slice(N + W + 1, None)):
            every[j] = passed + np.logaddexp.accumulate(every[j] - passed)
        return every

    begin = np.full(N + 2 * W + 2, -np.inf)
    begin[N : N + W + 1] = passed  # R(0), and words that are skipped from there on
    alpha = [begin]
    for t in range(T):
        ways = np.logaddexp.reduce(alpha[-1][graph.before] + graph.weight, axis=1)
        alpha.append(junctions(ways + emitted[t]))
    ends = [N + W, N + 2 * W + 1]  # R(W) and A(W)
    total = np.logaddexp.reduce(alpha[-1][ends])
    said, gamma = np.zeros(W), np.empty((T, N))
    after = np.full(N + 2 * W + 2, -np.inf)  # ln of what may follow a state or a junction
    after[ends] = 0.0
    for t in range(T - 1, -1, -1):
        for j in (slice(N, N + W + 1), slice(N + W + 1, None)):
            after[j] = (np.logaddexp.accumulate((after[j] + passed)[::-1])[::-1]) - passed
        beta = np.logaddexp(after[:N], np.where(leading, after[graph.leads], -np.inf))
        gamma[t] = np.exp(alpha[t + 1][:N] + beta - total)
        step = beta + emitted[t]
        came = graph.before[graph.first] >= N  # into a word from a junction
        into = alpha[t][graph.before[graph.first]] + graph.weight[graph.first] + step[graph.first, None] - total
        said += np.where(came, np.exp(into), 0.0).sum(axis=1)
        after = np.full(N + 2 * W + 2, -np.inf)
        np.logaddexp.at(after, graph.before, graph.weight + step[:, None])
    return said, gamma


@njit()
def _log_add(a, b):
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))


@njit()
def _forward_loop(emitted, before, weight, leads, passed, alpha):
    T, N = emitted.shape
    W = (alpha.shape[1] - N) // 2 - 1
    for t in range(T):
        for s in range(N):
            ways = -math.inf
            for i in range(4):
                if weight[s, i] > -math.inf:
                    ways = _log_add(ways, alpha[t, before[s, i]] + weight[s, i])
            here = ways + emitted[t, s]
            alpha[t + 1, s] = here
            if leads[s] >= 0:
                alpha[t + 1, leads[s]] = _log_add(alpha[t + 1, leads[s]], here)
        for w in range(1, W + 1):
            for j in (N + w, N + W + 1 + w):
                alpha[t + 1, j] = _log_add(alpha[t + 1, j], alpha[t + 1, j - 1] + passed)


@njit()
def _backward_loop(emitted, before, weight, leads, first, passed, alpha, total, said, gamma):
    T, N = emitted.shape
    W = len(first)
    after = np.full(N + 2 * W + 2, -math.inf)
    after[N + W] = 0.0
    after[N + 2 * W + 1] = 0.0
    for t in range(T - 1, -1, -1):
        for w in range(W - 1, -1, -1):
            for j in (N + w, N + W + 1 + w):
                after[j] = _log_add(after[j], after[j + 1] + passed)
        behind = np.full(N + 2 * W + 2, -math.inf)
        for s in range(N):
            beta = after[s]
            if leads[s] >= 0:
                beta = _log_add(beta, after[leads[s]])
            gamma[t, s] = math.exp(alpha[t + 1, s] + beta - total)
            step = beta + emitted[t, s]
            for i in range(4):
                if weight[s, i] > -math.inf:
                    behind[before[s, i]] = _log_add(behind[before[s, i]], weight[s, i] + step)
        for w in range(W):
            s = first[w]
            beta = after[s]
            if leads[s] >= 0:
                beta = _log_add(beta, after[leads[s]])
            for i in range(4):
                if weight[s, i] > -math.inf and before[s, i] >= N:
                    said[w] += math.exp(alpha[t, before[s, i]] + weight[s, i] + beta + emitted[t, s] - total)
        after = behind


def _posteriors_numba(emitted: np.ndarray, graph: Graph, W: int) -> tuple[np.ndarray, np.ndarray]:
    T, N = emitted.shape
    alpha = np.full((T + 1, N + 2 * W + 2), -np.inf)
    alpha[0, N : N + W + 1] = SKIP * np.arange(W + 1)
    _forward_loop(emitted, graph.before, graph.weight, graph.leads, SKIP, alpha)
    total = np.logaddexp(alpha[-1, N + W], alpha[-1, N + 2 * W + 1])
    said, gamma = np.zeros(W), np.empty((T, N))
    lines = graph.before, graph.weight, graph.leads, graph.first
    _backward_loop(emitted, *lines, SKIP, alpha, total, said, gamma)
    return said, gamma


_posteriors = choose(_posteriors_numba, _posteriors_numpy)
