"""The table and the picture in characters."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from relay.bench.record import Record
from relay.bench.summary import summarise
from relay.bench.terminal import box, report
from tests.bench.records import failed, record, turn, typical


def printed(made: Record, width: int = 200) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(report(made, summarise(made)))
    return out.getvalue()


def test_all_is_said_that_is_known() -> None:
    said = printed(typical())
    assert summarise(typical()).verdict in said
    assert "sauti: 7 of 40 turns failed (provider_timeout x 7)" in said
    assert "breeze: through the relay" in said
    assert "bland: 2,800 characters, $0.14 – $0.56" in said
    assert "sauti: 2,800 characters, unknown" in said


@pytest.mark.parametrize("made", [record([]), record([failed()]), record([turn()]), record([turn()] * 300)])
def test_little_is_said_of_little(made: Record) -> None:
    assert printed(made)
    assert printed(made, 60)
    assert ("A p99 of fewer than 100" in printed(made)) == (0 < len(made.turns) < 100)


@given(st.lists(st.floats(0.01, 1e5), min_size=1, max_size=50), st.integers(5, 80))
def test_a_box_is_as_wide_as_it_is_told(values: list[float], columns: int) -> None:
    line = box(values, min(values), max(values), columns)
    assert len(line) == columns
    assert line.count("┃") == 1


def test_a_box_lies_where_its_values_do() -> None:
    assert box([1.0] * 9, 1, 100, 11) == "┃" + " " * 10
    assert box([100.0] * 9, 1, 100, 11) == " " * 10 + "┃"
    assert box([1, 1, 10, 100, 100], 1, 100, 11) == "█████┃█████"
