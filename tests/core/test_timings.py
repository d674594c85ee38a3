"""Instants -> the report of a turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.timings import MAX_SEGMENTS, Share, Stage, Timings, TurnTimings
from tests.covering import each


def heard(timings: TurnTimings, segment: int, *, at_s: float, provider: str = "p") -> Timings:
    """A request of which every stage happened, a millisecond apart."""
    request = timings.request(segment, provider, at_s, at_s + 0.001)
    for index, stage in enumerate(Stage):
        if stage is not Stage.LAST_BYTE:
            request.mark(stage, at_s + index / 1000)
    request.index = segment
    return request


def ended(timings: TurnTimings, request: Timings, *, at_s: float) -> None:
    """The last bytes of a reply came at `at_s`."""
    request.received(100, at_s)
    timings.reply_ended(request)


def test_all_stages_are_after_the_first_text() -> None:
    timings = TurnTimings()
    timings.text_came(100.0)
    timings.text_came(100.5)
    request = heard(timings, 0, at_s=100.001)
    request.connection_reused, request.audio_ms = True, 40.0
    timings.frame_completed(100.0075)
    timings.frame_completed(100.5)
    timings.sent.first_frame_s, timings.sent.last_frame_s = 100.010, 100.013
    ended(timings, request, at_s=100.012)
    timings.leading_silence_ms = 12.5
    timings.margin.least_s = 0.25
    stages = {
        "text_ready": 1.0,
        "place_asked": 2.0,
        "place_given": 3.0,
        "request_sent": 4.0,
        "response_headers": 5.0,
        "first_byte": 6.0,
        "first_sample": 7.0,
    }
    assert timings.report() == {
        **stages,
        "first_frame_complete": 7.5,
        "first_frame": 10.0,
        "last_byte": 12.0,
        "last_frame": 13.0,
        "ttfa_ms": 10.0,
        "leading_silence_ms": 12.5,
        "ttfs_ms": 22.5,
        "relay_ms": 2.5,
        "connection_reused": True,
        "min_ahead_ms": 250.0,
        "segments": [{"index": 0, **stages, "last_byte": 12.0, "audio_ms": 40.0}],
    }


def test_a_text_that_is_asked_for_again_was_ready_the_first_time() -> None:
    """However late the chunker comes upon it: what the first provider took is time of a failure, not of the text."""
    timings = TurnTimings()
    timings.request(0, "failed", 1.0, 1.5)
    again = timings.request(0, "chosen", 3.0, 3.5)
    assert (again.instants_s[Stage.TEXT_READY], again.instants_s[Stage.PLACE_ASKED]) == (1.0, 3.5)


def test_what_did_not_happen_is_null() -> None:
    report = dict(TurnTimings().report())
    assert report.pop("segments") == []
    assert set(report.values()) == {None}
    timings = TurnTimings()
    timings.sent.first_frame_s = 1.0
    assert timings.ttfa_ms is None, "without a text there is no time after it"


def test_the_first_mark_counts() -> None:
    request = Timings()
    for now_s in (1.0, 2.0, 3.0):
        for stage in Stage:
            request.mark(stage, now_s)
    assert set(request.instants_s.values()) == {1.0}
    assert request.between_s(Stage.FIRST_BYTE, Stage.LAST_BYTE) == 0
    assert Timings().between_s(Stage.FIRST_BYTE, Stage.LAST_BYTE) is None


def test_the_turn_is_about_its_first_segment_and_its_last_byte() -> None:
    timings = TurnTimings()
    timings.text_came(0.0)
    first, second = heard(timings, 0, at_s=1.0), heard(timings, 1, at_s=2.0)
    ended(timings, first, at_s=3.0)
    ended(timings, second, at_s=4.0)
    report = timings.report()
    assert (report["request_sent"], report["last_byte"]) == (1003.0, 4000.0)
    segments = report["segments"]
    assert isinstance(segments, list)
    assert [segment["last_byte"] for segment in segments] == [3000.0, 4000.0]


def test_of_several_providers_the_last_one_counts_whose_audio_it_is() -> None:
    """Not the first byte of the one that failed: the time until another was asked is not the relay's own."""
    timings = TurnTimings()
    timings.text_came(0.0)
    failed = heard(timings, 0, at_s=1.0, provider="failed")
    failed.tally.retries = 2
    heard(timings, 0, at_s=5.0, provider="other")
    timings.sent.first_frame_s = 5.010
    assert timings.report()["first_byte"] == 5005.0
    assert timings.relay_ms == 5.0
    assert [(name, tally.retries) for name, tally in timings.tallies.items()] == [("failed", 2), ("other", 0)]


