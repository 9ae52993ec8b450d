"""How the constants of the float32 GELU kernel were found: `python tests/ops/fit_erf.py` prints them.

erf(z) ≈ z P(z²) / Q(z²) for |z| ≤ 3.9, beyond which erf is 1 to 3.5e-8. Lawson's iteration: least squares in which the
weight of a point grows with its error, until the largest error is as small as it can be.
"""

import math

import numpy as np

DEGREE, BOUND, POINTS = 5, 3.9, 4000


def fit():
    z = (np.cos(np.pi * (np.arange(POINTS) + 0.5) / POINTS) + 1) / 2 * BOUND
    powers = (z * z)[:, None] ** np.arange(DEGREE + 1)
    f = np.array([math.erf(value) for value in z])
    weight, denominator = np.ones_like(z), np.ones_like(z)
    for _ in range(30):
        # z P − f Q is linear in the unknowns; dividing by the last Q makes it the error of the quotient
        row_weight = weight / denominator
        matrix = np.concatenate([z[:, None] * powers, -f[:, None] * powers[:, 1:]], axis=1) * row_weight[:, None]
        scale = np.abs(matrix).max(axis=0)
        solution = np.linalg.lstsq(matrix / scale, f * row_weight, rcond=None)[0] / scale
        p, q = solution[: DEGREE + 1], np.r_[1, solution[DEGREE + 1 :]]
        denominator = powers @ q
        error = np.abs(z * (powers @ p) / denominator - f)
        weight *= 1 + error / error.max()
        weight /= weight.mean()
    return p, q, error.max()


if __name__ == "__main__":
    p, q, error = fit()
    print("P", [f"{value:.9e}" for value in p])
    print("Q", [f"{value:.9e}" for value in q])
    print("largest error", error)
