"""What a measurement costs, as far as that is known. Pure.

A price is stated only with its source; where the provider tells what a reply cost, that counts and not the price.
"""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["KNOWN", "Price", "price_given"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for a million characters: between `low` and `high`, where it depends on the plan."""

    low: float
    high: float
    source: str

    def of(self, chars: int) -> tuple[float, float]:
        """The least and the most that so many characters cost, in US dollars."""
        return self.low * chars / 1e6, self.high * chars / 1e6


KNOWN: Mapping[str, Price] = {
    "hibari": Price(low=0, high=0, source="runs on this machine"),
    "espeak": Price(low=0, high=0, source="runs on this machine"),
    "bland": Price(low=50, high=200, source="USD 0.02 per 100 to 400 characters, by plan (vendor's documentation)"),
}


def price_given(usd_per_million_chars: float) -> Price:
    """What the user says it costs."""
    return Price(low=usd_per_million_chars, high=usd_per_million_chars, source="given")