def test_a_request_without_audio_is_no_segment() -> None:
    timings = TurnTimings()
    timings.text_came(0.0)
    timings.request(0, "p", 0.0, 0.0)
    assert timings.report()["text_ready"] == 0.0
    assert timings.report()["segments"] == []


def test_only_the_first_segments_are_kept() -> None:
    timings = TurnTimings()
    timings.text_came(0.0)
    for segment in range(MAX_SEGMENTS + 10):
        ended(timings, heard(timings, segment, at_s=segment), at_s=segment + 0.5)
    assert len(timings.requests) == MAX_SEGMENTS
    assert timings.report()["last_byte"] == (MAX_SEGMENTS + 9.5) * 1000, "which the turn tells of all"
    assert timings.tallies.keys() == {"p"}


@each(
    ("complete_s", "waited_until_s", "held_until_s", "relay_ms"),
    [
        (None, None, None, 10.25),
        (None, None, 0.5, 10.25),
        (None, None, 1.010, 0.25),
        (None, 1.008, None, 2.25),
        (None, 1.008, 1.010, 0.25),
        (None, 1.010, 1.008, 0.25),
        (None, None, 2.0, 0.0),
        (1.009, None, None, 1.25),
        (1.009, None, 1.008, 1.25),
        (1.009, 1.010, None, 0.25),
        (0.5, None, None, 10.25),
    ],
)
def test_relay_ms_is_what_stands_between_the_bytes_of_a_frame_and_the_frame(
    complete_s: float | None, waited_until_s: float | None, held_until_s: float | None, relay_ms: float
) -> None:
    """Not the wait for bytes of a provider that drips, nor that which the client asked for."""
    timings = TurnTimings()
    timings.request(0, "p", 0.9, 0.9).mark(Stage.FIRST_BYTE, 1.0)
    assert timings.relay_ms is None
    if complete_s is not None:
        timings.frame_completed(complete_s)
    timings.waited_until_s, timings.sent.held_until_s = waited_until_s, held_until_s
    timings.sent.first_frame_s = 1.01025
    assert timings.relay_ms == relay_ms


@given(
    st.lists(st.integers(0, 10_000), min_size=9, max_size=9),
    st.none() | st.integers(0, 100_000),
    st.none() | st.floats(0, 1),
    st.booleans(),
)
def test_the_shares_add_up_to_the_time_to_first_audio(
    steps_ms: list[int], held_until_ms: int | None, complete: float | None, headers: bool
) -> None:
    at_s = [sum(steps_ms[: count + 1]) / 1000 for count in range(len(steps_ms))]
    timings = TurnTimings()
    timings.text_came(at_s[0])
    request = timings.request(0, "p", at_s[1], at_s[2])
    stages = [stage for stage in Stage if stage is not Stage.LAST_BYTE]
    for stage, now_s in zip(stages[2:], at_s[3:8], strict=True):
        if headers or stage is not Stage.RESPONSE_HEADERS:
            request.mark(stage, now_s)
    timings.sent.first_frame_s = at_s[8]
    if complete is not None:
        # Anywhere between the first byte and the first frame.
        timings.frame_completed(at_s[6] + complete * (at_s[8] - at_s[6]))
    timings.sent.held_until_s = None if held_until_ms is None else held_until_ms / 1000
    shares = timings.shares_s()
    assert all(seconds >= -1e-9 for seconds in shares.values()), shares
    assert timings.ttfa_ms == pytest.approx(sum(shares.values()) * 1000, abs=0.01)
    assert timings.relay_ms is not None
    if held_until_ms is None:
        assert shares[Share.HELD] == pytest.approx(0)
        assert timings.relay_ms == pytest.approx((shares[Share.DECODE] + shares[Share.FRAME]) * 1000, abs=0.01)


def test_a_turn_without_audio_has_no_shares() -> None:
    timings = TurnTimings()
    assert timings.shares_s() == {}
    timings.text_came(0.0)
    timings.request(0, "p", 0.0, 0.0)
    assert timings.shares_s() == {}


def test_a_last_byte_that_the_driver_has_marked_stands() -> None:
    timings = TurnTimings()
    request = timings.request(0, "p", 0.0, 0.0)
    request.mark(Stage.LAST_BYTE, 2.0)
    ended(timings, request, at_s=3.0)
    assert timings.last_byte_s == 2.0
    assert timings.tallies["p"].received_bytes == 100
