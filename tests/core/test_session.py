"""The session machine: every state with every command, by table; then the rules that tables cannot say."""

from itertools import product

import pytest

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
from relay.core.session import LIVE, REMEMBERED_TURNS, TURN_TABLE, Outcome, Session, SessionState, TurnState
from relay.errors import ClientError, Code

LIMITS = SessionLimits(max_turn_chars=100, max_open_turns=3, text_high_water_chars=40, text_low_water_chars=10)


def check(opened: OpenTurn) -> str:
    if opened.provider not in ("espeak", "breeze"):
        raise ClientError(Code.INVALID_CONFIG, "provider must be one of breeze, espeak")
    return f"checked {opened.turn_id}"


def make(limits: SessionLimits = LIMITS) -> Session:
    return Session(SessionDefaults(provider="espeak"), limits, check)


def start(session: Session, turn_id: str | None = None, **fields: object) -> list[Effect]:
    return session.receive(StartTurn(request=TurnRequest(turn_id=turn_id, **fields)))  # type: ignore[arg-type]


def error_of(effects: list[Effect]) -> tuple[Code, str | None]:
    [effect] = effects
    assert isinstance(effect, Tell)
    assert isinstance(effect.event, Failed)
    return effect.event.error.code, effect.event.turn_id


def message_of(effects: list[Effect]) -> str:
    [effect] = effects
    assert isinstance(effect, Tell)
    assert isinstance(effect.event, Failed)
    return effect.event.error.message


def in_state(state: TurnState) -> Session:
    """A session whose turn `t` is in `state`."""
    session = make()
    start(session, "t")
    if state in (TurnState.ENDING, TurnState.DONE):
        session.receive(EndTurn(turn_id="t"))
    match state:
        case TurnState.DONE:
            assert session.settle("t", Outcome.SPOKEN)
        case TurnState.FAILED:
            assert session.settle("t", Outcome.BROKEN)
        case TurnState.CANCELLED:
            session.receive(CancelTurn(turn_id="t"))
    assert session.turn_state("t") is state
    return session


TURN_COMMANDS: list[Command] = [
    AppendText(turn_id="t", text="hello"),
    FlushText(turn_id="t"),
    EndTurn(turn_id="t"),
    GrantFlow(turn_id="t", ms=20),
    ReportPlayback(turn_id="t", samples=480),
    CancelTurn(turn_id="t"),
]
EFFECTS: dict[type[Command], list[Effect]] = {
    AppendText: [GiveText("t", "hello")],
    FlushText: [Flush("t")],
    EndTurn: [EndText("t")],
    GrantFlow: [Grant("t", 20)],
    ReportPlayback: [NotePlayed("t", 480)],
    CancelTurn: [StopTurn("t")],
}


@pytest.mark.parametrize(("state", "command"), list(product(TurnState, TURN_COMMANDS)), ids=str)
def test_every_command_in_every_state(state: TurnState, command: Command) -> None:
    session = in_state(state)
    effects = session.receive(command)
    after = TURN_TABLE[state].get(type(command))
    if after is None:
        expected = Code.INVALID_MESSAGE if state is TurnState.ENDING else Code.UNKNOWN_TURN
        # Without a turn_id: this error does not end the turn.
        assert error_of(effects) == (expected, None)
        assert session.turn_state("t") is state
    else:
        assert effects == (EFFECTS[type(command)] if state in LIVE else [])
        assert session.turn_state("t") is after


@pytest.mark.parametrize(("state", "outcome"), list(product(TurnState, Outcome)), ids=str)
def test_every_outcome_in_every_state(state: TurnState, outcome: Outcome) -> None:
    session = in_state(state)
    if state not in LIVE:
        assert not session.settle("t", outcome)
        assert session.turn_state("t") is state
    elif outcome in TURN_TABLE[state]:
        assert session.settle("t", outcome)
        assert session.turn_state("t") is TURN_TABLE[state][outcome]
    else:
        with pytest.raises(AssertionError, match="text may still come"):
            session.settle("t", outcome)


def test_the_table_names_every_state() -> None:
    assert set(TURN_TABLE) == set(TurnState)
    for state in set(TurnState) - LIVE:
        assert set(TURN_TABLE[state].values()) <= {state}, "terminal states are never left"


def test_a_turn_gets_the_defaults_it_does_not_name() -> None:
    [opened] = start(make(), audio={"frame_ms": 40}, pacing={"mode": "realtime"})
    assert isinstance(opened, OpenTurn)
    assert (opened.turn_id, opened.turn_index, opened.provider) == ("turn-0", 0, "espeak")
    assert (opened.audio.frame_ms, opened.audio.sample_rate) == (40, 24000)
    assert (opened.pacing.mode, opened.pacing.lead_ms) == ("realtime", 200)


