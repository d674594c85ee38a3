"""What a paced frame costs from its tick to the socket's `write`, the system call left out: CPU microseconds a frame.

Run: `python -m bench.micro.send`. By groups, as frames leave by default, and each at its own instant (`burst_ms: 0`).
Beside it, in the same runs: making the frame's WebSocket message and handing it to the same `write`, which is the least
there is to do for a frame that leaves alone.
"""

import asyncio
import statistics
import time
from typing import Any, cast

from aiohttp import WSMsgType

from relay.core.events import Pacing, SessionDefaults, SessionLimits, Speak, TurnRequest
from relay.core.formats import AudioRequest
from relay.core.session import Session
from relay.engine.speaker import Speaker
from relay.engine.ticker import Ticker
from relay.protocols.native import NativeSession
from relay.server.socket import SocketOutlet, ws_message

RUNS, TURNS, SECONDS = 7, 50, 4
FRAME_MS, LEAD_MS = 20, 200
FORMAT = AudioRequest(sample_rate=24000, frame_ms=FRAME_MS).resolve(24000)


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

    def get_extra_info(self, name: str) -> None:
        return None


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def main() -> None:
    async def run() -> None:
        rounds = [(_paced_us(LEAD_MS // 2), _paced_us(0), _floor_us()) for _ in range(RUNS)]
        grouped, alone, floor = (statistics.median(costs) for costs in zip(*rounds, strict=True))
        print(f"a paced frame, tick to write: {grouped:.2f} us in groups, {alone:.2f} us each at its instant")
        print(f"its message and the write alone: {floor:.2f} us")

    asyncio.run(run())


def _paced_us(burst_ms: int) -> float:
    clock, hole = Clock(), Hole()
    ticker = Ticker(clock=clock)
    sessions = [_session(ticker, clock, hole, burst_ms) for _ in range(TURNS)]
    count = SECONDS * 1000 // FRAME_MS
    for session, speaker in sessions:
        clock.now_s += 0.001
        session.set_format("t", FORMAT)
        speaker.feed("t", bytes(count * FORMAT.frame_bytes))
    ticker._fire()  # noqa: SLF001 - no loop, no timer: only what a tick costs
    begun_frames, begun_writes = _sent(sessions), hole.writes
    start_ns = time.process_time_ns()
    for _ in range(SECONDS * 200):
        clock.now_s += 0.005
        ticker._fire()  # noqa: SLF001
    spent_us = (time.process_time_ns() - start_ns) / 1000
    sent = _sent(sessions) - begun_frames
    assert sent > TURNS * (count - 30), "all but what the lead took"
    group = max(1, burst_ms // FRAME_MS)
    assert 0.9 * sent / group < hole.writes - begun_writes < 1.1 * sent / group, "a write a group"
    ticker.close()
    return spent_us / sent


def _floor_us() -> float:
    hole, payload = Hole(), bytes(960)
    start_ns = time.process_time_ns()
    for _ in range(10_000):
        hole.write(ws_message(WSMsgType.BINARY, payload))
    return (time.process_time_ns() - start_ns) / 1000 / 10_000


def _session(ticker: Ticker, clock: Clock, hole: Hole, burst_ms: int) -> tuple[Session, Speaker]:
    defaults = SessionDefaults(provider="nobody", pacing=Pacing(mode="realtime", lead_ms=LEAD_MS, burst_ms=burst_ms))
    session = Session(defaults, SessionLimits(), check=lambda opened: None)
    outlet = SocketOutlet(NativeSession())
    outlet.open(cast("Any", None), cast("asyncio.Transport", hole))
    session.receive(Speak(request=TurnRequest(turn_id="t"), text="Hello."), clock.now_s)
    return session, Speaker(session, outlet, ticker, cast("Any", None), clock=clock)


def _sent(sessions: list[tuple[Session, Speaker]]) -> int:
    return sum(record.sent.frames for session, _ in sessions for record in session.records)


if __name__ == "__main__":
    main()
