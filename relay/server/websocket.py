"""One client's WebSocket: a reader, a sender and its turns in one TaskGroup, running the effects of its session.

The reader never waits for the outbox, or a cancel would stand behind the audio it must drop.
"""

import asyncio
import logging
import socket
import time

from aiohttp import WSMsgType, web

from relay.core.effects import (
    Close,
    Effect,
    EndText,
    FailTurn,
    Flush,
    GiveText,
    Grant,
    NotePlayed,
    NoteUnderruns,
    OpenTurn,
    StopTurn,
    Tell,
)
from relay.core.events import Event, Failed, SessionClosing, SessionReady
from relay.core.pacer import AT_ONCE_S
from relay.core.session import Outcome, Session
from relay.engine.engine import Engine
from relay.engine.outbox import CloseSocket, End, OutboxFull, Urgent, WsPong
from relay.engine.turn import Turn
from relay.errors import ClientError, Code, LimitError, RelayError, untrace
from relay.protocols import native
from relay.server.access.scope import EVERYTHING, TokenScope
from relay.server.sender import SOCKET_HIGH_WATER_BYTES, Sender

log = logging.getLogger(__name__)

# Linux only: the kernel takes no more of unsent bytes than our side of the socket holds, for the same reason.
TCP_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", None)
# A peer that vanished without a word is noticed after 20 + 3 * 10 s, whether audio flows or not; a peer that is there
# and does not read answers the kernel's probes, and is the slow-client timeout's business.
KEEPALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
# How long a closing handshake may take.
CLOSE_TIMEOUT_S = 5.0
# Messages taken from one client before others get their turn of the loop.
READ_BURST = 32

CLOSE_REASONS = {1007: Code.INVALID_MESSAGE, 1009: Code.INVALID_MESSAGE}


class Socket(web.WebSocketResponse):
    """aiohttp's WebSocket, which names the error code in every close frame (protocol section 1.7)."""

    async def close(self, *, code: int = 1000, message: bytes = b"", drain: bool = True) -> bool:
        if not message and code in CLOSE_REASONS and not self.closed:
            too_big = f"the message is longer than limits.max_message_bytes, {self._max_msg_size}"
            error = ClientError(CLOSE_REASONS[code], "the message is not UTF-8" if code == 1007 else too_big)
            await self.send_frame(native.send(Failed(error=error)), WSMsgType.TEXT)
            message = error.code.encode()
        closed = await super().close(code=code, message=message, drain=drain)
        if (failure := self.exception()) is not None:
            untrace(failure)  # it is kept, and so would be what it came through: this socket
        return closed


