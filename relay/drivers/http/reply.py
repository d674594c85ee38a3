"""One reply as it comes in: bytes to pieces, a watch for silence, and the good bytes before a bad end.

This file does not know how the request was made, nor what the bytes mean.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping

from aiohttp import ClientPayloadError, ClientResponse, StreamReader
from aiohttp.client_proto import ResponseHandler

from relay.core.timings import Stage, Timings
from relay.core.transform import Transform
from relay.drivers.http.errors import Meaning, Peer, raise_mapped
from relay.errors import Code, ProviderError
from relay.providers.base.http import HttpRequest, Piece, Refusal, ReplyFacts

# Of a reply that is no audio this much is read and shown to the adapter (the contract of `Refusal.body`).
REFUSAL_BYTES = 64 * 1024
# The most that is taken at once: 170 ms of 24 kHz s16. What more has come stays where it is, so that no more is read
# from the socket; taken whole, a socket's buffer of a provider that is ahead would be held here, and another behind.
READ_BYTES = 8 * 1024
# How often a waiting read is looked at. aiohttp leaves a read waiting for ever when it has closed the connection over
# broken chunk framing (seen with 3.14.5); half a second of silence is then the price, not the whole stall timeout.
WATCH_S = 0.5
# Fewer bytes a second than this are a stall: speech has 750 at Opus's lowest rate, so a provider that is slower is ten
# times slower than speech.
PACE_BYTES_S = 75


class HttpReply:
    """The pieces of a 2xx reply, in order. Iterate once, by one task at a time.

    A fault in the middle (cut, stall) raises ProviderError after every byte that had arrived; `unwrap` is not flushed
    then, for its end has not come. Held at a time: one read, READ_BYTES at most.
    """

    def __init__(
        self,
        request: HttpRequest,
        response: ClientResponse,
        *,
        headers: Mapping[str, str],
        facts: ReplyFacts,
        peer: Peer,
        timings: Timings,
        clock: Callable[[], float],
    ) -> None:
        """Marks LAST_BYTE of `timings` at the clean end: when all was here, which may be before all is taken."""
        self.facts = facts
        self.content_type = headers.get("content-type")
        self.ended = False
        self.received_bytes = 0
        self._request = request
        self._response = response
        self._content = response.content
        self._headers = headers
        self._peer = peer
        self._timings = timings
        self._clock = clock
        # When the connection was last seen to have brought more, and what it had brought then.
        self.brought_s = 0.0
        self._brought_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._unwrap: Transform[bytes, Piece] | None = request.unwrap() if request.unwrap else None
        self._pieces: deque[Piece] = deque()
        self._fault: Exception | None = None
        link = response.connection.protocol if response.connection else None
        self._watch = _Watch(response.content, link, peer)
        self._link_that_ends_it = link_that_ends_it(response, headers)

    @property
    def piece_came_s(self) -> float | None:
        """When the connection had brought the bytes in which the last piece ended, as seen from here."""
        return self.brought_s or None

    @property
    def complete(self) -> bool:
        """All of the body has come; some of it may not have been taken."""
        return self.ended or self._content.is_eof()

    @property
    def has_piece(self) -> bool:
        return bool(self._pieces)

    def __aiter__(self) -> AsyncIterator[Piece]:
        return self

    async def __anext__(self) -> Piece:
        while not self._pieces:
            if self.ended:
                raise StopAsyncIteration
            await self.pull()
        return self._pieces.popleft()

    async def pull(self) -> None:
        """Waits for bytes, or for the end, and takes the pieces in them (there may be none)."""
        try:
            data = self._at_hand() or await self._read()
        except Exception as error:  # `map_errors` would cost a microsecond for each piece
            raise_mapped(error, self._peer)
            raise
        if data:
            self.received_bytes += len(data)
            self._pieces.extend(self._unwrap.feed(data) if self._unwrap else (data,))
            return
        self.ended = True
        if self._brought_bytes:
            self._timings.mark(Stage.LAST_BYTE, self.brought_s)
        if self._unwrap:
            self._pieces.extend(self._unwrap.flush())

    def allow_silence(self, timeout_s: float) -> None:
        """From here on a read that waits longer than this fails with `provider_timeout`."""
        self._watch.allow(timeout_s)

    def refuse(self, body: bytes) -> ProviderError:
        """The error that a body which is no audio stands for."""
        status, headers = self._response.status, self._headers
        return self._request.refuse(Refusal(status=status, headers=headers, body=body[:REFUSAL_BYTES]))

    def abort(self) -> None:
        """Drops the connection of an unfinished reply, so that the provider stops; idempotent.

        Dropped and not closed: closing would say goodbye in TLS, and wait for the answer while more audio comes.
        """
        self._watch.stop()
        if (connection := self._response.connection) is not None and connection.protocol is not None:
            connection.protocol.abort()
        # Not `release()`, which is for a body that has been read.
        self._response.close()

    def close(self) -> None:
        """Ends the reply; idempotent. An unfinished one takes its connection along."""
        self.abort()
        self._pieces.clear()
        self._fault = None

    def _at_hand(self) -> bytes:
        """What has arrived already; empty where nothing has, or a fault."""
        content = self._content
        if content.total_bytes == self.received_bytes or content.exception() is not None:
            return b""
        self._note_bytes(content)
        return content.read_nowait(READ_BYTES)

    async def _read(self) -> bytes:
        """What arrives, or had before a fault; empty at the clean end."""
        if self._fault:
            raise self._fault
        content = self._content
        self._watch.waiting_since_s = self._loop.time()
        try:
            data = await content.read(READ_BYTES)
        except Exception as fault:
            # aiohttp reports a cut before it hands out the bytes that came first; they are good audio.
            if not (data := arrived(content)):
                raise
            self._fault = fault
        finally:
            self._watch.waiting_since_s = None
        if not data:
            check_end(self._link_that_ends_it)
        self._note_bytes(content)
        return data

    def _note_bytes(self, content: StreamReader) -> None:
        if content.total_bytes > self._brought_bytes:
            self._brought_bytes, self.brought_s = content.total_bytes, self._clock()


class _Watch:
    """Breaks a read that waits in vain: for a silent provider, or on a connection that is gone.

    One timer for a whole reply, which looks how long the present read has waited, instead of one for each chunk: 0.7 us
    a chunk on uvloop, where `asyncio.timeout` around each read takes 3.5 and aiohttp itself 3. It sees reads only: a
    listener that holds us back is no stall.
    """

    __slots__ = (
        *("_content", "_link", "_loop", "_peer", "_seen_bytes", "_timeout_s", "_timer", "waiting_since_s"),
        *("_looked_s", "_paced_bytes", "_waited_s"),
    )

    def __init__(self, content: StreamReader, link: ResponseHandler | None, peer: Peer) -> None:
        self.waiting_since_s: float | None = None
        self._timeout_s = math.inf
        self._seen_bytes = 0
        self._content = content
        self._link = link
        self._peer = peer
        self._loop = asyncio.get_running_loop()
        # Since when the pace is measured: time in which a read waited, and what had come before.
        self._waited_s, self._paced_bytes = 0.0, 0
        self._looked_s = self._loop.time()
        self._timer = self._loop.call_later(WATCH_S, self._look)

    def allow(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        if timeout_s < WATCH_S:  # else the next look is early enough
            self._timer.cancel()
            self._timer = self._loop.call_later(timeout_s, self._look)

    def stop(self) -> None:
        self._timer.cancel()

    def _drips(self) -> bool:
        """Whether less than PACE_BYTES_S came in the last `timeout_s` in which reads waited."""
        now_s, came = self._loop.time(), self._content.total_bytes - self._paced_bytes
        if self.waiting_since_s is not None:
            # No longer than this read has waited or than the time between looks: a drip's reads are short and many.
            self._waited_s += min(now_s - self._looked_s, WATCH_S)
        self._looked_s = now_s
        if self._waited_s < self._timeout_s:
            return False
        self._waited_s, self._paced_bytes = 0.0, self._content.total_bytes
        return came < PACE_BYTES_S * self._timeout_s

    def _look(self) -> None:
        if self._timeout_s < math.inf and self._drips():
            slow = f"sent less than {PACE_BYTES_S * self._timeout_s:.0f} bytes in {self._timeout_s:g} s"
            self._content.set_exception(self._peer.error(Meaning(Code.PROVIDER_TIMEOUT, slow)))
            return
        wait_s = min(WATCH_S, self._timeout_s)
        if self.waiting_since_s is not None:
            left_s = self.waiting_since_s + self._timeout_s - self._loop.time()
            if self._link is not None and self._link.exception() is not None:
                self._content.set_exception(ClientPayloadError())
                return
            # After a stop of the whole loop bytes may be there that the read has not been told of.
            if left_s <= 0 and self._content.total_bytes == self._seen_bytes:
                stalled = Meaning(Code.PROVIDER_TIMEOUT, f"sent nothing for {self._timeout_s:g} s")
                self._content.set_exception(self._peer.error(stalled))
                return
            wait_s = min(wait_s, max(0.0, left_s))
        self._seen_bytes = self._content.total_bytes
        self._timer = self._loop.call_later(wait_s, self._look)


def link_that_ends_it(response: ClientResponse, headers: Mapping[str, str]) -> ResponseHandler | None:
    """The connection whose end is the body's: that of a body without a length of its own.

    To be asked for before the body is read: a connection that ended is no longer the response's.
    """
    has_length = "content-length" in headers or "transfer-encoding" in headers
    return response.connection.protocol if response.connection and not has_length else None


def check_end(link: ResponseHandler | None) -> None:
    """Raises ClientPayloadError for a body that its connection has cut and not ended: only RST tells that."""
    reason = link.exception() if link is not None else None
    # FIN is a ServerDisconnectedError there, RST an OSError.
    if isinstance(reason, OSError):
        raise ClientPayloadError from reason


def arrived(content: StreamReader) -> bytes:
    """The bytes in the buffer of a failed body. There is no public way to them but to take the exception back."""
    content.set_exception(None)  # type: ignore[arg-type]
    return content.read_nowait()
