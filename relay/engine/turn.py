"""One turn: its text becomes segments, their audio goes to the speaker, in order."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from relay.core.events import FlushDone, SegmentStarted, Word, WordsTimed
from relay.core.formats import NATIVE, AudioFormat, AudioRequest, FrameFormat
from relay.core.record import TurnRecord
from relay.core.text.spoken import WordPlaces
from relay.core.timings import Stage, Timings
from relay.engine.audio import TurnAudio, decoded
from relay.engine.candidates import Candidate, Candidates, chunker_for
from relay.engine.notices import Notices
from relay.engine.rewritten import Rewriting, as_given, cut_text, streamed_text
from relay.engine.segments import Segments
from relay.engine.speaker import Position, Speaker
from relay.engine.streaming import Streaming
from relay.engine.text import Flushes, PassedText, StreamedText, Taken, TurnText
from relay.engine.too_long import DEFAULT_BOUND, AudioBound, ReplyLength
from relay.engine.trimming import Placed, Unplaced
from relay.engine.untraced import UNTRACED
from relay.errors import InternalError, ProviderError, RelayError, untrace
from relay.providers.base.dialogue import DialogueDriver
from relay.providers.base.http import WordTime
from relay.providers.base.provider import Driver, Reply

log = logging.getLogger(__name__)

# What `turn.started` says of a native turn that ended before any audio told its rate.
UNKNOWN_NATIVE_RATE_HZ = 24000


class Drivers(Driver, DialogueDriver, Protocol):
    """The I/O of every kind of provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSettings:
    """What was decided about a turn's synthesis when it was opened."""

    audio: AudioRequest
    # Who speaks it, and who goes on if that one fails, in order.
    candidates: tuple[Candidate, ...]
    drivers: Drivers
    # None: all text is spoken as it was given.
    rewriting: Rewriting | None = None
    # Nobody listens: what a listener waits for goes before it, at slots and at this machine's voices.
    background: bool = False
    audio_bound: AudioBound = DEFAULT_BOUND


class _Spoken(Protocol):
    """A reply that is open, and the text that it speaks."""

    # Of headerless audio, where the operator says it.
    shape: AudioFormat | None
    request: Timings
    passed: PassedText
    places: WordPlaces | None


