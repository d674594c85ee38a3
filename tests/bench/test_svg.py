"""Scales and shapes."""

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from relay.bench.svg import FAILED_AT, LEFT, RIGHT, plot, scale_of, text, thinned

values = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=30)


@given(values)
def test_every_value_is_within_the_picture_and_in_its_order(found: list[float]) -> None:
    scale = scale_of(found)
    places = [scale.at(value) for value in sorted(found)]
    assert places == sorted(places)
    assert all(LEFT <= place <= RIGHT for place in places)


@given(values)
def test_ticks_are_few_round_and_within(found: list[float]) -> None:
    scale = scale_of(found)
    ticks = scale.ticks()
    assert len(ticks) <= 12
    assert all(scale.low <= tick <= scale.high * 1.0001 for tick in ticks)
    assert ticks == sorted(ticks)


def test_it_begins_at_zero_unless_that_would_hide_the_small() -> None:
    assert scale_of([100, 900]).at(0) == LEFT
    assert not scale_of([100, 900]).logarithmic
    assert scale_of([1, 900]).logarithmic
    assert scale_of([-5, 10]).low < -5
    assert scale_of([]).ticks()


def test_what_never_happened_stands_apart() -> None:
    assert scale_of([1, math.inf]).at(math.inf) == FAILED_AT > RIGHT


def test_words_are_escaped() -> None:
    picture = plot([text(1, 2, "<b>&")], 10, 'a "label" <i>')
    assert "<b>" not in picture
    assert re.findall(r"<(\w+)", picture) == ["svg", "text"]


@given(values, st.integers(2, 40))
def test_thinning_keeps_the_ends(found: list[float], most: int) -> None:
    kept = thinned(found, most)
    assert len(kept) == min(len(found), most)
    assert (kept[0], kept[-1]) == (min(found), max(found))
