"""The learning rate over a run: small at first, while the optimizer's means are few; small again at the end.

    linear      peak · n / w for n ≤ w;           then down in a straight line that would reach 0 at N + 1
    tri-stage   from 1 % of the peak up to it;    flat;    then peak · e^(−c k), to 5 % of the peak at N

wav2vec 2.0 pre-trains with "linear" (the first 8 % up) and fine-tunes with "tri-stage" (10 %, 40 %, 50 %). No step is
wasted on a rate of 0. Where: wav2vec 2.0 §4.2; the 1 % and 5 % are fairseq's.
Letters: n the step, from 1; N all steps; w those of the warm-up; k those into the decay.
"""

from __future__ import annotations

import math


def linear(n: int, N: int, peak: float, warmup: float = 0.08) -> float:
    """The rate of step ``n`` (1 to ``N``); ``warmup`` is a share of N."""
    w = max(1, round(warmup * N))
    return peak * n / w if n <= w else peak * (N - n + 1) / (N - w + 1)


def tri_stage(
    n: int, N: int, peak: float, warmup: float = 0.1, hold: float = 0.4, first: float = 0.01, last: float = 0.05
) -> float:
    """The rate of step ``n`` (1 to ``N``); ``warmup``, ``hold`` in parts of N; ``first``, ``last`` of the peak."""
    w, h = max(1, round(warmup * N)), round(hold * N)
    if n <= w:
        return peak * (first + (1 - first) * n / w)
    if n <= w + h:
        return peak
    return peak * math.exp(math.log(last) * (n - w - h) / (N - w - h))


SCHEDULES = {"linear": linear, "tri-stage": tri_stage}
