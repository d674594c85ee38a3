"""Whether the relay's timings are true: each stage against the instant at which the provider did its part.

Run: `python -m bench.timings [ROUNDS]`. Provider, relay and listeners are processes of their own. The provider sends a
first byte 137 ms after the request and the rest in steps (`relay.testing.known`), and writes down when; what the relay
reports after `request_sent` is compared with that. `early` counts reports of something before it had happened: 0.
`plain` is the same of a program that reads the provider's bytes and does nothing with them (`bench.plain`), on the same
core right before: what the kernel and the machine take of their own.

`50` are turns at real time, as calls are: fifty at every instant, each as long as its second of speech, that begin
when they begin. `rush` is fifty listeners that ask for the next turn as soon as they have the last one, 200 a second:
the core is half full, and what waits for it is told as it was.
"""

import asyncio
import json
import os
import sys
import urllib.request
from dataclasses import dataclass
from typing import Any

import uvloop
from websockets.asyncio.client import connect

from bench.figures import percentiles
from bench.known import SPEECH_MS
from bench.processes import MANY, provider, relay, stay_off_the_relays_core
from relay.bench.processes import CORES
from relay.testing.known import KINDS, LAST_BYTE_MS, SILENCE_MS, Kind, known

ROUNDS = 5
WITHIN_MS = 2.0
# Of the longest manner, with room for a busy machine.
PLAIN_TIMEOUT_S = 120
# A report is rounded to a thousandth, twice.
EXACT_MS = 0.002
LEAD_MS = 200


@dataclass(frozen=True, slots=True)
class Manner:
    """`at_once` listeners that begin within `spread_s`, ROUNDS times `times` turns each."""

    name: str
    at_once: int
    times: int
    spread_s: float
    pacing: dict[str, Any]
    # Between the provider's last byte and the turn's end.
    tail_s: float = 0.0
    promised: bool = True


# A frame leaves its lead before it is due, so a paced turn is over by so much earlier than it is heard.
SPEECH_S = (SILENCE_MS + SPEECH_MS - LEAD_MS) / 1000
MANNERS = (
    Manner("1", 1, 20, 0, {"mode": "fast"}),
    Manner("50", 50, 1, SPEECH_S, {"mode": "realtime", "lead_ms": LEAD_MS}, tail_s=SPEECH_S - LAST_BYTE_MS / 1000),
    Manner("rush", 50, 1, 0.25, {"mode": "fast"}, promised=False),
)
WARM = Manner("warm", 2, 1, 0, {"mode": "fast"})


async def reports(port: int, manner: Manner, rounds: int) -> dict[str, dict[str, Any]]:
    """Every turn's timings, by its text, which is its own."""

    async def listener(number: int) -> dict[str, dict[str, Any]]:
        told: dict[str, dict[str, Any]] = {}
        async with connect(f"ws://127.0.0.1:{port}/v1/stream", compression=None) as websocket:
            await websocket.recv()
            await asyncio.sleep(number * manner.spread_s / manner.at_once)
            for turn in range(rounds * manner.times):
                text = f"Listener {number} of {manner.name}, turn {turn}."
                await websocket.send(json.dumps({"type": "speak", "text": text, "pacing": manner.pacing}))
                while True:
                    message = await websocket.recv()
                    event = {} if isinstance(message, bytes) else json.loads(message)
                    if event.get("type") == "error":
                        raise RuntimeError(message)
                    if event.get("type") == "turn.done":
                        told[text] = event["timings"]
                        break
        return told

    together: dict[str, dict[str, Any]] = {}
    for told in await asyncio.gather(*(listener(number) for number in range(manner.at_once))):
        together |= told
    return together


