"""One listener stops reading in the middle of a long turn. Run: `python -m bench.slow_reader [SECONDS] [TURNS]`.

The turn is ten minutes of speech, as fast as it is read. While its listener does not read for SECONDS: what the
provider has sent, and the relay's memory, which must both stay as they are; then the lateness of TURNS neighbours at
real time, beside that of the same neighbours before. At the end it reads on, and every sample must arrive. (The relay
is told to be that patient: by default it closes a listener that has not read for two minutes.)
"""

import asyncio
import hashlib
import sys
import time
import urllib.request
from itertools import cycle, islice
from typing import Any

import uvloop

from bench.figures import lateness_ms, percentiles
from bench.listeners import Ears, Listener, begin_at
from bench.processes import MANY, Running, provider, relay, stay_off_the_relays_core
from relay.testing.audio import speech_like

SECONDS = 20
TURNS = 50
LONG_S = 600
FRAME_MS, LEAD_MS = 20, 200
BEGIN_S = 1.0
# Until the sockets, the outbox and the provider's client are full.
FILL_S = 2.0
BYTES_PER_S = 48_000


class Sleeper:
    """Asks for the long turn, reads for a while, stops, and reads on when told."""

    def __init__(self) -> None:
        self._heard = hashlib.sha256()
        self.bytes = 0
        self.done = asyncio.Event()

    async def begin(self, port: int) -> None:
        self._listener = await Listener.connect(port, self._on_event, self._on_audio)
        self._listener.ears.send(type="speak", text="All at once.", audio={"sample_rate": 24000, "tail": "short"})
        while self.bytes < BYTES_PER_S:  # noqa: ASYNC110 - it comes within milliseconds
            await asyncio.sleep(0.001)
        self._listener.transport.pause_reading()

    def read_on(self) -> None:
        self._listener.transport.resume_reading()

    def is_exact(self) -> bool:
        expected = bytes(islice(cycle(speech_like(5.0)), LONG_S * BYTES_PER_S))
        return self._heard.digest() == hashlib.sha256(expected).digest()

    def _on_event(self, _: Ears, event: dict[str, Any]) -> None:
        assert event["type"] != "error", event
        if event["type"] == "turn.done":
            self.done.set()

    def _on_audio(self, _: Ears, audio: bytes) -> None:
        self._heard.update(audio)
        self.bytes += len(audio)


def sent_kib(source: Running) -> float:
    answer: bytes = urllib.request.urlopen(f"{source.url}/sent").read()
    return int(answer) / 1024


async def neighbours_late_ms(server: Running, turns: int, seconds: float) -> list[float]:
    listeners = [await Listener.connect(server.port, lambda _, __: None) for _ in range(turns)]
    begin_s = time.monotonic()
    for index, listener in enumerate(listeners):
        await asyncio.sleep(begin_s + BEGIN_S * begin_at(index, turns) - time.monotonic())
        listener.ears.send(type="speak", text="Hello.", pacing={"mode": "realtime", "lead_ms": LEAD_MS})
    await asyncio.sleep(seconds)
    late: list[float] = []
    for listener in listeners:
        late += lateness_ms(listener.ears.arrivals_s, frame_ms=FRAME_MS, lead_ms=LEAD_MS)
        listener.transport.abort()
    return late


async def measure(seconds: int, turns: int) -> None:
    async with (
        provider("pcm", str(LONG_S), "2", module="bench.streams") as source,
        relay(source.url, **MANY, RELAY_LIMITS_SLOW_CLIENT_TIMEOUT_S=str(10 * seconds)) as server,
    ):
        await neighbours_late_ms(server, turns, 1.0)  # what the first turns cost once
        alone_ms = await neighbours_late_ms(server, turns, seconds / 2)
        before_kib = await asyncio.to_thread(sent_kib, source)
        await asyncio.sleep(FILL_S)
        before_rss_kib = server.rss_kib()
        sleeper = Sleeper()
        await sleeper.begin(server.port)
        await asyncio.sleep(FILL_S)
        filled_kib, filled_rss_kib = await asyncio.to_thread(sent_kib, source), server.rss_kib()
        await asyncio.sleep(seconds / 2)
        after_kib, after_rss_kib = await asyncio.to_thread(sent_kib, source), server.rss_kib()
        print(f"{'KiB, of a turn of 28125':34} {'once full':>10} {f'{seconds / 2:.0f} s later':>12}")
        print(f"{'sent by the provider':34} {filled_kib - before_kib:10.0f} {after_kib - before_kib:12.0f}")
        print(f"{'memory the relay took':34} {filled_rss_kib - before_rss_kib:10} {after_rss_kib - before_rss_kib:12}")
        assert after_kib == filled_kib, "the provider went on sending"
        beside_ms = await neighbours_late_ms(server, turns, seconds / 2)
        print(f"{f'{turns} neighbours late, ms':34} {'p50':>10} {'p99':>12} {'max':>10}")
        for name, late_ms in (("without it", alone_ms), ("beside it", beside_ms)):
            p50, p99 = percentiles(late_ms, 50, 99)
            print(f"{name:34} {p50:10.2f} {p99:12.2f} {max(late_ms):10.2f}")
        start_s = time.monotonic()
        sleeper.read_on()
        async with asyncio.timeout(60):
            await sleeper.done.wait()
        took_s = time.monotonic() - start_s
        assert sleeper.is_exact(), "what arrived is not what the provider sent"
        print(f"read on: {sleeper.bytes} bytes in all, every sample as sent; the rest took {took_s:.1f} s")
        print(f"memory the relay took at the most: {server.peak_kib() - before_rss_kib} KiB")


def main(seconds: int = SECONDS, turns: int = TURNS) -> None:
    stay_off_the_relays_core()
    uvloop.run(measure(seconds, turns))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
