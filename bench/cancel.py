"""From `turn.cancel` to `turn.cancelled`, as a listener sees it, while the relay is busy with others.

Run: `python -m bench.cancel [SECONDS] [TURNS ...]`. TURNS are at real time, heard by a process of their own
(`bench.crowd`); beside them some are cancelled at random instants, half of them at real time and half as fast as the
socket takes them. Those who cancel come before all others on their core, where the system allows it: what they wait for
it is not the relay's. Not one frame may come after `turn.cancelled`. `ping` is the same way there and back without
anything to cancel: the floor.
"""

import asyncio
import random
import sys
import time
from typing import Any

import uvloop

from bench.figures import percentiles
from bench.listeners import Ears, Listener
from bench.processes import MANY, keep_punctual, provider, relay, stay_off_the_relays_core

SECONDS = 15
TURNS = (0, 100, 400)
CANCELLERS = 16
LONG_S = 60
# How long a frame that should not come is waited for: the next turn begins after it.
QUIET_S = 0.1
PACED = {"mode": "realtime", "lead_ms": 200}


class Caller:
    """Speaks, interrupts, and watches for what should not come."""

    def __init__(self, pacing: dict[str, Any], seed: int) -> None:
        self._pacing, self._random = pacing, random.Random(seed)
        self._answer: asyncio.Future[None] | None = None
        self._silent = False
        self.cancel_ms: list[float] = []
        self.ping_ms: list[float] = []
        self.stale_frames = 0

    async def connect(self, port: int) -> None:
        self._ears = (await Listener.connect(port, self._on_event, self._on_audio)).ears

    async def call(self, until_s: float) -> None:
        draw = self._random
        await asyncio.sleep(draw.random())
        while time.monotonic() < until_s:
            self._silent = False
            self._ears.send(type="speak", text="Hello.", pacing=self._pacing)
            # From before the provider has answered to the middle of the speech.
            await asyncio.sleep(draw.choice((0.001, 0.01, 0.1, 1.0)) * draw.random())
            self.cancel_ms.append(await self._timed(type="turn.cancel"))
            await asyncio.sleep(QUIET_S)
            self.ping_ms.append(await self._timed(type="ping"))

    async def _timed(self, **message: Any) -> float:
        self._answer = asyncio.get_running_loop().create_future()
        start_s = time.monotonic()
        self._ears.send(**message)
        await self._answer
        return (time.monotonic() - start_s) * 1000

    def _on_event(self, _: Ears, event: dict[str, Any]) -> None:
        kind = event["type"]
        assert kind not in ("error", "turn.done"), event
        if kind == "turn.cancelled":
            self._silent = True
        if kind in ("turn.cancelled", "pong") and self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def _on_audio(self, _: Ears, __: bytes) -> None:
        self.stale_frames += self._silent


async def measure(turns: int, seconds: int) -> list[Caller]:
    async with (
        provider("pcm", str(LONG_S + seconds), "2", module="bench.streams") as source,
        relay(source.url, **MANY) as server,
        provider(str(server.port), str(turns), module="bench.crowd"),
    ):
        callers = [Caller(PACED if index % 2 else {"mode": "fast"}, index) for index in range(CANCELLERS)]
        for caller in callers:
            await caller.connect(server.port)
        async with asyncio.TaskGroup() as tasks:
            for caller in callers:
                tasks.create_task(caller.call(time.monotonic() + seconds))
        return callers


def row(turns: int, callers: list[Caller]) -> str:
    cancels = [ms for caller in callers for ms in caller.cancel_ms]
    pings = [ms for caller in callers for ms in caller.ping_ms]
    stale = sum(caller.stale_frames for caller in callers)
    assert not stale, f"{stale} frames came after turn.cancelled"
    figures = (*percentiles(cancels, 50, 99), max(cancels), *percentiles(pings, 50, 99))
    return f"{turns:6} {len(cancels):8} " + " ".join(f"{figure:8.2f}" for figure in figures) + f" {stale:8}"


def main(seconds: int = SECONDS, *turns: int) -> None:
    stay_off_the_relays_core()
    if not keep_punctual():
        print("this process may not come first on its core: what it waits there is counted too")
    print(f"{'':15} {'cancel to cancelled, ms':>26} {'ping to pong, ms':>17} {'frames':>8}")
    print(f"{'turns':>6} {'cancels':>8} {'p50':>8} {'p99':>8} {'max':>8} {'p50':>8} {'p99':>8} {'after':>8}")
    for count in turns or TURNS:
        print(row(count, uvloop.run(measure(count, seconds))), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
