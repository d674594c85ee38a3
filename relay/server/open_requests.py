"""Requests over HTTP that are being answered, so that a relay that stops can wait for them, and end them."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import HttpVersion11, web

from relay.errors import RelayError

# Closing a socket with unsent data then resets the connection (socket(7), SO_LINGER).
_RESET = struct.pack("ii", 1, 0)


class OpenRequests:
    """Belongs to one event loop. `len` is how many there are."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Timeout, web.Request] = {}
        self._stopped_by: RelayError | None = None

    def __len__(self) -> int:
        return len(self._open)

    @asynccontextmanager
    async def entered(self, request: web.Request) -> AsyncIterator[None]:
        """The request is being answered within. Raises the error of `stop`."""
        if self._stopped_by is not None:
            raise _again(self._stopped_by)
        ending = asyncio.timeout(None)
        try:
            async with ending:
                self._open[ending] = request
                yield
        except TimeoutError:
            if not ending.expired() or self._stopped_by is None:
                raise
            raise _again(self._stopped_by) from None
        finally:
            self._open.pop(ending, None)

    def stop(self, error: RelayError) -> None:
        """Ends every request with `error`, and those that come later. Idempotent."""
        if self._stopped_by is None:
            self._stopped_by = error
            for ending in self._open:
                ending.reschedule(asyncio.get_running_loop().time())

    def abort(self) -> None:
        """Cuts the connections of those that are left."""
        for request in self._open.values():
            cut(request)


def cut(request: web.Request) -> None:
    """Drops the connection, so that a reply that was begun cannot be taken for a whole one.

    A reply without chunks (HTTP/1.0) ends where the connection does: that one is reset, and may lose audio that was
    sent and has not arrived.
    """
    transport = request.transport
    if transport is None:
        return
    if request.version < HttpVersion11 and (sock := transport.get_extra_info("socket")) is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


def _again(error: RelayError) -> RelayError:
    """A copy to raise: an exception that is raised twice collects the tracebacks of both."""
    return type(error)(error.code, error.message, retryable=error.retryable, retry_after_s=error.retry_after_s)
