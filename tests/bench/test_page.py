"""The report: whole, self-contained, and silent about what it must not tell."""

import re
from html.parser import HTMLParser

import msgspec
import pytest

from relay.bench.page import page
from relay.bench.record import Record
from relay.bench.summary import summarise
from tests.bench.records import failed, record, turn, typical

VOID = {"meta"}


class Tags(HTMLParser):
    """Complains of a tag that is not closed, or that another one closes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


RECORDS = {
    "typical": typical(),
    "one turn": record([turn()]),
    "nothing": record([], planned=20, interrupted=True),
    "failures only": record([failed()] * 5),
    "one silent": record([turn(leading_silence_ms=None, ttfs_ms=None)] * 7),
    "odd names": record([turn(provider='<script>alert("x")</script>&', voice="ü")] * 7),
}


@pytest.mark.parametrize("name", RECORDS)
def test_every_record_makes_a_whole_page(name: str) -> None:
    made = page(RECORDS[name], summarise(RECORDS[name]))
    tags = Tags()
    tags.feed(made)
    tags.close()
    assert tags.open == []
    assert "script" not in tags.seen
    assert "nan" not in re.findall(r"\w+", made)
    assert "inf" not in re.findall(r"\w+", made)


def test_it_loads_nothing() -> None:
    made = page(typical(), summarise(typical()))
    assert not re.search(r"(?:src|href)\s*=|url\(|@import|https?://", made)


def test_the_answer_comes_first() -> None:
    made = page(typical(), summarise(typical()))
    assert made.index(summarise(typical()).verdict.split(":")[0]) < made.index("<svg")


def test_it_is_the_same_for_the_same_record() -> None:
    assert page(typical(), summarise(typical())) == page(typical(), summarise(typical()))


def test_a_page_of_very_many_turns_stays_small() -> None:
    many = record([turn(ttfa_ms=100.0 + number % 977) for number in range(8_000)])
    assert len(page(many, summarise(many))) < 1_000_000


def test_a_machine_that_was_busy_is_said_to_have_been() -> None:
    made = typical(5)
    busy = msgspec.structs.replace(made, machine=msgspec.structs.replace(made.machine, load_before=7.5))
    assert "The machine was busy before (load 7.5 on 2 cores)" in page(busy, summarise(busy))
    assert "busy" not in page(made, summarise(made))


def texts(made: Record) -> str:
    return page(made, summarise(made))


def test_built_in_texts_are_shown_and_those_of_a_file_are_names() -> None:
    assert "Your appointment is at" in texts(typical())
    ours = record([turn(text="short")])
    settings = ours.settings
    mine = msgspec.structs.replace(ours, settings=msgspec.structs.replace(settings, built_in_texts=False))
    assert "Your appointment is at" not in texts(mine)
