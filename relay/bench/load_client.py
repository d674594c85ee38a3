"""Listeners at real time, as a process: `python -m relay.bench.load_client`, started by `load_run`.

Reads its orders from standard input, opens its sessions and says `ready`; at the next line its turns begin, by the
clock and not one after the other, so that a relay that is slow is not asked for less. Lateness is counted from each
turn's own first frame, time to first audio from the instant at which the turn was to begin.
"""

import asyncio
import re
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from relay.bench.garbage import held_back
from relay.bench.listeners import Ears, Listener, begin_at
from relay.bench.load_plan import bin_of
from relay.bench.load_wire import Orders, Outcome

# Sessions opened at a time: more would be refused by the kernel's queue before the relay has seen them.
OPENING = 32
# After the last turn was to have ended.
PATIENCE_S = 10.0
# How a relay refuses a session, such as 429 for too many from one client.
REFUSED = re.compile(r"HTTP/1\.1 (\d{3})\b")
ENDS = ("turn.done", "turn.cancelled", "error")


@dataclass
class Turn:
    """One listener and its turn."""

    begin_s: float = 0.0
    code: str | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)
    listener: Listener | None = None

    def on_event(self, _: Ears, event: dict[str, Any]) -> None:
        if event["type"] == "error":
            self.code = event["code"]
        if event["type"] in ENDS:
            self.over.set()


async def open_all(orders: Orders, turns: list[Turn]) -> None:
    """A session for each turn; one that is refused is a failure of its turn."""
    room = asyncio.Semaphore(OPENING)
    tls = ssl.create_default_context() if orders.tls else None

    async def one(turn: Turn) -> None:
        async with room:
            try:
                turn.listener = await Listener.connect(
                    orders.port, turn.on_event, host=orders.host, path=orders.path, key=orders.key, tls=tls
                )
            except OSError as error:
                status = REFUSED.match(str(error))
                turn.code = f"http_{status[1]}" if status else "no_session"
                turn.over.set()

    async with asyncio.TaskGroup() as tasks:
        for turn in turns:
            tasks.create_task(one(turn))


async def speak_all(orders: Orders, turns: list[Turn]) -> None:
    """Until each turn has ended, or has been listened to for long enough."""
    start_s = time.monotonic()
    audio = {"sample_rate": 24000, "frame_ms": orders.frame_ms}
    pacing = {"mode": "realtime", "lead_ms": orders.lead_ms}
    named = {"provider": orders.provider} if orders.provider else {}
    for number, turn in enumerate(turns):
        turn.begin_s = start_s + orders.spread_s * begin_at(orders.first + number * orders.step, orders.turns)
        if turn.listener is None:
            continue
        await asyncio.sleep(max(0.0, turn.begin_s - time.monotonic()))
        turn.listener.ears.send(type="speak", text=orders.text, audio=audio, pacing=pacing, **named)
    deadline_s = start_s + orders.spread_s + orders.seconds
    over = asyncio.gather(*(turn.over.wait() for turn in turns))
    try:
        async with asyncio.timeout(deadline_s + PATIENCE_S - time.monotonic()):
            await asyncio.wait([over], timeout=max(0.0, deadline_s - time.monotonic()))
            for turn in turns:
                # Whoever has heard nothing by now is waited for; the others have been heard for long enough.
                if not turn.over.is_set() and turn.listener is not None and turn.listener.ears.arrivals_s:
                    turn.listener.ears.send(type="turn.cancel")
            await over
    except TimeoutError:
        for turn in turns:
            if not turn.over.is_set():
                turn.code = "timeout"


def outcome(orders: Orders, turns: list[Turn], cpu: float) -> Outcome:
    late: Counter[int] = Counter()
    ttfa_ms, underruns, frames = [], 0, 0
    for turn in turns:
        if turn.listener is None or turn.code is not None:
            continue
        arrivals_s = turn.listener.ears.arrivals_s
        if not arrivals_s:
            turn.code = "no_audio"
            continue
        frames += len(arrivals_s)
        ttfa_ms.append(round((arrivals_s[0] - turn.begin_s) * 1000, 3))
        of_turn, gaps = lateness(arrivals_s, frame_ms=orders.frame_ms, lead_ms=orders.lead_ms)
        underruns += gaps
        late.update(map(bin_of, of_turn))
    codes = Counter(turn.code for turn in turns if turn.code is not None)
    return Outcome(ttfa_ms=ttfa_ms, late=dict(late), underruns=underruns, frames=frames, codes=dict(codes), cpu=cpu)


def lateness(arrivals_s: list[float], *, frame_ms: int, lead_ms: int) -> tuple[list[float], int]:
    """How late each frame was in ms, from the first that the lead does not cover; and how many gaps a listener would
    have heard who began to play with the first frame: runs of frames that came after their instant."""
    start_s, found, gaps, dry = arrivals_s[0], [], 0, False
    for index in range(lead_ms // frame_ms, len(arrivals_s)):
        late_ms = (arrivals_s[index] - start_s) * 1000 - index * frame_ms + lead_ms
        found.append(late_ms)
        gaps += late_ms > lead_ms and not dry
        dry = late_ms > lead_ms
    return found, gaps


def fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Where there is none, asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def main() -> None:
    orders = msgspec.json.decode(await asyncio.to_thread(sys.stdin.readline), type=Orders)
    turns = [Turn() for _ in range(orders.first, orders.turns, orders.step)]
    await open_all(orders, turns)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if not await asyncio.to_thread(sys.stdin.readline):
        return  # whoever wanted to know has gone
    start_s, cpu_s = time.monotonic(), time.process_time()
    with held_back():
        await speak_all(orders, turns)
    cpu = (time.process_time() - cpu_s) / (time.monotonic() - start_s)
    sys.stdout.write(msgspec.json.encode(outcome(orders, turns, round(cpu, 3))).decode() + "\n")
    sys.stdout.flush()
    for turn in turns:
        if turn.listener is not None:
            turn.listener.transport.abort()


if __name__ == "__main__":
    asyncio.Runner(loop_factory=fast_loop()).run(main())
