"""What a caller may ask of a turn. Whether a combination is possible the relay decides, and says what would be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

__all__ = ["Audio", "Encoding", "Flow", "Pacing", "Pronunciation", "TextFilter", "TurnOptions"]

Encoding = Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]
TextFilter = Literal["markdown", "emoji", "urls", "code"]


class Pronunciation(TypedDict, total=False):
    """How a word of a lexicon is said: `alias` is a respelling, `ipa` is for providers that take phonemes."""

    alias: str
    ipa: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """The shape of the audio; what is left out is the relay's default (24,000 Hz pcm_s16le mono, frames of 20 ms).

    `gain_db` makes it louder or softer, with a limiter. `max_leading_silence_ms` leaves out longer silence before the
    first sound. `fade_ms` ends a cancelled turn with so much of its audio falling to silence: for
    `Turn.cancel(drain=True)`.
    """

    encoding: Encoding | None = None
    sample_rate: int | Literal["native"] | None = None
    channels: Literal[1, 2] | None = None
    frame_ms: int | None = None
    tail: Literal["pad", "short"] | None = None
    gain_db: float | None = None
    max_leading_silence_ms: int | None = None
    fade_ms: int | None = None

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
            gain_db=self.gain_db,
            max_leading_silence_ms=self.max_leading_silence_ms,
            fade_ms=self.fade_ms,
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
    """The keyword arguments of `Session.speak` and `Session.start_turn`; each left out is the relay's default.

    `text_filter` names what of the text is not spoken. `lexicon` maps words to respellings or `Pronunciation`s; it is
    laid over the relay's own. Texts in events stay those that were given.
    """

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
    text_filter: Sequence[TextFilter]
    lexicon: Mapping[str, str | Pronunciation]
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
    text_filter, lexicon = given.get("text_filter"), given.get("lexicon")
    # A string is a sequence too: the relay says what is wrong with it.
    fields["text_filter"] = text_filter if text_filter is None or isinstance(text_filter, str) else list(text_filter)
    fields["lexicon"] = None if lexicon is None else dict(lexicon)
    return _given(**fields)


def _given(**fields: Any) -> dict[str, Any]:
    """Without the fields that were left out: absent means the relay's default, null would be a value."""
    return {name: value for name, value in fields.items() if value is not None}
