"""A relay that does as it is told: a WebSocket server on loopback that plays one scripted exchange of `relay.v1`."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

# What a step of a script may take. Far more than loopback needs; a script that hangs fails instead of hanging the run.
STEP_S = 5.0

READY: dict[str, Any] = {
    "type": "session.ready",
    "session_id": "s1",
    "protocol": "relay.v1",
    "limits": {"max_message_bytes": 262144, "max_turn_chars": 40000, "max_open_turns": 8, "idle_timeout_s": 300},
    "defaults": {"provider": "fake", "voice": "a", "audio": {"sample_rate": 8000}, "pacing": {"mode": "fast"}},
}
TIMINGS: dict[str, Any] = {"first_byte": 12.0, "first_frame": 12.5, "ttfa_ms": 12.5, "connection_reused": None}
# 20 ms of 8000 Hz pcm_s16le mono.
AUDIO: dict[str, Any] = {
    "encoding": "pcm_s16le",
    "sample_rate": 8000,
    "channels": 1,
    "frame_ms": 20,
    "frame_samples": 160,
    "frame_bytes": 320,
    "tail": "pad",
    "header": True,
}


def header(pts: int, *, turn_index: int = 0, padding: int = 0, last: bool = False, version: int = 1) -> bytes:
    """The 16 bytes before a frame, packed here anew so that the client's reader is not its own judge."""
    return struct.pack("<BBHIQ", version, last | (padding > 0) << 1, padding, turn_index, pts)


RAMP = struct.pack("<65536h", *range(-32768, 32768))


def samples_of(first: int, count: int) -> bytes:
    """A ramp: every sample tells its own position, so a lost, repeated or moved one is seen."""
    at = first % 65536
    ramps = RAMP if at + count <= 65536 else RAMP * (count // 65536 + 2)
    return ramps[2 * at : 2 * (at + count)]


def frames_of(samples: int, *, turn_index: int = 0) -> Iterator[bytes]:
    """The binary messages of a turn of that many samples, in frames of 160, the last one padded with zeros."""
    for pts in range(0, samples, 160):
        speech = min(160, samples - pts)
        padding = 160 - speech
        last = pts + 160 >= samples
        head = header(pts, turn_index=turn_index, padding=padding, last=last)
        yield head + samples_of(pts, speech) + bytes(2 * padding)


async def until(condition: Callable[[], bool]) -> None:
    """Gives the other tasks turns until it holds, for what no event tells."""
    async with asyncio.timeout(STEP_S):
        while not condition():
            await asyncio.sleep(0)


class Peer:
    """The relay's end of one session, with the words a script needs."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self._opened = 0

    async def expect(self, kind: str) -> dict[str, Any]:
        """The client's next message, which has to be of that type."""
        async with asyncio.timeout(STEP_S):
            message = json.loads(await self.connection.recv())
        assert message["type"] == kind, f"expected {kind}, got {message['type']}"
        assert isinstance(message, dict)
        return message

    async def tell(self, kind: str, **fields: Any) -> None:
        async with asyncio.timeout(STEP_S):
            await self.connection.send(json.dumps({"type": kind, **fields}))

    async def send(self, *messages: bytes) -> None:
        async with asyncio.timeout(STEP_S):
            for message in messages:
                await self.connection.send(message)

    async def started(self, turn_id: str, **audio: Any) -> None:
        await self.tell(
            "turn.started",
            turn_id=turn_id,
            turn_index=self._opened,
            provider="fake",
            voice="a",
            audio={**AUDIO, **audio},
        )
        self._opened += 1

    async def speaking(self, turn_id: str) -> None:
        await self.tell("audio.started", turn_id=turn_id, ttfa_ms=12.5)

    async def done(self, turn_id: str, samples: int, /, **fields: Any) -> None:
        frames = -(-samples // 160)
        counts = {"frames": frames, "samples": samples, "padding_samples": frames * 160 - samples}
        rest = {"duration_ms": samples / 8, "text_chars": 5, "timings": TIMINGS, "provider_ids": {"request_id": "r1"}}
        await self.tell("turn.done", turn_id=turn_id, **{**counts, **rest, **fields})

    async def cancelled(self, turn_id: str, frames: int) -> None:
        sent = {"frames": frames, "samples_sent": frames * 160, "text_sent": "Hel"}
        await self.tell("turn.cancelled", turn_id=turn_id, **sent, timings=TIMINGS)

    async def speak(self, turn_id: str, samples: int, *, turn_index: int = 0) -> None:
        """A whole turn whose request has been read."""
        await self.started(turn_id)
        await self.speaking(turn_id)
        await self.send(*frames_of(samples, turn_index=turn_index))
        await self.done(turn_id, samples)

    def narrow(self) -> None:
        """So that it is the client that bounds what is under way, and not a few MB of the system's."""
        wire: socket.socket = self.connection.transport.get_extra_info("socket")
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)

    async def closed(self) -> None:
        """Waits until the client has closed the session."""
        async with asyncio.timeout(STEP_S):
            try:
                while True:
                    await self.connection.recv()
            except ConnectionClosed:
                return


Script = Callable[[Peer], Awaitable[None]]
Refusal = Callable[[ServerConnection, Request], Response | None]


@asynccontextmanager
async def scripted_relay(*scripts: Script, refusal: Refusal | None = None, ready: bool = True) -> AsyncIterator[str]:
    """The URL of a relay that plays the n-th script in the n-th session. What a script asserts fails the test."""
    failures: list[BaseException] = []
    waiting = list(scripts)
    finished: list[asyncio.Event] = [asyncio.Event() for _ in scripts]

    async def handle(connection: ServerConnection) -> None:
        script = waiting.pop(0)
        try:
            if ready:
                await connection.send(json.dumps(READY))
            await script(Peer(connection))
        except BaseException as failure:
            failures.append(failure)
            raise
        finally:
            finished[len(scripts) - len(waiting) - 1].set()

    async with serve(
        handle,
        "127.0.0.1",
        0,
        compression=None,
        process_request=refusal,
        select_subprotocol=lambda _, offered: Subprotocol("relay.v1") if "relay.v1" in offered else None,
        close_timeout=0.5,
        ping_interval=None,
    ) as server:
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"ws://127.0.0.1:{port}/v1/stream"
            async with asyncio.timeout(STEP_S):
                for event in finished:
                    await event.wait()
        except BaseException:
            # A script that only lost its client is the consequence, not the cause.
            for failure in failures:
                if not isinstance(failure, ConnectionClosed):
                    raise failure from None
            raise
    for failure in failures:
        raise failure
