"""Memory of a session that is idle, that streams, and whose listener has stopped reading; and of a relay at rest.

Run: `python -m bench.memory [SESSIONS]`. Each is the growth of the relay's resident memory, divided by the number of
sessions; each in a relay of its own, which some sessions have warmed before. At rest: before any session, when all that
is loaded after the start has been.
"""

import asyncio
import sys

import uvloop

from bench.listeners import Listener
from bench.processes import MANY, provider, relay, stay_off_the_relays_core

SESSIONS = 200
WARMING = 50
LONG_S = 600
SETTLE_S = 4.0
PACED = {"mode": "realtime", "lead_ms": 200}
# state: what the provider sends, what the session asks for, how fast its provider is, and the most that it may cost
STATES = {
    "idle": ("pcm", None, "1", 40),
    "streaming": ("pcm", PACED, "2", 200),
    "streaming mp3": ("mp3", PACED, "2", 200),
    "stalled": ("pcm", {"mode": "fast"}, "0", 500),
}
AT_REST_MIB = 60


async def at_rest() -> float:
    """Resident memory of a relay that has just started, in MiB."""
    async with provider("pcm", str(LONG_S), module="bench.streams") as source, relay(source.url, **MANY) as server:
        await asyncio.sleep(SETTLE_S)
        return server.rss_kib() / 1024


async def measure(state: str, sessions: int) -> float:
    kind, pacing, speed, _ = STATES[state]
    async with (
        provider(kind, str(LONG_S), speed, module="bench.streams") as source,
        relay(source.url, **MANY) as server,
    ):

        async def enter(count: int) -> list[Listener]:
            listeners = [await Listener.connect(server.port, lambda _, __: None) for _ in range(count)]
            for listener in listeners:
                if state == "stalled":
                    listener.transport.pause_reading()
                if pacing is not None:
                    listener.ears.send(type="speak", text="Hello.", pacing=pacing)
                await asyncio.sleep(0.005)
            await asyncio.sleep(SETTLE_S)
            return listeners

        for listener in await enter(WARMING):
            listener.transport.abort()
        await asyncio.sleep(1.0)
        before_kib = server.rss_kib()
        entered = await enter(sessions)
        grown_kib = server.rss_kib() - before_kib
        for listener in entered:
            listener.transport.abort()
        return grown_kib / sessions


def main(sessions: int = SESSIONS) -> None:
    stay_off_the_relays_core()
    print(f"{'at rest, MiB':14} {uvloop.run(at_rest()):8.1f} {AT_REST_MIB:8}")
    print(f"{'session':14} {'KiB':>8} {'at most':>8}   mean of {sessions}")
    for state, (*_, most_kib) in STATES.items():
        print(f"{state:14} {uvloop.run(measure(state, sessions)):8.1f} {most_kib:8}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
