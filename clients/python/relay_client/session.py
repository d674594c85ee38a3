"""A session: one WebSocket connection, its reader task, and the turns that share it."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterable, Mapping
from typing import Any, Unpack

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from relay_client.errors import ConnectionLostError, ProtocolError, RelayClientError, TurnError
from relay_client.events import AudioStarted, SessionClosing, SessionReady, TurnCancelled, TurnDone, TurnStarted
from relay_client.feeder import feed
from relay_client.hold import Hold
from relay_client.inbox import Inbox
from relay_client.options import TurnOptions, start_fields
from relay_client.turn import CANCEL_TIMEOUT_S, Turn
from relay_client.wire import ErrorReport, Message, dump, parse

__all__ = ["Session"]

# Silence after which the relay is asked whether it is still there, and then how long it may take to answer. Two such
# waits find a dead peer in 40 s, as the keepalive of websockets does by default.
PING_AFTER_S = 20.0
# The relay never stops reading its clients (a cancel must not stand behind text), so a send that waits is a dead path.
SEND_TIMEOUT_S = 10.0
# How long the closing handshake, and the caller's own text sources, may take to end.
CLOSE_TIMEOUT_S = 2.0
# A character is at most six bytes of JSON (\u0000 as an escape) plus this much for the message around it.
_MAX_CHAR_BYTES, _ENVELOPE_BYTES = 6, 1024
# Turn ids chosen by the caller that are remembered, so that a second use is refused here with a clear message. The
# relay remembers as many.
REMEMBERED_IDS = 1024

# What stands for "no close frame came" (RFC 6455, 7.1.5).
NO_CLOSE = 1006

_LOG = logging.getLogger("relay_client")


class Session:
    """Made by `connect`. Turns are spoken one after another in the order in which they were opened, so they are to be
    read in that order; a turn that will not be read is to be cancelled, or what stands behind it cannot come."""

    def __init__(self, websocket: ClientConnection, ready: SessionReady, hold: Hold) -> None:
        self.ready = ready
        """The relay's limits and defaults."""
        self.closing: SessionClosing | None = None
        """Set once the relay has announced that it will close the session."""
        self._websocket = websocket
        self._hold = hold
        self._turns: dict[str, Inbox] = {}
        self._used_ids: deque[str] = deque(maxlen=REMEMBERED_IDS)
        self._opened = 0
        self._speaking: Inbox | None = None
        self._failure: RelayClientError | None = None
        self._closed_here = False
        self._feeders: set[asyncio.Task[None]] = set()
        self._reader = asyncio.create_task(self._read(), name="relay-client-reader")

    @property
    def held_ms(self) -> int:
        """Milliseconds of audio that came and was not taken yet, over all turns. Bounded; see `hold.Hold`."""
        return self._hold.held_ms

    async def speak(self, text: str | AsyncIterable[str], **options: Unpack[TurnOptions]) -> Turn:
        """Opens a turn that speaks `text`: a string, or an async iterator whose pieces are appended as they come.

        Returns when the request is on its way, not when it was answered. An iterator is read by a task that the turn
        owns; it is closed when the turn ends.
        """
        if isinstance(text, str):
            return await self._speak_whole(text, options)
        if not isinstance(text, AsyncIterable):
            raise TypeError(f"text is {type(text).__name__}, it must be str or an async iterable of str")
        turn, inbox = await self._open(options)
        feeder = asyncio.create_task(feed(turn, inbox, text), name="relay-client-feeder")
        self._feeders.add(feeder)
        feeder.add_done_callback(self._feeders.discard)
        inbox.fed_by(feeder)
        return turn

    async def start_turn(self, **options: Unpack[TurnOptions]) -> Turn:
        """Opens a turn whose text is given by `Turn.append`, `Turn.flush` and `Turn.end`."""
        turn, _ = await self._open(options)
        return turn

    async def cancel(
        self, *, played_samples: int | None = None, timeout_s: float = CANCEL_TIMEOUT_S
    ) -> list[TurnCancelled | TurnDone]:
        """Cancels every turn that has not ended, as `Turn.cancel` does, in one message. Returns how they ended, in
        the order in which they were opened; turns that failed meanwhile are left out, since reading them tells why."""
        open_turns = list(self._turns.values())
        for inbox in open_turns:
            inbox.discard()
        if not open_turns:
            return []
        message: dict[str, Any] = {"type": "turn.cancel"}
        await self._send(message if played_samples is None else {**message, "played_samples": played_samples})
        answers = await asyncio.gather(*(inbox.wait_over(timeout_s) for inbox in open_turns), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, TurnError):
                raise answer
        return [answer for answer in answers if not isinstance(answer, BaseException)]

    async def aclose(self) -> None:
        """Ends the session and its turns, and waits for its tasks. Idempotent; bounded by CLOSE_TIMEOUT_S."""
        self._closed_here = True
        self._end(ConnectionLostError("this program closed the session before the turn had ended", retryable=False))
        self._hold.lift()
        try:
            await self._close_websocket(1000, "")
        finally:
            done, pending = await asyncio.wait({self._reader, *self._feeders}, timeout=CLOSE_TIMEOUT_S)
        if pending:
            _LOG.warning("%d text source(s) ignored their cancellation", len(pending))
        for task in done:
            if not task.cancelled():
                task.result()

    async def _speak_whole(self, text: str, options: TurnOptions) -> Turn:
        fields = start_fields(options)
        size_bytes = len(dump({**fields, "text": text}).encode()) + _ENVELOPE_BYTES
        if size_bytes > self.ready.limits.max_message_bytes:
            turn, _ = await self._open(options)
            await turn.append(text)
            await turn.end()
            return turn
        turn, inbox = self._register(options)
        inbox.note_text(text)
        inbox.text_ended = True
        await self._send_first(inbox, {**fields, "type": "speak", "turn_id": inbox.turn_id, "text": text})
        return turn

    async def _open(self, options: TurnOptions) -> tuple[Turn, Inbox]:
        turn, inbox = self._register(options)
        await self._send_first(inbox, {**start_fields(options), "type": "turn.start", "turn_id": inbox.turn_id})
        return turn, inbox

    def _register(self, options: TurnOptions) -> tuple[Turn, Inbox]:
        """The turn is known before the relay hears of it: its answer may come while the request is still being sent."""
        turn_id = options.get("turn_id") or self._make_id()
        if self._is_used(turn_id):
            raise ValueError(f"turn_id {turn_id!r} was used before in this session")
        self._used_ids.append(turn_id)
        inbox = self._turns[turn_id] = Inbox(turn_id, self._hold)
        max_chars = max(1, (self.ready.limits.max_message_bytes - _ENVELOPE_BYTES) // _MAX_CHAR_BYTES)
        turn = Turn(inbox, self._send, flow=options.get("flow"), max_append_chars=max_chars)
        return turn, inbox

    def _make_id(self) -> str:
        while True:
            self._opened += 1
            turn_id = f"c{self._opened}"
            if not self._is_used(turn_id):  # a caller's own choice may look like this
                return turn_id

    def _is_used(self, turn_id: str) -> bool:
        return turn_id in self._turns or turn_id in self._used_ids

    async def _send_first(self, inbox: Inbox, message: Mapping[str, Any]) -> None:
        try:
            await self._send(message)
        except BaseException:
            self._turns.pop(inbox.turn_id, None)
            raise

    async def _send(self, message: Mapping[str, Any]) -> None:
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        text = dump(message)
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._websocket.send(text)
        except ConnectionClosed as closed:
            raise self._lost(closed) from closed
        except TimeoutError:
            self._failure = ConnectionLostError(f"the relay has read nothing for {SEND_TIMEOUT_S:g} s")
            self._websocket.transport.abort()
            raise self._failure from None

    async def _read(self) -> None:
        """The reader task: the only one that receives. Ends with the connection, and then so do the turns."""
        failure: RelayClientError = ConnectionLostError("the session's reader has stopped")
        try:
            while True:
                self._receive(await self._next_message())
                await self._hold.room()
        except ConnectionClosed as closed:
            failure = self._lost(closed)
            failure.__cause__ = closed
        except RelayClientError as error:
            failure = error
        finally:
            self._end(failure)
        if isinstance(failure, ProtocolError):
            await self._close_websocket(1002, "protocol_error")
        else:
            self._websocket.transport.abort()

    async def _next_message(self) -> str | bytes:
        """The next message. Asks after a long silence whether the relay is still there.

        The keepalive of websockets is off: it counts from its own ping, and while this reader waits for the caller
        to take audio nothing is read, no pong either, so a slow listener would look like a dead relay. Here the
        clock runs only while somebody is receiving.
        """
        pong: asyncio.Future[float] | None = None
        while True:
            try:
                async with asyncio.timeout(PING_AFTER_S):
                    return await self._websocket.recv()
            except TimeoutError:
                if pong is not None and not pong.done():
                    raise ConnectionLostError(f"the relay has not answered for {PING_AFTER_S:g} s") from None
            pong = await self._ping()

    async def _ping(self) -> asyncio.Future[float]:
        """Sends a WebSocket ping. The `ping` of the contract would do, but it would also look like a client at work."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                return asyncio.ensure_future(await self._websocket.ping())
        except TimeoutError:
            raise ConnectionLostError(f"the relay has read nothing for {SEND_TIMEOUT_S:g} s") from None

    async def _close_websocket(self, code: int, reason: str) -> None:
        """The closing handshake, and an end without it where it takes too long or this task is cancelled again.
        websockets bounds the wait for the relay's answer, but not the one for room to send the close frame."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._websocket.close(code, reason)
        finally:
            self._websocket.transport.abort()

    def _receive(self, message: str | bytes) -> None:
        if self._closed_here:
            return
        if isinstance(message, bytes):
            if self._speaking is None:
                raise ProtocolError("the relay sent audio while no turn is being spoken")
            self._speaking.put_frame(message)
            return
        event = parse(message)
        if event is not None:
            self._dispatch(event)

    def _dispatch(self, event: Message) -> None:
        match event:
            case SessionReady():
                raise ProtocolError("session.ready came twice")
            case SessionClosing():
                self.closing = event
                return
            case ErrorReport(turn_id=None):
                # Most often a late message for a turn whose end was under way; it ends no turn.
                _LOG.warning("the relay refused a message: %s", event.code)
                return
        assert event.turn_id is not None, "the one event that may lack a turn_id was dealt with above"
        inbox = self._turns.get(event.turn_id)
        if inbox is None:
            return
        match event:
            case TurnStarted():
                inbox.start(event)
            case AudioStarted():
                if self._speaking is not None:
                    raise ProtocolError("audio.started while another turn is being spoken")
                self._speaking = inbox
                inbox.put(event)
            case TurnDone() | TurnCancelled():
                self._forget(inbox)
                inbox.finish(event)
            case ErrorReport():
                self._forget(inbox)
                inbox.fail(_turn_error(event, inbox.turn_id))
            case _:
                inbox.put(event)

    def _forget(self, inbox: Inbox) -> None:
        del self._turns[inbox.turn_id]
        if self._speaking is inbox:
            self._speaking = None

    def _end(self, failure: RelayClientError) -> None:
        """The session is over: every turn that has not ended fails with the reason, and so does what is asked next."""
        if self._failure is None:
            self._failure = failure
        for inbox in self._turns.values():
            inbox.fail(self._failure)
        self._turns.clear()
        self._speaking = None

    def _lost(self, closed: ConnectionClosed) -> ConnectionLostError:
        code, reason = close_of(closed)
        if self.closing is not None:
            reason = reason or self.closing.reason
        said = "is gone without a close" if code == NO_CLOSE else f"closed it with {code} {reason}".rstrip()
        return ConnectionLostError(
            f"the session is over: the relay {said}",
            close_code=code,
            close_reason=reason,
            retryable=self.closing.retryable if self.closing is not None else None,
        )


def close_of(closed: ConnectionClosed) -> tuple[int, str]:
    """Code and reason of the relay's close frame."""
    return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd is not None else (NO_CLOSE, "")


def _turn_error(report: ErrorReport, turn_id: str) -> TurnError:
    return TurnError(
        report.message,
        turn_id=turn_id,
        code=report.code,
        retryable=report.retryable,
        retry_after_s=report.retry_after_s,
        provider=report.provider,
    )
