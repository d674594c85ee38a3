"""One turn as the session knows it: the text that was given, what has come and was not taken yet, how it ended.

This file does not send anything. `Turn` is the caller's side of the same turn.
"""

import asyncio
from collections import deque

from relay_client.errors import (
    ProtocolError,
    RelayClientError,
    ReplyTimeoutError,
    TextSourceError,
    TurnCancelledError,
)
from relay_client.events import Event, TextPaused, TextResumed, TextSegment, TurnCancelled, TurnDone, TurnStarted
from relay_client.frames import Frame, FrameReader
from relay_client.hold import Hold

__all__ = ["Inbox"]


class Inbox:
    """Bounded through `hold`, which the session's reader asks before it reads on. One task at a time may take."""

    def __init__(self, turn_id: str, hold: Hold) -> None:
        self.turn_id = turn_id
        self.started: TurnStarted | None = None
        self.segments: list[TextSegment] = []
        self.given: list[str] = []
        self.text_ended = False
        self.samples_received = 0
        # Cancelled here; `discarding`: and what comes is dropped.
        self.cancelled = False
        self.discarding = False
        self.outcome: TurnDone | TurnCancelled | None = None
        self.failure: RelayClientError | None = None
        self.source_failure: TextSourceError | None = None
        self.over = asyncio.Event()
        self.text_wanted = asyncio.Event()
        self.text_wanted.set()
        self._hold = hold
        self._feeder: asyncio.Task[None] | None = None
        self._held: deque[Event] = deque()
        self._reader: FrameReader | None = None
        self._given_chars = 0
        self._segmented_chars = 0
        self._arrived = asyncio.Event()
        self._being_read = False

    def note_text(self, text: str) -> None:
        """Remembers text before it is sent, so that what a failing send loses is not lost to the caller."""
        self.given.append(text)
        self._given_chars += len(text)

    def fed_by(self, feeder: asyncio.Task[None]) -> None:
        """The task that gives the turn its text, owned by the session: cancelled when the turn is over or discarded,
        since it has no reason to live longer."""
        self._feeder = feeder
        if self.over.is_set() or self.cancelled:
            self._stop_feeding()

    # The session's reader puts.

    def start(self, event: TurnStarted) -> None:
        if self.started is not None:
            raise ProtocolError("turn.started came twice for one turn")
        self.started = event
        self._reader = FrameReader(event.audio, event.turn_index)
        self.put(event)

    def put(self, event: Event) -> None:
        """Takes an event that does not end the turn."""
        match event:
            case TextSegment():
                self._add_segment(event)
            case TextPaused():
                self.text_wanted.clear()
            case TextResumed():
                self.text_wanted.set()
        if self.discarding:
            return
        self._hold.add_event()
        self._keep(event)

    def put_frame(self, message: bytes) -> None:
        """Takes a binary message. It is checked even if it is to be dropped: a wrong one means a broken session."""
        if self._reader is None or self.started is None:
            raise ProtocolError("audio of a turn before its turn.started")
        frame = self._reader.read(message)
        self.samples_received = self._reader.samples
        if self.discarding:
            return
        self._hold.add_audio(self.started.audio.frame_ms)
        self._keep(frame)

    def finish(self, outcome: TurnDone | TurnCancelled) -> None:
        """The relay says the turn has ended. What it counted must be what arrived, or the turn has failed."""
        self.outcome = outcome
        if isinstance(outcome, TurnDone):
            self._end(self._miscounted(outcome) or self.source_failure)
        elif self.cancelled:
            self._end(None)
        else:
            self._end(TurnCancelledError("the relay cancelled the turn"))

    def fail(self, failure: RelayClientError) -> None:
        """The turn has failed, unless it has ended. What was held is good and stays."""
        if not self.over.is_set():
            self._end(failure)

    # The caller's side takes.

    async def take(self) -> Event | None:
        """The next frame or event; None at the end of the turn, or when it was discarded. Raises what the turn failed
        with, after everything good was taken. Safe to cancel: nothing is lost."""
        if self._being_read:
            raise RuntimeError("another task is reading this turn; a turn has one reader")
        self._being_read = True
        try:
            while not self._held:
                if self.discarding:
                    return None
                if self.over.is_set():
                    if self.failure is not None:
                        raise self.failure.with_traceback(None)
                    return None
                self._arrived.clear()
                await self._arrived.wait()
        finally:
            self._being_read = False
        event = self._held.popleft()
        self._release(event)
        return event

    def discard(self) -> None:
        """Drops what is held and whatever still comes. Idempotent; at once, without awaiting."""
        self.cancelled = self.discarding = True
        while self._held:
            self._release(self._held.popleft())
        self._stop_feeding()
        self._arrived.set()

    def drain(self) -> None:
        """The turn is cancelled; what comes up to the relay's answer is still given. Idempotent."""
        self.cancelled = True
        self._stop_feeding()

    async def wait_over(self, timeout_s: float) -> TurnDone | TurnCancelled:
        """The relay's answer to a cancel. Raises what the turn failed with, ReplyTimeoutError without an answer."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.over.wait()
        except TimeoutError:
            raise ReplyTimeoutError(
                f"the relay did not answer turn.cancel within {timeout_s:g} s; is an earlier turn not being read?"
            ) from None
        if self.failure is not None:
            raise self.failure.with_traceback(None)
        assert self.outcome is not None, "a turn is over with an outcome or a failure"
        return self.outcome

    def _keep(self, event: Event) -> None:
        self._held.append(event)
        self._arrived.set()

    def _release(self, event: Event) -> None:
        if isinstance(event, Frame):
            assert self.started is not None, "a frame was kept, so the turn had started"
            self._hold.release_audio(self.started.audio.frame_ms)
        else:
            self._hold.release_event()

    def _end(self, failure: RelayClientError | None) -> None:
        self.failure = failure
        self._stop_feeding()
        self.over.set()
        self._arrived.set()

    def _stop_feeding(self) -> None:
        if self._feeder is not None:
            self._feeder.cancel()

    def _add_segment(self, segment: TextSegment) -> None:
        """Keeps it for resuming. The segments are the text given, so together they cannot be longer."""
        self._segmented_chars += len(segment.text)
        if not segment.text or self._segmented_chars > self._given_chars:
            raise ProtocolError("text.segment: the segments of a turn are not the text that was given")
        self.segments.append(segment)

    def _miscounted(self, done: TurnDone) -> ProtocolError | None:
        arrived = self._reader
        frames, samples, padding = (arrived.frames, arrived.samples, arrived.padding_samples) if arrived else (0, 0, 0)
        if (done.frames, done.samples, done.padding_samples) == (frames, samples, padding):
            return None
        return ProtocolError(
            f"turn.done counts {done.frames} frames, {done.samples} samples and {done.padding_samples} of padding; "
            f"{frames} frames, {samples} samples and {padding} of padding arrived"
        )
