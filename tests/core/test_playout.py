"""When audio, events and ends leave, and in which pieces. Time is a number here."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.events import Pacing
from relay.core.formats import AudioFormat, AudioRequest, Encoding, FrameFormat, Tail
from relay.core.listener_clock import RAN_DRY_S
from relay.core.playout import (
    AT_ONCE_S,
    HIGH_WATER_MS,
    LOW_WATER_MS,
    MAX_URGENT,
    NEVER_S,
    Ended,
    Playout,
    Run,
    UrgentFull,
)
from relay.core.timings import Stage, TurnTimings
from relay.errors import InternalError
from tests.core.listener import Listener
from tests.covering import each
from tests.cuts import CUTS, Cut

FORM: FrameFormat = AudioRequest().resolve(24000)  # 20 ms frames of 480 samples, 960 bytes
FRAME_S = 0.02
ALL = 1 << 40
FAST = Pacing()


def realtime(lead_ms: int = 200, burst_ms: int | None = None) -> Pacing:
    return Pacing(mode="realtime", lead_ms=lead_ms, burst_ms=burst_ms)


def sound(ms: float, form: FrameFormat = FORM) -> bytes:
    return random.Random(ms).randbytes(form.samples_in(ms) * form.audio.block_align)


def frames_of(left: list[Any]) -> int:
    return sum(item.frames for item in left if isinstance(item, Run))


def bytes_of(left: list[Any]) -> bytes:
    return b"".join(item.payload for item in left if isinstance(item, Run))


class Line:
    """A playout, and the clock that asks it in time."""

    def __init__(self, now_s: float = 10.0) -> None:
        self.playout = Playout()
        self.now_s = now_s
        self.left: list[Any] = []
        # How many frames left when, in the order in which they did.
        self.groups: list[tuple[float, int]] = []

    def turn(
        self,
        turn_id: str,
        pacing: Pacing = FAST,
        ms: float = 0,
        *,
        form: FrameFormat = FORM,
        window_ms: int | None = None,
        ends: bool = False,
    ) -> "Line":
        self.playout.open(turn_id, pacing, window_ms)
        self.playout.set_format(turn_id, form)
        self.playout.feed(turn_id, sound(ms, form))
        if ends:
            self.playout.end(turn_id)
        return self

    def due(self, now_s: float | None = None, room_bytes: int = ALL) -> list[Any]:
        if now_s is not None:
            self.now_s = now_s
        left = self.playout.due(self.now_s, room_bytes)
        self.left += left
        if frames := frames_of(left):
            self.groups.append((round(self.now_s, 6), frames))
        return left

    def play_until(self, end_s: float) -> None:
        self.due()
        while self.playout.next_due_s <= end_s:
            self.due(max(self.now_s, self.playout.next_due_s))
        self.now_s = end_s


# Groups.


def test_the_first_frames_leave_as_they_come_and_then_groups_do() -> None:
    line = Line().turn("a", realtime(200, 100), 1000)
    line.play_until(10.5)
    assert line.groups == [(10.0, 10), (10.1, 5), (10.2, 5), (10.3, 5), (10.4, 5), (10.5, 5)]


def test_a_group_is_half_of_the_lead_where_nothing_is_said() -> None:
    line = Line().turn("a", realtime(400), 2000)
    line.play_until(10.7)
    assert line.groups == [(10.0, 20), (10.2, 10), (10.4, 10), (10.6, 10)]


def test_a_group_is_one_run_and_one_slice() -> None:
    line = Line().turn("a", realtime(), 1000)
    line.due()
    [run] = line.due(10.1)
    assert run.payload == sound(1000)[run.first_sample * 2 :][: 5 * 960]
    assert (run.frames, run.samples, run.padding, run.last) == (5, 2400, 0, False)


def test_without_groups_each_frame_leaves_at_its_own_instant() -> None:
    line = Line().turn("a", realtime(200, 0), 1000)
    line.play_until(10.1)
    assert line.groups == [(10.0, 11), (10.02, 1), (10.04, 1), (10.06, 1), (10.08, 1), (10.1, 1)]


def test_without_a_lead_each_frame_leaves_when_it_is_to_be_heard() -> None:
    line = Line().turn("a", realtime(0), 1000)
    line.play_until(10.1)
    assert line.groups == [(10.0, 1), (10.02, 1), (10.04, 1), (10.06, 1), (10.08, 1), (10.1, 1)]


def test_a_lead_that_is_no_multiple_of_a_frame_is_not_exceeded_by_a_group() -> None:
    line = Line().turn("a", realtime(90, 50), 1000)
    line.play_until(10.2)
    assert line.groups == [(10.0, 4), (10.04, 2), (10.08, 2), (10.12, 2), (10.16, 2), (10.2, 2)]


def test_frames_that_come_slowly_leave_as_they_come_until_the_lead_is_full() -> None:
    line = Line().turn("a", realtime(200, 100))
    for _ in range(14):
        line.playout.feed("a", sound(40))
        line.due()
        line.now_s += 0.01
    assert line.groups == [(round(10 + 0.01 * index, 6), 2) for index in range(6)] + [(10.06, 1)]
    assert line.playout.held_ms == 14 * 40 - 13 * 20
    line.play_until(10.2)
    assert line.groups[7:] == [(10.16, 5)]


def test_a_provider_that_barely_keeps_up_is_not_held_for_a_group() -> None:
    line = Line().turn("a", realtime())
    for _ in range(100):
        line.playout.feed("a", sound(20))
        assert frames_of(line.due()) == 1
        line.now_s += FRAME_S


@pytest.mark.parametrize("now_s", [0.0, 1e6, 20_000_000.3, 1e9 + 0.7])
def test_groups_are_the_same_however_long_the_machine_has_been_up(now_s: float) -> None:
    line = Line(now_s).turn("a", realtime(), 4000)
    line.play_until(now_s + 2)
    assert [frames for _, frames in line.groups][:20] == [10] + [5] * 19


@given(
    lead_ms=st.integers(0, 500),
    share=st.floats(0, 1),
    frame_ms=st.sampled_from([5, 20, 30, 100]),
    feeds_ms=st.lists(st.integers(1, 300), min_size=1, max_size=20),
    waits_ms=st.lists(st.integers(0, 150), min_size=20, max_size=20),
)
def test_nothing_leaves_before_the_next_instant_and_something_does_at_it(
    lead_ms: int, share: float, frame_ms: int, feeds_ms: list[int], waits_ms: list[int]
) -> None:
    line = Line().turn("a", realtime(lead_ms, int(lead_ms * share)), form=AudioRequest(frame_ms=frame_ms).resolve(0))
    playout = line.playout
    for feed_ms, wait_ms in zip(feeds_ms, waits_ms, strict=False):
        playout.feed("a", sound(feed_ms))
        line.due()
        end_s = line.now_s + wait_ms / 1000
        while (due_s := playout.next_due_s) <= end_s + 1e-5:
            if due_s - 1e-5 > line.now_s:
                assert line.due(due_s - 1e-5) == []
                assert playout.next_due_s == due_s
            assert frames_of(line.due(due_s)) > 0
        assert line.due(max(end_s, line.now_s)) == []


# The lead, over all turns.


def test_the_lead_is_that_of_all_turns_together() -> None:
    """Six turns of 0.6 s: never more than 220 ms ahead, and never less than the lead of a group, of one listener."""
    line = Line()
    for turn_id in "abcdef":
        line.turn(turn_id, realtime(), 600, ends=True)
    listener, until_s = Listener(), 0.0
    while line.playout.waiting:
        for item in line.due():
            if isinstance(item, Run):
                listener.take(item.turn_id, item.frames * FRAME_S, line.now_s, first=item.first_sample == 0)
        lead_s = listener.lead_s(line.now_s)
        assert lead_s <= 0.22 + 1e-6
        assert lead_s == pytest.approx(line.playout.heard(line.now_s))
        if line.playout.next_due_s < NEVER_S:
            assert listener.lead_s(line.playout.next_due_s) >= 0.1 - 1e-6
            line.now_s = line.playout.next_due_s
        until_s = line.now_s
    assert until_s == pytest.approx(10 + 6 * 0.6 - 0.2, abs=0.11), "all is sent as the last of the lead begins"
    assert [item.turn_id for item in line.left if isinstance(item, Ended)] == list("abcdef")


def test_the_first_frame_of_a_turn_waits_for_the_lead_but_never_for_a_group() -> None:
    line = Line().turn("a", realtime(200, 200), 400, ends=True).turn("b", realtime(200, 200), 400)
    line.play_until(10.2)
    assert line.groups == [(10.0, 10), (10.2, 11)], "ten of the first turn, and the first one of the second"
    line = Line().turn("a", realtime(200, 200), 100, ends=True).turn("b", realtime(200, 200), 400)
    assert frames_of(line.due()) == 10, "what fits into the lead leaves at once"


def test_a_turn_with_a_smaller_lead_waits_until_the_lead_has_fallen_to_it() -> None:
    line = Line().turn("a", realtime(200), 200, ends=True).turn("b", realtime(40), 400)
    line.play_until(10.2)
    assert line.groups[:2] == [(10.0, 10), (10.16, 1)]


def test_fast_audio_does_not_count() -> None:
    """After ten minutes of it a paced turn begins at once."""
    line = Line()
    line.playout.open("a", FAST)
    line.playout.set_format("a", FORM)
    for _ in range(600):
        line.playout.feed("a", sound(1000))
        line.due()
    line.playout.end("a")
    assert line.playout.heard(10.0) == 0
    assert frames_of(line.turn("b", realtime(), 400).due()) == 10


def test_a_fast_turn_does_not_wait_for_paced_audio_nor_empty_the_clock() -> None:
    line = Line().turn("a", realtime(), 200, ends=True).turn("b", FAST, 1000, ends=True).turn("c", realtime(), 400)
    line.play_until(10.1)
    assert line.groups == [(10.0, 10 + 50 + 1)]
    assert line.playout.next_due_s == pytest.approx(10.12)


# Stalls.


@pytest.mark.parametrize("lead_ms", [0, 40, 200])
def test_stalls_do_not_change_the_speed(lead_ms: int) -> None:
    """A loop that is held up for 25 ms at a time plays a minute in a minute."""
    line = Line().turn("a", realtime(lead_ms))
    sent = 0
    for tick in range(60 * 40):
        while line.playout.wants("a"):
            line.playout.feed("a", sound(100))
        sent += frames_of(line.due(10 + tick * 0.025))
    assert sent * FRAME_S == pytest.approx(60, abs=0.3)
    assert line.playout.heard(line.now_s + 0.001) <= lead_ms / 1000 + FRAME_S


def test_instants_do_not_drift() -> None:
    line = Line().turn("a", realtime(0), form=AudioRequest(sample_rate=11025, frame_ms=40).resolve(0))
    form = AudioRequest(sample_rate=11025, frame_ms=40).resolve(0)
    for _ in range(225):
        line.playout.feed("a", sound(4000, form))
        line.play_until(line.now_s + 4)
    at_s = [at_s for at_s, _ in line.groups]
    assert at_s[-1] == pytest.approx(10 + 0.04 * (len(at_s) - 1), abs=1e-4)


def test_a_stall_within_the_lead_is_caught_up_at_once() -> None:
    line = Line().turn("a", realtime(), 1000)
    line.due()
    assert frames_of(line.due(10.15)) == 7, "all that fits into the lead again"
    assert frames_of(line.due(10.43)) == 14, "and the lateness that a listener hides"


def test_after_running_dry_no_more_than_the_lead_is_sent_ahead() -> None:
    line = Line()
    sent = line.playout.open("a", realtime())
    line.playout.set_format("a", FORM)
    line.playout.feed("a", sound(20))
    line.due()
    line.playout.feed("a", sound(1000))
    assert frames_of(line.due(15.0)) == 10
    assert sent.ran_dry == 1
    assert sent.ran_dry_s == pytest.approx(4.98)


def test_lateness_a_listener_hides_does_not_move_the_schedule() -> None:
    line = Line().turn("a", realtime(0), 1000)
    line.due()
    line.due(10.02 + RAN_DRY_S - 0.001)
    assert line.playout.next_due_s == pytest.approx(10.12), "all five that it needed have left"


def test_lateness_is_that_of_the_instant_at_which_the_listener_needed_the_frame() -> None:
    line = Line()
    sent = line.playout.open("a", realtime(0))
    line.playout.set_format("a", FORM)
    line.playout.feed("a", sound(120))
    line.due()
    for index, late_s in enumerate((0.0005, 0.0015, 0.0015, 0.029, 0.15), start=1):
        line.due(10.0 + index * 0.02 - 0.011)
        line.due(10.0 + index * 0.02 + late_s)
    line.playout.feed("a", sound(20))
    line.due(12.0)  # the provider's lateness: nothing waited
    # The frame 29 ms late brings the next one, then 9 ms late, with it.
    assert sum(sent.lateness) == 5
    assert sent.lateness[:6] == [1, 2, 0, 1, 0, 1]


def test_the_frames_of_a_group_are_not_late() -> None:
    line = Line()
    sent = line.playout.open("a", realtime(200, 200))
    line.playout.set_format("a", FORM)
    line.playout.feed("a", sound(1000))
    line.play_until(10.8)
    assert sent.lateness == [40, 0, 0, 0, 0, 0, 0, 0]
    line.due(11.003)
    assert sum(sent.lateness) == 40, "all has left"


def test_fast_frames_are_never_late_and_never_run_dry() -> None:
    line = Line()
    sent = line.playout.open("a", FAST)
    line.playout.set_format("a", FORM)
    for index in range(5):
        line.playout.feed("a", sound(20))
        line.due(10.0 + index)
    assert (sum(sent.lateness), sent.ran_dry) == (0, 0)


# Cancels.


def test_nothing_of_cancelled_turns_leaves_and_the_others_go_on() -> None:
    line = Line().turn("a", realtime(), 500, ends=True).turn("b", realtime(), 300).turn("c", FAST)
    line.playout.mark("b", "event")
    line.due()
    assert line.playout.cancel(["a", "b", "unknown"], 10.0) == {"a": 300.0, "b": 300.0}
    line.playout.feed("b", sound(100))
    line.playout.mark("b", "event")
    line.playout.end("b")
    assert line.due() == []
    assert line.playout.held_ms == 0
    line.playout.feed("c", sound(100))
    [run] = line.due()
    assert (run.turn_id, run.payload) == ("c", sound(100))


@pytest.mark.parametrize("ends", [False, True])
def test_a_cancel_empties_the_listener_of_the_turn_finished_or_not(ends: bool) -> None:
    line = Line().turn("a", realtime(), 180, ends=ends)
    assert frames_of(line.due()) == 9
    assert any(isinstance(item, Ended) for item in line.left) == ends
    line.playout.cancel(["a"], 10.01)
    assert line.playout.heard(10.01) == 0
    assert frames_of(line.turn("b", realtime(), 500).due(10.01)) == 10


def test_what_the_listener_holds_of_other_turns_moves_up() -> None:
    line = Line().turn("a", realtime(), 60, ends=True).turn("b", realtime(), 60, ends=True)
    line.turn("c", realtime(), 60, ends=True).due()
    assert line.playout.hearing(10.0) == "a"
    line.playout.cancel(["b"], 10.02)
    assert line.playout.heard(10.02) == pytest.approx(0.1)
    assert [line.playout.hearing(at_s) for at_s in (10.05, 10.07, 10.13)] == ["a", "c", None]
    line.playout.cancel(["a"], 10.03)
    assert line.playout.heard(10.03) == pytest.approx(0.06)
    line.playout.cancel(["c"], 10.05)
    assert line.playout.heard(10.05) == 0


def test_without_being_forgotten_the_audio_of_a_stopped_turn_is_heard_out() -> None:
    line = Line().turn("a", realtime(), 500).turn("b", realtime(), 500)
    line.due()
    line.playout.cancel(["a"], 10.0, forget=False)
    assert line.playout.heard(10.0) == pytest.approx(0.2)
    line.play_until(10.1)
    assert line.playout.heard(10.1) <= 0.22


def test_a_cancel_of_what_is_not_heard_leaves_the_clock_alone() -> None:
    """Also while a turn that goes on is late: it catches up."""
    line = Line().turn("a", realtime(0), 500).turn("b", realtime(0), 500)
    line.due()
    line.playout.cancel(["b", "unknown"], 10.07)
    assert frames_of(line.due(10.07)) == 3
    assert line.playout.next_due_s == pytest.approx(10.08)


def test_a_listener_that_dropped_everything_is_empty() -> None:
    line = Line().turn("a", realtime(), 200, ends=True)
    line.due()
    line.playout.forget_heard()
    assert (line.playout.heard(10.0), line.playout.hearing(10.0)) == (0, None)
    assert frames_of(line.turn("b", realtime(), 500).due()) == 10


def test_everything_can_be_forgotten() -> None:
    line = Line().turn("a", realtime(), 1500, ends=True)
    line.due()
    line.playout.urgent("answer")
    line.playout.drop_all()
    assert not line.playout.waiting
    assert line.playout.next_due_s == NEVER_S
    assert line.due(20) == []
    assert line.turn("b").playout.wants("b")


# Events.


def test_events_stand_between_samples() -> None:
    line = Line().turn("a", FAST, 30)
    line.playout.mark("a", "second")
    line.playout.mark("a", "first is over", behind=True)
    line.playout.feed("a", sound(90))
    line.playout.mark("a", "all is over", behind=True)
    line.playout.mark("a", "third")
    line.playout.end("a")
    left = [item.frames if isinstance(item, Run) else item for item in line.due()]
    assert left == [1, "second", 1, "first is over", 4, "all is over", "third", Ended("a")]


def test_an_event_ahead_leaves_before_the_frame_that_holds_its_sample_and_not_before_that_is_next() -> None:
    line = Line().turn("a", realtime(0), 50)
    line.playout.mark("a", "ahead")
    line.playout.feed("a", sound(50))
    line.play_until(10.02)
    assert "ahead" not in line.left[:2]
    assert line.left[2:] == ["ahead"], "right behind the frame before"


def test_an_event_behind_waits_for_the_frame_that_holds_what_is_before_it() -> None:
    line = Line().turn("a", FAST, 50)
    line.playout.mark("a", "over", behind=True)
    line.due()
    assert "over" not in line.left
    line.playout.feed("a", sound(10))
    assert [type(item) for item in line.due()] == [Run, str]


def test_while_no_audio_is_on_its_way_an_event_does_not_wait_for_an_unfilled_frame() -> None:
    line = Line().turn("a", FAST, 50)
    line.playout.mark("a", "over", behind=True)
    line.playout.idle("a")
    line.due()
    assert line.left[-1] == "over"
    line.playout.feed("a", sound(5))
    line.playout.mark("a", "again", behind=True)
    assert line.due() == [], "audio came: no longer idle"
    line.playout.idle("a")
    assert line.due() == ["again"]


def test_while_idle_an_event_waits_for_whole_frames() -> None:
    line = Line().turn("a", realtime(0), 25)
    line.playout.mark("a", "over", behind=True)
    line.playout.feed("a", sound(20))
    line.playout.idle("a")
    line.due()
    assert line.due(10.01) == [], "the frame that holds it waits for its instant"
    assert [type(item) for item in line.due(10.02)] == [Run, str]


def test_events_of_a_turn_wait_for_the_turns_before_it_and_need_no_audio() -> None:
    line = Line().turn("a", realtime(0), 40).turn("b")
    line.playout.mark("b", "of b")
    line.playout.end("b")
    line.play_until(11)
    assert "of b" not in line.left
    line.playout.end("a")
    assert line.due() == [Ended("a"), "of b", Ended("b")]


def test_a_turn_without_a_format_ends() -> None:
    playout = Playout()
    playout.open("a", FAST)
    playout.mark("a", "ahead")
    playout.mark("a", "behind", behind=True)
    error = InternalError()
    playout.end("a", error)
    playout.end("a")
    left = [*playout.due(0, 0), *playout.due(0, 0)]
    assert left == ["behind", "ahead", Ended("a", error)]


def test_urgent_answers_pass_the_audio_and_are_bounded() -> None:
    line = Line().turn("a", FAST, 20)
    for index in range(MAX_URGENT):
        line.playout.urgent(index)
    with pytest.raises(UrgentFull):
        line.playout.urgent("too many")
    line.playout.urgent("last", last=True)
    assert line.due(room_bytes=0) == [*range(MAX_URGENT), "last"]
    assert line.playout.next_due_s == AT_ONCE_S
    assert frames_of(line.due()) == 1


# Credit.


@pytest.mark.parametrize("pacing", [FAST, realtime()])
def test_credit_bounds_what_is_sent(pacing: Pacing) -> None:
    line = Line().turn("a", pacing, 500, window_ms=50)
    assert frames_of(line.due()) == 2, "the third frame would end at 60 ms"
    assert line.playout.next_due_s == NEVER_S
    line.playout.grant("a", 10)
    assert frames_of(line.due()) == 1
    line.playout.grant("a", 19)
    assert frames_of(line.due()) == 0
    line.playout.grant("a", 1)
    assert frames_of(line.due()) == 1


def test_credit_and_pacing_both_hold() -> None:
    line = Line().turn("a", realtime(0), 500, window_ms=40)
    line.play_until(11)
    assert line.groups == [(10.0, 1), (10.02, 1)]


def test_credit_that_comes_before_the_format_counts() -> None:
    playout = Playout()
    playout.open("a", FAST, 20)
    playout.grant("a", 20)
    playout.set_format("a", FORM)
    playout.feed("a", sound(100))
    assert frames_of(playout.due(0, ALL)) == 2


def test_a_grant_without_a_window_changes_nothing() -> None:
    line = Line().turn("a", realtime(0), 100)
    line.playout.grant("a", 1000)
    assert frames_of(line.due()) == 1


# Bounds.


def test_above_the_high_water_mark_no_turn_feeds_until_the_low_one() -> None:
    line = Line().turn("a", realtime(0))
    playout = line.playout
    while playout.wants("a"):
        playout.feed("a", sound(100))
    assert playout.held_ms == playout.peak_ms == HIGH_WATER_MS + 100
    line.due()
    wanted_ms = [playout.held_ms]
    while not playout.wants("a"):
        line.due(max(line.now_s, playout.next_due_s))
        wanted_ms.append(playout.held_ms)
    assert wanted_ms[-2] > LOW_WATER_MS >= wanted_ms[-1]


def test_only_the_first_turn_that_has_not_ended_feeds() -> None:
    line = Line().turn("a").turn("b")
    assert [line.playout.wants(turn_id) for turn_id in ("a", "b", "unknown")] == [True, False, False]
    line.playout.end("a")
    assert [line.playout.wants(turn_id) for turn_id in ("a", "b", "unknown")] == [False, True, False]
    line.playout.feed("b", sound(HIGH_WATER_MS + 1))
    assert not line.playout.wants("b")
    line.turn("c")
    line.playout.cancel(["b"], 10.0)
    assert line.playout.wants("c")


@each("frame_ms", [20, 500, 700, 1000])
@each("piece_ms", [1, 370, 600, 999, 1600])
def test_a_turn_feeds_on_when_nothing_is_left_that_could_leave(frame_ms: int, piece_ms: int) -> None:
    """Also where a frame is longer than the low-water mark."""
    form = AudioRequest(frame_ms=frame_ms).resolve(0)
    line = Line().turn("a", form=form)
    for _ in range(20):
        line.due()
        assert line.playout.wants("a")
        while line.playout.wants("a"):
            line.playout.feed("a", sound(piece_ms, form))
        assert line.playout.held_ms <= HIGH_WATER_MS + piece_ms


def test_a_full_socket_takes_what_fits_and_is_asked_again_at_once() -> None:
    line = Line().turn("a", FAST, 200)
    assert frames_of(line.due(room_bytes=3 * 960 - 1)) == 3, "the last one is begun where there is any room"
    assert line.playout.next_due_s == AT_ONCE_S
    assert frames_of(line.due(room_bytes=0)) == 1, "at least one"
    line.due()
    assert bytes_of(line.left) == sound(200)
    assert line.playout.next_due_s == NEVER_S


# Frames.

FORMS = [
    AudioFormat(encoding=encoding, sample_rate_hz=8000, channels=channels)
    for encoding in (Encoding.PCM_S16LE, Encoding.PCM_F32LE, Encoding.MULAW, Encoding.ALAW)
    for channels in (1, 2)
]


@each("cut", CUTS)
@each("tail", ["pad", "short"])
@each("audio", FORMS)
def test_every_cut_gives_the_same_frames(cut: Cut, tail: Tail, audio: AudioFormat) -> None:
    form = FrameFormat(audio=audio, frame_samples=160, tail=tail)
    align = audio.block_align
    for samples in (0, 1, 159, 160, 161, 800, 1234):
        pcm = random.Random(samples).randbytes(samples * align)
        playout = Playout()
        sent = playout.open("a", FAST)
        playout.set_format("a", form)
        left: list[Any] = []
        begin = 0
        for piece in cut(bytes(samples)):
            playout.feed("a", pcm[begin * align : (begin + len(piece)) * align])
            begin += len(piece)
            left += playout.due(0, 1000)
        playout.end("a")
        while playout.waiting:
            left += playout.due(0, 1000)
        padding = -samples % 160 if tail == "pad" else 0
        assert bytes_of(left) == pcm + audio.encoding.silence * (padding * audio.channels)
        assert (sent.frames, sent.samples, sent.padding_samples) == (-(-samples // 160), samples, padding)
        runs = [item for item in left if isinstance(item, Run)]
        assert [run.first_sample for run in runs] == [sum(run.samples for run in runs[:at]) for at in range(len(runs))]
        assert all(len(run.payload) == run.frames * form.frame_bytes for run in runs[:-1])
        assert not any(run.last for run in runs[:-1])


@given(
    data=st.data(),
    samples=st.integers(0, 5000),
    pacing=st.sampled_from([FAST, realtime(0), realtime(40), realtime(200, 0)]),
    audio=st.sampled_from(FORMS),
)
def test_any_cut_and_any_instants_give_the_same_bytes(
    data: st.DataObject, samples: int, pacing: Pacing, audio: AudioFormat
) -> None:
    form = FrameFormat(audio=audio, frame_samples=160)
    pcm = random.Random(samples).randbytes(samples * audio.block_align)
    places = sorted(data.draw(st.lists(st.integers(0, samples), max_size=12)))
    playout, now_s, left = Playout(), 0.0, list[Any]()
    playout.open("a", pacing)
    playout.set_format("a", form)
    for begin, end in zip([0, *places], [*places, samples], strict=True):
        playout.feed("a", pcm[begin * audio.block_align : end * audio.block_align])
        if data.draw(st.booleans()):
            now_s += data.draw(st.floats(0, 0.3))
            left += playout.due(now_s, data.draw(st.sampled_from([0, 500, ALL])))
    playout.end("a")
    while playout.waiting:
        now_s += data.draw(st.floats(0.02, 0.3))
        left += playout.due(now_s, data.draw(st.sampled_from([0, 500, ALL])))
    assert bytes_of(left) == pcm + audio.encoding.silence * (-samples % 160 * audio.channels)
    assert left[-1] == Ended("a")


@pytest.mark.parametrize("pacing", [FAST, realtime(), realtime(0)])
def test_a_header_makes_no_difference_to_when_a_frame_leaves(pacing: Pacing) -> None:
    groups = []
    for header in (False, True):
        line = Line().turn("a", pacing, 410, form=replace(FORM, header=header), ends=True)
        line.play_until(12)
        groups.append((line.groups, bytes_of(line.left)))
    assert groups[0] == groups[1]


def test_the_last_frame_is_known_where_the_end_was() -> None:
    line = Line().turn("a", realtime(0), 50, ends=True)
    line.play_until(11)
    assert [item.last for item in line.left if isinstance(item, Run)] == [False, False, True]


def test_audio_is_cut_between_samples_only() -> None:
    line = Line().turn("a")
    with pytest.raises(AssertionError, match="between samples"):
        line.playout.feed("a", b"\0")


def test_the_cost_of_a_frame_does_not_grow_with_what_is_held_or_was_sent() -> None:
    """Counted in bytes copied: each leaves in one slice, whether it comes in one block or in thousands."""

    class Counted(bytes):
        copied = 0

        def __getitem__(self, key: Any) -> Any:
            piece = bytes.__getitem__(self, key)
            Counted.copied += len(piece)
            return piece

    for blocks in (1, 100):
        Counted.copied = 0
        line = Line().turn("a", realtime(0))
        for _ in range(blocks):
            line.playout.feed("a", Counted(bytes(60_000 * 48 // blocks)))
        line.play_until(70)
        assert len(line.groups) == 3000
        assert Counted.copied <= 60_000 * 48


# What a turn's record says.


def test_what_has_left_is_counted_and_what_waits_is_not() -> None:
    line = Line()
    sent = line.playout.open("a", realtime(0))
    line.playout.set_format("a", FORM)
    line.playout.feed("a", sound(50))
    line.playout.end("a")
    line.due()
    assert (sent.frames, sent.samples, sent.padding_samples) == (1, 480, 0)
    line.play_until(11)
    assert (sent.frames, sent.samples, sent.padding_samples) == (3, 1200, 240)
    assert (sent.first_frame_s, sent.playing_from_s) == (10.0, 10.0)
    assert sent.last_frame_s == pytest.approx(10.04)
    assert sent.held_until_s is None, "nothing held its first frame"


def held_until(first: Pacing, ms: float, *, ends: bool, cancel_s: float | None = None) -> float | None:
    """Until when a fast turn of `ms` was held, behind 0.5 s of `first`."""
    line = Line().turn("a", first, 500, ends=True)
    sent = line.playout.open("b", FAST)
    line.playout.set_format("b", FORM)
    line.playout.feed("b", sound(ms))
    if ends:
        line.playout.end("b")
    if cancel_s is not None:
        line.play_until(cancel_s)
        line.playout.cancel(["a"], cancel_s)
    line.play_until(11)
    assert sent.first_frame_s is not None
    return sent.held_until_s


def test_a_first_frame_is_held_by_the_turn_before_it() -> None:
    assert held_until(realtime(0), 40, ends=False) == pytest.approx(10.48)
    assert held_until(realtime(0), 5, ends=True) == pytest.approx(10.48), "also one that is not a whole frame"
    assert held_until(realtime(0), 40, ends=False, cancel_s=10.2) == pytest.approx(10.2), "or until that is cancelled"


def test_a_first_frame_that_came_later_was_not_held() -> None:
    line = Line().turn("a", FAST, 40, ends=True)
    sent = line.playout.open("b", FAST)
    line.playout.set_format("b", FORM)
    line.playout.feed("b", sound(10))
    line.due()
    line.playout.feed("b", sound(10))
    line.due(10.5)
    assert sent.held_until_s is None


def test_a_first_frame_is_held_by_pacing_until_its_instant() -> None:
    line = Line().turn("a", realtime(200), 200, ends=True)
    sent = line.playout.open("b", realtime(40))
    line.playout.set_format("b", FORM)
    line.playout.feed("b", sound(20))
    timings = TurnTimings(sent)
    timings.text_came(10.0)
    request = timings.request(0, "p", 10.0, 10.0)
    request.mark(Stage.FIRST_BYTE, 10.0)
    timings.frame_completed(10.0)
    line.due()
    assert sent.held_until_s == pytest.approx(10.16)
    line.due(10.163)
    assert timings.relay_ms == pytest.approx(3), "only what came after its instant is the relay's"
    assert sent.playing_from_s == pytest.approx(10.2)


# A fade.


@given(st.integers(1, 400), st.integers(1, 20), st.sampled_from([1, 7.5, 20, 100]), st.sampled_from(["pad", "short"]))
def test_what_fades_is_what_would_have_left_next_and_nothing_follows_it(
    held_ms: int, frames: int, fade_ms: float, tail: Tail
) -> None:
    form = replace(FORM, tail=tail)
    line = Line()
    line.playout.open("a", FAST, 20 * frames, fade_ms=fade_ms)
    line.playout.set_format("a", form)
    pcm = sound(20 * frames + held_ms)
    line.playout.feed("a", pcm)
    sent = bytes_of(line.due())
    counts = line.playout._turns["a"].sent
    assert len(sent) == 960 * frames
    line.playout.cancel(["a"], line.now_s)
    line.playout.urgent("cancelled")
    [run, told] = line.due()
    assert told == "cancelled" and run.fades and run.last
    assert run.samples == min(form.samples_in(fade_ms), form.samples_in(held_ms))
    assert run.first_sample == 480 * frames
    assert len(run.payload) == run.frames * form.frame_bytes == (run.samples + run.padding) * 2
    assert run.padding < 480
    assert sent + run.payload[: run.samples * 2] == pcm[: len(sent) + run.samples * 2]
    assert (counts.frames, counts.samples) == (frames + run.frames, 480 * frames + run.samples)
    assert line.due(line.now_s + 60) == []
    assert line.playout.next_due_s == NEVER_S


def test_only_a_turn_that_is_being_heard_fades_and_only_at_a_cancel() -> None:
    def cancelled(ms: float, *, due: bool = True, forget: bool = True) -> list[Any]:
        line = Line()
        line.playout.open("a", realtime(40), fade_ms=20)
        line.playout.set_format("a", FORM)
        line.playout.feed("a", sound(ms))
        if due:
            line.due()
        line.playout.cancel(["a"], line.now_s, forget=forget)
        return line.due()

    assert frames_of(cancelled(100)) == 1
    assert cancelled(100, due=False) == [], "nothing of it was heard"
    assert cancelled(40) == [], "nothing is held"
    assert cancelled(100, forget=False) == [], "an error is no cancel"
