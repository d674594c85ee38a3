"""Memory of a session that does nothing. Run: `python -m bench.idle_session [SESSIONS]`."""

import asyncio
import sys
from contextlib import AsyncExitStack

from websockets.asyncio.client import connect

from bench.processes import relay

SESSIONS = 500
SETTLE_S = 1.0


async def measure(sessions: int) -> float:
    async with relay("http://127.0.0.1:9", RELAY_LIMITS_MAX_SESSIONS_PER_CLIENT="100000") as server:
        url = f"ws://127.0.0.1:{server.port}/v1/stream"
        async with AsyncExitStack() as stack:
            for _ in range(50):  # what the first sessions cost once
                async with connect(url, compression=None) as websocket:
                    await websocket.recv()
            await asyncio.sleep(SETTLE_S)
            before_kib = server.rss_kib()
            for _ in range(sessions):
                websocket = await stack.enter_async_context(connect(url, compression=None))
                await websocket.recv()
            await asyncio.sleep(SETTLE_S)
            return (server.rss_kib() - before_kib) / sessions


def main(sessions: int = SESSIONS) -> None:
    print(f"idle session, mean of {sessions}: {asyncio.run(measure(sessions)):.1f} KiB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
