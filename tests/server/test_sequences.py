"""Random sequences of commands on real sockets: many turns, a neighbour, a client that knows the contract.

The same invariants as those of `tests/core/test_session_machine.py`, which has the clock in its hands.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from relay.config import LimitsConfig
from relay.core.frames import HEADER_BYTES, unpack_header
from relay.testing.audio import speech_like
from relay.testing.fake_provider import FakeRequest
from relay.testing.script import Script, Send, Status
from tests.server.harness import ENDS, Client, client, relay_to

CLIPS = {"A": speech_like(0.05), "B": speech_like(0.21, seed=2), "C": speech_like(0.5, seed=3)}
PACING: list[dict[str, Any]] = [
    {"mode": "fast"},
    {"mode": "realtime", "lead_ms": 200},
    {"mode": "realtime", "lead_ms": 60, "burst_ms": 0},
    {"mode": "realtime", "lead_ms": 100, "burst_ms": 100},
]


def clip_of(request: FakeRequest) -> Script:
    """A letter is a clip; what a request speaks is sent in two pieces that cut a sample."""
    data = spoken(request.json()["text"])
    return (Status(200, {"content-type": "audio/pcm"}, len(data)), Send(data[:1001]), Send(data[1001:]))


def spoken(text: str) -> bytes:
    return b"".join(CLIPS[letter] for letter in text if letter in CLIPS)


@dataclass
class Turn:
    """What the client asked of one turn, and what it got."""

    said: str = ""
    ended: bool = False
    cancelled: bool = False
    flushes: int = 0
    window_ms: int | None = None
    index: int | None = None
    audio: bytes = b""
    flushed: list[str | None] = field(default_factory=list)
    end: dict[str, Any] | None = None

    @property
    def expected(self) -> bytes:
        return spoken(self.said)


class Model:
    """Keeps the contract: reads everything, and complains at once."""

    def __init__(self, caller: Client) -> None:
        self.caller = caller
        self.turns: dict[str, Turn] = {}
        self.by_index: dict[int, str] = {}
        self.speaking: str | None = None
        self.closed: dict[str, Any] | None = None

    async def read(self) -> None:
        """Until the relay closes, or the test ends this."""
        try:
            while True:
                self.take(await self.caller.receive())
        except ConnectionClosed:
            return

    def take(self, message: dict[str, Any] | bytes) -> None:
        if isinstance(message, bytes):
            return self.frame(message)
        kind, turn_id = message["type"], message.get("turn_id")
        if kind == "session.closing":
            self.closed = message
        if turn_id is None:
            return None
        turn = self.turns[turn_id]
        assert turn.end is None, f"{kind} after the end of {turn_id}"
        if kind == "turn.started":
            turn.index = message["turn_index"]
            self.by_index[message["turn_index"]] = turn_id
        elif kind == "audio.started":
            self.began(turn_id)
        elif kind == "flush.done":
            turn.flushed.append(message.get("flush_id"))
            assert len(turn.audio) >= 2 * (message["end_sample"] - 480), "all full frames of its text were sent"
        elif kind in ENDS:
            turn.end = message
        return None

    def began(self, turn_id: str) -> None:
        before = list(self.turns)[: list(self.turns).index(turn_id)]
        assert all(self.turns[each].end for each in before), f"{turn_id} is spoken before {before} have ended"
        assert self.speaking != turn_id
        self.speaking = turn_id

    def frame(self, message: bytes) -> None:
        header = unpack_header(message)
        turn_id = self.by_index[header.turn_index]
        turn = self.turns[turn_id]
        assert turn.end is None, f"a frame after the end of {turn_id}"
        assert turn_id == self.speaking
        assert header.pts * 2 == len(turn.audio), "a gap, or a repetition"
        payload = message[HEADER_BYTES:]
        turn.audio += payload[: len(payload) - 2 * header.padding]

    def check(self, turn_id: str) -> None:
        turn = self.turns[turn_id]
        end = turn.end
        assert end is not None, f"{turn_id} has no end"
        if end["type"] == "turn.done":
            assert turn.audio == turn.expected
            assert (end["samples"], end["text_chars"]) == (len(turn.audio) // 2, len(turn.said))
            assert len(turn.flushed) == turn.flushes
        else:
            assert end["type"] == "turn.cancelled", end
            assert turn.cancelled
            assert end["samples_sent"] == len(turn.audio) // 2
            assert turn.expected.startswith(turn.audio)


async def drive(caller: Client, source: random.Random, steps: int) -> Model:
    """Says `steps` things, then lets all end, one way or another."""
    model = Model(caller)
    reading = asyncio.create_task(model.read())

    def live() -> list[str]:
        return [turn_id for turn_id, turn in model.turns.items() if turn.end is None and not turn.cancelled]

    async def say(turn_id: str) -> None:
        text = "".join(f"{source.choice('ABC')}. " for _ in range(source.randrange(1, 3)))
        model.turns[turn_id].said += text
        await caller.send(type="text.append", turn_id=turn_id, text=text)

    async def start() -> None:
        if len(live()) >= 6:
            return
        turn_id = f"t{len(model.turns)}"
        turn = model.turns[turn_id] = Turn(window_ms=source.choice([None, None, 100]))
        flow = {"flow": {"window_ms": turn.window_ms}} if turn.window_ms else {}
        audio = {"header": True, "tail": source.choice(["pad", "short"])}
        await caller.send(type="turn.start", turn_id=turn_id, pacing=source.choice(PACING), audio=audio, **flow)
        await say(turn_id)

    async def end(turn_id: str) -> None:
        if not model.turns[turn_id].ended:
            model.turns[turn_id].ended = True
            await caller.send(type="turn.end", turn_id=turn_id)

    async def flush(turn_id: str) -> None:
        turn = model.turns[turn_id]
        if not turn.ended:
            turn.flushes += 1
            await caller.send(type="text.flush", turn_id=turn_id, flush_id=f"f{turn.flushes}")

    async def cancel(turn_id: str | None) -> None:
        for each in live() if turn_id is None else [turn_id]:
            model.turns[each].cancelled = True
        await caller.send(type="turn.cancel", **({} if turn_id is None else {"turn_id": turn_id}))

    async def grant(turn_id: str) -> None:
        await caller.send(type="flow.grant", turn_id=turn_id, ms=source.choice([20, 100, 300]))

    for _ in range(steps):
        turn_id = source.choice(live() or [""])
        step = source.choice(["start", "start", "say", "end", "end", "flush", "cancel", "cancel all", "grant", "wait"])
        if step == "start" or not turn_id:
            await start()
        elif step == "say" and not model.turns[turn_id].ended:
            await say(turn_id)
        elif step == "end":
            await end(turn_id)
        elif step == "flush":
            await flush(turn_id)
        elif step == "cancel":
            await cancel(turn_id)
        elif step == "cancel all" and source.random() < 0.3:
            await cancel(None)
        elif step == "grant":
            await grant(turn_id)
        elif step == "wait":
            # What the relay says meanwhile: at least the answer to this.
            await asyncio.wait_for(await caller.websocket.ping(), 30)
    for turn_id in live():
        await end(turn_id)
        await caller.send(type="flow.grant", turn_id=turn_id, ms=600_000)
    if source.random() < 0.5:
        await caller.send(type="session.close", finish=True)
    async with asyncio.timeout(30):
        while any(turn.end is None for turn in model.turns.values()):
            assert not reading.done() or reading.exception() is None, reading.exception()
            await asyncio.sleep(0.01)
    reading.cancel()
    await asyncio.wait([reading])
    if not reading.cancelled() and (error := reading.exception()):
        raise error
    return model


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_is_said_in_which_order_the_contract_holds(seed: int) -> None:
    async with relay_to(clip_of, limits=LimitsConfig(max_open_turns=8)) as (server, _):
        async with client(server) as one, client(server) as two:
            models = await asyncio.gather(
                drive(one, random.Random(seed), 25), drive(two, random.Random(f"neighbour {seed}"), 25)
            )
            for model in models:
                for turn_id in model.turns:
                    model.check(turn_id)
        async with asyncio.timeout(10):
            while server._routes.sessions:
                await asyncio.sleep(0.01)
        assert b"relay_turns 0.0" in server.engine.metrics.render()
        assert all(limiter.in_use == 0 for limiter in server.engine.limiters.values())
