"""What the session tells the shell to do: the effects of a command, in order.

This file does not know how any of it is done.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

from relay.core.events import Event, Pacing, TurnRequest
from relay.core.formats import AudioRequest
from relay.errors import RelayError


@dataclass(frozen=True, slots=True)
class Tell:
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTurn:
    """Start a turn with checked, complete settings."""

    turn_id: str
    turn_index: int
    provider: str
    request: TurnRequest
    audio: AudioRequest
    pacing: Pacing
    # What the check of the provider's own settings made of them.
    checked: Any = None


@dataclass(frozen=True, slots=True)
class GiveText:
    turn_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Flush:
    turn_id: str


@dataclass(frozen=True, slots=True)
class EndText:
    turn_id: str


@dataclass(frozen=True, slots=True)
class Grant:
    turn_id: str
    ms: int


@dataclass(frozen=True, slots=True)
class NotePlayed:
    turn_id: str
    samples: int


@dataclass(frozen=True, slots=True)
class NoteUnderruns:
    """The listener had nothing to play; its turn may be over here."""

    count: int
    ms: float


@dataclass(frozen=True, slots=True)
class StopTurn:
    """Cancel: drop what has not been sent, stop the provider, answer `turn.cancelled` at once."""

    turn_id: str


@dataclass(frozen=True, slots=True)
class FailTurn:
    """End the turn with an error at once, as a cancel does."""

    turn_id: str
    error: RelayError


@dataclass(frozen=True, slots=True)
class Close:
    """Every live turn has been stopped; close the connection as asked for by the client."""


Effect: TypeAlias = (
    Tell | OpenTurn | GiveText | Flush | EndText | Grant | NotePlayed | NoteUnderruns | StopTurn | FailTurn | Close
)
