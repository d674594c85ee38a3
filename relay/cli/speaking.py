"""What speaks for a command: a relay's engine in this process, or a relay in a process of its own."""

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

from relay.cli.settings import load_config

if TYPE_CHECKING:
    from relay_client import AudioFormat, TurnDone, TurnStarted
    from relay_client.events import Event

    from relay.core.playout import Run
    from relay.engine.one_shot import OneShot

__all__ = ["EngineTurn", "engine_turn", "relay_process"]


class EngineTurn:
    """A turn of an engine in this process, with what `relay_client.play` wants of a client's turn.

    `events` raises RelayError where a client would be told of an error.
    """

    def __init__(self, one_shot: "OneShot") -> None:
        self._one_shot = one_shot
        self.started: TurnStarted | None = None
        self.outcome: TurnDone | None = None

    @property
    def audio(self) -> "AudioFormat":
        assert self.started is not None, "asked for when there is audio"
        return self.started.audio

    @property
    def summary(self) -> "TurnDone":
        assert self.outcome is not None, "asked for at the end"
        return self.outcome

    async def events(self) -> "AsyncIterator[Event]":
        from relay_client import TurnDone, TurnStarted
        from relay_client.wire import parse

        from relay.core.playout import Run
        from relay.protocols.native_events import encode

        async with aclosing(self._one_shot.contents()) as contents:
            async for item in contents:
                if isinstance(item, Run):
                    for frame in _frames(item):
                        yield frame
                    continue
                event: Any = parse(encode(item).decode())
                if isinstance(event, TurnDone):
                    self.outcome = event
                    return
                if isinstance(event, TurnStarted):
                    self.started = event
                yield event


@asynccontextmanager
async def engine_turn(
    source: str | AsyncIterable[str], config_path: str | None, *, audio: dict[str, Any], **options: Any
) -> AsyncIterator[EngineTurn]:
    """A turn that speaks `source` as it comes, on an engine that is started for it. Raises RelayError for settings that
    cannot be."""
    from relay import log
    from relay.core.events import TurnRequest
    from relay.engine.engine import Engine
    from relay.engine.one_shot import OneShot

    config = load_config(config_path)
    log.configure("error", "text")  # the command tells what went wrong
    engine = Engine(config)
    async with engine.running():
        one_shot = OneShot(
            engine,
            # The client's reader of turns wants headers announced.
            TurnRequest(audio={**audio, "header": True}, **options),
            defaults=engine.defaults,
            limits=engine.limits.session,
            check=engine.settings,
        )
        async with one_shot:
            giving = asyncio.create_task(_give(one_shot, source))
            try:
                yield EngineTurn(one_shot)
            finally:
                giving.cancel()
                await asyncio.wait([giving])


async def _give(one_shot: "OneShot", source: str | AsyncIterable[str]) -> None:
    from relay.errors import RelayError

    with suppress(RelayError):  # it ends the turn, and is raised where that is read
        if isinstance(source, str):
            one_shot.append(source)
        else:
            async for text in source:
                one_shot.append(text)
        one_shot.end_input()


def _frames(run: "Run") -> "list[Event]":
    from relay_client import Frame

    size, step = run.frame_format.frame_bytes, run.frame_format.frame_samples
    frames: list[Event] = []
    for number in range(run.frames):
        final = number == run.frames - 1
        padding = run.padding if final else 0
        samples = run.samples - number * step if final else step
        payload = run.payload[number * size : (number + 1) * size]
        frames.append(Frame(payload, run.first_sample + number * step, samples, padding, run.last and final))
    return frames


@asynccontextmanager
async def relay_process(config_path: str | None) -> AsyncIterator[tuple[str, str]]:
    """A relay in a process of its own that only this one can use: what it does takes no time from who measures it."""
    from relay.bench.processes import listening

    own_key = token_urlsafe(32)
    environment = {
        **os.environ,
        "RELAY_SERVER_HOST": "127.0.0.1",
        "RELAY_SERVER_KEYS": own_key,
        # Turns that fail are counted and told by who measures.
        "RELAY_LOG_LEVEL": "error",
        "RELAY_LOG_FORMAT": "text",
    }
    chosen = ("--config", config_path) if config_path else ()
    async with listening("-m", "relay", "serve", "--port", "0", *chosen, environment=environment) as relay:
        yield f"ws://127.0.0.1:{relay.port}/v1/stream", own_key
