"""A record is written down, read back, and holds nothing that it should not."""

import csv
import io
import json

import pytest

from relay.bench.record import SCHEMA, STAGES, UnreadableRecordError, read, to_csv
from relay.bench.stats import FAILED
from tests.bench.records import failed, record, turn, typical


def test_what_is_written_is_read_back() -> None:
    written = typical(rounds=5)
    assert read(written.to_json()) == written
    assert json.loads(written.to_json())["schema"] == SCHEMA


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"hello", "not JSON"),
        (b"[]", "no record"),
        (b"{}", "no record"),
        (typical(1).to_json().replace(b"relay.bench/1", b"relay.bench/9"), SCHEMA),
        (typical(1).to_json().replace(b'"rounds"', b'"grounds"'), "rounds"),
    ],
)
def test_what_is_no_record_is_named(data: bytes, says: str) -> None:
    with pytest.raises(UnreadableRecordError, match=says):
        read(data)


def test_fields_of_a_later_version_are_passed_over() -> None:
    written = json.loads(typical(1).to_json())
    written["later"], written["turns"][0]["later"] = 1, 2
    assert read(json.dumps(written).encode()) == typical(1)


def test_csv_has_a_line_a_turn() -> None:
    turns = [turn(connection_reused=True), failed(voice='a,"b"')]
    rows = list(csv.DictReader(io.StringIO(to_csv(turns))))
    assert [row["code"] for row in rows] == ["", "provider_cut"]
    assert rows[0]["ttfa_ms"] == "100.0"
    assert rows[0]["connection_reused"] == "true"
    assert rows[1]["voice"] == 'a,"b"'
    assert rows[1]["rtf"] == ""


def test_no_time_of_a_turn_that_failed_counts() -> None:
    cut = failed()
    assert cut.ttfa_ms == 1.0
    assert {cut.time(stage) for stage in STAGES} == {FAILED}


def test_the_relays_own_time_has_no_meaning_past_it() -> None:
    assert turn(path="direct").time("relay_ms") is None
    assert failed(path="direct").time("relay_ms") is None
    assert failed(path="direct").time("ttfa_ms") == FAILED
    assert record([]).turns == []
