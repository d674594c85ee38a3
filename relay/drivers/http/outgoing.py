"""A request on its way to the socket: aiohttp's own, which says when it goes, and takes its body along.

Told by aiohttp's tracing instead, the same costs a tenth of the way from call to socket.
"""

import asyncio
from typing import Protocol

import aiohttp
from aiohttp.connector import Connection


class Traveller(Protocol):
    """What an OutgoingRequest is sent for."""

    def connected(self, *, reused: bool) -> None:
        """The connection is there; the request is being handed to its socket."""

    def sent(self) -> None:
        """It has been."""


class OutgoingRequest(aiohttp.ClientRequest):
    """For the `request_class` of a session. `traveller` and `late_body` are set by a middleware."""

    traveller: Traveller | None = None
    late_body: bytes | None = None

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        reused = note_use(conn)
        if self.traveller is not None:
            self.traveller.connected(reused=reused)
        response = await super().send(conn)
        if self.late_body is not None and conn.transport is not None:
            conn.transport.write(self.late_body)
        if self.traveller is not None:
            self.traveller.sent()
        return response


def joins_writes(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether what is written in one turn of the loop leaves in one system call, as on uvloop.

    Then a body is written right behind its head. aiohttp makes a task for it (before Python 3.12), which comes a turn
    of the loop later; asyncio's own transports write at once, and head and body would be two packets.
    """
    return not isinstance(loop, asyncio.BaseEventLoop)


def note_use(connection: Connection) -> bool:
    """Whether a connection has been in use before; from now on it has."""
    protocol = connection.protocol
    used: bool = getattr(protocol, "relay_used", False)
    if not used and protocol is not None:
        protocol.relay_used = True  # type: ignore[attr-defined]
    return used
