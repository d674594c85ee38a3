"""What models write and nobody wants to hear, end to end: a client, the relay, and what the provider gets."""

from typing import Any

import aiohttp

from relay.config import Config, DefaultsConfig
from relay.testing.fake_breeze import clip
from relay.testing.fake_provider import FakeProvider
from relay.testing.scenarios import scenario
from tests.server.harness import breeze, client, config, relay_to, serving
from tests.server.test_streaming_text import relay_to as streaming_relay_to

SAID = "**Nginx** takes SQL 😀 as [the docs](https://example.com/a) say."
FIELDS = {"text_filter": ["markdown", "emoji", "urls"], "lexicon": {"Nginx": "engine x", "sql": "sequel"}}
SPOKEN = "engine x takes sequel as the docs say."


def asked(fake: FakeProvider) -> list[str]:
    """The texts of all requests."""
    return [exchange.request.json()["text"] for exchange in fake.exchanges]


async def test_the_provider_speaks_what_is_spoken_and_the_client_is_told_what_it_gave() -> None:
    async with relay_to(scenario("ok")) as (server, fake), client(server) as caller:
        heard = await caller.speak(SAID, **FIELDS)
        assert "".join(segment["text"] for segment in heard.of("text.segment")) == SAID
        assert heard.end["type"] == "turn.done"
        assert heard.end["text_chars"] == len(SAID)
        plain = await caller.speak(SAID)
        assert plain.end["type"] == "turn.done"
        assert asked(fake) == [SPOKEN, SAID], "nothing of it lasts beyond the turn"


async def test_text_with_nothing_to_be_spoken_costs_no_request() -> None:
    async with relay_to(scenario("ok")) as (server, fake), client(server) as caller:
        heard = await caller.speak("😀\n```py\nx = 1\n```", text_filter=["emoji", "code"])
        assert (heard.end["type"], heard.end["frames"]) == ("turn.done", 0)
        assert asked(fake) == []


async def test_the_same_over_http_and_by_default() -> None:
    async with FakeProvider(scenario("ok")) as fake:
        settings = Config(
            server=config().server,
            providers={"breeze": breeze(fake.url)},
            defaults=DefaultsConfig(provider="breeze", text_filter=FIELDS["text_filter"]),  # type: ignore[arg-type]
            lexicon={"Nginx": "engine x"},
        )
        async with serving(settings) as server, aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{server.port}/v1/speech"
            fields: dict[str, Any]
            for fields in ({"lexicon": {"sql": "sequel"}}, {"text_filter": []}):
                async with http.post(url, json={"text": SAID, **fields}) as answer:
                    assert answer.status == 200
                    await answer.read()
            assert asked(fake) == [SPOKEN, SAID.replace("Nginx", "engine x")]


async def test_text_that_is_passed_on_as_it_is_typed_is_filtered_too() -> None:
    async with streaming_relay_to() as (server, fake), client(server) as caller:
        await caller.send(type="turn.start", turn_id="t1", audio={"tail": "short"}, **FIELDS)
        for letter in SAID:
            await caller.send(type="text.append", text=letter)
        await caller.send(type="turn.end")
        heard = await caller.turn("t1")
        assert heard.audio == clip(SPOKEN)
        assert "".join(segment["text"] for segment in heard.of("text.segment")) == SAID
    assert "".join(each["text"] for each in fake.sockets.links[0].told if each["type"] == "text.append") == SPOKEN


async def test_a_wrong_field_is_refused_and_named() -> None:
    async with relay_to(scenario("ok")) as (server, fake), client(server) as caller:
        for fields, name in (({"text_filter": ["html"]}, "text_filter"), ({"lexicon": {"": "x"}}, "lexicon")):
            heard = await caller.speak("Hello.", turn_id="t", **fields)
            assert (heard.end["code"], heard.end["turn_id"]) == ("invalid_config", "t")
            assert name in heard.end["message"]
        assert asked(fake) == []
