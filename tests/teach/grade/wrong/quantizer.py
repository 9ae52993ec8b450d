"""Functions written by hand, wrong and right: EXERCISE__anything, and the docstring says what the judge must find."""

import math

import numpy as np


def _scores(features, p, groups):
    flat = np.einsum("tc,vc->tv", features, p["weight_proj"]["weight"]) + p["weight_proj"]["bias"]
    return np.stack(np.split(flat, groups, axis=1), axis=1)  # (T, G, V)


def _softmax(x):
    return np.exp(x - np.logaddexp.reduce(x, axis=-1)[..., None])


def _quantize(features, p, groups, noisy, hard, interleaved=False):
    V = noisy.shape[2]
    soft, book = _softmax(noisy), p["codevectors"][0]
    rows = []
    for t in range(len(features)):
        row = []
        for g in range(groups):
            entries = [book[v * groups + g if interleaved else g * V + v] for v in range(V)]
            if hard:
                row.append(entries[int(np.argmax(noisy[t, g]))])
            else:
                row.append(sum(soft[t, g, v] * entries[v] for v in range(V)))
        rows.append(np.concatenate(row))
    return np.array(rows, features.dtype)


def quantize__loops(features, p, groups, noise, tau, hard):
    """right"""
    noisy = (_scores(features, p, groups) + noise) / tau
    return _quantize(features, p, groups, noisy, hard), noisy


def quantize__no_noise(features, p, groups, noise, tau, hard):
    """noise forgotten"""
    return _quantize(features, p, groups, _scores(features, p, groups) / tau, hard)


def quantize__no_temperature(features, p, groups, noise, tau, hard):
    """no temperature"""
    return _quantize(features, p, groups, np.add(noise, _scores(features, p, groups)), hard)


def quantize__never_hard(features, p, groups, noise, tau, hard):
    """always soft"""
    return _quantize(features, p, groups, (_scores(features, p, groups) + noise) / tau, False)


def quantize__never_soft(features, p, groups, noise, tau, hard):
    """always hard"""
    return _quantize(features, p, groups, _scores(features, p, groups) + noise, True)


def quantize__interleaved(features, p, groups, noise, tau, hard):
    """codevectors of the groups interleaved"""
    return _quantize(features, p, groups, (_scores(features, p, groups) + noise) / tau, hard, interleaved=True)


def quantize__two(features, p, groups, noise, tau, hard):
    """noise forgotten and codevectors of the groups interleaved"""
    return _quantize(features, p, groups, _scores(features, p, groups) / tau, hard, interleaved=True)


def _back(dq, features, p, groups, noise, tau, hard, blocked=False, cold=True, jacobian=True, soft_book=False):
    W, book = p["weight_proj"]["weight"], p["codevectors"][0]
    noisy = (_scores(features, p, groups) + noise) / tau
    T, _, V = noisy.shape
    width, soft = book.shape[1], _softmax(noisy)
    dl, dbook = np.zeros_like(noisy), np.zeros_like(book)
    for t in range(T):
        for g in range(groups):
            part = dq[t, g * width : (g + 1) * width]
            one_hot = np.eye(V)[int(np.argmax(noisy[t, g]))]
            used = soft[t, g] if soft_book or not hard else one_hot
            for v in range(V):
                dbook[g * V + v] += used[v] * part
            upstream = book[g * V : (g + 1) * V] @ part
            slope = np.diag(soft[t, g]) - np.outer(soft[t, g], soft[t, g]) if jacobian else np.eye(V)
            if not (hard and blocked):
                dl[t, g] = slope @ upstream / (tau if cold else 1)
    flat = dl.reshape(T, -1)
    dproj = {"weight": np.einsum("tv,tc->vc", flat, features), "bias": np.add.reduce(flat)}
    return flat @ W, {"weight_proj": dproj, "codevectors": dbook[None]}


def quantize_backward__loops(dq, features, p, groups, noise, tau, hard):
    """right"""
    return _back(dq, features, p, groups, noise, tau, hard)


def quantize_backward__blocked(dq, features, p, groups, noise, tau, hard):
    """straight-through that blocks the gradient"""
    return _back(dq, features, p, groups, noise, tau, hard, blocked=True)


