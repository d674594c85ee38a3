"""A provider and a driver without I/O: replies are lists of pieces, errors are raised where the list says."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.core.timings import Stage, Timings
from relay.errors import ProviderError
from relay.providers.base.http import Piece, ReplyFacts
from relay.providers.base.provider import Ahead, Capabilities, LocalRequest, Origin, Speech, SpeechRequest, Voice

PCM = SourceFormat(container=Container.RAW, pcm=AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000))


@dataclass
class FakeReply:
    """Plays `pieces`: bytes and word times as they are, an exception by raising it, a function by awaiting it."""

    pieces: Sequence[Any]
    facts: ReplyFacts = field(default_factory=lambda: ReplyFacts(source=PCM, ids={"request_id": "r1"}))
    content_type: str | None = "audio/pcm"
    refusal: ProviderError | None = None

    async def __aiter__(self) -> AsyncIterator[Piece]:
        for piece in self.pieces:
            if isinstance(piece, BaseException):
                raise piece
            if callable(piece):
                await piece()
            else:
                yield piece

    def refuse(self, body: bytes) -> ProviderError | None:
        return self.refusal


@dataclass
class FakeDriver:
    """Gives the reply that `choose` makes for a segment's text. Counts what is open."""

    choose: Callable[[str], FakeReply]
    opened: list[str] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0

    @asynccontextmanager
    async def open(self, upstream: Any, timings: Timings) -> AsyncIterator[FakeReply]:
        text = upstream.job["text"]
        self.opened.append(text)
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            timings.mark(Stage.FIRST_BYTE, 0.0)
            yield self.choose(text)
        finally:
            self.open_now -= 1


class FakeProvider:
    name = "fake"
    capabilities = Capabilities(formats=(Container.RAW,), max_segment_chars=60)

    def resolve(self, wanted: SpeechRequest) -> Speech:
        return Speech(voice=wanted.voice or "v")

    def request(self, speech: Speech, text: str) -> LocalRequest:
        return LocalRequest(module="none", job={"text": text}, source=PCM)

    def voices(self) -> list[Voice]:
        return []

    def warm(self, wanted: SpeechRequest) -> list[Ahead]:
        return []

    def check(self) -> Origin:
        return Origin(url="http://127.0.0.1:9")
