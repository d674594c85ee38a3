"""Interrupts a turn and speaks again on the same session, as a voice agent does when its listener starts to talk.

::

    python barge_in.py --after-ms 600

Pacing `realtime` keeps what is under way short: when the interruption comes, little has been sent that was not heard.
What was not heard can be told apart to the segment, for the next prompt of a language model.
"""

import argparse
import asyncio
import sys

from relay_client import DEFAULT_URL, Pacing, RelayClientError, Session, Turn, TurnDone, connect

LONG = (
    "Let me tell you about the weather. In the north it rains. In the south the sun shines. In the east there is wind. "
    "In the west nobody has looked yet, but somebody will go there tomorrow and then we shall know."
)


async def listen(turn: Turn) -> int:
    """Takes the turn's frames as a player would. Ends when the turn is done or cancelled. Returns the samples heard."""
    samples = 0
    async for frame in turn:
        samples += frame.samples
    return samples


async def interrupt(session: Session, after_ms: int, lead_ms: int) -> None:
    turn = await session.speak(LONG, pacing=Pacing("realtime", lead_ms))
    listener = asyncio.create_task(listen(turn))
    await asyncio.sleep(after_ms / 1000)
    # From this call on the listener gets nothing more, whatever is still on its way.
    ended = await turn.cancel(played_samples=turn.samples_read)
    heard = await listener
    if isinstance(ended, TurnDone):
        print(f"the turn was over before it could be interrupted: {ended.duration_ms:.0f} ms of speech")
    else:
        print(f"interrupted after {after_ms} ms: {ended.samples_sent} samples sent, {heard} heard")
        print(f"not heard to its end: {turn.unspoken_text(heard)!r}")
    again = await session.speak("Yes? I am listening.")
    await listen(again)
    print(f"spoke again on the same session: {again.summary.samples} samples, every one of the new turn")


async def run(arguments: argparse.Namespace) -> None:
    async with connect(arguments.url, key=arguments.key) as session:
        await interrupt(session, arguments.after_ms, arguments.lead_ms)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--after-ms", type=int, default=1500, help="when the listener starts to talk")
    parser.add_argument("--lead-ms", type=int, default=200, help="how far the relay may send ahead of the ear")
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
