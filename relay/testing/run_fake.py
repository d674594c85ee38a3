"""The fake provider as a program: one scenario for every request, until SIGTERM or Ctrl-C."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from relay.testing.audio import speech_like
from relay.testing.fake_provider import FakeProvider, FakeRequest
from relay.testing.scenarios import Clip, scenario
from relay.testing.script import Script

CONTENT_TYPES = {".wav": "audio/wav", ".mp3": "audio/mpeg"}

# A path as it is shown: enough to tell a voice from another.
SHOWN_CHARS = 120

# The key and the voice are taken as they come; the relay just wants to have some.
POINT_AT_IT = """Listening on {url}, playing {name} to every request. Point a relay at it:

  BREEZE_BASE_URL={url} BREEZE_API_KEY=any BREEZE_VOICE=any RELAY_DEFAULTS_PROVIDER=breeze relay serve
"""


def read_clip(path: Path) -> Clip:
    """A file as a provider would send it. Raises ValueError where its suffix does not say what it is."""
    if (suffix := path.suffix.lower()) not in CONTENT_TYPES:
        raise ValueError(f"{path.name} must end in one of {', '.join(CONTENT_TYPES)}")
    return Clip(path.read_bytes(), CONTENT_TYPES[suffix])


def made_clip(seconds: float) -> Clip:
    """Something like speech, as headerless PCM at 24 kHz."""
    return Clip(speech_like(seconds), "audio/pcm")


async def run_fake(name: str, clip: Clip, *, say: Callable[[str], None], port: int = 0) -> None:
    """Serves until a signal. `say` is given the address first, then a line per request, never anything of its body.

    Raises KeyError for an unknown scenario, OSError where the port cannot be had. A client that speaks no HTTP is
    counted and told at the end: that is its fault.
    """
    script = scenario(name, clip)
    answered = 0

    def answer(request: FakeRequest) -> Script:
        nonlocal answered
        answered += 1
        path = request.path[:SHOWN_CHARS].encode("unicode_escape").decode("ascii")
        say(f"{answered} {request.method} {path} <- {name}")
        return script

    try:
        with _signalled() as stopped:
            async with FakeProvider(answer, port=port) as fake:
                say(POINT_AT_IT.format(url=fake.url, name=name))
                await stopped.wait()
    except* ValueError as group:
        say(f"{len(group.exceptions)} requests were no HTTP")
    say(f"{answered} requests answered")


@contextmanager
def _signalled() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
