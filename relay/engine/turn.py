"""One turn: its text becomes segments, their audio becomes frames in the outbox, in order."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from relay.core.events import (
    AudioStarted,
    Pacing,
    Progress,
    SegmentStarted,
    TurnCancelled,
    TurnDone,
    TurnFailedOver,
    TurnProgressed,
    TurnStarted,
    TurnWaiting,
    Word,
    WordsTimed,
)
from relay.core.formats import NATIVE, AudioRequest, FrameFormat
from relay.core.frames import Frame, pack_header
from relay.core.pacer import AT_ONCE_S
from relay.core.sent import SentAudio
from relay.core.text.chunker import DEFAULT, ChunkPolicy, TextChunker
from relay.core.timings import Report, Stage, Timings, TurnTimings
from relay.core.transcript import Transcript
from relay.engine.audio import TurnAudio, decoded
from relay.engine.converse import PassedText, first_error
from relay.engine.outbox import Content, End, Outbox
from relay.engine.progress import Reports
from relay.engine.segments import SegmentHooks, Segments
from relay.engine.streaming import Conversations
from relay.engine.text import StreamedText, Taken, TurnText
from relay.engine.upstream import Candidate, Candidates
from relay.errors import InternalError, ProviderError, RelayError, untrace
from relay.providers.base.dialogue import DialogueDriver
from relay.providers.base.http import WordTime
from relay.providers.base.provider import Driver, Provider, Reply, Speech

log = logging.getLogger(__name__)

# What `turn.started` says of a native turn that ended before any audio told its rate.
UNKNOWN_NATIVE_RATE_HZ = 24000


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSettings:
    """Everything that was decided about a turn when it was opened."""

    turn_id: str
    index: int
    audio: AudioRequest
    pacing: Pacing
    window_ms: int | None
    # Who speaks it, and who goes on if that one fails, in order.
    candidates: tuple[Candidate, ...]
    driver: Driver
    # The caller's span, of which the turn is a part.
    traceparent: str | None = None
    # Needed where a speech streams its text.
    dialogues: DialogueDriver | None = None

    @property
    def provider(self) -> Provider:
        return self.candidates[0].provider

    @property
    def speech(self) -> Speech:
        return self.candidates[0].speech


class Turn:
    """Runs as one task, which its owner awaits and may cancel at any instant: cancelling closes the provider's side.

    `go` is set by the owner when the turn may be spoken: turns of a session are spoken one after the other, while the
    next one's request is already under way. What the turn puts into the outbox leaves when `sent` says so.
    """

    def __init__(
        self,
        settings: TurnSettings,
        outbox: Outbox,
        *,
        on_taken: Callable[[int], None],
        playing_until_s: Callable[[], float] = lambda: AT_ONCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.go = asyncio.Event()
        self.stopped = False
        self.timings = TurnTimings()
        self.sent = SentAudio(
            settings.pacing, self.timings, window_ms=settings.window_ms, playing_until_s=playing_until_s
        )
        self.leave = self.sent.leave  # what its outbox asks of an owner
        self.traceparent = settings.traceparent
        self.provider_ids: dict[str, str] = {}
        self.failovers: list[TurnFailedOver] = []
        self.samples_played: int | None = None
        self._outbox = outbox
        self._clock = clock
        self._candidates = Candidates(settings.candidates)
        self._taken = Taken(on_taken)
        self._text: TurnText | StreamedText
        self._text = StreamedText(on_taken=self._taken) if settings.speech.streaming_text else self._cut_text()
        self._spoken = Transcript()
        # While it runs: its hooks hold this turn.
        self._segments: Segments | None = None
        self._told_waiting = False
        self._reports = Reports()
        self._form: FrameFormat | None = None
        self._audio: TurnAudio | None = None
        self.frame_ms = settings.audio.frame_ms
        if settings.audio.sample_rate != NATIVE:
            self._form = settings.audio.resolve(settings.audio.sample_rate)
            self._audio = TurnAudio(self._form)

    # What the client says.

    def append(self, text: str) -> None:
        self.timings.text_came(self._clock())
        self._text.append(text)

    def flush(self) -> None:
        self._text.flush()

    def end_input(self) -> None:
        self._text.end_input()

    def grant(self, ms: int) -> None:
        """More credit, which may let a waiting frame leave."""
        self.sent.grant(ms)
        self._outbox.nudge()

    # What is made of it.

    async def run(self) -> None:
        """Speaks until all text is spoken or something fails; the last thing put into the outbox is an End."""
        error: RelayError | None = None
        hooks = SegmentHooks(
            carry=self._carry,
            pass_over=self._pass_over,
            on_wait=self._tell_waiting,
            on_progress=self._tell_progress,
            on_failover=self._tell_failover,
        )
        segments = self._segments = Segments(self._candidates, self.settings.driver, hooks, clock=self._clock)
        try:
            if isinstance(given := self._text, StreamedText) and not await self._conversed(given, hooks):
                self._text = self._cut_text()
                given.pour(self._text)
            if isinstance(self._text, TurnText):
                await segments.speak(self._text, self.timings)
        except* RelayError as group:
            error = first_error(group)
            untrace(error)
        except* Exception:
            log.exception("turn failed by a bug", extra={"provider": self.provider_name})
            error = InternalError()
        finally:
            self._segments = None
        error = error or segments.truncated
        await self.go.wait()
        # A turn without text still says what its format would have been; a turn that failed before its audio does not.
        announced = self._announce() if error is None else []
        last = self._audio.flush() if self._audio and self.sent.pacer else []
        await self._outbox.put(self, [*announced, *last, End(error)])

    async def _conversed(self, given: StreamedText, hooks: SegmentHooks) -> bool:
        """Whether all text was spoken in a conversation; else it is to be spoken in segments."""
        assert self.settings.dialogues is not None, "who streams text has a driver for it"
        conversations = Conversations(
            *(self._candidates, self.settings.dialogues, hooks, self._taken), clock=self._clock
        )
        return await conversations.speak(given, self.timings)

    def _cut_text(self) -> TurnText:
        """Text for segments that every candidate takes, as long as who speaks now likes them."""
        limits = [candidate.provider.capabilities.max_segment_chars for candidate in self.settings.candidates]
        chunker = TextChunker(
            max_chars=min((limit for limit in limits if limit is not None), default=None),
            policy=_policy(self._candidates.current.provider),
        )
        return TurnText(chunker, on_taken=self._taken, clock=self._clock)

    async def _pass_over(self, text: str) -> None:
        await self._put([*self._announce(), self._begin(text)])

    def _tell_failover(self, failed: Candidate, chosen: Candidate, error: ProviderError) -> None:
        told = TurnFailedOver(
            turn_id=self.settings.turn_id,
            from_provider=failed.provider.name,
            to_provider=chosen.provider.name,
            voice=chosen.speech.voice,
            code=error.code,
            at_sample=self._audio.position if self._audio else 0,
        )
        self.failovers.append(told)
        self._outbox.put_nowait(self, [told])

    def _tell_waiting(self) -> None:
        if self.go.is_set() and not self._told_waiting:
            self._told_waiting = True
            self._outbox.put_nowait(self, [TurnWaiting(turn_id=self.settings.turn_id, provider=self.provider_name)])

    def _tell_progress(self, progress: Progress, waited_s: float) -> None:
        if self.go.is_set() and self._reports.due(progress, self._clock()):
            told = TurnProgressed(
                turn_id=self.settings.turn_id,
                provider=self.provider_name,
                state=progress,
                waited_ms=round(waited_s * 1000),
            )
            self._outbox.put_nowait(self, [told])

    async def _carry(self, reply: Reply, passed: PassedText, request: Timings) -> None:
        """Carries a reply's audio to the outbox, when the turn may be spoken."""
        received_s = 0.0

        def received(size_bytes: int) -> None:
            nonlocal received_s
            received_s = self._clock()
            request.tally.received_bytes += size_bytes

        if not self.go.is_set():
            await self.go.wait()
            self.timings.held_until_s = self._clock()
        self.provider_ids.update(reply.facts.ids)
        start: int | None = None
        words: list[WordTime] = []
        self.timings.margin.text_came(request.instants_s[Stage.TEXT_READY])
        async with aclosing(decoded(reply, self.provider_name, received)) as pieces:
            async for piece in pieces:
                if isinstance(piece, WordTime):
                    words.append(piece)
                    continue
                contents: list[Content] = []
                if start is None:
                    request.mark(Stage.FIRST_SAMPLE, self._clock())
                    contents += self._announce(piece[0].sample_rate_hz)
                audio = self._audio
                assert audio is not None
                if start is None:
                    start, request.index = audio.position, len(self._spoken)
                contents += [self._begin(text) for text in passed.audio_came()]
                if words:
                    contents.append(self._timed(words, start))
                    words = []
                contents += audio.feed(piece)
                request.audio_ms = audio.ms_of(audio.position - start)
                made_s, held_s = audio.ms_of(audio.position) / 1000, self._outbox.held_ms / 1000
                self.timings.margin.audio_came(made_s, held_s, self._clock())
                # What can leave has left when this returns; all else can wait for it.
                self._outbox.put_nowait(self, contents)
                audio.listen(piece)
                self.timings.leading_silence_ms = audio.leading_silence_ms
                await self._outbox.room()
        assert start is not None, "a reply without audio is an error"
        rest: list[Content] = [self._timed(words, start)] if words else []
        await self._put([*rest, *[self._begin(text) for text in passed.rest()]])
        self._spoken.complete()
        # Some are told at the end.
        self.provider_ids.update(reply.facts.ids)
        self.timings.reply_ended(request, received_s)

    async def _put(self, contents: list[Content]) -> None:
        await self.go.wait()
        await self._outbox.put(self, contents)

    def _announce(self, native_rate_hz: int = UNKNOWN_NATIVE_RATE_HZ) -> list[Content]:
        """Begins the schedule when it is first needed; for a native turn only then its format and `turn.started` can
        be told."""
        if self.sent.pacer is not None:
            return []
        late = self._form is None
        form = self._form = self._form or self.settings.audio.resolve(native_rate_hz)
        self._audio = self._audio or TurnAudio(form)
        self.sent.begin(form)
        return [self.started(form)] if late else []

    def _begin(self, text: str) -> SegmentStarted:
        assert self._audio is not None
        position, index = self._audio.position, len(self._spoken)
        self._spoken.begin(text, position, self.sent.samples)
        return SegmentStarted(turn_id=self.settings.turn_id, index=index, text=text, start_sample=position)

    def _timed(self, words: list[WordTime], start: int) -> WordsTimed:
        """Times within a reply, whose audio begins at the sample `start`, -> samples of the turn."""
        assert self._form is not None
        rate_hz = self._form.audio.sample_rate_hz
        timed = tuple(
            Word(word.text, start + round(word.start_s * rate_hz), start + round(word.end_s * rate_hz))
            for word in words
        )
        self._spoken.time(timed)
        return WordsTimed(turn_id=self.settings.turn_id, words=timed)

    # What the owner asks while it sends, and the metrics at the end.

    @property
    def provider_name(self) -> str:
        """Who speaks now."""
        return self._candidates.current.provider.name

    @property
    def turn_id(self) -> str:
        return self.settings.turn_id

    @property
    def model(self) -> str | None:
        """What it speaks with, as far as that was settled."""
        return self._candidates.current.speech.model

    @property
    def outbox(self) -> Outbox:
        """Where its audio waits to be sent, with that of the session's other turns."""
        return self._outbox

    @property
    def pending_chars(self) -> int:
        """Text that no provider was given yet."""
        return self._text.pending_chars

    @property
    def waits_for_text(self) -> bool:
        """Nothing is being spoken, and nothing will be before the client gives more text or ends it."""
        return self._text.waiting and not (self._segments and self._segments.open)

    @property
    def text_chars(self) -> int:
        """Characters of text given so far."""
        return self._text.chars

    @property
    def form(self) -> FrameFormat | None:
        """The exact frames; None while a native turn has no audio yet."""
        return self._form

    def started(self, form: FrameFormat) -> TurnStarted:
        speech = self._candidates.current.speech
        return TurnStarted(
            turn_id=self.settings.turn_id,
            turn_index=self.settings.index,
            provider=self.provider_name,
            voice=speech.voice,
            model=speech.model,
            form=form,
        )

    def audio_started(self) -> AudioStarted:
        """To be sent right before the first frame, once that has been marked as sent."""
        return AudioStarted(turn_id=self.settings.turn_id, ttfa_ms=self.timings.ttfa_ms or 0.0)

    def message(self, frame: Frame) -> bytes:
        """The binary message of a frame."""
        if self.settings.audio.header:
            return pack_header(frame, self.settings.index) + frame.payload
        return frame.payload

    # How it ends.

    def done(self) -> TurnDone:
        return TurnDone(
            turn_id=self.settings.turn_id,
            frames=self.sent.frames,
            samples=self.sent.samples,
            padding_samples=self.sent.padding_samples,
            duration_ms=round(self.sent.ms, 3),
            text_chars=self.text_chars,
            timings=self.report(),
            provider_ids=self.provider_ids,
        )

    def cancelled(self) -> TurnCancelled:
        return TurnCancelled(
            turn_id=self.settings.turn_id,
            frames=self.sent.frames,
            samples_sent=self.sent.samples,
            samples_played=self.samples_played,
            text_sent=self.text_until(self.sent.samples),
            timings=self.report(),
        )

    def report(self) -> Report:
        """The turn's timings so far."""
        return self.timings.report()

    def text_until(self, sample: int) -> str:
        """The text whose audio begins before `sample`; to the word where the provider gave word times."""
        return self._spoken.until(sample)


def _policy(provider: Provider) -> ChunkPolicy:
    target = provider.capabilities.target_segment_chars
    if target is None:
        return DEFAULT
    return replace(DEFAULT, target_chars=target, longest_chars=max(target, DEFAULT.longest_chars))