class Connection:
    """One session from accept to close. `run` returns when the session is over and every task of it has ended."""

    def __init__(self, relay: Engine, session_id: str, client: str, permit: TokenScope = EVERYTHING) -> None:
        self.client = client
        self._relay = relay
        self._id = session_id
        self._permit = permit
        self._defaults = permit.defaults(relay.defaults)
        self._session = Session(
            self._defaults, relay.limits.session, permit.settings(relay.settings), max_chars=permit.max_chars
        )
        self._sender = Sender(relay.ticker, self._ended)
        self._outbox = self._sender.outbox
        self._socket = Socket(
            timeout=CLOSE_TIMEOUT_S,
            autoping=False,  # the answer must not make the reader wait
            compress=False,  # PCM hardly shrinks, and deflate costs 44 KiB a connection
            max_msg_size=relay.limits.session.max_message_bytes,
            protocols=(native.NAME,),
        )
        self._turns: dict[str, Turn] = {}
        self._running: dict[Turn, asyncio.Task[None]] = {}
        self._order: list[Turn] = []
        self._tasks: asyncio.TaskGroup | None = None
        self._playing_until_s = AT_ONCE_S
        self._last_message_s = self._last_spoke_s = self._opened_s = time.monotonic()
        # The caller's span, for turns that name none.
        self._traceparent: str | None = None
        self._closing = False
        self._cut = False

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        self._traceparent = request.headers.get("traceparent")
        writer = await self._socket.prepare(request)
        transport = request.transport
        assert writer is not None and transport is not None, "they were there to answer the handshake"
        _tune(transport)
        self._sender.open(self._socket, writer, transport)
        self._tell(SessionReady(session_id=self._id, limits=self._relay.limits.session, defaults=self._defaults))
        try:
            async with asyncio.TaskGroup() as self._tasks:
                sending = self._tasks.create_task(self._sender.run())
                try:
                    await self._read()
                    if self._closing:
                        # The sender may be in the closing handshake, which is what ended the reading.
                        await asyncio.wait([sending], timeout=CLOSE_TIMEOUT_S)
                finally:
                    sending.cancel()
                    for task in self._running.values():
                        task.cancel()
        finally:
            self._sender.close()
            for turn in self._turns.values():
                self._relay.turn_ended(turn, "disconnected", session=self._id)
            self._turns.clear()
            # A peer that does not take what is still in the socket would keep it open for ever.
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, transport.abort)
        return self._socket

    @property
    def outbox_peak_ms(self) -> int:
        """The most audio that was held for this listener."""
        return self._outbox.peak_ms

    def drain(self) -> None:
        """Finish what was begun, then close."""
        self._session.drain()
        self._close_if_drained()

    def stop(self, error: RelayError, close_code: int = 1001) -> None:
        """End every turn with `error` at once and close."""
        for turn_id in self._session.live_turns:
            self._session.settle(turn_id, Outcome.BROKEN)
            self._fail(turn_id, error)
        self._shut(close_code, error.code, retryable=error.retryable)

    def check(self, now_s: float) -> None:
        """Called about once a second: ends a session that is idle, has outlived its token, or whose client has stopped
        reading for too long.

        Idle is a session whose client says nothing while nothing is being spoken: turns that wait for text do not keep
        it alive.
        """
        limits = self._relay.limits
        if self._outbox.held_ms or not all(turn.waits_for_text for turn in self._turns.values()):
            self._last_spoke_s = now_s
        if now_s - max(self._last_message_s, self._last_spoke_s) > limits.session.idle_timeout_s:
            self._shut(1008, Code.IDLE_TIMEOUT, retryable=True)
        session_s = self._permit.session_s
        if session_s is not None and now_s - self._opened_s > session_s and not self._closing:
            self._outlived(session_s)
        full_since_s = self._sender.full_since_s
        if full_since_s is not None and now_s - full_since_s > limits.slow_client_timeout_s:
            self._cut_off()

    def _outlived(self, session_s: float) -> None:
        error = ClientError(
            Code.UNAUTHORIZED, f"a token's session lasts at most {session_s:g} s (tokens.session_s); get a new token"
        )
        if not self._turns:
            self._tell(Failed(error=error))
        self.stop(error, 1008)

    # In: client -> session -> effects.

    async def _read(self) -> None:
        burst = 0
        async for message in self._socket:
            if message.type is WSMsgType.TEXT:
                # Pings do not count: a library sends them by itself.
                self._last_message_s = time.monotonic()
                self._apply(self._session.receive(native.receive(message.data)))
            elif message.type is WSMsgType.PING:
                self._tell(WsPong(message.data))
            elif message.type is WSMsgType.BINARY:
                reason = "binary messages are for audio from the relay; send JSON text"
                self._tell(Failed(error=ClientError(Code.INVALID_MESSAGE, reason)))
                self._shut(1003, Code.INVALID_MESSAGE, retryable=False)
            if self._cut:
                return
            burst += 1
            if burst % READ_BURST == 0:
                await asyncio.sleep(0)

    def _apply(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Tell(event):
                    if isinstance(event, Failed):
                        self._relay.metrics.error_told(event.error.code)
                    self._tell(event)
                case OpenTurn():
                    self._open(effect)
                case StopTurn(turn_id):
                    self._cancel(turn_id)
                case FailTurn(turn_id, error):
                    self._fail(turn_id, error)
                case NoteUnderruns(count, ms):
                    self._relay.metrics.underran(count, ms)
                case Close():
                    self._shut(1000, "", retryable=True)
                case _:
                    self._to_turn(effect)

    def _to_turn(self, effect: GiveText | Flush | EndText | Grant | NotePlayed) -> None:
        turn = self._turns.get(effect.turn_id)
        if turn is None:  # the client was cut off as the turn was opened, in the same message
            return
        match effect:
            case GiveText(text=text):
                turn.append(text)
            case Flush():
                turn.flush()
            case EndText():
                turn.end_input()
            case Grant(ms=ms):
                turn.grant(ms)
            case NotePlayed(samples=samples):
                turn.samples_played = samples

    def _open(self, opened: OpenTurn) -> None:
        turn_id = opened.turn_id
        turn = Turn(
            opened.checked,
            self._outbox,
            on_taken=lambda chars: self._apply(self._session.taken(turn_id, chars)),
            playing_until_s=lambda: self._playing_until_s,
        )
        turn.traceparent = turn.traceparent or self._traceparent
        self._relay.metrics.turn_opened(turn)
        self._turns[turn_id] = turn
        if turn.form is not None:
            self._tell(turn.started(turn.form))
        if self._cut:
            return
        assert self._tasks is not None, "messages are read inside the task group"
        self._order.append(turn)
        self._order[0].go.set()
        task = self._tasks.create_task(turn.run())
        self._running[turn] = task
        task.add_done_callback(lambda _: self._passed(turn))

    def _passed(self, turn: Turn) -> None:
        """The turn has put its last frame into the outbox, or was cancelled: the next one may be spoken."""
        del self._running[turn]
        self._order.remove(turn)
        if self._order:
            self._order[0].go.set()

    def _cancel(self, turn_id: str) -> None:
        turn = self._stop(turn_id)
        if turn.sent.frames:
            self._playing_until_s = AT_ONCE_S  # a listener that interrupts also forgets what it holds
        self._relay.turn_ended(turn, "cancelled", session=self._id)
        self._tell(turn.cancelled())
        self._close_if_drained()

    def _fail(self, turn_id: str, error: RelayError) -> None:
        turn = self._stop(turn_id)
        self._relay.turn_failed(turn, error, session=self._id)
        self._tell(Failed(error=error, turn_id=turn_id))
        self._close_if_drained()

    def _stop(self, turn_id: str) -> Turn:
        """From here on not one frame of the turn is sent, and its provider's work ends."""
        turn = self._turns.pop(turn_id)
        if task := self._running.get(turn):
            task.cancel()
        self._outbox.drop(turn)
        return turn

    # Out: what the sender asks, and what passes the audio.

    def _ended(self, turn: Turn, end: End) -> Event:
        turn_id = turn.settings.turn_id
        self._playing_until_s = turn.sent.playout_end_s
        settled = self._session.settle(turn_id, Outcome.SPOKEN if end.error is None else Outcome.BROKEN)
        assert settled, "a turn that was stopped has nothing left in the outbox"
        del self._turns[turn_id]
        if end.error:
            self._relay.turn_failed(turn, end.error, session=self._id)
        else:
            self._relay.turn_ended(turn, "done", session=self._id)
        self._close_if_drained()
        return Failed(error=end.error, turn_id=turn_id) if end.error else turn.done()

    def _tell(self, message: Urgent) -> None:
        """Answers past the audio; a client that leaves too many answers unread is cut off."""
        try:
            self._outbox.post(message)
        except OutboxFull:
            self._cut_off()

    # The end.

    def _close_if_drained(self) -> None:
        if self._relay.draining and not self._session.live_turns:
            self._shut(1001, Code.SHUTTING_DOWN, retryable=True)

    def _shut(self, code: int, reason: str, *, retryable: bool) -> None:
        """Says why, then closes, once everything said before it has been sent."""
        if self._closing:
            return
        self._closing = True
        self._apply(self._session.close())
        if reason:
            self._tell(SessionClosing(reason=reason, retryable=retryable))
        self._outbox.post(CloseSocket(code, reason))

    def _cut_off(self) -> None:
        """The client does not read, so nothing can be said to it: close as well as that can be done."""
        if self._cut:
            return
        self._cut = self._closing = True
        error = LimitError(Code.SLOW_CLIENT, "the client has stopped reading")
        for turn_id in self._session.live_turns:
            self._session.settle(turn_id, Outcome.BROKEN)
            self._relay.turn_failed(self._stop(turn_id), error, session=self._id)
        assert self._tasks is not None
        self._tasks.create_task(self._close_unread())

    async def _close_unread(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(code=1008, message=Code.SLOW_CLIENT.encode(), drain=False)
        except (TimeoutError, ConnectionError):
            log.debug("no closing handshake", extra={"session": self._id})


def _tune(transport: asyncio.Transport) -> None:
    """Little in the socket, where it cannot be dropped; and a vanished peer is noticed."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    if TCP_NOTSENT_LOWAT is not None:
        sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, SOCKET_HIGH_WATER_BYTES)
