"""What has changed between two records, and when it is said to be more than noise."""

import random

from relay.bench.compare import compare
from relay.bench.record import Turn
from tests.bench.records import failed, record, turn, typical


def turns(median_ms: float, count: int = 40, seed: int = 1, **known: object) -> list[Turn]:
    draw = random.Random(seed)
    return [turn(ttfa_ms=draw.gauss(median_ms, 5), **known) for _ in range(count)]


def test_the_same_is_no_change() -> None:
    found = compare(typical(), typical())
    assert not any(change.more_than_noise for change in found.changes)
    assert not any(change.more_than_noise for change in found.failures)
    assert found.verdict == "Nothing has changed by more than noise."
    assert found.caveats == found.only_before == found.only_after == found.worse_than(0) == []


def test_the_same_measured_twice_is_no_change() -> None:
    found = [compare(typical(20, seed), typical(20, seed + 100)) for seed in range(4)]
    changes = [change for each in found for change in each.changes]
    assert len(changes) > 60
    assert sum(change.more_than_noise for change in changes) <= 2


def test_slower_is_found_and_said_in_one_sentence() -> None:
    found = compare(record(turns(100)), record(turns(120, seed=2)))
    (ttfa,) = [change for change in found.changes if change.stage == "ttfa_ms"]
    assert ttfa.more_than_noise
    assert ttfa.percent is not None
    assert 15 < ttfa.percent < 25
    assert ttfa.sentence.startswith("one: TTFA went from ")
    assert ": slower, and more than noise (" in ttfa.sentence
    assert any("TTFA" in sentence for sentence in found.worse_than(10))
    assert not any("TTFA" in sentence for sentence in found.worse_than(30))


def test_what_is_more_than_noise_is_said_first_and_counted() -> None:
    same, quicker = turns(100, provider="two"), turns(90, seed=2)
    found = compare(record([*same, *turns(100)]), record([*same, *quicker]))
    noisy = ["no more than noise" in sentence for sentence in found.sentences]
    assert noisy == sorted(noisy)
    assert found.verdict == f"{noisy.count(False)} of {len(noisy)} figures changed by more than noise."
    assert 0 < noisy.count(False) < len(noisy)


def test_faster_is_nothing_to_fail_for() -> None:
    found = compare(record(turns(120)), record(turns(100, seed=2)))
    assert any(": faster, and more than noise" in sentence for sentence in found.sentences)
    assert found.worse_than(0) == []


def test_one_turn_each_shows_nothing() -> None:
    found = compare(record(turns(100, 1)), record(turns(200, 1)))
    assert all("of too few turns" in change.sentence for change in found.changes)
    assert found.worse_than(0) == []


def test_failures_are_compared_by_their_number_and_do_not_make_a_stage_slower() -> None:
    found = compare(record(turns(100)), record(turns(100, 20) + [failed()] * 20))
    (change,) = found.failures
    assert change.more_than_noise
    assert change.sentence.startswith("one: 0 of 40 turns failed before, 20 of 40 now: more than noise (p = ")
    assert found.worse_than(1000) == [change.sentence]
    assert compare(record([failed()] * 9), record([failed()] * 9)).changes == []


def test_fewer_failures_are_nothing_to_fail_for() -> None:
    found = compare(record([failed()] * 20 + turns(100, 20)), record(turns(100)))
    assert found.failures[0].more_than_noise
    assert found.worse_than(0) == []


def test_cases_without_a_twin_and_what_was_measured_otherwise_are_named() -> None:
    before, after = record(turns(100)), record([*turns(100), turn(provider="two")], interrupted=True)
    found = compare(before, after)
    assert (found.only_before, found.only_after) == ([], ["two"])
    assert found.caveats == ["the second one was interrupted"]
    assert compare(record(turns(100)), record([turn(provider="two")])).sentences == []
