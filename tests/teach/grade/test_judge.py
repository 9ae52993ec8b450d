"""The judge against everything that a function can do: it reports, and never raises."""

from __future__ import annotations

import itertools
import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from xlsr_ref.teach.grade import Mistake, Verdict, exercise, grade
from xlsr_ref.teach.grade.judge import judge


def _right(x, p, eps):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * p["weight"] + p["bias"]


def _judged(function, name="layer_norm"):
    return judge(exercise(name), function, np.random.default_rng(0))


def _row(verdict, name):
    return next((holds, what) for row, holds, what in verdict.properties if row == name)


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no")


class NotAnException(BaseException):
    pass


def _raiser(error):
    def raises(x, p, eps):
        raise error

    return raises


def _ragged(x, p, eps):
    return [[1.0], [2.0, 3.0]]


def _itself(x, p, eps):
    loop: list = []
    loop.append(loop)
    return loop


def _nested_dict(x, p, eps):
    inside: dict = {}
    inside["again"] = inside
    return inside


RUBBISH = {
    "None": (lambda x, p, eps: None, "returned nothing: end the function with return y"),
    "text": (lambda x, p, eps: "0.5", "y is a str"),
    "a number": (lambda x, p, eps: 3, r"y has the shape \(\), expected \(6, 8\)"),
    "another shape": (lambda x, p, eps: _right(x, p, eps).T, r"y has the shape \(8, 6\), expected \(6, 8\)"),
    "objects": (lambda x, p, eps: _right(x, p, eps).astype(object), "of the dtype object"),
    "texts": (lambda x, p, eps: x.astype(str), "of the dtype <U32"),
    "complex": (lambda x, p, eps: _right(x, p, eps) + 0j, "complex numbers"),
    "three results": (lambda x, p, eps: (x, x, x), "y is a tuple of 3"),
    "a generator without end": (lambda x, p, eps: itertools.count(), "y is a count"),
    "a function": (lambda x, p, eps: _right, "y is a function"),
    "a dict": (lambda x, p, eps: {"y": x}, "y.y is not asked for"),
    "rows of other lengths": (_ragged, "y is a list of 2 that is no array: its rows are not equally long"),
    "a list of itself": (_itself, "y is a list of 1"),
    "a dict of itself": (_nested_dict, "is not asked for"),
    "not started": (_raiser(NotImplementedError()), "raised NotImplementedError"),
    "an error": (_raiser(ValueError("at x\nand more")), r"raised ValueError: at x \(line \d+\)"),
    "a long one": (lambda x, p, eps: x @ np.ones((99, 4)), r"raised ValueError: matmul.* \(size 99 is different from"),
    "a very long one": (_raiser(ValueError("a" * 999)), r"raised ValueError: a{159}… \(line \d+\)"),
    "the end of the program": (_raiser(SystemExit(3)), "raised SystemExit: 3"),
    "no Exception": (_raiser(NotAnException("so")), "raised NotAnException: so"),
    "an exception without words": (_raiser(Unspeakable()), "cannot be shown"),
    "other arguments": (
        lambda x: x,
        r"raised TypeError.*; it is called as layer_norm\(x, p, eps\), and yours takes \(x\)",
    ),
    "too deep": (lambda x, p, eps: _deep(0), "raised RecursionError"),
}


def _deep(n):
    return _deep(n + 1)


@pytest.mark.parametrize("name", RUBBISH)
def test_rubbish_is_reported(name):
    function, pattern = RUBBISH[name]
    verdict = _judged(function)
    assert not verdict.passed
    holds, what = _row(verdict, "float64")
    assert not holds
    assert re.search(pattern, what), what
    assert Verdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict
    assert verdict.score < 0.2  # a transposed square is an array like any other


@pytest.mark.parametrize("thing", [None, 3, "layer_norm", np.ones(3)])
def test_what_is_no_function_is_said(thing):
    verdict = _judged(thing)
    assert not verdict.passed
    assert "hand in a function" in str(verdict)


