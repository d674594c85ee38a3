"""The session machine: every state with every command, by table; then the rules that tables cannot say."""

from itertools import product
from typing import Any

import pytest

from relay.core.effects import (
    CutOff,
    Effect,
    EndText,
    Flush,
    GiveText,
    NoteUnderruns,
    OpenTurn,
    StopTurns,
)
from relay.core.events import (
    AppendText,
    AudioStarted,
    CancelTurn,
    CloseSession,
    Command,
    EndTurn,
    Failed,
    FlushText,
    GrantFlow,
    Ping,
    Pong,
    ProviderChoice,
    ReportPlayback,
    SegmentStarted,
    SessionDefaults,
    SessionEnded,
    SessionLimits,
    SessionReady,
    Speak,
    StartTurn,
    TextPaused,
    TextResumed,
    TurnCancelled,
    TurnDone,
    TurnRequest,
    TurnStarted,
    Unreadable,
)
from relay.core.formats import AudioRequest
from relay.core.playout import MAX_URGENT, Run
from relay.core.record import TurnEnded
from relay.core.session import MAX_OPEN_FLUSHES, REMEMBERED_TURNS, Session
from relay.core.states import LIVE, TURN_TABLE, SessionState, TurnState
from relay.errors import ClientError, Code, InternalError, LimitError
from tests.covering import each

LIMITS = SessionLimits(max_turn_chars=100, max_open_turns=3, text_high_water_chars=40, text_low_water_chars=10)
FORM = AudioRequest().resolve(24000)
REALTIME = {"mode": "realtime"}
NOW_S = 10.0
ALL = 1 << 40


def check(opened: OpenTurn) -> str:
    if opened.provider not in ("espeak", "breeze"):
        raise ClientError(Code.INVALID_CONFIG, "provider must be one of breeze, espeak")
    return f"checked {opened.turn_id}"


def make(limits: SessionLimits = LIMITS) -> Session:
    return Session(SessionDefaults(provider="espeak"), limits, check)


def receive(session: Session, command: Command, now_s: float = NOW_S) -> list[Effect]:
    return session.receive(command, now_s)


def start(session: Session, turn_id: str | None = None, **fields: Any) -> list[Effect]:
    return receive(session, StartTurn(request=TurnRequest(turn_id=turn_id, **fields)))


def opens(session: Session, turn_id: str | None = None, **fields: Any) -> OpenTurn:
    [opened] = start(session, turn_id, **fields)
    assert isinstance(opened, OpenTurn)
    return opened


def leaving(session: Session, now_s: float = NOW_S) -> list[Any]:
    return session.due(now_s, ALL)


def error_of(session: Session, effects: list[Effect]) -> tuple[Code, str | None]:
    """What a refused command is answered with: it has no effect."""
    assert effects == []
    [failed] = leaving(session)
    assert isinstance(failed, Failed)
    return failed.error.code, failed.turn_id


def message_of(session: Session, effects: list[Effect]) -> str:
    assert effects == []
    [failed] = leaving(session)
    assert isinstance(failed, Failed)
    return failed.error.message


def stopped(effects: list[Effect]) -> list[tuple[str, Code | None]]:
    """The turns that a command has ended, each with its error."""
    [stop] = effects
    assert isinstance(stop, StopTurns)
    return [(one.record.turn_id, one.error.code if one.error else None) for one in stop.ended]


def kinds(left: list[Any]) -> list[Any]:
    """What has left, in short: types of events with their turns, and numbers of frames."""
    out: list[Any] = []
    for item in left:
        event = item.event if isinstance(item, TurnEnded) else item
        turn_id = getattr(event, "turn_id", None)
        out.append((turn_id, event.frames) if isinstance(event, Run) else (turn_id, type(event)))
    return out


def speak(session: Session, turn_id: str, ms: int, **fields: Any) -> OpenTurn:
    """A whole turn, of which all audio is there."""
    opened, *_ = receive(session, Speak(request=TurnRequest(turn_id=turn_id, **fields), text="Hi."))
    assert isinstance(opened, OpenTurn)
    session.set_format(turn_id, FORM)
    session.playout.feed(turn_id, bytes(48 * ms))
    session.playout.end(turn_id)
    return opened


