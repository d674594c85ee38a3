"""What a caller may ask of a turn. Whether a combination is possible the relay decides, and says what would be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

__all__ = ["Audio", "Encoding", "Flow", "Pacing", "TurnOptions"]

Encoding = Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """The shape of the audio; what is left out is the relay's default (24,000 Hz pcm_s16le mono, frames of 20 ms)."""

    encoding: Encoding | None = None
    sample_rate: int | Literal["native"] | None = None
    channels: Literal[1, 2] | None = None
    frame_ms: int | None = None
    tail: Literal["pad", "short"] | None = None

    def wire(self) -> dict[str, Any]:
        """The `audio` field of `turn.start`.

        Headers are always asked for: only they tell padding and the last frame as it arrives, and only they prove,
        frame by frame, that nothing is missing, repeated or left over from another turn.
        """
        return _given(
            encoding=self.encoding,
            sample_rate=self.sample_rate,
            channels=self.channels,
            frame_ms=self.frame_ms,
            tail=self.tail,
            header=True,
        )


@dataclass(frozen=True, slots=True)
class Pacing:
    """`fast`: as soon as audio exists. `realtime`: at the speed of listening, at most `lead_ms` ahead, in groups of
    up to `burst_ms` (half of the lead if left out; 0: each frame at its own instant)."""

    mode: Literal["fast", "realtime"]
    lead_ms: int | None = None
    burst_ms: int | None = None

    def wire(self) -> dict[str, Any]:
        """The `pacing` field of `turn.start`."""
        return _given(mode=self.mode, lead_ms=self.lead_ms, burst_ms=self.burst_ms)


@dataclass(frozen=True, slots=True)
class Flow:
    """Credit: the relay sends at most `window_ms` of audio beyond what has been granted.

    With `auto_grant` every frame the caller takes is granted anew, in batches of half a window; without it only
    `Turn.grant` grants.
    """

    window_ms: int
    auto_grant: bool = True

    def __post_init__(self) -> None:
        if self.window_ms <= 0:
            raise ValueError(f"window_ms is {self.window_ms}; it must be positive, and at least one frame long")

    def wire(self) -> dict[str, Any]:
        """The `flow` field of `turn.start`."""
        return {"window_ms": self.window_ms}


class TurnOptions(TypedDict, total=False):
    """The keyword arguments of `Session.speak` and `Session.start_turn`; each left out is the relay's default."""

    turn_id: str
    provider: str
    voice: str
    model: str
    language: str
    instructions: str
    audio: Audio
    pacing: Pacing | Literal["fast", "realtime"]
    flow: Flow
    options: Mapping[str, Any]
    traceparent: str


def start_fields(given: TurnOptions) -> dict[str, Any]:
    """The fields of `turn.start` and `speak` that stand for `given`."""
    fields: dict[str, Any] = {
        name: given.get(name)
        for name in ("turn_id", "provider", "voice", "model", "language", "instructions", "traceparent")
    }
    pacing, flow, options = given.get("pacing"), given.get("flow"), given.get("options")
    fields["audio"] = (given.get("audio") or Audio()).wire()
    fields["pacing"] = (Pacing(pacing) if isinstance(pacing, str) else pacing).wire() if pacing else None
    fields["flow"] = flow.wire() if flow else None
    fields["options"] = dict(options) if options else None
    return _given(**fields)


def _given(**fields: Any) -> dict[str, Any]:
    """Without the fields that were left out: absent means the relay's default, null would be a value."""
    return {name: value for name, value in fields.items() if value is not None}
