"""One turn without sockets: a provider and a driver of the test's, and everything that its listener gets."""

import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from relay.core.events import Event, SegmentStarted, SessionDefaults, SessionLimits, TurnFailedOver, TurnRequest
from relay.core.formats import AudioRequest
from relay.core.playout import Playout, Run
from relay.core.record import TurnEnded, TurnRecord
from relay.engine.candidates import Candidate
from relay.engine.concurrency import ConcurrencyLimiter
from relay.engine.one_shot import OneShot
from relay.engine.text import Taken
from relay.engine.ticker import Ticker
from relay.engine.turn import TurnSettings
from relay.errors import RelayError
from relay.providers.base.provider import SpeechRequest


class Accounts:
    """Keeps the ends that it is told of."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.ticker = Ticker(clock=clock)
        self.ended: list[TurnEnded] = []
        self.abandoned: list[TurnRecord] = []

    def turn_opened(self, record: TurnRecord, playout: Playout) -> None:
        """Not of interest."""

    def turn_ended(self, ended: TurnEnded, session_id: str | None) -> None:
        self.ended.append(ended)

    def turn_abandoned(self, record: TurnRecord, session_id: str | None) -> None:
        self.abandoned.append(record)

    def error_told(self, error: RelayError) -> None:
        """Not of interest."""

    def underran(self, count: int, ms: float) -> None:
        """Not of interest."""


class Counted:
    """The part of a speaker that text knows: how much of it was taken."""

    def __init__(self) -> None:
        self.chars = 0

    def taken(self, turn_id: str, chars: int) -> None:
        self.chars += chars


def taken(counted: Counted | None = None) -> Taken:
    return Taken("t", counted or Counted())  # type: ignore[arg-type]


class Drivers:
    """One driver for segments, one for conversations."""

    def __init__(self, driver: Any, dialogues: Any = None) -> None:
        self.open = driver.open
        self.converse = getattr(dialogues, "converse", None)


@dataclass
class Heard:
    """What a listener got, in order, each with the instant at which it left; and how the turn ended."""

    record: TurnRecord
    contents: list[Run | Event] = field(default_factory=list)
    instants_s: list[float] = field(default_factory=list)
    error: RelayError | None = None

    @property
    def audio(self) -> bytes:
        return b"".join(item.payload for item in self.contents if isinstance(item, Run))

    @property
    def texts(self) -> list[str]:
        return [item.text for item in self.contents if isinstance(item, SegmentStarted)]

    @property
    def failovers(self) -> list[TurnFailedOver]:
        return [item for item in self.contents if isinstance(item, TurnFailedOver)]

    @property
    def frames_s(self) -> list[float]:
        """When each frame left."""
        return [
            at_s
            for item, at_s in zip(self.contents, self.instants_s, strict=True)
            if isinstance(item, Run)
            for _ in range(item.frames)
        ]


def settings(driver: Any, *providers: Any, dialogues: Any = None, **audio: Any) -> TurnSettings:
    return TurnSettings(
        audio=AudioRequest(**audio),
        candidates=tuple(
            Candidate(provider=each, speech=each.resolve(SpeechRequest()), limiter=ConcurrencyLimiter(each.name))
            for each in providers
        ),
        drivers=Drivers(driver, dialogues),  # type: ignore[arg-type]
    )


def one_shot(
    of: TurnSettings, *, clock: Callable[[], float] = time.monotonic, accounts: Accounts | None = None, **request: Any
) -> OneShot:
    """A turn to be spoken as `of` says; `request` holds fields of TurnRequest."""
    return OneShot(
        accounts or Accounts(clock),
        TurnRequest(**request),
        defaults=SessionDefaults(provider="fake", audio=of.audio),
        limits=SessionLimits(),
        check=lambda opened: of,
        clock=clock,
    )


async def listen(turn: OneShot, *, clock: Callable[[], float] = time.monotonic) -> Heard:
    """Takes everything as it comes, up to the end."""
    heard = Heard(turn.record)
    try:
        async with aclosing(turn.contents()) as contents:
            async for item in contents:
                heard.contents.append(item)
                heard.instants_s.append(clock())
    except RelayError as error:
        heard.error = error
    return heard


async def spoken(of: TurnSettings, text: str, *, clock: Callable[[], float] = time.monotonic, **request: Any) -> Heard:
    """Everything a listener gets of a turn with this text."""
    async with one_shot(of, clock=clock, **request) as turn:
        turn.append(text)
        turn.end_input()
        return await listen(turn, clock=clock)
