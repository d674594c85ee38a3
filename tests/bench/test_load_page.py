"""The page and the table of a ramp."""

import io
import re

import msgspec
import pytest
from rich.console import Console

from relay.bench.load_page import load_page, load_report
from relay.bench.load_plan import LoadRecord, verdict
from tests.bench.test_load_plan import level, load_record
from tests.bench.test_page import Tags

RECORDS = {
    "typical": load_record([level(turns, late_p99_ms=2 + turns**2 / 1e4) for turns in (25, 50, 100, 200, 400, 300)]),
    "carried": load_record([level(25)]),
    "nothing": load_record([]),
    "failed": load_record([level(25, failed=25, codes={"no_session": 25}, ttfa_p50_ms=None, ttfa_p99_ms=None)]),
    "remote": load_record([level(25, relay_cpu=None)]),
}


@pytest.mark.parametrize("name", RECORDS)
def test_every_record_makes_a_whole_page_that_loads_nothing(name: str) -> None:
    made = load_page(RECORDS[name])
    tags = Tags()
    tags.feed(made)
    tags.close()
    assert tags.open == []
    assert not re.search(r"(?:src|href)\s*=|url\(|@import|https?://", made)


@pytest.mark.parametrize("name", RECORDS)
def test_the_terminal_says_the_same(name: str) -> None:
    out = io.StringIO()
    Console(file=out, width=220).print(load_report(RECORDS[name]))
    assert verdict(RECORDS[name]) in out.getvalue()


def test_levels_are_shown_in_rising_order() -> None:
    out = io.StringIO()
    Console(file=out, width=220).print(load_report(RECORDS["typical"]))
    turns = [line.split()[0] for line in out.getvalue().splitlines()[1:7]]
    assert turns == ["25", "50", "100", "200", "300", "400"]


def test_a_record_is_read_back() -> None:
    made = RECORDS["typical"]
    assert msgspec.json.decode(made.to_json(), type=LoadRecord) == made