class Turn:
    """Runs as one task, which its owner awaits and may cancel at any instant: cancelling closes the provider's side.

    Its request is under way as soon as there is text; its audio is fed when the turns before it have been.
    """

    def __init__(
        self,
        settings: TurnSettings,
        record: TurnRecord,
        speaker: Speaker,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.record = record
        self.turn_id = record.turn_id
        self._settings = settings
        self._speaker = speaker
        self._clock = clock
        self._notices = Notices(record, speaker, clock=clock)
        self._position = Position(speaker, record.turn_id)
        self._candidates = Candidates(settings.candidates, record, self._notices)
        self._taken = Taken(self.turn_id, speaker)
        self._text: TurnText | StreamedText
        streams = self._candidates.current.speech.streaming_text
        self._text = streamed_text(self._taken, settings.rewriting) if streams else self._cut_text()
        self._flushes = Flushes()
        self._spoken_chars = 0
        # While it runs.
        self._segments: Segments | None = None
        self._reply: Reply | None = None
        self._audio: TurnAudio | None = None
        trims = settings.audio.max_leading_silence_ms is not None
        self._unplaced = Unplaced(record.transcript) if trims else None
        self._fed_samples = 0
        self._last_came_s = 0.0
        if settings.audio.sample_rate != NATIVE:
            self._announce(settings.audio.resolve(settings.audio.sample_rate))

    # What the client says.

    def append(self, text: str) -> None:
        self.record.timings.text_came(self._clock())
        self._text.append(text)

    def flush(self, flush_id: str | None = None) -> None:
        self._flushes.add(self._text.chars, flush_id)
        self._text.flush()
        self._answer_flushes()

    def end_input(self) -> None:
        self._text.end_input()

    def abort(self) -> None:
        """Ends the provider's work on what is being spoken at once; for a turn that its owner then cancels."""
        abort = getattr(self._reply, "abort", None)
        if abort is not None:
            abort()

    @property
    def waits_for_text(self) -> bool:
        """Nothing is being spoken, and nothing will be before the client gives more text or ends it."""
        return self._text.waiting and not (self._segments and self._segments.open)

    # What is made of it.

    async def run(self) -> None:
        """Speaks until all text is spoken or something fails; then the turn's end stands behind its audio."""
        error: RelayError | None = None
        try:
            with UNTRACED:
                error = await self._speak()
        except RelayError as failure:
            untrace(failure)
            error = failure
        except Exception:
            log.exception("turn failed by a bug", extra={"provider": self.record.provider})
            error = InternalError()
        finally:
            self._segments = self._reply = None
        if error is None:
            # A turn without audio still says what its format would have been.
            self._announce_native(UNKNOWN_NATIVE_RATE_HZ)
        if self._audio is not None:
            self._feed(self._audio.flush())
        if self._fed_samples:
            self.record.timings.frame_completed(self._last_came_s)
        if error is None:
            self._spoken_chars = self._text.chars
            self._answer_flushes()
        self._speaker.end(self.turn_id, error)

    async def _speak(self) -> RelayError | None:
        """Raises RelayError, or returns the one that cut a segment off in its middle."""
        if isinstance(given := self._text, StreamedText):
            if await self._stream(given):
                return None
            self._text = self._cut_text()
            given.pour(self._text)
        text = self._text
        assert isinstance(text, TurnText), "what is not streamed is cut"
        segments = self._segments = Segments(
            *(text, self._candidates, self._settings.drivers, self._notices, self._position, self.record.timings),
            background=self._settings.background,
            clock=self._clock,
        )
        async with segments:
            while (segment := await segments.next()) is not None:
                async with segment:
                    if segment.reply is None:
                        await self._speaker.room(self.turn_id)
                        self._announce_native(UNKNOWN_NATIVE_RATE_HZ)
                        self._feed(b"", [self._begin(segment.text)])
                    else:
                        try:
                            await self._carry(segment.reply, segment)
                        except ProviderError as error:
                            self._settle()
                            segments.failed(segment, error)
                            continue
                self._spoken_chars += len(segment.text)
                self._answer_flushes()
                await asyncio.sleep(0)  # text that has come meanwhile is taken first
                if self.waits_for_text:
                    self._speaker.idle(self.turn_id)
        return segments.truncated

    async def _stream(self, given: StreamedText) -> bool:
        """Whether all text was spoken in a conversation; else it is to be spoken in segments, all of it."""
        streaming = Streaming(
            *(given, self._candidates, self._settings.drivers, self._notices, self._position, self.record.timings),
            clock=self._clock,
        )
        while (provider := streaming.provider()) is not None:
            if not await given.beginning():
                await self._pass_over(given)
                return True
            passed = None
            try:
                async with streaming.conversation(provider) as spoken:
                    passed = spoken.passed
                    await self._carry(spoken.reply, spoken)
            except ProviderError as error:
                streaming.failed(error, passed)
            else:
                return True
        return False

    async def _pass_over(self, given: StreamedText) -> None:
        """The whole text has nothing in it to be spoken."""
        await self._speaker.room(self.turn_id)
        self._announce_native(UNKNOWN_NATIVE_RATE_HZ)
        for text in await given.rest():
            self._feed(b"", [self._begin(text)])

    async def _carry(self, reply: Reply, spoken: _Spoken) -> None:
        """Carries a reply's audio to the speaker, when the turn may feed. Raises ProviderError after the good audio."""
        record, speaker, request, passed = self.record, self._speaker, spoken.request, spoken.passed
        if not speaker.wants(self.turn_id):
            await speaker.room(self.turn_id)
            if record.sent.first_frame_s is None:
                record.timings.waited_until_s = self._clock()
        self._reply = reply
        record.provider_ids.update(reply.facts.ids)
        start: int | None = None
        words: list[WordTime] = []
        timings = record.timings
        timings.margin.text_came(request.instants_s[Stage.TEXT_READY])
        length = ReplyLength(record.provider, self._settings.audio_bound, lambda: passed.chars)
        blocks = decoded(reply, record.provider, request, shape=spoken.shape, clock=self._clock)
        async with aclosing(blocks) as pieces:
            async for piece in pieces:
                if isinstance(piece, WordTime):
                    words.append(piece)
                    continue
                if not piece:
                    continue
                for block in piece:
                    length.add(len(block.samples), block.sample_rate_hz)
                if start is None:
                    request.mark(Stage.FIRST_SAMPLE, self._clock())
                    self._announce_native(piece[0].sample_rate_hz)
                    assert self._audio is not None, "it was announced"
                    start, request.index = self._audio.taken, len(record.transcript)
                audio = self._audio
                assert audio is not None, "it was announced"
                events: list[Placed] = [self._begin(text) for text in passed.audio_came()]
                if words:
                    events.append(self._timed(words, start, spoken.places))
                    words = []
                self._last_came_s = request.came_s
                held_s = speaker.held_s()
                self._feed(audio.feed(piece), events)
                request.audio_ms = audio.ms_of(record.position + audio.trimmed - start)
                if audio.is_settled:
                    timings.margin.audio_came(audio.ms_of(record.position) / 1000, held_s, self._clock())
                # What can leave has left by now; all else can wait for it.
                if timings.leading_silence_ms is None:
                    audio.listen(piece)
                    timings.leading_silence_ms = audio.leading_silence_ms
                if not speaker.wants(self.turn_id):
                    del piece  # it is not held while the listener is waited for
                    await speaker.room(self.turn_id)
        assert start is not None, "a reply without audio is an error"
        rest: list[Placed] = [self._timed(words, start, spoken.places)] if words else []
        self._feed(b"", [*rest, *[self._begin(text) for text in passed.rest()]])
        record.transcript.complete()
        # Some come at the end.
        record.provider_ids.update(reply.facts.ids)
        timings.reply_ended(request)

    def _feed(self, pcm: bytes, events: Sequence[Placed] = ()) -> None:
        """Everything that is told of the audio is told before it leaves."""
        record, audio = self.record, self._audio
        frame_format = record.frame_format
        assert audio is not None and frame_format is not None, "audio has a format"
        if self._unplaced is not None:
            events = self._unplaced.told(events, audio)
            if audio.is_settled:
                self._unplaced = None
        if self._fed_samples < frame_format.frame_samples:
            self._fed_samples += len(pcm) // frame_format.audio.block_align
            if self._fed_samples >= frame_format.frame_samples:
                record.timings.frame_completed(self._last_came_s)
        record.position = audio.position
        self._speaker.feed(self.turn_id, pcm, events)

    def _settle(self) -> None:
        """What comes next counts on knowing where it stands."""
        if self._audio is not None and self._audio.taken and not self._audio.is_settled:
            self._feed(self._audio.settle())

    def _announce_native(self, rate_hz: int) -> None:
        """Of a turn at the provider's own rate the format is known only now."""
        if self._audio is None:
            self._announce(self._settings.audio.resolve(rate_hz))

    def _announce(self, frame_format: FrameFormat) -> None:
        self._audio = TurnAudio(frame_format, self._settings.audio)
        self._speaker.set_format(self.turn_id, frame_format)

    def _answer_flushes(self) -> None:
        answered = self._flushes.spoken(self._spoken_chars)
        if answered:
            self._settle()
        for flush_id in answered:
            event = FlushDone(turn_id=self.turn_id, flush_id=flush_id, end_sample=self.record.position)
            self.record.open_flushes -= 1
            self._speaker.mark(self.turn_id, event, behind=True)

    def _begin(self, text: str) -> SegmentStarted:
        record = self.record
        position, index = record.position, len(record.transcript)
        record.transcript.begin(text, position, record.sent.samples)
        return SegmentStarted(turn_id=self.turn_id, index=index, text=text, start_sample=position)

    def _timed(self, words: list[WordTime], start: int, places: WordPlaces | None) -> WordsTimed:
        """Times within a reply, whose audio begins at the sample `start`, -> samples of the turn."""
        assert self.record.frame_format is not None and self._audio is not None
        rate_hz = self.record.frame_format.audio.sample_rate_hz
        start -= self._audio.trimmed
        timed = tuple(
            Word(word.text, max(0, start + round(word.start_s * rate_hz)), max(0, start + round(word.end_s * rate_hz)))
            for word in (words if places is None else as_given(words, places))
        )
        self.record.transcript.time(timed)
        return WordsTimed(turn_id=self.turn_id, words=timed)

    def _cut_text(self) -> TurnText:
        """Text for segments that every candidate takes, as long as who speaks now likes them."""
        chunker = chunker_for(self._settings.candidates, self._candidates.current.provider)
        return cut_text(chunker, self._taken, self._settings.rewriting, clock=self._clock)