def in_state(state: TurnState) -> Session:
    """A session whose turn `t` is in `state`."""
    session = make()
    start(session, "t")
    if state in (TurnState.ENDING, TurnState.DONE):
        receive(session, EndTurn(turn_id="t"))
    match state:
        case TurnState.DONE:
            session.playout.end("t")
        case TurnState.FAILED:
            session.fail("t", InternalError(), NOW_S)
        case TurnState.CANCELLED:
            receive(session, CancelTurn(turn_id="t"))
    leaving(session)
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
    GrantFlow: [],
    ReportPlayback: [],
}


@each(("state", "command"), list(product(TurnState, TURN_COMMANDS)))
def test_every_command_in_every_state(state: TurnState, command: Command) -> None:
    session = in_state(state)
    effects = receive(session, command)
    after = TURN_TABLE[state].get(type(command))
    if after is None:
        expected = Code.INVALID_MESSAGE if state is TurnState.ENDING else Code.UNKNOWN_TURN
        # Without a turn_id: this error does not end the turn.
        assert error_of(session, effects) == (expected, None)
        assert session.turn_state("t") is state
        return
    if state not in LIVE:
        assert effects == []
    elif isinstance(command, CancelTurn):
        assert stopped(effects) == [("t", None)]
    else:
        assert effects == EFFECTS[type(command)]
    assert session.turn_state("t") is after


def test_the_table_names_every_state() -> None:
    assert set(TURN_TABLE) == set(TurnState)
    for state in set(TurnState) - LIVE:
        assert set(TURN_TABLE[state].values()) <= {state}, "terminal states are never left"


# How turns begin.


def test_a_session_is_greeted_first() -> None:
    session = make()
    session.greet("s")
    receive(session, Ping(id=1))
    ready, pong = leaving(session)
    assert ready == SessionReady(session_id="s", limits=LIMITS, defaults=SessionDefaults(provider="espeak"))
    assert pong == Pong(id=1)


def test_a_turn_gets_the_defaults_it_does_not_name() -> None:
    opened = opens(make(), audio={"frame_ms": 40}, pacing={"mode": "realtime"})
    assert (opened.turn_id, opened.turn_index, opened.provider) == ("turn-0", 0, "espeak")
    assert (opened.audio.frame_ms, opened.audio.sample_rate) == (40, 24000)
    assert (opened.pacing.mode, opened.pacing.lead_ms, opened.pacing.group_ms) == ("realtime", 200, 100)


def test_a_lead_of_the_clients_own_has_a_group_of_its_own() -> None:
    session = Session(SessionDefaults(provider="espeak", pacing=make()._defaults.pacing), LIMITS, check)
    assert opens(session, pacing={"mode": "realtime", "lead_ms": 40}).pacing.group_ms == 20
    assert opens(session, pacing={"mode": "realtime", "lead_ms": 40, "burst_ms": 0}).pacing.group_ms == 0
    refused = start(session, "a", pacing={"mode": "realtime", "lead_ms": 40, "burst_ms": 41})
    assert error_of(session, refused) == (Code.INVALID_CONFIG, "a")


def test_speak_is_a_whole_turn() -> None:
    session = make()
    opened, *rest = receive(session, Speak(request=TurnRequest(turn_id="a"), text="Hi."))
    assert isinstance(opened, OpenTurn)
    assert rest == [GiveText("a", "Hi."), EndText("a")]
    assert session.turn_state("a") is TurnState.ENDING
    assert [record.turn_id for record in session.records] == ["a"]


def test_without_a_turn_id_the_turn_opened_last_is_meant() -> None:
    session = make()
    start(session, "a")
    start(session, "b")
    assert receive(session, AppendText(text="x")) == [GiveText("b", "x")]