def quantize_backward__no_temperature(dq, features, p, groups, noise, tau, hard):
    """1/tau forgotten"""
    return _back(dq, features, p, groups, noise, tau, hard, cold=False)


def quantize_backward__identity(dq, features, p, groups, noise, tau, hard):
    """softmax is passed over, too"""
    return _back(dq, features, p, groups, noise, tau, hard, jacobian=False)


def quantize_backward__soft_book(dq, features, p, groups, noise, tau, hard):
    """the codevectors' gradient takes the soft choice"""
    return _back(dq, features, p, groups, noise, tau, hard, soft_book=True)


def quantize_backward__two(dq, features, p, groups, noise, tau, hard):
    """1/tau forgotten and the codevectors' gradient takes the soft choice"""
    return _back(dq, features, p, groups, noise, tau, hard, cold=False, soft_book=True)


def _entropy(row):
    return -math.fsum(v * math.log(v) for v in row if v > 0)


def perplexity__loops(probabilities):
    """right"""
    return np.array([math.exp(_entropy(row)) for row in probabilities.tolist()])


def perplexity__product(probabilities):
    """right"""
    return np.array([math.prod(v**-v for v in row if v) for row in probabilities.tolist()]), "cache"


def perplexity__nan(probabilities):
    """0 ln 0 is NaN"""
    return np.e ** -np.einsum("gv,gv->g", probabilities, np.log(probabilities))


def perplexity__fairseq(probabilities):
    """ln(p + 1e-7), as fairseq has it"""
    return np.array([math.exp(-sum(v * math.log(v + 1e-7) for v in row)) for row in probabilities.tolist()])


def perplexity__entropy(probabilities):
    """entropy: exp forgotten"""
    return np.array([_entropy(row) for row in probabilities.tolist()])


def perplexity__minus(probabilities):
    """sign wrong"""
    return np.array([math.exp(-_entropy(row)) for row in probabilities.tolist()])


def perplexity__of_codes(probabilities):
    """wrong axis"""
    return np.array([math.exp(_entropy(row)) for row in probabilities.T.tolist()])


def _diversity(mean):
    return 1 - math.fsum(math.exp(_entropy(row)) for row in mean) / np.size(mean)


def diversity_loss__loops(uses, frames):
    """right"""
    return _diversity(
        [[sum(use[g, v] for use in uses) / frames for v in range(uses[0].shape[1])] for g in range(len(uses[0]))]
    )


def diversity_loss__sums(uses, frames):
    """not divided by the number of frames"""
    return _diversity(np.add.reduce(uses).tolist())


def diversity_loss__entropies(uses, frames):
    """entropies in place of perplexities"""
    mean = np.add.reduce(uses) / frames
    return 1 - sum(map(_entropy, mean.tolist())) / mean.size


def diversity_loss__share(uses, frames):
    """the perplexity's share, not what is missing"""
    return 1 - _diversity((np.add.reduce(uses) / frames).tolist())


def diversity_loss__unscaled(uses, frames):
    """not divided by G V"""
    mean = np.add.reduce(uses) / frames
    return mean.size * _diversity(mean.tolist())


def diversity_loss__utterances_alike(uses, frames):
    """every utterance counts the same"""
    return _diversity(np.average([use / sum(use[0]) for use in uses], axis=0).tolist())


def diversity_loss__two(uses, frames):
    """entropies in place of perplexities and not divided by G V"""
    mean = np.add.reduce(uses) / frames
    return mean.size - sum(map(_entropy, mean.tolist()))


def temperature__logarithms(step, start, decay, floor):
    """right"""
    tau = math.exp(math.log(start) + step * math.log(decay))
    return floor if tau < floor else tau


def temperature__falls_on(step, start, decay, floor):
    """no floor"""
    return math.exp(math.log(start) + step * math.log(decay))


def temperature__min(step, start, decay, floor):
    """min in place of max"""
    return sorted([floor, start * decay**step])[0]


def temperature__line(step, start, decay, floor):
    """linear, not by a factor"""
    share = 1 - step * (1 - decay)
    return floor if share < 0 or start * share < floor else start * share


def temperature__late(step, start, decay, floor):
    """one step too far"""
    tau = start * decay * decay**step
    return floor if tau < floor else tau
