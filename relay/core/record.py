"""What is known of one turn while it lives: written by the engine, read for the events that end it and for metrics."""

from dataclasses import dataclass, field

from relay.core.events import AudioStarted, Event, TurnCancelled, TurnDone, TurnFailedOver, TurnStarted
from relay.core.formats import FrameFormat
from relay.core.sent import SentAudio
from relay.core.timings import TurnTimings
from relay.core.transcript import Transcript
from relay.errors import RelayError

# The warning of headerless audio that would sound like audio in another encoding, and as it was played does not.
IMPLAUSIBLE = "implausible_audio"


@dataclass(slots=True, kw_only=True)
class TurnRecord:
    """One turn's facts. `sent` is kept by the playout."""

    turn_id: str
    index: int
    sent: SentAudio = field(default_factory=SentAudio)
    # The caller's span, of which the turn is a part.
    traceparent: str | None = None
    # None until the first audio of a turn at the provider's own rate.
    frame_format: FrameFormat | None = None
    # Who speaks it now.
    provider: str = ""
    voice: str = ""
    model: str | None = None
    text_chars: int = 0
    # The turn's sample at which what is fed next will be heard.
    position: int = 0
    # Text that no provider was given yet.
    pending_chars: int = 0
    # Flushes that have not been answered.
    open_flushes: int = 0
    provider_ids: dict[str, str] = field(default_factory=dict)
    failovers: list[TurnFailedOver] = field(default_factory=list)
    # How far the listener has heard, as it said.
    samples_played: int | None = None
    timings: TurnTimings = field(init=False)
    transcript: Transcript = field(default_factory=Transcript)

    def __post_init__(self) -> None:
        self.timings = TurnTimings(self.sent)

    def played(self, samples: int) -> None:
        """The listener says how far it has heard: no further than was sent."""
        self.samples_played = min(samples, self.sent.samples)

    def started(self) -> TurnStarted:
        assert self.frame_format is not None, "a turn is announced with its format"
        return TurnStarted(
            turn_id=self.turn_id,
            turn_index=self.index,
            provider=self.provider,
            voice=self.voice,
            model=self.model,
            frame_format=self.frame_format,
        )

    def audio_started(self) -> AudioStarted:
        return AudioStarted(turn_id=self.turn_id, ttfa_ms=self.timings.ttfa_ms or 0.0, timings=self.timings.report())

    def done(self) -> TurnDone:
        duration_ms = self.frame_format.duration_ms(self.sent.samples) if self.frame_format else 0.0
        tallies = self.timings.tallies.values()
        implausible = sum(tally.implausible_replies for tally in tallies)
        return TurnDone(
            turn_id=self.turn_id,
            frames=self.sent.frames,
            samples=self.sent.samples,
            padding_samples=self.sent.padding_samples,
            duration_ms=round(duration_ms, 3),
            text_chars=self.text_chars,
            timings=self.timings.report(),
            provider_ids=self.provider_ids,
            damaged_ms=round(sum(tally.damaged_ms for tally in tallies), 3),
            warnings={IMPLAUSIBLE: implausible} if implausible else {},
        )

    def cancelled(self) -> TurnCancelled:
        played = self.samples_played
        return TurnCancelled(
            turn_id=self.turn_id,
            frames=self.sent.frames,
            samples_sent=self.sent.samples,
            samples_played=played,
            text_sent=self.transcript.until(self.sent.samples),
            text_played=None if played is None else self.transcript.until(played),
            timings=self.timings.report(),
        )


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The event that ends a turn, with all that is known of it. `error` None: done or cancelled, as the event says."""

    record: TurnRecord
    event: Event
    error: RelayError | None = None