@pytest.mark.parametrize(
    "refused",
    [
        StartTurn(request=TurnRequest(turn_id="new", audio={"frame_ms": 1})),
        Speak(request=TurnRequest(turn_id="new", audio={"frame_ms": 1}), text="x"),
        Speak(request=TurnRequest(turn_id="new"), text="x" * 101),
        Unreadable(error=ClientError(Code.INVALID_CONFIG, "wrong"), opens_turn=True, turn_id="new"),
    ],
    ids=["start", "speak", "too long", "unreadable"],
)
def test_text_of_a_refused_turn_does_not_go_to_an_older_one(refused: Command) -> None:
    session = make()
    start(session, "old")
    assert error_of(session, receive(session, refused))[1] == "new"
    assert error_of(session, receive(session, AppendText(text="for the new one"))) == (Code.UNKNOWN_TURN, None)
    assert receive(session, AppendText(text="x", turn_id="old")) == [GiveText("old", "x")]


def test_an_unreadable_message_that_opens_nothing_changes_nothing() -> None:
    session = make()
    start(session, "a")
    error = ClientError(Code.INVALID_MESSAGE, "not JSON")
    assert error_of(session, receive(session, Unreadable(error=error))) == (error.code, None)
    assert receive(session, AppendText(text="x")) == [GiveText("a", "x")]


@pytest.mark.parametrize("turn_id", ["", "a b", "x" * 65, "é", "a\n"])
def test_bad_turn_ids_are_refused(turn_id: str) -> None:
    session = make()
    assert error_of(session, start(session, turn_id)) == (Code.INVALID_CONFIG, turn_id)


def test_a_used_turn_id_is_refused_and_a_turn_that_has_it_lives() -> None:
    """The error names the turn where that has ended: nothing else can be meant, and its client waits for an answer."""
    session = make()
    start(session, "a")
    again = TurnRequest(turn_id="a")
    unreadable = Unreadable(error=ClientError(Code.INVALID_CONFIG, "wrong"), opens_turn=True, turn_id="a")
    for command in (StartTurn(request=again), Speak(request=again, text="x"), unreadable):
        assert error_of(session, receive(session, command)) == (Code.INVALID_CONFIG, None)
    assert session.turn_state("a") is TurnState.OPEN
    receive(session, CancelTurn(turn_id="a"))
    leaving(session)
    for command in (StartTurn(request=again), Speak(request=again, text="x"), unreadable):
        assert error_of(session, receive(session, command)) == (Code.INVALID_CONFIG, "a")


def test_made_ids_avoid_the_clients() -> None:
    session = make()
    start(session, "turn-1")
    assert opens(session).turn_id == "turn-2"


def test_what_the_check_refuses_opens_nothing_and_uses_up_no_index() -> None:
    session = make()
    assert "breeze, espeak" in message_of(session, start(session, provider="nobody"))
    opened = opens(session, "a", provider="breeze")
    assert (opened.turn_index, opened.checked) == (0, "checked a")


def test_the_first_of_several_providers_is_the_one_that_opens() -> None:
    session = make()
    choices = (ProviderChoice(provider="breeze"), ProviderChoice(provider="espeak"))
    assert opens(session, providers=choices).provider == "breeze"
    refused = start(session, "a", provider="espeak", providers=choices)
    assert error_of(session, refused) == (Code.INVALID_CONFIG, "a")


def test_a_window_smaller_than_a_frame_could_never_send_one() -> None:
    session = make()
    assert error_of(session, start(session, "a", window_ms=19)) == (Code.INVALID_CONFIG, "a")
    opens(session, "a", window_ms=20)


def test_open_turns_are_bounded_and_a_place_comes_back() -> None:
    session = make()
    for turn_id in "abc":
        start(session, turn_id)
    assert error_of(session, start(session, "d")) == (Code.RATE_LIMITED, "d")
    receive(session, CancelTurn(turn_id="a"))
    opens(session, "e")


# Text.


def test_text_beyond_the_limit_fails_the_turn() -> None:
    session = make()
    start(session, "a")
    receive(session, AppendText(text="x" * 100))
    assert kinds(leaving(session)) == [("a", TextPaused)]
    assert stopped(receive(session, AppendText(text="y"))) == [("a", Code.TEXT_TOO_LONG)]
    [failed] = leaving(session)
    assert "101" in failed.error.message
    assert failed.turn_id == "a"
    assert session.turn_state("a") is TurnState.FAILED


