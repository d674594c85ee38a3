"""Audio for a telephone line: 8 kHz mulaw in frames of 20 ms, 160 bytes each, at the speed of listening.

::

    python telephony_mulaw.py --out call.wav
    python telephony_mulaw.py --out call.ulaw        # bare bytes, as an RTP stream would carry them

Where the file is written a bridge would hand each payload to the line: every frame is whole, the last one filled with
silence, and none comes much earlier than it is due.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path

from relay_client import DEFAULT_URL, Audio, Pacing, RawSink, RelayClientError, Sink, WavSink, connect

TEXT = "Thank you for calling. All our lines are open. How can I help you?"
# G.711 at 8000 Hz, packets of 20 ms: RFC 3551, 4.5.14 and table 1.
FRAME_MS, FRAME_BYTES = 20, 160


async def call(arguments: argparse.Namespace, sink: Sink) -> None:
    audio = Audio(encoding="mulaw", sample_rate=8000, frame_ms=FRAME_MS)
    async with connect(arguments.url, key=arguments.key) as session:
        turn = await session.speak(arguments.text, audio=audio, pacing=Pacing("realtime", arguments.lead_ms))
        start_s = 0.0
        most_early_ms = most_late_ms = 0.0
        async for frame in turn:
            now_s = time.monotonic()
            if frame.pts == 0:
                await sink.start(turn.audio)
                start_s = now_s
            assert len(frame.payload) == FRAME_BYTES, "the line takes whole frames only"
            await sink.write(frame)
            # How long before it is due, had the line begun to play with the first frame.
            early_ms = turn.audio.duration_ms(frame.pts) - (now_s - start_s) * 1000
            most_early_ms, most_late_ms = max(most_early_ms, early_ms), max(most_late_ms, -early_ms)
        done = turn.summary
        print(f"{done.frames} frames of {FRAME_BYTES} bytes, {done.padding_samples} samples of silence in the last")
        print(f"at most {most_early_ms:.0f} ms before they were due, at worst {most_late_ms:.0f} ms after")


async def run(arguments: argparse.Namespace) -> None:
    path = Path(arguments.out)
    if path.suffix == ".wav":
        async with WavSink(path, padding=True) as sink:
            await call(arguments, sink)
        return
    with path.open("wb") as file:  # noqa: ASYNC230 - opened once, before the call
        await call(arguments, RawSink(file, padding=True))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="?", default=TEXT)
    parser.add_argument("--out", default="call.wav", help="a file ending in .wav, or in anything else for bare bytes")
    parser.add_argument("--lead-ms", type=int, default=60, help="the cushion of the line's jitter buffer")
    parser.add_argument("--url", default=DEFAULT_URL)
    parser.add_argument("--key", help="a key of the relay, if it asks for one")
    try:
        asyncio.run(run(parser.parse_args(argv)))
    except RelayClientError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
