"""Opening a session: credentials, refusals over HTTP, and relays that are none."""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from relay_client import ConnectError, ConnectionLostError, HandshakeError, ProtocolError, connect
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from tests.clients.scripted import READY, Peer, scripted_relay
from tests.covering import each


def refusing(status: int, body: bytes, **headers: str) -> Callable[[ServerConnection, Request], Response]:
    def refuse(_: ServerConnection, __: Request) -> Response:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return Response(status, "x", Headers({"Content-Length": str(len(body)), **fields}), body)

    return refuse


def error_body(**fields: Any) -> bytes:
    return json.dumps({"error": fields}).encode()


REFUSALS = {
    "unauthorized": (
        refusing(401, error_body(code="unauthorized", message="no key", retryable=False)),
        (401, "unauthorized", False, None),
    ),
    "forbidden": (
        refusing(403, error_body(code="forbidden", message="origin", retryable=False)),
        (403, "forbidden", False, None),
    ),
    "rate limited, the body says for how long": (
        refusing(
            429, error_body(code="rate_limited", message="m", retryable=True, retry_after_s=0.25), Retry_After="1"
        ),
        (429, "rate_limited", True, 0.25),
    ),
    "draining, the header says for how long": (
        refusing(503, error_body(code="shutting_down", message="m", retryable=True), Retry_After="7"),
        (503, "shutting_down", True, 7.0),
    ),
    "a proxy's page": (
        refusing(502, b"<html>Bad gateway</html>", Retry_After="Fri, 20 Nov 2026 10:00:00 GMT"),
        (502, None, True, None),
    ),
    "not found": (refusing(404, b""), (404, None, False, None)),
    "JSON of somebody else": (refusing(400, b'{"error": "nope"}'), (400, None, False, None)),
    "JSON without an end": (refusing(400, b"[" * 100_000), (400, None, False, None)),
    "a redirect is not followed": (refusing(302, b"", Location="ws://127.0.0.1:1/"), (302, None, False, None)),
}


@each("name", REFUSALS)
async def test_a_refusal_says_why_and_whether_to_come_back(name: str) -> None:
    refusal, expected = REFUSALS[name]
    async with scripted_relay(refusal=refusal) as url:
        with pytest.raises(HandshakeError) as caught:
            async with connect(url, key="secret-key"):
                raise AssertionError("there is no session")
    error = caught.value
    assert (error.status, error.code, error.retryable, error.retry_after_s) == expected
    assert "secret" not in f"{error}{error!r}{error.__cause__}"


async def headers_of(**credentials: str) -> Request:
    seen: list[Request] = []

    async def script(relay: Peer) -> None:
        await relay.closed()

    def look(_: ServerConnection, request: Request) -> None:
        seen.append(request)

    async with scripted_relay(script, refusal=look) as url, connect(url, **credentials):  # type: ignore[arg-type]
        pass
    return seen[0]


async def test_a_key_goes_into_a_header() -> None:
    request = await headers_of(key="k-1")
    assert request.headers["Authorization"] == "Bearer k-1"
    assert "Sec-WebSocket-Protocol" not in request.headers
    assert "Sec-WebSocket-Extensions" not in request.headers, "compression is off"


async def test_a_token_goes_into_a_subprotocol_and_never_into_the_address() -> None:
    request = await headers_of(token="t-1")
    assert request.headers["Sec-WebSocket-Protocol"] == "relay.v1, relay-token.t-1"
    assert request.path == "/v1/stream"
    assert "Authorization" not in request.headers


@pytest.mark.parametrize(
    "credentials",
    [{"key": ""}, {"key": "a b"}, {"key": "secret\r\nX: y"}, {"token": "secretü"}, {"token": "t", "key": "k"}],
)
async def test_credentials_that_cannot_be_sent_are_refused_without_quoting_them(credentials: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"key|token") as caught:
        async with connect("ws://127.0.0.1:9/", **credentials):  # type: ignore[arg-type]
            raise AssertionError("there is no session")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "127.0.0.1:8765", ""])
async def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="looks like ws://"):
        async with connect(url):
            raise AssertionError("there is no session")


async def test_an_ssl_context_for_a_connection_without_it() -> None:
    with pytest.raises(ValueError, match="wss://"):
        async with connect("ws://127.0.0.1:9/", ssl=ssl.create_default_context()):
            raise AssertionError("there is no session")


