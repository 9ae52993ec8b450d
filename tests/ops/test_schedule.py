"""The learning rate at its corners."""

import math
from itertools import pairwise

import pytest

from xlsr_ref.ops.schedule import SCHEDULES, linear, tri_stage


def test_linear():
    rates = [linear(n, 100, 2.0, warmup=0.08) for n in range(1, 101)]
    assert rates[0] == 2 / 8
    assert rates[7] == max(rates) == 2.0
    assert rates[8] == pytest.approx(2 * 92 / 93)
    assert rates[99] == pytest.approx(2 / 93)  # a step further it would be 0
    falls = [a - b for a, b in pairwise(rates[7:])]
    assert falls == pytest.approx([2 / 93] * 92)


def test_tri_stage():
    rates = [tri_stage(n, 100, 2.0, warmup=0.1, hold=0.4) for n in range(1, 101)]
    assert rates[0] == pytest.approx(2 * (0.01 + 0.99 / 10))
    assert rates[9] == 2.0
    assert rates[9:50] == [2.0] * 41
    assert rates[50] == pytest.approx(2 * 0.05 ** (1 / 50))
    assert rates[74] == pytest.approx(2 * math.sqrt(0.05))  # halfway down
    assert rates[99] == pytest.approx(2 * 0.05)


@pytest.mark.parametrize("schedule", SCHEDULES.values())
@pytest.mark.parametrize("N", [1, 2, 3, 7])
def test_few_steps_have_rates_too(schedule, N):
    rates = [schedule(n, N, 1.0) for n in range(1, N + 1)]
    assert rates[0] == 1
    assert all(0 < rate <= 1 for rate in rates)
    assert all(0 < schedule(n, N, 1.0, warmup=1.0) <= 1 for n in range(1, N + 1))


def test_without_a_warmup_the_first_step_has_the_peak():
    assert linear(1, 10, 1.0, warmup=0.0) == tri_stage(1, 10, 1.0, warmup=0.0) == 1
