"""Decoding a reply: in slices, with the loop's other work between them, and without keeping what was given."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from relay.codecs.base import Block
from relay.core.formats import AudioRequest
from relay.engine import audio
from relay.engine.audio import MOST_SLICE_BYTES, TurnAudio, decoded
from relay.providers.base.http import WordTime
from relay.testing.audio import speech_like
from tests.engine.fakes import FakeReply

SPEECH = speech_like(4.0)
PIECES = [SPEECH[at : at + 3 * MOST_SLICE_BYTES] for at in range(0, len(SPEECH), 3 * MOST_SLICE_BYTES)]


@contextmanager
def turns_of_the_loop() -> Iterator[list[int]]:
    """Counts them."""
    turns, over = [0], False
    loop = asyncio.get_running_loop()

    def turn() -> None:
        turns[0] += 1
        if not over:
            loop.call_soon(turn)

    loop.call_soon(turn)
    yield turns
    over = True


async def blocks_of(reply: FakeReply) -> list[Block]:
    found: list[Block] = []
    async for blocks in decoded(reply, "fake"):
        if not isinstance(blocks, WordTime):
            found += blocks
    return found


async def test_slices_that_take_their_time_leave_turns_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "TURN_S", -1.0)  # every slice takes longer
    with turns_of_the_loop() as turns:
        blocks = await blocks_of(FakeReply(PIECES))
    assert b"".join(block.samples.tobytes() for block in blocks) == SPEECH
    assert max(block.samples.nbytes for block in blocks) <= MOST_SLICE_BYTES
    assert turns[0] >= len(blocks) - 1


async def test_who_waits_for_a_listener_holds_no_audio_that_was_decoded() -> None:
    pieces = decoded(FakeReply(PIECES), "fake")
    blocks = await anext(pieces)
    assert not isinstance(blocks, WordTime) and blocks
    samples = weakref.ref(blocks[-1].samples)
    del blocks
    gc.collect()
    assert samples() is None
    await pieces.aclose()


def test_audio_that_is_asked_for_as_it_comes_is_the_same_bytes_also_where_the_rate_changes_and_comes_back() -> None:
    def fed(*blocks: Block) -> bytes:
        turn = TurnAudio(AudioRequest(sample_rate=24000).resolve(24000))
        return b"".join([*(turn.feed([block]) for block in blocks), turn.flush()])

    here = decoded_whole(SPEECH[:9600], 24000)
    there = decoded_whole(SPEECH[:9600], 16000)
    assert fed(here, here) == 2 * SPEECH[:9600]
    changed = fed(here, there, here)
    assert changed[:9600] == changed[-9600:] == SPEECH[:9600]
    assert len(changed) == 9600 + 9600 * 3 // 2 + 9600


def decoded_whole(pcm: bytes, rate_hz: int) -> Block:
    return Block(np.frombuffer(pcm, np.int16), rate_hz)
