"""Asks a relay for a token to give to a page: for back ends, which have a key."""

import asyncio
import json
import ssl as ssl_module
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, ProxyHandler, Request, build_opener

from relay_client.errors import ConnectError, ProtocolError
from relay_client.handshake import CREDENTIAL, DEFAULT_URL, is_loopback, refused, shown

__all__ = ["MintedToken", "mint_token"]

TIMEOUT_S = 10.0
# A token and its date are a few hundred bytes, an error not many more.
MAX_REPLY_BYTES = 64 * 1024
_SCHEMES = {"ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MintedToken:
    """`token` goes to one page, which opens one session with it before `expires_at`."""

    token: str = field(repr=False)
    expires_at: datetime


async def mint_token(
    url: str = DEFAULT_URL,
    *,
    key: str | None = None,
    ttl_s: float | None = None,
    max_chars: int | None = None,
    provider: str | None = None,
    voice: str | None = None,
    origin: str | None = None,
    ssl: ssl_module.SSLContext | None = None,
    timeout_s: float = TIMEOUT_S,
) -> MintedToken:
    """A token of the relay at `url`, the address that `connect` takes. What is None is not bounded, but for `ttl_s`,
    which the relay then chooses. Raises HandshakeError where the relay refuses, ConnectError or ProtocolError."""
    if key is not None and not CREDENTIAL.fullmatch(key):
        raise ValueError("the key is empty or holds characters that cannot stand in a header")
    wanted = {"ttl_s": ttl_s, "max_chars": max_chars, "provider": provider, "voice": voice, "origin": origin}
    body = json.dumps({name: value for name, value in wanted.items() if value is not None}).encode()
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    request = Request(_address(url), body, headers, method="POST")
    try:
        async with asyncio.timeout(timeout_s):
            return _minted(await asyncio.to_thread(_ask, request, ssl, is_loopback(url), timeout_s))
    except TimeoutError:
        raise ConnectError(f"no token from {shown(url)} within {timeout_s:g} s", retryable=True) from None


class _NoRedirects(HTTPRedirectHandler):
    """The key is meant for this host alone."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _ask(request: Request, ssl: ssl_module.SSLContext | None, here: bool, timeout_s: float) -> bytes:
    """Foreign errors stop here."""
    # A proxy set for the outer world is not the way to this machine.
    opener = build_opener(_NoRedirects, HTTPSHandler(context=ssl), *([ProxyHandler({})] if here else []))
    where = shown(request.full_url)
    try:
        with opener.open(request, timeout=timeout_s) as reply:
            return bytes(reply.read(MAX_REPLY_BYTES))
    except HTTPError as error:
        with error:
            raise refused(error.code, error.read(MAX_REPLY_BYTES), error.headers.get("Retry-After", "")) from None
    except (URLError, OSError) as error:
        cause = error.reason if isinstance(error, URLError) else error
        reason = getattr(cause, "strerror", None) or type(cause).__name__
        raise ConnectError(f"cannot connect to {where}: {reason}", retryable=True) from error
    except HTTPException as error:
        raise ConnectError(f"{where} does not answer as a relay: {type(error).__name__}") from error


def _minted(reply: bytes) -> MintedToken:
    try:
        body = json.loads(reply)
        if isinstance(body, Mapping) and isinstance(body["token"], str):
            return MintedToken(token=body["token"], expires_at=datetime.fromisoformat(body["expires_at"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise ProtocolError("the relay's answer holds no token")


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.path.endswith("/v1/stream"):
        raise ValueError("the address of a relay looks like ws://host:port/v1/stream, or wss://")
    path = parts.path.removesuffix("stream") + "tokens"
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, "", ""))
