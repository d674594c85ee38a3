"""The timings of a turn end to end: each segment's own, and none that the time of day can move."""

import itertools
import time

import pytest

from relay.testing.scenarios import PCM_CLIP, whole
from tests.server.harness import client, relay_to


async def test_each_segment_tells_its_own_timings() -> None:
    text = "The first sentence is long enough to be spoken alone. " * 3 + "So is the last one, which ends here."
    async with relay_to(whole(PCM_CLIP)) as (server, fake), client(server) as session:
        heard = await session.speak(text)
    timings, told = heard.end["timings"], heard.of("text.segment")
    segments = timings["segments"]
    assert len(segments) == len(fake.exchanges) == len(told) > 1
    assert [segment["index"] for segment in segments] == [segment["index"] for segment in told]
    for segment in segments:
        stages = list(segment.values())[1:-2]
        assert stages == sorted(stages)
        assert segment["last_byte"] >= segment["first_byte"]
        assert segment["audio_ms"] == pytest.approx(heard.end["duration_ms"] / len(segments), abs=0.1)
    first = {name: value for name, value in segments[0].items() if name in timings and name != "last_byte"}
    assert first.items() <= timings.items(), "the turn's own are the first segment's"
    assert timings["last_byte"] == segments[-1]["last_byte"]
    assert timings["min_ahead_ms"] is not None


async def test_a_turn_that_begins_with_nothing_to_speak_has_the_timings_of_what_it_speaks() -> None:
    async with relay_to(whole(PCM_CLIP)) as (server, _), client(server) as session:
        await session.send(type="turn.start")
        for message in ({"text": "... "}, {}, {"text": "Hello there."}):
            await session.send(type="text.append" if message else "text.flush", **message)
        await session.send(type="turn.end")
        heard = await session.turn()
    assert [segment["text"] for segment in heard.of("text.segment")] == ["... ", "Hello there."]
    timings = heard.end["timings"]
    [segment] = timings["segments"]
    assert segment["index"] == 1
    assert timings["first_byte"] == segment["first_byte"] <= timings["first_frame"]
    assert timings["relay_ms"] == pytest.approx(timings["first_frame"] - timings["first_frame_complete"], abs=0.01)


async def test_the_time_of_day_may_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forwards and back by an hour at every look, as no clock ever does."""
    jumps, at_s = itertools.cycle((3600.0, -3600.0)), time.time
    monkeypatch.setattr(time, "time", lambda: at_s() + next(jumps))
    async with relay_to(whole(PCM_CLIP)) as (server, _), client(server) as session:
        began_s = time.monotonic()
        heard = await session.speak()
        took_ms = (time.monotonic() - began_s) * 1000
    timings = heard.end["timings"]
    instants = [value for name, value in timings.items() if name not in ("segments", "connection_reused")]
    assert all(-took_ms <= value <= took_ms + 1000 for value in instants if value is not None)
    assert 0 <= timings["request_sent"] <= timings["first_byte"] <= timings["first_frame"] <= took_ms
