"""Relative positions: the look-up by loops, its kernel, and attention with them against the written-out scores."""

import numpy as np
import pytest

from xlsr_ref.ops import relative_positions as file
from xlsr_ref.ops.attention import relative_dot_product_backward, scaled_dot_product
from xlsr_ref.ops.position_tables import angles, rotate, sinusoids
from xlsr_ref.ops.relative_positions import Positions
from xlsr_ref.teach import check

CASES = [(1, 1, 0, 0), (5, 9, 2, 1), (9, 9, 0, 3), (4, 9, 20, 20), (6, 30, 3, 0)]  # queries, keys, left, right


@pytest.mark.parametrize(("rows", "T", "left", "right"), CASES)
@pytest.mark.parametrize("first", [0, 3])
def test_the_look_up_and_its_kernel(rng, rows, T, left, right, first):
    g, scores = rng.standard_normal((2, rows, left + 1 + right)), rng.standard_normal((2, rows, T))
    wanted = scores.copy()
    for r in range(rows):
        for j in range(T):
            wanted[:, r, j] += g[:, r, min(max(j - (first + r), -left), right) + left]
    for add in (file._add_positions_numpy, file._add_positions_loop):
        found = scores.copy()
        add(found, g, first, left)
        np.testing.assert_allclose(found, wanted, rtol=1e-15)
    dscores = rng.standard_normal(scores.shape)
    arguments = dscores, left + 1 + right, first, left
    dg = file._add_positions_backward_numpy(*arguments)
    np.testing.assert_allclose(file._add_positions_backward_numba(*arguments), dg, atol=1e-13)
    np.testing.assert_allclose((dg * g).sum(), (dscores * (wanted - scores)).sum(), rtol=1e-10)  # the adjoint


@pytest.mark.parametrize("heads_share", [True, False])
def test_gradients_of_attention_with_positions(rng, heads_share):
    heads, T, C, P = 2, 6, 4, 4

    def forward(q, p):
        positions = Positions(p["q"], p["table"], 2)
        return scaled_dot_product(q, p["k"], p["v"], heads, positions=positions)

    def backward(dy, cache):
        (dq, dk, dv), (dq_position, dtable) = relative_dot_product_backward(dy, cache)
        return dq, {"k": dk, "v": dv, "q": dq_position, "table": dtable}

    table = rng.standard_normal((1 if heads_share else heads, P, C // heads))
    p = {name: rng.standard_normal((T, C)) for name in "kvq"} | {"table": table}
    comparison = check.gradient(forward, backward, rng.standard_normal((T, C)), p, rng=rng)
    assert comparison.worst < 1e-6, f"\n{comparison}"
    _, cache = forward(rng.standard_normal((T, C)), p)
    np.testing.assert_allclose(cache.weights.sum(axis=2), 1)


def test_a_turn_by_the_opposite_angle_undoes_a_turn(rng):
    x = rng.standard_normal((7, 12))
    cos, sin = angles(7, 4, 10000, np.dtype(np.float64))
    np.testing.assert_allclose(rotate(rotate(x, 3, cos, sin), 3, cos, -sin), x, atol=1e-14)
    np.testing.assert_array_equal(rotate(x, 3, cos, sin)[0], x[0])  # frame 0 stays


def test_rotary_scores_depend_on_the_distance_alone(rng):
    q, k = rng.standard_normal((2, 1, 8))
    turned = [rotate(np.repeat(each, 20, axis=0), 1, *angles(20, 8, 100, np.dtype(np.float64))) for each in (q, k)]
    scores = turned[0] @ turned[1].T
    for distance in (-7, 0, 3):
        np.testing.assert_allclose(np.diag(scores, distance), np.diag(scores, distance)[0])


def test_the_table_of_sines():
    pe = sinusoids(4, 6)
    assert pe.shape == (7, 6)
    assert pe.dtype == np.float32
    np.testing.assert_array_equal(pe[3], [0, 1, 0, 1, 0, 1])  # the frame itself
    np.testing.assert_allclose(pe[0, :2], [np.sin(3), np.cos(3)], rtol=1e-6)  # the key three before
