"""Wrong solutions of the exercises on losses, codes, texts and steps, written by somebody who had not read the lists.

A function is called EXERCISE__WORD; its docstring is what a teacher would say of it.
"""

import math

import numpy as np


def _softmax(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_sum_exp__global(logits):
    """one maximum for the whole array"""
    m = logits.max()
    return m + np.log(np.exp(logits - m).sum(axis=1))


def log_sum_exp__plain(logits):
    """the maximum is not taken out"""
    return np.log(np.sum(np.exp(logits), axis=-1))


def log_sum_exp__no_m(logits):
    """m is not added again"""
    m = logits.max(axis=1, keepdims=True)
    return np.log(np.exp(logits - m).sum(axis=1))


def _scores(context, quantized, masked, negatives, kappa):
    unit = lambda a: a / np.linalg.norm(a, axis=-1, keepdims=True)  # noqa: E731
    index = np.concatenate([masked[:, None], negatives], axis=1)
    s = (unit(context)[:, None] * unit(quantized)[index]).sum(-1) / kappa
    return s, index


def contrastive_loss__no_positive(context, quantized, codes, masked, negatives, kappa):
    """the positive is missing from the denominator"""
    s, _index = _scores(context, quantized, masked, negatives, kappa)
    same = (codes[negatives] == codes[masked][:, None]).all(-1)
    rest = np.where(same, -np.inf, s[:, 1:])
    m = s.max(1)
    return (m - s[:, 0] + np.log(np.exp(rest - m[:, None]).sum(1))).sum()


def contrastive_loss__mean(context, quantized, codes, masked, negatives, kappa):
    """the mean over the frames"""
    s, _index = _scores(context, quantized, masked, negatives, kappa)
    same = (codes[negatives] == codes[masked][:, None]).all(-1)
    s[:, 1:][same] = -np.inf
    return -np.log(_softmax(s)[:, 0]).mean()


def contrastive_loss__any(context, quantized, codes, masked, negatives, kappa):
    """a negative is left out when any group agrees"""
    s, _index = _scores(context, quantized, masked, negatives, kappa)
    same = (codes[negatives] == codes[masked][:, None]).any(-1)
    s[:, 1:][same] = -np.inf
    return -np.log(_softmax(s)[:, 0]).sum()


def contrastive_loss__kept(context, quantized, codes, masked, negatives, kappa):
    """equal negatives are kept"""
    s, _ = _scores(context, quantized, masked, negatives, kappa)
    return -np.log(_softmax(s)[:, 0]).sum()


def contrastive_loss__dot(context, quantized, codes, masked, negatives, kappa):
    """dot product for the cosine"""
    index = np.concatenate([masked[:, None], negatives], axis=1)
    s = (context[:, None] * quantized[index]).sum(-1) / kappa
    same = (codes[negatives] == codes[masked][:, None]).all(-1)
    s[:, 1:][same] = -np.inf
    s = s - s.max(1, keepdims=True)
    return (np.log(np.exp(s).sum(1)) - s[:, 0]).sum()


def contrastive_loss_backward__assigned(dloss, context, quantized, codes, masked, negatives, kappa):
    """= for += in the scattered gradient (fancy indexing)"""
    s, index = _scores(context, quantized, masked, negatives, kappa)
    same = (codes[negatives] == codes[masked][:, None]).all(-1)
    s[:, 1:][same] = -np.inf
    ds = _softmax(s)
    ds[:, 0] -= 1
    ds = ds * dloss / kappa
    nc, nq = np.linalg.norm(context, axis=1, keepdims=True), np.linalg.norm(quantized, axis=1, keepdims=True)
    uc, uq = context / nc, quantized / nq
    duc = np.einsum("ik,ikd->id", ds, uq[index])
    duq = np.zeros_like(quantized)
    duq[index] += ds[:, :, None] * uc[:, None]
    back = lambda du, u, n: (du - u * (du * u).sum(-1, keepdims=True)) / n  # noqa: E731
    return back(duc, uc, nc), back(duq, uq, nq)


def diversity_loss__mean_each(uses, frames):
    """an average of the utterances' losses"""
    losses = []
    for use in uses:
        G, V = use.shape
        p = use / use.sum(1, keepdims=True)
        h = -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0), axis=1)
        losses.append((G * V - np.exp(h).sum()) / (G * V))
    return np.mean(losses)


