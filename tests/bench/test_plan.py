"""A plan: every case in every round, in an order that is drawn once and is the same again."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from relay.bench.plan import Connection, Path, Plan, Target
from relay.bench.texts import BUILT_IN, named


def plan(rounds: int = 10, seed: int = 1, warm_ups: int = 1) -> Plan:
    return Plan(
        targets=[Target(provider="one"), Target(provider="two", voice="v")],
        paths=list(Path),
        connections=list(Connection),
        texts=named(["short", "numbers"]),
        rounds=rounds,
        warm_ups=warm_ups,
        seed=seed,
    )


@given(st.integers(0, 12), st.integers())
def test_every_round_has_every_case_once(rounds: int, seed: int) -> None:
    shots = plan(rounds, seed).shots
    cases = len(plan().cases)
    assert cases == 16
    for round_ in range(rounds):
        of_round = shots[round_ * cases : (round_ + 1) * cases]
        assert {shot.round for shot in of_round} == {round_}
        assert set(Counter(shot.case for shot in of_round).values()) == {1}
        assert len(of_round) == cases


def test_the_order_is_that_of_the_seed_and_differs_between_rounds() -> None:
    assert plan(seed=5).shots == plan(seed=5).shots
    assert plan(seed=5).shots != plan(seed=6).shots
    orders = {tuple(shot.case for shot in plan().shots[start : start + 16]) for start in range(0, 160, 16)}
    assert len(orders) == 10


def test_no_case_always_follows_the_same_one() -> None:
    shots = plan(rounds=30).shots
    before = Counter((first.case, second.case) for first, second in pairwise(shots))
    assert max(before.values()) < 10


def test_warm_ups_are_for_each_target_and_path_and_are_no_round() -> None:
    shots = plan(warm_ups=2).warm_up_shots
    assert Counter((shot.case.target.provider, shot.case.path) for shot in shots) == {
        (provider, path): 2 for provider in ("one", "two") for path in Path
    }
    assert {shot.round for shot in shots} == {-1}
    assert {shot.case.connection for shot in shots} == {Connection.WARM}
    assert plan(warm_ups=0).warm_up_shots == []


def test_characters_are_those_that_are_sent() -> None:
    a_plan = plan(rounds=3)
    sent = sum(len(shot.text) for shot in (*a_plan.warm_up_shots, *a_plan.shots))
    assert sum(a_plan.chars_by_provider().values()) == sent
    most = sum(shot.case.text.chars for shot in (*a_plan.warm_up_shots, *a_plan.shots))
    assert sent <= most


def test_no_text_is_said_twice_in_a_row_past_a_cache() -> None:
    a_plan = Plan(
        targets=[Target(provider="one")],
        paths=list(Path),
        connections=list(Connection),
        texts=[BUILT_IN["short"]],
        rounds=30,
    )
    said = [shot.text for shot in (*a_plan.warm_up_shots, *a_plan.shots)]
    assert len(set(said)) == len(said)


def test_the_language_is_told_where_that_was_asked_for() -> None:
    for told, languages in ((False, {None}), (True, {"en", "de"})):
        a_plan = Plan(
            targets=[Target(provider="one")],
            paths=[Path.RELAY],
            connections=[Connection.WARM],
            texts=named(["short", "german"]),
            rounds=1,
            tell_language=told,
        )
        assert {shot.language for shot in a_plan.shots} == languages
