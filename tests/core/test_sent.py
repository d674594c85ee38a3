import pytest

from relay.core.events import Pacing
from relay.core.formats import AudioRequest
from relay.core.frames import Frame
from relay.core.pacer import AT_ONCE_S, NEVER_S
from relay.core.sent import SentAudio
from relay.core.timings import TurnTimings

FORM = AudioRequest().resolve(24000)  # frames of 20 ms
FIRST, SECOND, LAST = Frame(0, 480, 0, b""), Frame(480, 480, 0, b""), Frame(960, 100, 380, b"", last=True)


def sent(**options: object) -> SentAudio:
    timings = TurnTimings()
    timings.text_came(9.0)
    return SentAudio(Pacing(mode="realtime", lead_ms=0), timings, **options)  # type: ignore[arg-type]


def test_what_has_left_is_counted_and_what_waits_is_not() -> None:
    audio = sent()
    assert (audio.frames, audio.samples, audio.padding_samples, audio.ms) == (0, 0, 0, 0.0)
    audio.begin(FORM)
    assert audio.leave(FIRST, 10.0) == AT_ONCE_S
    assert audio.leave(SECOND, 10.0) == pytest.approx(10.02)
    assert (audio.frames, audio.samples, audio.ms) == (1, 480, 20.0)
    assert audio.playout_end_s == pytest.approx(10.02)
    assert audio.leave(SECOND, 10.02) == audio.leave(LAST, 10.04) == AT_ONCE_S
    assert (audio.frames, audio.samples, audio.padding_samples) == (3, 1060, 380)


def test_credit_that_came_before_the_schedule_counts() -> None:
    audio = sent(window_ms=20)
    audio.grant(20)
    audio.begin(FORM)
    assert audio.leave(FIRST, 10.0) == audio.leave(SECOND, 10.02) == AT_ONCE_S
    assert audio.leave(LAST, 10.04) == NEVER_S
    audio.grant(20)
    assert audio.leave(LAST, 10.05) == AT_ONCE_S


def test_the_first_frame_begins_the_listeners_time_and_waits_for_the_turn_before() -> None:
    timings = TurnTimings()
    timings.text_came(9.0)
    audio = SentAudio(Pacing(mode="realtime", lead_ms=0), timings, playing_until_s=lambda: 10.5)
    audio.begin(FORM)
    assert audio.leave(FIRST, 10.0) == 10.5
    assert (timings.first_frame_s, timings.held_until_s) == (None, 10.5)
    assert audio.leave(FIRST, 10.503) == AT_ONCE_S
    assert (timings.ttfa_ms, timings.last_frame_s) == (1503.0, 10.503)
