"""What one caller may spend: turns, flushes and characters in a time."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config import Config, LimitsConfig, ServerConfig
from relay.core.allowance import Bucket, Rate
from relay.core.effects import Flush, OpenTurn
from relay.core.events import (
    AppendText,
    CancelTurn,
    Failed,
    FlushText,
    SessionDefaults,
    SessionLimits,
    Speak,
    StartTurn,
    TurnRequest,
)
from relay.core.session import Session
from relay.engine.setup import limits_of
from relay.engine.spending import MAX_CALLERS, Spending, shares_of
from relay.errors import Code, LimitError


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 30)), max_size=60))
def test_a_bucket_never_gives_more_than_its_rate(asked: list[tuple[float, float]]) -> None:
    bucket, now_s, given_out = Bucket(Rate(per_s=2.0, burst=10.0), 0.0), 0.0, 0.0
    for pause_s, amount in asked:
        now_s += pause_s
        wait_s = bucket.take(amount, now_s)
        if not wait_s:
            given_out += amount
        # What is larger than the burst is owed: one such at most.
        assert given_out <= 10.0 + 2.0 * now_s + max((each for _, each in asked), default=0) + 1e-6


def test_who_waits_as_long_as_told_is_served() -> None:
    bucket = Bucket(Rate(per_s=0.1, burst=3), 0.0)
    assert [bucket.take(1, 0.0) for _ in range(3)] == [0.0] * 3
    wait_s = bucket.take(1, 0.0)
    assert wait_s == pytest.approx(10.0)
    assert bucket.take(1, wait_s - 0.1) > 0
    assert bucket.take(1, wait_s + 0.001) == 0.0


def session(turns: Rate | None, spend: Callable[[int], None] = lambda _chars: None) -> Session:
    return Session(SessionDefaults(provider="p"), SessionLimits(turns=turns), lambda _opened: None, spend=spend)


def failures(of: Session) -> list[LimitError]:
    return [
        item.error for item in of.due(1e9, 1 << 20) if isinstance(item, Failed) and isinstance(item.error, LimitError)
    ]


def test_speaking_and_cancelling_round_and_round_is_slowed() -> None:
    of, opened = session(Rate(per_s=5, burst=20)), 0
    for step in range(2500):
        effects = of.receive(Speak(request=TurnRequest(), text="Hello."), step * 0.004)
        opened += any(isinstance(effect, OpenTurn) for effect in effects)
        of.receive(CancelTurn(), step * 0.004)
    assert opened == pytest.approx(20 + 5 * 10, abs=1)
    assert all(error.code is Code.RATE_LIMITED and error.retry_after_s for error in failures(of))


def test_flushes_cannot_multiply_requests() -> None:
    of, flushed = session(Rate(per_s=5, burst=20)), 0
    of.receive(StartTurn(request=TurnRequest(turn_id="t")), 0.0)
    for step in range(2000):
        of.receive(AppendText(text="a"), step * 0.001)
        for _ in range(2):  # the second has nothing new
            effects = of.receive(FlushText(), step * 0.001)
            flushed += any(isinstance(effect, Flush) for effect in effects)
        of.playout.drop_all()
    assert flushed <= 2 * (40 + 20) + 1
    assert of.live_turns == ["t"], "a refused flush ends no turn"


def test_without_a_rate_nothing_is_counted() -> None:
    of = session(None)
    for _ in range(500):
        assert of.receive(Speak(request=TurnRequest(), text="Hello."), 0.0)
        of.receive(CancelTurn(), 0.0)
    assert not failures(of)


def test_who_has_a_rate_by_default() -> None:
    keys = ServerConfig(keys=["a-key-of-somebody"])
    assert limits_of(Config()).session.turns is None
    assert limits_of(Config(server=keys)).session.turns == Rate(per_s=5.0, burst=20)
    assert limits_of(Config(server=keys, limits=LimitsConfig(turns_per_s=0))).session.turns is None
    assert limits_of(Config(limits=LimitsConfig(turns_per_s=1, turn_burst=2))).session.turns == Rate(per_s=1, burst=2)


def test_characters_are_counted_for_a_caller_over_all_its_sessions() -> None:
    now_s = 0.0
    spending = Spending(shares_of(600, 1000), clock=lambda: now_s)
    alice, again, bob = spending.of("alice"), spending.of("alice"), spending.of("bob")
    alice(400)
    again(200)
    bob(600)
    with pytest.raises(LimitError, match=r"limits\.chars_per_minute, 600") as caught:
        again(100)
    assert (caught.value.code, caught.value.retry_after_s) == (Code.RATE_LIMITED, 10.0)
    now_s = 60.0
    alice(390)
    with pytest.raises(LimitError, match=r"limits\.chars_per_day, 1000"):
        again(200)
    for number in range(MAX_CALLERS + 10):
        spending.of(str(number))(1)
    assert len(spending._callers) <= MAX_CALLERS


def test_a_turn_whose_text_is_too_much_ends_in_that_error() -> None:
    spending = Spending(shares_of(10, None), clock=lambda: 0.0)
    of = session(None, spending.of("alice"))
    of.receive(StartTurn(request=TurnRequest(turn_id="t")), 0.0)
    assert of.receive(AppendText(text="a" * 10), 0.0)
    effects = of.receive(AppendText(text="b"), 0.0)
    assert of.live_turns == [] and effects
    assert spending.of("bob")(10) is None
    Spending([]).of("x")(10**9)
