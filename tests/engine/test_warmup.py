"""What a relay has ready before its first turn."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from relay.config import Config, DefaultsConfig, HttpConfig, ProviderConfig, ServerConfig
from relay.drivers.dispatch import Drivers
from relay.drivers.http.settings import HttpSettings
from relay.drivers.ws.settings import WsSettings
from relay.engine.warmup import Warmup, keep_warm
from relay.providers.base.dialogue import DialogueRequest
from relay.providers.base.provider import Ahead, ProviderSettings, SpeechRequest
from relay.providers.breeze.provider import Breeze
from relay.providers.espeak.provider import WORKER_MODULE
from relay.testing.fake_breeze import FakeBreeze, session
from relay.testing.fake_provider import FakeProvider
from relay.testing.fake_socket import Refuse
from tests.engine import fakes
from tests.providers.fake_requests import until
from tests.server.harness import client, config, serving


async def test_the_workers_of_the_built_in_voices_wait_for_the_first_turn_that_may_be_theirs() -> None:
    async with serving(config(defaults=DefaultsConfig(provider="espeak")), ahead=True) as server:
        pools = server.engine.drivers.local._pools
        await until(lambda: WORKER_MODULE in pools and len(pools[WORKER_MODULE]._idle) == 2)
        assert len(pools) == 1, "nobody asks for the others"


# Connections and sockets to providers.


def config_of(**providers: ProviderConfig) -> Config:
    return Config(server=ServerConfig(port=0), http=HttpConfig(retries=0), providers=providers)


async def test_a_connection_is_open_to_every_provider_also_without_a_list_of_voices() -> None:
    async with FakeProvider(()) as one, FakeProvider(()) as two:
        settings = config_of(
            playai=ProviderConfig(api_key="k", user_id="u", base_url=one.url, voice="v"),
            blue=ProviderConfig(adapter="bland", api_key="k", base_url=two.url),
        )
        async with serving(settings):
            await one.connected(1)
            await two.connected(1)
            assert (one.exchanges, two.exchanges) == ([], []), "nothing is sent"


async def test_instances_at_one_address_share_a_connection() -> None:
    async with FakeProvider(()) as fake, FakeProvider(()) as other:
        own: dict[str, Any] = {"api_key": "k", "base_url": fake.url, "max_concurrent": 1}
        settings = config_of(
            blue=ProviderConfig(adapter="breeze", **own),
            green=ProviderConfig(adapter="breeze", **own),
            red=ProviderConfig(adapter="breeze", api_key="k", base_url=other.url, max_concurrent=1),
        )
        async with serving(settings):
            await other.connected(1)
            await fake.connected(1)
            assert fake.connections_opened == 1


async def test_who_cannot_be_reached_is_told_once_by_name(caplog: pytest.LogCaptureFixture) -> None:
    nobody: dict[str, Any] = {"api_key": "k", "base_url": "http://127.0.0.1:9", "max_concurrent": 1}
    settings = config_of(
        blue=ProviderConfig(adapter="breeze", **nobody),
        green=ProviderConfig(adapter="breeze", **nobody),
        wrong=ProviderConfig(adapter="breeze"),
    )
    async with serving(settings):
        await until(lambda: "green cannot be reached" in caplog.text)
    told = [record.getMessage() for record in caplog.records if "cannot be" in record.getMessage()]
    assert sorted(line.split(" (")[0].split(":")[0] for line in told) == [
        "provider blue cannot be reached",
        "provider green cannot be reached",
        "provider wrong cannot be used",
    ]


@pytest.mark.parametrize(("open_ahead", "opened"), [(None, 0), (0, 0), (1, 1), (2, 2)])
async def test_a_conversation_is_opened_ahead_only_where_the_operator_says_so(
    open_ahead: int | None, opened: int
) -> None:
    async with FakeBreeze() as fake, FakeProvider(()) as other:
        settings = config_of(
            breeze=ProviderConfig(
                api_key="k",
                base_url=fake.url,
                voice="voc_1",
                options={"transport": "realtime"},
                open_ahead=open_ahead,
                max_concurrent=10,
            ),
            red=ProviderConfig(adapter="breeze", api_key="k", base_url=other.url, max_concurrent=1),
        )
        async with serving(settings) as server, client(server) as caller:
            await other.connected(1)  # all are begun together
            await until(lambda: server.engine.drivers.ws.idle_sockets == opened)
            heard = await caller.speak("Hello there.", provider="breeze")
            assert heard.end["type"] == "turn.done", heard.end
            assert heard.end["timings"]["connection_reused"] is (opened > 0)
            assert len(fake.sockets.links) == max(opened, 1)


class Costless(fakes.FakeProvider):
    """A provider that does not mind an open socket."""

    def __init__(self, request: DialogueRequest) -> None:
        self.request_ahead = request

    def warm(self, wanted: SpeechRequest) -> list[Ahead]:
        return [self.request_ahead]


async def test_where_it_costs_nothing_one_is_opened_unless_the_operator_says_otherwise() -> None:
    async with FakeBreeze() as fake:
        made = Breeze(ProviderSettings(api_key="k", base_url=fake.url, voice="v", options={"transport": "realtime"}))
        request = made.converse(made.resolve(SpeechRequest()))
        for free, sockets, opened in ((False, None, 0), (True, 0, 0), (True, None, 1)):
            provider = Costless(replace(request, idle_is_free=free))
            async with Drivers(HttpSettings(), WsSettings()) as drivers:
                wanted = [Warmup(provider=provider, wanted=SpeechRequest(), sockets=sockets)]
                keeping = asyncio.create_task(keep_warm(drivers, wanted, HttpSettings()))
                if opened:
                    await until(lambda: drivers.ws.idle_sockets == 1)
                else:
                    await asyncio.wait([keeping])
                keeping.cancel()
                await asyncio.wait([keeping])
                assert drivers.ws.idle_sockets == opened


async def test_what_cannot_be_opened_ahead_is_told_once_and_the_turn_tries_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeBreeze(Refuse(status=503), session) as fake:
        settings = config_of(
            breeze=ProviderConfig(
                api_key="k",
                base_url=fake.url,
                voice="voc_1",
                options={"transport": "realtime"},
                open_ahead=1,
                max_concurrent=10,
            )
        )
        async with serving(settings) as server, client(server) as caller:
            await until(lambda: "no socket could be opened ahead: breeze answered 503" in caplog.text)
            assert (await caller.speak("Hello there.", provider="breeze")).end["type"] == "turn.done"