def diversity_loss__entropy(uses, frames):
    """entropy, not its exponential"""
    p = sum(uses) / frames
    G, V = p.shape
    h = -np.sum(p * np.log(p + 1e-300), axis=1)
    return (G * V - h.sum()) / (G * V)


def perplexity__nan(probabilities):
    """0 ln 0 is nan"""
    return np.exp(-np.sum(probabilities * np.log(probabilities), axis=-1)).astype(np.float64)


def perplexity__base_two(probabilities):
    """bits with the natural exponential"""
    p = np.asarray(probabilities, float)
    return np.exp(-np.sum(np.where(p > 0, p * np.log2(np.where(p > 0, p, 1)), 0), -1))


def temperature__linear(step, start, decay, floor):
    """a linear decay"""
    return max(floor, start - step * (1 - decay))


def temperature__min(step, start, decay, floor):
    """min for max"""
    return min(floor, start * decay**step)


def quantize__soft_always(features, p, groups, noise, tau, hard):
    """hard is ignored"""
    w = p["weight_proj"]
    logits = (features @ w["weight"].T + w["bias"]).reshape(noise.shape)
    soft = _softmax((logits + noise) / tau)
    G, V = noise.shape[1:]
    books = p["codevectors"].reshape(G, V, -1)
    return np.einsum("tgv,gvd->tgd", soft, books).reshape(len(features), -1)


def quantize__noise_after(features, p, groups, noise, tau, hard):
    """tau divides only the logits"""
    w = p["weight_proj"]
    logits = (features @ w["weight"].T + w["bias"]).reshape(noise.shape)
    soft = _softmax(logits / tau + noise)
    G, V = noise.shape[1:]
    choice = np.eye(V, dtype=features.dtype)[soft.argmax(-1)] if hard else soft
    books = p["codevectors"].reshape(G, V, -1)
    return np.einsum("tgv,gvd->tgd", choice, books).reshape(len(features), -1)


def negatives_from_draws__itself(mask, draws):
    """the frame itself can be drawn"""
    return np.where(mask)[0][draws]


def negatives_from_draws__order(mask, draws):
    """counts among the masked, not frames"""
    rows = np.arange(len(draws))[:, None]
    return draws + (draws >= rows)


def spans_from_draws__all(T, epsilon, starts, M, p):
    """all starts are used"""
    mask = np.zeros(T, bool)
    if T < M:
        return mask
    for s in starts:
        mask[s : s + M] = True
    return mask


def spans_from_draws__only_start(T, epsilon, starts, M, p):
    """only the first frame of a span"""
    mask = np.zeros(T, dtype=bool)
    if T >= M:
        mask[starts[: max(1, int(p * T + epsilon))]] = True
    return mask


def _alpha(y, targets, blank):
    ext = [blank]
    for t in targets:
        ext += [t, blank]
    a = np.zeros((len(y), len(ext)))
    a[0, :2] = y[0, ext[:2]]
    for t in range(1, len(y)):
        for s in range(len(ext)):
            total = a[t - 1, s] + (a[t - 1, s - 1] if s > 0 else 0)
            if s > 1 and ext[s] != blank and ext[s] != ext[s - 2]:
                total += a[t - 1, s - 2]
            a[t, s] = y[t, ext[s]] * total
    return a, ext


def ctc_loss__probabilities(logits, targets, blank):
    """probabilities underflow"""
    a, ext = _alpha(_softmax(logits.astype(float)), list(targets), blank)
    with np.errstate(divide="ignore"):
        return -np.log(a[-1, -1] + (a[-1, -2] if len(ext) > 1 else 0))


