"""N turns at real time through one relay on one core: first audio, lateness, underruns, CPU and memory of a turn.

Run: `python -m bench.load [CASE] [TURNS ...]`. Provider and listeners are processes of their own on the other core. A
turn is in 20 ms frames, `realtime` with a lead of 200 ms, fed by a provider at twice real time in chunks of 4 KiB: one
at exactly real time leaves no lead to keep.
A listener's lateness is counted from the instant a frame might have left; an underrun is a frame that came after the
listener, who plays from the first frame on, needed it.
"""

import asyncio
import os
import random
import re
import statistics
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from typing import Any

import uvloop

from bench.listeners import Listener
from bench.processes import Running, provider, relay

LEAD_S, FRAME_S = 0.2, 0.02
SPEED = "2"
SPREAD_S = 2.0  # turns begin within this time, as calls do
WARM_S = 1.0
WINDOW_S = 8.0
# case: what the provider sends, what the listener asks for
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "pcm": ("pcm", {"sample_rate": 24000}),
    "mp3": ("mp3", {"sample_rate": 24000}),
    "mp3_44k_to_16k": ("mp3_44k", {"sample_rate": 16000}),
    "pcm_to_mulaw_8k": ("pcm", {"sample_rate": 8000, "encoding": "mulaw"}),
}
TURNS = {"pcm": (100, 500, 1000), "mp3": (100, 400), "mp3_44k_to_16k": (100, 300), "pcm_to_mulaw_8k": (100, 500)}


@dataclass
class Run:
    """What was seen of one level of load."""

    turns: int
    ttfa_ms: list[float] = field(default_factory=list)
    relay_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    underruns: int = 0
    failures: int = 0
    frames: int = 0
    cpu_share: float = 0.0
    kib_per_turn: float = 0.0
    late_over_10_ms: float = 0.0


async def measure(case: str, turns: int) -> Run:
    kind, audio = CASES[case]
    seconds = SPREAD_S + WARM_S + WINDOW_S
    limits: dict[str, Any] = {"RELAY_LIMITS_MAX_SESSIONS": "100000", "RELAY_LIMITS_MAX_SESSIONS_PER_CLIENT": "100000"}
    async with (
        provider(kind, str(seconds), SPEED, module="bench.streams") as source,
        relay(source.url, **limits) as server,
    ):
        return await _load(server, turns, audio, seconds)


async def _load(server: Running, turns: int, audio: dict[str, Any], seconds: float) -> Run:
    run = Run(turns)
    started: dict[Listener, float] = {}
    over = asyncio.Event()

    def on_event(listener: Listener, event: dict[str, Any]) -> None:
        if event["type"] == "audio.started":
            run.ttfa_ms.append((time.monotonic() - started[listener]) * 1000)
        elif event["type"] in ("turn.done", "error"):
            run.failures += event["type"] == "error"
            if event["type"] == "turn.done":
                run.relay_ms.append(event["timings"]["relay_ms"])
            del started[listener]
            if not started and len(run.relay_ms) + run.failures == turns:
                over.set()

    listeners = [await Listener.connect(server.port, on_event) for _ in range(turns)]
    await asyncio.sleep(0.5)
    idle_kib = server.rss_kib()
    begin_s = time.monotonic()
    for index, listener in enumerate(random.Random(1).sample(listeners, turns)):
        await asyncio.sleep(max(0.0, begin_s + SPREAD_S * index / turns - time.monotonic()))
        started[listener] = time.monotonic()
        pacing = {"mode": "realtime", "lead_ms": round(LEAD_S * 1000)}
        listener.send(type="speak", text="Hello.", audio=audio, pacing=pacing, turn_id="t")
    await asyncio.sleep(WARM_S)
    cpu_s, frames, window_s = server.cpu_s(), sum(len(each.arrivals_s) for each in listeners), time.monotonic()
    await asyncio.sleep(WINDOW_S / 2)
    run.kib_per_turn = (server.rss_kib() - idle_kib) / turns
    await asyncio.sleep(WINDOW_S / 2 - 1)
    run.cpu_share = (server.cpu_s() - cpu_s) / (time.monotonic() - window_s)
    run.frames = sum(len(each.arrivals_s) for each in listeners) - frames
    async with asyncio.timeout(seconds + 30):
        await over.wait()
    for listener in listeners:
        _count(run, listener.arrivals_s)
        listener.transport.abort()
    run.late_over_10_ms = _late_share(server)
    return run


def _count(run: Run, arrivals_s: list[float]) -> None:
    if not arrivals_s:
        return
    start_s = arrivals_s[0]
    for index, at_s in enumerate(arrivals_s):
        due_s = start_s + index * FRAME_S
        run.late_ms.append((at_s - max(start_s, due_s - LEAD_S)) * 1000)
        run.underruns += at_s > due_s + 0.001 and index > 0


def _late_share(server: Running) -> float:
    text = urllib.request.urlopen(f"{server.url}/metrics").read().decode()
    paced = float(re.findall(r"(?m)^relay_frames_paced_total (\S+)", text)[0])
    late = float(re.findall(r"(?m)^relay_frames_late_total\{over_ms=.10.\} (\S+)", text)[0])
    return late / paced


def row(case: str, run: Run) -> str:
    p = {name: statistics.quantiles(getattr(run, name), n=100) for name in ("ttfa_ms", "relay_ms", "late_ms")}
    per_frame_us = run.cpu_share * (WINDOW_S - 1) * 1e6 / run.frames
    return (
        f"{case:16} {run.turns:5} {p['ttfa_ms'][49]:7.2f} {p['ttfa_ms'][98]:7.2f} {p['relay_ms'][49]:8.2f} "
        f"{p['relay_ms'][98]:7.2f} {p['late_ms'][49]:7.2f} {p['late_ms'][98]:7.2f} {run.late_over_10_ms:9.3%} "
        f"{run.underruns:6} {run.failures:5} {run.cpu_share:6.0%} {per_frame_us:8.1f} {run.kib_per_turn:8.0f}"
    )


def main(case: str | None = None, *turns: int) -> None:
    if 1 in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {1})
    print(
        "case             turns  ttfa50  ttfa99  relay50 relay99  late50  late99 relay>10ms  under  fail    cpu "
        "us/frame KiB/turn"
    )
    for name in [case] if case else list(CASES):
        for count in turns or TURNS[name]:
            print(row(name, uvloop.run(measure(name, count))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None, *map(int, sys.argv[2:]))
