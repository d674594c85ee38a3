"""How much the session keeps for its caller, over all turns: the place where its reader waits.

This file does not know turns or sockets. The bound holds for audio that has left the socket; behind it stand only
websockets' queue (see `handshake.MAX_QUEUE`) and the kernel's socket buffers, then the relay waits.
"""

import asyncio

from relay_client.errors import ProtocolError

__all__ = ["HELD_AUDIO_MS", "Hold"]

# One second rides over a pause of the caller (a slow disk, a busy loop). What is ahead of that is better kept in the
# relay, which drops it at a cancel and slows its provider down.
HELD_AUDIO_MS = 1000
# Events of turns whose time has not come wait until their turn is read. A turn has one segment a sentence and one word
# event a segment, and a session a handful of turns; more than this is a relay gone wrong, not a busy one.
HELD_EVENTS_MAX = 10_000


class Hold:
    """Counts what is held; at `high_water_ms` of audio `room` waits until half of it has been taken."""

    def __init__(self, high_water_ms: int = HELD_AUDIO_MS) -> None:
        if high_water_ms <= 0:
            raise ValueError(f"the audio held for the caller is bounded to {high_water_ms} ms; it must be more than 0")
        self.high_water_ms = high_water_ms
        self.low_water_ms = high_water_ms // 2
        self.held_ms = 0
        self.held_events = 0
        self._lifted = False
        self._has_room = asyncio.Event()
        self._has_room.set()

    def add_audio(self, duration_ms: int) -> None:
        """Never refuses: the frame is here. The next one is not read while `room` waits."""
        self.held_ms += duration_ms
        if self.held_ms >= self.high_water_ms and not self._lifted:
            self._has_room.clear()

    def release_audio(self, duration_ms: int) -> None:
        self.held_ms -= duration_ms
        if self.held_ms <= self.low_water_ms:
            self._has_room.set()

    def add_event(self) -> None:
        """Raises ProtocolError above HELD_EVENTS_MAX. Waiting instead could wait for ever: the caller may be reading
        another turn, whose audio stands behind these events."""
        self.held_events += 1
        if self.held_events > HELD_EVENTS_MAX:
            raise ProtocolError(f"the relay sent more than {HELD_EVENTS_MAX} events ahead of their audio")

    def release_event(self) -> None:
        self.held_events -= 1

    async def room(self) -> None:
        """Returns at once unless the hold is full. Has no timeout of its own: it waits for this program's reader."""
        await self._has_room.wait()

    def lift(self) -> None:
        """From now on nothing waits: the session is closing and what still comes is dropped."""
        self._lifted = True
        self._has_room.set()