def test_an_interrupt_goes_through():
    with pytest.raises(KeyboardInterrupt):
        _judged(_raiser(KeyboardInterrupt()))


def test_nan_is_counted():
    def one_lost(x, p, eps):
        y = _right(x, p, eps)
        y[0, 0] = np.nan
        return y

    assert _row(_judged(one_lost), "float64") == (False, "y: 1 of 48 numbers are NaN or infinite")


def test_prints_are_caught_and_told(capsys):
    def chatty(x, p, eps):
        print("here", x.shape)
        print("there", file=sys.stderr)
        return _right(x, p, eps)

    verdict = _judged(chatty)
    assert verdict.passed
    assert capsys.readouterr() == ("", "")
    assert any("it printed 'here (6, 8)" in note for note in verdict.notes)


def test_inputs_that_are_written_to_are_named():
    def in_place(x, p, eps):
        y = _right(x, p, eps)
        x -= x.mean(-1, keepdims=True)
        p["bias"][0] = 7
        return y

    verdict = _judged(in_place)
    assert not verdict.passed
    assert _row(verdict, "inputs not modified") == (False, "wrote to x, p.bias: work on a copy")
    assert all(holds for name, holds, _ in verdict.properties if name != "inputs not modified")
    assert verdict.mistake is None  # the numbers are right


def test_an_input_may_be_returned_or_reshaped():
    def reshapes(x, p, eps):
        p.clear()
        x.shape = (-1,)
        return x

    assert not _judged(reshapes).passed


def test_another_dtype_is_named():
    verdict = _judged(lambda x, p, eps: _right(x.astype(np.float64), p, eps).astype(np.float64))
    holds, what = _row(verdict, "dtype kept")
    assert not holds
    assert what.startswith("float32 in, float64 out (y); first in line ")
    assert _row(verdict, "float32")[0]  # the numbers are right
    assert verdict.mistake is None


