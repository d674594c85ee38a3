"""Does speech keep its speed while the relay's loop is held up? Run: `python -m bench.pacing [SECONDS]`.

Turns at real time through a relay that does nothing for 0 or 25 ms of every 50 (`bench.held`). Speed is the audio that
arrived for each second that passed; lateness is against each turn's own schedule, which its first frame began.
"""

import asyncio
import sys
from typing import Any

import uvloop

from bench.figures import lateness_ms, percentiles, speed
from bench.listeners import Ears, Listener
from bench.processes import MANY, provider, relay, stay_off_the_relays_core

SECONDS = 20
TURNS = 20
FRAME_MS, LEAD_MS = 20, 200
HOLDS_MS = (0, 25)
SPEEDS = (0.99, 1.01)


async def measure(hold_ms: int, seconds: int) -> list[Listener]:
    ended: set[Ears] = set()
    over = asyncio.Event()

    def on_event(ears: Ears, event: dict[str, Any]) -> None:
        assert event["type"] != "error", event
        if event["type"] == "turn.done":
            ended.add(ears)
            if len(ended) == TURNS:
                over.set()

    held = ("-m", "bench.held", str(hold_ms))
    async with (
        provider("pcm", str(seconds), "2", module="bench.streams") as source,
        relay(source.url, command=held, **MANY) as server,
    ):
        listeners = [await Listener.connect(server.port, on_event) for _ in range(TURNS)]
        for listener in listeners:
            listener.ears.send(
                type="speak",
                text="Hello.",
                audio={"sample_rate": 24000, "frame_ms": FRAME_MS},
                pacing={"mode": "realtime", "lead_ms": LEAD_MS},
            )
            await asyncio.sleep(FRAME_MS / 1000 / TURNS)
        async with asyncio.timeout(seconds * 1.5 + 10):
            await over.wait()
        return listeners


def row(hold_ms: int, listeners: list[Listener]) -> tuple[str, bool]:
    arrivals = [listener.ears.arrivals_s for listener in listeners]
    speeds = [speed(each, frame_ms=FRAME_MS) for each in arrivals]
    late = [ms for each in arrivals for ms in lateness_ms(each, frame_ms=FRAME_MS, lead_ms=LEAD_MS)]
    p50, p99 = percentiles(late, 50, 99)
    text = f"{hold_ms:10} {min(speeds):9.4f} {max(speeds):9.4f} {p50:9.1f} {p99:9.1f} {max(late):9.1f} {len(late):9}"
    return text, SPEEDS[0] <= min(speeds) and max(speeds) <= SPEEDS[1]


def main(seconds: int = SECONDS) -> None:
    stay_off_the_relays_core()
    print(f"{TURNS} turns of {seconds} s{'speed':>18}{'late, ms':>24}")
    print(f"{'held, ms':>10} {'min':>9} {'max':>9} {'p50':>9} {'p99':>9} {'max':>9} {'frames':>9}")
    kept = True
    for hold_ms in HOLDS_MS:
        text, within = row(hold_ms, uvloop.run(measure(hold_ms, seconds)))
        print(text, flush=True)
        kept &= within
    if not kept:
        sys.exit(f"a turn's speed is not within {SPEEDS[0]} and {SPEEDS[1]}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