def test_a_speak_that_is_too_long_opens_nothing() -> None:
    session = make()
    effects = receive(session, Speak(request=TurnRequest(turn_id="a"), text="x" * 101))
    assert error_of(session, effects) == (Code.TEXT_TOO_LONG, "a")
    assert session.live_turns == []


def test_an_allowance_is_for_all_turns_together() -> None:
    session = Session(SessionDefaults(provider="espeak"), LIMITS, check, max_chars=10)
    receive(session, Speak(request=TurnRequest(turn_id="a"), text="four"))
    receive(session, CancelTurn(turn_id="a"))
    leaving(session)
    refused = receive(session, Speak(request=TurnRequest(turn_id="b"), text="seven!!"))
    assert refused == []
    [failed] = leaving(session)
    assert (failed.error.code, failed.turn_id) == (Code.FORBIDDEN, "b")
    assert "10 characters in all; 4 were given before, and this text has 7" in failed.error.message
    assert session.turn_state("b") is None, "nothing was opened"
    start(session, "c")
    assert receive(session, AppendText(text="six...")) == [GiveText("c", "six...")]
    assert stopped(receive(session, AppendText(text="."))) == [("c", Code.FORBIDDEN)]
    assert session.turn_state("c") is TurnState.FAILED


def test_text_backpressure_has_two_marks() -> None:
    session = make()
    start(session, "a")
    assert receive(session, AppendText(text="x" * 40)) == [GiveText("a", "x" * 40)]
    assert leaving(session) == []
    assert receive(session, AppendText(text="y")) == [GiveText("a", "y")]
    assert leaving(session) == [TextPaused(turn_id="a", pending_chars=41)]
    receive(session, AppendText(text="z"))
    assert leaving(session) == [], "said once"
    session.taken("a", 20)
    assert leaving(session) == []
    session.taken("a", 12)
    assert leaving(session) == [TextResumed(turn_id="a", pending_chars=10)]
    session.taken("a", 5)
    session.taken("unknown", 5)
    assert leaving(session) == []
    assert session.records[0].pending_chars == 5


def test_text_given_with_its_end_pauses_no_client() -> None:
    session = make()
    [_, *effects] = receive(session, Speak(request=TurnRequest(turn_id="a"), text="x" * 50))
    assert effects == [GiveText("a", "x" * 50), EndText("a")]
    assert leaving(session) == []


def test_no_text_is_no_effect() -> None:
    session = make()
    start(session, "a")
    assert receive(session, AppendText(text="")) == []


def test_a_flush_has_an_id_of_the_clients() -> None:
    session = make()
    start(session, "a")
    assert receive(session, FlushText(flush_id="f-1")) == [Flush("a", "f-1")]
    assert receive(session, FlushText()) == [Flush("a", None)]
    for flush_id in ("", "a b", "x" * 65):
        assert error_of(session, receive(session, FlushText(flush_id=flush_id))) == (Code.INVALID_MESSAGE, None)
    assert session.turn_state("a") is TurnState.OPEN


def test_flushes_that_wait_for_their_audio_are_bounded() -> None:
    session = make()
    record = opens(session, "a").record
    for _ in range(MAX_OPEN_FLUSHES):
        assert receive(session, FlushText()) == [Flush("a", None)]
    assert error_of(session, receive(session, FlushText())) == (Code.RATE_LIMITED, None)
    record.open_flushes -= 1
    assert receive(session, FlushText()) == [Flush("a", None)]


# What leaves.


def test_a_turn_leaves_in_order() -> None:
    session = make()
    start(session, "a")
    session.set_format("a", FORM)
    segment = SegmentStarted(turn_id="a", index=0, text="Hi.", start_sample=0)
    session.playout.mark("a", segment)
    session.playout.feed("a", bytes(960 * 2 + 10))
    receive(session, EndTurn(turn_id="a"))
    session.playout.end("a")
    left = leaving(session)
    assert kinds(left) == [
        ("a", TurnStarted),
        ("a", SegmentStarted),
        ("a", AudioStarted),
        ("a", 3),
        ("a", TurnDone),
    ]
    done = left[-1].event
    assert (done.frames, done.samples, done.padding_samples, done.duration_ms) == (3, 965, 475, 40.208)
    assert session.turn_state("a") is TurnState.DONE


