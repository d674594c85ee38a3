"""A turn that was kept after it ended. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAudio:
    """The file of a kept turn: `bytes` bytes of WAV, in the turn's own encoding."""

    media_type: str
    bytes: int
    duration_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTurn:
    """`owner` is the client that asked for the turn; `created_at_s` is when it began, in seconds since the Unix epoch.

    `text` is the text whose audio was sent: for a turn that is done, all of it. `error` is the code of a turn that
    failed. `audio` is None where there was none, or where it could not be kept.
    """

    id: str
    owner: str
    turn_id: str
    outcome: Outcome
    created_at_s: float
    text: str = field(repr=False)
    provider: str
    voice: str
    model: str | None = None
    encoding: str | None = None
    sample_rate_hz: int | None = None
    channels: int | None = None
    ttfa_ms: float | None = None
    error: str | None = None
    provider_ids: Mapping[str, str] = field(default_factory=dict)
    audio: KeptAudio | None = None
