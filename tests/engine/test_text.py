"""Waiting for text."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from relay.core.text.chunker import TextChunker
from relay.engine.text import Mark, StreamedText, TurnText, spoken_of
from tests.engine.stage import Counted, taken


async def test_segments_come_as_the_text_does() -> None:
    counted = Counted()
    text = TurnText(TextChunker(), taken(counted))
    waiting = asyncio.create_task(text.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    text.append("One whole sentence is here. And")
    assert await waiting == "One whole sentence is here. "
    text.append(" another")
    text.end_input()
    assert await text.next() == "And another"
    assert await text.next() is None
    assert await text.next() is None
    assert counted.chars == text.chars


async def test_flush_wakes_the_taker() -> None:
    text = TurnText(TextChunker(), taken())
    text.append("no end")
    waiting = asyncio.create_task(text.next())
    await asyncio.sleep(0)
    text.flush()
    assert await waiting == "no end"


async def test_text_that_stops_coming_is_spoken_at_the_deadline() -> None:
    now_s = 100.0
    text = TurnText(TextChunker(), taken(), clock=lambda: now_s)
    text.append("These are several words that nobody ends ")
    waiting = asyncio.create_task(text.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    now_s += 60
    async with asyncio.timeout(5):
        assert spoken_of(await waiting or "").startswith("These are")


# Given again

STEPS = st.lists(
    st.one_of(st.sampled_from(["Hello ", "x", " "]), st.just(Mark.FLUSH), st.sampled_from(["take", "back"]))
)


def joined(given: list[Any]) -> list[Any]:
    """Text between marks as one piece, and marks in a row as one."""
    found: list[Any] = []
    for each in given:
        if isinstance(each, str) and found and isinstance(found[-1], str):
            found[-1] += each
        elif not (found and each is found[-1] is Mark.FLUSH):
            found.append(each)
    return found


@given(STEPS)
def test_what_was_kept_is_given_again_in_order_and_nothing_is_lost(steps: list[Any]) -> None:
    async def main() -> None:
        text = StreamedText(taken())
        said: list[Any] = []
        got: list[Any] = []
        for step in steps:
            if step == "back":
                text.rewind()
                got = []
            elif step == "take":
                if text._given:
                    got.append(await text.next(keep=True))
            else:
                text.flush() if step is Mark.FLUSH else text.append(step)
                said.append(step)
        text.end_input()
        while not got or got[-1] is not Mark.END:
            got.append(await text.next(keep=True))
        assert joined(got) == joined([*said, Mark.END])

    asyncio.run(main())


async def test_what_was_not_kept_is_not_given_again() -> None:
    text = StreamedText(taken())
    text.append("One. ")
    assert await text.next(keep=True) == "One. "
    text.append("Two.")
    assert await text.next() == "Two."
    text.rewind()
    text.end_input()
    assert await text.next() is Mark.END


async def test_a_flood_of_flushes_is_not_kept() -> None:
    text = StreamedText(taken())
    text.append("One")
    for _ in range(1000):
        text.flush()
        await text.next(keep=True)
    assert len(text._kept) <= 2
    text.rewind()
    assert [await text.next(), await text.next()] == ["One", Mark.FLUSH]


async def test_all_that_waits_goes_into_segments_at_its_flushes() -> None:
    text = StreamedText(taken())
    text.append("No end")
    text.flush()
    assert await text.next(keep=True) == "No end"
    assert await text.next(keep=True) is Mark.FLUSH
    text.append("nor here")
    text.end_input()
    text.rewind()
    cut = TurnText(TextChunker(), taken())
    text.pour(cut)
    assert [await cut.next() for _ in range(3)] == ["No end", "nor here", None]
    assert cut.chars == len("No endnor here")


def test_what_is_taken_twice_is_told_once() -> None:
    counted = Counted()
    taking = taken(counted)
    told = []
    for step in (3, 4, None, 5, 2, 6):
        taking.again() if step is None else taking.add(step)
        told.append(counted.chars)
    assert told == [3, 7, 7, 7, 7, 13]