def test_audio_starts_once() -> None:
    session = make()
    speak(session, "a", 1000, pacing=REALTIME)
    assert kinds(leaving(session)) == [("a", TurnStarted), ("a", AudioStarted), ("a", 10)]
    assert kinds(leaving(session, NOW_S + 0.1)) == [("a", 5)]


def test_a_turn_without_any_text_is_done() -> None:
    session = make()
    start(session, "a")
    receive(session, EndTurn())
    session.playout.end("a")
    [ended] = leaving(session)
    assert isinstance(ended.event, TurnDone)
    assert (ended.event.frames, ended.event.text_chars, ended.event.duration_ms) == (0, 0, 0)


def test_a_failure_leaves_behind_the_good_audio() -> None:
    session = make()
    start(session, "a")
    session.set_format("a", FORM)
    session.playout.feed("a", bytes(960))
    error = InternalError()
    session.playout.end("a", error)
    *_, run, ended = leaving(session)
    assert (run.frames, ended.event, ended.error) == (1, Failed(error=error, turn_id="a"), error)
    assert session.turn_state("a") is TurnState.FAILED


def test_a_turn_whose_text_may_still_come_is_never_done() -> None:
    session = make()
    start(session, "a")
    session.playout.end("a")
    [ended] = leaving(session)
    assert isinstance(ended.event, Failed)
    assert ended.event.error.code is Code.INTERNAL


def test_what_the_engine_says_of_an_ended_turn_is_dropped() -> None:
    session = in_state(TurnState.CANCELLED)
    session.set_format("t", FORM)
    session.taken("t", 3)
    session.playout.feed("t", bytes(960))
    session.playout.end("t")
    assert session.fail("t", InternalError(), NOW_S) == []
    assert leaving(session) == []


# Cancels.


@each("pacing", [{}, REALTIME])
@each("ms", [100, 3000])
@each("turns", [2, 3, 10])
def test_a_cancel_without_an_id_stops_all_turns_in_order_and_nothing_follows(
    turns: int, ms: int, pacing: dict[str, Any]
) -> None:
    session = make(SessionLimits(max_open_turns=10))
    ids = [f"t{index}" for index in range(turns)]
    opened = speak(session, ids[0], 1000, pacing=REALTIME)
    for turn_id in ids[1:]:
        speak(session, turn_id, ms, pacing=pacing)
    leaving(session)
    leaving(session, NOW_S + 0.5)
    sent = opened.record.sent.samples
    assert stopped(receive(session, CancelTurn(), NOW_S + 0.5)) == [(turn_id, None) for turn_id in ids]
    left = leaving(session, NOW_S + 0.5)
    assert kinds(left) == [(turn_id, TurnCancelled) for turn_id in ids]
    assert [event.samples_sent for event in left] == [sent] + [0] * (turns - 1)
    assert session.playout.heard(NOW_S + 0.5) == 0
    assert leaving(session, NOW_S + 9) == []
    assert receive(session, CancelTurn()) == []


def test_a_cancelled_turn_ends_before_the_next_one_speaks() -> None:
    session = make()
    speak(session, "a", 1000, pacing=REALTIME)
    speak(session, "b", 3000, pacing=REALTIME)
    leaving(session)
    assert stopped(receive(session, CancelTurn(turn_id="a"), NOW_S + 0.15)) == [("a", None)]
    assert kinds(leaving(session, NOW_S + 0.15)) == [("a", TurnCancelled), ("b", AudioStarted), ("b", 10)]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("first", [{}, REALTIME], ids=["fast", "realtime"])
