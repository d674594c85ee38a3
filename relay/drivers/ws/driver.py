"""The WebSocket driver: conversations with providers that take text as it is typed.

    driver = WsDriver(http)
    await driver.start()
    async with driver.converse(provider.converse(speech), timings) as conversation:
        await conversation.give("Hello ")        # by one task
        async for piece in conversation:         # by another
            ...
    await driver.close()

This file does not know which provider is speaking.
"""

import asyncio
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from time import monotonic
from typing import Protocol

import aiohttp

from relay import __version__
from relay.core.timings import Stage, Timings
from relay.drivers.trust import SYSTEM_TRUST
from relay.drivers.ws.conversation import WsConversation
from relay.drivers.ws.pool import CLOSE_MARGIN, IdleSockets
from relay.drivers.ws.settings import WsSettings
from relay.drivers.ws.socket import Socket, open_socket, refuse_unless_upgraded
from relay.errors import ProviderError
from relay.providers.base.dialogue import DialogueRequest, TurnOver
from relay.providers.base.http import HttpRequest

__all__ = ["WsDriver", "WsSettings"]

# What the kernel holds of a provider that we do not read (Linux doubles it for its own bookkeeping): see `http`.
RECEIVE_BUFFER_BYTES = 64 * 1024
# And of text that the provider does not read: a cancel stands behind it. Left alone the kernel takes megabytes.
SEND_BUFFER_BYTES = 32 * 1024
# Cancelled turns whose confirmation is waited for at a time; of more the sockets are closed at once.
MAX_SETTLING = 256


class Minter(Protocol):
    """What mints credentials: the HTTP driver."""

    async def fetch(self, request: HttpRequest) -> bytes: ...


