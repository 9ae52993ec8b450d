"""Functions written by hand, wrong and right: EXERCISE__anything, and the docstring says what the judge must find."""

import math

import numpy as np


def softmax__loops(x):
    """right"""
    y = np.zeros(x.shape, x.dtype)
    for r in range(x.shape[0]):
        terms = [math.exp(float(value) - float(max(x[r]))) for value in x[r]]
        y[r] = [term / math.fsum(terms) for term in terms]
    return y, {"y": y}


def softmax__by_logarithms(x):
    """right"""
    return np.exp(x - np.logaddexp.reduce(x, axis=1)[:, None])


def softmax__naive(x):
    """softmax without the maximum"""
    return np.array([np.exp(row) / np.exp(row).sum() for row in x])


def softmax__columns(x):
    """softmax over the wrong axis"""
    columns = [np.exp(column - column.max()) / np.exp(column - column.max()).sum() for column in x.T]
    return np.stack(columns, axis=1)


def softmax__everything(x):
    """one maximum and one sum for the whole array"""
    flat = np.exp(x.ravel() - np.amax(x))
    return (flat / flat.sum()).reshape(x.shape)


def softmax__global_maximum(x):
    """one maximum for the whole array"""
    powers = np.exp(x - np.amax(x))
    return np.divide(powers.T, powers.sum(1)).T


def softmax__unnormalised(x):
    """not divided by the sum"""
    return np.array([[math.exp(value - max(row)) for value in row] for row in x.tolist()], x.dtype)


def softmax__naive_columns(x):
    """softmax without the maximum and softmax over the wrong axis"""
    return np.exp(x) / np.add.reduce(np.exp(x), 0)


def _y(x):
    return np.exp(x - np.logaddexp.reduce(x, axis=1)[:, None])


def softmax_backward__jacobians(dy, x):
    """right"""
    return np.stack([(np.diag(y) - np.outer(y, y)) @ d for y, d in zip(_y(x), dy)])


def softmax_backward__einsum(dy, x):
    """right"""
    y = _y(x)
    return y * dy - y * np.einsum("rv,rv->r", y, dy)[:, None], {}


def softmax_backward__elementwise(dy, x):
    """what a score takes from the others is forgotten"""
    return np.multiply(dy, _y(x))


def softmax_backward__as_a_sigmoid(dy, x):
    """only the diagonal: y (1 − y) dy"""
    y = _y(x)
    return dy * (y - y**2)


def softmax_backward__minus(dy, x):
    """sign wrong"""
    return np.stack([(np.outer(y, y) - np.diag(y)) @ d for y, d in zip(_y(x), dy)])


def softmax_backward__plain_sum(dy, x):
    """the sum is of dy, not of dy · y"""
    y = _y(x)
    return np.array([[y[r, i] * (dy[r, i] - sum(dy[r])) for i in range(x.shape[1])] for r in range(len(x))], x.dtype)


def log_sum_exp__reduce(logits):
    """right"""
    return np.logaddexp.reduce(logits, axis=1), None


def log_sum_exp__loops(logits):
    """right"""
    out = []
    for row in logits.tolist():
        top = max(row)
        out.append(top + math.log(math.fsum(math.exp(value - top) for value in row)))
    return np.array(out, logits.dtype)


def log_sum_exp__naive(logits):
    """without the maximum"""
    return np.array([np.log(sum(np.exp(row))) for row in logits], logits.dtype)


def log_sum_exp__forgets(logits):
    """the maximum is not added again"""
    return np.logaddexp.reduce(logits - np.amax(logits, 1, keepdims=True), axis=1)


def log_sum_exp__over_rows(logits):
    """wrong axis"""
    return np.logaddexp.reduce(logits.T, axis=1)


def log_sum_exp__mean(logits):
    """mean in place of sum"""
    return np.logaddexp.reduce(logits, axis=1) - logits.dtype.type(math.log(logits.shape[1]))


def log_sum_exp__max(logits):
    """only the maximum"""
    return np.sort(logits, axis=1)[:, -1]


def log_softmax__reduce(x):
    """right"""
    return x - np.logaddexp.reduce(x, axis=1, keepdims=True)


def log_softmax__log_of_it(x):
    """the logarithm of a softmax that is 0: -inf"""
    y = np.exp(x - np.amax(x, 1)[:, None])
    return np.log(y / np.sum(y, 1)[:, None])


def log_softmax__plain(x):
    """softmax without the maximum"""
    return x - np.log(np.sum(np.exp(x), 1))[:, None]


def log_softmax__clipped(x):
    """a small number is added, so that the logarithm is finite"""
    y = np.exp(x - np.amax(x, 1)[:, None])
    return np.log(1e-9 + y / np.sum(y, 1)[:, None])
