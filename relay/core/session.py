"""The session and turn state machines: `receive(command) -> effects`.

This file does not know what a socket, a provider or a second is. The shell carries the effects out, in order, and tells
the machine what became of a turn by `settle`. The tables are the whole of the law: what is not in them is refused in
one place, `_illegal`, with the state and the command in the message.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from relay.core.effects import (
    Close,
    Effect,
    EndText,
    FailTurn,
    Flush,
    GiveText,
    Grant,
    NotePlayed,
    NoteUnderruns,
    OpenTurn,
    StopTurn,
    Tell,
)
from relay.core.events import (
    AppendText,
    CancelTurn,
    CloseSession,
    Command,
    EndTurn,
    Failed,
    FlushText,
    GrantFlow,
    Ping,
    Pong,
    ReportPlayback,
    SessionDefaults,
    SessionLimits,
    Speak,
    StartTurn,
    TextPaused,
    TextResumed,
    TurnRequest,
    Unreadable,
)
from relay.errors import ClientError, Code, LimitError, RelayError

# How many ended turns a session remembers, to tell "ended" from "never heard of" and to refuse a used id.
REMEMBERED_TURNS = 1024

TURN_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class TurnState(StrEnum):
    OPEN = "open"  # text may come
    ENDING = "ending"  # all text is there; it is being spoken
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Outcome(StrEnum):
    """What the shell reports of a turn."""

    SPOKEN = "spoken"
    BROKEN = "broken"


TURN_TABLE: dict[TurnState, dict[type[Command] | Outcome, TurnState]] = {
    TurnState.OPEN: {
        AppendText: TurnState.OPEN,
        FlushText: TurnState.OPEN,
        EndTurn: TurnState.ENDING,
        GrantFlow: TurnState.OPEN,
        ReportPlayback: TurnState.OPEN,
        CancelTurn: TurnState.CANCELLED,
        Outcome.BROKEN: TurnState.FAILED,
    },
    TurnState.ENDING: {
        GrantFlow: TurnState.ENDING,
        ReportPlayback: TurnState.ENDING,
        CancelTurn: TurnState.CANCELLED,
        Outcome.SPOKEN: TurnState.DONE,
        Outcome.BROKEN: TurnState.FAILED,
    },
    # Terminal. What may still be under way from a client that has not heard of the end yet has no effect.
    TurnState.DONE: {GrantFlow: TurnState.DONE, ReportPlayback: TurnState.DONE, CancelTurn: TurnState.DONE},
    TurnState.CANCELLED: {
        GrantFlow: TurnState.CANCELLED,
        ReportPlayback: TurnState.CANCELLED,
        CancelTurn: TurnState.CANCELLED,
    },
    TurnState.FAILED: {GrantFlow: TurnState.FAILED, ReportPlayback: TurnState.FAILED, CancelTurn: TurnState.FAILED},
}
# An hour between two reports: more is a mistake, and would spoil a sum for good.
MOST_UNDERRUN_MS = 3_600_000
LIVE = frozenset({TurnState.OPEN, TurnState.ENDING})


class SessionState(StrEnum):
    ACTIVE = "active"
    DRAINING = "draining"  # what was begun is finished, nothing new is begun
    CLOSED = "closed"


@dataclass(slots=True)
class _Turn:
    state: TurnState = TurnState.OPEN
    given_chars: int = 0
    taken_chars: int = 0
    paused: bool = False


class Session:
    """One client's turns. Methods never block and never raise for what a client did: errors are effects."""

    def __init__(
        self,
        defaults: SessionDefaults,
        limits: SessionLimits,
        check: Callable[[OpenTurn], Any],
        *,
        max_chars: int | None = None,
    ) -> None:
        """`check` raises ClientError where the provider, or its own settings, are not valid; it must not block.
        `max_chars` bounds the text of all turns together."""
        self._defaults = defaults
        self._limits = limits
        self._check = check
        self._turns: OrderedDict[str, _Turn] = OrderedDict()
        self._live: dict[str, _Turn] = {}
        # None: no turn was opened yet, or the last attempt to open one was refused, so that text meant for it
        # does not end up in an older turn.
        self._last: str | None = None
        self._opened = 0
        self._max_chars = max_chars
        self._given_chars = 0
        self.state = SessionState.ACTIVE

    @property
    def live_turns(self) -> list[str]:
        """Ids of the turns that have not ended, in the order in which they were opened."""
        return list(self._live)

    def turn_state(self, turn_id: str) -> TurnState | None:
        turn = self._turns.get(turn_id)
        return turn.state if turn else None

    def receive(self, command: Command) -> list[Effect]:
        """Applies one command of the client."""
        if self.state is SessionState.CLOSED:
            return []
        try:
            return self._receive(command)
        except RelayError as error:
            return [Tell(Failed(error=error, turn_id=self._refused_id(command)))]

    def settle(self, turn_id: str, outcome: Outcome) -> bool:
        """The shell says how a turn ended. False: it had ended before (a cancel came first), so say nothing more."""
        turn = self._turns[turn_id]
        if turn.state not in LIVE:
            return False
        after = TURN_TABLE[turn.state].get(outcome)
        if after is None:
            raise AssertionError(f"a turn that is {turn.state} cannot be {outcome}: text may still come")
        self._end(turn_id, after)
        return True

    def taken(self, turn_id: str, chars: int) -> list[Effect]:
        """The shell has begun to speak `chars` more of the turn's text: a paused client may be asked to go on."""
        turn = self._turns[turn_id]
        turn.taken_chars += chars
        pending = turn.given_chars - turn.taken_chars
        if turn.paused and pending <= self._limits.text_low_water_chars:
            turn.paused = False
            return [Tell(TextResumed(turn_id=turn_id, pending_chars=pending))]
        return []

    def drain(self) -> None:
        """From now on no turn is opened."""
        if self.state is SessionState.ACTIVE:
            self.state = SessionState.DRAINING

    def close(self) -> list[Effect]:
        """Stops what is live. Idempotent."""
        effects: list[Effect] = self._cancel_all()
        self.state = SessionState.CLOSED
        return effects

    def _receive(self, command: Command) -> list[Effect]:
        if isinstance(command, CancelTurn) and command.played_samples is not None:
            _not_negative("turn.cancel played_samples", command.played_samples)
        match command:
            case StartTurn(request=request):
                return [self._open(request)]
            case Speak(request=request, text=text):
                return self._speak(request, text)
            case Ping(id=ping_id):
                return [Tell(Pong(id=ping_id))]
            case CloseSession():
                return [*self.close(), Close()]
            case Unreadable(error=error, opens_turn=opens, turn_id=turn_id):
                self._last = None if opens else self._last
                return [Tell(Failed(error=error, turn_id=None if turn_id in self._turns else turn_id))]
            case CancelTurn(turn_id=None, played_samples=played):
                return self._cancel_all(played)
            case CancelTurn(turn_id=str(turn_id)) if turn_id not in self._turns:
                return []
        return self._on_turn(command)

    def _on_turn(self, command: Any) -> list[Effect]:
        turn_id, turn = self._find(command.turn_id)
        after = TURN_TABLE[turn.state].get(type(command))
        if after is None:
            raise self._illegal(turn_id, turn.state, command)
        gaps = _gaps(command) if isinstance(command, ReportPlayback) else []
        if turn.state not in LIVE:
            return gaps
        match command:
            case AppendText(text=text):
                return self._give(turn_id, turn, text)
            case FlushText():
                return [Flush(turn_id)]
            case EndTurn():
                turn.state = after
                return [EndText(turn_id)]
            case GrantFlow(ms=ms):
                return [Grant(turn_id, _positive("flow.grant ms", ms))]
            case ReportPlayback(samples=samples):
                return [NotePlayed(turn_id, _not_negative("playback.report samples", samples)), *gaps]
            case CancelTurn(played_samples=played):
                return self._cancel(turn_id, played)
        raise AssertionError(f"no rule for {type(command).__name__}")

    def _open(self, request: TurnRequest) -> OpenTurn:
        self._last = None
        turn_id = request.turn_id if request.turn_id is not None else self._make_id()
        if not TURN_ID.fullmatch(turn_id):
            raise ClientError(
                Code.INVALID_CONFIG, f"turn_id has {len(turn_id)} characters; it must match {TURN_ID.pattern}"
            )
        if turn_id in self._turns:
            raise ClientError(Code.INVALID_CONFIG, f"turn_id {turn_id!r} was used before in this session")
        if self.state is SessionState.DRAINING:
            raise LimitError(Code.SHUTTING_DOWN, "the relay is shutting down; connect again and start the turn there")
        live = len(self._live)
        if live >= self._limits.max_open_turns:
            raise LimitError(
                Code.RATE_LIMITED,
                f"{live} turns are open, limits.max_open_turns is {self._limits.max_open_turns}; wait for one to end",
            )
        effect = self._settings(turn_id, request)
        self._turns[turn_id] = self._live[turn_id] = _Turn()
        self._last = turn_id
        self._opened += 1
        self._forget()
        return effect

    def _refused_id(self, command: Command) -> str | None:
        """The id by which a client knows a turn that could not be opened; None where the id is another turn's."""
        if not isinstance(command, StartTurn | Speak):
            return None
        turn_id = command.request.turn_id
        return None if turn_id in self._turns else turn_id

    def _settings(self, turn_id: str, request: TurnRequest) -> OpenTurn:
        audio = replace(self._defaults.audio, **request.audio)
        pacing = replace(self._defaults.pacing, **request.pacing)
        if request.window_ms is not None and request.window_ms < audio.frame_ms:
            raise ClientError(
                Code.INVALID_CONFIG,
                f"flow.window_ms is {request.window_ms}; it must be at least audio.frame_ms, which is {audio.frame_ms}",
            )
        opened = OpenTurn(
            turn_id=turn_id,
            turn_index=self._opened,
            provider=_first_provider(request) or self._defaults.provider,
            request=request,
            audio=audio,
            pacing=pacing,
        )
        return replace(opened, checked=self._check(opened))

    def _speak(self, request: TurnRequest, text: str) -> list[Effect]:
        self._check_length(len(text))
        self._check_allowance(len(text))
        opened = self._open(request)
        turn = self._turns[opened.turn_id]
        turn.state = TURN_TABLE[turn.state][EndTurn]
        return [opened, *self._give(opened.turn_id, turn, text), EndText(opened.turn_id)]

    def _give(self, turn_id: str, turn: _Turn, text: str) -> list[Effect]:
        if not text:
            return []
        try:
            self._check_length(turn.given_chars + len(text))
            self._check_allowance(len(text))
        except ClientError as error:
            # A turn whose text cannot be whole must not look as if it had been spoken.
            self._end(turn_id, TurnState.FAILED)
            return [FailTurn(turn_id, error)]
        turn.given_chars += len(text)
        self._given_chars += len(text)
        effects: list[Effect] = [GiveText(turn_id, text)]
        pending = turn.given_chars - turn.taken_chars
        if not turn.paused and turn.state is TurnState.OPEN and pending > self._limits.text_high_water_chars:
            turn.paused = True
            effects.append(Tell(TextPaused(turn_id=turn_id, pending_chars=pending)))
        return effects

    def _check_length(self, chars: int) -> None:
        if chars > self._limits.max_turn_chars:
            raise ClientError(
                Code.TEXT_TOO_LONG,
                f"the turn's text has {chars} characters; limits.max_turn_chars is {self._limits.max_turn_chars}",
            )

    def _check_allowance(self, chars: int) -> None:
        if self._max_chars is not None and self._given_chars + chars > self._max_chars:
            raise ClientError(
                Code.FORBIDDEN,
                f"the session's token allows {self._max_chars} characters in all; {self._given_chars} were given"
                f" before, and this text has {chars}",
            )

    def _cancel_all(self, played_samples: int | None = None) -> list[Effect]:
        return [effect for turn_id in self.live_turns for effect in self._cancel(turn_id, played_samples)]

    def _cancel(self, turn_id: str, played_samples: int | None) -> list[Effect]:
        self._end(turn_id, TurnState.CANCELLED)
        if played_samples is None:
            return [StopTurn(turn_id)]
        return [NotePlayed(turn_id, played_samples), StopTurn(turn_id)]

    def _end(self, turn_id: str, state: TurnState) -> None:
        turn = self._live.pop(turn_id)
        turn.state = state
        turn.paused = False

    def _find(self, turn_id: str | None) -> tuple[str, _Turn]:
        if turn_id is None:
            if self._last is None:
                raise ClientError(Code.UNKNOWN_TURN, "no turn is open; send turn.start or speak first")
            turn_id = self._last
        turn = self._turns.get(turn_id)
        if turn is None:
            raise ClientError(Code.UNKNOWN_TURN, f"no turn {turn_id!r} in this session")
        return turn_id, turn

    def _illegal(self, turn_id: str, state: TurnState, command: Command) -> ClientError:
        if state is TurnState.ENDING:
            return ClientError(Code.INVALID_MESSAGE, f"turn {turn_id!r} takes no more text: it was ended")
        assert state not in LIVE, f"no rule for {type(command).__name__} in {state}"
        return ClientError(Code.UNKNOWN_TURN, f"turn {turn_id!r} has ended: {state}; start a new one")

    def _make_id(self) -> str:
        number = self._opened
        while f"turn-{number}" in self._turns:
            number += 1
        return f"turn-{number}"

    def _forget(self) -> None:
        surplus = len(self._turns) - len(self._live) - REMEMBERED_TURNS
        if surplus > 0:
            for turn_id in [key for key in self._turns if key not in self._live][:surplus]:
                del self._turns[turn_id]


def _first_provider(request: TurnRequest) -> str | None:
    if request.provider is not None and request.providers:
        raise ClientError(Code.INVALID_CONFIG, "provider and providers are both given; name one provider, or several")
    return request.providers[0] if request.providers else request.provider


def _positive(name: str, value: int) -> int:
    if value <= 0:
        raise ClientError(Code.INVALID_MESSAGE, f"{name} is {value}; it must be more than 0")
    return value


def _gaps(report: ReportPlayback) -> list[Effect]:
    """What a listener missed, who hears for longer than the relay sends."""
    for name, value in (("underruns", report.underruns), ("underrun_ms", report.underrun_ms)):
        if not 0 <= value <= MOST_UNDERRUN_MS:
            reason = f"playback.report {name} is {value:g}; it must be 0 to {MOST_UNDERRUN_MS}"
            raise ClientError(Code.INVALID_MESSAGE, reason)
    return [NoteUnderruns(report.underruns, report.underrun_ms)] if report.underruns or report.underrun_ms else []


def _not_negative(name: str, value: int) -> int:
    if value < 0:
        raise ClientError(Code.INVALID_MESSAGE, f"{name} is {value}; it must be 0 or more")
    return value
