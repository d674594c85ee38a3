"""A provider that turned requests away: how long it is left alone, and how it is asked again."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.engine.closure import FIRST_BELIEVED_S, FREE, LONGEST_CLOSURE_S, PROVEN, STEP_S, Closure, Trial


def refuse(closure: Closure, now_s: float, asked_s: float = 0.0) -> None:
    closure.refused(closure.given(), now_s, asked_s)


def at_once(closure: Closure, now_s: float) -> list[Trial]:
    """The requests that are let in now, none of them answered."""
    admitted: list[Trial] = []
    while closure.admits(now_s) and len(admitted) < 1000:
        admitted.append(closure.given())
    return admitted


@pytest.mark.parametrize("asked_s", [30.1, 3600.0, 1e9, math.inf])
def test_what_refusals_can_close_is_capped_and_the_first_is_believed_least(asked_s: float) -> None:
    closure = Closure()
    refuse(closure, 100.0, asked_s)
    assert closure.reopens_s(100.0) == 100.0 + FIRST_BELIEVED_S
    refuse(closure, 105.0, asked_s)
    assert closure.reopens_s(105.0) == 105.0 + 2 * FIRST_BELIEVED_S
    for _ in range(50):
        refuse(closure, 101.0, asked_s)
    assert closure.reopens_s(101.0) == 101.0 + LONGEST_CLOSURE_S


def test_a_pause_that_is_asked_for_is_kept_but_for_one_probe() -> None:
    closure = Closure()
    refuse(closure, 100.0, 4.0)
    assert not closure.admits(101.9)
    assert closure.next_look_s(101.9) == 102.0
    assert len(at_once(closure, 102.0)) == 1, "half way through, one"
    assert not closure.admits(103.9)
    assert closure.next_look_s(103.9) == 104.0


def test_an_answered_probe_reopens() -> None:
    closure = Closure()
    refuse(closure, 100.0, 3600.0)
    [probe] = at_once(closure, 105.0)
    closure.answered(probe, 105.2)
    assert closure.reopens_s(105.2) == 105.2
    assert len(at_once(closure, 105.2)) == PROVEN


def test_a_refused_probe_closes_again() -> None:
    closure = Closure()
    refuse(closure, 100.0, 3600.0)
    [probe] = at_once(closure, 105.0)
    closure.refused(probe, 106.0, 3600.0)
    assert closure.reopens_s(106.0) == 126.0
    assert not closure.admits(115.9)
    assert closure.admits(116.0)


def test_a_probe_without_an_answer_makes_room_for_another() -> None:
    closure = Closure()
    refuse(closure, 100.0, 10.0)
    [probe] = at_once(closure, 105.0)
    closure.left(probe)
    closure.left(probe)
    assert len(at_once(closure, 105.0)) == 1


def test_whoever_waited_comes_back_a_few_at_a_time() -> None:
    closure = Closure()
    refuse(closure, 100.0, 1.0)
    [first] = at_once(closure, 101.0)
    assert closure.next_look_s(101.0) == 101.0 + STEP_S
    assert len(at_once(closure, 101.0 + STEP_S)) == 1, "two without an answer"
    closure.answered(first, 101.0 + STEP_S)
    assert len(at_once(closure, 101.0 + STEP_S)) == 3, "four without an answer"
    # A provider that does not answer holds them back no longer than this.
    assert len(at_once(closure, 101.0 + STEP_S * FREE.bit_length())) == 1000
    assert closure.next_look_s(200.0) == math.inf


def test_refusals_that_do_not_say_until_when_close_from_the_second_on_and_double() -> None:
    closure, now_s, pauses = Closure(), 100.0, []
    for _ in range(9):
        refuse(closure, now_s)
        pauses.append(closure.reopens_s(now_s) - now_s)
        now_s = closure.reopens_s(now_s) + 1.0
    assert pauses == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    closure.answered(closure.given(), now_s + 10)
    refuse(closure, now_s + 10)
    assert closure.reopens_s(now_s + 10) == now_s + 10, "the answer has begun it anew"


def test_a_burst_that_was_sent_together_counts_once() -> None:
    closure = Closure()
    burst = [closure.given() for _ in range(20)]
    for trial in burst[:10]:
        closure.refused(trial, 100.0, 0.0)
    assert closure.admits(100.0)
    # One of them may still say for how long.
    closure.refused(burst[10], 100.1, 2.0)
    assert closure.reopens_s(100.1) == 102.1
    closure.refused(burst[11], 100.2, 1.0)
    assert closure.reopens_s(100.2) == 102.1, "never shortened by another"


def test_an_old_answer_does_not_reopen() -> None:
    closure = Closure()
    before = closure.given()
    refuse(closure, 100.0, 10.0)
    closure.answered(before, 101.0)
    assert closure.reopens_s(101.0) == 110.0


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.inf, math.nan])
def test_impossible_settings(wrong: float) -> None:
    with pytest.raises(ValueError, match="longest_closure_s"):
        Closure(wrong)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["give", "answer", "refuse", "leave", "wait"]), st.floats(0, 5000), st.integers(min_value=0)
    ),
    max_size=60,
)


@given(STEPS)
def test_it_always_reopens_and_counts_right(steps: list[tuple[str, float, int]]) -> None:
    closure, now_s = Closure(), 0.0
    out: list[Trial] = []
    for what, number, which in steps:
        if what == "give" and closure.admits(now_s):
            out.append(closure.given())
        elif what == "wait":
            now_s += number / 1000
        elif out and what in ("answer", "refuse", "leave"):
            trial = out.pop(which % len(out))
            if what == "answer":
                closure.answered(trial, now_s)
            elif what == "refuse":
                closure.refused(trial, now_s, number)
            closure.left(trial)
        assert now_s <= closure.reopens_s(now_s) <= now_s + LONGEST_CLOSURE_S
        assert closure.next_look_s(now_s) > now_s or closure.admits(now_s) or out
        assert 0 <= closure._unanswered <= len(out)
    for trial in out:
        closure.left(trial)
    assert closure._unanswered == 0
    assert closure.admits(closure.reopens_s(now_s))
    assert closure.next_look_s(now_s + 60) == math.inf
