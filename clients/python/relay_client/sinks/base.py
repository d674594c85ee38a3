"""What a sink is, and how a turn is played into one."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self

from relay_client.errors import SinkError
from relay_client.events import Event, TurnDone
from relay_client.frames import AudioFormat, Frame
from relay_client.turn import Turn

__all__ = ["Sink", "check_same_format", "play"]


class Sink(ABC):
    """Takes frames at its own pace: `write` returns when the next frame may come. Use it as ``async with sink``.

    Its methods raise SinkError when the audio cannot go where it should.
    """

    @abstractmethod
    async def start(self, audio: AudioFormat) -> None:
        """Audio of this format will come. Called once a turn; a second turn must have the format of the first."""

    @abstractmethod
    async def write(self, frame: Frame) -> None:
        """Takes one frame."""

    @abstractmethod
    async def aclose(self) -> None:
        """Finishes: what was written is complete and, on a speaker, has been heard. Idempotent."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def play(turn: Turn, sink: Sink, on_event: Callable[[Event], None] | None = None) -> TurnDone | None:
    """Writes the turn's audio to the sink, which stays open for the next turn. `on_event` is called with everything
    else that the relay tells of the turn; it must not block.

    Returns the turn's summary, or None if the turn was cancelled here. Raises what the turn failed with, after its
    good audio was written, and SinkError.
    """
    started = False
    async for event in turn.events():
        if isinstance(event, Frame):
            if not started:
                await sink.start(turn.audio)
                started = True
            await sink.write(event)
        elif on_event is not None:
            on_event(event)
    outcome = turn.outcome
    if isinstance(outcome, TurnDone) and not started and turn.started is not None:
        # A turn without audio still makes a file, an empty one.
        await sink.start(turn.audio)
    return outcome if isinstance(outcome, TurnDone) else None


def check_same_format(first: AudioFormat, audio: AudioFormat) -> None:
    """Raises SinkError where audio of two formats would be joined: the second would be heard at the wrong speed."""
    shape = (first.encoding, first.sample_rate, first.channels)
    if shape != (audio.encoding, audio.sample_rate, audio.channels):
        raise SinkError(
            f"the sink was started with {first.encoding} at {first.sample_rate} Hz in {first.channels} channel(s); "
            f"it cannot take {audio.encoding} at {audio.sample_rate} Hz in {audio.channels}"
        )
