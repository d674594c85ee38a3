"""A relay whose event loop is held up, and that tells how many tasks it has: `python -m bench.held HOLD_MS [FILE]`.

For HOLD_MS in every 50 ms nothing else runs, as when the process is not scheduled. FILE gets the count of tasks, anew
every quarter of a second. Settings come from the environment, as for `relay serve`.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

import msgspec
import uvloop

from relay.config import load
from relay.providers.catalog import PROVIDERS
from relay.server.app import serve

EVERY_S = 0.05
TELL_S = 0.25


async def hold(hold_s: float) -> None:
    while True:
        time.sleep(hold_s)  # noqa: ASYNC251 - to be in the way is what it is for
        await asyncio.sleep(EVERY_S - hold_s)


async def tell(file: Path) -> None:
    while True:
        file.write_text(str(len(asyncio.all_tasks())), "ascii")  # noqa: ASYNC240 - a few bytes, in memory
        await asyncio.sleep(TELL_S)


async def main(hold_ms: float, file: str | None = None) -> int:
    loaded = load(environ=os.environ, providers=tuple(PROVIDERS))
    config = msgspec.structs.replace(loaded, server=msgspec.structs.replace(loaded.server, port=0))
    beside: list[asyncio.Task[None]] = []

    def on_ready(port: int) -> None:
        print(f"Listening on http://127.0.0.1:{port}", file=sys.stderr, flush=True)
        if hold_ms:
            beside.append(asyncio.create_task(hold(hold_ms / 1000)))
        if file:
            beside.append(asyncio.create_task(tell(Path(file))))

    status = await serve(config, on_ready=on_ready)
    for task in beside:
        task.cancel()
    return status


if __name__ == "__main__":
    sys.exit(uvloop.run(main(float(sys.argv[1]), *sys.argv[2:])))
