import asyncio
from collections.abc import Callable
from typing import cast

import pytest
import uvloop

from relay.drivers.http.bounded_reads import MOST_BYTES, bound_reads

AUDIO = bytes(range(256)) * 2048


class Reader(asyncio.Protocol):
    """Pauses after each read, and goes on a turn of the loop later."""

    def __init__(self) -> None:
        self.reads: list[bytes] = []
        self.over = asyncio.get_running_loop().create_future()
        self.events: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        bound_reads(self.transport)

    def data_received(self, data: bytes) -> None:
        self.reads.append(data)
        self.transport.pause_reading()
        asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    def eof_received(self) -> None:
        self.events.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")
        self.over.set_result(exc)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_all_comes_in_reads_of_a_bound_and_ends_as_it_does(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def read_all() -> Reader:
        async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(AUDIO)
            writer.close()

        loop = asyncio.get_running_loop()
        async with await asyncio.start_server(send, "127.0.0.1", 0) as server:
            address = server.sockets[0].getsockname()
            _, reader = await loop.create_connection(Reader, *address)
            async with asyncio.timeout(5):
                assert await reader.over is None
        return reader

    with asyncio.Runner(loop_factory=new_loop) as runner:
        reader = runner.run(read_all())
    assert b"".join(reader.reads) == AUDIO
    assert max(map(len, reader.reads)) <= MOST_BYTES
    assert reader.events == ["eof", "lost"]
