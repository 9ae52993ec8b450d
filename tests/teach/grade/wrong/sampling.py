"""Solutions of the exercises on sampling and strides; the docstring is what must be found."""

import numpy as np


def alias__triangle(frequency, rate):
    """right"""
    rest = frequency % rate
    return min(rest, rate - rest)


def alias__rest(frequency, rate):
    """the rest after the rate: not turned back at half of it"""
    while frequency >= rate:
        frequency -= rate
    return frequency


def alias__once(frequency, rate):
    """turned back once at half of the rate"""
    half = rate / 2
    return frequency if frequency <= half else half - (frequency - half)


def alias__cut(frequency, rate):
    """at most half of the rate: cut off"""
    return np.clip(frequency, 0, rate / 2)


def receptive_field__backwards(conv_kernel, conv_stride):
    """right"""
    field = 1
    for kernel, stride in reversed(list(zip(conv_kernel, conv_stride))):
        field = (field - 1) * stride + kernel
    return field


def receptive_field__strideless(conv_kernel, conv_stride):
    """strides forgotten"""
    return sum(conv_kernel) - len(conv_kernel) + 1


def receptive_field__hop(conv_kernel, conv_stride):
    """this is the hop: the strides multiplied"""
    return int(np.prod(conv_stride))


def receptive_field__reversed(conv_kernel, conv_stride):
    """from the last layer to the first"""
    field = 1
    for kernel, stride in zip(conv_kernel, conv_stride):
        field = (field - 1) * stride + kernel
    return field


def power_spectrogram__abs(x, window, hop):
    """right"""
    rows = range(0, len(x) - len(window) + 1, hop)
    return np.array([np.abs(np.fft.rfft(x[a : a + len(window)] * window)) ** 2 for a in rows])


def power_spectrogram__magnitude(x, window, hop):
    """the magnitude, not its square"""
    rows = range(0, len(x) - len(window) + 1, hop)
    return np.array([np.abs(np.fft.rfft(x[a : a + len(window)] * window)) for a in rows])


def power_spectrogram__bare(x, window, hop):
    """window forgotten"""
    rows = range(0, len(x) - len(window) + 1, hop)
    return np.array([np.abs(np.fft.rfft(x[a : a + len(window)])) ** 2 for a in rows])


def power_spectrogram__normed(x, window, hop):
    """divided by N"""
    rows = range(0, len(x) - len(window) + 1, hop)
    return np.array([np.abs(np.fft.rfft(x[a : a + len(window)] * window, norm="ortho")) ** 2 for a in rows])
