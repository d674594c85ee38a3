"""What a paced frame costs from its tick to the socket's `write`, the system call left out: CPU microseconds a frame.

Run: `python -m bench.micro.send`. Beside it, in the same runs: making the frame's WebSocket message and handing it to
the same `write`, which is the least there is to do.
"""

import asyncio
import statistics
import time
from typing import Any, cast

from aiohttp import WSMsgType

from relay.core.events import Pacing
from relay.core.formats import AudioRequest
from relay.core.frames import Frame
from relay.engine.concurrency import ConcurrencyLimiter
from relay.engine.outbox import End
from relay.engine.ticker import Ticker
from relay.engine.turn import Turn, TurnSettings
from relay.engine.upstream import Candidate
from relay.providers.base.provider import Capabilities, Speech
from relay.server.sender import Sender
from relay.server.ws_message import ws_message

RUNS, TURNS, SECONDS = 7, 50, 4
FRAME_MS, LEAD_MS = 20, 200


class Nobody:
    """A provider that is never asked."""

    name = "nobody"
    capabilities = Capabilities(formats=())


class Hole:
    """A socket that takes everything."""

    def __init__(self) -> None:
        self.writes = 0

    def write(self, data: bytes) -> None:
        self.writes += 1

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int) -> None:
        pass


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def main() -> None:
    async def run() -> None:
        costs, floors = zip(*[(_paced_us(), _floor_us()) for _ in range(RUNS)], strict=True)
        cost, floor = statistics.median(costs), statistics.median(floors)
        print(f"a paced frame, tick to write: {cost:.2f} us; its message and the write alone: {floor:.2f} us")

    asyncio.run(run())


def _paced_us() -> float:
    clock, hole = Clock(), Hole()
    ticker = Ticker(clock=clock)
    senders = [_sender(ticker, clock, hole) for _ in range(TURNS)]
    form = AudioRequest(sample_rate=24000, frame_ms=FRAME_MS).resolve(24000)
    count = SECONDS * 1000 // FRAME_MS
    for sender, turn in senders:
        turn.sent.begin(form)
        clock.now_s += 0.001
        frames = [Frame(at * form.frame_samples, form.frame_samples, 0, bytes(form.frame_bytes)) for at in range(count)]
        sender.outbox.put_nowait(turn, frames)
    ticker._fire()  # noqa: SLF001 - no loop, no timer: only what a tick costs
    begun_frames, begun_writes = sum(turn.sent.frames for _, turn in senders), hole.writes
    start_ns = time.process_time_ns()
    for _ in range(SECONDS * 200):
        clock.now_s += 0.005
        ticker._fire()  # noqa: SLF001
    spent_us = (time.process_time_ns() - start_ns) / 1000
    sent = sum(turn.sent.frames for _, turn in senders) - begun_frames
    assert sent > TURNS * (count - 30), "all but what the lead took"
    assert hole.writes - begun_writes > 0.9 * sent, "each frame has an instant of its own"
    ticker.close()
    return spent_us / sent


def _floor_us() -> float:
    hole, payload = Hole(), bytes(960)
    start_ns = time.process_time_ns()
    for _ in range(10_000):
        hole.write(ws_message(WSMsgType.BINARY, payload))
    return (time.process_time_ns() - start_ns) / 1000 / 10_000


def _sender(ticker: Ticker, clock: Clock, hole: Hole) -> tuple[Sender, Turn]:
    sender = Sender(ticker, ended=_never)
    sender.outbox._clock = clock  # noqa: SLF001
    sender.open(cast("Any", None), cast("Any", None), cast("asyncio.Transport", hole))
    nobody = cast("Any", Nobody())
    settings = TurnSettings(
        turn_id="t",
        index=0,
        audio=AudioRequest(sample_rate=24000, frame_ms=FRAME_MS),
        pacing=Pacing(mode="realtime", lead_ms=LEAD_MS),
        window_ms=None,
        candidates=(Candidate(provider=nobody, speech=Speech(voice="v"), budget=ConcurrencyLimiter("nobody")),),
        driver=cast("Any", None),
    )
    return sender, Turn(settings, sender.outbox, on_taken=lambda _: None, clock=clock)


def _never(_turn: Turn, _end: End) -> Any:
    raise AssertionError("no turn ends")


if __name__ == "__main__":
    main()
