"""Turns against a scripted relay: text in, frames out, cancel, credit, playback, what is left to say."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from relay_client import (
    Audio,
    AudioStarted,
    Flow,
    Frame,
    ProtocolError,
    ReplyTimeoutError,
    TextSegment,
    TextSourceError,
    TextWords,
    Turn,
    TurnCancelled,
    TurnCancelledError,
    TurnDone,
    TurnError,
    TurnStarted,
    connect,
)

from tests.clients.scripted import Peer, frames_of, header, samples_of, scripted_relay, until
from tests.covering import each


async def speech_of(turn: Turn) -> bytes:
    return b"".join([frame.speech async for frame in turn])


async def test_a_turn_from_text_to_summary() -> None:
    async def script(relay: Peer) -> None:
        request = await relay.expect("speak")
        assert request["text"] == "Hello."
        assert request["voice"] == "v"
        assert request["audio"] == {"sample_rate": 8000, "header": True}
        await relay.speak(request["turn_id"], 1000)

    async with scripted_relay(script) as url, connect(url) as session:
        assert session.ready.limits.max_turn_chars == 40000
        turn = await session.speak("Hello.", voice="v", audio=Audio(sample_rate=8000))
        with pytest.raises(RuntimeError, match="has not ended"):
            _ = turn.summary
        frames = [frame async for frame in turn]
        assert b"".join(frame.speech for frame in frames) == samples_of(0, 1000)
        assert [len(frame.payload) for frame in frames] == [320] * 7
        assert [(frame.last, frame.padding) for frame in frames[-2:]] == [(False, 0), (True, 120)]
        assert turn.audio.sample_rate == 8000
        assert (turn.summary.samples, turn.summary.padding_samples) == (1000, 120)
        assert turn.summary.timings.ttfa_ms == 12.5
        assert turn.summary.provider_ids == {"request_id": "r1"}
        assert turn.outcome is turn.summary
        assert session.held_ms == 0
        assert [frame async for frame in turn] == []


async def test_events_come_in_the_order_of_the_wire() -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.started(turn_id)
        await relay.tell("text.segment", turn_id=turn_id, index=0, text="Hel", start_sample=0)
        await relay.speaking(turn_id)
        first, second = frames_of(320)
        await relay.send(first)
        await relay.tell("text.words", turn_id=turn_id, words=[{"text": "lo", "start_sample": 160, "end_sample": 300}])
        await relay.tell("turn.applauded", turn_id=turn_id)
        await relay.send(second)
        await relay.done(turn_id, 320, mood="glad")

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello")
        kinds = [type(event) async for event in turn.events()]
        assert kinds == [TurnStarted, TextSegment, AudioStarted, Frame, TextWords, Frame]
        assert isinstance(turn.outcome, TurnDone)


async def test_text_in_pieces_is_sent_exactly_as_given() -> None:
    async def script(relay: Peer) -> None:
        start = await relay.expect("turn.start")
        assert "text" not in start
        turn_id = start["turn_id"]
        assert (await relay.expect("text.append"))["text"] == " One\n"
        assert (await relay.expect("text.append"))["text"] == "two ü. "
        await relay.expect("text.flush")
        assert (await relay.expect("text.append"))["text"] == "Three."
        assert (await relay.expect("turn.end"))["turn_id"] == turn_id
        await relay.speak(turn_id, 160)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.start_turn()
        for piece in (" One\n", "", "two ü. "):
            await turn.append(piece)
        await turn.flush()
        await turn.append("Three.")
        await turn.end()
        await turn.end()
        with pytest.raises(RuntimeError, match="text was ended"):
            await turn.append("Four.")
        with pytest.raises(RuntimeError, match="text was ended"):
            await turn.flush()
        assert await speech_of(turn) == samples_of(0, 160)
        assert turn.text == " One\ntwo ü. Three."


async def test_text_larger_than_a_message_goes_in_several() -> None:
    text = 'é"' * 70_000  # 3 bytes of text, 4 of JSON, a pair

    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("turn.start"))["turn_id"]
        given = ""
        while len(given) < len(text):
            given += (await relay.expect("text.append"))["text"]
        assert given == text
        await relay.expect("turn.end")
        await relay.speak(turn_id, 160)

    async with scripted_relay(script) as url, connect(url) as session:
        # The relay's socket closes with 1009 above max_message_bytes; here the sizes are looked at.
        sizes: list[int] = []
        websocket: Any = session._websocket
        send = websocket.send

        async def measured(message: str) -> None:
            sizes.append(len(message.encode()))
            await send(message)

        websocket.send = measured
        turn = await session.speak(text)
        assert await speech_of(turn) == samples_of(0, 160)
        assert max(sizes) <= session.ready.limits.max_message_bytes


async def test_text_from_an_iterator_is_sent_as_it_comes_and_pauses_when_asked() -> None:
    said = asyncio.Event()

    async def tokens() -> AsyncIterator[str]:
        yield "One "
        await said.wait()
        yield "two "
        yield "three."

    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("turn.start"))["turn_id"]
        assert (await relay.expect("text.append"))["text"] == "One "
        await relay.started(turn_id)
        await relay.tell("text.paused", turn_id=turn_id, pending_chars=4)
        await relay.speaking(turn_id)
        frames = list(frames_of(320))
        await relay.send(frames[0])
        # A grant cannot pass text on one connection: had the client gone on while paused, text would come first.
        await relay.expect("playback.report")
        await relay.tell("text.resumed", turn_id=turn_id, pending_chars=0)
        assert (await relay.expect("text.append"))["text"] == "two "
        assert (await relay.expect("text.append"))["text"] == "three."
        await relay.expect("turn.end")
        await relay.send(frames[1])
        await relay.done(turn_id, 320)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak(tokens())
        frame = await anext(turn)
        paused = [turn.text_paused]
        said.set()
        # Lets the feeder come back with the next token, were it not to wait.
        for _ in range(5):
            await asyncio.sleep(0)
        await turn.report_played(10)
        assert frame.speech + await speech_of(turn) == samples_of(0, 320)
        assert [*paused, turn.text_paused] == [True, False]
        assert turn.text == "One two three."


async def test_a_failing_text_source_is_spoken_as_far_as_it_came_and_then_raised() -> None:
    async def tokens() -> AsyncIterator[str]:
        yield "One."
        raise KeyError("secret")

    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("turn.start"))["turn_id"]
        assert (await relay.expect("text.append"))["text"] == "One."
        await relay.expect("turn.end")
        await relay.speak(turn_id, 320)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak(tokens())
        assert [(await anext(turn)).pts, (await anext(turn)).pts] == [0, 160]
        with pytest.raises(TextSourceError, match="KeyError") as caught:
            await anext(turn)
        assert "secret" not in str(caught.value)
        assert isinstance(caught.value.__cause__, KeyError)
        with pytest.raises(TextSourceError):
            _ = turn.summary


async def test_the_text_source_ends_with_its_turn() -> None:
    closed = asyncio.Event()

    async def tokens() -> AsyncIterator[str]:
        try:
            yield "One."
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("turn.start"))["turn_id"]
        await relay.expect("text.append")
        await relay.tell("error", turn_id=turn_id, code="provider_cut", message="cut", retryable=True)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak(tokens())
        with pytest.raises(TurnError, match="cut"):
            await speech_of(turn)
        async with asyncio.timeout(1):
            await closed.wait()


class Tokens:
    """A text source that is no generator, such as the stream of an LLM's client."""

    def __init__(self) -> None:
        self.given = 0
        self.closed = asyncio.Event()

    def __aiter__(self) -> "Tokens":
        return self

    async def __anext__(self) -> str:
        self.given += 1
        if self.given > 1:
            await asyncio.Event().wait()
        return "One."

    async def aclose(self) -> None:
        self.closed.set()


