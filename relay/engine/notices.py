"""What a turn's listener is told while no audio comes: it waits for a slot, a job's progress, another provider.

This file does not know how a provider is asked.
"""

import time
from collections.abc import Callable

from relay.core.events import Progress, TurnFailedOver, TurnProgressed, TurnWaiting
from relay.core.record import TurnRecord
from relay.engine.speaker import Speaker
from relay.errors import ProviderError

# An unchanged state is repeated this often: the client sees that it still holds, and a provider that is polled often
# does not flood it.
REPEAT_S = 1.0


class Notices:
    """Tells of the turn that its listener waits for; of turns behind it nothing."""

    def __init__(self, record: TurnRecord, speaker: Speaker, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._record = record
        self._speaker = speaker
        self._clock = clock
        self._told_waiting = False
        self._progress: Progress | None = None
        self._progress_s = 0.0

    def waiting(self) -> None:
        """All slots at the provider are taken. Told once a turn."""
        record = self._record
        if not self._told_waiting and self._speaker.is_current(record.turn_id):
            self._told_waiting = True
            self._speaker.mark(record.turn_id, TurnWaiting(turn_id=record.turn_id, provider=record.provider))

    def progress(self, progress: Progress, waited_s: float) -> None:
        """The state of the job whose audio comes next, asked for `waited_s` ago: each change, and every REPEAT_S."""
        record, now_s = self._record, self._clock()
        if not self._speaker.is_current(record.turn_id):
            return
        if progress is self._progress and now_s < self._progress_s + REPEAT_S:
            return
        self._progress, self._progress_s = progress, now_s
        event = TurnProgressed(
            turn_id=record.turn_id, provider=record.provider, state=progress, waited_ms=round(waited_s * 1000)
        )
        self._speaker.mark(record.turn_id, event)

    def failed_over(self, failed: str, error: ProviderError) -> None:
        """The provider `failed` was replaced by the one that the record names now."""
        record = self._record
        event = TurnFailedOver(
            turn_id=record.turn_id,
            from_provider=failed,
            to_provider=record.provider,
            voice=record.voice,
            code=error.code,
            at_sample=record.position,
        )
        record.failovers.append(event)
        self._speaker.mark(record.turn_id, event)
