"""A provider that feeds many streams at real time from one timer, so that it is not what a load test measures.

Run: `python -m bench.streams KIND SECONDS [SPEED]`. KIND: `pcm` (24 kHz), `mp3` (24 kHz, 64 kbit/s), `mp3_44k`. SPEED:
how many times faster than real time chunks of 4 KiB come (default 1); 0 is as fast as they are read, and so is every
stream whose text says `at once`. `GET /sent` tells how many bytes the kernel has taken, of all streams together;
`GET /lost` when the connection of a stream ended last, on the monotonic clock.
"""

import asyncio
import signal
import socket
import sys
import time
from itertools import cycle, islice
from pathlib import Path
from typing import ClassVar, cast

import uvloop

from relay.testing.audio import speech_like

CHUNK_BYTES = 4096
TICK_S = 0.005
# Left to itself the kernel grows it to megabytes on loopback, and what stands there would be counted as sent.
SEND_BUFFER_BYTES = 64 * 1024
GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "mp3"
# kind: content type, bytes of a second
KINDS = {"pcm": ("audio/pcm", 48_000), "mp3": ("audio/mpeg", 8_000), "mp3_44k": ("audio/mpeg", 16_000)}
MP3_FILES = {"mp3": "bare_24k.mp3", "mp3_44k": "joint_44k.mp3"}


def audio(kind: str, seconds: float) -> list[bytes]:
    """The HTTP chunks of one reply. An MP3 is repeated: a decoder does not mind a join between whole frames."""
    _, rate = KINDS[kind]
    source = speech_like(5.0) if kind == "pcm" else (GOLDEN / MP3_FILES[kind]).read_bytes()
    total = int(rate * seconds)
    data = bytes(islice(cycle(source), total)) if len(source) < total else source[:total]
    pieces = [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]
    return [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]


class Link(asyncio.Protocol):
    """One connection: answers each request with the audio, at its pace and no faster than it is read."""

    # Of those that are closed.
    sent_before_bytes = 0
    # When a stream lost its connection last.
    lost_s = 0.0
    open: ClassVar[set["Link"]] = set()

    def __init__(self, kind: str, chunks: list[bytes], every_s: float, due: dict["Link", None]) -> None:
        self._head = (
            b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ntransfer-encoding: chunked\r\n\r\n" % KINDS[kind][0].encode()
        )
        self._chunks, self._usual_s, self._every_s, self._due = chunks, every_s, every_s, due
        self._received = bytearray()
        self._paused = False
        self._written_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self.open.add(self)

    @property
    def sent_bytes(self) -> int:
        return self._written_bytes - self._transport.get_write_buffer_size()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = bytes(self._received).partition(b"\r\n\r\n")
        if not end:
            return
        if head.startswith(b"GET /sent "):
            self._tell(b"%d" % (self.sent_before_bytes + sum(link.sent_bytes for link in self.open)))
            return
        if head.startswith(b"GET /lost "):
            self._tell(b"%.9f" % self.lost_s)
            return
        if not head.startswith(b"POST "):  # a relay that keeps its connections warm
            del self._received[: len(head) + 4]
            self._transport.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            return
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        if len(body) < length:
            return
        del self._received[: len(head) + 4 + length]
        self._every_s = 0.0 if b"at once" in body else self._usual_s
        self._transport.write(self._head)
        self._next, self._start_s = 0, time.monotonic()
        self._due[self] = None
        self.feed(self._start_s)

    def feed(self, now_s: float) -> None:
        """Writes what is due by now: by the clock's count, so that lateness never adds up."""
        while self._next < len(self._chunks) and now_s >= self._start_s + self._next * self._every_s:
            if self._paused:
                return
            self._transport.write(self._chunks[self._next])
            self._written_bytes += len(self._chunks[self._next])
            self._next += 1
        if self._next == len(self._chunks):
            self._transport.write(b"0\r\n\r\n")
            self._due.pop(self, None)

    def _tell(self, body: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        self._transport.close()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if not self._every_s and self in self._due:
            self.feed(time.monotonic())

    def connection_lost(self, error: Exception | None) -> None:
        Link.sent_before_bytes += self.sent_bytes
        if self in self._due:
            Link.lost_s = time.monotonic()
        self.open.discard(self)
        self._due.pop(self, None)


async def main(kind: str, seconds: float, speed: float = 1.0) -> None:
    chunks = audio(kind, seconds)
    every_s = 0.0 if not speed else CHUNK_BYTES / KINDS[kind][1] / speed
    due: dict[Link, None] = {}
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)  # what is accepted inherits it
    await asyncio.get_running_loop().create_server(
        lambda: Link(kind, chunks, every_s, due), sock=listener, backlog=4096
    )
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    while True:
        await asyncio.sleep(TICK_S)
        now_s = time.monotonic()
        for link in list(due):
            link.feed(now_s)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvloop.run(main(sys.argv[1], *map(float, sys.argv[2:])))
