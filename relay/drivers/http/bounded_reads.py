"""A connection's protocol, given what arrives in reads of a bound.

A transport gives a plain protocol all that the kernel holds in one read: with uvloop up to 250 KB, which then wait here,
behind one reader that takes them slowly. A buffered protocol says how much it takes, and what it does not take stays in
the kernel, where it slows the sender.
"""

import asyncio

# Two of the driver's reads: with what may wait before its socket is paused, half a second of 24 kHz s16.
MOST_BYTES = 16 * 1024

# One for all connections: a read is handed on before the next one begins.
_BUFFER = memoryview(bytearray(MOST_BYTES))


class BoundedReads(asyncio.BufferedProtocol):
    """Stands between a transport and its protocol. Nothing is held here."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self.connection_made = protocol.connection_made
        self.connection_lost = protocol.connection_lost
        self.eof_received = protocol.eof_received
        self.pause_writing = protocol.pause_writing
        self.resume_writing = protocol.resume_writing

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self._protocol.data_received(_BUFFER[:nbytes].tobytes())


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
