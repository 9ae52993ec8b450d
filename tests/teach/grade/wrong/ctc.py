"""Functions written by hand, wrong and right: EXERCISE__anything, and the docstring says what the judge must find."""

import itertools
import math

import numpy as np


def _log_softmax(logits):
    wide = np.asarray(logits, float)
    return wide - np.logaddexp.reduce(wide, axis=1)[:, None]


def _allowed(places, blank, missing=False, repeats=False):
    """Which steps (from, to) the lattice has."""
    steps = {(s, s) for s in range(len(places))} | {(s - 1, s) for s in range(1, len(places))}
    for s in range(2, len(places)):
        if not missing and places[s] != blank and (repeats or places[s] != places[s - 2]):
            steps.add((s - 2, s))
    return steps


def _lattice(targets, blank):
    return [blank, *itertools.chain.from_iterable((target, blank) for target in targets)]


def _loss(log_y, targets, blank, begin=2, end=2, add=np.logaddexp.reduce, **rules):
    """By matrices: the steps as a table of 0 and -inf, a frame at a time."""
    places = _lattice(targets, blank)
    n = len(places)
    table = np.full((n, n), -np.inf)
    for start, stop in _allowed(places, blank, **rules):
        table[start, stop] = 0
    state = np.array([log_y[0, token] if s < begin else -math.inf for s, token in enumerate(places)])
    for frame in log_y[1:]:
        state = np.array([add(state + table[:, s]) + frame[places[s]] for s in range(n)])
    return -float(add(state[-end:]))


def ctc_loss__matrices(logits, targets, blank):
    """right"""
    return _loss(_log_softmax(logits), targets, blank), "cache"


def ctc_loss__memory(logits, targets, blank):
    """right"""
    log_y, places = _log_softmax(logits), _lattice(targets, blank)
    steps = _allowed(places, blank)
    came = {s: [r for r in range(len(places)) if (r, s) in steps] for s in range(len(places))}
    ways = {s: log_y[0, places[s]] for s in range(min(2, len(places)))}
    for frame in log_y[1:]:
        ways = {
            s: np.logaddexp.reduce([ways[r] for r in came[s] if r in ways]) + frame[places[s]]
            for s in came
            if any(r in ways for r in came[s])
        }
    last = [ways[s] for s in (len(places) - 1, len(places) - 2) if s in ways]
    return -np.logaddexp.reduce(last) if last else np.inf


def ctc_loss__no_skip(logits, targets, blank):
    """missing skip transition"""
    return _loss(_log_softmax(logits), targets, blank, missing=True)


def ctc_loss__skips_repeats(logits, targets, blank):
    """skip across repeated letters allowed"""
    return _loss(_log_softmax(logits), targets, blank, repeats=True)


def ctc_loss__blank_zero(logits, targets, blank):
    """blank is taken to be 0"""
    return _loss(_log_softmax(logits), targets, 0)


def ctc_loss__blank_last(logits, targets, blank):
    """blank is taken to be the last token"""
    return _loss(_log_softmax(logits), targets, logits.shape[1] - 1)


def ctc_loss__one_end(logits, targets, blank):
    """ends on the last blank only"""
    return _loss(_log_softmax(logits), targets, blank, end=1)


def ctc_loss__one_beginning(logits, targets, blank):
    """begins on the blank only"""
    return _loss(_log_softmax(logits), targets, blank, begin=1)


def ctc_loss__viterbi(logits, targets, blank):
    """the best way in place of the sum of all"""
    return _loss(_log_softmax(logits), targets, blank, add=max)


def ctc_loss__scores(logits, targets, blank):
    """log-softmax forgotten"""
    return _loss(logits.astype(float), targets, blank)


def ctc_loss__pytorch_mean(logits, targets, blank):
    """divided by the number of targets"""
    return _loss(_log_softmax(logits), targets, blank) / max(1, len(targets))


def ctc_loss__two(logits, targets, blank):
    """missing skip transition and blank is taken to be 0"""
    return _loss(_log_softmax(logits), targets, 0, missing=True)


def _posterior(logits, targets, blank, twice=False, **rules):
    """γ by running both ways over the table of steps."""
    log_y, places = _log_softmax(logits), _lattice(targets, blank)
    T, n = len(log_y), len(places)
    steps = _allowed(places, blank, **rules)
    ahead, back = np.full((T, n), -np.inf), np.full((T, n), -np.inf)
    for s in range(min(2, n)):
        ahead[0, s] = log_y[0, places[s]]
        back[-1, n - 1 - s] = 0
    for t in range(1, T):
        for start, stop in steps:
            ahead[t, stop] = np.logaddexp(ahead[t, stop], ahead[t - 1, start] + log_y[t, places[stop]])
            there = back[T - t, stop] + log_y[T - t, places[stop]]
            back[T - t - 1, start] = np.logaddexp(back[T - t - 1, start], there)
    both = ahead + back
    total = np.logaddexp.reduce(both[0])
    return np.exp(both - total + (log_y[:, places] if twice else 0)), places