def test_a_finished_turn_that_is_cancelled_is_not_waited_for(named: bool, first: dict[str, Any]) -> None:
    session = make()
    speak(session, "a", 180, pacing=first)
    assert kinds(leaving(session))[-1] == ("a", TurnDone)
    assert receive(session, CancelTurn(turn_id="a" if named else None), NOW_S + 0.01) == []
    speak(session, "b", 1000, pacing={"mode": "realtime", "lead_ms": 0})
    assert kinds(leaving(session, NOW_S + 0.01)) == [("b", TurnStarted), ("b", AudioStarted), ("b", 1)]


def test_a_failed_turn_is_heard_out() -> None:
    """A listener throws away what it holds when it cancels, not when it gets an error."""
    session = make()
    speak(session, "a", 1000, pacing=REALTIME)
    leaving(session)
    session.fail("a", InternalError(), NOW_S)
    assert session.playout.heard(NOW_S) == pytest.approx(0.2)


def test_cancel_of_an_unknown_turn_has_no_effect() -> None:
    session = make()
    assert receive(session, CancelTurn(turn_id="nobody", played_samples=5)) == []
    assert leaving(session) == []


def played(session: Session, command: CancelTurn, now_s: float) -> dict[str, int | None]:
    receive(session, command, now_s)
    events = [event for event in leaving(session, now_s) if isinstance(event, TurnCancelled)]
    return {event.turn_id: event.samples_played for event in events}


def test_only_the_turn_that_is_heard_was_heard_and_no_more_than_was_sent() -> None:
    def three() -> Session:
        session = make()
        speak(session, "a", 100, pacing=REALTIME)
        for turn_id in "bc":
            speak(session, turn_id, 1000, pacing=REALTIME)
        leaving(session)
        assert session.live_turns == ["b", "c"], "all of a has left, and is heard for 0.1 s"
        return session

    assert played(three(), CancelTurn(played_samples=3000), NOW_S + 0.01) == {"b": None, "c": None}
    assert played(three(), CancelTurn(played_samples=1000), NOW_S + 0.11) == {"b": 1000, "c": None}
    assert played(three(), CancelTurn(played_samples=10**15), NOW_S + 0.11) == {"b": 2400, "c": None}
    assert played(three(), CancelTurn(turn_id="c", played_samples=3000), NOW_S + 0.11) == {"c": 0}


def test_of_fast_turns_the_one_being_sent_is_heard() -> None:
    session = make()
    speak(session, "a", 1000, window_ms=100)
    speak(session, "b", 1000)
    assert played(session, CancelTurn(played_samples=700), NOW_S) == {"a": None, "b": None}, "nothing was sent"
    speak(session, "c", 1000, window_ms=100)
    speak(session, "d", 1000)
    leaving(session)
    assert played(session, CancelTurn(played_samples=700), NOW_S) == {"c": 700, "d": None}


def test_a_report_counts_in_the_end_of_its_turn_and_never_beyond_what_was_sent() -> None:
    session = make()
    speak(session, "a", 1000, pacing=REALTIME)
    leaving(session)
    receive(session, ReportPlayback(turn_id="a", samples=960))
    assert played(session, CancelTurn(), NOW_S) == {"a": 960}
    speak(session, "b", 1000, pacing=REALTIME)
    leaving(session)
    receive(session, ReportPlayback(turn_id="b", samples=10**15))
    assert played(session, CancelTurn(), NOW_S) == {"b": 4800}


def test_a_cancel_tells_what_was_sent_and_what_was_heard_of_the_text() -> None:
    session = make()
    record = speak(session, "a", 1000, pacing=REALTIME).record
    for text, sample in (("One. ", 0), ("Two. ", 2000), ("Three.", 20_000)):
        record.transcript.begin(text, sample, 0)
    leaving(session)
    receive(session, CancelTurn(played_samples=1999))
    [event] = leaving(session)
    assert (event.text_sent, event.text_played) == ("One. Two. ", "One. ")


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
    assert error_of(session, receive(session, command)) == (Code.INVALID_MESSAGE, None)
    assert session.turn_state("a") is TurnState.OPEN


