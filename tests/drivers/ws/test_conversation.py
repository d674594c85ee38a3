"""A conversation's waits and its leaving, where the exact turn of the loop counts."""

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

import pytest

from relay.core.timings import Stage, Timings
from relay.errors import Code, ProviderError
from relay.providers.base.http import WordTime
from relay.testing.fake_socket import FakeSocket, Link
from tests.drivers.test_patience import both_loops, hold
from tests.drivers.ws.test_driver import CLIP, Toy, driving, request

Run = Callable[[Coroutine[Any, Any, None]], None]


async def greet(link: Link) -> None:
    await link.heard("hello")
    await link.say(type="ready")
    await link.heard("begin")
    await link.say(type="begun")


async def silent(link: Link) -> None:
    await greet(link)
    await link.stall()


@both_loops
def test_an_answer_asked_for_in_the_turn_in_which_the_wait_ends(run: Run) -> None:
    """The loop is held at the end of the wait: what moves it comes right behind the timer, in the same turn."""

    async def main() -> None:
        async with FakeSocket(silent) as fake, driving(first_audio_timeout_s=0.1) as driver:
            async with driver.converse(request(fake), Timings()) as conversation:
                await conversation.give("Hello")
                await conversation.flush()
                loop, begun = asyncio.get_running_loop(), asyncio.Event()
                said: list[BaseException | None] = []

                def ask() -> None:
                    try:
                        conversation._owe()  # what `flush` and `end_text` do when their messages are written
                        said.append(None)
                    except Exception as error:
                        said.append(error)

                async def listen() -> None:
                    loop.call_soon(begun.set)
                    await anext(aiter(conversation))

                await conversation.give("you")
                listening = loop.create_task(listen())
                await begun.wait()
                loop.call_soon(hold, 0.15)
                loop.call_later(0.105, ask)
                with pytest.raises(ProviderError, match=r"sent no audio within 0\.1 s") as caught:
                    await listening
                assert caught.value.code is Code.PROVIDER_TIMEOUT
                assert said == [None]

    run(main())


@both_loops
def test_a_cancel_is_on_its_way_before_anything_else_is_done(run: Run) -> None:
    async def main() -> None:
        async def scene(link: Link) -> None:
            await greet(link)
            await link.audio(CLIP)
            await link.heard("cancel")
            await link.audio(CLIP)
            await link.say(type="over", id="t1")
            await link.heard("begin")
            await link.say(type="begun")
            await link.audio(CLIP)
            await link.say(type="over", id="t2")

        async with FakeSocket(scene) as fake, driving() as driver:
            async with driver.converse(request(fake), Timings()) as conversation:
                await conversation.give("Hello")
                assert await anext(conversation) == CLIP
                conversation.abort()
                conversation.abort()
                # Nothing is given to a turn that is not wanted.
                await conversation.give("more")
                await conversation.flush()
                await conversation.end_text()
                link = await fake.link(0)
                while "cancel" not in link.kinds:
                    await asyncio.sleep(0)
                # The confirmation ends the reply, and without an error.
                assert [piece async for piece in conversation] == []
                assert conversation.complete
            async with driver.converse(request(fake), Timings()) as conversation:
                await conversation.end_text()
                assert [piece async for piece in conversation] == [CLIP]
            assert len(fake.links) == 1
            assert link.kinds.count("cancel") == 1
            assert "flush" not in link.kinds

    run(main())


@both_loops
def test_where_there_is_no_message_for_it_the_socket_is_dropped(run: Run) -> None:
    async def main() -> None:
        async with FakeSocket(silent) as fake, driving() as driver:
            async with driver.converse(request(fake, toy=Toy(cancels=False)), Timings()) as conversation:
                await conversation.give("Hello")
                conversation.abort()
                link = await fake.link(0)
                async with asyncio.timeout(5):
                    await link.left.wait()
            assert driver.idle_sockets == 0

    run(main())


async def test_a_cancel_does_not_wait_for_a_provider_that_does_not_read() -> None:
    async def scene(link: Link) -> None:
        await greet(link)
        link.stop_reading()
        await link.stall()

    async with FakeSocket(scene, kernel_buffer_bytes=4096) as fake, driving(confirm_timeout_s=0.05) as driver:
        async with driver.converse(request(fake), Timings()) as conversation:
            giving = asyncio.create_task(conversation.give("x" * 2_000_000))
            for _ in range(50):
                await asyncio.sleep(0)
            assert not giving.done()
            conversation.abort()
            giving.cancel()
            await asyncio.wait([giving])
        link = await fake.link(0)
        link.read_on()
        async with asyncio.timeout(5):
            await link.left.wait()


async def test_a_read_that_is_cancelled_loses_nothing() -> None:
    async def scene(link: Link) -> None:
        await greet(link)
        await link.heard("text")
        for number in range(10):
            await link.audio(bytes([number]) * 10)
        await link.say(type="over")

    async with FakeSocket(scene) as fake, driving() as driver:
        async with driver.converse(request(fake), Timings()) as conversation:
            for turns in range(8):
                reading = asyncio.ensure_future(anext(conversation))
                for _ in range(turns):
                    await asyncio.sleep(0)
                assert not reading.done()
                reading.cancel()
                await asyncio.wait([reading])
            await conversation.give("Hello")
            await conversation.end_text()
            assert [piece async for piece in conversation] == [bytes([number]) * 10 for number in range(10)]


async def test_a_piece_says_when_it_came() -> None:
    async def scene(link: Link) -> None:
        await greet(link)
        await link.say(type="word", text="a")
        await link.audio(CLIP)
        await link.heard("text")
        await link.audio(CLIP)
        await link.say(type="over")

    timings = Timings()
    async with FakeSocket(scene) as fake, driving() as driver:
        async with driver.converse(request(fake), timings) as conversation:
            before_s = monotonic()
            assert isinstance(await anext(conversation), WordTime)
            word_s = conversation.piece_came_s
            assert await anext(conversation) == CLIP
            first_s = conversation.piece_came_s
            assert word_s is not None
            assert first_s is not None
            assert before_s < word_s <= first_s == timings.instants_s[Stage.FIRST_BYTE]
            later_s = monotonic()
            await conversation.give("Hello")
            await conversation.end_text()
            assert await anext(conversation) == CLIP
            assert (conversation.piece_came_s or 0.0) > later_s
            assert not conversation.complete
            assert [piece async for piece in conversation] == []
