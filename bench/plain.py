"""The least that a consumer of `bench.known` can do: how late a step is read by a program that does nothing with it.

Run: `python -m bench.plain URL KIND AT_ONCE ROUNDS SPREAD_S REST_S`, on the core where the relay would be. Each of
AT_ONCE readers posts ROUNDS times, with REST_S seconds between a reply's end and the next request. Prints JSON:
`{text: {scheduled ms: instant}}`, in seconds of the monotonic clock; 0 is when the request went to the socket.
"""

import asyncio
import json
import sys
import time
from typing import cast
from urllib.parse import urlsplit

import uvloop

from bench.known import wire
from relay.testing.known import Kind


class Reader(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, steps: list[tuple[int, int]]) -> None:
        # Milliseconds after the request, and how many bytes are there then.
        self._steps = steps
        self._received_bytes = 0
        self._instants: dict[int, float] = {}
        self._over = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    async def ask(self, text: str) -> dict[int, float]:
        body = json.dumps({"text": text}).encode()
        head = b"POST / HTTP/1.1\r\nhost: known\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._received_bytes = 0
        self._over.clear()
        self._instants = {0: time.monotonic()}
        self._transport.write(head + body)
        await self._over.wait()
        return self._instants

    def data_received(self, data: bytes) -> None:
        now_s = time.monotonic()
        self._received_bytes += len(data)
        for at_ms, there_bytes in self._steps:
            if self._received_bytes >= there_bytes:
                self._instants.setdefault(at_ms, now_s)
        if self._received_bytes == self._steps[-1][1]:
            self._over.set()


async def main(url: str, kind: Kind, at_once: int, rounds: int, spread_s: float, rest_s: float) -> None:
    address, steps = urlsplit(url), wire(kind)
    host, port = address.hostname, address.port
    assert host and port, "a provider of ours says where it listens"
    heard: dict[str, dict[int, float]] = {}

    async def reader(number: int) -> None:
        _, link = await asyncio.get_running_loop().create_connection(lambda: Reader(steps), host, port)
        await asyncio.sleep(number * spread_s / at_once)
        for turn in range(rounds):
            text = f"Reader {number} of {at_once}, turn {turn}."
            heard[text] = await link.ask(text)
            await asyncio.sleep(rest_s)

    await asyncio.gather(*(reader(number) for number in range(at_once)))
    print(json.dumps(heard))


if __name__ == "__main__":
    where, what, *numbers = sys.argv[1:]
    uvloop.run(main(where, cast("Kind", what), *map(int, numbers[:2]), *map(float, numbers[2:])))