def test_speak_is_a_whole_turn() -> None:
    session = make()
    opened, *rest = session.receive(Speak(request=TurnRequest(turn_id="a"), text="Hi."))
    assert isinstance(opened, OpenTurn)
    assert rest == [GiveText("a", "Hi."), EndText("a")]
    assert session.turn_state("a") is TurnState.ENDING


def test_without_a_turn_id_the_turn_opened_last_is_meant() -> None:
    session = make()
    start(session, "a")
    start(session, "b")
    assert session.receive(AppendText(text="x")) == [GiveText("b", "x")]


def test_a_refused_start_does_not_send_its_text_to_an_older_turn() -> None:
    session = make()
    start(session, "old")
    assert error_of(start(session, "new", audio={"frame_ms": 1})) == (Code.INVALID_CONFIG, "new")
    assert error_of(session.receive(AppendText(text="for the new one"))) == (Code.UNKNOWN_TURN, None)
    assert session.receive(AppendText(text="x", turn_id="old")) == [GiveText("old", "x")]


def test_an_unreadable_start_does_not_send_its_text_to_an_older_turn() -> None:
    session = make()
    start(session, "old")
    error = ClientError(Code.INVALID_MESSAGE, "speak: text is missing")
    assert error_of(session.receive(Unreadable(error=error, opens_turn=True, turn_id="new"))) == (error.code, "new")
    assert error_of(session.receive(AppendText(text="x"))) == (Code.UNKNOWN_TURN, None)


def test_an_unreadable_message_that_opens_nothing_changes_nothing() -> None:
    session = make()
    start(session, "a")
    error = ClientError(Code.INVALID_MESSAGE, "not JSON")
    assert error_of(session.receive(Unreadable(error=error))) == (error.code, None)
    assert session.receive(AppendText(text="x")) == [GiveText("a", "x")]


@pytest.mark.parametrize("turn_id", ["", "a b", "x" * 65, "é", "a\n"])
def test_bad_turn_ids_are_refused(turn_id: str) -> None:
    assert error_of(start(make(), turn_id)) == (Code.INVALID_CONFIG, turn_id)


def test_a_used_turn_id_is_refused_and_the_turn_that_has_it_lives() -> None:
    session = make()
    start(session, "a")
    assert error_of(start(session, "a")) == (Code.INVALID_CONFIG, None)
    assert session.turn_state("a") is TurnState.OPEN


def test_made_ids_avoid_the_clients() -> None:
    session = make()
    start(session, "turn-1")
    [opened] = start(session)
    assert isinstance(opened, OpenTurn)
    assert opened.turn_id == "turn-2"


def test_what_the_check_refuses_opens_nothing_and_uses_up_no_index() -> None:
    session = make()
    assert "breeze, espeak" in message_of(start(session, provider="nobody"))
    [opened] = start(session, "a", provider="breeze")
    assert isinstance(opened, OpenTurn)
    assert (opened.turn_index, opened.checked) == (0, "checked a")


def test_the_first_of_several_providers_is_the_one_that_opens() -> None:
    [opened] = start(make(), providers=("breeze", "espeak"))
    assert isinstance(opened, OpenTurn)
    assert opened.provider == "breeze"
    assert error_of(start(make(), "a", provider="espeak", providers=("breeze",))) == (Code.INVALID_CONFIG, "a")


def test_a_window_smaller_than_a_frame_could_never_send_one() -> None:
    assert error_of(start(make(), "a", window_ms=19)) == (Code.INVALID_CONFIG, "a")
    assert isinstance(start(make(), "a", window_ms=20)[0], OpenTurn)


def test_open_turns_are_bounded_and_a_place_comes_back() -> None:
    session = make()
    for turn_id in "abc":
        start(session, turn_id)
    assert error_of(start(session, "d")) == (Code.RATE_LIMITED, "d")
    session.receive(CancelTurn(turn_id="a"))
    assert isinstance(start(session, "e")[0], OpenTurn)


def test_text_beyond_the_limit_fails_the_turn() -> None:
    session = make()
    start(session, "a")
    session.receive(AppendText(text="x" * 100))
    [failed] = session.receive(AppendText(text="y"))
    assert isinstance(failed, FailTurn)
    assert failed.error.code is Code.TEXT_TOO_LONG
    assert "101" in failed.error.message
    assert session.turn_state("a") is TurnState.FAILED


def test_a_speak_that_is_too_long_opens_nothing() -> None:
    session = make()
    effects = session.receive(Speak(request=TurnRequest(turn_id="a"), text="x" * 101))
    assert error_of(effects) == (Code.TEXT_TOO_LONG, "a")
    assert session.live_turns == []


