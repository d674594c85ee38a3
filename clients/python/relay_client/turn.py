"""A turn as its caller sees it: text in, frames out, cancel."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from relay_client.errors import ConnectionLostError, RelayClientError, ReplyTimeoutError, TurnCancelledError
from relay_client.events import Event, TextSegment, TurnCancelled, TurnDone, TurnStarted
from relay_client.frames import AudioFormat, Frame
from relay_client.inbox import Inbox
from relay_client.options import Flow

__all__ = ["Turn"]

# A cancel is answered at once (p99 of a loaded relay: 5 ms); what can take longer is the audio that was already under
# way in front of the answer, if an earlier turn is not being read.
CANCEL_TIMEOUT_S = 5.0

Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Turn:
    """One stream of text in and audio out. Made by `Session.speak` and `Session.start_turn`.

    ``async for frame in turn`` gives the audio, ``async for event in turn.events()`` the audio and what belongs to it.
    Both end when the turn is done or was cancelled here, and raise when it failed: TurnError, ConnectionLostError,
    TurnCancelledError if the relay cancelled it, ProtocolError, TextSourceError. Everything good is given first.
    One task reads a turn; it may stop and go on later, and being cancelled while it waits loses nothing.
    Any task may append, flush, end and cancel. ``async with turn`` cancels it on the way out if it has not ended.
    """

    def __init__(self, inbox: Inbox, send: Send, *, flow: Flow | None, max_append_chars: int) -> None:
        self._inbox = inbox
        self._send = send
        self._flow = flow
        self._max_append_chars = max_append_chars
        self._taken_ms = 0
        self.samples_read = 0
        """Samples of speech that the caller has taken."""

    @property
    def turn_id(self) -> str:
        return self._inbox.turn_id

    @property
    def started(self) -> TurnStarted | None:
        """What the relay resolved for this turn; None until it said so, which is before the first frame."""
        return self._inbox.started

    @property
    def audio(self) -> AudioFormat:
        """The format of the frames. Raises RuntimeError before the relay has told it."""
        if self._inbox.started is None:
            raise RuntimeError("the relay has not told this turn's audio format yet; it is known with the first frame")
        return self._inbox.started.audio

    @property
    def text(self) -> str:
        """All text given to the turn, in order, whether or not it was spoken."""
        return "".join(self._inbox.given)

    @property
    def segments(self) -> tuple[TextSegment, ...]:
        """The pieces of the text whose audio has begun, each with the sample where it begins."""
        return tuple(self._inbox.segments)

    @property
    def samples_received(self) -> int:
        """Samples of speech that came from the relay, those included that were dropped after a cancel."""
        return self._inbox.samples_received

    @property
    def text_paused(self) -> bool:
        """The relay asks for no more text for now. `speak` obeys; `append` leaves it to the caller."""
        return not self._inbox.text_wanted.is_set()

    @property
    def outcome(self) -> TurnDone | TurnCancelled | None:
        """How the relay says the turn ended; None while it runs, or if it failed."""
        return self._inbox.outcome

    @property
    def summary(self) -> TurnDone:
        """What was spoken, once the turn is done. Raises what the turn failed with, TurnCancelledError if it was
        cancelled, RuntimeError if it has not ended."""
        if self._inbox.failure is not None:
            raise self._inbox.failure.with_traceback(None)
        if isinstance(self._inbox.outcome, TurnDone):
            return self._inbox.outcome
        if self._inbox.cancelled:
            raise TurnCancelledError("the turn was cancelled")
        raise RuntimeError("the turn has not ended; read it to its end first")

    def unspoken_text(self, heard_samples: int | None = None) -> str:
        """The text from the first segment that was not heard to its end, to go on with after a failure or a barge-in.

        `heard_samples`: how far the listener heard, by default all that was read. A segment whose end is not known
        counts as unheard: saying a sentence twice is better than losing it.
        """
        heard = self.samples_read if heard_samples is None else heard_samples
        done = self._inbox.outcome
        segments = self._inbox.segments
        ends = [segment.start_sample for segment in segments[1:]]
        if segments and isinstance(done, TurnDone):
            ends.append(done.samples)
        heard_chars = 0
        for segment, end in zip(segments, ends, strict=False):
            if end > heard:
                break
            heard_chars += len(segment.text)
        return self.text[heard_chars:]

    async def append(self, text: str) -> None:
        """Adds text exactly as given; nothing is put between two appends. Does not wait while `text_paused`.

        Raises TurnCancelledError if the turn was cancelled, what it failed with if it failed.
        """
        if not isinstance(text, str):
            raise TypeError(f"text is {type(text).__name__}, it must be str")
        self._check_open()
        self._inbox.note_text(text)
        for piece in cut(text, self._max_append_chars):
            await self._send({"type": "text.append", "turn_id": self.turn_id, "text": piece})

    async def flush(self, flush_id: str | None = None) -> None:
        """Asks to speak what was appended without waiting for a sentence to be complete. `events` gives a FlushDone
        with the same `flush_id` when all of it is spoken."""
        self._check_open()
        named = {} if flush_id is None else {"flush_id": flush_id}
        await self._send({"type": "text.flush", "turn_id": self.turn_id, **named})

    async def end(self) -> None:
        """No more text will come: the rest is spoken and the turn finishes. Idempotent."""
        if self._inbox.text_ended:
            return
        self._check_open()
        self._inbox.text_ended = True
        await self._send({"type": "turn.end", "turn_id": self.turn_id})

    async def cancel(
        self, *, played_samples: int | None = None, timeout_s: float = CANCEL_TIMEOUT_S, drain: bool = False
    ) -> TurnCancelled | TurnDone:
        """Barge-in. From the call on, before anything is awaited, not one more frame reaches the caller; what the
        client held is dropped. Then the relay is told and its answer awaited.

        `played_samples`: how far the listener heard. Returns TurnDone if the relay had already sent everything. Raises
        what the turn failed with if it failed instead, and ReplyTimeoutError if no answer came in time (the turn is
        over all the same). Idempotent; works on a turn that nobody reads.

        `drain`: give the reader all that the relay sent before its answer, with the fade of `Audio(fade_ms=...)` at its
        end. For a line or a recording that plays what was sent. Another task must read the turn, or no answer comes
        in time.
        """
        if drain:
            self._inbox.drain()
        else:
            self._inbox.discard()
        if not self._inbox.over.is_set():
            message = {"type": "turn.cancel", "turn_id": self.turn_id}
            await self._send(message if played_samples is None else {**message, "played_samples": played_samples})
        try:
            return await self._inbox.wait_over(timeout_s)
        except ReplyTimeoutError:
            self._inbox.discard()
            raise

    async def grant(self, ms: int) -> None:
        """Credit for that much more audio, for a turn with `Flow(window_ms=..., auto_grant=False)`."""
        if ms <= 0:
            raise ValueError(f"a grant of {ms} ms; it must be more than 0")
        await self._send({"type": "flow.grant", "turn_id": self.turn_id, "ms": ms})

    async def report_played(self, samples: int, *, underruns: int = 0, underrun_ms: float = 0.0) -> None:
        """Tells the relay how far the listener has heard, in samples from the start of the turn. May come after the
        end of the turn, since playing ends after sending.

        `underruns` and `underrun_ms` are how often it had nothing to play since the last report, and how long
        altogether: the relay counts them.
        """
        if min(samples, underruns, underrun_ms) < 0:
            raise ValueError(
                f"{samples} samples played, {underruns} underruns of {underrun_ms} ms; none may be negative"
            )
        gaps = {"underruns": underruns, "underrun_ms": underrun_ms} if underruns or underrun_ms else {}
        await self._send({"type": "playback.report", "turn_id": self.turn_id, "samples": samples, **gaps})

    async def events(self) -> AsyncIterator[Event]:
        """Frames and events in the order in which the relay sent them. The end of the turn is `outcome`, not an
        event."""
        while (event := await self._take()) is not None:
            yield event

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Frame:
        while (event := await self._take()) is not None:
            if isinstance(event, Frame):
                return event
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._inbox.over.is_set():
            self._inbox.discard()
            return
        with contextlib.suppress(RelayClientError):
            await self.cancel()

    def _check_open(self) -> None:
        if self._inbox.cancelled:
            raise TurnCancelledError("the turn was cancelled; its text goes nowhere")
        if self._inbox.failure is not None:
            raise self._inbox.failure.with_traceback(None)
        if self._inbox.text_ended:
            raise RuntimeError("the turn's text was ended; start another turn")

    async def _take(self) -> Event | None:
        # What was taken before is granted anew now: the caller has come back, so it is done with that. And nothing
        # is in hand while this awaits, so a caller that is cancelled here loses no frame.
        await self._grant_taken()
        event = await self._inbox.take()
        if isinstance(event, Frame):
            self.samples_read += event.samples
            self._taken_ms += self.audio.frame_ms
        return event

    async def _grant_taken(self) -> None:
        """Grants in batches of half a window, so that the relay never stands still for want of a message and the
        uplink carries few of them. Once a frame is longer than half a window, every frame is a batch."""
        flow = self._flow
        if flow is None or not flow.auto_grant or self._taken_ms * 2 < flow.window_ms or self._inbox.over.is_set():
            return
        ms, self._taken_ms = self._taken_ms, 0
        # A lost connection is told by the reader, after the good audio that is still held.
        with contextlib.suppress(ConnectionLostError):
            await self.grant(ms)


def cut(text: str, size_chars: int) -> list[str]:
    """The pieces of `text`, each of at most that many characters; joined, they are the text."""
    return [text[at : at + size_chars] for at in range(0, len(text), size_chars)]
