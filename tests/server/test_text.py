"""Waiting for text."""

import asyncio

from relay.core.text.chunker import TextChunker
from relay.server.text import TurnText


async def test_segments_come_as_the_text_does() -> None:
    taken: list[int] = []
    text = TurnText(TextChunker(), on_taken=taken.append)
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
    assert sum(taken) == text.chars


async def test_flush_wakes_the_taker() -> None:
    text = TurnText(TextChunker(), on_taken=lambda _: None)
    text.append("no end")
    waiting = asyncio.create_task(text.next())
    await asyncio.sleep(0)
    text.flush()
    assert await waiting == "no end"


async def test_text_that_stops_coming_is_spoken_at_the_deadline() -> None:
    now_s = 100.0
    text = TurnText(TextChunker(), on_taken=lambda _: None, clock=lambda: now_s)
    text.append("These are several words that nobody ends ")
    waiting = asyncio.create_task(text.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    now_s += 60
    async with asyncio.timeout(5):
        assert (await waiting or "").startswith("These are")
