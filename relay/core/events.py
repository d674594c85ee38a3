"""The vocabulary: commands come in from a client, events go out to it. This file does not know how either looks on
a wire.

Every message is frozen and keyword-only. A `turn_id` of None in a command means the turn opened last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypeAlias

from relay.core.allowance import Rate
from relay.core.formats import AudioRequest, FrameFormat
from relay.errors import ClientError, Code, RelayError

PacingMode = Literal["fast", "realtime"]
DEFAULT_LEAD_MS = 200
MAX_LEAD_MS = 60_000
MAX_WINDOW_MS = 600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """When frames may leave: as soon as they exist, or at most `lead_ms` before they are due to be heard."""

    mode: PacingMode = "fast"
    lead_ms: int = DEFAULT_LEAD_MS
    # Frames leave together, when the lead has fallen by this much; None: half of the lead.
    burst_ms: int | None = None

    @property
    def group_ms(self) -> int:
        """`burst_ms`, resolved."""
        return self.lead_ms // 2 if self.burst_ms is None else self.burst_ms

    def __post_init__(self) -> None:
        if self.mode not in ("fast", "realtime"):
            raise ClientError(Code.INVALID_CONFIG, f"pacing.mode is {self.mode!r}; it must be fast or realtime")
        if not 0 <= self.lead_ms <= MAX_LEAD_MS:
            raise ClientError(
                Code.INVALID_CONFIG, f"pacing.lead_ms is {self.lead_ms}; it must be from 0 to {MAX_LEAD_MS}"
            )
        if self.burst_ms is not None and not 0 <= self.burst_ms <= self.lead_ms:
            raise ClientError(
                Code.INVALID_CONFIG,
                f"pacing.burst_ms is {self.burst_ms}; it must be from 0 to pacing.lead_ms, which is {self.lead_ms}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderChoice:
    """One of the providers that may speak a turn, with settings of its own; None means the turn's, or a default."""

    provider: str
    voice: str | None = None
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRequest:
    """What a client asks of a turn, as it said it: None and absent keys mean the server's defaults.

    `audio` and `pacing` hold the given fields only; `AudioRequest` and `Pacing` check them once merged.
    """

    turn_id: str | None = None
    provider: str | None = None
    # More than one: each is tried when the one before it has failed. The other fields are the first one's.
    providers: tuple[ProviderChoice, ...] = ()
    voice: str | None = None
    model: str | None = None
    language: str | None = None
    instructions: str | None = None
    audio: Mapping[str, Any] = field(default_factory=dict)
    pacing: Mapping[str, Any] = field(default_factory=dict)
    window_ms: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    # What is left out before the text is spoken, by the names of `text.filters`.
    text_filter: Sequence[str] | None = None
    # Words and how they are said, over those of the configuration: see `text.lexicon`.
    lexicon: Mapping[str, Any] | None = None
    # The caller's span (see `core.traceparent`), of which the turn is a part.
    traceparent: str | None = None
    # False: not kept in the history, whatever the server does with others.
    history: bool | None = None


