"""Statistics against numpy, tables of exact values, and what must hold for every sample."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.bench.stats import (
    FAILED,
    Interval,
    difference_of_medians,
    fisher_exact,
    mann_whitney,
    median_interval,
    quantile,
)

times = st.lists(st.floats(0.01, 1e5), min_size=1, max_size=60)


@given(times, st.floats(0, 1))
def test_a_quantile_is_numpys(values: list[float], share: float) -> None:
    assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)))


def test_a_failure_is_the_slowest_of_all_and_nothing_lies_between_a_time_and_never() -> None:
    assert quantile([10.0, FAILED, 20.0], 0.5) == 20.0
    assert quantile([10.0, FAILED], 0.5) == FAILED
    assert quantile([FAILED, FAILED], 0.5) == FAILED
    assert quantile([1.0] * 99 + [FAILED], 0.99) == FAILED
    assert quantile([1.0] * 99 + [FAILED], 0.9) == 1.0


@given(times, st.integers(0, 10), st.floats(0, 1))
def test_failures_never_make_a_quantile_faster(values: list[float], failures: int, share: float) -> None:
    assert quantile(values + [FAILED] * failures, share) >= quantile(values, share) - 1e-9


def test_a_quantile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


# Ranks (from 1) of the ends of the 95 % interval of the median, by the binomial; the last as the normal distribution
# has it, 10,000.5 -+ 138.6, rounded outwards.
@pytest.mark.parametrize(
    ("count", "low", "high"), [(6, 1, 6), (10, 2, 9), (20, 6, 15), (50, 18, 33), (100, 40, 61), (20_000, 9861, 10_140)]
)
def test_the_interval_of_a_median_is_that_of_the_tables(count: int, low: int, high: int) -> None:
    assert median_interval([float(rank) for rank in range(1, count + 1)]) == Interval(low, high)


def test_five_values_say_nothing_of_a_median_at_95_percent() -> None:
    assert median_interval([1.0] * 5) is None
    assert median_interval([]) is None
    assert median_interval([1.0] * 5, 0.9) is not None


def test_the_interval_of_a_median_holds_it_as_often_as_it_says() -> None:
    random = np.random.Generator(np.random.PCG64(7))
    held = 0
    for _ in range(1000):
        interval = median_interval(list(random.lognormal(0, 1, 30)))
        assert interval is not None
        held += interval.low <= 1.0 <= interval.high
    assert 940 <= held <= 990  # of 30, at least 95 %: 97.9 % by the binomial


def test_failures_take_the_bound_away() -> None:
    interval = median_interval([1.0] * 6 + [FAILED] * 4)
    assert interval == Interval(1.0, FAILED)


def test_a_difference_is_found_where_there_is_one_and_is_the_same_for_the_same_seed() -> None:
    random = np.random.Generator(np.random.PCG64(1))
    first, second = list(random.normal(100, 5, 60)), list(random.normal(130, 5, 60))
    found = difference_of_medians(first, second, seed=3)
    assert found is not None
    assert 20 < found.interval.low < found.of_medians < found.interval.high < 40
    assert found == difference_of_medians(first, second, seed=3)
    assert found != difference_of_medians(first, second, seed=4)


def test_no_difference_holds_zero() -> None:
    values = [float(value) for value in range(50)]
    found = difference_of_medians(values, values)
    assert found is not None
    assert found.of_medians == 0
    assert found.interval.low < 0 < found.interval.high
    assert difference_of_medians([], values) is None


# By hand: U 0 of 12.5, variance 25 * 11 / 12; with ties of 2, 3, 3, 2, U 3 and variance 25 / 12 * (11 - 60 / 90).
def test_mann_whitney_of_samples_apart_and_of_the_same() -> None:
    apart = mann_whitney([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])
    assert apart == pytest.approx(math.erfc(12 / math.sqrt(275 / 12) / math.sqrt(2)))
    assert apart == pytest.approx(0.012186, abs=1e-6)
    tied = mann_whitney([1, 1, 2, 2, 3], [2, 3, 3, 4, 4])
    assert tied == pytest.approx(0.052412, abs=1e-6)
    assert mann_whitney([1, 2, 3], [1, 2, 3]) == 1.0
    assert mann_whitney([5, 5], [5, 5]) == 1.0
    assert mann_whitney([], [1]) == 1.0


@given(times, times)
def test_mann_whitney_does_not_mind_which_is_first(first: list[float], second: list[float]) -> None:
    p = mann_whitney(first, second)
    assert 0 <= p <= 1
    assert p == pytest.approx(mann_whitney(second, first))


def test_failures_rank_last() -> None:
    good = [float(value) for value in range(20)]
    assert mann_whitney(good, [FAILED] * 20) < 0.001


# The lady tasting tea (Fisher 1935), three of four right; and counts of R's fisher.test.
@pytest.mark.parametrize(
    ("counts", "p"), [((1, 4, 3, 4), 0.485714), ((0, 50, 7, 50), 0.012488), ((0, 20, 0, 20), 1.0), ((3, 3, 0, 3), 0.1)]
)
def test_fisher(counts: tuple[int, int, int, int], p: float) -> None:
    assert fisher_exact(*counts) == pytest.approx(p, abs=1e-5)