def _gradient(dloss, logits, targets, blank, sum_all=True, softmax=True, **rules):
    gamma, places = _posterior(logits, targets, blank, **rules)
    y = np.exp(_log_softmax(logits)) if softmax else np.zeros(logits.shape)
    expected = np.zeros_like(y)
    for s, token in enumerate(places):
        expected[:, token] = gamma[:, s] + (expected[:, token] if sum_all else 0)
    return (dloss * (y - expected)).astype(logits.dtype)


def ctc_loss_backward__tables(dloss, logits, targets, blank):
    """right"""
    return _gradient(dloss, logits, targets, blank)


def ctc_loss_backward__minus(dloss, logits, targets, blank):
    """sign wrong"""
    return _gradient(-dloss, logits, targets, blank)


def ctc_loss_backward__average(dloss, logits, targets, blank):
    """mean over the frames"""
    return _gradient(dloss / len(logits), logits, targets, blank)


def ctc_loss_backward__no_skip(dloss, logits, targets, blank):
    """missing skip transition"""
    return _gradient(dloss, logits, targets, blank, missing=True)


def ctc_loss_backward__log_probabilities(dloss, logits, targets, blank):
    """the gradient with respect to the log-probabilities: softmax is not gone through"""
    return _gradient(dloss, logits, targets, blank, softmax=False)


def ctc_loss_backward__last_place(dloss, logits, targets, blank):
    """a token's last place counts, not the sum of all its places: = in place of +="""
    return _gradient(dloss, logits, targets, blank, sum_all=False)


def ctc_loss_backward__twice(dloss, logits, targets, blank):
    """y of the same frame counts twice: in α and in β"""
    return _gradient(dloss, logits, targets, blank, twice=True)


def ctc_loss_backward__two(dloss, logits, targets, blank):
    """sign wrong and dloss forgotten"""
    return _gradient(-1, logits, targets, blank)


def frames_needed__groups(targets):
    """right"""
    return sum(2 * len(list(run)) - 1 for _, run in itertools.groupby(targets))


def frames_needed__length(targets):
    """repeats forgotten"""
    return sum(1 for _ in targets)


def frames_needed__distinct(targets):
    """all equal targets count, not only neighbours"""
    return len(targets) + sum(targets.count(token) - 1 for token in set(targets))


def frames_needed__always_blank(targets):
    """a blank between all targets"""
    return 2 * len(targets) - (1 if targets else 0)


def frames_needed__places(targets):
    """a blank around every target: the places, not the frames"""
    return len(_lattice(targets, -1))


def _viterbi(log_probs, targets, blank, ends=(1, 2), best=max, **rules):
    """The whole path is carried along with its score."""
    places = _lattice(targets, blank)
    steps = _allowed(places, blank, **rules)
    paths = {s: (log_probs[0, places[s]], [places[s]]) for s in range(min(2, len(places)))}
    for frame in log_probs[1:]:
        found = {}
        for s, token in enumerate(places):
            ways = [paths[r] for r in range(len(places)) if (r, s) in steps and r in paths]
            if ways:
                score, path = best(ways, key=lambda way: way[0])
                found[s] = (score + frame[token], [*path, token])
        paths = found
    final = [paths[len(places) - e] for e in ends if len(places) - e in paths]
    return np.array(max(final, key=lambda way: way[0])[1])


def align__carried(log_probs, targets, blank):
    """right"""
    return _viterbi(log_probs, targets, blank), None


def align__no_skip(log_probs, targets, blank):
    """missing skip transition"""
    return _viterbi(log_probs, targets, blank, missing=True)


def align__greedy(log_probs, targets, blank):
    """the best token of every frame, whatever it spells"""
    return [max(range(len(frame)), key=frame.__getitem__) for frame in log_probs]


def align__backwards(log_probs, targets, blank):
    """the path is backwards"""
    return np.flip(_viterbi(log_probs, targets, blank))


def align__to_the_blank(log_probs, targets, blank):
    """always ends on the last blank"""
    return _viterbi(log_probs, targets, blank, ends=(1,))


def align__skips_repeats(log_probs, targets, blank):
    """skip across repeated letters allowed"""
    return _viterbi(log_probs, targets, blank, repeats=True)
