"""Statistics of samples of times. Pure; what is drawn at random is drawn from a seed.

A turn that failed is a time of `FAILED`: infinite, for its audio never came. So a failure is never left out of a
distribution, and never counts as a fast turn: a p90 says within what time nine of ten turns began, of all that were
asked for.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FAILED",
    "Difference",
    "Interval",
    "difference_of_medians",
    "fisher_exact",
    "mann_whitney",
    "median_interval",
    "quantile",
]

FAILED = math.inf

# Draws of a bootstrap: the ends of an interval of 95 % are then the 100th of 4,000 from either side, which moves by
# less than the interval's own width matters.
BOOTSTRAP_DRAWS = 4000


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`; a `high` of `FAILED` means that the sample sets no bound."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far apart two medians are, second minus first, and between which bounds the true distance lies."""

    of_medians: float
    interval: Interval


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0..1) of the sample lies: linear between neighbours, as numpy's default is.
    FAILED where a neighbour is, since there is nothing between a time and never. Raises ValueError for no values."""
    if not values:
        raise ValueError("no values, no quantile")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    part = place - below
    if not part:
        return ordered[below]
    low, high = ordered[below], ordered[below + 1]
    return low if low == high else low + (high - low) * part


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval | None:
    """Between which two of the sample the median of what it was drawn from lies, with at least that confidence.

    By order statistics: how many of n values fall below the true median is a binomial of n and a half, whatever the
    distribution. None where the whole sample is not enough (fewer than six values at 95 %).
    """
    count = len(values)
    # In whole numbers: of 2**count equally likely ways, those in the tail and those it may hold.
    allowed = Fraction(1 - confidence) / 2 * 2**count
    left_out, ways, tail = 0, 1, 1
    while left_out < count and tail <= allowed:
        ways = ways * (count - left_out) // (left_out + 1)
        tail += ways
        left_out += 1
    if not left_out:
        return None
    ordered = sorted(values)
    return Interval(ordered[left_out - 1], ordered[count - left_out])


def difference_of_medians(
    first: Sequence[float], second: Sequence[float], *, confidence: float = 0.95, seed: int = 0
) -> Difference | None:
    """By bootstrap (percentiles): both samples are drawn again from themselves. None for an empty sample.

    Of finite values only: failures are compared by their number.
    """
    if not first or not second:
        return None
    assert all(map(math.isfinite, (*first, *second))), "failures are compared by their number"
    random = np.random.Generator(np.random.PCG64(seed))
    apart = _resampled_medians(random, second) - _resampled_medians(random, first)
    tail = (1 - confidence) / 2
    low, high = np.quantile(apart, (tail, 1 - tail))
    return Difference(
        of_medians=quantile(second, 0.5) - quantile(first, 0.5), interval=Interval(float(low), float(high))
    )


def _resampled_medians(random: np.random.Generator, values: Sequence[float]) -> NDArray[np.float64]:
    sample = np.asarray(values, np.float64)
    # One row at a time would be slow, all at once large: a thousand turns are 8 MB in each of four strides.
    stride = BOOTSTRAP_DRAWS // 4
    rows = [sample[random.integers(0, len(sample), (stride, len(sample)))] for _ in range(4)]
    return np.concatenate([np.median(each, axis=1) for each in rows])


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    """How likely two samples of one distribution are to differ in rank at least so much: the two-sided p-value of the
    Mann-Whitney U test, by the normal approximation with corrections for ties and continuity. Infinite values rank
    last, so failures count. 1.0 for an empty sample."""
    if not first or not second:
        return 1.0
    count_1, count_2 = len(first), len(second)
    ranks, ties = _ranks([*first, *second])
    u = sum(ranks[:count_1]) - count_1 * (count_1 + 1) / 2
    total = count_1 + count_2
    variance = count_1 * count_2 / 12 * (total + 1 - sum(tie**3 - tie for tie in ties) / (total * (total - 1)))
    if variance <= 0:
        return 1.0
    z = max(0.0, abs(u - count_1 * count_2 / 2) - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))


def _ranks(values: Sequence[float]) -> tuple[list[float], list[int]]:
    """The rank of each value, from 1, equal ones sharing the mean of theirs; and how many share each rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks, ties = [0.0] * len(values), []
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in order[start:end]:
            ranks[place] = (start + 1 + end) / 2
        ties.append(end - start)
        start = end
    return ranks, ties


def fisher_exact(failed_1: int, count_1: int, failed_2: int, count_2: int) -> float:
    """How likely one rate of failure is to give two counts at least so uneven: Fisher's exact test, two-sided."""
    failed, total = failed_1 + failed_2, count_1 + count_2

    def likely(in_first: int) -> float:
        ways = _log_ways(count_1, in_first) + _log_ways(count_2, failed - in_first) - _log_ways(total, failed)
        return math.exp(ways)

    seen = likely(failed_1)
    possible = range(max(0, failed - count_2), min(failed, count_1) + 1)
    # A hair more than what was seen still counts as equally unlikely: these are rounded.
    return min(1.0, sum(p for in_first in possible if (p := likely(in_first)) <= seen * (1 + 1e-7)))


def _log_ways(total: int, chosen: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)
