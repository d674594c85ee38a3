"""Whether the relay's timings are true: each stage against the instant at which the provider did its part.

Run: `python -m bench.timings [ROUNDS]`. Provider, relay and listeners are processes of their own. The provider sends a
first byte 137 ms after the request and the rest in steps (`relay.testing.known`), and writes down when; what the relay
reports after `request_sent` is compared with that. `early` counts reports of something before it had happened: 0.
"""

import asyncio
import json
import sys
import urllib.request
from typing import Any

import uvloop
from websockets.asyncio.client import connect

from bench.figures import percentiles
from bench.processes import MANY, provider, relay, stay_off_the_relays_core
from relay.testing.known import KINDS, Kind, known

ROUNDS = 5
AT_ONCE = (1, 50)
WITHIN_MS = 2.0
SPREAD_S = 0.25
# A report is rounded to a thousandth, twice.
EXACT_MS = 0.002


async def reports(port: int, at_once: int, rounds: int, name: str = "turn") -> dict[str, dict[str, Any]]:
    """Every turn's timings, by its text, which is its own."""

    async def listener(number: int) -> dict[str, dict[str, Any]]:
        told: dict[str, dict[str, Any]] = {}
        async with connect(f"ws://127.0.0.1:{port}/v1/stream", compression=None) as websocket:
            await websocket.recv()
            # As calls come: in step, each would be read after the others, and that be told truly.
            await asyncio.sleep(number * SPREAD_S / at_once)
            for turn in range(rounds):
                text = f"Listener {number} of {at_once}, {name} {turn}."
                await websocket.send(json.dumps({"type": "speak", "text": text}))
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
    for told in await asyncio.gather(*(listener(number) for number in range(at_once))):
        together |= told
    return together


def late_ms(kind: Kind, told: dict[str, Any], instants: dict[str, float]) -> dict[str, float]:
    """How much later than the provider's deed the relay says that each stage was."""
    return {
        stage: told[stage] - told["request_sent"] - (instants[str(round(at_ms))] - instants["0"]) * 1000
        for stage, at_ms in known(kind).stages.items()
        if stage != "request_sent"
    }


async def measure(kind: Kind, rounds: int) -> tuple[int, float]:
    """Prints the rows of one encoding; how many reports were early, and the worst p99 of a stage."""
    early_in_all, worst_ms = 0, 0.0
    async with provider(kind, module="bench.known") as source, relay(source.url, **MANY) as server:
        await reports(server.port, 1, 3, "warm")  # connections are open and code is warm
        for at_once in AT_ONCE:
            told = await reports(server.port, at_once, rounds if at_once > 1 else rounds * 10)
            with await asyncio.to_thread(urllib.request.urlopen, f"{source.url}/instants") as reply:
                instants = json.load(reply)
            silence_ms = max(abs(each["leading_silence_ms"] - known(kind).leading_silence_ms) for each in told.values())
            stages = [late_ms(kind, each, instants[text]) for text, each in told.items()]
            for stage in stages[0]:
                values = [each[stage] for each in stages]
                early = sum(value < -EXACT_MS for value in values)
                p50, p99 = percentiles(values, 50, 99)
                print(f"{kind:4}{at_once:6} {stage:17}{p50:8.3f}{p99:8.3f}{max(values):8.3f}{early:7}")
                early_in_all, worst_ms = early_in_all + early, max(worst_ms, p99)
            print(f"{kind:4}{at_once:6} {'leading_silence':17}{'':16}{silence_ms:8.3f}")
    return early_in_all, worst_ms


def main(rounds: int = ROUNDS) -> int:
    stay_off_the_relays_core()
    print(f"{'':4}{'turns':>6} {'late by, ms':17}{'p50':>8}{'p99':>8}{'max':>8}{'early':>7}")
    measured = [uvloop.run(measure(kind, rounds)) for kind in KINDS]
    early, worst_ms = sum(each[0] for each in measured), max(each[1] for each in measured)
    reached = "reached" if worst_ms <= WITHIN_MS else "not reached"
    print(f"{early} early; worst p99 of a stage {worst_ms:.2f} ms, to reach: {WITHIN_MS:g} ms ({reached})")
    return 1 if early else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
