"""Listeners at real time, in a process of their own: `python -m bench.crowd PORT TURNS`.

They speak to the relay on PORT, one turn each, and hear it out. Says that it listens when all of them have begun.
"""

import asyncio
import signal
import sys
import time

import uvloop

from bench.listeners import Crowd, begin_at

PACED = {"mode": "realtime", "lead_ms": 200}
# They begin within this time.
BEGIN_S = 3.0


async def main(port: int, turns: int) -> None:
    crowd = Crowd(port, lambda _, __: None)
    listening = asyncio.create_task(crowd.listen())
    await crowd.join(turns)
    begin_s = time.monotonic()
    for index, ears in enumerate(crowd.all):
        await asyncio.sleep(begin_s + BEGIN_S * begin_at(index, turns) - time.monotonic())
        ears.send(type="speak", text="Hello.", pacing=PACED)
    print(f"listening on http://127.0.0.1:{port}", file=sys.stderr, flush=True)
    await listening


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvloop.run(main(*map(int, sys.argv[1:])))