class WsDriver:
    """See `base_dialogue.DialogueDriver`. `start` before use, `close` after the last conversation; both on the same
    loop."""

    def __init__(self, http: Minter, settings: WsSettings | None = None) -> None:
        self._http = http
        self._settings = settings or WsSettings()
        self._session: aiohttp.ClientSession | None = None
        self._idle = IdleSockets(self._settings, self._retire)
        self._turns = count(1)
        # Both owned here and awaited by `close`; each bounds its own time.
        self._settling: set[asyncio.Task[TurnOver | None]] = set()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def idle_sockets(self) -> int:
        """Sockets that wait for a turn."""
        return len(self._idle)

    async def start(self) -> None:
        """Opens no connection yet."""
        assert self._session is None, "the driver has been started"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._settings.connections, socket_factory=_socket, ssl=SYSTEM_TRUST),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"speech-relay/{__version__}"},
            trust_env=False,
            # Each wait is timed where it is made.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            middlewares=(refuse_unless_upgraded,),
        )

    async def close(self) -> None:
        """Closes every socket, and waits for that as long as a closing handshake may take; idempotent."""
        for task in self._settling:
            task.cancel()
        session, self._session = self._session, None
        if self._settling:
            await asyncio.wait(self._settling)
        await self._idle.close()
        while self._closing:
            await asyncio.wait(self._closing)
        if session:
            await session.close()

    async def warm(self, request: DialogueRequest, sockets: int = 1, *, for_s: float = 0.0) -> None:
        """Opens and greets what is missing of `sockets` idle ones for this request's key that will be kept for another
        `for_s` seconds, and keeps them for turns to come.

        Not more than `idle_per_key`, which bounds what is kept. No turn is begun. Called again before the `for_s` are
        over, it keeps that many fresh: by a message where the provider takes one for that, else the socket that is
        about to be closed is replaced before. Raises ProviderError; safe to cancel.
        """
        missing = min(sockets, self._settings.idle_per_key) - await self._idle.fresh(request, for_s)
        for _ in range(missing):
            socket = await self._opened(request)
            if self._session is None:
                self._retire(socket)  # closed meanwhile
                return
            self._idle.put(socket)

    def idle_life_s(self, request: DialogueRequest) -> float:
        """How long a socket of this kind is kept that nobody uses."""
        settings = self._settings
        if request.idle_close_s is None:
            return settings.idle_s
        return min(settings.idle_s, request.idle_close_s * CLOSE_MARGIN)

    async def reach(self, request: DialogueRequest) -> None:
        """Opens and greets a socket, and closes it: whether the provider is there and takes the credentials. Raises
        ProviderError."""
        self._retire(await self._opened(request))

    @asynccontextmanager
    async def converse(self, request: DialogueRequest, timings: Timings) -> AsyncIterator[WsConversation]:
        """See `base_dialogue.DialogueDriver.converse`. Marks REQUEST_SENT when the turn is begun, FIRST_BYTE at its
        first audio, and `connection_reused`."""
        socket, reused = await self._begun(request)
        timings.mark(Stage.REQUEST_SENT, monotonic())
        if timings.connection_reused is None:
            timings.connection_reused = reused
        conversation = WsConversation(socket, timings, self._settings)
        try:
            yield conversation
        finally:
            self._leave(socket, conversation)

    async def _begun(self, request: DialogueRequest) -> tuple[Socket, bool]:
        """A socket on which a turn has begun, and whether it was open already."""
        while socket := await self._idle.take(request):
            if await self._begin(socket):
                return socket, True
        socket = await self._opened(request)
        # A socket that is gone already says so to whoever reads it.
        await self._begin(socket, keep=True)
        return socket, False

    async def _opened(self, request: DialogueRequest) -> Socket:
        """A new socket, greeted."""
        body = await self._http.fetch(request.mint) if request.mint else b""
        return await open_socket(self._running, request, request.connect(body), self._settings, self._retire)

    async def _begin(self, socket: Socket, *, keep: bool = False) -> bool:
        """False: it was gone. Then, and whatever is raised, it has been retired, unless it was to be kept."""
        begun = False
        try:
            await socket.send(socket.dialogue.begin(f"turn_{next(self._turns)}"))
            begun = keep or not socket.gone
        finally:
            if not begun:
                self._retire(socket)
        return begun

    def _leave(self, socket: Socket, conversation: WsConversation) -> None:
        """The turn is over or nobody wants it any more. Waits for nothing."""
        conversation.abort()
        if conversation.over is not None:
            self._settled(socket, conversation.over)
        elif conversation.failed or socket.gone or len(self._settling) >= MAX_SETTLING:
            self._retire(socket)
        else:
            task = asyncio.get_running_loop().create_task(self._settle(socket))
            self._settling.add(task)
            # Not at the end of the task itself: one that is cancelled before its first step has no end.
            task.add_done_callback(lambda done: self._confirmed(socket, done))

    async def _settle(self, socket: Socket) -> TurnOver | None:
        """Reads away what still comes of a cancelled turn until the provider confirms its end."""
        try:
            async with asyncio.timeout(self._settings.confirm_timeout_s):
                while True:
                    for heard in await socket.receive():
                        if isinstance(heard, TurnOver):
                            return heard
        except (TimeoutError, ProviderError):
            return None

    def _confirmed(self, socket: Socket, settling: asyncio.Task[TurnOver | None]) -> None:
        self._settling.discard(settling)
        ended_well = not settling.cancelled() and settling.exception() is None
        self._settled(socket, settling.result() if ended_well else None)

    def _settled(self, socket: Socket, over: TurnOver | None) -> None:
        if over is not None and over.reusable and not socket.gone and self._session is not None:
            self._idle.put(socket)
        else:
            self._retire(socket)

    def _retire(self, socket: Socket) -> None:
        task = asyncio.get_running_loop().create_task(socket.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    @property
    def _running(self) -> aiohttp.ClientSession:
        assert self._session is not None, "the driver has not been started"
        return self._session


def _socket(address: aiohttp.AddrInfoType) -> sockets.socket:
    """The buffers must be set before TCP agrees on its window scale."""
    family, kind, protocol, _, _ = address
    made = sockets.socket(family, kind, protocol)
    made.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    made.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SEND_BUFFER_BYTES)
    return made