def test_gaps_that_a_listener_heard_count_also_when_the_turn_is_over() -> None:
    session = make()
    start(session, "a")
    report = ReportPlayback(turn_id="a", samples=480, underruns=2, underrun_ms=31.5)
    assert receive(session, report) == [NoteUnderruns(2, 31.5)]
    session.fail("a", InternalError(), NOW_S)
    assert receive(session, report) == [NoteUnderruns(2, 31.5)]


def test_credit_reaches_the_turn() -> None:
    session = make()
    speak(session, "a", 1000, window_ms=40)
    assert kinds(leaving(session))[-1] == ("a", 2)
    assert receive(session, GrantFlow(turn_id="a", ms=20)) == []
    assert kinds(leaving(session)) == [("a", 1)]


def test_unknown_turns_are_named() -> None:
    session = make()
    assert "'x'" in message_of(session, receive(session, AppendText(turn_id="x", text="a")))
    assert "turn.start" in message_of(session, receive(session, FlushText()))


# How sessions end.


def test_draining_takes_no_new_turn_and_finishes_the_old() -> None:
    session = make()
    start(session, "a")
    session.drain()
    assert error_of(session, start(session, "b")) == (Code.SHUTTING_DOWN, "b")
    assert receive(session, AppendText(turn_id="a", text="x")) == [GiveText("a", "x")]
    assert receive(session, EndTurn(turn_id="a")) == [EndText("a")]
    session.playout.end("a")
    ended, over = leaving(session)
    assert isinstance(ended.event, TurnDone)
    assert over.error.code is Code.SHUTTING_DOWN
    assert session.state is SessionState.CLOSED


def test_a_drained_session_without_turns_ends_at_once() -> None:
    session = make()
    session.drain()
    [over] = leaving(session)
    assert over.error.code is Code.SHUTTING_DOWN
    session.drain()
    assert leaving(session) == []


@pytest.mark.parametrize("how", ["cancel", "fail"])
def test_a_drained_session_ends_with_its_last_turn_however_that_ends(how: str) -> None:
    session = make()
    start(session, "a")
    session.drain()
    if how == "cancel":
        receive(session, CancelTurn())
    else:
        session.fail("a", InternalError(), NOW_S)
    assert kinds(leaving(session))[1:] == [(None, SessionEnded)]


def test_a_client_may_let_a_session_speak_what_was_begun() -> None:
    session = make()
    speak(session, "a", 100)
    start(session, "b")
    receive(session, AppendText(text="more"))
    assert receive(session, CloseSession(finish=True)) == [EndText("b")]
    assert session.state is SessionState.FINISHING
    assert receive(session, CloseSession(finish=True)) == []
    refused = receive(session, Speak(request=TurnRequest(turn_id="c"), text="x"))
    assert refused == []
    refused = receive(session, AppendText(turn_id="b", text="x"))
    assert refused == []
    session.playout.end("b")
    left = leaving(session)
    assert kinds(left) == [
        ("a", TurnStarted),
        ("c", Failed),
        (None, Failed),
        ("a", AudioStarted),
        ("a", 5),
        ("a", TurnDone),
        ("b", TurnDone),
        (None, SessionEnded),
    ]
    assert left[-1].error is None
    assert leaving(session) == []


def test_nothing_to_finish_ends_at_once() -> None:
    session = make()
    assert receive(session, CloseSession(finish=True)) == []
    assert leaving(session) == [SessionEnded()]


def test_a_session_that_finishes_may_still_be_closed_and_drained() -> None:
    session = make()
    start(session, "a")
    receive(session, CloseSession(finish=True))
    session.drain()
    assert session.state is SessionState.FINISHING
    assert stopped(receive(session, CloseSession())) == [("a", None)]
    assert kinds(leaving(session)) == [("a", TurnCancelled), (None, SessionEnded)]


def test_close_stops_what_is_live_and_nothing_follows() -> None:
    session = make()
    speak(session, "a", 1000, pacing=REALTIME)
    speak(session, "b", 100, pacing=REALTIME)
    leaving(session)
    assert stopped(receive(session, CloseSession())) == [("a", None), ("b", None)]
    assert session.state is SessionState.CLOSED
    assert receive(session, Ping()) == []
    assert session.close(None, NOW_S) == []
    assert kinds(leaving(session)) == [("a", TurnCancelled), ("b", TurnCancelled), (None, SessionEnded)]
    assert leaving(session, NOW_S + 9) == []


