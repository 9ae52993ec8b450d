"""Adam and AdamW: one step by hand, the kernel as its twin says, and who is left alone."""

import math

import numpy as np
import pytest

from xlsr_ref.ops import adam as optim
from xlsr_ref.ops import backend, threads
from xlsr_ref.ops.adam import Adam, AdamState, clip, global_norm, step


def first_step(decoupled, decay):
    p, g = np.array([2.0, -1.0]), np.array([0.5, 4.0])
    state = AdamState()
    step({"w": p}, {"w": g}, state, {"w": 0.1}, Adam((0.9, 0.98), 1e-6, decay, decoupled))
    return p, state


def test_the_first_step_by_hand():
    """m̂ = g and v̂ = g²: whatever the gradient is, the step is the rate."""
    p, state = first_step(True, 0.0)
    np.testing.assert_allclose(p, [2 - 0.1 * 0.5 / (0.5 + 1e-6), -1 - 0.1 * 4 / (4 + 1e-6)], rtol=1e-15)
    np.testing.assert_allclose(state.m["w"], [0.05, 0.4], rtol=1e-14)
    np.testing.assert_allclose(state.v["w"], [0.02 * 0.25, 0.02 * 16], rtol=1e-14)
    assert state.steps == {"w": 1}


def test_weight_decay_by_hand():
    """AdamW pulls the parameter itself, by rate · decay; Adam adds to the gradient, and √v̂ takes most of that away."""
    p, _ = first_step(True, 0.3)
    np.testing.assert_allclose(p, [2 * 0.97 - 0.1 * 0.5 / (0.5 + 1e-6), -0.97 - 0.1 * 4 / (4 + 1e-6)], rtol=1e-15)
    p, state = first_step(False, 0.3)
    g = 0.5 + 0.3 * 2, 4 - 0.3
    np.testing.assert_allclose(p, [2 - 0.1 * g[0] / (g[0] + 1e-6), -1 - 0.1 * g[1] / (g[1] + 1e-6)], rtol=1e-15)
    np.testing.assert_allclose(state.m["w"], [0.1 * g[0], 0.1 * g[1]], rtol=1e-14)


def test_the_second_step_by_hand():
    p, state = np.array([1.0]), AdamState()
    for g in (1.0, -3.0):
        step({"w": p}, {"w": np.array([g])}, state, {"w": 0.1}, Adam((0.5, 0.75), 0.0, 0.0))
    m_hat = (0.5 * 0.5 * 1 - 0.5 * 3) / (1 - 0.25)
    v_hat = (0.75 * 0.25 * 1 + 0.25 * 9) / (1 - 0.5625)
    assert p[0] == pytest.approx(1 - 0.1 - 0.1 * m_hat / math.sqrt(v_hat), rel=1e-14)


@pytest.mark.skipif(backend.BACKEND == "numpy", reason="there is only the twin")
@pytest.mark.parametrize("decoupled", [True, False])
# float64: a few roundings more or less. float32: the same, of an eps of 1.2e-7, over ten steps
@pytest.mark.parametrize(("dtype", "limit"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_the_kernel_is_its_twin(rng, decoupled, dtype, limit):
    adam = Adam((0.9, 0.98), 1e-6, 0.05, decoupled)
    start = [rng.standard_normal((7, 5, 3)).astype(dtype), np.zeros((7, 5, 3), dtype), np.zeros((7, 5, 3), dtype)]
    one, other = ([array.copy() for array in start] for _ in range(2))
    for n in range(1, 11):
        g = rng.standard_normal((7, 5, 3)).astype(dtype)
        kept = g.copy()
        optim._update_numba(one[0], g, *one[1:], n, 0.01, adam)
        optim._update_numpy(other[0], g, *other[1:], n, 0.01, adam)
        np.testing.assert_array_equal(g, kept)
    for mine, twin in zip(one, other):
        assert mine.dtype == twin.dtype == dtype
        assert np.abs(mine - twin).max() <= limit * np.abs(twin).max()
    assert np.abs(one[0] - start[0]).max() > 0.01


def test_parameters_that_do_not_lie_row_by_row_learn_as_well(rng):
    values, g = rng.standard_normal((4, 6)), rng.standard_normal((4, 6))
    results = []
    for p, gradient in ((values.copy(), g), (np.asfortranarray(values), g), (values.copy(), np.asfortranarray(g))):
        step({"w": p}, {"w": gradient}, AdamState(), {"w": 0.1}, Adam())
        results.append(p)
    for p in results[1:]:
        np.testing.assert_allclose(p, results[0], rtol=1e-13)
    assert np.abs(results[0] - values).min() > 0.05


def test_without_a_gradient_nothing_happens_and_nothing_is_counted(rng):
    params = {"a": rng.standard_normal(3), "b": rng.standard_normal(4)}
    before, state = {name: p.copy() for name, p in params.items()}, AdamState()
    step(params, {"a": np.ones(3)}, state, {"a": 0.1}, Adam(weight_decay=0.5))
    assert state.steps == {"a": 1}
    assert state.m.keys() == state.v.keys() == {"a"}
    np.testing.assert_array_equal(params["b"], before["b"])
    step(params, {"a": np.ones(3), "b": np.ones(4)}, state, {"a": 0.1, "b": 0.1}, Adam())
    assert state.steps == {"a": 2, "b": 1}
    # its own first step, not the second one: 0.1 and no other number
    np.testing.assert_allclose(params["b"], before["b"] - 0.1, rtol=0, atol=1e-6)


def test_every_parameter_has_its_own_rate():
    params = {name: np.zeros(2) for name in "ab"}
    step(params, {name: np.ones(2) for name in "ab"}, AdamState(), {"a": 0.1, "b": 0.3}, Adam(eps=0.0))
    np.testing.assert_allclose(params["a"], -0.1)
    np.testing.assert_allclose(params["b"], -0.3)


def test_the_norm_is_that_of_all_gradients_together(rng):
    assert global_norm({"a": np.array([3.0]), "b": np.array([[0.0, 4.0]])}) == 5
    assert math.isnan(global_norm({"a": np.array([1.0, np.nan])}))
    assert global_norm({"a": np.full(10, 1e30, np.float32)}) == pytest.approx(1e30 * math.sqrt(10))  # 1e60 in float64
    many = {"a": rng.standard_normal(200_000).astype(np.float32)}
    found = []
    for n in (1, 2, 3):
        with threads.use(n):
            found.append(global_norm(many))
    assert len(set(found)) == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clipping(dtype):
    grads = {"a": np.array([3.0], dtype), "b": np.array([[0.0, 4.0]], dtype)}
    clip(grads, global_norm(grads), 5.1)
    assert grads["b"][0, 1] == 4
    clip(grads, global_norm(grads), 1.0)
    assert grads["a"].dtype == dtype
    np.testing.assert_allclose(grads["a"], [0.6], rtol=1e-6)  # the 1e-6 that torch adds to the norm
    np.testing.assert_allclose(grads["b"], [[0, 0.8]], rtol=1e-6)
