"""What the HTTP driver adds to a request on a warm connection, beside a reader that does the least there is to do.

Run: `python -m bench.micro.request [EXCHANGES]`. Both ask the same server, in a process and on a core of its own, turn
about on one uvloop. `out`: from the call to the request's arrival there. `back`: from the reply's `write` there to the
first piece here. `whole`: from the call to the first piece. Waking the other process is in all of them.
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

# Instants on the monotonic clock, which all processes share: the request came, the reply was written.
Came = tuple[float, float]
# Reads one reply; gives its instants there, and that of its first piece here.
Ask = Callable[[], Awaitable[tuple[float, float, float]]]


class Server(asyncio.Protocol):
    """Answers each request in one write, and says in its head when it came and when that was."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._inbox = b""

    def data_received(self, data: bytes) -> None:
        came_s = time.monotonic()
        self._inbox += data
        if self._inbox.endswith(BODY):
            self._inbox = b""
            head = "HTTP/1.1 200 OK\r\nContent-Type: audio/pcm\r\n"
            instants = f"X-Came: {came_s:.9f} {time.monotonic():.9f}\r\n"
            self._transport.write(f"{head}{instants}Content-Length: {len(AUDIO)}\r\n\r\n".encode() + AUDIO)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", file=sys.stderr, flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


def instants(value: str) -> Came:
    came_s, written_s = map(float, value.split())
    return came_s, written_s


def by_driver(driver: HttpDriver, url: str) -> Ask:
    seen: list[str] = []

    def accept(headers: object) -> ReplyFacts:
        seen.append(cast("dict[str, str]", headers)["x-came"])
        return ReplyFacts(source=SOURCE)

    def request() -> HttpRequest:
        return HttpRequest(
            provider="bench",
            method="POST",
            url=f"{url}/v1/text-to-speech/it/stream?output_format=pcm_24000",
            headers={"content-type": "application/json", "accept": "audio/pcm"},
            secret_headers={"xi-api-key": "bench"},
            body=BODY,
            accept=accept,
            refuse=lambda refusal: faults.refused("bench", refusal),
        )

    async def ask() -> tuple[float, float, float]:
        async with driver.open(request(), Timings()) as reply:
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

    async def ask() -> tuple[float, float, float]:
        writer.write(request + BODY)
        head, _, audio = (await reader.read(65536)).partition(b"\r\n\r\n")
        first_s = time.monotonic()
        if len(audio) < len(AUDIO):
            await reader.readexactly(len(AUDIO) - len(audio))
        return *instants(head.split(b"X-Came: ")[1].split(b"\r\n")[0].decode()), first_s

    return ask


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
                came_s, written_s, first_s = await ask()
                if number >= 100:
                    found[name].append((came_s - start_s, first_s - written_s, first_s - start_s))
        writer.close()
        await driver.close()
    print(f"{'us, median of ' + str(exchanges):24} {'driver':>8} {'by hand':>8}   driver - by hand (95 %)")
    for at, what in enumerate(("out", "back", "whole")):
        values = [[each[at] * 1e6 for each in found[name]] for name in ways]
        later = difference_of_medians(values[1], values[0])
        assert later is not None, "both have values"
        print(
            f"{what:24} {statistics.median(values[0]):8.0f} {statistics.median(values[1]):8.0f}   "
            f"{later.of_medians:6.0f} ({later.interval.low:.0f} to {later.interval.high:.0f})"
        )


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        uvloop.run(serve())
    else:
        uvloop.run(measure(int(sys.argv[1]) if sys.argv[1:] else EXCHANGES))
