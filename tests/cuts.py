"""The cuts that are public, and one for hypothesis, which the package itself does without."""

from hypothesis import strategies as st

from relay.testing.cuts import (
    CUTS,
    Cut,
    byte_by_byte,
    first_byte_apart,
    last_byte_apart,
    odd_sizes,
    run,
    seeded_random,
    threes,
    whole,
)

__all__ = [
    "CUTS",
    "Cut",
    "byte_by_byte",
    "cuts_of",
    "first_byte_apart",
    "last_byte_apart",
    "odd_sizes",
    "run",
    "seeded_random",
    "threes",
    "whole",
]


def cuts_of(data: bytes, max_cuts: int = 12) -> st.SearchStrategy[list[bytes]]:
    """Pieces, empty ones among them, that join to `data`."""
    places = st.lists(st.integers(0, len(data)), max_size=max_cuts).map(sorted)
    return places.map(lambda cuts: [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)])
