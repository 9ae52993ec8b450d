"""How the constants of the float32 GELU kernel were found: `python tests/ops/fit_mills_ratio.py` prints them.

Φ(−a) exp(a²/2), which is Mills' ratio over √(2π), ≈ P(a) / Q(a) for 0 ≤ a ≤ 13, where Φ(−a) is 6e-39. Lawson's
iteration: least squares in which the weight of a point grows with its relative error, until the largest one is as
small as it can be.
"""

import numpy as np
from scipy.special import erfcx

P_DEGREE, Q_DEGREE, FAR, POINTS = 4, 5, 13.0, 4000


def fit():
    a = (1 - np.cos(np.linspace(0, np.pi, POINTS))) / 2
    ratio = erfcx(a * FAR / np.sqrt(2)) / 2
    powers = a[:, None] ** np.arange(Q_DEGREE + 1)
    weight, denominator = np.ones_like(a), np.ones_like(a)
    for _ in range(60):
        # P − ratio Q is linear in the unknowns; dividing by ratio and the last Q makes it the quotient's relative error
        row_weight = np.sqrt(weight) / (ratio * denominator)
        matrix = np.concatenate([powers[:, : P_DEGREE + 1], -ratio[:, None] * powers[:, 1:]], axis=1)
        solution = np.linalg.lstsq(matrix * row_weight[:, None], ratio * row_weight, rcond=None)[0]
        p, q = solution[: P_DEGREE + 1], np.r_[1, solution[P_DEGREE + 1 :]]
        denominator = powers @ q
        error = np.abs(powers[:, : P_DEGREE + 1] @ p / denominator / ratio - 1)
        weight *= error / error.max() + 1e-3
        weight /= weight.max()
    return p / FAR ** np.arange(len(p)), q / FAR ** np.arange(len(q)), error.max()


if __name__ == "__main__":
    p, q, error = fit()
    print("P", [f"{value:.9e}" for value in p])
    print("Q", [f"{value:.9e}" for value in q])
    print("largest relative error", error)
