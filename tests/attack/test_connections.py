"""Before a key is checked nothing is spent: connections, heads, bodies and their compression."""

import asyncio
import gzip
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import uvloop

from relay.config import LimitsConfig, ServerConfig
from relay.server.connections import Connection, ConnectionLimits, Connections, State, network_of
from tests.server.harness import config, serving

LIMITS = ConnectionLimits(
    max_connections=4,
    max_per_address=2,
    first_byte_timeout_s=10,
    head_timeout_s=30,
    keepalive_s=75,
    stranger_keepalive_s=20,
)
KEY = "alice-key-0123456789abcdef"


class Counts:
    def __init__(self) -> None:
        self.open = 0
        self.ended: list[str] = []
        self.seconds_without_files = 0

    def connection_opened(self) -> None:
        self.open += 1

    def connection_closed(self) -> None:
        self.open -= 1

    def connection_ended(self, reason: str) -> None:
        self.ended.append(reason)

    def out_of_files(self) -> None:
        self.seconds_without_files += 1


class Wire(asyncio.Transport):
    """A transport that keeps what happens to it."""

    def __init__(self, address: str) -> None:
        super().__init__({"peername": (address, 1)})
        self.sent, self.closed = b"", False

    def write(self, data: Any) -> None:
        self.sent += data

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True

    abort = close


class Stage:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.counts = Counts()
        self.connections = Connections(LIMITS, self.counts, timed_out=b"408", clock=lambda: self.now_s)

    def accept(self, address: str = "1.2.3.4") -> tuple[Connection, Wire]:
        connection, wire = Connection(asyncio.Protocol(), self.connections), Wire(address)
        connection.connection_made(wire)
        return connection, wire

    def at(self, now_s: float) -> None:
        self.now_s = now_s
        self.connections.check()


def test_each_wait_has_its_own_end() -> None:
    stage = Stage()
    silent, slow = stage.accept("1.0.0.1"), stage.accept("1.0.0.2")
    stranger, known = stage.accept("1.0.0.3"), stage.accept("1.0.0.4")
    stage.connections.know(known[1])
    slow[0].data_received(b"GET /")
    for connection, wire in (stranger, known):
        connection.data_received(b"GET / HTTP/1.1\r\n\r\n")
        with stage.connections.answering(wire):
            stage.at(0)
            assert connection.state is State.BUSY
    ends = []
    for now_s in range(80):
        stage.at(now_s)
        ends.append([wire.closed for _, wire in (silent, stranger, slow, known)])
    assert [sum(column) for column in zip(*ends, strict=True)] == [80 - 11, 80 - 21, 80 - 31, 80 - 76]
    assert stage.counts.ended == ["no_request", "idle", "slow_head", "idle"]
    assert slow[1].sent == b"408"
    slow[0].connection_lost(None)
    slow[0].connection_lost(None)
    assert (stage.counts.open, len(stage.connections)) == (0, 0)


def test_a_head_that_drips_is_not_given_more_time_by_each_byte() -> None:
    stage = Stage()
    connection, wire = stage.accept()
    for now_s in range(40):
        stage.at(now_s)
        if not wire.closed:
            connection.data_received(b"G")
    assert stage.counts.ended == ["slow_head"]


def test_the_oldest_silent_one_makes_room_and_one_at_work_never_does() -> None:
    stage = Stage()
    (first, first_wire), (_, second_wire) = stage.accept(), stage.accept()
    with stage.connections.answering(first_wire):
        _, third_wire = stage.accept()
        assert (first_wire.closed, second_wire.closed, third_wire.closed) == (False, True, False)
        with stage.connections.answering(third_wire):
            refused, fourth_wire = stage.accept()
            assert fourth_wire.closed and not refused.admitted
            others = [stage.accept(f"5.6.7.{n}") for n in range(3)]
            assert [wire.closed for _, wire in others] == [True, False, False]
    assert stage.counts.ended == ["shed", "refused", "shed"]
    assert stage.counts.open == len(stage.connections) == 4
    first.connection_lost(None)
    assert len(stage.connections) == 3


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        (("10.0.0.1", 5), "10.0.0.1"),
        (("2001:db8:1:2:3::4", 5, 0, 0), "2001:0db8:0001:0002"),
        (("2001:db8:1:2:ffff::9", 5, 0, 0), "2001:0db8:0001:0002"),
        (("::ffff:10.0.0.1", 5, 0, 0), "10.0.0.1"),
        (("fe80::1%eth0", 5, 0, 2), "fe80:0000:0000:0000"),
        (None, ""),
        ("", ""),
    ],
)
def test_one_customer_is_one_address(peer: object, network: str) -> None:
    assert network_of(peer) == network


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_bodies_are_unpacked_behind_the_key_only_and_within_the_bound(run: Callable[..., None]) -> None:
    run(_bodies())


async def _bodies() -> None:
    bomb = gzip.compress(b"a" * 20_000_000, 9)
    fields = b'{"text":"","container":"wav"}'
    bare = zlib.compressobj(wbits=-15)
    settings = config(
        server=ServerConfig(port=0, keys=[KEY]),
        limits=LimitsConfig(head_timeout_s=0.1, first_byte_timeout_s=0.1, stranger_keepalive_s=0.1),
    )
    cases: list[tuple[bytes, str, bool, int, bytes]] = [
        (bomb, "gzip", False, 401, b"unauthorized"),
        (bomb, "gzip", True, 413, b"invalid_message"),
        (fields, "br", True, 415, b"invalid_message"),
        (b"no gzip", "gzip", True, 400, b"compression is broken"),
        (gzip.compress(fields)[:-4], "gzip", True, 400, b"compression is broken"),
        (gzip.compress(fields) * 2, "gzip", True, 400, b"compression is broken"),
        (gzip.compress(fields), "gzip", True, 200, b""),
        (zlib.compress(fields), "deflate", True, 200, b""),
        (bare.compress(fields) + bare.flush(), "Deflate", True, 200, b""),
        (fields, "identity", True, 200, b""),
    ]
    async with serving(settings) as server:
        for body, coding, with_key, status, said in cases:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            shown = f"Authorization: Bearer {KEY}\r\n" if with_key else ""
            head = f"POST /v1/speech HTTP/1.1\r\nHost: x\r\n{shown}Content-Encoding: {coding}\r\nConnection: close\r\n"
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.read()
            assert answer.startswith(f"HTTP/1.1 {status} ".encode()), (coding, answer[:300])
            assert said in answer
            writer.close()
            await writer.wait_closed()
        # A head that does not come to its end is refused in words.
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n") and b'"slow_client"' in answer
        writer.close()
        # Who says nothing is closed, and the process without files says so.
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        assert b'relay_connections_ended_total{reason="slow_head"} 1.0' in server.engine.metrics.render()


def test_a_process_without_files_says_so_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    class Full:
        def fileno(self) -> int:
            return -1  # what cannot be duplicated

    stage = Stage()
    for now_s in (0, 1, 59, 61):
        stage.now_s = now_s
        stage.connections.check_files(Full())  # type: ignore[arg-type]
    assert stage.counts.seconds_without_files == 4
    assert len(caplog.records) == 2
