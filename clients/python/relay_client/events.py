"""What the relay tells: one frozen class per message of `relay.v1` that a caller may see.

Positions and counts are samples per channel, from the start of the turn; times are milliseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from relay_client.frames import AudioFormat, Frame

__all__ = [
    "AudioStarted",
    "Event",
    "Limits",
    "SegmentTimings",
    "SessionClosing",
    "SessionReady",
    "TextPaused",
    "TextResumed",
    "TextSegment",
    "TextWords",
    "Timings",
    "TurnCancelled",
    "TurnDone",
    "TurnFailover",
    "TurnProgress",
    "TurnStarted",
    "TurnWaiting",
    "Word",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the relay allows one session."""

    max_message_bytes: int
    max_turn_chars: int
    max_open_turns: int
    idle_timeout_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReady:
    """The relay's first message. `defaults` holds provider, voice, audio and pacing as they stand on the wire."""

    session_id: str
    limits: Limits
    defaults: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosing:
    """The relay is about to close the session; `retryable`: a new session may be opened."""

    reason: str
    retryable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted:
    turn_id: str
    turn_index: int
    provider: str
    voice: str
    model: str | None
    audio: AudioFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnWaiting:
    """All places at the provider are taken; the turn waits for one."""

    turn_id: str
    provider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnProgress:
    """The provider speaks by jobs: how far it is with the one that is waited for, `waited_ms` after it was asked.

    `state` is `queued`, `running` or `downloading`, or what a newer relay may say.
    """

    turn_id: str
    provider: str
    state: str
    waited_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFailover:
    """A provider has failed with `code`; the audio from `at_sample` on is another one's, in the same format."""

    turn_id: str
    from_provider: str
    to_provider: str
    voice: str
    code: str
    at_sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioStarted:
    """The next frame is the turn's first. `ttfa_ms` is the relay's own measure, from first text to first frame;
    `timings` are those so far."""

    turn_id: str
    ttfa_ms: float
    timings: "Timings | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSegment:
    """The audio from `start_sample` on speaks `text`."""

    turn_id: str
    index: int
    text: str = field(repr=False)
    start_sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    text: str = field(repr=False)
    start_sample: int
    end_sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextWords:
    turn_id: str
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushDone:
    """All text up to a flush is spoken, up to `end_sample`; `flush_id` is what `Turn.flush` was given."""

    turn_id: str
    flush_id: str | None
    end_sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPaused:
    """The relay has more text than it can speak soon and asks for no more."""

    turn_id: str
    pending_chars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextResumed:
    turn_id: str
    pending_chars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentTimings:
    """One request to the provider, in milliseconds after the turn's first text reached the relay; None where it did not
    happen. `index` is that of the first `TextSegment` it speaks, `audio_ms` how much audio came of it."""

    index: int
    text_ready: float | None = None
    place_asked: float | None = None
    place_given: float | None = None
    request_sent: float | None = None
    response_headers: float | None = None
    first_byte: float | None = None
    first_sample: float | None = None
    last_byte: float | None = None
    audio_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Milliseconds after the turn's first text reached the relay; None where it did not happen.

    `min_ahead_ms` is the least by which synthesis was ahead of a listener that began with the first frame and played
    on: below zero, so much prebuffer would have been needed to hear no gap.
    """

    text_ready: float | None = None
    place_asked: float | None = None
    place_given: float | None = None
    request_sent: float | None = None
    response_headers: float | None = None
    first_byte: float | None = None
    first_sample: float | None = None
    first_frame_complete: float | None = None
    first_frame: float | None = None
    last_byte: float | None = None
    last_frame: float | None = None
    ttfa_ms: float | None = None
    leading_silence_ms: float | None = None
    ttfs_ms: float | None = None
    relay_ms: float | None = None
    connection_reused: bool | None = None
    min_ahead_ms: float | None = None
    segments: tuple[SegmentTimings, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnDone:
    """All of the text was spoken and all of its audio sent. `samples` counts speech, `padding_samples` does not;
    `damaged_ms` is audio that could not be decoded and was left out or silenced. `warnings` counts replies that were
    played although something is odd about them, by name: see `turn.done` in the protocol."""

    turn_id: str
    frames: int
    samples: int
    padding_samples: int
    duration_ms: float
    text_chars: int
    timings: Timings
    provider_ids: Mapping[str, str]
    damaged_ms: float = 0.0
    warnings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnCancelled:
    """The turn was stopped. `text_sent` is the text whose audio the relay had begun to send. `text_played` is the text
    whose audio had begun to play by `samples_played`; it is None if the client did not report a position."""

    turn_id: str
    frames: int
    samples_sent: int
    samples_played: int | None
    text_sent: str = field(repr=False)
    timings: Timings
    text_played: str | None = field(default=None, repr=False)


Event: TypeAlias = (
    Frame
    | TurnStarted
    | TurnWaiting
    | TurnProgress
    | TurnFailover
    | AudioStarted
    | TextSegment
    | TextWords
    | FlushDone
    | TextPaused
    | TextResumed
)
"""What `Turn.events` gives, in the order in which the relay sent it."""
