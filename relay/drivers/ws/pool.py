"""Sockets between two turns: who is kept, for how long, and whether it is still alive."""

import asyncio
import logging
import math
from collections.abc import Callable

from relay.drivers.ws.settings import WsSettings
from relay.drivers.ws.socket import Socket
from relay.errors import ProviderError
from relay.providers.base.dialogue import DialogueRequest, Ready

log = logging.getLogger(__name__)

# Of the time after which the provider closes a quiet socket, this much is used: who closes first never gives text to a
# socket that is being closed.
CLOSE_MARGIN = 0.8


class IdleSockets:
    """A socket in here is read by a task of its own, so that a close is seen when it comes.

    `retire` is given each socket that is no longer wanted, to be closed.
    """

    def __init__(self, settings: WsSettings, retire: Callable[[Socket], None]) -> None:
        self._settings = settings
        self._retire = retire
        # The oldest first.
        self._watchers: dict[Socket, asyncio.Task[None]] = {}
        # Until when each of them is kept, on the loop's clock.
        self._until_s: dict[Socket, float] = {}

    def __len__(self) -> int:
        return len(self._watchers)

    async def fresh(self, request: DialogueRequest, for_s: float) -> int:
        """How many may serve this request and will be kept for another `for_s` seconds. Those that the provider lets be
        kept open by a message are."""
        found = 0
        for socket in [each for each in self._watchers if _same_kind(each, request)]:
            if self._kept_s(socket) < for_s and (messages := socket.dialogue.keep_alive()):
                await socket.send(messages)
                if socket in self._watchers:
                    self._until_s[socket] = self._end_s(socket)
            found += not socket.gone and self._kept_s(socket) >= for_s
        return found

    def _kept_s(self, socket: Socket) -> float:
        """For how long it will be kept; not at all if it is not in here."""
        now_s = asyncio.get_running_loop().time()
        return self._until_s[socket] - now_s if socket in self._watchers else -math.inf

    def _end_s(self, socket: Socket) -> float:
        """Until when a socket may be kept that nobody has used since its last message."""
        now_s = asyncio.get_running_loop().time()
        idle_close_s = socket.request.idle_close_s
        closes_s = math.inf if idle_close_s is None else socket.quiet_since_s + idle_close_s * CLOSE_MARGIN
        return min(now_s + self._settings.idle_s, closes_s)

    def put(self, socket: Socket) -> None:
        """Keeps a socket that has no turn. The oldest makes room for it."""
        settings, own = self._settings, [other for other in self._watchers if _same_kind(other, socket.request)]
        if len(own) >= settings.idle_per_key:
            self._drop(own[0])
        elif len(self._watchers) >= settings.idle_sockets:
            self._drop(next(iter(self._watchers)))
        self._until_s[socket] = self._end_s(socket)
        self._watchers[socket] = asyncio.get_running_loop().create_task(self._watch(socket))

    async def take(self, request: DialogueRequest) -> Socket | None:
        """The socket that was put last and may serve this request, or None. It is nobody else's from here on."""
        while own := [socket for socket in self._watchers if _same_kind(socket, request)]:
            socket = own[-1]
            watcher = self._watchers.pop(socket)
            del self._until_s[socket]
            watcher.cancel()
            try:
                await asyncio.wait([watcher])
            except BaseException:
                self._retire(socket)
                raise
            # One that has just ended had found the socket useless, and did not come to say so.
            if watcher.cancelled() and not socket.gone:
                return socket
            self._retire(socket)
        return None

    async def close(self) -> None:
        """Retires all and ends their watchers."""
        watchers, self._watchers, self._until_s = self._watchers, {}, {}
        for socket, watcher in watchers.items():
            watcher.cancel()
            self._retire(socket)
        if watchers:
            await asyncio.wait(watchers.values())

    def _drop(self, socket: Socket) -> None:
        # Cancelled, a watcher does nothing more but end.
        self._watchers.pop(socket).cancel()
        del self._until_s[socket]
        self._retire(socket)

    async def _watch(self, socket: Socket) -> None:
        try:
            await self._until_useless(socket)
        except ProviderError as error:
            log.debug("an idle socket ended: %s", error.message, extra={"provider": socket.request.provider})
        finally:
            # Else somebody has taken it, and it is theirs.
            if self._watchers.pop(socket, None) is not None:
                del self._until_s[socket]
                self._retire(socket)

    async def _until_useless(self, socket: Socket) -> None:
        """Returns when the socket has stood for long enough, does not answer, or says what means its end."""
        settings, loop = self._settings, asyncio.get_running_loop()
        asked = False
        while (now_s := loop.time()) < (end_s := self._until_s[socket]) and not socket.gone:
            wait_s = settings.probe_timeout_s if asked else settings.probe_every_s
            try:
                async with asyncio.timeout_at(min(end_s, now_s + wait_s)):
                    heard = await socket.receive()
            except TimeoutError:
                if asked:
                    return
                await socket.probe()
                asked = True
                continue
            asked = False
            if any(not isinstance(each, Ready) for each in heard):
                # Audio of no turn, or the announcement of an end.
                return


def _same_kind(socket: Socket, request: DialogueRequest) -> bool:
    return (socket.request.provider, socket.request.key) == (request.provider, request.key)
