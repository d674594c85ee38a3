"""The connections of one listening socket: how many there may be, and how long each may go without a request.

A `Connection` stands between a transport and the protocol that reads requests, so that what an unknown client costs is
bounded before anything of it is read. This file does not know HTTP beyond "a request is being answered".

::

    NEW --bytes--> HEAD --request--> BUSY --answered--> IDLE --bytes--> HEAD
     └──────────────┴── closed at its deadline, or shed ──┘
"""

import asyncio
import logging
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address, ip_address
from time import monotonic
from typing import Protocol, cast

log = logging.getLogger(__name__)

# A bound that is reached is said once in so long.
LOG_EVERY_S = 60.0


class State(StrEnum):
    """What a connection waits for; the values are the reasons in the metrics for closing it then."""

    NEW = "no_request"
    HEAD = "slow_head"
    BUSY = "busy"
    IDLE = "idle"


# Why connections are closed beside their deadlines: to make room for others, and because there was no room.
SHED, REFUSED = "shed", "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """`first_byte_timeout_s` runs from the accepting, `head_timeout_s` from a request's first byte to the end of its
    head. `keepalive_s` is for a connection without a request whose client has shown a credential, or needs none;
    `stranger_keepalive_s` for any other."""

    max_connections: int
    max_per_address: int
    first_byte_timeout_s: float
    head_timeout_s: float
    keepalive_s: float
    stranger_keepalive_s: float


class Counts(Protocol):
    """Where connections are counted."""

    def connection_opened(self) -> None: ...
    def connection_closed(self) -> None: ...
    def connection_ended(self, reason: str) -> None: ...
    def out_of_files(self) -> None: ...


class Connection(asyncio.Protocol):
    """One connection; what it is told goes on to `handler`, once it was admitted."""

    __slots__ = ("_all", "_handler", "admitted", "known", "network", "since_s", "state", "transport")

    transport: asyncio.Transport

    def __init__(self, handler: asyncio.Protocol, connections: "Connections") -> None:
        self._handler = handler
        self._all = connections
        self.network = ""
        self.admitted = False
        self.state = State.NEW
        self.since_s = 0.0
        # Whether its client has shown a credential, or needs none.
        self.known = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A stream's, though uvloop's is none by its class.
        self.transport = stream = cast("asyncio.Transport", transport)
        self.network = network_of(transport.get_extra_info("peername"))
        self.admitted = self._all.admit(self)
        if self.admitted:
            self._handler.connection_made(transport)
        else:
            stream.abort()

    def data_received(self, data: bytes) -> None:
        if self.state is State.NEW or self.state is State.IDLE:
            self._all.move(self, State.HEAD)
        if self.admitted:
            self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self._handler.eof_received() if self.admitted else None

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.forget(self)
        if self.admitted:
            self._handler.connection_lost(exc)

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()


class Connections:
    """All connections of one process. Belongs to one event loop."""

    def __init__(
        self,
        limits: ConnectionLimits,
        counts: Counts,
        *,
        timed_out: bytes = b"",
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._limits = limits
        self._counts = counts
        # The whole answer to a head that is not complete in time.
        self._timed_out = timed_out
        self._clock = clock
        self._open: dict[asyncio.BaseTransport, Connection] = {}
        # Those that are not busy, by when they began to wait, oldest first; at most `max_connections`.
        self._waiting: dict[Connection, None] = {}
        self._by_network: Counter[str] = Counter()
        self._said_full_s = self._said_files_s = float("-inf")

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, new: Connection) -> bool:
        """Counts a new connection. At a bound the oldest that is not busy makes room for it; False: there is none."""
        limits = self._limits
        if self._by_network[new.network] >= limits.max_per_address:
            room = self._shed(new.network, limits.max_per_address)
        elif len(self._open) >= limits.max_connections:
            room = self._shed(None, limits.max_connections)
        else:
            room = True
        if not room:
            self._counts.connection_ended(REFUSED)
            return False
        self._open[new.transport] = new
        self._by_network[new.network] += 1
        self._counts.connection_opened()
        self.move(new, State.NEW)
        return True

    def move(self, connection: Connection, state: State) -> None:
        connection.state, connection.since_s = state, self._clock()
        self._waiting.pop(connection, None)
        if state is not State.BUSY and connection.transport in self._open:
            self._waiting[connection] = None

    def forget(self, connection: Connection) -> None:
        """It is gone. Idempotent."""
        self._waiting.pop(connection, None)
        if self._open.pop(connection.transport, None) is not None:
            self._by_network[connection.network] -= 1
            if not self._by_network[connection.network]:
                del self._by_network[connection.network]
            self._counts.connection_closed()

    @contextmanager
    def answering(self, transport: asyncio.BaseTransport | None) -> Iterator[None]:
        """A request of this connection is being answered: it has no deadline here, and is not shed."""
        connection = self._open.get(transport) if transport is not None else None
        if connection is None:
            yield
            return
        self.move(connection, State.BUSY)
        try:
            yield
        finally:
            self.move(connection, State.IDLE)

    def know(self, transport: asyncio.BaseTransport | None) -> None:
        """The client of this connection has shown a credential, or needs none."""
        if transport is not None and (connection := self._open.get(transport)) is not None:
            connection.known = True

    def check(self) -> None:
        """Called about once a second: closes what has waited for too long."""
        now_s = self._clock()
        late = [each for each in self._waiting if now_s - each.since_s > self._patience_s(each)]
        for connection in late:
            self._counts.connection_ended(connection.state)
            self._end(connection, self._timed_out if connection.state is State.HEAD else b"")

    def check_files(self, listening: socket.socket) -> None:
        """Called about once a second: says and counts that the process can open no more files, so that the system drops
        connections before the relay sees them. It recovers by itself when some are closed."""
        try:
            os.close(os.dup(listening.fileno()))
        except OSError as error:
            self._counts.out_of_files()
            if self._clock() - self._said_files_s > LOG_EVERY_S:
                self._said_files_s = self._clock()
                log.error(
                    "no more files can be opened (%s): new connections are dropped; raise `ulimit -n` or lower"
                    " limits.max_connections",
                    error.strerror,
                )

    def _patience_s(self, connection: Connection) -> float:
        limits = self._limits
        if connection.state is State.NEW:
            return limits.first_byte_timeout_s
        if connection.state is State.HEAD:
            return limits.head_timeout_s
        return limits.keepalive_s if connection.known else limits.stranger_keepalive_s

    def _shed(self, network: str | None, bound: int) -> bool:
        """Closes the oldest connection that is not busy, of one network or of all. False: there is none."""
        oldest = next((each for each in self._waiting if network is None or each.network == network), None)
        if self._clock() - self._said_full_s > LOG_EVERY_S:
            self._said_full_s = self._clock()
            log.warning(
                "%d connections are open%s: %s",
                bound,
                "" if network is None else " from one address",
                "new ones are refused" if oldest is None else "the oldest without a request are closed",
            )
        if oldest is None:
            return False
        self._counts.connection_ended(SHED)
        self._end(oldest)
        return True

    def _end(self, connection: Connection, farewell: bytes = b"") -> None:
        transport = connection.transport
        if farewell and not transport.get_write_buffer_size():
            transport.write(farewell)
            transport.close()
            self._waiting.pop(connection, None)
        else:
            transport.abort()
            # Its end is told later; its place is free now.
            self.forget(connection)


def network_of(peer: object) -> str:
    """By what connections are counted: an IPv4 address, or the /64 of an IPv6 address, which is one customer's."""
    host = str(peer[0]) if isinstance(peer, tuple) and peer else ""
    if ":" not in host:
        return host
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped) if address.ipv4_mapped else address.exploded[:19]
