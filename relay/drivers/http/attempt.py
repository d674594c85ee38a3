"""One try of a request, up to its first piece or to its end: what each phase waits for, and what each failure means.

This file does not know whether there will be another try.
"""

import asyncio
import secrets
import socket
from collections.abc import Callable, Coroutine, Mapping
from enum import StrEnum
from functools import lru_cache
from time import monotonic, time
from typing import Any, TypeAlias, TypeVar

import aiohttp
from yarl import URL

from relay.core.timings import Stage, Timings
from relay.drivers.http.bounded_reads import head_came
from relay.drivers.http.errors import Meaning, Peer, is_stale_connection, map_errors
from relay.drivers.http.outgoing import OutgoingRequest
from relay.drivers.http.reply import REFUSAL_BYTES, HttpReply, arrived, check_end, link_that_ends_it
from relay.drivers.http.settings import HttpSettings
from relay.drivers.patience import Patience
from relay.errors import Code, ProviderError, untrace
from relay.providers.base.http import AttemptFacts, HttpRequest, Refusal, Sign
from relay.providers.base.poll import Answer

# A refusal is short and comes at once; of one that does not, what has come must do.
REFUSAL_TIMEOUT_S = 2.0
# An answer that is read whole. The longest with audio in it: 2,000 characters are 133 s of speech, at 44.1 kHz s16
# 11.8 MB, in base64 15.7.
ANSWER_BYTES = 16 * 1024 * 1024

T = TypeVar("T")

# Linux only.
TCP_QUICKACK = getattr(socket, "TCP_QUICKACK", None)


class _Phase(StrEnum):
    """What an attempt waits for; the words of the error when it waits too long."""

    CONNECTION = "did not take a connection within"
    FIRST_BYTE = "did not send a first byte within"
    FIRST_PIECE = "sent no audio within"
    REST = "sent no more of its answer for"


