"""The instants of a turn -> the timings that the protocol reports. One monotonic clock, read by the caller."""

from dataclasses import dataclass, field
from enum import StrEnum


class Stage(StrEnum):
    """What happened, in the order in which it does. Milliseconds after the turn's first text in the report."""

    TEXT = "text"
    REQUEST_SENT = "request_sent"
    RESPONSE_HEADERS = "response_headers"
    FIRST_BYTE = "first_byte"
    FIRST_SAMPLE = "first_sample"
    FIRST_FRAME = "first_frame"
    LAST_BYTE = "last_byte"
    LAST_FRAME = "last_frame"


_LATEST = (Stage.LAST_BYTE, Stage.LAST_FRAME)


@dataclass(slots=True)
class Timings:
    """Instants in seconds of a monotonic clock. Of a `LAST_*` stage the latest counts, of any other the first."""

    instants_s: dict[Stage, float] = field(default_factory=dict)
    leading_silence_ms: float | None = None
    connection_reused: bool | None = None
    # Until when the first frame was held by the client's own wish: the turn before it, pacing, credit.
    held_until_s: float | None = None

    def mark(self, stage: Stage, now_s: float) -> None:
        if stage in _LATEST:
            self.instants_s[stage] = now_s
        else:
            self.instants_s.setdefault(stage, now_s)

    def after_text_ms(self, stage: Stage) -> float | None:
        """Milliseconds from the turn's first text to `stage`; None where either did not happen."""
        start, end = self.instants_s.get(Stage.TEXT), self.instants_s.get(stage)
        return None if start is None or end is None else round((end - start) * 1000, 3)

    @property
    def ttfa_ms(self) -> float | None:
        return self.after_text_ms(Stage.FIRST_FRAME)

    @property
    def relay_ms(self) -> float | None:
        """What the relay itself added between the provider's first byte and the first frame: not the time for which the
        frame had to wait for the turn before it, its instant, or credit."""
        first_byte, first_frame = map(self.instants_s.get, (Stage.FIRST_BYTE, Stage.FIRST_FRAME))
        if first_byte is None or first_frame is None:
            return None
        begin_s = first_byte if self.held_until_s is None else max(first_byte, self.held_until_s)
        return round((first_frame - begin_s) * 1000, 3)

    def report(self) -> dict[str, float | bool | None]:
        """The `timings` object of `turn.done` and `turn.cancelled`."""
        ttfa_ms = self.ttfa_ms
        silence_ms = None if self.leading_silence_ms is None else round(self.leading_silence_ms, 3)
        stages = {stage.value: self.after_text_ms(stage) for stage in Stage if stage is not Stage.TEXT}
        return {
            **stages,
            "ttfa_ms": ttfa_ms,
            "leading_silence_ms": silence_ms,
            "ttfs_ms": None if ttfa_ms is None or silence_ms is None else round(ttfa_ms + silence_ms, 3),
            "relay_ms": self.relay_ms,
            "connection_reused": self.connection_reused,
        }
