"""Which turns are measured, in which order, and how much text that is. Pure: the same plan has the same order.

Every round has each case once, in an order drawn for that round. So a network that slows down slows all of them down,
and no case always follows the same other one.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from relay.bench.texts import Text

__all__ = ["Case", "Connection", "Path", "Plan", "Shot", "Target"]


class Path(StrEnum):
    """Which way a turn takes."""

    RELAY = "relay"
    # Past the relay: the provider is opened by the same adapter and driver, and its first sample decoded.
    DIRECT = "direct"


class Connection(StrEnum):
    """What is open when the turn begins: towards the relay through the relay, towards the provider past it."""

    WARM = "warm"
    COLD = "cold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Who speaks; None means the default."""

    provider: str
    voice: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is compared with what: turns of one case are repetitions of the same thing."""

    target: Target
    path: Path
    connection: Connection
    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One turn to be spoken. `round` is from 0, and -1 for one that warms up and is not counted."""

    case: Case
    round: int
    tell_language: bool = False

    @property
    def language(self) -> str | None:
        """What the provider is told of it."""
        return self.case.text.language if self.tell_language else None

    @property
    def text(self) -> str:
        # The turns of one round say different things, so that none warms a cache for another.
        way = 2 * (self.case.path is Path.DIRECT) + (self.case.connection is Connection.COLD)
        return self.case.text.said(4 * (self.round + 1) + way)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All of a measurement. `warm_ups` are turns before it for each target and path, which are not counted.
    `tell_language`: the provider is told the language of each text; not all of them want to be."""

    targets: Sequence[Target]
    paths: Sequence[Path]
    connections: Sequence[Connection]
    texts: Sequence[Text]
    rounds: int
    warm_ups: int = 1
    seed: int = 1
    tell_language: bool = False

    @property
    def cases(self) -> list[Case]:
        return [
            Case(target=target, path=path, connection=connection, text=text)
            for target in self.targets
            for text in self.texts
            for path in self.paths
            for connection in self.connections
        ]

    @property
    def warm_up_shots(self) -> list[Shot]:
        """With the first text, on the connection that warm turns use after it."""
        cases = [
            Case(target=target, path=path, connection=Connection.WARM, text=self.texts[0])
            for target in self.targets
            for path in self.paths
        ]
        return [self._shot(case, -1) for _ in range(self.warm_ups) for case in cases]

    @property
    def shots(self) -> list[Shot]:
        """The turns that count, in their order."""
        ordered: list[Shot] = []
        for round_ in range(self.rounds):
            cases = self.cases
            random.Random(f"{self.seed}:{round_}").shuffle(cases)
            ordered += [self._shot(case, round_) for case in cases]
        return ordered

    def chars_by_provider(self) -> dict[str, int]:
        """The characters that each provider is sent, warm-ups included."""
        sent = dict.fromkeys((target.provider for target in self.targets), 0)
        for shot in (*self.warm_up_shots, *self.shots):
            sent[shot.case.target.provider] += len(shot.text)
        return sent

    def _shot(self, case: Case, round_: int) -> Shot:
        return Shot(case=case, round=round_, tell_language=self.tell_language)
