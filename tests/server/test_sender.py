"""Outbox to socket: one write for what may leave together, a full socket, a client that is gone, a bug."""

import asyncio
from typing import Any, cast

import pytest
from aiohttp import ClientConnectionResetError, web
from aiohttp.abc import AbstractStreamWriter

from relay.core.events import Event, Pong
from relay.engine.outbox import CloseSocket, End, WsPong
from relay.engine.ticker import Ticker
from relay.engine.turn import Turn
from relay.server.sender import SOCKET_HIGH_WATER_BYTES, Sender
from tests.server.fakes import FakeTurn

PONG = b'\x81\x0f{"type":"pong"}'


class FakeSocket:
    """Transport, writer and WebSocket at once. `takes` is how many bytes it takes before it is full."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.full_bytes = 0
        self.drained = asyncio.Event()
        self.closing = False
        self.closed: list[tuple[int, bytes]] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def get_write_buffer_size(self) -> int:
        return self.full_bytes

    def set_write_buffer_limits(self, high: int) -> None:
        assert high == SOCKET_HIGH_WATER_BYTES

    def is_closing(self) -> bool:
        return self.closing

    async def drain(self) -> None:
        if self.full_bytes:
            await self.drained.wait()
        if self.closing:
            raise ClientConnectionResetError

    async def close(self, *, code: int = 1000, message: bytes = b"") -> None:
        self.closed.append((code, message))


def make(ended: Any = None) -> tuple[Sender, FakeSocket]:
    sender, fake = Sender(Ticker(), ended or _no_turn), FakeSocket()
    return sender, fake


def open_(sender: Sender, fake: FakeSocket) -> None:
    sender.open(
        cast("web.WebSocketResponse", fake), cast("AbstractStreamWriter", fake), cast("asyncio.Transport", fake)
    )


def _no_turn(turn: Turn, end: End) -> Event:
    raise AssertionError("no turn ends")


async def test_what_was_said_before_the_handshake_leaves_with_it_in_one_write() -> None:
    sender, fake = make()
    sender.outbox.post(Pong())
    sender.outbox.post(WsPong(b"x"))
    assert fake.writes == []
    open_(sender, fake)
    assert fake.writes == [PONG + b"\x8a\x01x"]
    sender.outbox.post(Pong())
    assert fake.writes[1:] == [PONG], "and what comes later leaves at once"


async def test_a_full_socket_holds_everything_until_it_has_taken_what_it_has() -> None:
    sender, fake = make()
    open_(sender, fake)
    running = asyncio.create_task(sender.run())
    fake.full_bytes = SOCKET_HIGH_WATER_BYTES + 1
    sender.outbox.post(Pong())
    sender.outbox.post(WsPong(b""))
    assert len(fake.writes) == 1
    await _settled()
    assert sender.full_since_s is not None
    fake.full_bytes = 0
    fake.drained.set()
    await _settled()
    assert fake.writes == [PONG, b"\x8a\x00"]
    assert fake.full_bytes == 0 and not sender.full_since_s
    sender.outbox.post(CloseSocket(1001, "shutting_down"))
    sender.outbox.post(Pong())
    async with asyncio.timeout(5):
        await running
    assert fake.closed == [(1001, b"shutting_down")]
    assert len(fake.writes) == 2, "after the farewell nothing is said"


@pytest.mark.parametrize("while_full", [False, True])
async def test_a_client_that_is_gone_ends_the_sending_and_the_socket(while_full: bool) -> None:
    sender, fake = make()
    open_(sender, fake)
    running = asyncio.create_task(sender.run())
    if while_full:
        fake.full_bytes = SOCKET_HIGH_WATER_BYTES + 1
        sender.outbox.post(Pong())
        await _settled()
    fake.closing = True
    fake.drained.set()
    sender.outbox.post(Pong())
    async with asyncio.timeout(5):
        await running
    assert len(fake.closed) == 1
    assert len(fake.writes) == int(while_full)


async def test_a_bug_in_a_message_reaches_who_runs_the_sender_and_nobody_who_puts() -> None:
    sender, fake = make()
    open_(sender, fake)
    running = asyncio.create_task(sender.run())
    sender.outbox.put_nowait(FakeTurn(), [End()])
    sender.outbox.post(Pong())
    with pytest.raises(AssertionError, match="its own turns"):
        async with asyncio.timeout(5):
            await running
    assert fake.writes == []


async def test_closed_it_sends_nothing() -> None:
    sender, fake = make()
    open_(sender, fake)
    sender.close()
    sender.outbox.post(Pong())
    sender.close()
    assert fake.writes == []


async def _settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
