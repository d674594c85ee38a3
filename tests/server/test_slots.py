"""A provider's slots, through a real relay: free when the provider has sent all, not when it was heard."""

import asyncio

import pytest

from relay.config import EngineConfig
from relay.testing.fake_provider import FakeProvider, FakeRequest
from relay.testing.script import Script, Send, Stall, Status
from tests.server.harness import breeze, client, config, serving

SECOND_BYTES = 48_000


def seconds(request: FakeRequest) -> Script:
    """The text says how many seconds of audio there are, all of which are sent at once."""
    data = bytes(int(request.json()["text"].split()[1]) * SECOND_BYTES)
    return (Status(200, {"content-type": "audio/pcm"}, len(data)), Send(data))


@pytest.mark.parametrize("heard", [8, 30], ids=["within the bound", "beyond the bound"])
async def test_the_second_caller_waits_for_the_provider_and_not_for_the_listener(heard: int) -> None:
    """One slot, a listener at real time: the next request leaves when the reply is in."""
    realtime = {"mode": "realtime", "lead_ms": 100}
    async with FakeProvider(seconds) as fake:
        settings = config(fake.url, providers={"breeze": breeze(fake.url, max_concurrent=1)})
        async with serving(settings) as server, client(server) as one, client(server) as two:
            await one.send(type="speak", text=f"For {heard} seconds.", pacing=realtime)
            await one.event("audio.started")
            await two.send(type="speak", text="For 1 seconds.")
            if heard == 30:
                # 1.4 MB do not fit: the second one is told that it waits, and the first one's listener is in no hurry.
                assert (await two.event())["type"] == "turn.started"
                assert (await two.event())["type"] == "turn.waiting"
                [limiter] = [each for each in server.engine.limiters.values() if each.provider == "breeze"]
                assert limiter.waiting == 1
                await one.send(type="turn.cancel")
                await one.event("turn.cancelled")
            async with asyncio.timeout(5):
                end = (await two.turn()).end
            assert end["type"] == "turn.done"
            assert len(fake.exchanges) == 2
            if heard == 8:
                # The first listener has heard a second at most.
                assert server.engine.limiters["breeze"].in_use == 0
                assert one.websocket.close_code is None


async def test_without_read_ahead_the_listener_holds_the_slot() -> None:
    async with FakeProvider(seconds) as fake:
        settings = config(
            fake.url,
            providers={"breeze": breeze(fake.url, max_concurrent=1)},
            engine=EngineConfig(read_ahead_bytes=0),
        )
        async with serving(settings) as server, client(server) as one, client(server) as two:
            await one.send(type="speak", text="For 8 seconds.", pacing={"mode": "realtime", "lead_ms": 100})
            await one.event("audio.started")
            await two.send(type="speak", text="For 1 seconds.")
            await two.event("turn.waiting")
            assert server.engine.limiters["breeze"].in_use == 1


def busy_once(request: FakeRequest) -> Script:
    return (
        Status(429, {"content-type": "application/json", "retry-after": "3600"}, 2),
        Send(b"{}"),
    )


async def test_one_answer_of_one_provider_does_not_stop_the_others_for_an_hour() -> None:
    """A wait that is longer than a turn would queue is refused, or failed over, at once."""
    async with FakeProvider(busy_once) as fake:
        settings = config(fake.url, providers={"breeze": breeze(fake.url, queue_timeout_s=1.0)})
        async with serving(settings, ahead=True) as server, client(server) as caller:
            async with asyncio.timeout(5):
                first = await caller.speak("Hello.")
                assert first.end["code"] == "provider_rate_limited"
                second = await caller.speak("Hello.")
                assert second.end["code"] == "provider_rate_limited"
                assert second.end["retry_after_s"] <= 10
            async with asyncio.timeout(20):
                third = await caller.speak("Hello.", providers=["breeze", "espeak"])
            assert third.end["type"] == "turn.done"
            assert [event["to"] for event in third.of("turn.failover")] == ["espeak"]


async def test_a_slot_of_a_cancelled_turn_is_free_at_once() -> None:
    stalled = (Status(200, {"content-type": "audio/pcm"}), Send(bytes(9600)), Stall())
    async with FakeProvider(stalled) as fake:
        settings = config(fake.url, providers={"breeze": breeze(fake.url, max_concurrent=1)})
        async with serving(settings) as server, client(server) as one, client(server) as two:
            await one.send(type="speak", text="Hello.")
            await one.event("audio.started")
            await two.send(type="speak", text="Hello.")
            await two.event("turn.waiting")
            await one.send(type="turn.cancel")
            async with asyncio.timeout(5):
                await two.event("audio.started")


@pytest.mark.parametrize(("limit", "ahead_bytes"), [(1, 0), (1, 20_000), (2, 0)])
async def test_a_turn_holds_no_slot_that_the_turns_before_it_need(limit: int, ahead_bytes: int) -> None:
    """Those behind have their text first, and replies that are too long to be read ahead."""
    async with FakeProvider(seconds) as fake:
        settings = config(
            fake.url,
            providers={"breeze": breeze(fake.url, max_concurrent=limit, queue_timeout_s=0.5)},
            engine=EngineConfig(read_ahead_bytes=ahead_bytes),
        )
        async with serving(settings) as server, client(server) as caller:
            await caller.send(type="turn.start", turn_id="a")
            for turn_id in "bc":
                await caller.send(type="speak", turn_id=turn_id, text="For 8 seconds. ")
            # As long as a slot would have been waited for.
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.6):
                    while True:
                        await caller.receive()
            await caller.send(type="text.append", turn_id="a", text="For 1 seconds. ")
            await caller.send(type="text.flush", turn_id="a")
            await caller.send(type="text.append", turn_id="a", text="For 1 seconds. ")
            await caller.send(type="turn.end", turn_id="a")
            heard = await caller.turn("c")
            assert [(end["turn_id"], end["samples"]) for end in heard.of("turn.done")] == [
                *(("a", 48_000), ("b", 192_000), ("c", 192_000)),
            ]
            assert heard.of("error") == []
        assert server.engine.limiters["breeze"].in_use == 0
