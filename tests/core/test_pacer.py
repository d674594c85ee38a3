"""When frames may leave: deadlines, lead, stalls, credit. Time is a number here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.events import Pacing
from relay.core.formats import AudioRequest, FrameFormat
from relay.core.pacer import AT_ONCE_S, NEVER_S, RAN_DRY_S, Pacer

FORM: FrameFormat = AudioRequest().resolve(24000)  # 20 ms frames of 480 samples
STEP = FORM.frame_samples


def realtime(lead_ms: int = 200, **options: float) -> Pacer:
    return Pacer(Pacing(mode="realtime", lead_ms=lead_ms), FORM, **options)  # type: ignore[arg-type]


def leave(pacer: Pacer, pts: int, now_s: float) -> None:
    assert pacer.leave(pts, now_s) == AT_ONCE_S


def test_fast_frames_leave_at_once() -> None:
    pacer = Pacer(Pacing(), FORM)
    for index in range(100):
        assert pacer.ready_s(index * STEP) == AT_ONCE_S
        leave(pacer, index * STEP, 5.0)
    assert pacer.playout_end_s == pytest.approx(7.0)


def test_realtime_frames_leave_a_lead_before_they_are_due() -> None:
    pacer = realtime()
    assert pacer.ready_s(0) == AT_ONCE_S, "the first frame waits for nothing"
    leave(pacer, 0, 10.0)
    for index in range(1, 50):
        assert pacer.ready_s(index * STEP) == pytest.approx(10.0 + index * 0.02 - 0.2)


@given(st.lists(st.floats(0, 0.09), min_size=1, max_size=200), st.integers(0, 1000))
def test_lateness_never_adds_up(delays_s: list[float], lead_ms: int) -> None:
    """However late each frame leaves, the next one's deadline is where it always was."""
    pacer = realtime(lead_ms)
    leave(pacer, 0, 10.0)
    for index, delay_s in enumerate(delays_s, start=1):
        ready_s = pacer.ready_s(index * STEP)
        assert ready_s == pytest.approx(10.0 + index * 0.02 - lead_ms / 1000)
        leave(pacer, index * STEP, ready_s + delay_s)
    assert pacer.ran_dry == 0


def test_a_stall_within_the_lead_is_caught_up_at_once() -> None:
    pacer = realtime()
    leave(pacer, 0, 10.0)
    late_s = 10.3
    overdue = [index for index in range(1, 100) if pacer.ready_s(index * STEP) <= late_s]
    assert overdue == list(range(1, 26)), "all up to the lead beyond the listener's position may leave together"


def test_after_running_dry_no_more_than_the_lead_is_sent_ahead() -> None:
    pacer = realtime()
    leave(pacer, 0, 10.0)
    resumed_s = 15.0
    leave(pacer, STEP, resumed_s)
    ready = [index for index in range(2, 100) if pacer.ready_s(index * STEP) <= resumed_s + 1e-6]
    assert ready == list(range(2, 12)), "200 ms after the frame that broke the silence"
    assert pacer.ran_dry == 1
    assert pacer.ran_dry_s == pytest.approx(4.98)


def test_lateness_a_listener_hides_does_not_move_the_schedule() -> None:
    pacer = realtime(lead_ms=0)
    leave(pacer, 0, 10.0)
    leave(pacer, STEP, 10.02 + RAN_DRY_S)
    assert pacer.ready_s(2 * STEP) == pytest.approx(10.04)


def test_a_second_turn_does_not_add_its_lead_to_the_first_ones() -> None:
    first = realtime()
    leave(first, 0, 10.0)
    leave(first, 49 * STEP, 10.8)
    assert first.playout_end_s == pytest.approx(11.0)
    second = realtime(not_before_s=first.playout_end_s)
    assert second.ready_s(0) == pytest.approx(10.8)
    leave(second, 0, 10.8 + 1e-9)
    assert second.ready_s(STEP) == pytest.approx(10.82)
    assert second.playout_end_s == pytest.approx(11.02)


def test_a_turn_that_sent_nothing_keeps_the_end_of_the_one_before() -> None:
    assert realtime(not_before_s=12.0).playout_end_s == 12.0


def test_credit_bounds_what_is_sent() -> None:
    pacer = Pacer(Pacing(), FORM, window_ms=50)
    assert pacer.ready_s(0) == pacer.ready_s(STEP) == AT_ONCE_S
    assert pacer.ready_s(2 * STEP) == NEVER_S, "the third frame would end at 60 ms"
    pacer.grant(10)
    assert pacer.ready_s(2 * STEP) == AT_ONCE_S
    assert pacer.ready_s(3 * STEP) == NEVER_S


def test_credit_and_pacing_both_hold() -> None:
    pacer = realtime(lead_ms=0, window_ms=40)
    leave(pacer, 0, 10.0)
    assert pacer.ready_s(STEP) == pytest.approx(10.02)
    assert pacer.ready_s(2 * STEP) == NEVER_S


def test_a_grant_without_a_window_changes_nothing() -> None:
    pacer = Pacer(Pacing(), FORM)
    pacer.grant(100)
    assert pacer.ready_s(0) == AT_ONCE_S


def test_lateness_is_counted_from_the_instant_a_frame_might_have_left() -> None:
    pacer = realtime(lead_ms=0)
    leave(pacer, 0, 10.0)
    for index, late_s in enumerate((0.0005, 0.0015, 0.0015, 0.03, 0.15), start=1):
        assert pacer.leave(index * STEP, 10.0) == pytest.approx(10.0 + index * 0.02), "not yet"
        leave(pacer, index * STEP, 10.0 + index * 0.02 + late_s)
    leave(pacer, 6 * STEP, 11.0)  # the provider's lateness: nothing waited
    assert pacer.lateness == [1, 2, 0, 0, 0, 1, 0, 1]


def test_frames_that_are_not_paced_are_never_late() -> None:
    pacer = Pacer(Pacing(), FORM)
    for index in range(5):
        leave(pacer, index * STEP, 10.0 + index)
    assert sum(pacer.lateness) == 0
