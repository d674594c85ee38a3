"""Asking for tokens: of a real relay, and of servers that are none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from relay_client import ConnectError, HandshakeError, ProtocolError, connect, mint_token

from relay.config import ServerConfig
from tests.server.harness import config, serving

KEY = "a-key-of-the-relay"


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with serving(config(server=ServerConfig(port=0, keys=[KEY]))) as server:
        yield f"ws://127.0.0.1:{server.port}/v1/stream"


@asynccontextmanager
async def answering(reply: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that says `reply` to everything, or nothing; and what it was asked."""
    asked: list[bytes] = []
    answers: list[asyncio.Task[Any] | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers.append(asyncio.current_task())
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        if reply is None:
            await reader.read()
        else:
            writer.write(reply)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/stream", asked
        await asyncio.gather(*(task for task in answers if task))


def http(body: bytes, status: str = "201 Created", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_a_token_opens_one_session(url: str) -> None:
    minted = await mint_token(url, key=KEY, ttl_s=30, max_chars=100, provider="espeak", voice="de")
    assert 0 < (minted.expires_at - datetime.now(UTC)).total_seconds() <= 31
    assert minted.token not in repr(minted)
    async with connect(url, token=minted.token) as session:
        turn = await session.speak("Guten Tag.")
        assert [frame async for frame in turn]
    with pytest.raises(HandshakeError) as refused:
        async with connect(url, token=minted.token):
            pass
    assert (refused.value.status, refused.value.code) == (401, "unauthorized")
    assert minted.token not in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"key": "wrong"}, 401, "unauthorized"),
        ({}, 401, "unauthorized"),
        ({"key": KEY, "ttl_s": 0}, 400, "invalid_config"),
        ({"key": KEY, "origin": "nowhere"}, 400, "invalid_config"),
    ],
)
async def test_a_refusal_says_why(url: str, fields: dict[str, Any], status: int, code: str) -> None:
    with pytest.raises(HandshakeError) as refused:
        await mint_token(url, **fields)
    assert (refused.value.status, refused.value.code, refused.value.retryable) == (status, code, False)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"token": 1}', b'{"token": "t"}', b'{"token": "t", "expires_at": "soon"}', b"\xff"]
)
async def test_an_answer_without_a_token_is_told(body: bytes) -> None:
    async with answering(http(body)) as (url, _):
        with pytest.raises(ProtocolError):
            await mint_token(url)


async def test_a_key_does_not_follow_a_redirect() -> None:
    async with answering(http(b"", "200 OK")) as (elsewhere, asked):
        address = elsewhere.replace("ws://", "http://")
        async with answering(http(b"", "307 Temporary Redirect", f"Location: {address}")) as (url, _):
            with pytest.raises(HandshakeError) as refused:
                await mint_token(url, key=KEY)
    assert refused.value.status == 307
    assert not asked


async def test_whoever_is_no_relay_is_told() -> None:
    async with answering(b"SSH-2.0-OpenSSH_9.2\r\n") as (url, _):
        with pytest.raises(ConnectError, match="does not answer as a relay"):
            await mint_token(url, key=KEY)
    with pytest.raises(ConnectError, match="cannot connect") as refused:
        await mint_token(url, key=KEY)
    assert refused.value.retryable


async def test_whoever_says_nothing_is_not_waited_for() -> None:
    async with answering(None) as (url, _):
        with pytest.raises(ConnectError) as caught:
            await mint_token(url, timeout_s=0.05)
        assert caught.value.retryable


async def test_busy_relays_say_when_to_come_back() -> None:
    async with answering(http(b"", "503 Service Unavailable", "Retry-After: 7")) as (url, _):
        with pytest.raises(HandshakeError) as refused:
            await mint_token(url)
    assert (refused.value.retryable, refused.value.retry_after_s) == (True, 7.0)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1/stream", "ws://127.0.0.1:1/", "127.0.0.1:1"])
async def test_an_address_that_is_none_is_a_mistake_of_the_program(url: str) -> None:
    with pytest.raises(ValueError, match="looks like"):
        await mint_token(url)


async def test_a_key_that_cannot_stand_in_a_header_is_not_sent() -> None:
    with pytest.raises(ValueError, match="key") as caught:
        await mint_token(key="two\r\nlines")
    assert "two" not in str(caught.value)