async def test_a_cancel_closes_the_text_source_at_once() -> None:
    source = Tokens()

    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("turn.start"))["turn_id"]
        await relay.expect("text.append")
        await relay.expect("turn.cancel")
        await source.closed.wait()
        await relay.cancelled(turn_id, 0)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak(source)
        await until(lambda: source.given == 2)
        assert isinstance(await turn.cancel(), TurnCancelled)
        assert turn.text == "One."


@pytest.mark.parametrize("text", [b"bytes", 3, None, ["a"]])
async def test_text_is_a_string_or_an_async_iterator(text: Any) -> None:
    async def script(relay: Peer) -> None:
        await relay.closed()

    async with scripted_relay(script) as url, connect(url) as session:
        with pytest.raises(TypeError, match="it must be str"):
            await session.speak(text)


async def test_cancel_drops_what_is_held_and_what_is_under_way() -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.started(turn_id)
        await relay.speaking(turn_id)
        frames = list(frames_of(1600))
        await relay.send(*frames[:4])
        cancel = await relay.expect("turn.cancel")
        assert (cancel["turn_id"], cancel["played_samples"]) == (turn_id, 100)
        await relay.send(*frames[4:7])  # was on its way when the cancel came
        await relay.cancelled(turn_id, 7)
        again = (await relay.expect("speak"))["turn_id"]
        await relay.speak(again, 480, turn_index=1)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.")
        first = await anext(turn)
        assert first.pts == 0
        cancelled = await turn.cancel(played_samples=100)
        assert isinstance(cancelled, TurnCancelled)
        assert (cancelled.samples_sent, turn.samples_received, turn.samples_read) == (7 * 160, 7 * 160, 160)
        assert [event async for event in turn.events()] == []
        assert session.held_ms == 0
        with pytest.raises(TurnCancelledError):
            _ = turn.summary
        with pytest.raises(TurnCancelledError):
            await turn.append("more")
        assert await turn.cancel() is cancelled
        second = await session.speak("Again.")
        assert await speech_of(second) == samples_of(0, 480)


