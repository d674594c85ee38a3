"""MINUTES of mixed traffic with faults, as fast as it goes: `python -m bench.soak [MINUTES]`.

Providers cut, stall, refuse and talk nonsense; listeners interrupt, vanish and stop reading. Every frame is checked
sample for sample against what the provider sent, and every turn for the end that it should have. The relay's memory,
tasks, files and threads are read when nobody is there: after a first round of the same traffic, and at the end.
"""

import asyncio
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import uvloop

from bench.listeners import Ears, Listener
from bench.processes import MANY, Running, provider, relay, stay_off_the_relays_core
from bench.scripted import audio
from relay.core.frames import HEADER_BYTES, unpack_header

MINUTES = 5.0
CALLERS = 40
WARMING_S = 15.0
# A connection whose peer has vanished is kept for 5 s at the most.
SETTLE_S = 7.0
SAMPLE_BYTES = 2
# What a turn may take at the most: two timeouts of a second, with retries and a listener that does not read.
TURN_TIMEOUT_S = 60
PATIENCE: dict[str, Any] = {"RELAY_HTTP_FIRST_BYTE_TIMEOUT_S": "1", "RELAY_HTTP_STALL_TIMEOUT_S": "1"}
# The relay opens a connection ahead of need when four fifths of this have passed; one that comes between the closing
# of idle ones and the reading of what is held would be counted.
NO_WARMING: dict[str, Any] = {"RELAY_HTTP_KEEPALIVE_S": "3600"}
GOOD = ("ok", "ok_length", "ok_until_close", "slow_drip", "wrong_content_type")
BAD = (
    *("cut_chunked_fin", "cut_chunked_rst", "cut_length_fin", "cut_length_rst", "cut_inside_chunk"),
    *("cut_after_headers", "early_close", "early_reset", "early_close_with_error"),
    *("stall_before_headers", "stall_before_first_byte", "stall_mid_stream"),
    *("empty_200", "empty_200_length", "html_200", "json_200", "html_502", "not_http"),
    *("status_401", "status_404", "status_422", "status_429", "status_500", "status_503", "status_504"),
)
# scenario: the most milliseconds of audio, where it is dear
SHORT_MS = {"one_byte_chunks": 100}
FRAME = {"sample_rate": 24000, "frame_ms": 20, "header": True}
PACINGS = ({"mode": "fast"}, {"mode": "realtime", "lead_ms": 100})


