"""The L2 penalty on the features, which the paper uses on LibriSpeech only.

    penalty = mean of x²  over all entries of all features of the batch          times a weight (fairseq: 10)

It looks at what the last convolution puts out, before the layer norm: without it these activations may grow without
bound, since the norm after them hides their size. As in fairseq it is the mean of the squares, of features and frames
alike, and in the total it counts once for every masked frame, as the diversity loss does. The other measure of that
section, a smaller gradient for the feature encoder, is `feature_gradient_scale` of wav2vec2/backbone.py.
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
