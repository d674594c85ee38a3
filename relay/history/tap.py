"""What one session's listener was sent, on its way into the history. Nothing here waits, and nothing is raised."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, Protocol

from relay.core.effects import OpenTurn
from relay.core.events import Failed, SegmentStarted, TurnCancelled, TurnDone
from relay.core.formats import AudioFormat
from relay.core.history import KeptTurn, Outcome
from relay.core.playout import Run
from relay.core.record import TurnRecord
from relay.errors import Code

log = logging.getLogger(__name__)

# Audio of a turn that waits to be written: 1.4 s at 24 kHz, so that a disk is asked less than once a second a turn.
PIECE_BYTES = 64 * 1024


class Keeper(Protocol):
    """Takes turns in pieces: see `history.History`."""

    def append(self, kept_id: str, data: bytes) -> None: ...

    def finish(self, turn: KeptTurn, audio: AudioFormat | None) -> None: ...


@dataclass(slots=True)
class _Open:
    kept_id: str
    record: TurnRecord
    created_at_s: float
    texts: list[str] = field(default_factory=list)
    unwritten: bytearray = field(default_factory=bytearray)


class SessionTap:
    """See `engine.live_session.Tap`."""

    def __init__(self, keeper: Keeper, owner: str, wall_clock_s: Callable[[], float]) -> None:
        self._keeper = keeper
        self._owner = owner
        self._now_s = wall_clock_s
        self._open: dict[str, _Open] = {}

    def opened(self, opened: OpenTurn) -> None:
        if opened.request.history is not False:
            self._open[opened.turn_id] = _Open(f"turn_{token_hex(16)}", opened.record, self._now_s())

    def wrote(self, items: Sequence[Any]) -> None:
        for item in items:
            turn = self._open.get(getattr(item, "turn_id", None) or "")
            if turn is not None:
                self._take(turn, item)

    def closed(self) -> None:
        """The listener has gone: what is open ends here."""
        for turn in list(self._open.values()):
            self._end(turn, Outcome.CANCELLED)

    def _take(self, turn: _Open, item: Any) -> None:
        match item:
            case Run(payload=payload, samples=samples, frame_format=frame_format):
                turn.unwritten += payload[: samples * frame_format.audio.block_align]
                if len(turn.unwritten) >= PIECE_BYTES:
                    self._write(turn)
            case SegmentStarted(text=text):
                turn.texts.append(text)
            case TurnDone():
                self._end(turn, Outcome.DONE)
            case TurnCancelled():
                self._end(turn, Outcome.CANCELLED)
            case Failed(error=error):
                self._end(turn, Outcome.FAILED, error.code)
            case _:
                pass

    def _write(self, turn: _Open) -> None:
        data, turn.unwritten = bytes(turn.unwritten), bytearray()
        self._keeper.append(turn.kept_id, data)

    def _end(self, turn: _Open, outcome: Outcome, error: Code | None = None) -> None:
        record = turn.record
        self._open.pop(record.turn_id, None)
        if turn.unwritten:
            self._write(turn)
        audio = record.frame_format.audio if record.frame_format is not None else None
        kept = KeptTurn(
            id=turn.kept_id,
            owner=self._owner,
            turn_id=record.turn_id,
            outcome=outcome,
            created_at_s=turn.created_at_s,
            text="".join(turn.texts),
            provider=record.provider,
            voice=record.voice,
            model=record.model,
            encoding=audio.encoding.value if audio else None,
            sample_rate_hz=audio.sample_rate_hz if audio else None,
            channels=audio.channels if audio else None,
            ttfa_ms=record.timings.ttfa_ms,
            error=error,
            provider_ids=dict(record.provider_ids),
        )
        self._keeper.finish(kept, audio if record.sent.samples else None)
