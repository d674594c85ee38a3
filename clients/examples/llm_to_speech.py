"""Speaks the tokens of a language model as they are generated, and shows when what happened.

::

    python llm_to_speech.py --out answer.wav
    python llm_to_speech.py --tokens-per-s 200

The model is a simulation: it gives the words of an answer at a steady pace, the first after a while. In its place comes
any async iterator of str, such as the text deltas of an LLM's streaming interface.
"""

import argparse
import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator

from relay_client import DEFAULT_URL, Frame, RelayClientError, TextSegment, WavSink, connect

ANSWER = (
    "Good question. A voice agent feels quick when it starts to speak early, not when it thinks fast. "
    "So the first sentence goes out while the second is still being written. "
    "And if you interrupt me, I stop."
)


class Clock:
    def __init__(self) -> None:
        self._start_s = time.monotonic()

    def say(self, what: str) -> None:
        print(f"{(time.monotonic() - self._start_s) * 1000:7.0f} ms  {what}")


async def generate(clock: Clock, tokens_per_s: float, first_token_s: float) -> AsyncIterator[str]:
    """Stands in for a language model."""
    await asyncio.sleep(first_token_s)
    clock.say("first token of the answer")
    for token in re.findall(r"\s*\S+", ANSWER):
        yield token
        await asyncio.sleep(1 / tokens_per_s)
    clock.say("last token of the answer")


async def answer(arguments: argparse.Namespace) -> None:
    async with connect(arguments.url, key=arguments.key) as session, WavSink(arguments.out) as sink:
        clock = Clock()
        turn = await session.speak(generate(clock, arguments.tokens_per_s, arguments.first_token_s))
        async for event in turn.events():
            match event:
                case TextSegment(text=text, start_sample=start):
                    clock.say(f"audio from sample {start} on says {text.strip()!r}")
                case Frame():
                    if event.pts == 0:
                        clock.say("first audio")
                        await sink.start(turn.audio)
                    await sink.write(event)
        clock.say("last audio")
        done = turn.summary
        print(f"{done.duration_ms / 1000:.2f} s of speech in {done.frames} frames -> {arguments.out}")
        print(f"time to first audio {done.timings.ttfa_ms} ms, of it the relay's own {done.timings.relay_ms} ms")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens-per-s", type=float, default=25.0)
    parser.add_argument("--first-token-s", type=float, default=0.3, help="how long the model thinks first")
    parser.add_argument("--out", default="answer.wav")
    parser.add_argument("--url", default=DEFAULT_URL)
    parser.add_argument("--key", help="a key of the relay, if it asks for one")
    try:
        asyncio.run(answer(parser.parse_args(argv)))
    except RelayClientError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
