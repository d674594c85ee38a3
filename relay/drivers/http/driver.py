"""The HTTP driver: one pool of connections for all providers, and everything that has to be done once and right.

    driver = HttpDriver()
    await driver.start()
    async with driver.open(provider.request(speech, text), timings) as reply:
        async for piece in reply:
            ...
    await driver.close()

This file does not know which provider is speaking.
"""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

import aiohttp
from yarl import URL

from relay import __version__
from relay.core.timings import Timings
from relay.drivers.http.attempt import Attempt, peer_of
from relay.drivers.http.elsewhere import Kind, guarded, kinds_of
from relay.drivers.http.errors import Meaning, map_errors
from relay.drivers.http.outgoing import OutgoingRequest, note_use
from relay.drivers.http.reply import READ_BYTES, REFUSAL_BYTES, HttpReply
from relay.drivers.http.settings import HttpSettings
from relay.drivers.trust import SYSTEM_TRUST
from relay.errors import Code, ProviderError
from relay.providers.base.http import HttpRequest, Refusal
from relay.providers.base.poll import Answer

__all__ = ["HttpDriver", "HttpSettings"]

# What the kernel holds of a reply (and Linux doubles it for its own bookkeeping), and the most that one read of the
# socket brings. A window of 48 KiB carries 240 KB/s over a round trip of 200 ms, five times real time; left alone the
# kernel takes up to 6 MB before anybody is slowed.
RECEIVE_BUFFER_BYTES = 48 * 1024
# TCP probes idle connections, so that one that a firewall forgot is found dead in the pool (after 35 s) and not by the
# next sentence: seconds before the first probe, between probes, and how many.
PROBE_AFTER_S, PROBE_EVERY_S, PROBES = 20, 5, 3
# Connections of one age die together, and a request may meet several of them; more in a row is another trouble.
STALE_CONNECTIONS = 4
# A list of voices, the state of a job: larger is a mistake.
FETCH_BYTES = 4 * 1024 * 1024
FETCH_S = 30.0
# Asked twice, these do no more than asked once (RFC 9110, 9.2.2). A POST makes a second job, which costs money.
REPEATABLE_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})

T = TypeVar("T")


