"""From the command to ready. Run: `python -m bench.start [TIMES]`. The first start, which compiles, is not counted."""

import asyncio
import statistics
import sys
import time

from bench.processes import relay

TIMES = 7


async def measure(times: int) -> list[float]:
    seconds = []
    for _ in range(times + 1):
        start_s = time.perf_counter()
        async with relay("http://127.0.0.1:9", cpu=None):
            seconds.append(time.perf_counter() - start_s)
    return seconds[1:]


def main(times: int = TIMES) -> None:
    seconds = asyncio.run(measure(times))
    print(f"`relay serve` to ready, of {times}: median {statistics.median(seconds):.2f} s, max {max(seconds):.2f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
