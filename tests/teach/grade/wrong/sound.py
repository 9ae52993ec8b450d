"""Functions written by hand, wrong and right: EXERCISE__anything, and the docstring says what the judge must find."""

import math

import numpy as np


def normalise__numpy(x):
    """right"""
    return ((x - np.average(x)) * (np.var(x) + 1e-7) ** -0.5).astype(x.dtype)


def normalise__loops(x):
    """right"""
    m = math.fsum(x.tolist()) / len(x)
    v = math.fsum((s - m) ** 2 for s in x.tolist()) / len(x)
    return np.array([(s - m) / math.sqrt(v + 1e-7) for s in x.tolist()], x.dtype)


def normalise__bessel(x):
    """n-1 variance"""
    return (x - x.mean()) * (np.var(x, ddof=1) + 1e-7) ** -0.5


def normalise__statistics(x):
    """n-1 variance"""
    m = math.fsum(x.tolist()) / len(x)
    v = math.fsum((s - m) ** 2 for s in x.tolist()) / (len(x) - 1) if len(x) > 1 else 0
    return np.array([(s - m) / math.sqrt(v + 1e-7) for s in x.tolist()], x.dtype)


def normalise__std(x):
    """eps outside the root"""
    return (x - np.average(x)) / (np.std(x) + x.dtype.type(1e-7))


def normalise__silence_fails(x):
    """no eps"""
    return (x - np.average(x)) / np.std(x)


def normalise__one_pass(x):
    """variance as mean of squares minus square of the mean"""
    m = np.add.reduce(x) / len(x)
    return (x - m) / np.sqrt(np.dot(x, x) / len(x) - m * m + x.dtype.type(1e-7))


def normalise__peak(x):
    """scaled by the largest sample: peak normalisation"""
    return np.divide(x, max(map(abs, x)))


def normalise__two(x):
    """eps is 1e-5, that of layer norm and the mean is not taken away"""
    return x * (np.var(x) + 1e-5) ** -0.5


def frames__recursive(samples, conv_kernel, conv_stride):
    """right"""
    if not conv_kernel:
        return samples
    left = len(range(0, samples - conv_kernel[0] + 1, conv_stride[0]))
    return frames__recursive(left, conv_kernel[1:], conv_stride[1:])


def frames__one_less(samples, conv_kernel, conv_stride):
    """+ 1 forgotten"""
    for k, s in zip(conv_kernel, conv_stride):
        samples = int((samples - k) / s) if samples >= k else 0
        if samples == 0:
            return 0
    return samples


def frames__ceil(samples, conv_kernel, conv_stride):
    """rounded up, not down"""
    n = samples
    for i in range(len(conv_kernel)):
        if n < conv_kernel[i]:
            return 0
        n = math.ceil((n - conv_kernel[i]) / conv_stride[i]) + 1
    return n


def frames__negative(samples, conv_kernel, conv_stride):
    """too few samples are not looked for"""
    n = samples
    for i in range(len(conv_kernel)):
        n = math.floor((n - conv_kernel[i]) / conv_stride[i]) + 1
    return n


def frames__divided(samples, conv_kernel, conv_stride):
    """kernel forgotten: samples / stride"""
    n = samples
    for i, stride in enumerate(conv_stride):
        n = 0 if n < conv_kernel[i] else math.floor(n / stride)
        if n == 0:
            return 0
    return n