def ctc_loss__repeat(logits, targets, blank):
    """may step over the blank between two equal letters"""
    logp = np.log(_softmax(logits.astype(float)))
    ext = [blank]
    for t in targets:
        ext += [t, blank]
    a = np.full(len(ext), -np.inf)
    a[:2] = logp[0, ext[:2]]
    for t in range(1, len(logits)):
        new = np.empty_like(a)
        for s in range(len(ext)):
            terms = [a[s]] + ([a[s - 1]] if s else []) + ([a[s - 2]] if s > 1 and ext[s] != blank else [])
            new[s] = np.logaddexp.reduce(terms) + logp[t, ext[s]]
        a = new
    return -np.logaddexp.reduce(a[-2:])


def ctc_loss__last_only(logits, targets, blank):
    """must end in a blank"""
    logp = np.log(_softmax(logits.astype(float)))
    ext = [blank]
    for t in targets:
        ext += [t, blank]
    a = np.full(len(ext), -np.inf)
    a[:2] = logp[0, ext[:2]]
    for t in range(1, len(logits)):
        new = np.empty_like(a)
        for s in range(len(ext)):
            terms = [a[s]] + ([a[s - 1]] if s else [])
            if s > 1 and ext[s] != blank and ext[s] != ext[s - 2]:
                terms.append(a[s - 2])
            new[s] = np.logaddexp.reduce(terms) + logp[t, ext[s]]
        a = new
    return -a[-1]


def ctc_loss__scaled(logits, targets, blank):
    """alpha is rescaled at every frame and the scales are not added up"""
    y = _softmax(logits.astype(float))
    ext = [blank]
    for t in targets:
        ext += [t, blank]
    a = np.zeros(len(ext))
    a[:2] = y[0, ext[:2]]
    a /= a.sum()
    for t in range(1, len(y)):
        new = a.copy()
        new[1:] += a[:-1]
        for s in range(2, len(ext)):
            if ext[s] != blank and ext[s] != ext[s - 2]:
                new[s] += a[s - 2]
        new *= y[t, ext]
        a = new / new.sum()
    return -np.log(a[-2:].sum())


def ctc_loss__per_frame(logits, targets, blank):
    """divided by the number of targets"""
    loss = _right_ctc(logits, targets, blank)
    return loss / max(len(targets), 1)


def _right_ctc(logits, targets, blank):
    logp = np.log(_softmax(logits.astype(float)))
    ext = [blank]
    for t in targets:
        ext += [t, blank]
    a = np.full(len(ext), -np.inf)
    a[:2] = logp[0, ext[:2]]
    for t in range(1, len(logits)):
        new = np.empty_like(a)
        for s in range(len(ext)):
            terms = [a[s]] + ([a[s - 1]] if s else [])
            if s > 1 and ext[s] != blank and ext[s] != ext[s - 2]:
                terms.append(a[s - 2])
            new[s] = np.logaddexp.reduce(terms) + logp[t, ext[s]]
        a = new
    return np.logaddexp.reduce(a[-2:]) * -1


def ctc_loss_backward__softmax_only(dloss, logits, targets, blank):
    """y - (γ > 0): no"""
    y = _softmax(logits)
    d = y.copy()
    for t in range(len(y)):
        d[t, blank] -= 1
    return dloss * d


def contrastive_loss__loops(context, quantized, codes, masked, negatives, kappa):
    """frame by frame; the positive's score is taken out, not the maximum, and exp overflows"""
    total = 0.0
    cos = lambda a, b: float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))  # noqa: E731
    for c, t, row in zip(context, masked, negatives):
        s = [cos(c, quantized[t]) / kappa]
        s += [cos(c, quantized[k]) / kappa for k in row if tuple(codes[k]) != tuple(codes[t])]
        total += math.log(sum(math.exp(v - s[0]) for v in s))
    return total
