"""One reply of a worker process: a bounded place between the worker, which is never made to wait, and the listener.

This file does not know processes: whoever reads the worker's messages calls `head`, `put`, `end` and `fail`.
"""

import asyncio
import time
from collections import deque
from dataclasses import replace

from relay.core.timings import Stage, Timings
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base.http import Piece, ReplyFacts
from relay.providers.base.provider import LocalRequest

# What a reply holds for a listener that does not take it: the worker belongs to everybody, so its output is taken at
# once, however slow the listener. Of 22,050 Hz s16 it is 95 s. The longest segments of 200 characters, measured with
# eSpeak NG 1.52.0: English prose 0.5 MB at 175 words a minute, 1.0 MB at 80, 3.6 MB at 80 with the widest word gap;
# Chinese 3.1 MB at 175. Only text that is spelled out slowly goes over it.
MAX_HELD_BYTES = 4 * 1024 * 1024


def renamed(error: ProviderError, provider: str) -> ProviderError:
    """The same error of the same kind, of the instance that asked: a worker serves all instances of its provider."""
    words = error.message
    if words.startswith(error.provider.name):
        words = provider + words.removeprefix(error.provider.name)
    fault = replace(error.provider, name=provider)
    return type(error)(error.code, words, provider=fault, retryable=error.retryable, retry_after_s=error.retry_after_s)


class LocalReply:
    """A `base.Reply`. Iterate once; what arrived before a fault comes before the fault."""

    content_type: str | None = None

    def __init__(
        self, request: LocalRequest, provider: str, timings: Timings, max_held_bytes: int = MAX_HELD_BYTES
    ) -> None:
        self.facts = ReplyFacts(source=request.source)
        self._provider = provider
        self._timings = timings
        self._max_held_bytes = max_held_bytes
        self.piece_came_s: float | None = None
        # Bounded by `max_held_bytes`: the pieces, what each counts (a word: its message), and when it came.
        self._pieces: deque[tuple[Piece, int, float]] = deque()
        self._held_bytes = 0
        self._error: ProviderError | None = None
        self._ended = False
        self._news = asyncio.Event()
        self.begun = False

    # ── the listener's side ──────────────────────────────────────────────────

    async def first(self) -> None:
        """Returns when a piece is there, or the end of an empty reply; raises the fault that came instead.

        Waits no longer than the worker's deadline, which ends every reply.
        """
        await self._news.wait()
        if not self._pieces and self._error is not None:
            raise self._error

    @property
    def complete(self) -> bool:
        """The worker has made all."""
        return self._ended

    def __aiter__(self) -> "LocalReply":
        return self

    async def __anext__(self) -> Piece:
        while not self._pieces:
            if self._error is not None:
                error, self._error, self._ended = self._error, None, True
                raise error
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        piece, size_bytes, self.piece_came_s = self._pieces.popleft()
        self._held_bytes -= size_bytes
        return piece

    def refuse(self, body: bytes) -> ProviderError | None:
        """A worker says what is wrong in a message of its own kind, never in the audio."""
        return None

    # ── the worker's side ────────────────────────────────────────────────────

    def heard(self) -> None:
        """A message about the request has come."""
        self._timings.mark(Stage.RESPONSE_HEADERS, time.monotonic())

    def head(self, sample_rate_hz: int) -> None:
        """The worker's own word about its audio overrides what was expected of it."""
        source = self.facts.source
        assert source.pcm is not None, "a worker's audio is raw PCM, whose shape the request gives"
        pcm = replace(source.pcm, sample_rate_hz=sample_rate_hz)
        self.facts = replace(self.facts, source=replace(source, pcm=pcm))

    def put(self, piece: Piece, size_bytes: int) -> bool:
        """Keeps a piece for the listener. False: there is no room; the reply has failed and takes nothing more."""
        if self._held_bytes + size_bytes > self._max_held_bytes:
            self.fail(
                ProviderError(
                    Code.TEXT_TOO_LONG,
                    f"{self._provider} made more audio of one segment than the {self._max_held_bytes} bytes that are"
                    " held for a listener; send shorter sentences, or have them spoken faster",
                    provider=ProviderFault(name=self._provider),
                )
            )
            return False
        now_s = time.monotonic()
        if isinstance(piece, bytes):
            self._timings.mark(Stage.FIRST_BYTE, now_s)
        self.begun = True
        self._held_bytes += size_bytes
        self._pieces.append((piece, size_bytes, now_s))
        self._news.set()
        return True

    def end(self) -> None:
        """The reply is complete."""
        self._ended = True
        self._news.set()

    def fail(self, error: ProviderError) -> None:
        """The reply will never be complete."""
        self._error = error if error.provider.name == self._provider else renamed(error, self._provider)
        self._news.set()
