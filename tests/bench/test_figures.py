"""How figures are written."""

import pytest

from relay.bench.figures import dollars, interval_text, ms, stage_value
from relay.bench.prices import KNOWN, price_given
from relay.bench.stats import FAILED, Interval


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.4, "1,234"), (184.2, "184"), (18.44, "18.4"), (1.844, "1.84"), (-8.15, "-8.15"), (FAILED, "failed")],
)
def test_times_have_three_figures(value: float, text: str) -> None:
    assert ms(value) == text


def test_a_ratio_is_no_time() -> None:
    assert stage_value("rtf", 0.0123) == "0.012"
    assert stage_value("rtf", FAILED) == "failed"


def test_what_cannot_be_said_is_said() -> None:
    assert interval_text("ttfa_ms", None) == "too few"
    assert interval_text("ttfa_ms", Interval(10, FAILED)) == "10.0 – failed"


@pytest.mark.parametrize(
    ("usd", "text"),
    [(None, "unknown"), ((0.0, 0.0), "$0.00"), ((0.002, 0.002), "$0.0020"), ((0.5, 2.0), "$0.50 – $2.00")],
)
def test_dollars(usd: tuple[float, float] | None, text: str) -> None:
    assert dollars(usd) == text


def test_a_price_is_known_with_its_source_or_given() -> None:
    assert price_given(15).of(2_000_000) == (30, 30)
    assert KNOWN["espeak"].of(10**6) == (0, 0)
    low, high = KNOWN["bland"].of(400)
    assert low == pytest.approx(0.02)
    assert high == pytest.approx(0.08)
    assert all(price.source for price in KNOWN.values())
