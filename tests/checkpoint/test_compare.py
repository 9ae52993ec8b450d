"""The comparison itself: does it see what is wrong, and does it name the right stage?"""

from __future__ import annotations

import numpy as np
import pytest

from xlsr_ref.checkpoint.compare import assert_same, departures, relative_error, sketch


@pytest.fixture
def stages(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {name: rng.standard_normal((7, 5)) for name in ("first", "second", "third")}


def test_the_first_stage_that_departs_is_named(stages: dict[str, np.ndarray]) -> None:
    ours = {name: stage.copy() for name, stage in stages.items()}
    assert_same(ours, stages, 1e-15)
    ours["second"][3, 2] += 1e-6
    ours["third"] += 1
    with pytest.raises(AssertionError, match=r"model: first departs at second: .* \(2 of 3 stages depart\)"):
        assert_same(ours, stages, 1e-9, "model")
    assert_same(ours, stages, {"first": 0.0, "second": 1e-5, "third": 1.0})


def test_missing_misshapen_and_nan_stages_depart(stages: dict[str, np.ndarray]) -> None:
    ours = {"first": stages["first"][:-1], "second": np.full((7, 5), np.nan)}
    lines = departures(ours, stages, 1e9)
    assert [line.partition(":")[0] for line in lines] == ["first", "second", "third"]
    assert "shape (6, 5), expected (7, 5)" in lines[0]
    assert "not computed" in lines[2]


def test_errors_are_relative_to_the_largest_value() -> None:
    assert relative_error(np.array([10.0, 101.0]), np.array([10.0, 100.0])) == pytest.approx(0.01)
    assert relative_error(np.zeros(3), np.zeros(3)) == 0


def test_every_number_of_a_stage_enters_every_number_of_its_sketch() -> None:
    for t, c in np.ndindex(6, 4):
        stage = np.zeros((6, 4))
        stage[t, c] = 1
        np.testing.assert_allclose(np.abs(sketch(stage)), 1 / np.sqrt(6 * 4), rtol=1e-15)


def test_a_sketch_has_the_mean_square_of_its_stage(rng: np.random.Generator) -> None:
    """So a sketched error is as large as the error. 128 signed sums: their mean square is right within some 20 %."""
    stage = 3 * rng.standard_normal((500, 60))
    assert np.mean(sketch(stage) ** 2) == pytest.approx(np.mean(stage**2), rel=0.5)


def test_sketches_are_the_ones_that_were_recorded() -> None:
    """Other signs would make every recorded sketch worthless."""
    numbers = sketch(np.arange(12.0).reshape(4, 3), rows=2, columns=2)
    np.testing.assert_allclose(numbers * np.sqrt(12), [[-6, 6], [24, -20]], rtol=1e-14)
