"""A connection's protocol, given what arrives in reads of a bound.

A transport gives a plain protocol all that the kernel holds in one read: with uvloop up to 250 KB, which then wait in
this process for a reader that takes them slowly. A buffered protocol says how much it takes; the rest stays in the
kernel, where it slows the sender.
"""

import asyncio
from collections.abc import Callable

from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError

# Two of the driver's reads: with what may wait before its socket is paused, half a second of 24 kHz s16.
MOST_BYTES = 16 * 1024

# What may arrive before a reply's head is complete: the head, a read or two of its body, and interim answers (1xx), of
# which one is common and a flood would keep a core busy.
MOST_HEAD_BYTES = 128 * 1024

# One for all connections: a read is handed on before the next one begins.
_BUFFER = memoryview(bytearray(MOST_BYTES))


class BoundedReads(asyncio.BufferedProtocol):
    """Stands between a transport and its protocol, and holds nothing."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        # How much of a reply may still come before its head has; None while no head is waited for.
        self._head_left: int | None = None
        self._refuse: Callable[[], None] = lambda: None

    def expect_head(self, refuse: Callable[[], None]) -> None:
        self._head_left, self._refuse = MOST_HEAD_BYTES, refuse

    def head_came(self) -> None:
        self._head_left = None

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        if self._head_left is not None:
            self._head_left -= nbytes
            if self._head_left < 0:
                self._head_left = None
                self._refuse()
                return
        self._protocol.data_received(_BUFFER[:nbytes].tobytes())

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()


def bound_reads(transport: asyncio.Transport) -> None:
    """From now on no read of `transport` brings more than MOST_BYTES."""
    protocol = transport.get_protocol()
    assert isinstance(protocol, asyncio.Protocol), "what aiohttp makes"
    reads = transport.is_reading()
    if reads:
        transport.pause_reading()
    transport.set_protocol(BoundedReads(protocol))
    if reads:
        transport.resume_reading()


def expect_head(transport: asyncio.Transport, protocol: ResponseHandler) -> None:
    """A request is about to be sent: from here on MOST_HEAD_BYTES may come before `head_came`; more ends it."""

    def refuse() -> None:
        protocol.set_exception(HttpProcessingError(message="no answer within the bound of a head"))
        transport.abort()

    reads = transport.get_protocol()
    if isinstance(reads, BoundedReads):
        reads.expect_head(refuse)


def head_came(transport: asyncio.Transport) -> None:
    """The reply's head is complete."""
    reads = transport.get_protocol()
    if isinstance(reads, BoundedReads):
        reads.head_came()
