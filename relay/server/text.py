"""A turn's text on its way from the client to the segments that are spoken."""

import asyncio
import time
from collections.abc import Callable

from relay.core.chunker import TextChunker


class TurnText:
    """The chunker with a way to wait for it. One task takes; appending never waits."""

    def __init__(
        self,
        chunker: TextChunker,
        *,
        on_taken: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chunker = chunker
        self._on_taken = on_taken
        self._clock = clock
        self._changed = asyncio.Event()
        self.chars = 0

    def append(self, text: str) -> None:
        self.chars += len(text)
        self._chunker.append(text, self._clock())
        self._changed.set()

    def flush(self) -> None:
        self._chunker.flush()
        self._changed.set()

    def end_input(self) -> None:
        self._chunker.end_input()
        self._changed.set()

    async def next(self) -> str | None:
        """The next segment, as soon as one is speakable; None when all text was taken and no more will come.

        The session's idle timeout bounds the wait for a client that sends no text.
        """
        while True:
            self._changed.clear()
            segment = self._chunker.take(self._clock())
            if segment is not None:
                self._on_taken(len(segment))
                return segment
            if self._chunker.exhausted:
                return None
            deadline_s = self._chunker.deadline_s
            delay_s = None if deadline_s is None else max(0.0, deadline_s - self._clock())
            try:
                async with asyncio.timeout(delay_s):
                    await self._changed.wait()
            except TimeoutError:
                continue