def test_a_session_that_is_closed_with_an_error_says_so_of_every_turn() -> None:
    session = make()
    speak(session, "a", 1000, pacing=REALTIME)
    speak(session, "b", 100, pacing=REALTIME)
    leaving(session)
    error = LimitError(Code.SHUTTING_DOWN, "the relay is shutting down")
    assert stopped(session.close(error, NOW_S)) == [("a", error.code), ("b", error.code)]
    assert leaving(session) == [
        Failed(error=error, turn_id="a"),
        Failed(error=error, turn_id="b"),
        SessionEnded(error=error),
    ]


def test_a_message_after_which_a_protocol_does_not_go_on_closes_the_session() -> None:
    session = make()
    start(session, "a")
    error = ClientError(Code.INVALID_MESSAGE, "binary")
    assert stopped(receive(session, Unreadable(error=error, fatal=True))) == [("a", error.code)]
    assert leaving(session) == [Failed(error=error, turn_id="a"), SessionEnded(error=error)]


def test_the_error_that_closes_a_session_is_said_where_no_turn_fails_with_it() -> None:
    error = ClientError(Code.INVALID_MESSAGE, "binary")
    session = make()
    assert receive(session, Unreadable(error=error, fatal=True)) == []
    assert leaving(session) == [Failed(error=error), SessionEnded(error=error)]
    session = make()
    assert session.close(error, NOW_S) == []
    assert leaving(session) == [Failed(error=error), SessionEnded(error=error)]


def test_a_connection_that_is_gone_leaves_nothing_to_send() -> None:
    session = make()
    speak(session, "a", 1000, pacing=REALTIME)
    start(session, "b")
    assert [record.turn_id for record in session.abandon()] == ["a", "b"]
    assert session.state is SessionState.CLOSED
    assert session.turn_state("a") is TurnState.CANCELLED
    assert leaving(session, NOW_S + 1) == []
    assert session.next_due_s == float("inf")
    assert session.abandon() == []


# Bounds.


def test_a_client_that_leaves_answers_unread_is_cut_off() -> None:
    session = make()
    for _ in range(MAX_URGENT):
        assert receive(session, Ping()) == []
    [cut_off] = receive(session, Ping())
    assert isinstance(cut_off, CutOff)
    assert cut_off.error.code is Code.SLOW_CLIENT
    effects = receive(session, AppendText(text="x"))
    assert isinstance(effects[-1], CutOff), "a refusal is an answer too"


def test_a_cancel_that_is_one_answer_too_many_still_stops_the_turns() -> None:
    session = make()
    start(session, "a")
    for _ in range(MAX_URGENT):
        receive(session, Ping())
    stop, cut_off = receive(session, CancelTurn())
    assert stopped([stop]) == [("a", None)]
    assert isinstance(cut_off, CutOff)


def test_starts_and_ends_of_turns_are_not_lost_behind_answers() -> None:
    session = make()
    for turn_id in "ab":
        start(session, turn_id)
    for _ in range(MAX_URGENT):
        receive(session, Ping())
    session.set_format("a", FORM)
    session.playout.feed("a", bytes(960))
    session.fail("b", InternalError(), NOW_S)
    session.close(None, NOW_S)
    assert kinds(leaving(session))[MAX_URGENT:] == [
        ("a", TurnStarted),
        ("b", Failed),
        ("a", TurnCancelled),
        (None, SessionEnded),
    ]


def test_memory_of_ended_turns_is_bounded() -> None:
    session = make()
    start(session, "kept")
    for _ in range(REMEMBERED_TURNS + 50):
        opened = opens(session)
        receive(session, CancelTurn(turn_id=opened.turn_id))
        leaving(session)
    assert session.turn_state("turn-1") is None
    assert session.turn_state("kept") is TurnState.OPEN, "a live turn is never forgotten"
    assert session.turn_state(f"turn-{REMEMBERED_TURNS + 50}") is TurnState.CANCELLED
