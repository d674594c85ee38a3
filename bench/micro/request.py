"""What the HTTP driver adds to a request on a warm connection, beside a reader that does the least there is to do.

Run: `python -m bench.micro.request [EXCHANGES]`. Both ask the same server, in a process and on a core of its own, turn
about on one uvloop. `out`: from the call to the request's arrival there. `back`: from the reply's `write` there to the
first piece here. `whole`: from the call to the first piece. `stop`: from the cancel of a task that waits in the middle
of a reply (the driver's: right after `abort`) to the end of the connection there. Waking the other process is in all of
them.
"""

import asyncio
import os
import signal
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import cast

import uvloop

from relay.bench.processes import CORES, listening
from relay.bench.stats import difference_of_medians
from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.core.timings import Timings
from relay.drivers.http.driver import HttpDriver
from relay.providers.base import faults
from relay.providers.base.http import HttpRequest, ReplyFacts

EXCHANGES = 3000
AUDIO = bytes(4800)
SOURCE = SourceFormat(container=Container.RAW, pcm=AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000))
BODY = b'{"text":"The quick brown fox jumps over the lazy dog.","voice":"it","output_format":"pcm_24000"}'
# How long the loop rests between exchanges, as it does between turns: a loop that never sleeps is never woken.
REST_S = 0.001

# Instants on the monotonic clock, which all processes share: the request came, the reply was written, a connection
# ended.
Came = tuple[float, float, float]
# Reads one reply; gives its instants there, and that of its first piece here.
Ask = Callable[[], Awaitable[tuple[float, float, float, float]]]


class Server(asyncio.Protocol):
    """Answers each request in one write, and says in its head when it came, when that was, and when the connection that
    ended last did. The answer to a request for `/endless` has no end."""

    lost_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._inbox = b""

    def data_received(self, data: bytes) -> None:
        came_s = time.monotonic()
        self._inbox += data
        if self._inbox.endswith(BODY):
            self._inbox = b""
            size = 10**9 if b"/endless" in data else len(AUDIO)
            head = "HTTP/1.1 200 OK\r\nContent-Type: audio/pcm\r\n"
            instants = f"X-Came: {came_s:.9f} {time.monotonic():.9f} {Server.lost_s:.9f}\r\n"
            self._transport.write(f"{head}{instants}Content-Length: {size}\r\n\r\n".encode() + AUDIO)

    def connection_lost(self, exc: Exception | None) -> None:
        Server.lost_s = time.monotonic()


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", file=sys.stderr, flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


def instants(value: str) -> Came:
    came_s, written_s, lost_s = map(float, value.split())
    return came_s, written_s, lost_s


def request_to(url: str, path: str, seen: list[str]) -> HttpRequest:
    def accept(headers: object) -> ReplyFacts:
        seen.append(cast("dict[str, str]", headers)["x-came"])
        return ReplyFacts(source=SOURCE)

    return HttpRequest(
        provider="bench",
        method="POST",
        url=f"{url}{path}?output_format=pcm_24000",
        headers={"content-type": "application/json", "accept": "audio/pcm"},
        secret_headers={"xi-api-key": "bench"},
        body=BODY,
        accept=accept,
        refuse=lambda refusal: faults.refused("bench", refusal),
    )


def by_driver(driver: HttpDriver, url: str) -> Ask:
    seen: list[str] = []

    async def ask() -> tuple[float, float, float, float]:
        async with driver.open(request_to(url, "/v1/text-to-speech/it/stream", seen), Timings()) as reply:
            await anext(reply)
            first_s = time.monotonic()
            async for _ in reply:
                pass
        return *instants(seen.pop()), first_s

    return ask


def by_hand(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Ask:
    request = (
        b"POST /v1/text-to-speech/it/stream?output_format=pcm_24000 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"User-Agent: bench\r\nAccept-Encoding: identity\r\nContent-Type: application/json\r\nAccept: audio/pcm\r\n"
        b"xi-api-key: bench\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    )

    async def ask() -> tuple[float, float, float, float]:
        writer.write(request + BODY)
        head, _, audio = (await reader.read(65536)).partition(b"\r\n\r\n")
        first_s = time.monotonic()
        if len(audio) < len(AUDIO):
            await reader.readexactly(len(AUDIO) - len(audio))
        return *instants(head.split(b"X-Came: ")[1].split(b"\r\n")[0].decode()), first_s

    return ask


async def stopped_driver(driver: HttpDriver, url: str) -> float:
    """When a listener was cancelled."""
    waiting = asyncio.Event()
    drop: list[Callable[[], None]] = []

    async def listen() -> None:
        async with driver.open(request_to(url, "/endless", []), Timings()) as reply:
            drop.append(getattr(reply, "abort", lambda: None))
            async for _ in reply:
                waiting.set()

    listener = asyncio.get_running_loop().create_task(listen())
    await waiting.wait()
    await asyncio.sleep(REST_S)
    start_s = time.monotonic()
    drop[0]()
    listener.cancel()
    await asyncio.wait([listener])
    return start_s


async def stopped_by_hand(port: int) -> float:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /endless HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
    await reader.read(65536)
    await asyncio.sleep(REST_S)
    start_s = time.monotonic()
    writer.transport.abort()
    return start_s


async def measure(exchanges: int) -> None:
    if 0 in CORES:
        os.sched_setaffinity(0, {0})
    driver = HttpDriver()
    await driver.start()
    async with listening("-m", "bench.micro.request", "serve", cpu=1, environment=dict(os.environ)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        ways = {"driver": by_driver(driver, server.url), "by hand": by_hand(reader, writer)}
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
        for number in range(exchanges + 100):
            for name, ask in ways.items():
                await asyncio.sleep(REST_S)
                start_s = time.monotonic()
                came_s, written_s, _, first_s = await ask()
                if number >= 100:
                    found[name].append((came_s - start_s, first_s - written_s, first_s - start_s))
        stops: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(exchanges // 10):
            for name in ways:
                start_s = await (
                    stopped_driver(driver, server.url) if name == "driver" else stopped_by_hand(server.port)
                )
                await asyncio.sleep(REST_S * 5)
                _, _, lost_s, _ = await ways["by hand"]()
                stops[name].append((lost_s - start_s) * 1e6)
        writer.close()
        await driver.close()
    print(f"{'us, median of ' + str(exchanges):24} {'driver':>8} {'by hand':>8}   driver - by hand (95 %)")
    for at, what in enumerate(("out", "back", "whole")):
        values = [[each[at] * 1e6 for each in found[name]] for name in ways]
        show(what, *values)
    show("stop", *stops.values())


def show(what: str, driver: list[float], by_hand: list[float]) -> None:
    later = difference_of_medians(by_hand, driver)
    assert later is not None, "both have values"
    print(
        f"{what:24} {statistics.median(driver):8.0f} {statistics.median(by_hand):8.0f}   "
        f"{later.of_medians:6.0f} ({later.interval.low:.0f} to {later.interval.high:.0f})"
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        uvloop.run(serve())
    else:
        uvloop.run(measure(int(sys.argv[1]) if sys.argv[1:] else EXCHANGES))
