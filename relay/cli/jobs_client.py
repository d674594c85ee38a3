"""A client of `/v1/jobs` for the command line. This file prints nothing."""

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from relay.cli.outcome import CommandError

__all__ = ["JobsClient", "UnreachableError", "base_of"]

# To connect, and between two pieces of an answer; the relay answers every request at once.
CONNECT_S, READ_S = 10.0, 60.0
PIECE_BYTES = 256 * 1024
# A page of jobs is at most 100 of them, at less than 4 KiB each.
MAX_ANSWER_BYTES = 1024 * 1024
_SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


class UnreachableError(CommandError):
    """No answer came, or not all of it; the same request may get one later."""


class JobsClient:
    """One relay's jobs, as the client with `key` sees them. Every method raises CommandError with the relay's own code
    and message, and UnreachableError where none came."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self._http = http
        self._base = base

    @classmethod
    @asynccontextmanager
    async def connected(cls, url: str, key: str | None) -> "AsyncIterator[JobsClient]":
        if key is not None and not (key.isascii() and key.isprintable()):
            raise CommandError("the key has characters that no key has: check --key or RELAY_KEY")
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_read=READ_S)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as http:
            yield cls(http, base_of(url))

    async def submit(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._asked("POST", "/v1/jobs", json=body)

    async def get(self, job_id: str) -> dict[str, Any]:
        return await self._asked("GET", f"/v1/jobs/{job_id}")

    async def page(self, **query: str) -> dict[str, Any]:
        return await self._asked("GET", "/v1/jobs", params=query)

    async def cancel(self, job_id: str) -> dict[str, Any]:
        """Ends a job that has not ended; no-op for one that has."""
        return await self._asked("POST", f"/v1/jobs/{job_id}/cancel")

    async def forget(self, job_id: str) -> None:
        """Cancels a job that has not ended, and forgets one that has, with its audio."""
        await self._asked("DELETE", f"/v1/jobs/{job_id}")

    @asynccontextmanager
    async def audio(self, job_id: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The pieces of a job's file; all of them, or UnreachableError."""
        async with self._answer("GET", f"/v1/jobs/{job_id}/audio") as answer:
            yield answer.content.iter_chunked(PIECE_BYTES)

    async def _asked(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        async with self._answer(method, path, **content) as answer:
            return await self._decoded(answer) if answer.status != 204 else {}

    @asynccontextmanager
    async def _answer(self, method: str, path: str, **content: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        # A redirect would send the key to somewhere else.
        with _reached(self._base):
            async with self._http.request(method, self._base + path, allow_redirects=False, **content) as answer:
                if not 200 <= answer.status < 300:
                    raise self._refusal(answer.status, await self._decoded(answer))
                yield answer

    async def _decoded(self, answer: aiohttp.ClientResponse) -> dict[str, Any]:
        import msgspec

        data = bytearray()
        async for piece in answer.content.iter_any():
            data += piece
            if len(data) > MAX_ANSWER_BYTES:
                raise self._no_relay(answer.status)
        try:
            decoded = msgspec.json.decode(data)
        except msgspec.DecodeError:
            raise self._no_relay(answer.status) from None
        if not isinstance(decoded, dict):
            raise self._no_relay(answer.status)
        return decoded

    def _refusal(self, status: int, body: Mapping[str, Any]) -> CommandError:
        error = body.get("error")
        if not isinstance(error, dict) or not isinstance(error.get("message"), str):
            return self._no_relay(status)
        return CommandError(f"{error.get('code')}: {error['message']}")

    def _no_relay(self, status: int) -> CommandError:
        return CommandError(f"{self._base} answered {status}, and not as a relay does: check --url")


def base_of(url: str) -> str:
    """The address in front of `/v1`, of one that is given as for `relay say`. Raises CommandError."""
    wrong = CommandError(f"--url {url} is no address of a relay; one is http://127.0.0.1:8765")
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        known = parts.scheme in _SCHEMES and parts.hostname and parts.port != 0
    except ValueError:
        raise wrong from None
    if not known:
        raise wrong
    path = parts.path.rstrip("/").removesuffix("/v1/stream").removesuffix("/v1/jobs").removesuffix("/v1")
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, "", ""))


@contextmanager
def _reached(base: str) -> Iterator[None]:
    try:
        yield
    except aiohttp.ClientConnectorError as error:
        number = error.os_error.errno
        # An errno below zero is one of getaddrinfo, which has its own sentence.
        reason = os.strerror(number) if number and number > 0 else error.os_error.strerror
        raise UnreachableError(f"cannot connect to {base}: {reason or 'no answer'}") from None
    except TimeoutError:
        raise UnreachableError(f"{base}: no answer in time") from None
    except aiohttp.ClientError:
        raise UnreachableError(f"{base}: the connection was lost") from None
