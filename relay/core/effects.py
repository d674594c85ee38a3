"""What the session asks of the engine: the effects of a command, in order. What clients are told waits in the playout.

This file does not know how any of it is done.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

from relay.core.events import Pacing, TurnRequest
from relay.core.formats import AudioRequest
from relay.core.record import TurnEnded, TurnRecord
from relay.errors import RelayError


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
    # Where the engine writes what it learns of the turn.
    record: TurnRecord


@dataclass(frozen=True, slots=True)
class GiveText:
    turn_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Flush:
    turn_id: str
    flush_id: str | None = None


@dataclass(frozen=True, slots=True)
class EndText:
    turn_id: str


@dataclass(frozen=True, slots=True)
class StopTurns:
    """These turns have ended before their time, and nothing of them leaves any more: end their work. The client is told
    by the events, which wait to leave."""

    ended: tuple[TurnEnded, ...]


@dataclass(frozen=True, slots=True)
class NoteUnderruns:
    """The listener had nothing to play; its turn may be over here."""

    count: int
    ms: float


@dataclass(frozen=True, slots=True)
class CutOff:
    """The client leaves too many answers unread, so nothing more can be said to it: drop the connection."""

    error: RelayError


Effect: TypeAlias = OpenTurn | GiveText | Flush | EndText | StopTurns | NoteUnderruns | CutOff