def test_why_the_dtype_is_another_is_said():
    def promoted(q, k, v, heads):
        D = q.shape[1] // heads
        y = np.zeros_like(v)
        for c in np.arange(q.shape[1]).reshape(heads, D):
            s = q[:, c] @ k[:, c].T / np.sqrt(D)
            w = np.exp(s - s.max(1, keepdims=True))
            y[:, c] = w / w.sum(1, keepdims=True) @ v[:, c]
        return y.astype(s.dtype)

    def zeros(x):
        e = np.zeros(x.shape)
        e += np.exp(x - x.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    what = _row(_judged(promoted, "scaled_dot_product"), "dtype kept")[1]
    assert "s = q[:, c] @ k[:, c].T / np.sqrt(D): of a Python number np.sqrt(D) is a np.float64" in what
    assert "np.zeros(x.shape) is float64 unless it is given a dtype" in _row(_judged(zeros, "softmax"), "dtype kept")[1]


def test_a_list_has_the_right_numbers_and_no_dtype():
    verdict = _judged(lambda x, p, eps: _right(x, p, eps).tolist())
    assert not verdict.passed
    assert _row(verdict, "dtype kept") == (False, "y is a list, which has no dtype: return an array")
    assert all(holds for name, holds, _ in verdict.properties if name != "dtype kept")


def test_float32_that_loses_digits_is_told_apart_from_a_wrong_formula():
    def half(x, p, eps):
        y = _right(x, p, eps)
        return y if x.dtype == np.float64 else y.astype(np.float16).astype(np.float32)

    verdict = _judged(half)
    assert not verdict.passed
    assert _row(verdict, "float64")[0]
    assert not _row(verdict, "float32")[0]
    assert verdict.mistake is None
    assert verdict.notes == ("right in float64: too many digits are lost in float32",)


def test_a_function_that_remembers_is_found():
    calls = itertools.count()

    def drifts(x, p, eps):
        return _right(x, p, eps) * (1 + 1e-14 * next(calls))

    verdict = _judged(drifts)
    assert _row(verdict, "float64")[0]
    assert not _row(verdict, "same again")[0]


def test_the_nearest_is_given_with_its_distance():
    """n-1 variance, and a slip that nobody has named: a thousandth too much."""

    def slipped(x, p, eps):
        std = np.sqrt(x.var(-1, ddof=1, keepdims=True) + eps) if x.shape[1] > 1 else eps**0.5
        return 1.001 * (x - x.mean(-1, keepdims=True)) / std * p["weight"] + p["bias"]

    verdict = _judged(slipped)
    assert verdict.mistake == "n-1 variance"
    assert 0 < verdict.distance < 2e-3
    assert "nearest" in verdict.sentence


def test_what_is_like_nothing_known_gets_no_name():
    verdict = _judged(lambda x, p, eps: np.full_like(x, 1e9))
    assert verdict.mistake is None
    assert "no known mistake comes much nearer to your numbers than the right solution does" in verdict.notes


def test_a_slip_that_every_mistake_is_as_far_from_as_the_right_solution_gets_no_name():
    right = exercise("gelu").function()
    verdict = _judged(lambda x: (1.01 * right(x) + 0.001).astype(x.dtype), "gelu")
    assert (verdict.mistake, verdict.distance) == (None, None)


def test_a_mistake_that_raises_where_the_function_raises_must_also_give_a_wrong_number_of_it():
    """Two functions that fail on what is not square have only that in common."""
    change = ("return x @", "assert x.shape[1] == len(p['bias'])\n    return x @")
    task = replace(exercise("linear"), mistakes=(Mistake("square only", (change,)),))

    def square(x, p):
        if x.shape[1] != len(p["bias"]):
            raise ValueError("what now?")
        return x @ p["weight"].T + p["bias"]

    verdict = judge(task, square, np.random.default_rng(0))
    assert not verdict.passed
    assert verdict.distance != 0


def test_a_function_that_always_raises_gets_no_name():
    """A mistake that raises everywhere, too, says nothing about it."""
    verdict = _judged(_raiser(ValueError("shapes")), "linear")
    assert (verdict.mistake, verdict.distance) == (None, None)


def test_missing_and_extra_gradients_are_named():
    def no_bias(dy, x, p):
        return dy @ p["weight"], {"weight": dy.T @ x}

    def one_more(dy, x, p):
        return dy @ p["weight"], {"weight": dy.T @ x, "bias": dy.sum(0), "x": x}

    def not_nested(dy, x, p):
        return dy @ p["weight"], dy.T @ x

    def alone(dy, x, p):
        return dy @ p["weight"]

    expected = {
        no_bias: "grads.bias is missing",
        one_more: "grads.x is not asked for",
        not_nested: "grads expected a dict, not a ndarray",
        alone: "returned a ndarray, expected 2 results: dx, grads",
    }
    for function, what in expected.items():
        assert _row(_judged(function, "linear_backward"), "float64") == (False, what)


def test_whole_numbers_are_shown():
    verdict = _judged(lambda said, read: abs(len(said) - len(read)), "edit_distance")
    assert _row(verdict, "all wrong") == (False, "edits is 0, expected 3")
    assert _row(verdict, "equal") == (True, "exactly right")


def test_the_seed_decides_and_is_told():
    def nearly(x, p, eps):
        return _right(x, p, 1.1 * eps)

    verdict = grade("layer_norm", nearly, seed=5)
    assert verdict == grade("layer_norm", nearly, seed=5)
    assert verdict != grade("layer_norm", nearly, seed=6)
    assert "seed 5" in verdict.notes
    assert any(note.startswith("seed ") for note in grade("layer_norm", _right).notes)


def test_errstate_and_warnings_are_as_before():
    def careless(x, p, eps):
        np.seterr(all="raise")
        return _right(x, p, eps)

    before = np.geterr()
    _judged(careless)
    assert np.geterr() == before
