"""Sockets that are opened before a turn needs one: how many, for how long, and what is left of those that fail."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from relay.core.timings import Timings
from relay.drivers.ws.driver import WsDriver
from relay.errors import Code, ProviderError
from relay.providers.base.dialogue import Message, SocketAddress
from relay.providers.base.http import AttemptFacts
from relay.testing.fake_socket import FakeSocket, Link, Refuse
from tests.covering import each
from tests.drivers.ws.test_driver import CLIP, Toy, driving, polite, request, spoken, until


@dataclass
class Mute(Toy):
    """Has no message that keeps a socket open."""

    def keep_alive(self) -> list[Message]:  # type: ignore[override]
        return []


@dataclass
class Binary(Toy):
    """Sends text as bytes."""

    def give(self, text: str) -> list[Message]:  # type: ignore[override]
        return [text.encode()]


def age(driver: WsDriver, left_s: float) -> None:
    """The sockets of the pool will be kept for another `left_s` seconds only."""
    now_s = asyncio.get_running_loop().time()
    for socket in driver._idle._until_s:
        driver._idle._until_s[socket] = now_s + left_s


async def test_a_turn_takes_the_socket_that_was_opened_ahead() -> None:
    async with FakeSocket(polite) as fake, driving() as driver:
        await driver.warm(request(fake))
        assert driver.idle_sockets == 1
        assert fake.links[0].kinds == ["hello"], "no turn has begun"
        timings = Timings()
        assert await spoken(driver, request(fake), "One.", timings=timings) == CLIP
        assert timings.connection_reused is True
        assert (len(fake.paths), driver.idle_sockets) == (1, 1)


@pytest.mark.parametrize(("sockets", "opened"), [(0, 0), (1, 1), (2, 2), (5, 3)])
async def test_as_many_are_opened_as_are_missing_and_may_be_kept(sockets: int, opened: int) -> None:
    async with FakeSocket(polite) as fake, driving(idle_per_key=3) as driver:
        for _ in range(2):
            await driver.warm(request(fake), sockets, for_s=20.0)
            assert (len(fake.paths), driver.idle_sockets) == (opened, opened)


async def test_each_kind_has_its_own_and_all_together_are_bounded() -> None:
    async with FakeSocket(polite) as fake, driving(idle_sockets=2) as driver:
        for key in ("a", "b", "c"):
            await driver.warm(request(fake, key=key))
        assert (len(fake.paths), driver.idle_sockets) == (3, 2)
        await spoken(driver, request(fake, key="c"), "One.")
        assert len(fake.paths) == 3
        await spoken(driver, request(fake, key="a"), "One.")
        assert len(fake.paths) == 4, "the oldest has made room"


async def test_one_that_is_about_to_be_closed_is_kept_open_by_a_message() -> None:
    async with FakeSocket(polite) as fake, driving() as driver:
        for _ in range(3):
            await driver.warm(request(fake, idle_close_s=60.0), for_s=20.0)
            age(driver, 1.0)
        link = await fake.link(0)
        await until(lambda: link.kinds == ["hello", "still here", "still here"])
        assert (len(fake.paths), driver.idle_sockets) == (1, 1)
        await driver.warm(request(fake, idle_close_s=60.0), for_s=20.0)
        assert await spoken(driver, request(fake), "One.") == CLIP


async def test_where_no_message_keeps_it_open_it_is_replaced_before_it_is_closed() -> None:
    async with FakeSocket(polite) as fake, driving(idle_per_key=1) as driver:
        mute: dict[str, Any] = {"dialogue": Mute, "idle_close_s": 60.0}
        await driver.warm(request(fake, **mute), for_s=20.0)
        age(driver, 19.0)
        await driver.warm(request(fake, **mute), for_s=20.0)
        assert (len(fake.paths), driver.idle_sockets) == (2, 1)
        await (await fake.link(0)).left.wait()
        assert await spoken(driver, request(fake, **mute), "One.") == CLIP
        assert (await fake.link(1)).kinds[:2] == ["hello", "begin"]


async def test_one_that_the_provider_has_left_is_opened_anew() -> None:
    async def leaving(link: Link) -> None:
        await link.heard("hello")
        await link.say(type="ready")
        await link.close()

    async with FakeSocket(leaving, polite) as fake, driving() as driver:
        await driver.warm(request(fake))
        await until(lambda: driver.idle_sockets == 0)
        await driver.warm(request(fake))
        assert await spoken(driver, request(fake), "One.") == CLIP
        assert len(fake.paths) == 2


async def test_what_cannot_be_opened_is_an_error_and_leaves_nothing() -> None:
    async with FakeSocket(Refuse(status=503)) as fake, driving() as driver:
        with pytest.raises(ProviderError) as caught:
            await driver.warm(request(fake))
        assert (caught.value.code, caught.value.provider.name) == (Code.PROVIDER_UNAVAILABLE, "toy")
        assert driver.idle_sockets == 0


@each("steps", range(40))
async def test_it_may_be_cancelled_at_any_instant(steps: int) -> None:
    async with FakeSocket(polite) as fake:
        async with driving() as driver:
            warming = asyncio.create_task(driver.warm(request(fake), 2))
            for _ in range(steps):
                await asyncio.sleep(0)
            warming.cancel()
            await asyncio.wait([warming])
        for link in fake.links:
            await asyncio.wait_for(link.left.wait(), 5)


async def test_a_driver_that_is_closed_meanwhile_keeps_nothing() -> None:
    may_greet = asyncio.Event()

    async def slow(link: Link) -> None:
        await link.heard("hello")
        await may_greet.wait()
        await link.say(type="ready")

    async with FakeSocket(slow) as fake, driving() as driver:
        warming = asyncio.create_task(driver.warm(request(fake)))
        link = await fake.link(0)
        await link.heard("hello")
        await driver.close()
        may_greet.set()
        await asyncio.wait([warming])
        assert driver.idle_sockets == 0
        await asyncio.wait_for(link.left.wait(), 5)


async def test_a_provider_that_is_reached_is_left_again() -> None:
    async with FakeSocket(polite, Refuse(status=401)) as fake, driving() as driver:
        await driver.reach(request(fake))
        link = await fake.link(0)
        await link.left.wait()
        assert (link.kinds, driver.idle_sockets) == (["hello"], 0)
        with pytest.raises(ProviderError) as caught:
            await driver.reach(request(fake))
        assert caught.value.code is Code.PROVIDER_AUTH


async def test_a_message_of_bytes_is_a_binary_one() -> None:
    async with FakeSocket(polite) as fake, driving() as driver:
        assert await spoken(driver, request(fake, dialogue=Binary), "Hello ", "there.") == CLIP
        told = [message.get("data") for message in fake.links[0].told if message["type"] == "binary"]
        assert told == [b"Hello ", b"there."]


async def test_each_handshake_is_signed() -> None:
    facts: list[AttemptFacts] = []

    def sign(attempt: AttemptFacts) -> dict[str, str]:
        facts.append(attempt)
        return {"x-signature": f"{attempt.nonce} at {attempt.now_s}"}

    async with FakeSocket(polite) as fake, driving() as driver:
        signed = request(fake, connect=lambda _minted: SocketAddress(url=fake.url, sign=sign))
        await driver.warm(signed, 2)
        assert [link.headers["x-signature"] for link in fake.links] == [
            f"{each.nonce} at {each.now_s}" for each in facts
        ]
        assert len({each.nonce for each in facts}) == 2
        assert all(len(each.nonce) == 32 and each.now_s > 1.7e9 for each in facts)
