"""How long a convolution's output is: the only frame arithmetic of the package.

    T_out = ⌊(T_in + 2 padding − K) / stride⌋ + 1          0 where the kernel is longer than what it slides over

Several convolutions in a row, as in the feature encoder, make one frame every `hop` samples, and each frame sees
`receptive_field` samples: 320 and 400 in the released models, so 16000 samples make 49 frames, not 50.
Where: wav2vec 2.0 §2 (feature encoder), §4.2 (25 ms receptive field, 20 ms hop). Letters: T frames, K kernel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def conv_length(length: int, kernel: int, stride: int, padding: int = 0) -> int:
    """Rows that one convolution makes of ``length`` rows with ``padding`` rows of zeros on either side; 0 for none."""
    padded = length + 2 * padding
    return (padded - kernel) // stride + 1 if padded >= kernel else 0


def conv_lengths(samples: int, kernels: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Rows of the waveform and of each convolution's output, ``len(kernels) + 1`` numbers."""
    lengths = [samples]
    for kernel, stride in zip(kernels, strides):
        lengths.append(conv_length(lengths[-1], kernel, stride))
    return lengths


def frames(samples: int, kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Frames T that convolutions in a row make of ``samples``; 0 where there are too few for one."""
    return conv_lengths(samples, kernels, strides)[-1]


def hop(strides: Sequence[int]) -> int:
    """Samples from one frame to the next: the product of the strides."""
    return math.prod(strides)


def receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Samples that one frame sees; fewer make no frame."""
    field = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides)):
        field = (field - 1) * stride + kernel
    return field