class Attempt:
    """Run once. The deadline is an instant of the loop's clock and bounds all phases together."""

    __slots__ = (
        *(
            "_allowed_s",
            "_answered",
            "_begun_s",
            "_peer",
            "_deadline_s",
            "_loop",
            "_patience",
            "_phase",
            "_request",
            "_reused",
        ),
        *("_settings", "_timings", "_transport", "_url", "was_sent"),
    )

    def __init__(self, request: HttpRequest, timings: Timings, settings: HttpSettings, deadline_s: float) -> None:
        self._request = request
        self._timings = timings
        self._settings = settings
        self._deadline_s = deadline_s
        self._url, self._peer = _address(request.provider, request.url)
        self._loop = asyncio.get_running_loop()
        self._begun_s = self._loop.time()
        self._phase = _Phase.CONNECTION
        self._transport: asyncio.Transport | None = None
        self._reused = False
        self._answered = False
        # Whether the provider may have got the request.
        self.was_sent = False

    async def run(self, session: aiohttp.ClientSession, take: "Take[T]") -> T:
        """What `take` (`first_piece` or `whole`) makes of the response. Raises ProviderError; whatever happens, no
        connection is left behind."""
        request, now_s = self._request, self._loop.time()
        headers = {**request.headers, **request.secret_headers, **signature(request.sign)}
        if request.body is not None:
            headers["Content-Length"] = str(len(request.body))
        self._allowed_s = self._allowed(self._settings.connect_timeout_s, now_s)
        try:
            with Patience(now_s + self._allowed_s) as self._patience:
                with map_errors(self._peer):
                    try:
                        response = await session.request(
                            request.method,
                            self._url,
                            headers=headers,
                            # A redirect would carry the key to wherever it points.
                            allow_redirects=False,
                            middlewares=(self._send_off,),
                        )
                    except BaseException:
                        # aiohttp has closed it, which over TLS is a goodbye that waits for an answer.
                        if self._transport is not None:
                            self._transport.abort()
                        raise
                self._answered = True
                if self._transport is not None:
                    head_came(self._transport)
                try:
                    return await take(self, response)
                except BaseException:
                    response.close()
                    raise
        except TimeoutError:
            code = Code.PROVIDER_UNAVAILABLE if self._phase is _Phase.CONNECTION else Code.PROVIDER_TIMEOUT
            raise self._peer.error(Meaning(code, f"{self._phase} {round(self._allowed_s, 2):g} s")) from None

    async def _send_off(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        assert isinstance(request, OutgoingRequest), "the session makes such"
        request.traveller = self
        request.late_body = self._request.body
        return await handler(request)

    def met_stale_connection(self, error: ProviderError) -> bool:
        """Whether it failed on a pooled connection, before any answer, as one fails that was closed while idle."""
        return self._reused and not self._answered and is_stale_connection(error.__cause__)

    def met_stale(self) -> None:
        self._reused = True

    def connected(self, transport: asyncio.Transport | None, *, reused: bool) -> None:
        self._transport = transport
        self._reused = reused
        self.was_sent = True

    def sent(self) -> None:
        self._timings.mark(Stage.REQUEST_SENT, monotonic())
        self._wait_for(_Phase.FIRST_BYTE, self._request.first_byte_timeout_s or self._settings.first_byte_timeout_s)

    async def first_piece(self, response: aiohttp.ClientResponse) -> HttpReply:
        """The reply, its first piece there."""
        headers_s, headers = monotonic(), _headers(response)
        self._check_whole(response)
        if not 200 <= response.status < 300:
            body = await refusal_body(response)
            raise self._request.refuse(Refusal(status=response.status, headers=headers, body=body))
        self._check_plain(headers)
        facts = self._request.accept(headers)
        reply = HttpReply(
            *(self._request, response),
            headers=headers,
            facts=facts,
            peer=self._peer,
            timings=self._timings,
            clock=monotonic,
        )
        if not response.content.total_bytes:
            _acknowledge(response)
        try:
            await reply.pull()
            first_byte_s = reply.brought_s
            reply.allow_silence(self._settings.stall_timeout_s)
            if not (reply.has_piece or reply.ended):
                if self._patience.move(self._deadline_s):
                    self._phase, self._allowed_s = _Phase.FIRST_PIECE, self._deadline_s - self._begun_s
                while not (reply.has_piece or reply.ended):
                    await reply.pull()
            if not reply.has_piece:
                # Not retried: most often the text had nothing in it to be spoken, and the next reply is as empty.
                raise self._peer.error(Meaning(Code.BAD_AUDIO, "sent no audio", retryable=False))
        except BaseException:
            reply.close()
            raise
        self._mark(headers_s, first_byte_s)
        return reply

    async def whole(self, response: aiohttp.ClientResponse) -> Answer:
        """The whole reply, whatever its status: ANSWER_BYTES at most, of one that is no 2xx REFUSAL_BYTES."""
        headers_s, headers = monotonic(), _headers(response)
        first_byte_s = None
        self._check_whole(response)
        body = bytearray()
        if 200 <= response.status < 300:
            self._check_plain(headers)
            _acknowledge(response)
            link = link_that_ends_it(response, headers)
            with map_errors(self._peer):
                while piece := await response.content.readany():
                    first_byte_s = first_byte_s or monotonic()
                    body += piece
                    if len(body) > ANSWER_BYTES:
                        too_long = f"answered with more than {ANSWER_BYTES} bytes"
                        raise self._peer.error(Meaning(Code.BAD_AUDIO, too_long, retryable=False))
                    self._wait_for(_Phase.REST, self._settings.stall_timeout_s)
                check_end(link)
        else:
            body += await refusal_body(response)
        # Of a body that was read to its end the connection is in the pool already; any other is not to be reused.
        response.close()
        self._mark(headers_s, first_byte_s or headers_s)
        return Answer(status=response.status, headers=headers, body=bytes(body))

    def _check_whole(self, response: aiohttp.ClientResponse) -> None:
        """A part of a reply is none: no range was asked for."""
        if response.status == 206:
            raise self._peer.error(
                Meaning(Code.BAD_AUDIO, "answered 206, a part of a reply that was asked for whole", False)
            )

    def _check_plain(self, headers: Mapping[str, str]) -> None:
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise self._peer.error(Meaning(Code.BAD_AUDIO, "compressed its reply, which was asked not to", False))

    def _mark(self, headers_s: float, first_byte_s: float) -> None:
        self._timings.mark(Stage.RESPONSE_HEADERS, headers_s)
        self._timings.mark(Stage.FIRST_BYTE, first_byte_s)
        if self._timings.connection_reused is None:
            self._timings.connection_reused = self._reused

    def _wait_for(self, phase: _Phase, seconds: float) -> None:
        """From here on another phase is waited for; where the one before took too long, its error stands."""
        now_s = self._loop.time()
        allowed_s = self._allowed(seconds, now_s)
        if self._patience.move(now_s + allowed_s):
            self._phase, self._allowed_s = phase, allowed_s

    def _allowed(self, seconds: float, now_s: float) -> float:
        """How long to wait: `seconds`, or until the deadline."""
        return max(0.0, min(seconds, self._deadline_s - now_s))


Take: TypeAlias = Callable[[Attempt, aiohttp.ClientResponse], Coroutine[Any, Any, T]]


@lru_cache(maxsize=64)
def _address(provider: str, url: str) -> tuple[URL, Peer]:
    """What all requests to one URL share."""
    parsed = URL(url, encoded=True)
    return parsed, peer_of(provider, parsed)


def signature(sign: Sign | None) -> Mapping[str, str]:
    """The headers that sign one attempt, made right before it is sent; none where the API wants none."""
    return sign(AttemptFacts(now_s=time(), nonce=secrets.token_hex(16))) if sign is not None else {}


def peer_of(provider: str, url: URL) -> Peer:
    """The other side of one exchange: names the host (and its port if it is unusual) and nothing else of the URL."""
    host = url.host or "no host"
    return Peer(provider, host if url.is_default_port() else f"{host}:{url.port}")


def _headers(response: aiohttp.ClientResponse) -> Mapping[str, str]:
    """Names in lower case; values of a repeated name joined (RFC 9110, 5.3). aiohttp has bounded number and size."""
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _acknowledge(response: aiohttp.ClientResponse) -> None:
    """Tells the provider at once that its headers have arrived.

    A provider whose socket collects small writes (Nagle) sends headers, then holds the first audio until they are
    acknowledged, which our kernel would do 40 ms later on a connection that has been in use.
    """
    if TCP_QUICKACK is None or response.connection is None or response.connection.transport is None:
        return
    if (link := response.connection.transport.get_extra_info("socket")) is not None:
        link.setsockopt(socket.IPPROTO_TCP, TCP_QUICKACK, 1)


async def refusal_body(response: aiohttp.ClientResponse) -> bytes:
    """How a refusal's body begins, REFUSAL_BYTES at most: what has come of it, where it is cut or takes its time."""
    body = bytearray()
    try:
        async with asyncio.timeout(REFUSAL_TIMEOUT_S):
            while len(body) < REFUSAL_BYTES and (piece := await response.content.readany()):
                body += piece
    except (aiohttp.ClientError, OSError) as error:
        untrace(error)  # aiohttp keeps it where the read waited
        # Cut or too slow (TimeoutError is an OSError): the status has been said, and so has part of the reason.
        body += arrived(response.content)
    return bytes(body[:REFUSAL_BYTES])
