"""A provider that does what the text says: `python -m bench.scripted`. SIGUSR1 closes its connections.

The text is `SCENARIO SEED MS`: noise of that seed and length, by one of `relay.testing.scenarios`. Whoever knows the
text knows every sample.
"""

import asyncio
import signal
import sys

import uvloop

from relay.testing.audio import noise
from relay.testing.fake_provider import FakeProvider, FakeRequest
from relay.testing.scenarios import Clip, scenario
from relay.testing.script import Script


def audio(seed: int, ms: int) -> bytes:
    return noise(ms / 1000, seed=seed)


def choose(request: FakeRequest) -> Script:
    if request.method != "POST":
        return scenario("status_404")
    name, seed, ms = request.json()["text"].split()
    return scenario(name, Clip(audio(int(seed), int(ms)), "audio/pcm"))


async def main() -> None:
    async with FakeProvider(choose) as fake:
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, fake.drop_connections)
        print(f"listening on {fake.url}", file=sys.stderr, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvloop.run(main())
