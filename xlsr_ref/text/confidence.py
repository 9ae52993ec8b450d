"""Confidence from posteriors: how sure the network is of what was read, or of a text that it was given.

    of a token      the mean of its probability y[t, token] over its frames: those of its run, or of its alignment
    of a word       the geometric mean of its tokens', exp(mean of ln), so that long words are not punished for length
    of the whole    the geometric mean of all tokens', spaces included; frames on the blank count nowhere

What it is: the softmax's own opinion, from 0 to 1, along one path. What it is not: the probability of being right.
CTC networks are trained to put nearly all of it on one token, right or wrong, and nothing here corrects that: compare
scores of one model with each other, or measure which score means how many errors: `xlsr-ref evaluate --output` writes
both for each recording.
A softmax never says "none of these": in noise it can be sure of a letter. Letters: T frames, y probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def of_token(probabilities: np.ndarray) -> float:
    """The confidence of a token, from its probability in each of its frames (n,), n at least 1."""
    return float(probabilities.mean())


def of_tokens(scores: Sequence[float]) -> float:
    """The confidence of a word or of a whole text, from those of its tokens, at least one. 0 if one of them is 0."""
    if min(scores) <= 0:
        return 0.0
    return math.exp(sum(map(math.log, scores)) / len(scores))
