"""What a listener's process counts."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from relay.bench.load_client import Turn, lateness, open_all, outcome, speak_all
from relay.bench.load_wire import Orders
from relay.config import LimitsConfig
from relay.testing.fake_provider import in_turn
from relay.testing.scenarios import scenario
from tests.server.harness import relay_to

FRAME_MS, LEAD_MS = 20, 200


def orders(port: int, **known: Any) -> Orders:
    usual: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "path": "/v1/stream",
        "tls": False,
        "key": None,
        "provider": "breeze",
        "text": "Hello.",
        "turns": 3,
        "first": 0,
        "step": 1,
        "spread_s": 0.0,
        "seconds": 20.0,
        "frame_ms": FRAME_MS,
        "lead_ms": LEAD_MS,
    }
    return Orders(**{**usual, **known})


def arrivals(late_ms: list[float]) -> list[float]:
    """Frames that come so late against their schedule: the first `lead` of them at once."""
    lead = LEAD_MS // FRAME_MS
    return [5.0] * lead + [5.0 + (index * FRAME_MS + late) / 1000 for index, late in enumerate(late_ms)]


@given(st.lists(st.floats(0, 400), max_size=40))
def test_lateness_is_against_the_schedule_of_the_first_frame(late_ms: list[float]) -> None:
    found, _ = lateness(arrivals(late_ms), frame_ms=FRAME_MS, lead_ms=LEAD_MS)
    assert [round(value, 6) for value in found] == [round(value, 6) for value in late_ms]


def test_a_gap_is_a_run_of_frames_that_came_after_their_instant() -> None:
    assert lateness(arrivals([1, 2, 199, 150]), frame_ms=FRAME_MS, lead_ms=LEAD_MS)[1] == 0
    assert lateness(arrivals([1, 201, 260, 3, 300]), frame_ms=FRAME_MS, lead_ms=LEAD_MS)[1] == 2


async def test_turns_are_heard_at_real_time_and_failures_are_counted() -> None:
    async with relay_to(in_turn(scenario("ok"), scenario("status_401"), scenario("ok"))) as (server, _):
        asked, turns = orders(server.port), [Turn() for _ in range(3)]
        await open_all(asked, turns)
        await speak_all(asked, turns)
        found = outcome(asked, turns, 0.1)
        for turn in turns:
            assert turn.listener is not None
            turn.listener.transport.abort()
    assert found.codes == {"provider_auth": 1}
    assert len(found.ttfa_ms) == 2
    # A quarter of a second each; the frames that the lead covers are not timed.
    assert found.frames == 2 * 13
    assert sum(found.late.values()) == 2 * (13 - LEAD_MS // FRAME_MS)


async def test_a_turn_that_speaks_for_long_is_left_in_good_time() -> None:
    async with relay_to(scenario("endless_body")) as (server, _):
        asked, turns = orders(server.port, turns=1, seconds=0.3), [Turn()]
        await open_all(asked, turns)
        async with asyncio.timeout(30):
            await speak_all(asked, turns)
        found = outcome(asked, turns, 0.1)
        assert turns[0].listener is not None
        turns[0].listener.transport.abort()
    assert found.codes == {}
    assert found.frames > 0


async def test_a_relay_that_refuses_is_a_failure_of_each_turn() -> None:
    asked, turns = orders(9), [Turn() for _ in range(3)]
    await open_all(asked, turns)
    await speak_all(asked, turns)
    assert outcome(asked, turns, 0.0).codes == {"no_session": 3}


async def test_a_session_too_many_is_told_by_its_status() -> None:
    async with relay_to(scenario("ok"), limits=LimitsConfig(max_sessions_per_client=2)) as (server, _):
        asked, turns = orders(server.port), [Turn() for _ in range(3)]
        await open_all(asked, turns)
        assert sorted(turn.code or "" for turn in turns) == ["", "", "http_429"]
        for turn in turns:
            if turn.listener is not None:
                turn.listener.transport.abort()
