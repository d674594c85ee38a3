"""One run of a job: its text through the engine, its samples onto the disk, from where an earlier run came to its end.

What is whole is what stands before the last segment that has begun: those texts and their samples are never spoken
again, however often the process dies.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from relay.core.effects import OpenTurn
from relay.core.events import AudioStarted, Event, SegmentStarted, TurnRequest, TurnStarted
from relay.core.formats import NATIVE, AudioFormat
from relay.core.job import Job, Progress
from relay.core.playout import Run
from relay.engine.engine import Engine
from relay.engine.one_shot import OneShot
from relay.engine.turn import TurnSettings
from relay.jobs.files import JobFiles

# Text given ahead of what is spoken: some sentences, so that the next request is ready.
AHEAD_CHARS, PIECE_CHARS = 2000, 2000
# Samples that wait to be written: a second of 24 kHz.
WRITE_BYTES = 48_000


class LeaseLostError(Exception):
    """The job was cancelled, or is another worker's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A run that came to the end of the text. `latency_ms`: to the first audio of this run."""

    progress: Progress
    audio: AudioFormat
    provider: str
    voice: str
    latency_ms: float | None


class JobRun:
    """Speaks a job. `keep` is given each new progress, and says whether the job is still this worker's.
    `pace`: all runs of a process have the same one."""

    def __init__(
        self,
        engine: Engine,
        files: JobFiles,
        job: Job,
        max_chars: int,
        keep: Callable[[Progress], Awaitable[bool]],
        pace: asyncio.Lock,
    ) -> None:
        self._engine = engine
        self._pace = pace
        self._files = files
        self._job = job
        self._max_chars = max_chars
        self._keep = keep
        self._begun = self.progress = job.progress
        self._audio: AudioFormat | None = None
        # What is not on the disk yet.
        self._unwritten = bytearray()
        self._written_bytes = 0
        # Progress that counts once its samples are on the disk, the oldest first; and the texts of segments so far.
        self._coming: deque[Progress] = deque()
        self._chars = 0
        self._latency_ms: float | None = None

    async def speak(self) -> Spoken:
        """Raises RelayError, OSError, or LeaseLostError; `progress` is then how far it came."""
        job = self._job
        if not await asyncio.to_thread(self._files.take_over, job, self._begun_bytes()):
            self._begun = self.progress = Progress()  # the folder was emptied: all of it is spoken again
        turn = _resumed(job.request.turn, self._begun)
        one_shot = OneShot(
            self._engine,
            turn,
            defaults=self._engine.defaults,
            limits=replace(self._engine.limits.session, max_turn_chars=self._max_chars),
            check=self._settings,
        )
        rest = _pieces(job.request.text, self._begun.chars)
        async with one_shot, aclosing(one_shot.contents()) as contents:
            record = one_shot.record
            _give(one_shot, rest)
            async for item in contents:
                await self._take(item)
                _give(one_shot, rest)
                # Whatever listens goes first: of all jobs of the process, one works in a round of the loop.
                async with self._pace:
                    await asyncio.sleep(0)
            await self._write()
        assert self._audio is not None, "a turn that has ended has its format"
        self.progress = Progress(
            segments=self.progress.segments + (1 if self._chars else 0),
            chars=job.chars,
            samples=self._begun.samples + record.sent.samples,
            sample_rate_hz=self._audio.sample_rate_hz,
        )
        return Spoken(
            progress=self.progress,
            audio=self._audio,
            provider=record.provider,
            voice=record.voice,
            latency_ms=self._latency_ms,
        )

    def _settings(self, opened: OpenTurn) -> TurnSettings:
        return replace(self._engine.settings(opened), background=True)

    async def _take(self, item: Run | Event) -> None:
        match item:
            case TurnStarted(frame_format=frame_format):
                self._audio = frame_format.audio
            case AudioStarted(ttfa_ms=ttfa_ms):
                self._latency_ms = ttfa_ms
            case SegmentStarted(text=text, start_sample=start_sample):
                self._segment(text, start_sample)
                await self._write()
            case Run(payload=payload):
                self._unwritten += payload
                if len(self._unwritten) >= WRITE_BYTES:
                    await self._write()
            case _:
                pass

    def _segment(self, text: str, start_sample: int) -> None:
        assert self._audio is not None, "a turn has its format before its audio"
        before, self._chars = self._chars, self._chars + len(text)
        if before:
            last = self._coming[-1] if self._coming else self.progress
            self._coming.append(
                Progress(
                    segments=last.segments + 1,
                    chars=self._begun.chars + before,
                    samples=self._begun.samples + start_sample,
                    sample_rate_hz=self._audio.sample_rate_hz,
                )
            )

    async def _write(self) -> None:
        """Puts what has come on the disk, and then says so."""
        if not self._unwritten or self._audio is None:
            return
        data, self._unwritten = bytes(self._unwritten), bytearray()
        start = self._begun_bytes() + self._written_bytes
        try:
            await asyncio.to_thread(self._files.append, self._job, start, data)
        except FileNotFoundError:
            raise LeaseLostError from None
        self._written_bytes += len(data)
        whole = (start + len(data)) // self._audio.block_align
        while self._coming and self._coming[0].samples <= whole:
            self.progress = self._coming.popleft()
        if not await self._keep(self.progress):
            raise LeaseLostError

    def _begun_bytes(self) -> int:
        return self._begun.samples * _block_align(self._engine, self._job)


def _pieces(text: str, begin: int) -> deque[str]:
    """What is given of a text at a time; the last one is empty, for its end."""
    return deque([*(text[at : at + PIECE_CHARS] for at in range(begin, len(text), PIECE_CHARS)), ""])


def _give(one_shot: OneShot, rest: deque[str]) -> None:
    """Keeps the turn in text, and says when there is no more."""
    while rest and one_shot.record.pending_chars < AHEAD_CHARS:
        if piece := rest.popleft():
            one_shot.append(piece)
        else:
            one_shot.end_input()


def _resumed(turn: TurnRequest, begun: Progress) -> TurnRequest:
    """The turn as it is spoken: as fast as it comes, frames for nobody; behind an earlier run at that run's rate, and
    without trimming, which is for the start of the whole."""
    audio = {**turn.audio, "tail": "short", "header": False}
    if begun.samples:
        audio.pop("max_leading_silence_ms", None)
        if audio.get("sample_rate") == NATIVE:
            audio["sample_rate"] = begun.sample_rate_hz
    return replace(turn, audio=audio, pacing={"mode": "fast"}, window_ms=None)


def _block_align(engine: Engine, job: Job) -> int:
    audio = replace(engine.defaults.audio, **job.request.turn.audio)
    return audio.encoding.sample_width * audio.channels
