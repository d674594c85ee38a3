"""The slot of a reply is free when the provider has sent all, over every driver, though its listener takes nothing."""

import asyncio

from relay.core.timings import Timings
from relay.drivers.local.driver import LocalDriver
from relay.engine.concurrency import ConcurrencyLimiter
from relay.engine.read_ahead import ReadAheadBudget, reading_ahead
from relay.providers.base.http import Piece
from relay.providers.base.provider import Reply
from relay.testing.fake_socket import FakeSocket, Link
from relay.testing.script import Send, Status
from tests.drivers.poll import test_driver as poll
from tests.drivers.ws import test_driver as ws
from tests.providers.fake_requests import HASTY, WORKER, job


async def given_back(reply: Reply, limiter: ConcurrencyLimiter) -> list[Piece]:
    """The pieces of a reply whose slot a second caller was given before any of them was taken."""

    async def second() -> None:
        async with limiter.slot():
            pass

    slot = limiter.take()
    assert slot is not None
    budget = ReadAheadBudget()
    async with reading_ahead(reply, slot, limiter, budget) as reading:
        async with asyncio.timeout(5):
            await asyncio.create_task(second())
        assert not slot.held
        pieces = []
        async for piece in reading:
            assert reading.piece_came_s is not None
            pieces.append(piece)
    assert (limiter.in_use, budget.held_bytes) == (0, 0)
    return pieces


async def test_over_a_websocket_when_the_turn_is_over_there() -> None:
    async def scene(link: Link) -> None:
        await link.heard("hello")
        await link.say(type="ready")
        for _ in range(2):
            await link.heard("begin")
            await link.say(type="begun")
            await link.heard("end")
            for _ in range(5):
                await link.audio(ws.CLIP)
            await link.say(type="over")

    async with FakeSocket(scene) as fake, ws.driving() as driver:
        limiter = ConcurrencyLimiter("toy", 1)
        for _ in range(2):
            async with driver.converse(ws.request(fake), Timings()) as conversation:
                await conversation.give("Hello.")
                await conversation.end_text()
                assert await given_back(conversation, limiter) == [ws.CLIP] * 5
        assert len(fake.links) == 1, "and the socket serves the next turn"


async def test_of_a_job_whose_audio_is_fetched() -> None:
    clip = poll.CLIP * 20
    async with poll.bench(poll.Scenes(fetch=((Status(200), Send(clip)),))) as at:
        async with at.driver.open(at.upstream(), at.timings) as reply:
            pieces = await given_back(reply, ConcurrencyLimiter("fake", 1))
        assert b"".join(piece for piece in pieces if isinstance(piece, bytes)) == clip
        assert "DELETE /jobs/j1" not in at.sent, "what was received to its end is not withdrawn"


async def test_of_a_job_whose_audio_came_in_the_answer() -> None:
    scenes = poll.Scenes(make=(poll.answer(200, {"audio": poll.CLIP.hex()}),))
    async with poll.bench(scenes) as at, at.driver.open(at.upstream(), at.timings) as reply:
        assert await given_back(reply, ConcurrencyLimiter("fake", 1)) == [poll.CLIP]


async def test_of_a_worker_on_this_machine() -> None:
    async with LocalDriver([WORKER], workers=1, timeouts=HASTY) as driver:
        async with driver.open(job("give", pieces=["x" * 3000] * 40), Timings()) as reply:
            pieces = await given_back(reply, ConcurrencyLimiter("local", 1))
        assert sum(len(piece) for piece in pieces if isinstance(piece, bytes)) == 120_000
