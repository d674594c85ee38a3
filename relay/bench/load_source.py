"""The provider of a load test, as a process: `python -m relay.bench.load_source SECONDS`.

It gives every request so much audio as fast as it is taken, in pieces of 8 KiB: whoever is paced makes it wait.
"""

import asyncio
import signal
import sys

from relay.testing.audio import speech_like
from relay.testing.fake_provider import FakeProvider, FakeRequest
from relay.testing.scenarios import scenario
from relay.testing.script import Script, Send, Status, pieces

PIECE_BYTES = 8192
# Speech of a few seconds, said again: what it says does not matter here.
SAID_S = 4.0


async def main(seconds: float) -> None:
    said = speech_like(min(seconds, SAID_S))
    size_bytes = int(seconds * 24000) * 2
    audio = (said * (size_bytes // len(said) + 1))[:size_bytes]
    speech: Script = (
        Status(200, {"content-type": "audio/pcm"}),
        *(Send(piece) for piece in pieces(audio, PIECE_BYTES)),
    )

    def answer(request: FakeRequest) -> Script:
        return speech if request.method == "POST" else scenario("status_404")

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with FakeProvider(answer) as fake:
        sys.stderr.write(f"listening on {fake.url}\n")
        sys.stderr.flush()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
