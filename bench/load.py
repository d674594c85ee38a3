"""N turns at real time through one relay on one core: first audio, lateness, CPU and memory of a turn.

Run: `python -m bench.load [CASE] [TURNS ...]`. Provider and listeners are processes of their own on the other core. A
turn is in 20 ms frames, `realtime` with a lead of 200 ms, fed by a provider at twice real time in chunks of 4 KiB: one
at exactly real time leaves no lead to keep.

TTFA and `relay_ms` are the relay's own reports of each turn. Lateness is counted by the relay from the instant at which
the listener needed a frame to the one at which it was handed to the socket; `ran dry` is how often a frame left more
than 100 ms after that.
"""

import asyncio
import random
import re
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from typing import Any

import uvloop

from bench.figures import percentiles
from bench.listeners import Crowd, Ears, begin_at
from bench.processes import MANY, SERVE, Running, provider, relay, stay_off_the_relays_core

LEAD_MS = 200
SPEED = "2"
SPREAD_S = 16.0  # turns begin within this time: 1,000 of them is 60 calls a second that begin to speak
WARM_S = 1.0
WINDOW_S = 8.0
LATE_MS = (1, 2, 5, 10, 20, 50, 100)
# case: what the provider sends, what the listener asks for
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "pcm": ("pcm", {"sample_rate": 24000}),
    "mp3": ("mp3", {"sample_rate": 24000}),
    "mp3_44k_to_16k": ("mp3_44k", {"sample_rate": 16000}),
    "pcm_to_mulaw_8k": ("pcm", {"sample_rate": 8000, "encoding": "mulaw"}),
}
# Not the relay but `bench.smallest`, at the same load: what these libraries and this machine cost at the least.
SMALLEST = "smallest"
TURNS = {
    SMALLEST: (100, 500, 1000),
    "pcm": (100, 400, 750, 1000),
    "mp3": (100, 400),
    "mp3_44k_to_16k": (100, 300),
    "pcm_to_mulaw_8k": (100, 500),
}


@dataclass
class Run:
    """What was seen of one level of load."""

    turns: int
    ttfa_ms: list[float] = field(default_factory=list)
    relay_ms: list[float] = field(default_factory=list)
    failures: int = 0
    frames: int = 0
    cpu_share: float = 0.0
    kib_per_turn: float = 0.0
    late_share: dict[int, float] = field(default_factory=dict)
    ran_dry: int = 0


async def measure(case: str, turns: int) -> Run:
    if case == SMALLEST:
        return await _measure("pcm", turns, ("-m", "bench.smallest"))
    return await _measure(case, turns, SERVE)


async def _measure(case: str, turns: int, command: tuple[str, ...]) -> Run:
    kind, audio = CASES[case]
    seconds = SPREAD_S + WARM_S + WINDOW_S
    async with (
        provider(kind, str(seconds), SPEED, module="bench.streams") as source,
        relay(source.url, command=command, **MANY) as server,
    ):
        return await _load(server, turns, audio, seconds)


async def _load(server: Running, turns: int, audio: dict[str, Any], seconds: float) -> Run:
    run = Run(turns)
    over = asyncio.Event()

    def on_event(_: Ears, event: dict[str, Any]) -> None:
        if event["type"] == "turn.done":
            run.ttfa_ms.append(event["timings"]["ttfa_ms"])
            run.relay_ms.append(event["timings"]["relay_ms"])
        elif event["type"] == "error":
            run.failures += 1
        if len(run.relay_ms) + run.failures == turns:
            over.set()

    crowd = Crowd(server.port, on_event)
    listening = asyncio.create_task(crowd.listen())
    await crowd.join(turns)
    await asyncio.sleep(0.5)
    idle_kib, begin_s = server.rss_kib(), time.monotonic()
    pacing = {"mode": "realtime", "lead_ms": LEAD_MS}
    for index, ears in enumerate(random.Random(1).sample(crowd.all, turns)):
        await asyncio.sleep(max(0.0, begin_s + SPREAD_S * begin_at(index, turns) - time.monotonic()))
        ears.send(type="speak", text="Hello.", audio=audio, pacing=pacing)
    await asyncio.sleep(WARM_S)
    cpu_s, frames, window_s = server.cpu_s(), _frames(crowd), time.monotonic()
    await asyncio.sleep(WINDOW_S / 2)
    run.kib_per_turn = (server.rss_kib() - idle_kib) / turns
    await asyncio.sleep(WINDOW_S / 2 - 1 - SPREAD_S / 2)
    run.cpu_share = (server.cpu_s() - cpu_s) / (time.monotonic() - window_s)
    run.frames = round((_frames(crowd) - frames) / (time.monotonic() - window_s))
    async with asyncio.timeout(seconds + 30):
        await over.wait()
    await asyncio.sleep(0.1)
    _read_metrics(run, await asyncio.to_thread(_metrics, server))
    listening.cancel()
    crowd.leave()
    return run


def _frames(crowd: Crowd) -> int:
    return sum(len(ears.arrivals_s) for ears in crowd.all)


def _metrics(server: Running) -> str:
    text: bytes = urllib.request.urlopen(f"{server.url}/metrics").read()
    return text.decode()


def _read_metrics(run: Run, text: str) -> None:
    def value(name: str) -> float:
        return float(re.findall(rf"(?m)^{re.escape(name)} (\S+)", text)[0])

    paced = value("relay_frames_paced_total")
    run.late_share = {ms: value(f'relay_frames_late_total{{over_ms="{ms}"}}') / paced for ms in LATE_MS}
    run.ran_dry = int(value("relay_ran_dry_total"))


def row(case: str, run: Run) -> str:
    ttfa, added = (percentiles(values, 50, 99) for values in (run.ttfa_ms, run.relay_ms))
    late = " ".join(f"{run.late_share[ms]:7.3%}" for ms in (2, 5, 10, 20, 50))
    return (
        f"{case:16}{run.turns:6}{ttfa[0]:8.2f}{ttfa[1]:8.2f}{added[0]:8.2f}{added[1]:8.2f}  {late}{run.ran_dry:6}"
        f"{run.failures:6}{run.cpu_share:6.0%}{run.cpu_share * 1e6 / run.frames:7.1f}{run.kib_per_turn:7.0f}"
    )


def main(case: str | None = None, *turns: int) -> None:
    stay_off_the_relays_core()
    print(f"{'':22}{'TTFA ms':>16}{'relay_ms':>16}  {'frames later than (ms)':^39}{'ran':>6}")
    print(
        f"{'case':16}{'turns':>6}{'p50':>8}{'p99':>8}{'p50':>8}{'p99':>8}  "
        f"{'2':>7} {'5':>7} {'10':>7} {'20':>7} {'50':>7}{'dry':>6}{'fail':>6}{'CPU':>6}{'us/fr':>7}{'KiB/t':>7}"
    )
    for name in [case] if case else list(TURNS):
        for count in turns or TURNS[name]:
            print(row(name, uvloop.run(measure(name, count))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None, *map(int, sys.argv[2:]))
