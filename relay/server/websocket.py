"""One client's WebSocket: a task that reads, and one that waits where sending has to.

The reader never waits for audio, or a cancel would stand behind the audio it must drop.
"""

import asyncio
import logging
import time

from aiohttp import WSMsgType, web

from relay.core.playout import UrgentFull
from relay.engine.engine import Engine
from relay.engine.live_session import LiveSession, Tap
from relay.errors import ClientError, Code, InternalError, LimitError, RelayError
from relay.protocols.base import Handshake, StreamProtocol
from relay.server.access.scope import EVERYTHING, TokenScope
from relay.server.socket import CLOSE_TIMEOUT_S, Pong, SocketOutlet, WebSocket

log = logging.getLogger(__name__)

# Proxies and load balancers end connections on which nothing was sent for 60 s, most of them.
PING_S = 30.0

# Messages taken from one client before others get their turn of the loop.
READ_BURST = 32


class WebSocketSession:
    """One session from accept to close. `run` returns when the session is over and every task of it has ended."""

    def __init__(
        self,
        engine: Engine,
        protocol: StreamProtocol,
        handshake: Handshake,
        *,
        session_id: str,
        client: str,
        scope: TokenScope = EVERYTHING,
        tap: Tap | None = None,
    ) -> None:
        self.client = client
        self._engine = engine
        self._id = session_id
        self._scope = scope
        self._protocol = protocol.open(handshake)
        self._outlet = SocketOutlet(self._protocol)
        limits = engine.limits.session
        self._live = LiveSession(
            engine,
            self._outlet,
            defaults=scope.defaults(engine.defaults),
            limits=limits,
            check=scope.settings(engine.settings),
            max_chars=scope.max_chars,
            spend=engine.spending.of(client),
            session_id=session_id,
            traceparent=handshake.headers.get("traceparent"),
            tap=tap,
        )
        self._socket = WebSocket(
            self._protocol, subprotocols=protocol.subprotocols, max_message_bytes=limits.max_message_bytes
        )
        self._heard_s = self._busy_s = self._opened_s = self._pinged_s = time.monotonic()
        self._dropping: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        writer = await self._socket.prepare(request)
        transport = self._transport = request.transport
        assert writer is not None and transport is not None, "they were there to answer the handshake"
        self._outlet.open(writer, transport)
        sending: asyncio.Task[None] | None = None
        try:
            async with self._live:
                self._live.greet()
                sending = asyncio.create_task(self._send(), name=f"send {self._id}")
                await self._read()
                if self._outlet.ended is not None or self._outlet.bug is not None:
                    # The sender may be in the closing handshake, which is what ended the reading.
                    await asyncio.wait([sending], timeout=CLOSE_TIMEOUT_S)
        except Exception:  # no HTTP answer may follow an upgrade
            log.exception("a session ended by a bug", extra={"session": self._id})
            self._outlet.bug = self._outlet.bug or InternalError()
            await self._drop(1011, Code.INTERNAL)
        finally:
            self._outlet.close()
            for task in (sending, self._dropping):
                if task is not None:
                    task.cancel()
                    await asyncio.wait([task])
            # A peer that does not take what is still in the socket would keep it open for ever.
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, transport.abort)
        return self._socket

    @property
    def held_peak_ms(self) -> float:
        """The most audio that was held for this listener."""
        return self._live.session.playout.peak_ms

    def drain(self) -> None:
        """Finish what was begun, then close."""
        self._live.drain()

    def stop(self, error: RelayError) -> None:
        """End every turn with `error` at once and close."""
        self._live.close(error)

    def abort(self) -> None:
        """Drop the connection, whatever the client has taken."""
        if self._transport is not None:
            self._transport.abort()

    def check(self, now_s: float) -> None:
        """Called about once a second: ends a session that is idle, has outlived its token, or whose client has stopped
        reading for too long.

        Any message or ping of the client counts, and so does audio that is being made or sent. A turn that waits for
        text does not.
        """
        limits = self._engine.limits
        if now_s - self._pinged_s >= PING_S:
            self._pinged_s = now_s
            self._outlet.ping()
        if self._live.busy:
            self._busy_s = now_s
        idle_s, session_s = limits.session.idle_timeout_s, self._scope.session_s
        if now_s - max(self._heard_s, self._busy_s) > idle_s:
            reason = f"the client has said nothing for {idle_s:g} s (limits.idle_timeout_s) while nothing was spoken"
            self.stop(LimitError(Code.IDLE_TIMEOUT, reason))
        elif session_s is not None and now_s - self._opened_s > session_s:
            reason = f"a token's session lasts at most {session_s:g} s (tokens.session_s); get a new token"
            self.stop(ClientError(Code.UNAUTHORIZED, reason))
        full_since_s = self._outlet.full_since_s
        if full_since_s is not None and now_s - full_since_s > limits.slow_client_timeout_s:
            self._cut_off(LimitError(Code.SLOW_CLIENT, "the client has stopped reading"))

    async def _read(self) -> None:
        burst = 0
        async for message in self._socket:
            if message.type is not WSMsgType.PONG:  # the machine's, not of who uses it
                self._heard_s = time.monotonic()
            if message.type is WSMsgType.PING:
                self._pong(message.data)
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                for command in self._protocol.receive(message.data):
                    self._live.receive(command)
            if self._live.cut_off is not None:
                self._cut_off(self._live.cut_off)
            if self._dropping is not None:
                return
            burst += 1
            if burst % READ_BURST == 0:
                await asyncio.sleep(0)

    def _pong(self, payload: bytes) -> None:
        try:
            self._live.session.playout.urgent(Pong(payload))
        except UrgentFull:
            self._cut_off(LimitError(Code.SLOW_CLIENT, "the client has stopped reading"))
        self._live.speaker.flush()

    async def _send(self) -> None:
        """Waits for a socket that is full; at the session's end closes it."""
        outlet = self._outlet
        while await outlet.has_room():
            self._live.speaker.flush()
        if outlet.bug is not None:
            log.error("a session was stopped by a bug", exc_info=outlet.bug, extra={"session": self._id})
        code, error = outlet.close_code()
        # Not within a clause that caught an error: the socket keeps what goes wrong in closing.
        await self._socket.close(code=code, message=b"" if error is None else error.code.encode())

    def _cut_off(self, error: RelayError) -> None:
        """The client does not read, so nothing can be told to it: close as well as that can be done."""
        if self._dropping is None:
            self._live.close(error)
            self._outlet.close()
            self._dropping = asyncio.create_task(self._drop(1008, error.code), name=f"drop {self._id}")

    async def _drop(self, code: int, reason: Code) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(code=code, message=reason.encode(), drain=False)
        except (TimeoutError, ConnectionError):
            log.debug("no closing handshake", extra={"session": self._id})