def test_an_allowance_is_for_all_turns_together() -> None:
    session = Session(SessionDefaults(provider="espeak"), LIMITS, check, max_chars=10)
    session.receive(Speak(request=TurnRequest(turn_id="a"), text="four"))
    session.receive(CancelTurn(turn_id="a"))
    refused = session.receive(Speak(request=TurnRequest(turn_id="b"), text="seven!!"))
    assert error_of(refused) == (Code.FORBIDDEN, "b")
    assert "10 characters in all; 4 were given before, and this text has 7" in message_of(refused)
    assert session.turn_state("b") is None, "nothing was opened"
    start(session, "c")
    assert session.receive(AppendText(text="six...")) == [GiveText("c", "six...")]
    [failed] = session.receive(AppendText(text="."))
    assert isinstance(failed, FailTurn)
    assert (failed.turn_id, failed.error.code) == ("c", Code.FORBIDDEN)
    assert session.turn_state("c") is TurnState.FAILED


def test_text_backpressure_has_two_marks() -> None:
    session = make()
    start(session, "a")
    assert session.receive(AppendText(text="x" * 40)) == [GiveText("a", "x" * 40)]
    paused = TextPaused(turn_id="a", pending_chars=41)
    assert session.receive(AppendText(text="y")) == [GiveText("a", "y"), Tell(paused)]
    assert session.receive(AppendText(text="z")) == [GiveText("a", "z")], "said once"
    assert session.taken("a", 20) == []
    assert session.taken("a", 12) == [Tell(TextResumed(turn_id="a", pending_chars=10))]
    assert session.taken("a", 5) == []


def test_text_given_with_its_end_pauses_nobody() -> None:
    [_, *effects] = make().receive(Speak(request=TurnRequest(turn_id="a"), text="x" * 50))
    assert effects == [GiveText("a", "x" * 50), EndText("a")]


def test_cancel_without_an_id_stops_every_live_turn() -> None:
    session = make()
    for turn_id in "abc":
        start(session, turn_id)
    session.receive(CancelTurn(turn_id="b"))
    effects = session.receive(CancelTurn(played_samples=7))
    assert effects == [NotePlayed("a", 7), StopTurn("a"), NotePlayed("c", 7), StopTurn("c")]
    assert session.receive(CancelTurn()) == []


def test_cancel_of_an_unknown_turn_has_no_effect() -> None:
    assert make().receive(CancelTurn(turn_id="nobody")) == []


@pytest.mark.parametrize(
    "command",
    [
        GrantFlow(ms=0),
        GrantFlow(ms=-5),
        ReportPlayback(turn_id="a", samples=-1),
        ReportPlayback(turn_id="a", samples=1, underruns=-1),
        ReportPlayback(turn_id="a", samples=1, underrun_ms=4e6),
        CancelTurn(turn_id="a", played_samples=-1),
    ],
    ids=str,
)
def test_impossible_numbers_are_refused(command: Command) -> None:
    session = make()
    start(session, "a")
    assert error_of(session.receive(command)) == (Code.INVALID_MESSAGE, None)
    assert session.turn_state("a") is TurnState.OPEN


def test_gaps_that_a_listener_heard_count_also_when_the_turn_is_over() -> None:
    session = make()
    start(session, "a")
    report = ReportPlayback(turn_id="a", samples=480, underruns=2, underrun_ms=31.5)
    assert session.receive(report) == [NotePlayed("a", 480), NoteUnderruns(2, 31.5)]
    session.settle("a", Outcome.BROKEN)
    assert session.receive(report) == [NoteUnderruns(2, 31.5)]


def test_unknown_turns_are_named() -> None:
    assert "'x'" in message_of(make().receive(AppendText(turn_id="x", text="a")))
    assert "turn.start" in message_of(make().receive(FlushText()))


def test_ping() -> None:
    assert make().receive(Ping(id=3)) == [Tell(Pong(id=3))]


def test_draining_takes_no_new_turn_and_finishes_the_old() -> None:
    session = make()
    start(session, "a")
    session.drain()
    assert error_of(start(session, "b")) == (Code.SHUTTING_DOWN, "b")
    assert session.receive(AppendText(turn_id="a", text="x")) == [GiveText("a", "x")]
    assert session.receive(EndTurn(turn_id="a")) == [EndText("a")]


def test_close_stops_what_is_live_and_nothing_follows() -> None:
    session = make()
    start(session, "a")
    assert session.receive(CloseSession()) == [StopTurn("a"), Close()]
    assert session.state is SessionState.CLOSED
    assert session.receive(Ping()) == []
    assert session.close() == []


def test_memory_of_ended_turns_is_bounded() -> None:
    session = make()
    start(session, "kept")
    for _ in range(REMEMBERED_TURNS + 50):
        [opened] = start(session)
        assert isinstance(opened, OpenTurn)
        session.receive(CancelTurn(turn_id=opened.turn_id))
    assert session.turn_state("turn-1") is None
    assert session.turn_state("kept") is TurnState.OPEN, "a live turn is never forgotten"
    assert session.turn_state(f"turn-{REMEMBERED_TURNS + 50}") is TurnState.CANCELLED
