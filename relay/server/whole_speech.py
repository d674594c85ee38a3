"""A reply over HTTP that leaves when all of it is there, so that every failure is a status and its length is known."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from relay.codecs.containers import ContainerEncoder, Raw
from relay.core.events import Event
from relay.core.playout import Run
from relay.errors import ClientError, Code
from relay.protocols.base import SpeechReply

# Eleven minutes of 24 kHz int16, which is more text than any API takes in one request; longer speech is streamed.
MAX_WHOLE_BYTES = 32 * 1024 * 1024
# What is made of held audio before others get their turn of the loop: base64 of it takes less than a millisecond.
SLICE_BYTES = 256 * 1024


async def whole_body(
    reply: SpeechReply,
    container: ContainerEncoder,
    before: Sequence[Event],
    first: Run | None,
    contents: AsyncIterator[Run | Event],
) -> list[bytes]:
    """The body's chunks. `before` and `first` are what came before the rest of the turn, `contents`. Raises the turn's
    error, and ClientError for more than MAX_WHOLE_BYTES of audio."""
    held = _Held(container)
    for event in before:
        held.tell(event)
    if first is not None:
        await held.feed(first.payload)
    async for item in contents:
        if isinstance(item, Run):
            await held.feed(item.payload)
        else:
            held.tell(item)
    return await held.packed(reply)


class _Held:
    """Audio in its container and events, in order. A header that states sizes is written last."""

    def __init__(self, container: ContainerEncoder) -> None:
        self._container = container
        self._is_plain = isinstance(container, Raw)
        self._begun = b"" if self._is_plain else container.begin(None)
        self._items: deque[bytes | Event] = deque()
        self._pcm_bytes = 0
        # Bounded by MAX_WHOLE_BYTES.
        self._bytes = 0

    def tell(self, event: Event) -> None:
        self._items.append(event)

    async def feed(self, pcm: bytes) -> None:
        """In the container's own slices, with the loop's other work in between."""
        slice_bytes = self._container.slice_bytes or len(pcm)
        for at in range(0, len(pcm), slice_bytes):
            if at:
                await asyncio.sleep(0)
            data = self._container.feed(pcm[at : at + slice_bytes])
            self._pcm_bytes += len(pcm[at : at + slice_bytes])
            self._bytes += len(data)
            if self._bytes > MAX_WHOLE_BYTES:
                reason = f"the whole reply has more than {MAX_WHOLE_BYTES} bytes of audio; ask for it as a stream"
                raise ClientError(Code.TEXT_TOO_LONG, reason)
            if data:
                self._items.append(data)

    async def packed(self, reply: SpeechReply) -> list[bytes]:
        """Takes what is held; the last item is the turn's end."""
        begun = self._container.begin(self._pcm_bytes) if self._is_plain else self._begun
        end = self._items.pop() if self._items else b""
        self._items.append(self._container.flush())
        self._items.append(end)
        chunks = [reply.audio(begun)]
        worked = 0
        while self._items:
            item = self._items.popleft()
            if isinstance(item, bytes):
                worked += len(item)
                chunks.append(reply.audio(item))
            else:
                chunks.append(reply.event(item))
            if worked >= SLICE_BYTES:
                worked = 0
                await asyncio.sleep(0)
        return [chunk for chunk in chunks if chunk]