class HttpDriver:
    """Opens HttpRequests. `start` before use, `close` after the last reply has been left; both on the same loop.

    `draw` gives numbers within 0..1 for the backoff, `sleep` waits for it; both are there to be replaced in tests.
    """

    def __init__(
        self,
        settings: HttpSettings | None = None,
        *,
        draw: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings or HttpSettings()
        self._draw = draw
        self._sleep = sleep
        self._session: aiohttp.ClientSession | None = None
        # For addresses that replies have named: by the kinds that may be connected to, so four at most.
        self._guarded: dict[frozenset[Kind], aiohttp.ClientSession] = {}

    async def start(self) -> None:
        """Makes the pool; opens no connection yet."""
        assert self._session is None, "the driver has been started"
        self._session = self._pool(_socket)

    def _pool(self, factory: Callable[[aiohttp.AddrInfoType], socket.socket]) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._settings.connections,
                keepalive_timeout=self._settings.keepalive_s,
                socket_factory=factory,
                ssl=SYSTEM_TRUST,
            ),
            # A cookie of one provider is nobody's business, not even its own next reply's.
            cookie_jar=aiohttp.DummyCookieJar(),
            # Audio is compressed already or must not wait for a compressor's block.
            headers={"User-Agent": f"speech-relay/{__version__}", "Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=self._settings.trust_env,
            # It stops reading the socket above twice this, after at most one read more.
            read_bufsize=READ_BYTES,
            # Waiting is timed by the attempt and the reply: aiohttp's timers know neither phases nor a slow listener.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            request_class=OutgoingRequest,
        )

    async def close(self) -> None:
        """Closes every connection; idempotent."""
        session, self._session = self._session, None
        guarded, self._guarded = [*self._guarded.values()], {}
        for each in (*guarded, *([session] if session else [])):
            await each.close()

    async def warm(self, urls: Mapping[str, str]) -> dict[str, ProviderError]:
        """Opens a connection (TCP and TLS) for each provider's address that has none idle, and leaves it in the pool.

        `urls` are addresses by provider name. Nothing is sent: the provider sees a connection, not a request. It is
        kept for `keepalive_s`, and calling again renews that. Returns the providers that could not be reached, and
        why; raises nothing of theirs.
        """
        failures: dict[str, ProviderError] = {}

        async def connect(provider: str, url: str) -> None:
            try:
                await self._connect(provider, URL(url).origin())
            except ProviderError as error:
                failures[provider] = error

        async with asyncio.TaskGroup() as tasks:
            for provider, url in urls.items():
                tasks.create_task(connect(provider, url))
        return failures

    @asynccontextmanager
    async def open(self, upstream: HttpRequest, timings: Timings) -> AsyncIterator[HttpReply]:
        """See `base.Driver.open`.

        Marks REQUEST_SENT when the first attempt has its connection and its request goes to the socket, and of the
        attempt that succeeds RESPONSE_HEADERS and FIRST_BYTE, when this task has read them. A reply without audio is
        an error.
        """
        session = self._running_session if upstream.named_by is None else await self._session_to(upstream)
        reply = await self._attempted(
            upstream, timings, lambda attempt: attempt.run(session, Attempt.first_piece), repeatable=True
        )
        try:
            yield reply
        finally:
            reply.close()

    async def ask(self, request: HttpRequest, timings: Timings) -> Answer:
        """The whole reply, whatever its status below 500; a 5xx raises what `request.refuse` makes of it.

        Retries like `open`, but a request that is not repeatable only while it cannot have reached the provider: a
        connection that was not made, never one that broke. Marks what `open` marks.
        """

        async def whole(attempt: Attempt) -> Answer:
            answer = await attempt.run(self._running_session, Attempt.whole)
            if answer.status < 500:
                return answer
            body = answer.body[:REFUSAL_BYTES]
            raise request.refuse(Refusal(status=answer.status, headers=answer.headers, body=body))

        repeatable = request.method in REPEATABLE_METHODS
        return await self._attempted(request, timings, whole, repeatable=repeatable)

    async def fetch(self, request: HttpRequest) -> bytes:
        """The whole body, at most FETCH_BYTES, of a reply that is not audio: a list of voices. Raises ProviderError."""
        body = bytearray()
        deadline_s = asyncio.get_running_loop().time() + FETCH_S
        async with self.open(request, Timings()) as reply:
            async for piece in reply:
                if asyncio.get_running_loop().time() > deadline_s:
                    late = Meaning(Code.PROVIDER_TIMEOUT, f"took more than {FETCH_S:g} s for its answer")
                    raise peer_of(request.provider, URL(request.url)).error(late)
                assert isinstance(piece, bytes), "what is fetched whole has no `unwrap`"
                body += piece
                if len(body) > FETCH_BYTES:
                    too_long = Meaning(
                        Code.PROVIDER_UNAVAILABLE, f"sent more than {FETCH_BYTES} bytes", retryable=False
                    )
                    raise peer_of(request.provider, URL(request.url)).error(too_long)
        return bytes(body)

    async def _attempted(
        self, request: HttpRequest, timings: Timings, once: Callable[[Attempt], Awaitable[T]], *, repeatable: bool
    ) -> T:
        """What `once` gives, trying again what may be tried again."""
        settings, loop = self._settings, asyncio.get_running_loop()
        # A request that may take its time takes it whole.
        one_attempt_s = settings.connect_timeout_s + (request.first_byte_timeout_s or 0.0)
        deadline_s = loop.time() + max(settings.open_timeout_s, one_attempt_s)
        retries = stale = 0
        while True:
            attempt = Attempt(request, timings, settings, deadline_s)
            try:
                return await once(attempt)
            except ProviderError as error:
                if attempt.was_sent and not repeatable:
                    raise
                if attempt.met_stale_connection(error) and stale < STALE_CONNECTIONS:
                    # At once: the provider was not asked yet.
                    stale += 1
                    continue
                wait_s = self._wait_s(error, retries)
                if wait_s is None or loop.time() + wait_s >= deadline_s:
                    raise
            retries += 1
            timings.tally.retries += 1
            await self._sleep(wait_s)

    def _wait_s(self, error: ProviderError, retries: int) -> float | None:
        """Seconds until the next attempt, or None if there is to be none."""
        settings = self._settings
        asked_s = error.retry_after_s or 0.0
        if not error.retryable or retries >= settings.retries or asked_s > settings.longest_retry_wait_s:
            return None
        return asked_s + self._draw() * settings.backoff_s * (1 << retries)

    async def _connect(self, provider: str, origin: URL) -> None:
        session, peer = self._running_session, peer_of(provider, origin)
        timeout_s = self._settings.connect_timeout_s

        async def connect_only(
            request: aiohttp.ClientRequest, _handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            # A request made but not sent: the pool files connections by what is in it (host, proxy, TLS).
            assert session.connector is not None
            connection = await session.connector.connect(request, traces=[], timeout=session.timeout)
            note_use(connection)
            connection.release()
            raise _ConnectedError

        try:
            async with asyncio.timeout(timeout_s):
                with map_errors(peer):
                    await session.get(origin, middlewares=(connect_only,))
        except _ConnectedError:
            return
        except TimeoutError:
            late = Meaning(Code.PROVIDER_UNAVAILABLE, f"did not take a connection within {timeout_s:g} s")
            raise peer.error(late) from None

    async def _session_to(self, request: HttpRequest) -> aiohttp.ClientSession:
        """Whose connections may go to an address that a reply has named. Raises ProviderError for one that has none."""
        assert request.named_by is not None, "asked for such addresses only"
        running, own, url = self._running_session, URL(request.named_by), URL(request.url, encoded=True)
        if url.origin() == own.origin() or url.host in self._settings.download_hosts:
            return running
        allowed = frozenset({Kind.PUBLIC, *(await kinds_of(own.host or "", own.port or 0) - {Kind.FORBIDDEN})})
        found = await kinds_of(url.host or "", url.port or 0)
        if found and not found & allowed:
            sentence = "named an address for the audio that is not public; http.download_hosts lists hosts to allow"
            raise peer_of(request.provider, own).error(Meaning(Code.PROVIDER_UNAVAILABLE, sentence, retryable=False))
        if allowed not in self._guarded:
            self._guarded[allowed] = self._pool(guarded(_socket, allowed))
        return self._guarded[allowed]

    @property
    def _running_session(self) -> aiohttp.ClientSession:
        assert self._session is not None, "the driver has not been started"
        return self._session


class _ConnectedError(Exception):
    """Leaves aiohttp once the connection is there."""


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket as the pool wants it; the receive buffer must be set before TCP agrees on its window scale."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_AFTER_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_EVERY_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
    return made
