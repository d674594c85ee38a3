"""A cancel in every phase of every provider: at once, with its request ended or never made, and nothing left behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from relay.testing.fake_provider import Exchange
from relay.testing.fake_socket import Link
from relay.testing.script import Repeat, Script, Stall, Status
from tests.covering import each, firsts
from tests.e2e.faults import CHOSEN, PLACES, Place, be_patient, relay_to_faulty, soon, text_of
from tests.e2e.products import House, Product, Service, answer, greet, relay_to, started
from tests.server.harness import Client, client
from tests.server.held import nothing_left

JOBS = tuple(product for product in CHOSEN if product.delivery == "job")
SOCKETS = tuple(product for product in CHOSEN if product.delivery == "socket")
# Where audio comes bit by bit.
STREAMS = firsts(
    (place for place in PLACES if place.step in ("speech", "file") and place.product.delivery != "json"),
    lambda place: (place.product.delivery, place.product.packing),
)
# Before a provider is asked, what it speaks and in which form has no part in it.
BY_DELIVERY = firsts(CHOSEN, lambda product: product.delivery)
every_delivery = pytest.mark.parametrize("product", BY_DELIVERY, ids=str)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    soon(monkeypatch)


@asynccontextmanager
async def a_listener(house: House, product: Product) -> AsyncIterator[Client]:
    """One who says what to speak; when it has been left, the relay holds no more than before, and asks nothing more."""
    be_patient(house)
    async with nothing_left():
        async with client(house.server) as caller:
            own: dict[str, Any] = {"voice": "it"} if product.provider == "breeze" else {}
            await caller.send(type="speak", turn_id="t", text=text_of("it"), options=product.options, **own)
            yield caller
        fakes = (house.api, house.files)
        for fake in fakes:
            await fake.idle()
        asked = [len(fake.exchanges) for fake in fakes]
        for fake in fakes:
            fake.drop_connections()
            await fake.connected(0)
    assert [len(fake.exchanges) for fake in fakes] == asked
    assert not any(budget.in_use or budget.waiting for budget in house.server.engine.limiters.values())


async def cancel(caller: Client) -> None:
    await caller.send(type="turn.cancel", turn_id="t")
    end = (await caller.turn("t")).end
    assert end["type"] == "turn.cancelled", end
    await caller.send(type="ping")
    assert await caller.receive() == {"type": "pong"}, "nothing of the turn follows"


@every_delivery
async def test_while_it_waits_for_a_place(product: Product) -> None:
    async with relay_to(product, (Stall(),), max_concurrent=1) as house, client(house.server) as first:
        await first.send(type="speak", turn_id="t", text="I was first.", options=product.options)
        busy = await house.api.exchange(0)
        async with client(house.server) as second:
            await second.send(type="speak", turn_id="t", text="And I am next.", options=product.options)
            await second.event("turn.waiting")
            await cancel(second)
        (budget,) = (house.server.engine.limiters[name] for name in (product.provider,))
        assert (budget.in_use, budget.waiting) == (1, 0)
        await cancel(first)
        await busy.left()
        assert len(house.api.exchanges) == 1, "nothing was asked for the second"
        assert budget.in_use == 0


@every_delivery
async def test_while_it_connects(product: Product) -> None:
    async with relay_to(product, (Stall(),), tls=True) as house:
        async with a_listener(house, product) as caller:
            await house.api.connected(1)
            await cancel(caller)
            await house.api.connected(0)
        assert not house.api.exchanges


async def asked_at(place: Place, house: House) -> Exchange:
    """The request of the step, when it has been made."""
    if place.step == "file" and place.product.elsewhere:
        return await house.files.exchange(0)
    before = {"poll": 1, "file": 2, "handshake": 1 if place.product.provider == "breeze" else 0}
    return await house.api.exchange(before.get(place.step, 0))


@each("place", PLACES)
async def test_while_nothing_is_answered(place: Place) -> None:
    async with relay_to_faulty(place, lambda _: (Stall(),)) as (_, house):
        async with a_listener(house, place.product) as caller:
            asked = await asked_at(place, house)
            await cancel(caller)
            await asked.left()


@each("place", STREAMS)
async def test_while_audio_comes(place: Place) -> None:
    def endless(_name: str) -> Script:
        return (Status(200, {"content-type": place.clip.content_type}), Repeat(place.clip.data))

    async with relay_to_faulty(place, endless) as (_, house):
        async with a_listener(house, place.product) as caller:
            await caller.event("audio.started")
            await cancel(caller)
            await (await asked_at(place, house)).left()


WORKING = {
    "breeze": {"status": "active"},
    "sauti": {"status": "running"},
    "playai": {"id": "it", "output": {"status": "IN_PROGRESS"}},
}


@pytest.mark.parametrize("product", JOBS, ids=str)
async def test_while_a_job_is_polled_for(product: Product) -> None:
    """No API has a way to withdraw a job: the relay stops asking."""

    def working(_name: str) -> Script:
        return answer(200, WORKING[product.provider])

    async with relay_to_faulty(Place(product, "poll"), working) as (_, house):
        async with a_listener(house, product) as caller:
            await house.api.exchange(4)
            await cancel(caller)
        methods = [exchange.request.method for exchange in house.api.exchanges]
        assert methods == ["POST", *["GET"] * (len(methods) - 1)]
        assert not house.files.exchanges


def cancelled(product: Product, turn: str) -> list[dict[str, Any]]:
    match product.provider:
        case "breeze":
            return [{"type": "turn.cancelled", "turn_id": turn, "status": "cancelled"}]
        case "bland":
            return [{"type": "utterance_end", "context_id": turn, "reason": "cancelled"}]
    if product.voice:
        return [{"type": "SpeechInterrupted", "audio_played_ms": 0, "metadata": {"speech_id": "a"}}]
    # Without the answer to its flush the socket is not used again.
    return [{"type": "Flushed", "sequence_id": 0}, {"type": "Cleared", "sequence_id": 0}]


@pytest.mark.parametrize("confirmed", [True, False])
@pytest.mark.parametrize("product", SOCKETS, ids=str)
async def test_while_a_socket_speaks(product: Product, confirmed: bool) -> None:
    """The provider is told; a socket that does not confirm it is closed."""
    begins, cancels, names = {
        "breeze": ("turn.start", "turn.cancel", "turn_id"),
        "bland": ("speak", "cancel", "context_id"),
        # Its turns have no names.
        "deepgram": ("Speak", "Clear", "type"),
    }[product.provider]
    if product.voice:
        cancels = "Interrupt"

    async def scene(link: Link) -> None:
        await greet(link, product)
        turn = (await link.heard(begins))[names]
        await link.say(**started(product, turn))
        await link.audio(product.clip("Good."))
        await link.heard(cancels)
        if confirmed:
            for message in cancelled(product, turn):
                await link.say(**message)
        told.set()

    told = asyncio.Event()
    async with relay_to(product, Service(product), scene=scene) as house:
        assert house.sockets is not None
        async with a_listener(house, product) as caller:
            await caller.event("audio.started")
            await cancel(caller)
            async with asyncio.timeout(5):
                await told.wait()
            (link,) = house.sockets.links
            if confirmed:
                async with asyncio.timeout(5):
                    while not house.server.engine.drivers.ws.idle_sockets:
                        await asyncio.sleep(0)  # until it is free for the next turn
                await link.close()
            async with asyncio.timeout(5):
                await link.left.wait()