async def test_a_cancel_that_drains_gives_what_was_sent_up_to_the_answer() -> None:
    async def script(relay: Peer) -> None:
        request = await relay.expect("speak")
        assert request["audio"] == {"fade_ms": 40, "gain_db": 0, "max_leading_silence_ms": 0, "header": True}
        assert (request["text_filter"], request["lexicon"]) == ([], {"sql": {"ipa": "x"}})
        await relay.started(request["turn_id"])
        await relay.speaking(request["turn_id"])
        frames = list(frames_of(1600))
        await relay.send(*frames[:4])
        await relay.expect("turn.cancel")
        await relay.send(*frames[4:7])
        await relay.cancelled(request["turn_id"], 7)

    async with scripted_relay(script) as url, connect(url) as session:
        audio = Audio(fade_ms=40, gain_db=0, max_leading_silence_ms=0)
        turn = await session.speak("Hello.", audio=audio, text_filter=[], lexicon={"sql": {"ipa": "x"}})
        first = await anext(turn)
        speech, ended = await asyncio.gather(speech_of(turn), turn.cancel(drain=True))
        assert isinstance(ended, TurnCancelled)
        assert first.speech + speech == samples_of(0, 7 * 160)
        with pytest.raises(TurnCancelledError):
            await turn.append("More.")
        assert session.held_ms == 0


async def test_cancel_ends_a_reader_at_once_even_before_the_relay_answers() -> None:
    reader_left = asyncio.Event()

    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.started(turn_id)
        await relay.expect("turn.cancel")
        await reader_left.wait()
        await relay.cancelled(turn_id, 0)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.")

        async def listen() -> list[Frame]:
            frames = [frame async for frame in turn]
            reader_left.set()
            return frames

        listener = asyncio.create_task(listen())
        assert turn.started is None
        assert isinstance(await turn.cancel(), TurnCancelled)
        assert await listener == []


async def test_cancel_of_a_turn_that_is_never_read() -> None:
    """Far more audio than the client holds stands before the answer."""

    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.started(turn_id)
        await relay.speaking(turn_id)
        relay.narrow()
        sent = 0
        frames = frames_of(160 * 20_000)

        async def pour() -> None:
            nonlocal sent
            for frame in frames:
                sent += 1
                await relay.connection.send(frame)

        pouring = asyncio.create_task(pour())
        await relay.expect("turn.cancel")
        pouring.cancel()
        await asyncio.wait([pouring])
        await relay.cancelled(turn_id, sent)

    async with scripted_relay(script) as url, connect(url, held_audio_ms=100) as session:
        turn = await session.speak("Hello.")
        await until(lambda: session.held_ms >= 100)
        cancelled = await turn.cancel()
        assert isinstance(cancelled, TurnCancelled)
        assert cancelled.frames * 160 == turn.samples_received


async def test_cancel_that_comes_too_late_says_the_turn_was_done() -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.speak(turn_id, 160)
        await relay.closed()

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.")
        assert isinstance(await turn.cancel(), TurnDone)
        assert isinstance(await turn.cancel(), TurnDone)
        assert session.held_ms == 0


