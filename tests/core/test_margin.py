"""How far synthesis ran ahead, against a listener that is played out sample by sample."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.margin import Margin

FRAME_S = 0.02


def margin_of(pieces: Sequence[tuple[float, float]], *, start_s: float = 0.0, held_s: float = 0.0) -> float | None:
    """`pieces` are (instant, seconds of audio); the listener begins with the first one, at `start_s`."""
    margin, made_s = Margin(), 0.0
    for number, (now_s, length_s) in enumerate(pieces):
        made_s += length_s
        margin.audio_came(made_s, held_s, now_s)
        if number == 0:
            margin.began(start_s)
    return margin.least_s


def test_one_piece_is_at_no_risk() -> None:
    assert margin_of([(0.0, 1.0)]) is None
    assert Margin().least_s is None


@pytest.mark.parametrize(
    ("pieces", "least_s"),
    [
        ([(0.0, 1.0), (0.4, 1.0)], 0.6),
        ([(0.0, 1.0), (0.4, 1.0), (1.9, 1.0)], 0.1),
        ([(0.0, 1.0), (1.0, 1.0)], 0.0),
        ([(0.0, 1.0), (1.3, 1.0)], -0.3),
        ([(0.0, 1.0), (1.3, 1.0), (2.4, 1.0)], -0.4),
    ],
    ids=["ahead", "the smallest", "just in time", "a gap", "two gaps: the prebuffer that would have hidden both"],
)
def test_the_smallest_distance_counts(pieces: list[tuple[float, float]], least_s: float) -> None:
    assert margin_of(pieces) == pytest.approx(least_s)


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0.01, 1)), min_size=2, max_size=20))
def test_it_is_the_prebuffer_that_hides_every_gap(waits: list[tuple[float, float]]) -> None:
    """A listener that waits so much longer before it begins never runs out; one that waits 1 ms less does."""
    now_s, pieces = 0.0, []
    for wait_s, length_s in waits:
        pieces.append((now_s, length_s))
        now_s += wait_s
    least_s = margin_of(pieces)
    assert least_s is not None

    def runs_out(prebuffer_s: float) -> bool:
        until_s = prebuffer_s + pieces[0][1]
        for at_s, length_s in pieces[1:]:
            if at_s > until_s + 1e-9:
                return True
            until_s += length_s
        return False

    assert not runs_out(max(0.0, -least_s))
    if least_s < -0.001:
        assert runs_out(-least_s - 0.001)


def test_what_waits_in_the_outbox_is_no_risk() -> None:
    """The listener took its audio late; synthesis was there."""
    assert margin_of([(0.0, 1.0), (9.0, 1.0)], held_s=0.5) == 0.5


def test_text_that_comes_late_is_not_the_synthesis_doing() -> None:
    margin = Margin()
    margin.text_came(0.0)
    margin.audio_came(1.0, 0.0, 0.2)
    margin.began(0.2)
    margin.text_came(5.0)
    margin.audio_came(2.0, 0.0, 5.3)
    assert margin.least_s == pytest.approx(-0.3), "but what it took from there is"
    margin.text_came(1.0)
    margin.audio_came(3.0, 0.0, 5.4)
    assert margin.least_s == pytest.approx(-0.3), "text that was there in time moves nothing"


def test_a_listener_begins_when_it_has_heard_the_turn_before() -> None:
    assert margin_of([(0.0, 1.0), (1.5, 1.0)], start_s=2.0) == pytest.approx(1.5)
