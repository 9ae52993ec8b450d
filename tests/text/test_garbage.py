"""The lattice with garbage and skipped words: against every path by hand, and its kernel against the specification."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from xlsr_ref.errors import ObjectiveError
from xlsr_ref.ops.softmax import log_softmax
from xlsr_ref.text import garbage
from xlsr_ref.text.garbage import ENTER, SKIP, evidence, graph_of


def by_hand(log_y, graph, W):
    """All paths of the graph, one after the other: p(said) (W,) and γ (T, N)."""
    T, N = len(log_y), len(graph.token)
    emitted = np.where(graph.token >= 0, log_y[:, graph.token], garbage.garbage(log_y, 0)[:, None])

    def ways(a, b):
        """ln of each way from a (None: the beginning) to b (None: the end), and whether it enters b by a junction."""
        found = []
        if a is not None and b is not None:
            found += [(w, False) for j, w in zip(graph.before[b], graph.weight[b]) if j == a and w > -math.inf]
        kind, first = (
            (0, 0) if a is None else (divmod(graph.leads[a] - N, W + 1) if graph.leads[a] >= 0 else (None, None))
        )
        if kind is None:
            return found
        for skipped in range(W + 1 - first):
            here = N + kind * (W + 1) + first + skipped
            if b is None:
                found += [(SKIP * skipped, False)] if first + skipped == W else []
            else:
                found += [(w + SKIP * skipped, True) for j, w in zip(graph.before[b], graph.weight[b])
                          if j == here and w > -math.inf]  # fmt: skip
        return found

    total, said, gamma = 0.0, np.zeros(W), np.zeros((T, N))
    for path in itertools.product(range(N), repeat=T):
        ps = [(0.0, frozenset())]
        for t, (a, b) in enumerate(itertools.pairwise([None, *path, None])):
            e = emitted[t, b] if b is not None else 0.0
            new = []
            for w, enters in ways(a, b):
                entered = {int(np.flatnonzero(graph.first == b)[0])} if enters and b in graph.first else set()
                new += [(p + w + e, done | entered) for p, done in ps]
            ps = new
            if not ps:
                break
        for p, words in ps:
            total += math.exp(p)
            said[list(words)] += math.exp(p)
            for t, s in enumerate(path):
                gamma[t, s] += math.exp(p)
    return said / total, gamma / total


@pytest.mark.parametrize("delimiter", [None, 1])
@pytest.mark.parametrize("words", [[[2]], [[2, 2]], [[2], [3]]])
def test_every_path_is_counted_once(rng, words, delimiter):
    log_y = log_softmax(rng.standard_normal((4 if len(words) == 1 else 3, 4)))
    graph = graph_of(words, 0, delimiter)
    said, gamma = by_hand(log_y, graph, len(words))
    emitted = np.where(graph.token >= 0, log_y[:, graph.token], garbage.garbage(log_y, 0)[:, None])
    for posteriors in (garbage._posteriors_numpy, garbage._posteriors_numba):
        found_said, found = posteriors(emitted, graph, len(words))
        np.testing.assert_allclose(found, gamma, atol=1e-12)  # rounding of some dozens of sums
        np.testing.assert_allclose(found_said, said, atol=1e-12)


def test_the_kernel_is_the_specification(rng):
    log_y = log_softmax(rng.standard_normal((40, 6)) * 3)
    words = [[2, 3, 3], [4], [5, 2], [3, 4]]
    graph = graph_of(words, 0, 1)
    emitted = np.where(graph.token >= 0, log_y[:, graph.token], garbage.garbage(log_y, 0)[:, None])
    for one, other in zip(garbage._posteriors_numba(emitted, graph, 4), garbage._posteriors_numpy(emitted, graph, 4)):
        np.testing.assert_allclose(one, other, atol=1e-10)
    np.testing.assert_allclose(garbage._posteriors_numpy(emitted, graph, 4)[1].sum(axis=1), 1.0, atol=1e-10)


def spoken(tokens, V=8, sure=0.9):
    """Log-probabilities in which these tokens are likely, one a frame."""
    y = np.full((len(tokens), V), (1 - sure) / (V - 1))
    y[np.arange(len(tokens)), tokens] = sure
    return np.log(y)


def test_what_was_said_and_what_was_not():
    one, two, three = [2, 3, 4], [5, 6, 2], [4, 3, 7]
    frames = [0, 2, 3, 4, 0, 1, 0, 4, 3, 7, 0, 0]  # one | three
    found = evidence(spoken(frames), [one, two, three], 0, 1)
    assert found.said[0] > 0.95
    assert found.said[1] < 0.05
    assert found.said[2] > 0.95
    assert found.other.max() < 0.1
    found = evidence(spoken([*frames[:7], 4, 3, 7, 5, 6, 7, 0]), [one], 0, 1)
    assert found.said[0] > 0.95
    assert found.other[8:12].min() > 0.9  # its ends are less sure
    assert found.other[:5].max() < 0.1


def test_too_much_at_once_is_refused(monkeypatch):
    monkeypatch.setattr(garbage, "MOST", 10)
    with pytest.raises(ObjectiveError, match="4 frames and 1 words are too many at once"):
        evidence(spoken([0, 2, 0, 0]), [[2]], 0, 1)


def test_what_garbage_pays():
    assert garbage.garbage(spoken([0, 2, 2, 3, 0, 3]), 0) == pytest.approx(
        np.log(0.9) - math.log(8) * np.array([0, 1, 0, 1, 0, 1])
    )
    assert ENTER < 0 > SKIP
