"""What is known of a turn while it is being measured, and the seam between the plan and the ways a turn can take."""

from dataclasses import asdict, dataclass
from typing import Protocol

from relay.bench.plan import Shot
from relay.bench.record import Turn

__all__ = ["TIMEOUT_CODE", "Spoken", "Way"]

# What a turn failed with that took longer than the measurement waits.
TIMEOUT_CODE = "timeout"


@dataclass(slots=True, kw_only=True)
class Spoken:
    """A turn so far; the fields are those of `record.Turn`. `start_s` is the clock when its text was sent."""

    start_s: float = 0.0
    spoken_by: str | None = None
    code: str | None = None
    connected_ms: float | None = None
    text_ready_ms: float | None = None
    place_given_ms: float | None = None
    request_sent_ms: float | None = None
    ttfb_ms: float | None = None
    first_sample_ms: float | None = None
    ttfa_ms: float | None = None
    leading_silence_ms: float | None = None
    relay_ms: float | None = None
    total_ms: float | None = None
    audio_ms: float | None = None
    connection_reused: bool | None = None
    cost_usd: float | None = None

    def since_start_ms(self, now_s: float) -> float:
        return round((now_s - self.start_s) * 1000, 3)

    def turn(self, index: int, shot: Shot, first_start_s: float) -> Turn:
        """As it is written down, now that it is over. A turn that ended well without any audio has failed."""
        case = shot.case
        code = self.code or ("no_audio" if self.ttfa_ms is None or not self.audio_ms else None)
        rtf = round(self.total_ms / self.audio_ms, 4) if self.total_ms is not None and self.audio_ms else None
        heard = self.ttfa_ms is not None and self.leading_silence_ms is not None
        known = {name: value for name, value in asdict(self).items() if name not in ("start_s", "code")}
        return Turn(
            index=index,
            at_s=round(self.start_s - first_start_s, 3),
            provider=case.target.provider,
            voice=case.target.voice,
            model=case.target.model,
            path=case.path.value,
            connection=case.connection.value,
            text=case.text.name,
            chars=len(shot.text),
            code=code,
            rtf=rtf,
            ttfs_ms=round((self.ttfa_ms or 0.0) + (self.leading_silence_ms or 0.0), 3) if heard else None,
            **known,
        )


class Way(Protocol):
    """A way from text to audio. One turn at a time."""

    async def speak(self, shot: Shot) -> Spoken:
        """Speaks one turn to its end. What goes wrong is its `code`; raises nothing but being cancelled."""
        ...
