"""The ramp: it ends, finds what a machine carries, and says why no more."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.bench.load_plan import (
    BIN_MS,
    Level,
    LoadRecord,
    LoadSettings,
    best,
    bin_of,
    carried,
    histogram_quantile,
    knee,
    merged,
    next_level,
    reasons,
    verdict,
)
from relay.bench.record import Machine


def level(turns: int, **seen: Any) -> Level:
    usual: dict[str, Any] = {
        "turns": turns,
        "failed": 0,
        "codes": {},
        "ttfa_p50_ms": 3.0,
        "ttfa_p99_ms": 9.0,
        "late_p50_ms": 2.5,
        "late_p99_ms": 4.0,
        "underruns": 0,
        "frames": turns * 400,
        "relay_cpu": turns / 1000,
        "client_cpu": 0.2,
    }
    return Level(**{**usual, **seen})


def load_record(levels: list[Level], *, load_before: float = 0.0, max_turns: int = 1000) -> LoadRecord:
    return LoadRecord(
        started_at="2026-11-20T14:27:01+00:00",
        settings=LoadSettings(
            relay="own process",
            provider="fake",
            seconds=8.0,
            spread_s=2.0,
            frame_ms=20,
            lead_ms=200,
            clients=1,
            max_turns=max_turns,
        ),
        machine=Machine(
            system="Linux x86_64", python="CPython 3.12", cores=2, load_before=load_before, relay_version="0.1"
        ),
        interrupted=False,
        levels=levels,
    )


def ramped(able: int, max_turns: int) -> list[Level]:
    """The levels that are tried on a machine that carries `able` turns."""
    levels: list[Level] = []
    while (turns := next_level(levels, max_turns)) is not None:
        assert len(levels) < 40, "it ends"
        assert [each.turns for each in levels].count(turns) < 2
        assert 1 <= turns <= max_turns
        levels.append(level(turns, relay_cpu=None, late_p99_ms=4.0 if turns <= able else 40.0))
    return levels


@given(st.integers(0, 3000), st.integers(1, 2000))
def test_the_ramp_ends_close_to_what_is_carried(able: int, max_turns: int) -> None:
    found = carried(ramped(able, max_turns))
    most = min(able, max_turns)
    assert found <= most
    assert most - found <= max(1, most / 5)


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        ({}, None),
        ({"failed": 2, "codes": {"rate_limited": 2}}, "2 of 100 turns failed (rate_limited x 2)"),
        ({"underruns": 3}, "3 gaps"),
        ({"late_p99_ms": 10.0}, None),
        ({"late_p99_ms": 10.25}, "more than 10 ms late"),
        ({"relay_cpu": 0.96}, "core was full"),
        ({"relay_cpu": None, "late_p99_ms": None}, None),
    ],
)
def test_a_level_is_too_much_for_a_reason(seen: dict[str, Any], says: str | None) -> None:
    found = reasons(level(100, **seen))
    assert bool(found) == bool(says)
    assert says is None or says in found[0]


def test_what_was_too_much_is_tried_once_more_and_the_better_try_counts() -> None:
    spoilt = [level(25), level(50, late_p99_ms=80.0)]
    assert next_level(spoilt, 1000) == 50
    assert next_level([*spoilt, level(50, late_p99_ms=70.0)], 1000) == 37
    assert next_level([*spoilt, level(50)], 1000) == 100
    assert carried([*spoilt, level(50)]) == 50
    assert [each.late_p99_ms for each in best([*spoilt, level(50, late_p99_ms=70.0)])] == [4.0, 70.0]


def test_a_level_above_one_that_was_too_much_does_not_count() -> None:
    good, over = knee([level(50), level(100, underruns=1), level(200)])
    assert good is not None
    assert over is not None
    assert (good.turns, over.turns) == (50, 100)


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (load_record([]), "Nothing was measured."),
        (load_record([level(100)], max_turns=100), "100 turns at real time are carried; more were not tried."),
        (load_record([level(100)]), "as far as it was measured"),
        (load_record([level(100), level(200, underruns=7)]), "100 turns at real time are carried. At 200, 7 gaps were"),
        (load_record([level(1, underruns=7)]), "Not even the fewest"),
        (load_record([level(9, underruns=7, client_cpu=0.9)]), "may well carry more"),
        (load_record([level(9, underruns=7)], load_before=4.0), "busy before (load 4 on 2 cores)"),
    ],
)
def test_the_verdict_says_how_many_and_why_no_more(record: LoadRecord, says: str) -> None:
    assert says in verdict(record)


def test_lateness_is_counted_in_bins() -> None:
    assert (bin_of(-5.0), bin_of(0.0), bin_of(0.3), bin_of(1e9)) == (0, 0, 1, 4000)
    histogram = merged([{0: 90, 8: 5}, {8: 4, 40: 1}])
    assert histogram == {0: 90, 8: 9, 40: 1}
    assert histogram_quantile(histogram, 0.5) == BIN_MS
    assert histogram_quantile(histogram, 0.99) == 9 * BIN_MS
    assert histogram_quantile(histogram, 1.0) == 41 * BIN_MS
    assert histogram_quantile({}, 0.5) is None
