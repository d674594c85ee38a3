"""Relays of several checkouts at once on one core, with the same load: microseconds of CPU for a frame of each.

Run: `python -m bench.beside CASE TURNS ROUNDS CHECKOUT ...`. Each relay speaks TURNS of a case of `bench.load`; a round
is six seconds. Whatever else runs on the machine hits all of them in the same seconds, so that their ratio within a
round is meant and not the microseconds, which depend on how full the core is.
"""

import asyncio
import random
import statistics
import sys
import time
from contextlib import AsyncExitStack

import uvloop

from bench.listeners import Crowd, begin_at
from bench.load import CASES, LEAD_MS, SPEED
from bench.processes import MANY, SERVE, Running, provider, relay, stay_off_the_relays_core

ROUND_S = 6.0
BEGIN_S = 6.0
WARM_S = 4.0


async def measure(case: str, turns: int, rounds: int, checkouts: list[str]) -> list[list[float]]:
    """One row a round: of each checkout."""
    kind, audio = CASES[case]
    pacing = {"mode": "realtime", "lead_ms": LEAD_MS}
    seconds = BEGIN_S + WARM_S + (rounds + 2) * ROUND_S
    rows: list[list[float]] = []
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(provider(kind, str(seconds), SPEED, module="bench.streams"))
        servers: list[Running] = []
        for checkout in checkouts:
            settings = {**MANY, "PYTHONPATH": f"{checkout}:{checkout}/clients/python"}
            # -P: its own code, not that of the directory in which this runs.
            running = relay(source.url, command=("-P", *SERVE), **settings)
            servers.append(await stack.enter_async_context(running))
        crowds = [Crowd(server.port, lambda _, __: None) for server in servers]
        listening = [asyncio.create_task(crowd.listen()) for crowd in crowds]
        for crowd in crowds:
            await crowd.join(turns)
        begin_s = time.monotonic()
        order = random.Random(1).sample(range(turns), turns)
        for index in range(turns):
            await asyncio.sleep(max(0.0, begin_s + BEGIN_S * begin_at(index, turns) - time.monotonic()))
            for crowd in crowds:
                crowd.all[order[index]].send(type="speak", text="Hello.", audio=audio, pacing=pacing)
        await asyncio.sleep(WARM_S)
        for _ in range(rounds):
            before = [_used(*each) for each in zip(servers, crowds, strict=True)]
            await asyncio.sleep(ROUND_S)
            after = [_used(*each) for each in zip(servers, crowds, strict=True)]
            pairs = zip(before, after, strict=True)
            rows.append([(cpu_s - cpu0_s) * 1e6 / (frames - frames0) for (cpu0_s, frames0), (cpu_s, frames) in pairs])
        for task in listening:
            task.cancel()
        for crowd in crowds:
            crowd.leave()
    return rows


def _used(server: Running, crowd: Crowd) -> tuple[float, int]:
    """CPU seconds so far, and frames heard."""
    return server.cpu_s(), sum(len(ears.arrivals_s) for ears in crowd.all)


def main(case: str, turns: str, rounds: str, *checkouts: str) -> None:
    stay_off_the_relays_core()
    rows = uvloop.run(measure(case, int(turns), int(rounds), list(checkouts)))
    print(
        f"{case}, {turns} turns each, us of CPU a frame; beside it the ratio to the first, medians of {rounds} rounds"
    )
    for index, checkout in enumerate(checkouts):
        cost = statistics.median(row[index] for row in rows)
        ratio = statistics.median(row[index] / row[0] for row in rows)
        print(f"{checkout:24} {cost:7.1f} {ratio:7.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
