"""Functions written by hand, wrong and right: EXERCISE__anything, and the docstring says what the judge must find."""

import math

import numpy as np


def _unit(x, norms=True):
    return [row / (np.linalg.norm(row) if norms else 1) for row in x.astype(float)]


def _terms(context, quantized, codes, masked, negatives, kappa, norms=True, leave_out=all, positive=True):
    """-ln of the share of the positive, for each masked frame."""
    a, b = _unit(context, norms), _unit(quantized, norms)
    for i in range(len(a)):
        own = masked[i]
        target = a[i] @ b[own] / kappa
        others = [
            a[i] @ b[n] / kappa
            for n in negatives[i]
            if leave_out is None or not leave_out(codes[n][g] == codes[own][g] for g in range(len(codes[own])))
        ]
        yield np.logaddexp.reduce([target] * positive + others) - target


def contrastive_loss__loops(context, quantized, codes, masked, negatives, kappa):
    """right"""
    return sum(_terms(context, quantized, codes, masked, negatives, kappa)), {}


def contrastive_loss__no_temperature(context, quantized, codes, masked, negatives, kappa):
    """no temperature"""
    return sum(_terms(context, quantized, codes, masked, negatives, 1))


def contrastive_loss__dot_product(context, quantized, codes, masked, negatives, kappa):
    """cosine without norms"""
    return sum(_terms(context, quantized, codes, masked, negatives, kappa, norms=False))


def contrastive_loss__average(context, quantized, codes, masked, negatives, kappa):
    """mean in place of sum"""
    return np.average(list(_terms(context, quantized, codes, masked, negatives, kappa)))


def contrastive_loss__all_negatives(context, quantized, codes, masked, negatives, kappa):
    """equal codes are not left out"""
    return sum(_terms(context, quantized, codes, masked, negatives, kappa, leave_out=None))


def contrastive_loss__any_group(context, quantized, codes, masked, negatives, kappa):
    """equal in one group is enough to be left out"""
    return sum(_terms(context, quantized, codes, masked, negatives, kappa, leave_out=any))


def contrastive_loss__only_negatives(context, quantized, codes, masked, negatives, kappa):
    """the positive is not among the candidates of the sum"""
    return sum(_terms(context, quantized, codes, masked, negatives, kappa, positive=False))


def contrastive_loss__two(context, quantized, codes, masked, negatives, kappa):
    """no temperature and mean in place of sum"""
    return np.average(list(_terms(context, quantized, codes, masked, negatives, 1)))


def _back(dloss, context, quantized, codes, masked, negatives, kappa, outer=1.0, positive=1, through=True):
    dcontext, dquantized = np.zeros(context.shape), np.zeros(quantized.shape)
    for i, own in enumerate(masked):
        a = context[i].astype(float)
        candidates = [own] + [n for n in negatives[i] if tuple(codes[n]) != tuple(codes[own])]
        cosines = [a @ quantized[n] / np.linalg.norm(a) / np.linalg.norm(quantized[n]) for n in candidates]
        shares = np.exp(np.array(cosines) / kappa - np.logaddexp.reduce(np.array(cosines) / kappa))
        for place, (n, cosine) in enumerate(zip(candidates, cosines)):
            slope = outer * (shares[place] - positive * (place == 0))
            b = quantized[n].astype(float)
            la, lb = np.linalg.norm(a), np.linalg.norm(b)
            dcontext[i] += slope * (b / lb - through * cosine * a / la) / la
            dquantized[n] += slope * (a / la - through * cosine * b / lb) / lb
    return dcontext.astype(context.dtype), dquantized.astype(quantized.dtype)


def contrastive_loss_backward__loops(dloss, context, quantized, codes, masked, negatives, kappa):
    """right"""
    return _back(dloss, context, quantized, codes, masked, negatives, kappa, dloss / kappa)


def contrastive_loss_backward__no_kappa(dloss, context, quantized, codes, masked, negatives, kappa):
    """1/kappa forgotten"""
    return _back(dloss, context, quantized, codes, masked, negatives, kappa, dloss)


def contrastive_loss_backward__no_positive(dloss, context, quantized, codes, masked, negatives, kappa):
    """the positive's − 1 forgotten"""
    return _back(dloss, context, quantized, codes, masked, negatives, kappa, dloss / kappa, positive=0)


def contrastive_loss_backward__no_dloss(dloss, context, quantized, codes, masked, negatives, kappa):
    """dloss forgotten"""
    return _back(dloss, context, quantized, codes, masked, negatives, kappa, 1 / kappa)


def contrastive_loss_backward__norms_fixed(dloss, context, quantized, codes, masked, negatives, kappa):
    """norms are taken as constants"""
    return _back(dloss, context, quantized, codes, masked, negatives, kappa, dloss / kappa, through=False)


def contrastive_loss_backward__two(dloss, context, quantized, codes, masked, negatives, kappa):
    """1/kappa forgotten and norms are taken as constants"""
    return _back(dloss, context, quantized, codes, masked, negatives, kappa, dloss, through=False)


def negatives_from_draws__lists(mask, draws):
    """right"""
    places = [t for t in range(len(mask)) if mask[t]]
    return [[[p for p in places if p != own][d] for d in row] for own, row in zip(places, draws)]


def negatives_from_draws__may_be_itself(mask, draws):
    """negatives that may be the positive"""
    return np.argwhere(mask)[:, 0].take(draws)


def negatives_from_draws__off_by_one(mask, draws):
    """off by one: the positive may be drawn"""
    places = [t for t in range(len(mask)) if mask[t]]
    return [[places[d if d <= i else d + 1] for d in row] for i, row in enumerate(draws)]


def negatives_from_draws__all_frames(mask, draws):
    """among all frames, not the masked ones"""
    places = [t for t in range(len(mask)) if mask[t]]
    return [[[t for t in range(len(mask)) if t != own][d] for d in row] for own, row in zip(places, draws)]


def negatives_from_draws__positions(mask, draws):
    """the masked frames are counted, not looked up"""
    return [[d if d < i else d + 1 for d in row] for i, row in enumerate(draws)]


def _mask(T, used, M):
    return np.array([any(start <= t < start + M for start in used) for t in range(T)], bool)


def spans_from_draws__sets(T, epsilon, starts, M, p):
    """right"""
    count = max(math.floor(T * p + epsilon), 1)
    return _mask(T, list(starts)[:count] if T >= M else [], M)


def spans_from_draws__toolkit(T, epsilon, starts, M, p):
    """p is taken as the share of masked frames: divided by M"""
    return _mask(T, list(starts)[: max(math.floor(T * p / M + epsilon), 1)], M)


def spans_from_draws__no_epsilon(T, epsilon, starts, M, p):
    """epsilon forgotten"""
    return _mask(T, list(starts)[: max(math.floor(T * p), 1)], M)


def spans_from_draws__short(T, epsilon, starts, M, p):
    """spans one frame too short"""
    return _mask(T, list(starts)[: max(math.floor(T * p + epsilon), 1)], M - 1)


def spans_from_draws__maybe_none(T, epsilon, starts, M, p):
    """no span is the least, not one"""
    return _mask(T, list(starts)[: math.floor(T * p + epsilon)], M)


def spans_from_draws__starts(T, epsilon, starts, M, p):
    """only the first frame of a span"""
    return _mask(T, list(starts)[: max(math.floor(T * p + epsilon), 1)], 1)


def spans_from_draws__two(T, epsilon, starts, M, p):
    """epsilon forgotten and spans one frame too long"""
    return _mask(T, list(starts)[: max(math.floor(T * p), 1)], M + 1)