# Commands: what a client may say.


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTurn:
    request: TurnRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Speak:
    """A whole turn in one message."""

    request: TurnRequest
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendText:
    text: str = field(repr=False)
    turn_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushText:
    """Answered by `FlushDone` with the same `flush_id`."""

    turn_id: str | None = None
    flush_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndTurn:
    turn_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTurn:
    """Without `turn_id`: every turn not yet finished. `played_samples` is how far the listener has heard the turn that
    it hears."""

    turn_id: str | None = None
    played_samples: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantFlow:
    ms: int
    turn_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPlayback:
    """How far the listener has heard; and, since the report before, how often it had nothing to play, and how long."""

    turn_id: str
    samples: int
    underruns: int = 0
    underrun_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    id: str | int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseSession:
    """`finish`: what was begun is spoken first, as if each open turn were ended."""

    finish: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A message that the protocol could not read. `opens_turn`: it would have opened one, known to its sender by
    `turn_id`, so that text without a turn id which follows is not meant for an older turn. `fatal`: the protocol does
    not go on after it."""

    error: RelayError
    opens_turn: bool = False
    turn_id: str | None = None
    fatal: bool = False


Command: TypeAlias = (
    StartTurn
    | Speak
    | AppendText
    | FlushText
    | EndTurn
    | CancelTurn
    | GrantFlow
    | ReportPlayback
    | Ping
    | CloseSession
    | Unreadable
)


# Events: what a client is told.


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDefaults:
    """What a turn gets that asks for nothing."""

    provider: str
    # Who goes on for turns that name no provider, in order.
    fallbacks: tuple[str, ...] = ()
    voice: str | None = None
    audio: AudioRequest = field(default_factory=AudioRequest)
    pacing: Pacing = field(default_factory=Pacing)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """What one session may do; each bound is a protection of the others."""

    # A message of text is a few hundred bytes; 256 KiB holds the longest turn even as \\uXXXX escapes.
    max_message_bytes: int = 256 * 1024
    # About an hour of speech.
    max_turn_chars: int = 40_000
    # One being spoken, one ready, a few typed ahead.
    max_open_turns: int = 8
    idle_timeout_s: float = 300.0
    # Text waiting to be spoken above which a client is asked to pause; about two minutes of speech.
    text_high_water_chars: int = 2000
    text_low_water_chars: int = 1000
    # Turns that may be opened; flushes of new text may be FLUSHES_PER_TURN times as many. None: as many as come.
    turns: Rate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReady:
    session_id: str
    limits: SessionLimits
    defaults: SessionDefaults


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted:
    turn_id: str
    turn_index: int
    provider: str
    voice: str
    model: str | None
    frame_format: FrameFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnWaiting:
    """All places at the provider are taken; the turn waits for one."""

    turn_id: str
    provider: str


class Progress(StrEnum):
    """How far a provider is with what it speaks as a job, in its own words put into ours."""

    QUEUED = "queued"
    RUNNING = "running"
    DOWNLOADING = "downloading"  # finished, and being fetched


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnProgressed:
    """The provider speaks by jobs, and one that the listener waits for is in this state, `waited_ms` after it was
    asked for."""

    turn_id: str
    provider: str
    state: Progress
    waited_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFailedOver:
    """A provider has failed with `code`; the audio from `at_sample` on is another one's, in the same format."""

    turn_id: str
    from_provider: str
    to_provider: str
    voice: str
    code: Code
    at_sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioStarted:
    """The turn's first frame follows. `timings` are those so far."""

    turn_id: str
    ttfa_ms: float
    timings: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentStarted:
    """The audio from `start_sample` on speaks `text`."""

    turn_id: str
    index: int
    text: str = field(repr=False)
    start_sample: int


@dataclass(frozen=True, slots=True)
class Word:
    """A word on the turn's own sample clock."""

    text: str = field(repr=False)
    start_sample: int
    end_sample: int

    def moved(self, samples: int) -> "Word":
        """So many samples earlier, at the earliest at the turn's beginning."""
        return Word(self.text, max(0, self.start_sample - samples), max(0, self.end_sample - samples))


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsTimed:
    turn_id: str
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPaused:
    turn_id: str
    pending_chars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextResumed:
    turn_id: str
    pending_chars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushDone:
    """All text up to the flush has been spoken, up to `end_sample`."""

    turn_id: str
    flush_id: str | None
    end_sample: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnDone:
    """`damaged_ms` is audio that could not be decoded, and was left out or silenced; `warnings` what is odd about the
    audio, with how many of the turn's replies it is true of."""

    turn_id: str
    frames: int
    samples: int
    padding_samples: int
    duration_ms: float
    text_chars: int
    timings: Mapping[str, object]
    provider_ids: Mapping[str, str]
    damaged_ms: float = 0.0
    warnings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnCancelled:
    """`text_sent` is the text whose audio had begun to be sent; `samples_played` what the client reported, and
    `text_played` the text whose audio had begun by then."""

    turn_id: str
    frames: int
    samples_sent: int
    samples_played: int | None
    text_sent: str = field(repr=False)
    text_played: str | None = field(repr=False)
    timings: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """`turn_id` is set when the error ends that turn."""

    error: RelayError
    turn_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    id: str | int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """Nothing follows: the connection is to be closed, for `error`, or as the client asked."""

    error: RelayError | None = None


Event: TypeAlias = (
    SessionReady
    | TurnStarted
    | TurnWaiting
    | TurnProgressed
    | TurnFailedOver
    | AudioStarted
    | SegmentStarted
    | WordsTimed
    | FlushDone
    | TextPaused
    | TextResumed
    | TurnDone
    | TurnCancelled
    | Failed
    | Pong
    | SessionEnded
)
