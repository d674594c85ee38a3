"""What the relay adds to the time to first audio: one turn at a time on loopback, beside a direct consumer of the same
provider in the same run.

Run: `python -m bench.relay_ms [TURNS]`. `relay_ms` is the relay's own report (provider's first byte -> first frame
handed to the socket); `through` and `direct` are what a client sees: request -> first frame, or first byte of the body.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence

import aiohttp
from websockets.asyncio.client import ClientConnection, connect

from bench.figures import percentiles
from bench.processes import provider, relay
from relay.bench.stats import difference_of_medians

TURNS = 300
SECONDS = 0.5
# How much later than directly the first audio may be through the relay: a share of the direct time, and this.
LATER_BY_SHARE, LATER_BY_MS = 0.05, 1.0


async def through(websocket: ClientConnection) -> tuple[float, float]:
    """Client's first frame after its request, and the relay's own part; both in ms."""
    start_s = time.perf_counter()
    await websocket.send('{"type":"speak","text":"Hello.","audio":{"sample_rate":"native"}}')
    first_ms = 0.0
    while True:
        message = await websocket.recv()
        if isinstance(message, bytes):
            first_ms = first_ms or (time.perf_counter() - start_s) * 1000
        elif '"turn.done"' in message:
            return first_ms, float(json.loads(message)["timings"]["relay_ms"])
        elif '"error"' in message:
            raise RuntimeError(message)


async def direct(session: aiohttp.ClientSession, url: str) -> float:
    start_s = time.perf_counter()
    async with session.post(f"{url}/v1/text-to-speech/bench/stream", json={"text": "Hello."}) as response:
        await response.content.readany()
        first_ms = (time.perf_counter() - start_s) * 1000
        await response.read()
    return first_ms


async def measure(turns: int, *kind: str) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {"relay_ms": [], "through": [], "direct": []}
    async with (
        provider(str(SECONDS), *kind) as source,
        relay(source.url) as server,
        connect(f"ws://127.0.0.1:{server.port}/v1/stream", compression=None) as websocket,
        aiohttp.ClientSession() as session,
    ):
        await websocket.recv()
        for turn in range(turns + 10):
            through_ms, relay_ms = await through(websocket)
            direct_ms = await direct(session, source.url)
            if turn >= 10:  # after connections are open and code is warm
                for name, value in (("relay_ms", relay_ms), ("through", through_ms), ("direct", direct_ms)):
                    figures[name].append(value)
    return figures


def row(name: str, values: Sequence[float]) -> str:
    return f"{name:22} " + " ".join(f"{value:8.3f}" for value in (*percentiles(values, 50, 90, 99), max(values)))


def main(turns: int = TURNS) -> None:
    print(f"{turns} turns, one at a time, ms        {'p50':>4} {'p90':>8} {'p99':>8} {'max':>8}")
    # The last: a provider whose socket holds the first audio back until its headers are acknowledged.
    for kind in (("pcm",), ("mp3",), ("pcm", "nagle")):
        figures, name = asyncio.run(measure(turns, *kind)), " ".join(kind)
        for figure, values in figures.items():
            print(row(f"{name} {figure}", values))
        apart = difference_of_medians(figures["direct"], figures["through"])
        assert apart is not None, "there were turns"
        allowed_ms = LATER_BY_SHARE * statistics.median(figures["direct"]) + LATER_BY_MS
        within = f"95 %: {apart.interval.low:.3f} to {apart.interval.high:.3f}; to reach {allowed_ms:.2f}"
        print(f"{name + ' through - direct':22} {apart.of_medians:8.3f} {within}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