async def test_cancel_of_a_turn_that_failed_raises_its_failure() -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.expect("turn.cancel")
        await relay.tell("error", turn_id=turn_id, code="provider_cut", message="cut", retryable=True)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.")
        with pytest.raises(TurnError, match="cut"):
            await turn.cancel()


async def test_cancel_without_an_answer_has_an_end() -> None:
    async def script(relay: Peer) -> None:
        await relay.expect("speak")
        await relay.expect("turn.cancel")
        await relay.closed()

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.")
        with pytest.raises(ReplyTimeoutError, match=r"0\.01 s"):
            await turn.cancel(timeout_s=0.01)
        assert [frame async for frame in turn] == []


async def test_a_turn_cancelled_by_the_relay_is_not_its_end() -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.started(turn_id)
        await relay.speaking(turn_id)
        await relay.send(next(frames_of(320)))
        await relay.cancelled(turn_id, 1)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.")
        assert (await anext(turn)).speech == samples_of(0, 160)
        with pytest.raises(TurnCancelledError, match="the relay cancelled"):
            await anext(turn)
        assert isinstance(turn.outcome, TurnCancelled)


async def test_leaving_the_block_of_a_turn_cancels_it() -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.started(turn_id)
        await relay.speaking(turn_id)
        await relay.send(*frames_of(640))
        await relay.expect("turn.cancel")
        await relay.cancelled(turn_id, 4)
        done = (await relay.expect("speak"))["turn_id"]
        await relay.speak(done, 640, turn_index=1)
        await relay.closed()

    async with scripted_relay(script) as url, connect(url) as session:
        with pytest.raises(ZeroDivisionError):
            async with await session.speak("Hello.") as turn:
                await anext(turn)
                raise ZeroDivisionError
        assert isinstance(turn.outcome, TurnCancelled)
        async with await session.speak("Hello.") as turn:
            await anext(turn)
            await until(lambda: turn.outcome is not None)
        assert session.held_ms == 0


async def test_one_reader_at_a_time() -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.expect("turn.cancel")
        await relay.cancelled(turn_id, 0)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.")
        listener = asyncio.create_task(speech_of(turn))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task is reading"):
            await anext(turn)
        await turn.cancel()
        assert await listener == b""


async def test_a_cancelled_reader_loses_nothing() -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.started(turn_id)
        await relay.expect("playback.report")
        await relay.speaking(turn_id)
        await relay.send(*frames_of(480))
        await relay.done(turn_id, 480)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.", flow=Flow(window_ms=1000))
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await anext(turn)
        await turn.report_played(0)
        assert await speech_of(turn) == samples_of(0, 480)


async def test_credit_is_granted_as_frames_are_taken() -> None:
    async def script(relay: Peer) -> None:
        request = await relay.expect("speak")
        assert request["flow"] == {"window_ms": 100}
        turn_id = request["turn_id"]
        await relay.started(turn_id)
        await relay.speaking(turn_id)
        frames = frames_of(160 * 50)
        credit_ms, sent = 100, 0
        while sent < 50:
            while credit_ms >= 20 and sent < 50:
                await relay.send(next(frames))
                credit_ms, sent = credit_ms - 20, sent + 1
            if sent < 50:
                grant = await relay.expect("flow.grant")
                assert (grant["turn_id"], grant["ms"]) == (turn_id, 60), "half a window of 20 ms frames, at least"
                credit_ms += grant["ms"]
        await relay.done(turn_id, 160 * 50)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.", flow=Flow(window_ms=100))
        assert await speech_of(turn) == samples_of(0, 160 * 50)


@each("window_ms", [20, 21, 30, 39, 40, 41, 59, 60, 500])
async def test_no_window_makes_the_relay_stand_still(window_ms: int) -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.started(turn_id)
        await relay.speaking(turn_id)
        credit_ms = window_ms
        for frame in frames_of(160 * 30):
            while credit_ms < 20:
                credit_ms += (await relay.expect("flow.grant"))["ms"]
            await relay.send(frame)
            credit_ms -= 20
        await relay.done(turn_id, 160 * 30)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.", flow=Flow(window_ms=window_ms))
        assert await speech_of(turn) == samples_of(0, 160 * 30)


