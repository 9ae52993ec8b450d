import numpy as np
import pytest

from xlsr_ref.teach import check


def square(x, p):
    return x * x * p["scale"], (x, p["scale"])


def square_backward(dy, cache):
    x, scale = cache
    return 2 * x * scale * dy, {"scale": (dy * x * x).sum(axis=0)}


@pytest.fixture
def inputs(rng):
    return rng.standard_normal((4, 3)), {"scale": rng.standard_normal(3)}


def test_a_right_gradient_passes(rng, inputs):
    assert check.gradient(square, square_backward, *inputs, rng=rng).worst < 1e-8


@pytest.mark.parametrize("wrong", ["sign", "factor", "axis", "upstream", "missing", "extra"])
def test_a_wrong_gradient_is_seen(rng, inputs, wrong):
    def backward(dy, cache):
        dx, grads = square_backward(dy, cache)
        if wrong == "sign":
            return -dx, grads
        if wrong == "factor":
            return dx, {"scale": grads["scale"] / len(dy)}
        if wrong == "upstream":
            return square_backward(np.ones_like(dy), cache)
        if wrong == "axis":
            return dx, {"scale": np.roll(grads["scale"], 1)}
        return dx, {} if wrong == "missing" else grads | {"shift": np.zeros(3)}

    assert check.gradient(square, backward, *inputs, rng=rng).worst > 1e-2


def test_the_entries_of_a_large_tensor_are_tried_at_random(rng, inputs):
    def backward(dy, cache):
        dx, grads = square_backward(dy, cache)
        dx[len(dx) // 2 :] = 0
        return dx, grads

    x = rng.standard_normal((40, 3))  # 120 entries of which 20 are tried: all in the right half once in a million
    assert check.gradient(square, backward, x, inputs[1], rng=rng, entries=20).worst > 1e-2


def test_inputs_are_left_as_they_were(rng, inputs):
    x, p = inputs
    for array in (x, p["scale"]):  # as the parameters of a loaded model are
        array.setflags(write=False)
    before = x.copy(), p["scale"].copy()
    check.gradient(square, square_backward, x, p, rng=rng)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(p["scale"], before[1])


def test_compare_names_what_differs():
    reference = {"a": {"b": np.array([1.0, 2.0, -4.0])}, "c": np.zeros(2), "d": np.ones(3)}
    mine = {"a": {"b": np.array([1.0, 1.6, -4.0])}, "c": np.array([0, 1e-9]), "e": np.ones(1)}
    comparison = check.compare(mine, reference)
    rows = {row.name: row for row in comparison.rows}
    assert rows["a.b"].absolute == pytest.approx(0.4)
    assert rows["a.b"].relative == pytest.approx(0.1)
    assert rows["c"].relative == rows["c"].absolute == 1e-9  # nothing to divide by
    assert comparison.missing == ("d",)
    assert comparison.extra == ("e",)
    assert comparison.worst == float("inf")
    text = str(comparison)
    assert text.index("a.b") < text.index("c  ")  # the worst first
    assert "missing: d" in text
    assert "extra: e" in text


def test_another_shape_is_not_compared():
    comparison = check.compare({"a": np.zeros((2, 1))}, {"a": np.zeros(2)})
    assert comparison.missing == comparison.extra == ("a",)
    assert check.compare({"a": np.zeros(2)}, {"a": np.zeros(2)}).worst == 0


def test_nan_is_never_good():
    mine, reference = {"a": np.array([np.nan]), "b": np.ones(1)}, {"a": np.ones(1), "b": np.array([2.0])}
    assert np.isnan(check.compare(mine, reference).worst)


def test_forward_may_return_its_input(rng):
    comparison = check.gradient(lambda x, p: (x, None), lambda dy, cache: (dy, {}), rng.standard_normal(5), rng=rng)
    assert comparison.worst < 1e-8


def test_a_gradient_of_another_shape_is_seen(rng, inputs):
    def backward(dy, cache):
        dx, grads = square_backward(dy, cache)
        return dx, {"scale": grads["scale"][None]}

    comparison = check.gradient(square, backward, *inputs, rng=rng)
    assert comparison.missing == comparison.extra == ("p.scale",)


# --- close and fails -------------------------------------------------------------------------------------------------


def test_close_prints_the_error_beside_what_is_expected(capsys):
    check.close(np.array([1.0, 4.0 + 4e-9]), np.array([1.0, 4.0]), 1e-8, "mine")
    assert capsys.readouterr().out == "mine: error 1.0e-09, expected below 1e-08\n"
    check.close(np.ones(2), np.ones(2), 0)
    assert capsys.readouterr().out == "error 0, expected none\n"


@pytest.mark.parametrize(
    ("mine", "reference", "expected"),
    [
        ([1.0, 1.1], [1.0, 1.0], 0.05),
        ([np.nan, 1.0], [1.0, 1.0], 1e9),
        ([np.nan], [np.nan], 1e9),
        ([np.inf], [-np.inf], 1e9),
        ([1.0], [np.inf], 1e9),
        ([[1.0, 1.0]], [1.0, 1.0], 1e9),  # another shape
        ([1.0 + 1e-16], [1.0 + 1e-15], 0),
        ([1e-3], [0.0], 1e-4),  # absolute: there is nothing to divide by
    ],
)
def test_close_raises_beyond_it(capsys, mine, reference, expected):
    with pytest.raises(AssertionError, match="mine: "):
        check.close(np.array(mine), np.array(reference), expected, "mine")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("mine", "reference", "error"),
    [
        ([100.0, 0.1], [100.0, 0.0], "1.0e-03"),  # relative to the largest of all
        ([-np.inf, 3.0], [-np.inf, 2.0], "5.0e-01"),  # an infinity is no scale
        (np.float32([0.1]), [0.1], "1.5e-08"),  # float32 is not rounded again
        ([1e-3], [0.0], "1.0e-03"),
        ([True, False], [True, True], "1.0e+00"),
        (2.5, 2.0, "2.5e-01"),
        ([], [], "0"),
    ],
)
def test_the_error_of_close(capsys, mine, reference, error):
    check.close(np.array(mine), np.array(reference), 2.0)
    assert capsys.readouterr().out == f"error {error}, expected below 2\n"


def test_close_says_which_shapes_differ():
    with pytest.raises(AssertionError, match=r"x: the shape is \(1, 2\), but the reference's is \(2,\)"):
        check.close(np.ones((1, 2)), np.ones(2), 1, "x")


def test_fails_is_quiet_about_a_failure_that_must_be(capsys):
    with check.fails():
        check.close(1.0, 2.0, 1e-12, "broken")
    assert capsys.readouterr().out == "failed, as it must: broken: error 5.0e-01, expected below 1e-12\n"
    with check.fails():
        assert not np.ones(1)
    assert capsys.readouterr().out.startswith("failed, as it must: ")


def test_fails_raises_when_the_body_passes(capsys):
    with pytest.raises(AssertionError, match="this passed, but it had to fail"), check.fails():
        check.close(1.0, 1.0, 1e-12)


def test_fails_lets_other_errors_through():
    with pytest.raises(ZeroDivisionError), check.fails():
        1 / 0  # noqa: B018
