"""The state machine of one session and its turns, with the schedule of what its listener gets.

Commands go in by `receive`, audio by `feed`, and `due` gives what leaves now. The tables say what may happen in which
state; what is not in them is refused in one place, `_illegal`. Ends are decided here and nowhere else: a turn that
leaves the live ones leaves them once, and with it goes exactly one of `TurnDone`, `TurnCancelled` and `Failed`.

This file does not know what a socket, a provider or a second is. The engine carries the effects out, in order.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from relay.core.allowance import Bucket, Rate
from relay.core.client_strings import check_ping
from relay.core.command_checks import an_id, not_negative, opening, positive, underruns
from relay.core.effects import (
    CutOff,
    Effect,
    EndText,
    Flush,
    GiveText,
    OpenTurn,
    StopTurns,
)
from relay.core.events import (
    AppendText,
    CancelTurn,
    CloseSession,
    Command,
    EndTurn,
    Event,
    Failed,
    FlushText,
    GrantFlow,
    Ping,
    Pong,
    ReportPlayback,
    SessionDefaults,
    SessionEnded,
    SessionLimits,
    SessionReady,
    Speak,
    StartTurn,
    TextPaused,
    TextResumed,
    TurnRequest,
    Unreadable,
)
from relay.core.formats import FrameFormat
from relay.core.playout import Ended, Playout, Run, UrgentFull
from relay.core.record import TurnEnded, TurnRecord
from relay.core.states import LIVE, TURN_TABLE, SessionState, TurnState
from relay.errors import ClientError, Code, InternalError, LimitError, RelayError

# How many ended turns a session remembers, to tell "ended" from "unknown" and to refuse a used id.
REMEMBERED_TURNS = 1024

# A model writes two sentences or so in a second, and flushes each.
FLUSHES_PER_TURN = 2

# Flushes of one turn that may wait for their audio: a sentence each, more than is ever typed ahead.
MAX_OPEN_FLUSHES = 256


@dataclass(slots=True)
class _Turn:
    record: TurnRecord
    state: TurnState = TurnState.OPEN
    taken_chars: int = 0
    paused: bool = False
    # The text at the last flush.
    flushed_chars: int = 0


class Session:
    """One client's turns. Methods never block and never raise for what a client did: errors are told in order.

    Instants are seconds of one monotonic clock, and never go back.
    """

    def __init__(
        self,
        defaults: SessionDefaults,
        limits: SessionLimits,
        check: Callable[[OpenTurn], Any],
        *,
        max_chars: int | None = None,
        spend: Callable[[int], None] = lambda _chars: None,
    ) -> None:
        """`spend` is told the length of each text before it is taken, and raises LimitError where it is too much for
        the caller. `check` raises ClientError where the provider, or its own settings, are not valid; it must not
        block. `max_chars` bounds the text of all turns together."""
        self.playout = Playout()
        self._defaults = defaults
        self._limits = limits
        self._check = check
        # The states of all turns that are remembered; and those that have not ended.
        self._states: OrderedDict[str, TurnState] = OrderedDict()
        self._live: dict[str, _Turn] = {}
        # None: no turn was opened yet, or the last attempt to open one was refused, so that text meant for it
        # does not end up in an older turn.
        self._last: str | None = None
        self._opened = 0
        self._max_chars = max_chars
        self._spend = spend
        # Made with the first turn: a session has no instant before.
        self._turn_bucket: Bucket | None = None
        self._flush_bucket: Bucket | None = None
        self._given_chars = 0
        self._overflow = False
        self.state = SessionState.ACTIVE

    @property
    def live_turns(self) -> list[str]:
        """Ids of the turns that have not ended, in the order in which they were opened."""
        return list(self._live)

    @property
    def records(self) -> list[TurnRecord]:
        """Those of the live turns, in the same order."""
        return [turn.record for turn in self._live.values()]

    def turn_state(self, turn_id: str) -> TurnState | None:
        return self._states.get(turn_id)

    def greet(self, session_id: str) -> None:
        """Says what the session is, before anything else."""
        self._tell(SessionReady(session_id=session_id, limits=self._limits, defaults=self._defaults))

    # In.

    def receive(self, command: Command, now_s: float) -> list[Effect]:
        """Applies one command of the client."""
        if self.state is SessionState.CLOSED:
            return []
        self._overflow = False
        try:
            effects = self._receive(command, now_s)
        except RelayError as error:
            self._tell(Failed(error=error, turn_id=self._refused_id(command)))
            effects = []
        if self._overflow:
            return [*effects, CutOff(LimitError(Code.SLOW_CLIENT, "the client has stopped reading"))]
        return effects

    def drain(self) -> None:
        """From now on no turn is opened; when the last one has ended, so does the session."""
        if self.state is SessionState.ACTIVE:
            self.state = SessionState.DRAINING
            self._end_if_finished()

    def close(self, error: RelayError | None, now_s: float) -> list[Effect]:
        """Ends every live turn at once, with `error` or else as cancelled, and then the session. Idempotent."""
        if self.state is SessionState.CLOSED:
            return []
        self.state = SessionState.CLOSED
        if error is not None and not self._live:
            self._tell(Failed(error=error))
        effects = self._stop(self.live_turns, now_s, error)
        self._close(error)
        return effects

    def fail(self, turn_id: str, error: RelayError, now_s: float) -> list[Effect]:
        """Ends one live turn at once with an error."""
        return self._stop([turn_id], now_s, error) if turn_id in self._live else []

    def abandon(self) -> list[TurnRecord]:
        """The connection is gone: nothing leaves any more. Returns the turns that had not ended."""
        left = self.records
        for turn_id in self.live_turns:
            self._settle(turn_id, TurnState.CANCELLED)
        self.state = SessionState.CLOSED
        self.playout.drop_all()
        return left

    # What the engine brings.

    def set_format(self, turn_id: str, frame_format: FrameFormat) -> None:
        """The turn's exact frames, once they are known; the client is told."""
        if turn := self._live.get(turn_id):
            assert turn.record.frame_format is None, "a turn has one format"
            turn.record.frame_format = frame_format
            self.playout.set_format(turn_id, frame_format)
            self._tell(turn.record.started())

    def taken(self, turn_id: str, chars: int) -> None:
        """The engine has begun to speak `chars` more of the turn's text: a paused client may go on."""
        turn = self._live.get(turn_id)
        if turn is None:
            return
        turn.taken_chars += chars
        pending = turn.record.text_chars - turn.taken_chars
        turn.record.pending_chars = pending
        if turn.paused and pending <= self._limits.text_low_water_chars:
            turn.paused = False
            self._tell(TextResumed(turn_id=turn_id, pending_chars=pending))

    # Out.

    def due(self, now_s: float, room_bytes: int) -> list[Any]:
        """What leaves now, in order: Runs, events, TurnEnded. See `Playout.due`."""
        leaving = self.playout.due(now_s, room_bytes)
        if len(leaving) == 1 and type(leaving[0]) is Run and leaving[0].first_sample:  # as nearly always
            return leaving
        out: list[Any] = []
        while leaving:
            for item in leaving:
                if type(item) is Run:
                    if item.first_sample == 0:
                        out.append(self._audio_started(item.turn_id))
                    out.append(item)
                elif type(item) is Ended:
                    out.append(self._ended(item))
                else:
                    out.append(item)
            # An end may have been the last that a session waited for.
            leaving = self.playout.due(now_s, room_bytes) if self._end_if_finished() else []
        return out

    @property
    def next_due_s(self) -> float:
        """When to call `due` again, if nothing comes before."""
        return self.playout.next_due_s

    # One command.

    def _receive(self, command: Command, now_s: float) -> list[Effect]:
        match command:
            case StartTurn(request=request):
                self._check_rate(now_s)
                return [self._open(request)]
            case Speak(request=request, text=text):
                return self._speak(request, text, now_s)
            case Ping(id=ping_id):
                check_ping(ping_id)
                self._tell(Pong(id=ping_id))
                return []
            case CloseSession(finish=finish):
                return self._finish() if finish else self.close(None, now_s)
            case Unreadable():
                return self._unreadable(command, now_s)
            case CancelTurn(turn_id=turn_id, played_samples=played):
                if played is not None:
                    not_negative("turn.cancel played_samples", played)
                return self._cancel(turn_id, played, now_s)
        return self._on_turn(command, now_s)

    def _on_turn(self, command: Any, now_s: float) -> list[Effect]:
        turn_id, state = self._find(command.turn_id)
        after = TURN_TABLE[state].get(type(command))
        if after is None:
            raise self._illegal(turn_id, state, command)
        gaps = underruns(command) if isinstance(command, ReportPlayback) else []
        turn = self._live.get(turn_id)
        if turn is None:
            return gaps
        match command:
            case AppendText(text=text):
                return self._give(turn_id, turn, text, now_s)
            case FlushText(flush_id=flush_id):
                if flush_id is not None:
                    an_id("flush_id", flush_id, Code.INVALID_MESSAGE)
                if turn.record.open_flushes >= MAX_OPEN_FLUSHES:
                    reason = f"{MAX_OPEN_FLUSHES} flushes of the turn wait for their audio; wait for flush.done"
                    raise LimitError(Code.RATE_LIMITED, reason)
                self._check_flush(turn, now_s)
                turn.record.open_flushes += 1
                return [Flush(turn_id, flush_id)]
            case EndTurn():
                return self._end_text(turn_id, turn)
            case GrantFlow(ms=ms):
                self.playout.grant(turn_id, positive("flow.grant ms", ms))
                return []
            case ReportPlayback(samples=samples):
                turn.record.played(not_negative("playback.report samples", samples))
                return gaps
        raise AssertionError(f"no rule for {type(command).__name__}")

    def _unreadable(self, command: Unreadable, now_s: float) -> list[Effect]:
        if command.opens_turn:
            self._last = None
        if command.fatal:
            return self.close(command.error, now_s)
        turn_id = None if command.turn_id in self._live else command.turn_id
        self._tell(Failed(error=command.error, turn_id=turn_id))
        return []

    def _open(self, request: TurnRequest) -> OpenTurn:
        self._last = None
        turn_id = self._make_id() if request.turn_id is None else an_id("turn_id", request.turn_id, Code.INVALID_CONFIG)
        if turn_id in self._states:
            raise ClientError(Code.INVALID_CONFIG, f"turn_id {turn_id!r} was used before in this session")
        if self.state is SessionState.DRAINING:
            raise LimitError(Code.SHUTTING_DOWN, "the relay is shutting down; connect again and start the turn there")
        if self.state is SessionState.FINISHING:
            raise ClientError(Code.INVALID_MESSAGE, "the session is closing, as session.close asked; open another one")
        live = len(self._live)
        if live >= self._limits.max_open_turns:
            raise LimitError(
                Code.RATE_LIMITED,
                f"{live} turns are open, limits.max_open_turns is {self._limits.max_open_turns}; wait for one to end",
            )
        opened = opening(self._defaults, turn_id, self._opened, request)
        opened = replace(opened, checked=self._check(opened))
        opened.record.sent = opened.record.timings.sent = self.playout.open(
            turn_id, opened.pacing, request.window_ms, fade_ms=opened.audio.fade_ms
        )
        self._live[turn_id] = _Turn(opened.record)
        self._states[turn_id] = TurnState.OPEN
        self._last = turn_id
        self._opened += 1
        self._forget()
        return opened

    def _speak(self, request: TurnRequest, text: str, now_s: float) -> list[Effect]:
        self._last = None
        self._check_rate(now_s)
        self._check_length(len(text))
        self._check_allowance(len(text))
        opened = self._open(request)
        turn = self._live[opened.turn_id]
        self._enter(opened.turn_id, turn, TurnState.ENDING)
        return [opened, *self._give(opened.turn_id, turn, text, now_s), EndText(opened.turn_id)]

    def _give(self, turn_id: str, turn: _Turn, text: str, now_s: float) -> list[Effect]:
        if not text:
            return []
        record = turn.record
        try:
            self._check_length(record.text_chars + len(text))
            self._check_allowance(len(text))
            self._spend(len(text))
        except (ClientError, LimitError) as error:
            # A turn whose text cannot be whole must not look as if it had been spoken.
            return self._stop([turn_id], now_s, error)
        record.text_chars += len(text)
        self._given_chars += len(text)
        record.pending_chars = pending = record.text_chars - turn.taken_chars
        if not turn.paused and turn.state is TurnState.OPEN and pending > self._limits.text_high_water_chars:
            turn.paused = True
            self._tell(TextPaused(turn_id=turn_id, pending_chars=pending))
        return [GiveText(turn_id, text)]

    def _end_text(self, turn_id: str, turn: _Turn) -> list[Effect]:
        self._enter(turn_id, turn, TurnState.ENDING)
        return [EndText(turn_id)]

    def _check_rate(self, now_s: float) -> None:
        """A turn that is opened and cancelled costs at the provider what one that is heard does."""
        rate = self._limits.turns
        if rate is None:
            return
        self._turn_bucket = self._turn_bucket or Bucket(rate, now_s)
        if wait_s := self._turn_bucket.take(1, now_s):
            self._last = None
            raise LimitError(
                Code.RATE_LIMITED,
                f"this session opens more turns than limits.turns_per_s, {rate.per_s:g}, and limits.turn_burst,"
                f" {rate.burst:g}, allow",
                retry_after_s=round(wait_s, 2) or 0.01,
            )

    def _check_flush(self, turn: _Turn, now_s: float) -> None:
        """Each flush of new text is a request at the provider; one without new text is none."""
        rate = self._limits.turns
        chars = turn.record.text_chars
        if rate is None or turn.flushed_chars == chars:
            return
        if self._flush_bucket is None:
            many = Rate(per_s=rate.per_s * FLUSHES_PER_TURN, burst=rate.burst * FLUSHES_PER_TURN)
            self._flush_bucket = Bucket(many, now_s)
        if wait_s := self._flush_bucket.take(1, now_s):
            raise LimitError(
                Code.RATE_LIMITED,
                f"this session flushes more often than {FLUSHES_PER_TURN} times limits.turns_per_s, {rate.per_s:g}",
                retry_after_s=round(wait_s, 2) or 0.01,
            )
        turn.flushed_chars = chars

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

    # How turns end.

    def _cancel(self, turn_id: str | None, played_samples: int | None, now_s: float) -> list[Effect]:
        if turn_id is not None and turn_id not in self._states:
            return []
        named = self.live_turns if turn_id is None else [turn_id]
        if played_samples is not None:
            heard = turn_id or self.playout.hearing(now_s) or self._being_sent()
            if turn := self._live.get(heard or ""):
                turn.record.played(played_samples)
        if turn_id is None:
            self.playout.forget_heard()
        return self._stop(named, now_s, None)

    def _being_sent(self) -> str | None:
        """The first live turn, if any of its audio was sent."""
        for turn_id, turn in self._live.items():
            return turn_id if turn.record.sent.frames else None
        return None

    def _stop(self, turn_ids: Iterable[str], now_s: float, error: RelayError | None) -> list[Effect]:
        """From here on nothing of these turns leaves. Those that are live end: failed with `error`, or cancelled."""
        named = list(turn_ids)
        # A client that cancels throws away what it holds; after an error it plays that.
        self.playout.cancel(named, now_s, forget=error is None)
        stopped = [self._stopped(turn_id, error) for turn_id in named if turn_id in self._live]
        for ended in stopped:
            self._tell(ended.event)
        self._end_if_finished()
        return [StopTurns(tuple(stopped))] if stopped else []

    def _stopped(self, turn_id: str, error: RelayError | None) -> TurnEnded:
        record = self._live[turn_id].record
        self._settle(turn_id, TurnState.CANCELLED if error is None else TurnState.FAILED)
        event = record.cancelled() if error is None else Failed(error=error, turn_id=turn_id)
        return TurnEnded(record, event, error)

    def _ended(self, ended: Ended) -> TurnEnded:
        """The turn's end has its turn to leave."""
        turn_id, error = ended.turn_id, ended.error
        turn = self._live[turn_id]
        if error is None and turn.state is not TurnState.ENDING:
            error = InternalError()  # a turn whose text may still come cannot have been spoken whole
        self._settle(turn_id, TurnState.DONE if error is None else TurnState.FAILED)
        event = turn.record.done() if error is None else Failed(error=error, turn_id=turn_id)
        return TurnEnded(turn.record, event, error)

    def _settle(self, turn_id: str, state: TurnState) -> None:
        turn = self._live.pop(turn_id)
        trigger = CancelTurn if state is TurnState.CANCELLED else state
        assert TURN_TABLE[turn.state].get(trigger) is state, f"a turn that is {turn.state} cannot become {state}"
        self._enter(turn_id, turn, state)
        turn.paused = False

    def _enter(self, turn_id: str, turn: _Turn, state: TurnState) -> None:
        turn.state = self._states[turn_id] = state

    # How the session ends.

    def _finish(self) -> list[Effect]:
        """Every open turn is ended as by `turn.end`; when all is spoken the session ends."""
        if self.state is SessionState.ACTIVE:
            self.state = SessionState.FINISHING
        effects: list[Effect] = []
        for turn_id, turn in self._live.items():
            if turn.state is TurnState.OPEN:
                effects += self._end_text(turn_id, turn)
        self._end_if_finished()
        return effects

    def _end_if_finished(self) -> bool:
        """Ends a session that waits for nothing more."""
        if self._live or self.state not in (SessionState.DRAINING, SessionState.FINISHING):
            return False
        draining = self.state is SessionState.DRAINING
        self._close(LimitError(Code.SHUTTING_DOWN, "the relay is shutting down") if draining else None)
        return True

    def _close(self, error: RelayError | None) -> None:
        self.state = SessionState.CLOSED
        self.playout.urgent(SessionEnded(error=error), last=True)

    # Small things.

    def _tell(self, event: Event) -> None:
        """Answers past the audio. At the bound the command that is answered cuts the client off, but nothing is lost:
        what the engine makes known of a turn does not depend on how many answers wait."""
        try:
            self.playout.urgent(event)
        except UrgentFull:
            self._overflow = True
            self.playout.urgent(event, last=True)

    def _audio_started(self, turn_id: str) -> Event:
        record = self._live[turn_id].record
        assert record.sent.playing_from_s is not None, "its first frame was sent"
        record.timings.margin.began(record.sent.playing_from_s)
        return record.audio_started()

    def _refused_id(self, command: Command) -> str | None:
        """The id by which a client knows a turn that could not be opened; None where it is that of a live turn, which
        goes on."""
        if not isinstance(command, StartTurn | Speak):
            return None
        turn_id = command.request.turn_id
        return None if turn_id in self._live else turn_id

    def _find(self, turn_id: str | None) -> tuple[str, TurnState]:
        if turn_id is None:
            if self._last is None:
                raise ClientError(Code.UNKNOWN_TURN, "no turn is open; send turn.start or speak first")
            turn_id = self._last
        state = self._states.get(turn_id)
        if state is None:
            raise ClientError(Code.UNKNOWN_TURN, f"no turn {turn_id!r} in this session")
        return turn_id, state

    def _illegal(self, turn_id: str, state: TurnState, command: Command) -> ClientError:
        if state is TurnState.ENDING:
            return ClientError(Code.INVALID_MESSAGE, f"turn {turn_id!r} takes no more text: it was ended")
        assert state not in LIVE, f"no rule for {type(command).__name__} in {state}"
        return ClientError(Code.UNKNOWN_TURN, f"turn {turn_id!r} has ended: {state}; start a new one")

    def _make_id(self) -> str:
        number = self._opened
        while f"turn-{number}" in self._states:
            number += 1
        return f"turn-{number}"

    def _forget(self) -> None:
        """Bounds the memory of ended turns: the oldest goes first."""
        surplus = len(self._states) - len(self._live) - REMEMBERED_TURNS
        if surplus > 0:
            for turn_id in [key for key in self._states if key not in self._live][:surplus]:
                del self._states[turn_id]
