"""From `turn.cancel` to the end of the provider's connection: the time a provider goes on working after a barge-in.

Run: `python -m bench.dropped [CANCELS]`. The provider notes when the connection of a stream ends, on the clock that all
processes share; the instant before is that at which the client sends its cancel. Between the cancels, `direct`: a
reader of the same provider drops its own connection, which is the floor: two system calls and the provider's waking.
"""

import asyncio
import random
import sys
import time
import urllib.request
from typing import Any

import uvloop

from bench.figures import percentiles
from bench.listeners import Ears, Listener
from bench.processes import keep_punctual, provider, relay, stay_off_the_relays_core

CANCELS = 200
PACINGS: tuple[dict[str, Any], ...] = ({"mode": "realtime", "lead_ms": 200}, {"mode": "fast"})
# What a cancel has to reach.
TO_REACH_MS = 1.0
# The provider's end of a connection is looked for after this long.
SETTLE_S = 0.05


async def lost_s(url: str) -> float:
    """When the provider lost a stream's connection last."""
    await asyncio.sleep(SETTLE_S)
    found = await asyncio.to_thread(lambda: urllib.request.urlopen(f"{url}/lost").read())
    return float(found)


class Caller:
    """Speaks, and cancels in the middle of it."""

    async def connect(self, port: int) -> None:
        self._heard = asyncio.Event()
        self._ears = (await Listener.connect(port, self._on_event, lambda _, __: self._heard.set())).ears

    def _on_event(self, _: Ears, event: dict[str, Any]) -> None:
        assert event["type"] != "error", event

    async def cancelled_s(self, pacing: dict[str, Any], after_s: float) -> float:
        """When a turn was cancelled, so long after its first frame."""
        self._heard.clear()
        self._ears.send(type="speak", text="Hello.", pacing=pacing)
        await self._heard.wait()
        await asyncio.sleep(after_s)
        start_s = time.monotonic()
        self._ears.send(type="turn.cancel")
        return start_s


async def dropped_s(port: int, after_s: float) -> float:
    """When a reader that reads directly has dropped its connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/text-to-speech/bench/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}")
    await reader.read(65536)
    await asyncio.sleep(after_s)
    start_s = time.monotonic()
    writer.transport.abort()
    return start_s


async def measure(cancels: int) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {"cancel": [], "direct": []}
    draw = random.Random(1)
    async with provider("pcm", "60", "2", module="bench.streams") as source, relay(source.url) as server:
        caller = Caller()
        await caller.connect(server.port)
        for number in range(cancels):
            after_s = draw.choice((0.001, 0.05, 0.5)) * draw.random()
            start_s = await caller.cancelled_s(PACINGS[number % 2], after_s)
            figures["cancel"].append((await lost_s(source.url) - start_s) * 1000)
            start_s = await dropped_s(source.port, after_s)
            figures["direct"].append((await lost_s(source.url) - start_s) * 1000)
    return figures


def main(cancels: int = CANCELS) -> None:
    stay_off_the_relays_core()
    keep_punctual()
    print(
        f"{'ms after it, of ' + str(cancels):24} {'p50':>8} {'p90':>8} {'p99':>8} {'max':>8}   to reach {TO_REACH_MS:g}"
    )
    for name, values in uvloop.run(measure(cancels)).items():
        print(f"{name:24} " + " ".join(f"{value:8.3f}" for value in (*percentiles(values, 50, 90, 99), max(values))))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
