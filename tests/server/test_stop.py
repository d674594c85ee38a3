"""A relay that stops at once: every client is told what it can be told, in bounded time, and none can hold it."""

import asyncio
import json
from contextlib import AsyncExitStack

import pytest

from relay.config import HttpConfig
from relay.errors import Code
from relay.server.app import Server
from relay.testing.audio import speech_like
from relay.testing.fake_provider import FakeRequest
from relay.testing.script import Cut, Script, Send, Stall, Status
from tests.server.harness import PATIENCE_S, client, relay_to

CLIP = speech_like(0.5)
# More than the sockets between the relay and a client that does not read take.
LONG = bytes(24_000 * 2 * 120)


def by_text(request: FakeRequest) -> Script:
    text = request.json()["text"]
    head = Status(200, {"content-type": "audio/pcm"})
    if "cut" in text:
        return (head, Send(CLIP), Stall(), Cut())
    if "late" in text:
        return (Stall(), head, Send(CLIP))
    return (head, Send(LONG)) if "long" in text else (head, Send(CLIP), Stall())


def post(body: bytes, version: str = "1.1", length: int | None = None) -> bytes:
    lines = [
        f"POST /v1/speech HTTP/{version}",
        "Host: localhost",
        "Connection: close",
        f"Content-Length: {length or len(body)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


def speech(text: str) -> bytes:
    return json.dumps({"text": text}).encode()


async def all_of(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """What comes until the connection ends, and whether it is reset."""
    got = bytearray()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while piece := await reader.read(1 << 16):
                got += piece
    except ConnectionResetError:
        return bytes(got), True
    return bytes(got), False


async def until_open(server: Server, sessions: int, requests: int) -> None:
    routes = server._routes
    async with asyncio.timeout(PATIENCE_S):
        while (len(routes.sessions), len(routes.requests)) != (sessions, requests):
            await asyncio.sleep(0.01)


async def test_every_client_learns_why_and_none_can_hold_it() -> None:
    async with relay_to(by_text) as (server, _), AsyncExitStack() as stack:
        caller = await stack.enter_async_context(client(server))
        idle = await stack.enter_async_context(client(server))
        deaf = await stack.enter_async_context(client(server, max_queue=1))
        for turn_id in "abc":
            await caller.send(type="speak", turn_id=turn_id, text="Hello.")
        while not isinstance(await caller.receive(), bytes):
            pass
        await deaf.send(type="speak", text="So long.")
        deaf.websocket.transport.pause_reading()
        async with asyncio.timeout(PATIENCE_S):
            while not any(each._outlet.full_since_s for each in server._routes.sessions):
                await asyncio.sleep(0.01)
        asked = [post(speech("late")), post(b"{", length=100), post(speech("now")), post(speech("now"), "1.0")]
        readers = []
        for request in asked:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            stack.callback(writer.close)
            writer.write(request)
            readers.append(reader)
        begun = [await reader.readuntil(b"\r\n\r\n") for reader in readers[2:]]
        assert all(b" 200 OK" in head for head in begun)
        await until_open(server, 3, 4)

        async with asyncio.timeout(PATIENCE_S):
            await server.stop()

        heard = await caller.turn("c")
        ends = [(event["turn_id"], event["code"], event["retryable"]) for event in heard.of("error")]
        assert ends == [(turn_id, Code.SHUTTING_DOWN, True) for turn_id in "abc"]
        assert (await caller.event())["type"] == "session.closing"
        assert await caller.close_code() == await idle.close_code() == (1001, Code.SHUTTING_DOWN)
        for reader in readers[:2]:
            answer, _ = await all_of(reader)
            assert answer.startswith(b"HTTP/1.1 503")
            assert b'"code":"shutting_down"' in answer
        chunked, _ = await all_of(readers[2])
        assert not chunked.endswith(b"0\r\n\r\n"), "it must not look whole"
        _, reset = await all_of(readers[3])
        assert reset, "without chunks an end would look whole"
        await until_open(server, 0, 0)
        deaf.websocket.transport.abort()


@pytest.mark.parametrize(("version", "resets"), [("1.0", True), ("1.1", False)])
async def test_a_failure_in_mid_speech_never_looks_like_an_end(version: str, resets: bool) -> None:
    async with relay_to(by_text, http=HttpConfig(retries=0)) as (server, fake):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(post(speech("cut"), version))
        await reader.readuntil(b"\r\n\r\n")
        fake.release()
        body, reset = await all_of(reader)
        writer.close()
    assert (reset or body.endswith(b"0\r\n\r\n")) is resets
