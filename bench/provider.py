"""A provider for the benchmarks: `python -m bench.provider SECONDS [pcm|mp3] [nagle]`."""

import asyncio
import sys
from pathlib import Path

from relay.testing.audio import speech_like
from relay.testing.fake_provider import FakeProvider
from relay.testing.script import Script, Send, Status, pieces

CHUNK_BYTES = 4096
MP3 = Path(__file__).parent.parent / "tests" / "golden" / "mp3" / "bare_24k.mp3"


async def main(seconds: float, kind: str = "pcm", writes: str = "") -> None:
    data = MP3.read_bytes() if kind == "mp3" else speech_like(seconds)
    content_type = "audio/mpeg" if kind == "mp3" else "audio/pcm"
    script: Script = (
        Status(200, {"content-type": content_type}),
        *(Send(piece) for piece in pieces(data, CHUNK_BYTES)),
    )
    async with FakeProvider(script, nagle=writes == "nagle") as fake:
        print(f"listening on {fake.url}", file=sys.stderr, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    import signal

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    asyncio.run(main(float(sys.argv[1]), *sys.argv[2:]))
