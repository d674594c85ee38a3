"""What is said of a record: of all turns that were asked for, and no more than they show."""

import json

import pytest

from relay.bench.record import read
from relay.bench.stats import FAILED, median_interval, quantile
from relay.bench.summary import summarise, with_summary
from tests.bench.records import failed, record, turn, typical


def test_figures_of_a_case_are_those_of_its_turns() -> None:
    times = [float(100 + place) for place in range(21)]
    (case,) = summarise(record([turn(ttfa_ms=ms) for ms in times])).cases
    ttfa = case.stages["ttfa_ms"]
    assert (ttfa.p50, ttfa.p90, ttfa.p99) == (110, quantile(times, 0.9), quantile(times, 0.99))
    assert ttfa.interval == median_interval(times)
    assert (case.turns, case.failed, case.codes) == (21, 0, {})
    assert case.median_turn is not None
    assert case.median_turn.ttfa_ms == 110


def test_a_cut_turn_is_the_slowest_however_soon_it_began() -> None:
    turns = [turn(ttfa_ms=100.0)] * 8 + [failed(), failed("provider_timeout")]
    (case,) = summarise(record(turns)).cases
    assert case.stages["ttfa_ms"].p50 == 100
    assert case.stages["ttfa_ms"].p90 == FAILED
    assert (case.failed, case.codes) == (2, {"provider_cut": 1, "provider_timeout": 1})
    assert case.median_turn is not None
    assert case.median_turn.code is None


def test_a_case_that_never_ended_well_is_there_and_last() -> None:
    summary = summarise(record([failed(provider="quick")] * 3 + [turn(provider="slow", ttfa_ms=900.0)] * 3))
    assert [case.label for case in summary.cases] == ["slow", "quick"]
    assert summary.cases[1].stages == {}
    assert summary.cases[1].median_turn is None


@pytest.mark.parametrize(
    ("turns", "says"),
    [
        (
            [turn(ttfa_ms=100.0 + n) for n in range(20)],
            "one: 110 ms to first audio in the median, with 95 % confidence",
        ),
        ([turn()] * 3, "of too few turns"),
        ([failed()] * 3, "No case ended well"),
        ([], "No case ended well"),
        (
            [turn(ttfa_ms=100.0 + n) for n in range(20)] + [turn(provider="two", ttfa_ms=200.0 + n) for n in range(20)],
            "one begins first: 110 ms to first audio in the median, against 210 ms for two (their 95 % intervals are",
        ),
        (
            [turn(ttfa_ms=100.0 + n) for n in range(20)] + [turn(provider="two", ttfa_ms=101.0 + n) for n in range(20)],
            "it may be the other way round",
        ),
        ([turn()] * 20 + [failed(provider="two")] * 20, "while two fails more often than not"),
        ([turn()] * 2 + [turn(provider="two", ttfa_ms=900.0)] * 2, "of too few turns to be sure"),
    ],
)
def test_the_verdict_says_who_begins_first_and_how_sure_that_is(turns: list[object], says: str) -> None:
    assert says in summarise(record(turns)).verdict  # type: ignore[arg-type]


def test_the_verdict_is_about_like_turns() -> None:
    """A provider past the relay, or cold, is not set against another one through it."""
    turns = [turn(ttfa_ms=300.0)] * 9 + [turn(path="direct", ttfa_ms=100.0)] * 9
    turns += [turn(provider="two", ttfa_ms=400.0)] * 9 + [turn(provider="two", connection="cold", ttfa_ms=1.0)] * 9
    assert summarise(record(turns)).verdict.startswith("one, warm begins first: 300 ms")


def test_the_verdict_says_who_is_heard_first_where_that_is_another_one() -> None:
    silent = [turn(ttfa_ms=100.0, leading_silence_ms=150.0, ttfs_ms=250.0)] * 9
    said = summarise(record([*silent, *[turn(provider="two", ttfa_ms=180.0, ttfs_ms=190.0)] * 9])).verdict
    assert said.startswith("one begins first")
    assert said.endswith(
        "But two is heard first, since one begins with silence: 190 ms against 250 ms to first speech."
    )


def test_the_json_has_the_figures_as_well_and_is_read_without_them() -> None:
    made = typical()
    written = with_summary(made, summarise(made))
    assert read(written) == made
    content = json.loads(written)
    assert content["verdict"] == summarise(made).verdict
    assert [case["case"] for case in content["summary"]] == ["breeze", "breeze, direct", "bland", "sauti"]
    sauti = content["summary"][-1]
    assert (sauti["provider"], sauti["failed"], sauti["ttfa_ms"]["p99"]) == ("sauti", 7, None)
    assert sauti["ttfa_ms"]["p50_low"] < sauti["ttfa_ms"]["p50"] < sauti["ttfa_ms"]["p50_high"]
    few = json.loads(with_summary(record([turn()]), summarise(record([turn()]))))
    assert few["summary"][0]["ttfa_ms"]["p50_low"] is None


def test_labels_say_what_differs_and_no_more() -> None:
    assert [case.label for case in summarise(record([turn(voice="v")])).cases] == ["one"]
    turns = [turn(voice="v"), turn(voice="w", ttfa_ms=101.0), turn(voice="w", path="direct", ttfa_ms=102.0)]
    assert [case.label for case in summarise(record(turns)).cases] == ["one, v", "one, w", "one, w, direct"]


def test_the_relay_is_set_against_direct_where_both_were_warm() -> None:
    turns = [turn(ttfa_ms=110.0 + n) for n in range(20)] + [turn(path="direct", ttfa_ms=100.0 + n) for n in range(20)]
    cold = [turn(path=path, connection="cold") for path in ("relay", "direct")]
    (added,) = summarise(record([*turns, *cold, failed(path="direct")])).added
    assert added.ttfa.of_medians == 10
    assert added.shows == (added.ttfa.interval.low > 0)
    assert summarise(record(turns[:20])).added == []


def test_what_it_cost() -> None:
    costs = {cost.provider: cost for cost in summarise(typical(10)).costs}
    assert costs["sauti"].usd is None
    assert costs["bland"].usd == pytest.approx((50 * 700 / 1e6, 200 * 700 / 1e6))
    # It said so of some turns only: that is not what all of them cost.
    assert (costs["breeze"].usd, costs["breeze"].told) == (None, False)
    told = summarise(record([turn(cost_usd=0.25)] * 4)).costs[0]
    assert (told.usd, told.told, told.chars) == ((1.0, 1.0), True, 280)
