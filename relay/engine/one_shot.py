"""One turn without a session: what `POST /v1/speech` and `relay say` speak with."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Self

from relay.core.effects import Effect, EndText, FailTurn, GiveText, OpenTurn, Tell
from relay.core.events import AppendText, Command, EndTurn, Event, Failed, StartTurn, TurnRequest
from relay.core.frames import Frame
from relay.core.session import Session
from relay.engine.engine import Engine
from relay.engine.outbox import End, PulledOutbox
from relay.engine.turn import Turn
from relay.errors import RelayError
from relay.server.access.scope import EVERYTHING, TokenScope


class OneShot:
    """Runs one turn while its context is entered; leaving early cancels it and closes the provider's side.

    Text limits and settings are those of a session. Raises RelayError where a session would answer `error`.
    """

    def __init__(self, relay: Engine, request: TurnRequest, permit: TokenScope = EVERYTHING) -> None:
        self._relay = relay
        self._session = Session(
            permit.defaults(relay.defaults),
            relay.limits.session,
            permit.settings(relay.settings),
            max_chars=permit.max_chars,
        )
        self._outbox = PulledOutbox(relay.ticker)
        self._task: asyncio.Task[None] | None = None
        self._end: RelayError | str = "disconnected"
        [opened] = self._checked(StartTurn(request=request))
        assert isinstance(opened, OpenTurn), "starting a turn opens one"
        self.turn = Turn(opened.checked, self._outbox, on_taken=_noted_by(self._session, opened.turn_id))
        self.turn.go.set()

    async def __aenter__(self) -> Self:
        self._relay.metrics.turn_opened(self.turn)
        self._task = asyncio.create_task(self.turn.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        if isinstance(self._end, RelayError):
            self._relay.turn_failed(self.turn, self._end)
        else:
            self._relay.turn_ended(self.turn, self._end)
        self._task.cancel()
        self._outbox.drop(self.turn)  # what waits there holds the turn, and the turn the outbox
        await asyncio.wait([self._task])

    def append(self, text: str) -> None:
        for effect in self._checked(AppendText(text=text)):
            if isinstance(effect, GiveText):
                self.turn.append(effect.text)

    def end_input(self) -> None:
        for effect in self._checked(EndTurn()):
            assert isinstance(effect, EndText)
            self.turn.end_input()

    async def contents(self) -> AsyncGenerator[Frame | Event, None]:
        """Frames and events in order, each when it may leave. Raises the turn's RelayError after the good audio."""
        while True:
            item = await self._outbox.get()
            assert isinstance(item, tuple), "nobody posts to the outbox of a single turn"
            _, content = item
            if isinstance(content, End):
                self._end = content.error or "done"
                if content.error:
                    raise content.error
                return
            if isinstance(content, Frame) and content.pts == 0:
                yield self.turn.audio_started()
            yield content

    def _checked(self, command: Command) -> list[Effect]:
        effects = self._session.receive(command)
        for effect in effects:
            match effect:
                case Tell(Failed(error=error)) | FailTurn(error=error):
                    raise error
        return effects


def _noted_by(session: Session, turn_id: str) -> Callable[[int], None]:
    # Not a method: the turn would hold who holds it.
    def taken(chars: int) -> None:
        session.taken(turn_id, chars)

    return taken
