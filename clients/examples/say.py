"""Says a text, through a relay, on the speaker, into a WAV file or down a pipe.

::

    python say.py "Hello there."
    python say.py "Hello there." --out hello.wav
    fortune | python say.py - --out - | aplay -t raw -f S16_LE -r 24000

With `-` for the text it is spoken as it comes in, line by line.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator

from relay_client import DEFAULT_URL, RawSink, RelayClientError, Sink, SinkError, SpeakerSink, WavSink, connect, play


async def say(arguments: argparse.Namespace) -> None:
    text = lines() if arguments.text == "-" else arguments.text
    wanted = {name: getattr(arguments, name) for name in ("provider", "voice") if getattr(arguments, name)}
    async with connect(arguments.url, key=arguments.key) as session, sink_for(arguments.out) as sink:
        turn = await session.speak(text, **wanted)
        done = await play(turn, sink)
    assert done is not None, "nobody cancels here"
    ttfa_ms = done.timings.ttfa_ms
    heard = "no audio" if ttfa_ms is None else f"first audio after {ttfa_ms:.0f} ms, {done.duration_ms / 1000:.2f} s"
    print(heard, file=sys.stderr)


async def lines() -> AsyncIterator[str]:
    """Standard input as it comes. Reading it blocks, so a thread does."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line


def sink_for(out: str | None) -> Sink:
    if out is None:
        return SpeakerSink()
    return RawSink() if out == "-" else WavSink(out)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", help="what to say; - reads standard input")
    parser.add_argument("--out", help="a WAV file, or - for raw audio on standard output (default: the speaker)")
    parser.add_argument("--url", default=DEFAULT_URL)
    parser.add_argument("--key", help="a key of the relay, if it asks for one")
    parser.add_argument("--provider")
    parser.add_argument("--voice")
    arguments = parser.parse_args(argv)
    try:
        asyncio.run(say(arguments))
    except SinkError as error:
        if isinstance(error.__cause__, BrokenPipeError):
            return 0  # whoever listened has heard enough
        print(error, file=sys.stderr)
        return 1
    except RelayClientError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
