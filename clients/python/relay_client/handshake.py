"""Opens one session: the WebSocket handshake, how it may be refused, and the relay's first message."""

import asyncio
import inspect
import ipaddress
import json
import logging
import re
import socket
import ssl as ssl_module
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websocket_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.typing import Subprotocol

from relay_client.errors import ConnectError, ConnectionLostError, HandshakeError, ProtocolError
from relay_client.events import SessionClosing, SessionReady
from relay_client.hold import HELD_AUDIO_MS, Hold
from relay_client.session import CLOSE_TIMEOUT_S, Session, close_of
from relay_client.wire import PROTOCOL, ErrorReport, parse, read_error

__all__ = ["DEFAULT_URL", "OPEN_TIMEOUT_S", "open_session"]

DEFAULT_URL = "ws://127.0.0.1:8765/v1/stream"
OPEN_TIMEOUT_S = 10.0
# The largest message of the contract is a frame of 1000 ms, 48 kHz, stereo, f32: 384,016 bytes.
MAX_MESSAGE_BYTES = 1024 * 1024
# Messages that websockets keeps for the reader before it stops reading the socket. A few, so that what is held is
# held where it is counted; one read of the socket (256 KiB at most) may overshoot it.
MAX_QUEUE = 4

# What the system may hold between the relay and the reader. Left alone it grows to megabytes once audio has come
# quickly, and then that much speech has left the relay that nobody heard. This is 1.4 s at 24 kHz, and still thirteen
# times real time over a path of 100 ms.
RECEIVE_BUFFER_BYTES = 64 * 1024

_RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
# What may stand in a header (RFC 9110, 5.5) and, but for separators, in a subprotocol (RFC 6455, 4.1); no spaces.
CREDENTIAL = re.compile(r"[!-~]+")

# At DEBUG websockets logs every message and the handshake with its credentials; this logger never does.
_WIRE_LOG = logging.getLogger("relay_client.websocket")
_WIRE_LOG.setLevel(logging.INFO)

_CAN_PROXY = "proxy" in inspect.signature(websocket_connect.__init__).parameters  # since websockets 15


async def open_session(
    url: str = DEFAULT_URL,
    *,
    key: str | None = None,
    token: str | None = None,
    ssl: ssl_module.SSLContext | None = None,
    open_timeout_s: float = OPEN_TIMEOUT_S,
    held_audio_ms: int = HELD_AUDIO_MS,
) -> Session:
    """A session that the caller has to close. Arguments and errors are those of `opening.connect`."""
    hold = Hold(held_audio_ms)
    settings = _settings(url, key, token, ssl)
    try:
        async with asyncio.timeout(open_timeout_s):
            websocket = await _handshake(url, settings)
            try:
                _narrow(websocket)
                ready = await _first_message(websocket)
            except BaseException:
                websocket.transport.abort()
                raise
    except TimeoutError:
        raise ConnectError(f"no session with {shown(url)} within {open_timeout_s:g} s", retryable=True) from None
    return Session(websocket, ready, hold)


class _Connect(websocket_connect):
    def process_redirect(self, exc: Exception) -> Exception:
        """Follows none: a relay does not redirect, and the credential is meant for this host alone."""
        return exc


def _settings(url: str, key: str | None, token: str | None, ssl: ssl_module.SSLContext | None) -> dict[str, Any]:
    if key is not None and token is not None:
        raise ValueError("give a key or a token, not both")
    for name, credential in (("key", key), ("token", token)):
        if credential is not None and not CREDENTIAL.fullmatch(credential):
            raise ValueError(f"the {name} is empty or holds characters that cannot stand in a header")
    settings: dict[str, Any] = {
        # Speech does not get smaller by deflating, only later.
        "compression": None,
        # See Session._next_message.
        "ping_interval": None,
        "open_timeout": None,
        "close_timeout": CLOSE_TIMEOUT_S,
        "max_size": MAX_MESSAGE_BYTES,
        "max_queue": MAX_QUEUE,
        "logger": _WIRE_LOG,
    }
    if key is not None:
        settings["additional_headers"] = {"Authorization": f"Bearer {key}"}
    if token is not None:
        # As a browser sends it; a token in the address would end up in logs.
        settings["subprotocols"] = [Subprotocol(PROTOCOL), Subprotocol(f"relay-token.{token}")]
    if ssl is not None:
        if urlsplit(url).scheme != "wss":
            raise ValueError("an SSL context is for an address that begins with wss://")
        settings["ssl"] = ssl
    if _CAN_PROXY and is_loopback(url):
        # A proxy set for the outer world is not the way to this machine.
        settings["proxy"] = None
    return settings


async def _handshake(url: str, settings: dict[str, Any]) -> ClientConnection:
    """Foreign errors stop here. No message quotes the address whole: it may hold a token or a password."""
    try:
        return await _Connect(url, **settings)
    except InvalidURI:
        raise ValueError("the address of a relay looks like ws://host:port/v1/stream, or wss://") from None
    except InvalidStatus as rejection:
        response = rejection.response
        after = response.headers.get("Retry-After", "")
        raise refused(response.status_code, bytes(response.body or b""), after) from None
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConnectError(f"cannot connect to {shown(url)}: {reason}", retryable=True) from error
    except (WebSocketException, ValueError) as error:  # ValueError: what websockets 14 says of bytes that are not HTTP
        raise ConnectError(f"{shown(url)} does not answer as a relay: {type(error).__name__}") from error


def _narrow(websocket: ClientConnection) -> None:
    wire: socket.socket | None = websocket.transport.get_extra_info("socket")
    if wire is not None:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)


async def _first_message(websocket: ClientConnection) -> SessionReady:
    try:
        message = await websocket.recv()
    except ConnectionClosed as closed:
        code, reason = close_of(closed)
        raise ConnectionLostError(
            f"the relay closed the session before it was ready: {code} {reason}".rstrip(),
            close_code=code,
            close_reason=reason,
        ) from closed
    first = parse(message) if isinstance(message, str) else None
    match first:
        case SessionReady():
            return first
        case SessionClosing():
            raise HandshakeError(
                f"the relay is closing: {first.reason}", status=None, code=first.reason, retryable=first.retryable
            )
        case ErrorReport():
            raise _refusal(first, status=None)
    raise ProtocolError("the relay's first message is not session.ready")


def refused(status: int, body: bytes, retry_after: str) -> HandshakeError:
    """What a relay's refusal over HTTP says, or a proxy's."""
    try:
        report = read_error(json.loads(body or b"null"))
    except (ValueError, RecursionError):
        report = None  # a proxy's page, say
    # It may also be a date (RFC 9110, 10.2.3); the relay sends seconds, and a proxy's date is not worth a clock.
    after_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
    if report is None:
        message = f"the relay refused the session with HTTP {status} and gave no reason"
        return HandshakeError(message, status=status, retryable=status in _RETRYABLE_STATUSES, retry_after_s=after_s)
    return _refusal(report, status=status, retry_after_s=after_s)


def _refusal(report: ErrorReport, *, status: int | None, retry_after_s: float | None = None) -> HandshakeError:
    return HandshakeError(
        report.message,
        status=status,
        code=report.code,
        retryable=report.retryable,
        retry_after_s=retry_after_s if report.retry_after_s is None else report.retry_after_s,
    )


def shown(url: str) -> str:
    """The address without user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