async def test_a_relay_without_tls_where_tls_is_asked_for() -> None:
    async with scripted_relay() as url:
        with pytest.raises(ConnectError, match="cannot connect to wss://"):
            async with connect(url.replace("ws:", "wss:"), ssl=ssl.create_default_context()):
                raise AssertionError("there is no session")


@asynccontextmanager
async def tcp_server(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    async def serve_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(serve_and_close, "127.0.0.1", 0) as server:
        yield f"ws://user:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/stream?token=secret"


async def test_nobody_listens() -> None:
    async with tcp_server(lambda *_: asyncio.sleep(0)) as url:
        pass
    with pytest.raises(ConnectError, match=r"cannot connect to ws://127\.0\.0\.1:\d+/v1/stream: ") as caught:
        async with connect(url):
            raise AssertionError("there is no session")
    assert caught.value.retryable
    assert "secret" not in str(caught.value)


async def test_somebody_else_listens() -> None:
    async def speak_smtp(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org ESMTP\r\n")
        await writer.drain()

    async with tcp_server(speak_smtp) as url:
        with pytest.raises(ConnectError, match="127") as caught:
            async with connect(url):
                raise AssertionError("there is no session")
    assert "secret" not in str(caught.value)


async def test_a_relay_that_hangs_up_in_the_handshake() -> None:
    async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with tcp_server(hang_up) as url:
        with pytest.raises(ConnectError):
            async with connect(url):
                raise AssertionError("there is no session")


async def test_a_relay_that_never_answers() -> None:
    gave_up = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await gave_up.wait()

    async with tcp_server(say_nothing) as url:
        with pytest.raises(ConnectError, match=r"within 0\.05 s") as caught:
            async with connect(url, open_timeout_s=0.05):
                raise AssertionError("there is no session")
        gave_up.set()
    assert caught.value.retryable


async def test_a_relay_that_is_never_ready() -> None:
    async def script(relay: Peer) -> None:
        await relay.closed()

    async with scripted_relay(script, ready=False) as url:
        with pytest.raises(ConnectError, match=r"within 0\.05 s"):
            async with connect(url, open_timeout_s=0.05):
                raise AssertionError("there is no session")


FIRST_MESSAGES: dict[str, tuple[str | bytes, type[Exception], str]] = {
    "an error": (
        json.dumps(
            {"type": "error", "code": "over_capacity", "message": "full", "retryable": True, "retry_after_s": 2}
        ),
        HandshakeError,
        "full",
    ),
    "a farewell": (
        json.dumps({"type": "session.closing", "reason": "shutting_down", "retryable": True}),
        HandshakeError,
        "shutting_down",
    ),
    "audio": (bytes(336), ProtocolError, "not session.ready"),
    "something else": (json.dumps({"type": "pong"}), ProtocolError, "not session.ready"),
    "another protocol": (json.dumps({**READY, "protocol": "relay.v2"}), ProtocolError, "relay.v2"),
}


@pytest.mark.parametrize("name", FIRST_MESSAGES)
async def test_the_first_message_is_session_ready(name: str) -> None:
    first, kind, reason = FIRST_MESSAGES[name]

    async def script(relay: Peer) -> None:
        await relay.connection.send(first)
        await relay.closed()

    async with scripted_relay(script, ready=False) as url:
        with pytest.raises(kind, match=reason):
            async with connect(url):
                raise AssertionError("there is no session")


async def test_a_relay_that_closes_instead_of_being_ready() -> None:
    async def script(relay: Peer) -> None:
        await relay.connection.close(1013, "over_capacity")

    async with scripted_relay(script, ready=False) as url:
        with pytest.raises(ConnectionLostError, match="1013 over_capacity") as caught:
            async with connect(url):
                raise AssertionError("there is no session")
    assert (caught.value.code, caught.value.retryable) == ("over_capacity", True)


async def test_a_proxy_for_the_world_is_not_used_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(relay: Peer) -> None:
        await relay.closed()

    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with scripted_relay(script) as url, connect(url) as session:
        assert session.ready.session_id == "s1"


async def test_no_credential_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("websockets.server").setLevel(logging.INFO)

    async def script(relay: Peer) -> None:
        await relay.closed()

    for credentials in ({"key": "secret"}, {"token": "secret"}):
        async with scripted_relay(script) as url, connect(url, **credentials):  # type: ignore[arg-type]
            pass
    assert "secret" not in caplog.text