async def test_credit_by_hand() -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.started(turn_id)
        await relay.speaking(turn_id)
        frames = list(frames_of(160 * 3))
        await relay.send(*frames[:2])
        # Two frames were taken, a whole window; were they granted by themselves, that would be told first.
        assert (await relay.expect("flow.grant"))["ms"] == 1000
        await relay.send(frames[2])
        await relay.done(turn_id, 160 * 3)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.", flow=Flow(window_ms=40, auto_grant=False))
        taken = [await anext(turn), await anext(turn)]
        await turn.grant(1000)
        taken += [frame async for frame in turn]
        assert b"".join(frame.speech for frame in taken) == samples_of(0, 480)
        with pytest.raises(ValueError, match="more than 0"):
            await turn.grant(0)


async def test_played_is_reported_also_after_the_end() -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.speak(turn_id, 160)
        report = await relay.expect("playback.report")
        assert (report["turn_id"], report["samples"], "underruns" in report) == (turn_id, 120, False)
        report = await relay.expect("playback.report")
        assert (report["samples"], report["underruns"], report["underrun_ms"]) == (160, 1, 20.5)
        await relay.closed()

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.")
        await speech_of(turn)
        await turn.report_played(120)
        await turn.report_played(160, underruns=1, underrun_ms=20.5)
        with pytest.raises(ValueError, match="none may be negative"):
            await turn.report_played(-1)


async def test_what_is_left_to_say_after_a_failure() -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.started(turn_id)
        await relay.tell("text.segment", turn_id=turn_id, index=0, text="One. ", start_sample=0)
        await relay.speaking(turn_id)
        frames = list(frames_of(160 * 5))
        await relay.send(*frames[:2])
        await relay.tell("text.segment", turn_id=turn_id, index=1, text="Two. ", start_sample=400)
        await relay.send(*frames[2:4])
        await relay.tell("error", turn_id=turn_id, code="provider_cut", message="cut", retryable=True)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("One. Two. Three.")
        assert turn.unspoken_text() == "One. Two. Three."
        await anext(turn)
        assert turn.unspoken_text() == "One. Two. Three.", "the first segment is not known to be over"
        with pytest.raises(TurnError):
            await speech_of(turn)
        assert turn.samples_read == 640
        assert [segment.text for segment in turn.segments] == ["One. ", "Two. "]
        assert turn.unspoken_text() == "Two. Three."
        assert turn.unspoken_text(heard_samples=399) == "One. Two. Three."
        assert turn.unspoken_text(heard_samples=400) == "Two. Three."


async def test_nothing_is_left_to_say_after_the_end() -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.started(turn_id)
        for index, (text, start) in enumerate([("One. ", 0), ("Two.", 160)]):
            await relay.tell("text.segment", turn_id=turn_id, index=index, text=text, start_sample=start)
        await relay.speaking(turn_id)
        await relay.send(*frames_of(200))
        await relay.done(turn_id, 200)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("One. Two.")
        await speech_of(turn)
        assert turn.unspoken_text() == ""
        assert turn.unspoken_text(heard_samples=199) == "Two."


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"frames": 3}, "3 frames, 320 samples and 0 of padding; 2 frames, 320 samples and 0 of padding arrived"),
        ({"samples": 300, "padding_samples": 20}, "300 samples"),
    ],
)
async def test_audio_that_does_not_add_up_fails_its_turn_only(told: dict[str, int], reason: str) -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("speak"))["turn_id"]
        await relay.started(turn_id)
        await relay.speaking(turn_id)
        await relay.send(*frames_of(320))
        await relay.done(turn_id, 320, **told)
        await relay.speak((await relay.expect("speak"))["turn_id"], 160, turn_index=1)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.speak("Hello.")
        with pytest.raises(ProtocolError, match=reason):
            await speech_of(turn)
        assert await speech_of(await session.speak("Again.")) == samples_of(0, 160)


async def test_a_turn_without_audio_is_done_with_no_frames() -> None:
    async def script(relay: Peer) -> None:
        turn_id = (await relay.expect("turn.start"))["turn_id"]
        await relay.expect("turn.end")
        await relay.started(turn_id)
        await relay.done(turn_id, 0, text_chars=0)

    async with scripted_relay(script) as url, connect(url) as session:
        turn = await session.start_turn()
        await turn.end()
        assert [frame async for frame in turn] == []
        assert (turn.summary.frames, turn.audio.frame_ms) == (0, 20)


def test_header_helper_matches_the_contract() -> None:
    """The contract's own example: bit 0 last, bit 1 padding; u16, u32, u64 little-endian."""
    assert header(0x0102, turn_index=5, padding=0x0304, last=True).hex() == "01030403050000000201000000000000"
