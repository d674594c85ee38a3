"""Sessions against a scripted relay: turns beside each other, what ends one or all of them, backpressure, closing."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import relay_client.session
from relay_client import (
    ConnectionLostError,
    Flow,
    ProtocolError,
    ProviderFault,
    SessionClosing,
    Turn,
    TurnCancelled,
    TurnError,
    connect,
)
from relay_client.hold import HELD_EVENTS_MAX
from websockets.protocol import State

from tests.clients.scripted import READY, Peer, frames_of, header, samples_of, scripted_relay, until


async def speech_of(turn: Turn) -> bytes:
    return b"".join([frame.speech async for frame in turn])


async def test_two_turns_opened_together_are_read_one_after_the_other() -> None:
    async def script(relay: Peer) -> None:
        first = (await relay.expect("turn.start"))["turn_id"]
        second = (await relay.expect("turn.start"))["turn_id"]
        assert first != second
        assert (await relay.expect("text.append"))["turn_id"] == second
        assert (await relay.expect("text.append"))["turn_id"] == first
        for _ in range(2):
            await relay.expect("turn.end")
        await relay.started(first)
        await relay.speaking(first)
        frames = list(frames_of(500))
        await relay.send(*frames[:2])
        # The second is prepared while the first is spoken.
        await relay.started(second)
        await relay.tell("text.segment", turn_id=second, index=0, text="Two.", start_sample=0)
        await relay.send(*frames[2:])
        await relay.done(first, 500)
        await relay.speaking(second)
        await relay.send(*frames_of(300, turn_index=1))
        await relay.done(second, 300)

    async with scripted_relay(script) as url, connect(url) as session:
        first, second = await session.start_turn(), await session.start_turn()
        await second.append("Two.")
        await first.append("One.")
        await first.end()
        await second.end()
        assert await speech_of(first) == samples_of(0, 500)
        assert await speech_of(second) == samples_of(0, 300)
        assert [segment.text for segment in second.segments] == ["Two."]


async def test_a_failed_turn_disturbs_no_other() -> None:
    async def script(relay: Peer) -> None:
        ids = [(await relay.expect("speak"))["turn_id"] for _ in range(3)]
        await relay.started(ids[0])
        await relay.speaking(ids[0])
        frames = list(frames_of(480))
        await relay.send(*frames[:2])
        await relay.tell("error", turn_id=ids[1], code="voice_not_found", message="no voice 'x'", retryable=False)
        await relay.tell(
            "error",
            turn_id=ids[0],
            code="provider_rate_limited",
            message="slow down",
            retryable=True,
            retry_after_s=1.5,
            provider={"name": "fake", "status": 429, "code": "quota", "request_id": "r9"},
        )
        await relay.started(ids[2])
        await relay.speaking(ids[2])
        await relay.send(*frames_of(320, turn_index=1))
        await relay.done(ids[2], 320)

    async with scripted_relay(script) as url, connect(url) as session:
        turns = [await session.speak(text) for text in ("One.", "Two.", "Three.")]
        assert (await anext(turns[0])).speech + (await anext(turns[0])).speech == samples_of(0, 320)
        with pytest.raises(TurnError, match="slow down") as caught:
            await anext(turns[0])
        error = caught.value
        assert (error.code, error.retryable, error.retry_after_s) == ("provider_rate_limited", True, 1.5)
        assert error.provider == ProviderFault(name="fake", status=429, code="quota", request_id="r9")
        assert error.turn_id == turns[0].turn_id
        for again in (anext(turns[0]), turns[0].append("more"), turns[0].flush()):
            with pytest.raises(TurnError, match="slow down"):
                await again
        with pytest.raises(TurnError, match="no voice"):
            _ = turns[1].summary
        assert await speech_of(turns[2]) == samples_of(0, 320)


async def test_cancelling_one_turn_leaves_the_next_whole() -> None:
    async def script(relay: Peer) -> None:
        first = (await relay.expect("speak"))["turn_id"]
        second = (await relay.expect("speak"))["turn_id"]
        await relay.started(first)
        await relay.started(second)
        await relay.speaking(first)
        frames = list(frames_of(1600))
        await relay.send(*frames[:3])
        assert (await relay.expect("turn.cancel"))["turn_id"] == first
        await relay.send(*frames[3:5])
        await relay.cancelled(first, 5)
        await relay.speaking(second)
        await relay.send(*frames_of(700, turn_index=1))
        await relay.done(second, 700)

    async with scripted_relay(script) as url, connect(url) as session:
        first, second = await session.speak("One."), await session.speak("Two.")
        await anext(first)
        cancelled, speech = await asyncio.gather(first.cancel(), speech_of(second))
        assert isinstance(cancelled, TurnCancelled)
        assert speech == samples_of(0, 700)


async def test_cancelling_everything_is_one_message() -> None:
    async def script(relay: Peer) -> None:
        ids = [(await relay.expect("speak"))["turn_id"] for _ in range(3)]
        await relay.started(ids[0])
        await relay.speaking(ids[0])
        await relay.send(next(frames_of(320)))
        cancel = await relay.expect("turn.cancel")
        assert cancel == {"type": "turn.cancel", "played_samples": 60}
        await relay.cancelled(ids[0], 1)
        await relay.tell("error", turn_id=ids[1], code="provider_cut", message="cut", retryable=True)
        await relay.cancelled(ids[2], 0)
        await relay.closed()

    async with scripted_relay(script) as url, connect(url) as session:
        turns = [await session.speak(text) for text in ("One.", "Two.", "Three.")]
        answers = await session.cancel(played_samples=60)
        assert [answer.turn_id for answer in answers] == [turns[0].turn_id, turns[2].turn_id]
        assert [[frame async for frame in turn] for turn in turns] == [[], [], []]
        assert await session.cancel() == []


@pytest.mark.parametrize(
    ("code", "reason", "retryable"),
    [
        (1000, "", True),
        (1001, "shutting_down", True),
        (1008, "slow_client", True),
        (1008, "token_expired", False),
        (1009, "message_too_big", False),
        (1011, "internal", True),
    ],
)
async def test_a_close_in_the_middle_of_a_turn_is_never_its_end(code: int, reason: str, retryable: bool) -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.started(turn_id)
        await relay.speaking(turn_id)
        await relay.send(*frames_of(320))
        await relay.connection.close(code, reason)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.")
        assert (await anext(turn)).speech + (await anext(turn)).speech == samples_of(0, 320)
        with pytest.raises(ConnectionLostError) as caught:
            await anext(turn)
        error = caught.value
        assert (error.close_code, error.close_reason, error.retryable) == (code, reason, retryable)
        assert turn.unspoken_text() == "Hello."
        with pytest.raises(ConnectionLostError):
            await session.speak("Again.")
        with pytest.raises(ConnectionLostError):
            await turn.append("more")
        with pytest.raises(ConnectionLostError):
            await turn.cancel()


async def test_a_cut_connection_raises_in_every_open_turn() -> None:
    async def script(relay: Peer) -> None:
        first = (await relay.expect("speak"))["turn_id"]
        await relay.expect("speak")
        await relay.started(first)
        await relay.speaking(first)
        await relay.send(next(frames_of(320)))
        await relay.expect("playback.report")
        relay.connection.transport.abort()

    async with scripted_relay(script) as url, connect(url) as session:
        first = await session.speak("One.", flow=Flow(window_ms=20))
        second = await session.speak("Two.")
        await until(lambda: session.held_ms > 0)
        await first.report_played(0)
        listener = asyncio.create_task(speech_of(second))
        with pytest.raises(ConnectionLostError, match="gone without a close") as caught:
            await listener
        assert (caught.value.close_code, caught.value.retryable) == (1006, True)
        # What came before is good and is still there; granting it to a dead connection does no harm.
        assert (await anext(first)).speech == samples_of(0, 160)
        with pytest.raises(ConnectionLostError):
            await anext(first)
        assert second.unspoken_text() == "Two."


async def test_good_audio_is_taken_before_a_close_that_came_behind_it() -> None:
    """Also where taking it grants credit, which no longer can be sent."""

    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.started(turn_id)
        await relay.speaking(turn_id)
        await relay.send(*frames_of(480))
        await relay.connection.close(1011, "internal")

    async with scripted_relay(script) as url, connect(url, held_audio_ms=20) as session:
        turn = await session.speak("Hello.", flow=Flow(window_ms=20))
        await until(lambda: session.held_ms == 20 and session._websocket.protocol.state is not State.OPEN)
        assert [(await anext(turn)).pts for _ in range(3)] == [0, 160, 320]
        with pytest.raises(ConnectionLostError, match="1011 internal"):
            await anext(turn)


async def test_the_relay_may_say_that_it_is_closing() -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.speak(turn_id, 160)
        await relay.expect("speak")
        await relay.tell("session.closing", reason="shutting_down", retryable=True)
        await relay.connection.close(1001, "shutting_down")

    async with scripted_relay(script) as url, connect(url) as session:
        assert await speech_of(await session.speak("One.")) == samples_of(0, 160)
        early = session.closing
        turn = await session.speak("Two.")
        with pytest.raises(ConnectionLostError, match="1001 shutting_down") as caught:
            await anext(turn)
        assert (caught.value.code, caught.value.retryable) == ("shutting_down", True)
        assert [early, session.closing] == [None, SessionClosing(reason="shutting_down", retryable=True)]


async def test_leaving_the_session_ends_turns_and_text_sources() -> None:
    source_closed = asyncio.Event()

    async def tokens() -> AsyncIterator[str]:
        try:
            yield "One."
            await asyncio.Event().wait()
        finally:
            source_closed.set()

    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("turn.start"))["turn_id"]
        await relay.expect("text.append")
        await relay.started(turn_id)
        await relay.speaking(turn_id)
        await relay.send(*frames_of(320))
        await relay.closed()
        assert relay.connection.protocol.close_code == 1000

    before = asyncio.all_tasks()
    async with scripted_relay(script) as url:
        async with connect(url) as session:
            turn = await session.speak(tokens())
            await anext(turn)
        assert source_closed.is_set()
        with pytest.raises(ConnectionLostError, match="this program closed") as caught:
            await speech_of(turn)
        assert not caught.value.retryable
        with pytest.raises(ConnectionLostError, match="this program closed"):
            await session.speak("Again.")
        await session.aclose()
    await until(lambda: asyncio.all_tasks() <= before)


async def test_what_the_body_raises_comes_out_as_it_is() -> None:
    async def script(relay: Peer) -> None:
        await relay.closed()

    async with scripted_relay(script) as url:
        with pytest.raises(ZeroDivisionError):
            async with connect(url):
                raise ZeroDivisionError


async def pour(relay: Peer, turn_id: str, frames: int, *, turn_index: int = 0) -> int:
    """Sends until the client has not taken anything for 0.2 s; how many frames that were."""
    relay.narrow()
    await relay.started(turn_id)
    await relay.speaking(turn_id)
    sent = 0
    for frame in frames_of(160 * frames, turn_index=turn_index):
        try:
            async with asyncio.timeout(0.2):
                sent += 1
                await relay.connection.send(frame)
        except TimeoutError:
            return sent
    return sent


async def test_a_slow_reader_stops_the_relay_and_then_misses_nothing() -> None:
    total = 8_000  # frames, 2.7 MB
    stalled_at = 0

    async def script(relay: Peer) -> None:
        nonlocal stalled_at
        # Audio that comes quickly and is read makes the system's buffers grow, unless they are bounded.
        await relay.speak((await relay.expect("speak"))["turn_id"], 160 * total)
        turn_id = (await relay.expect("speak"))["turn_id"]
        stalled_at = await pour(relay, turn_id, total, turn_index=1)
        for number, frame in enumerate(frames_of(160 * total, turn_index=1)):
            if number >= stalled_at:
                await relay.connection.send(frame)
        await relay.done(turn_id, 160 * total)

    async with scripted_relay(script) as url, connect(url) as session:
        assert len(await speech_of(await session.speak("Hello."))) == 320 * total
        turn = await session.speak("Hello.")
        await until(lambda: stalled_at > 0)
        assert stalled_at * 336 < 600_000, "bytes that the relay could get rid of while nobody took any"
        assert session.held_ms == 1000
        most, expected = 0, 0
        async for frame in turn:
            assert frame.pts == expected
            expected += frame.samples
            most = max(most, session.held_ms)
        assert (turn.summary.frames, expected) == (total, 160 * total)
        assert most <= 1000


async def test_closing_does_not_wait_for_audio_that_nobody_reads() -> None:
    sent = 0

    async def script(relay: Peer) -> None:
        nonlocal sent
        turn_id = (await relay.expect("speak"))["turn_id"]
        sent = await pour(relay, turn_id, 8_000)
        await relay.closed()

    async with scripted_relay(script) as url:
        async with connect(url) as session:
            await session.speak("Hello.")
            await until(lambda: sent > 0)
            start = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - start < relay_client.session.CLOSE_TIMEOUT_S / 2


Break = Callable[[Peer, str], Any]
BROKEN: dict[str, tuple[Break, str]] = {
    "audio of no turn": (lambda relay, _: relay.send(header(0) + bytes(320)), "no turn is being spoken"),
    "audio before turn.started": (
        lambda relay, turn_id: relay.tell("audio.started", turn_id=turn_id, ttfa_ms=1),
        "before its turn.started",
    ),
    "not JSON": (lambda relay, _: relay.connection.send("{"), "not JSON"),
    "a second session.ready": (lambda relay, _: relay.connection.send(json.dumps(READY)), "twice"),
    "a segment that was never given": (
        lambda relay, turn_id: relay.tell(
            "text.segment", turn_id=turn_id, index=0, text="Something else.", start_sample=0
        ),
        "not the text that was given",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_relay_that_breaks_the_contract_ends_the_session(name: str) -> None:
    break_it, reason = BROKEN[name]

    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await break_it(relay, turn_id)
        if name == "audio before turn.started":
            await relay.send(header(0) + bytes(320))
        await relay.closed()
        assert relay.connection.protocol.close_code == 1002

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.")
        with pytest.raises(ProtocolError, match=reason):
            await anext(turn)
        with pytest.raises(ProtocolError, match=reason):
            await session.speak("Again.")


async def test_a_stale_frame_after_turn_cancelled_is_not_passed_on() -> None:
    async def script(relay: Peer) -> None:
        first = (await relay.expect("speak"))["turn_id"]
        await relay.started(first)
        await relay.speaking(first)
        frames = list(frames_of(480))
        await relay.send(frames[0])
        await relay.expect("turn.cancel")
        await relay.cancelled(first, 1)
        second = (await relay.expect("speak"))["turn_id"]
        await relay.started(second)
        await relay.speaking(second)
        await relay.send(frames[1])
        await relay.closed()

    async with scripted_relay(script) as url, connect(url) as session:
        first = await session.speak("One.")
        await anext(first)
        await first.cancel()
        second = await session.speak("Two.")
        with pytest.raises(ProtocolError, match="turn index 0 while turn index 1"):
            await anext(second)


async def test_two_turns_cannot_be_spoken_at_once() -> None:
    async def script(relay: Peer) -> None:
        first = (await relay.expect("speak"))["turn_id"]
        second = (await relay.expect("speak"))["turn_id"]
        for turn_id in (first, second):
            await relay.started(turn_id)
        for turn_id in (first, second):
            await relay.speaking(turn_id)
        await relay.closed()

    async with scripted_relay(script) as url, connect(url) as session:
        first, second = await session.speak("One."), await session.speak("Two.")
        for turn in (first, second):
            with pytest.raises(ProtocolError, match="while another turn"):
                await anext(turn)


async def test_events_without_end_are_refused() -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        for _ in range(HELD_EVENTS_MAX + 1):
            await relay.tell("text.resumed", turn_id=turn_id, pending_chars=0)
        await relay.closed()

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.")
        await until(lambda: session._failure is not None)
        with pytest.raises(ProtocolError, match="more than 10000 events"):
            await speech_of(turn)


async def test_an_error_that_names_no_turn_ends_none(caplog: pytest.LogCaptureFixture) -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.tell("error", code="unknown_turn", message="turn 'x' is done; start a new one", retryable=False)
        await relay.tell("error", turn_id="x", code="unknown_turn", message="no turn 'x'", retryable=False)
        await relay.speak(turn_id, 160)

    async with scripted_relay(script) as url, connect(url) as session:
        assert await speech_of(await session.speak("Hello.")) == samples_of(0, 160)
    assert [record.getMessage() for record in caplog.records if record.name == "relay_client"] == [
        "the relay refused a message: unknown_turn"
    ]


async def test_turn_ids_of_the_caller_are_used_and_used_once() -> None:
    async def script(relay: Peer) -> None:
        assert (await relay.expect("speak"))["turn_id"] == "c1"
        await relay.speak("c1", 160)
        assert (await relay.expect("turn.start"))["turn_id"] == "c2"
        await relay.closed()

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.", turn_id="c1")
        assert turn.turn_id == "c1"
        await speech_of(turn)
        with pytest.raises(ValueError, match="used before"):
            await session.start_turn(turn_id="c1")
        assert (await session.start_turn()).turn_id == "c2", "the client's own choice steps aside"


async def test_what_cannot_be_sent_opens_no_turn() -> None:
    async def script(relay: Peer) -> None:
        await relay.speak((await relay.expect("speak"))["turn_id"], 160)

    async with scripted_relay(script) as url, connect(url) as session:
        for wrong in ("half \ud800", "x" * 300_000 + "\ud800"):
            with pytest.raises(ValueError, match="lone surrogate"):
                await session.speak(wrong)
        for attempt in (session.speak("Hello.", options={"a": object()}), session.start_turn(options={"a": object()})):
            with pytest.raises(TypeError):
                await attempt
        assert await session.cancel() == []
        assert await speech_of(await session.speak("Hello.")) == samples_of(0, 160)


async def test_a_silent_relay_that_answers_pings_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_client.session, "PING_AFTER_S", 0.02)

    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        # As long as four pings take; nothing else says that a client is still waiting.
        pings = 0
        receive = relay.connection.protocol.recv_frame

        def counted(frame: Any) -> None:
            nonlocal pings
            pings += frame.opcode == 9
            receive(frame)

        relay.connection.protocol.recv_frame = counted  # type: ignore[method-assign]
        await until(lambda: pings >= 4)
        await relay.speak(turn_id, 160)

    async with scripted_relay(script) as url, connect(url) as session:
        assert await speech_of(await session.speak("Hello.")) == samples_of(0, 160)


async def test_a_relay_that_is_gone_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_client.session, "PING_AFTER_S", 0.02)

    gave_up = asyncio.Event()

    async def script(relay: Peer) -> None:
        await relay.expect("speak")
        relay.connection.transport.pause_reading()
        await gave_up.wait()
        relay.connection.transport.resume_reading()

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.")
        with pytest.raises(ConnectionLostError, match="has not answered") as caught:
            await anext(turn)
        gave_up.set()
        assert caught.value.retryable


async def test_a_slow_listener_is_not_taken_for_a_dead_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    """While audio waits for the caller nothing is read, no pong either; that must not count."""
    monkeypatch.setattr(relay_client.session, "PING_AFTER_S", 0.02)
    stalled_at = 0

    async def script(relay: Peer) -> None:
        nonlocal stalled_at
        turn_id = (await relay.expect("speak"))["turn_id"]
        stalled_at = await pour(relay, turn_id, 8_000)  # 0.2 s of not reading, ten times the patience
        await relay.expect("turn.cancel")
        await relay.cancelled(turn_id, stalled_at)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.")
        await until(lambda: stalled_at > 0)
        for _ in range(100):
            await anext(turn)
        await turn.cancel()
        assert turn.samples_received == stalled_at * 160


async def test_a_relay_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_client.session, "SEND_TIMEOUT_S", 0.1)

    gave_up = asyncio.Event()

    async def script(relay: Peer) -> None:
        await relay.expect("turn.start")
        relay.connection.transport.pause_reading()
        await gave_up.wait()
        relay.connection.transport.resume_reading()

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.start_turn()
        with pytest.raises(ConnectionLostError, match="read nothing"):
            for _ in range(200):
                await turn.append("x" * 200_000)
        with pytest.raises(ConnectionLostError, match="read nothing"):
            await anext(turn)
        gave_up.set()


async def test_closing_does_not_wait_for_a_relay_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_client.session, "CLOSE_TIMEOUT_S", 0.1)
    closed = asyncio.Event()

    async def script(relay: Peer) -> None:
        await relay.expect("turn.start")
        relay.connection.transport.pause_reading()
        await closed.wait()
        relay.connection.transport.resume_reading()

    async def talk(turn: Turn) -> None:
        for _ in range(200):
            await turn.append("x" * 200_000)

    async with scripted_relay(script) as url:
        async with connect(url) as session:
            talker = asyncio.create_task(talk(await session.start_turn()))
            await until(lambda: session._websocket.paused)
        with pytest.raises(ConnectionLostError):
            await talker
        closed.set()


async def test_neither_text_nor_key_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("websockets.server").setLevel(logging.INFO)

    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.tell("error", code="internal", message="m", retryable=False)
        await relay.speak(turn_id, 160)

    async with scripted_relay(script) as url, connect(url, key="secret-key") as session:
        await speech_of(await session.speak("secret text"))
    assert "secret" not in caplog.text
