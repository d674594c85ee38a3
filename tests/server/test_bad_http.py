"""Requests that are not HTTP: their sender is told, and nothing of them is logged."""

import asyncio
import logging

import pytest

from relay.server.bad_http import server_log
from tests.server.harness import config, serving

SECRET = b"rt1.SECRET.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

BROKEN = {
    "no header": b"GET /v1/stream?token=%s HTTP/1.1\r\nHost: x\r\nBad Header %s\r\n\r\n",
    "a zero in a header": b"GET /v1/stream HTTP/1.1\r\nAuthorization: Bearer %s\0%s\r\n\r\n",
    "an unknown version": b"GET /v1/stream?token=%s%s HTTP/9.1\r\nHost: x\r\n\r\n",
    "an endless line": b"GET /v1/stream?token=%s" + SECRET * 300 + b"%s HTTP/1.1\r\nHost: x\r\n\r\n",
    "an endless header": b"GET / HTTP/1.1\r\nSec-WebSocket-Protocol: relay-token.%s" + SECRET * 300 + b"%s\r\n\r\n",
    "no address": b"GET http://[/v1/stream?token=%s%s HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown method": b"\x16\x03\x01%s%s /v1/stream HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_nothing_of_it_is_logged(caplog: pytest.LogCaptureFixture, broken: str) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(config()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(BROKEN[broken] % (SECRET, SECRET))
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert "SECRET" not in caplog.text
    assert "a request is not HTTP" in caplog.text


def test_bugs_are_still_logged(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise RuntimeError("a bug")
    except RuntimeError:
        server_log().exception("while serving")
    assert "a bug" in caplog.text
