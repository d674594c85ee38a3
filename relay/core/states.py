"""The states of a session and of its turns, and what may happen to a turn in each."""

from enum import StrEnum

from relay.core.events import AppendText, CancelTurn, Command, EndTurn, FlushText, GrantFlow, ReportPlayback


class SessionState(StrEnum):
    ACTIVE = "active"
    DRAINING = "draining"  # what was begun is finished, nothing new is begun
    FINISHING = "finishing"  # the same, because the client asked for it
    CLOSED = "closed"


class TurnState(StrEnum):
    OPEN = "open"  # text may come
    ENDING = "ending"  # all text is there; it is being spoken
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


TURN_TABLE: dict[TurnState, dict[type[Command] | TurnState, TurnState]] = {
    TurnState.OPEN: {
        AppendText: TurnState.OPEN,
        FlushText: TurnState.OPEN,
        EndTurn: TurnState.ENDING,
        GrantFlow: TurnState.OPEN,
        ReportPlayback: TurnState.OPEN,
        CancelTurn: TurnState.CANCELLED,
        TurnState.FAILED: TurnState.FAILED,
    },
    TurnState.ENDING: {
        GrantFlow: TurnState.ENDING,
        ReportPlayback: TurnState.ENDING,
        CancelTurn: TurnState.CANCELLED,
        TurnState.DONE: TurnState.DONE,
        TurnState.FAILED: TurnState.FAILED,
    },
    # Terminal. Commands that crossed the end on their way have no effect, but for a cancel: what the listener still
    # holds of the turn is forgotten.
    TurnState.DONE: {GrantFlow: TurnState.DONE, ReportPlayback: TurnState.DONE, CancelTurn: TurnState.DONE},
    TurnState.CANCELLED: {
        GrantFlow: TurnState.CANCELLED,
        ReportPlayback: TurnState.CANCELLED,
        CancelTurn: TurnState.CANCELLED,
    },
    TurnState.FAILED: {GrantFlow: TurnState.FAILED, ReportPlayback: TurnState.FAILED, CancelTurn: TurnState.FAILED},
}
LIVE = frozenset({TurnState.OPEN, TurnState.ENDING})