def sent(name: str, seed: int, ms: int) -> bytes:
    """All audio that the provider sends, or more."""
    data = audio(seed, ms)
    # Of the chunk that is not finished five bytes come, which are audio as good as any.
    return data[: len(data) // 2 | 1] + b"short" if name == "cut_inside_chunk" else data


class Caller:
    """Speaks turn after turn, and holds each to what it should be."""

    def __init__(self, port: int, seed: int, seen: Counter[str]) -> None:
        self._port, self._random, self._seen = port, random.Random(seed), seen
        self._listener: Listener | None = None
        self._index = 0
        self._end: asyncio.Future[dict[str, Any]] | None = None
        self._expected, self._heard_samples = b"", 0

    async def call(self, until_s: float) -> None:
        while time.monotonic() < until_s:
            if self._listener is None:
                self._listener = await Listener.connect(self._port, self._on_event, self._on_audio)
                self._index = 0
            await self._turn(self._listener)
        if self._listener is not None:
            self._listener.transport.abort()

    async def _turn(self, listener: Listener) -> None:
        draw = self._random
        good = draw.random() < 0.6
        name = draw.choice((*GOOD, *SHORT_MS)) if good else draw.choice(BAD)
        seed, ms = draw.randrange(1 << 30), min(draw.randrange(100, 2500), SHORT_MS.get(name, 2500))
        self._expected, self._heard_samples = sent(name, seed, ms), 0
        self._end = asyncio.get_running_loop().create_future()
        listener.ears.send(type="speak", text=f"{name} {seed} {ms}", audio=FRAME, pacing=draw.choice(PACINGS))
        act = draw.choices(("listen", "cancel", "vanish", "stall"), (80, 10, 5, 5))[0]
        if act == "vanish":
            await asyncio.sleep(draw.random() / 2)
            self._end, self._listener = None, None
            listener.transport.abort()
            self._seen["vanished"] += 1
            return
        if act == "cancel":
            await asyncio.sleep(draw.random() / 2)
            listener.ears.send(type="turn.cancel")
        elif act == "stall":
            await asyncio.sleep(draw.random() / 10)
            listener.transport.pause_reading()
            await asyncio.sleep(1.5)
            listener.transport.resume_reading()
        async with asyncio.timeout(TURN_TIMEOUT_S):
            end = await self._end
        self._end = None
        self._index += 1
        self._judge(name, end, good=good, cancelled=act == "cancel")

    def _judge(self, name: str, end: dict[str, Any], *, good: bool, cancelled: bool) -> None:
        kind = end["type"].removeprefix("turn.")
        self._seen[kind] += 1
        as_it_should = kind == ("done" if good else "error") or (cancelled and kind == "cancelled")
        if kind == "done":
            as_it_should &= self._heard_samples == end["samples"] == len(self._expected) // SAMPLE_BYTES
        if not as_it_should:
            self._seen["wrong ends"] += 1
            print(f"{name}: {end}", file=sys.stderr)

    def _on_event(self, ears: Ears, event: dict[str, Any]) -> None:
        ended = event["type"] in ("turn.done", "turn.cancelled", "error")
        if ended and self._end is not None and self._listener is not None and ears is self._listener.ears:
            self._end.set_result(event)

    def _on_audio(self, ears: Ears, message: bytes) -> None:
        if self._listener is None or ears is not self._listener.ears:
            return  # it has vanished
        header, payload = unpack_header(message), message[HEADER_BYTES:]
        self._seen["frames"] += 1
        samples = len(payload) // SAMPLE_BYTES - header.padding
        start = header.pts * SAMPLE_BYTES
        exact = payload == self._expected[start : start + samples * SAMPLE_BYTES] + bytes(header.padding * SAMPLE_BYTES)
        current = self._end is not None and not self._end.done() and header.turn_index == self._index
        if not (exact and current and header.pts == self._heard_samples):
            self._seen["wrong frames"] += 1
        self._heard_samples += samples


async def traffic(port: int, seconds: float, seed: int) -> Counter[str]:
    seen: Counter[str] = Counter()
    until_s = time.monotonic() + seconds
    async with asyncio.TaskGroup() as tasks:
        for index in range(CALLERS):
            tasks.create_task(Caller(port, seed + index, seen).call(until_s))
    return seen


async def resting(server: Running, source: Running, tasks_file: Path) -> dict[str, int]:
    """What the relay holds when nobody is there: idle connections to the provider are closed first."""
    source.process.send_signal(signal.SIGUSR1)
    await asyncio.sleep(SETTLE_S)
    return {
        "memory, KiB": server.rss_kib(),
        "tasks": int(tasks_file.read_text()),  # noqa: ASYNC240 - a few bytes, in memory
        "open files": server.open_files(),
        "threads": server.threads(),
    }


async def measure(minutes: float) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        tasks_file = Path(folder) / "tasks"
        command = ("-m", "bench.held", "0", str(tasks_file))
        async with (
            provider(module="bench.scripted") as source,
            relay(source.url, command=command, RELAY_LOG_LEVEL="error", **PATIENCE, **NO_WARMING, **MANY) as server,
        ):
            await traffic(server.port, min(WARMING_S, minutes * 60 / 2), seed=1_000_000)
            before = await resting(server, source, tasks_file)
            seen = await traffic(server.port, minutes * 60, seed=0)
            after = await resting(server, source, tasks_file)
    turns = sum(seen[kind] for kind in ("done", "error", "cancelled", "vanished"))
    print(f"{minutes:g} minutes, {CALLERS} callers: {turns} turns, {seen['frames']} frames")
    for kind in ("done", "error", "cancelled", "vanished", "wrong ends", "wrong frames"):
        print(f"{kind:14} {seen[kind]:8}")
    print(f"{'relay at rest':14} {'before':>8} {'after':>8}")
    for name, value in before.items():
        print(f"{name:14} {value:8} {after[name]:8}")
    leaked = any(after[name] > before[name] for name in ("tasks", "open files", "threads"))
    return not (leaked or seen["wrong ends"] or seen["wrong frames"])


def main(minutes: float = MINUTES) -> None:
    stay_off_the_relays_core()
    if not uvloop.run(measure(minutes)):
        sys.exit("something is wrong or was left behind")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
