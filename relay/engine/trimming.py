"""Events of a turn whose leading silence is being trimmed: where they stand is known once it was."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from relay.core.events import SegmentStarted, WordsTimed
from relay.core.transcript import Transcript
from relay.engine.audio import TurnAudio

Placed: TypeAlias = SegmentStarted | WordsTimed


class Unplaced:
    """Holds events while nothing of the turn leaves. Bounded by its text: a segment and its words each."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._held: list[Placed] = []

    def told(self, events: Sequence[Placed], audio: TurnAudio) -> Sequence[Placed]:
        """Those of all so far that may be told now: all of them, moved, once the trimming is settled.

        `events` stand where they would without trimming.
        """
        if not audio.is_settled:
            if not audio.taken:  # what stands at the beginning stays there
                return events
            self._held += events
            return ()
        held, self._held = [*self._held, *events], []
        self._transcript.move(audio.trimmed)
        return [_moved(event, audio.trimmed) for event in held]


def _moved(event: Placed, samples: int) -> Placed:
    if isinstance(event, SegmentStarted):
        return replace(event, start_sample=max(0, event.start_sample - samples))
    return replace(event, words=tuple(word.moved(samples) for word in event.words))
