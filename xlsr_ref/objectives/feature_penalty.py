"""Two brakes on the feature encoder, which the paper uses on LibriSpeech only.

    penalty = mean of x²  over all entries of all features of the batch          times a weight (fairseq: 10)
    scaled gradient:  y = x,   dx = scale · dy                                    (0.1)

The penalty is an L2 norm on what the last convolution puts out, before the layer norm: without it these activations may
grow for ever, since the norm after them hides their size. As in fairseq it is the mean of the squares, of features and
frames alike, and in the total it counts once for every masked frame, as the diversity loss does. fairseq scales the
gradient after both losses have met, the penalty's share included; so do we.
Where: wav2vec 2.0 §4.2. Letters: T frames, C channels of the features (`conv_dim[-1]`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def feature_penalty(features: Sequence[np.ndarray]) -> tuple[float, list[np.ndarray]]:
    """The mean of squares over a batch of ``features``, each (T_i, C). The cache is the features themselves."""
    squares = [float(np.square(x, dtype=np.float64).sum()) for x in features]
    return sum(squares) / sum(x.size for x in features), list(features)


def feature_penalty_backward(dpenalty: float, cache: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Gradients with respect to each utterance's features (T_i, C)."""
    scale = 2 * float(dpenalty) / sum(x.size for x in cache)
    return [x * scale for x in cache]  # undoes: x², then the mean


def scale_gradient(x: np.ndarray, scale: float) -> tuple[np.ndarray, float]:
    """``x`` as it is; the cache is ``scale``."""
    return x, float(scale)


def scale_gradient_backward(dy: np.ndarray, cache: float) -> np.ndarray:
    """``dy`` times the scale: a false gradient on purpose, which slows down all that lies before this point."""
    return dy * cache