async def plain(url: str, kind: Kind, manner: Manner, rounds: int) -> dict[str, dict[str, float]]:
    """What `bench.plain` has read, where the relay would have been."""
    arguments = (url, kind, manner.at_once, rounds * manner.times, manner.spread_s, manner.tail_s)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.plain", *map(str, arguments)), stdout=asyncio.subprocess.PIPE
    )
    if 0 in CORES:
        os.sched_setaffinity(process.pid, {0})
    async with asyncio.timeout(PLAIN_TIMEOUT_S):
        printed, _ = await process.communicate()
    heard: dict[str, dict[str, float]] = json.loads(printed)
    return heard


async def instants(url: str) -> dict[str, dict[str, float]]:
    """When the provider did each step, by the text that it was asked for."""
    with await asyncio.to_thread(urllib.request.urlopen, f"{url}/instants") as reply:
        found: dict[str, dict[str, float]] = json.load(reply)
    return found


def late_ms(after_request_ms: dict[int, float], did_s: dict[str, float]) -> dict[int, float]:
    """How much later than the provider's deed each step was seen, both counted from the request."""
    return {at_ms: seen - (did_s[str(at_ms)] - did_s["0"]) * 1000 for at_ms, seen in after_request_ms.items()}


async def measure(kind: Kind, rounds: int) -> tuple[int, float]:
    """Prints the rows of one encoding; how many reports were early, and the worst p99 of a stage that was promised."""
    reply = known(kind, SPEECH_MS)
    stages = {stage: round(at_ms) for stage, at_ms in reply.stages.items() if stage != "request_sent"}
    early_in_all, worst_ms = 0, 0.0
    for manner in MANNERS:
        async with provider(kind, module="bench.known") as source:
            read = await plain(source.url, kind, manner, rounds)
            async with relay(source.url, **MANY) as server:
                await reports(server.port, WARM, 3)  # connections are open and code is warm
                told = await reports(server.port, manner, rounds)
            did = await instants(source.url)
        floors = [
            late_ms({int(at_ms): (at_s - seen["0"]) * 1000 for at_ms, at_s in seen.items()}, did[text])
            for text, seen in read.items()
        ]
        lates = [
            {
                stage: late_ms({at_ms: each[stage] - each["request_sent"]}, did[text])[at_ms]
                for stage, at_ms in stages.items()
            }
            for text, each in told.items()
        ]
        for stage, at_ms in stages.items():
            floor = percentiles([each[at_ms] for each in floors], 50, 99)
            values = [each[stage] for each in lates]
            early = sum(value < -EXACT_MS for value in values)
            p50, p99 = percentiles(values, 50, 99)
            figures = f"{floor[0]:8.3f}{floor[1]:8.3f}{p50:9.3f}{p99:8.3f}{max(values):8.3f}"
            print(f"{kind:4}{manner.name:>6} {stage:17}{figures}{early:7}", flush=True)
            early_in_all += early
            worst_ms = max(worst_ms, p99 if manner.promised else 0.0)
        silence_ms = max(abs(each["leading_silence_ms"] - reply.leading_silence_ms) for each in told.values())
        print(f"{kind:4}{manner.name:>6} {'leading_silence':17}{'':33}{silence_ms:8.3f}", flush=True)
    return early_in_all, worst_ms


def main(rounds: int = ROUNDS) -> int:
    stay_off_the_relays_core()
    print(f"{'late by, ms':28}{'plain':^16}{'the relay says':^25}")
    print(f"{'':4}{'turns':>6} {'':17}{'p50':>8}{'p99':>8}{'p50':>9}{'p99':>8}{'max':>8}{'early':>7}")
    measured = [uvloop.run(measure(kind, rounds)) for kind in KINDS]
    early, worst_ms = sum(each[0] for each in measured), max(each[1] for each in measured)
    reached = "reached" if worst_ms <= WITHIN_MS else "not reached"
    worst = f"worst p99 of a stage, 1 and 50 turns: {worst_ms:.2f} ms"
    print(f"{early} early; {worst}, to reach {WITHIN_MS:g} ({reached})")
    return 1 if early else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
