"""Whether a provider can be spoken with: what is asked of it, and what its answers show."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from relay.config import Config, ProviderConfig, VoiceConfig
from relay.drivers.dispatch import Drivers
from relay.drivers.http.settings import HttpSettings
from relay.drivers.ws.settings import WsSettings
from relay.engine.check import Reached, reach
from relay.engine.setup import build_providers
from relay.errors import Code
from relay.providers.base.dialogue import DialogueRequest
from relay.providers.base.provider import Origin, SpeechRequest
from relay.testing.fake_breeze import FakeBreeze
from relay.testing.fake_provider import FakeProvider
from relay.testing.scenarios import error_reply, scenario
from relay.testing.script import Script, Send, Status
from tests.covering import each
from tests.engine.fakes import FakeProvider as Described

KEY = "key_4f9d2c71b8e6a035"
KAREN = "29158307-9893-4149-8a75-bc9ce313d64e"
NOBODY = "http://127.0.0.1:9"

LISTS: dict[str, Any] = {
    "breeze": {"voices": [{"voice_id": "voc_1", "name": "Anna"}, {"voice_id": "voc_2", "name": "Ben"}]},
    "bland": {"voices": [{"id": KAREN, "name": "Karen"}]},
    "sauti": {"voices": [{"voice_id": "voc_1", "name": "Anna"}]},
}
VOICES = {"breeze": "voc_1", "bland": KAREN, "sauti": "voc_1", "playai": "s3://a/manifest.json"}


def own(adapter: str, url: str, **settings: Any) -> ProviderConfig:
    made: dict[str, Any] = {"adapter": adapter, "api_key": KEY, "base_url": url, "voice": VOICES[adapter]}
    if adapter == "playai":
        made["user_id"] = "user"
    return ProviderConfig(**(made | settings))


def answer(status: int, body: Any) -> Script:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (Status(status, {"content-type": "application/json"}, len(data)), Send(data))


@asynccontextmanager
async def drivers() -> AsyncIterator[Drivers]:
    async with Drivers(HttpSettings(retries=0, connect_timeout_s=5.0), WsSettings()) as made:
        yield made


async def asked(settings: ProviderConfig, voices: Any = None) -> Reached:
    """What asking an instance that is called blue shows."""
    config = Config(providers={"blue": settings}, voices=voices or {})
    usable, missing = build_providers(config)
    assert "blue" in usable, missing["blue"]
    async with drivers() as through:
        return await reach(through, usable["blue"], config.voices, has_default=settings.voice is not None)


@pytest.mark.parametrize("adapter", LISTS)
async def test_a_list_of_voices_shows_the_key_and_the_voice(adapter: str) -> None:
    async with FakeProvider(answer(200, LISTS[adapter])) as fake:
        found = await asked(own(adapter, fake.url))
        assert (found.ok, found.name, found.voices) == (True, "blue", len(LISTS[adapter]["voices"]))
        [exchange] = fake.exchanges
        assert (exchange.request.method, KEY in str(exchange.request.headers)) == ("GET", True)


@pytest.mark.parametrize(
    ("status", "ok"), [(404, True), (200, True), (401, False), (403, False), (500, False), (302, False)]
)
async def test_a_question_about_a_job_that_does_not_exist_shows_the_key(status: int, ok: bool) -> None:
    error = {"errorMessage": "No.", "errorId": "UNAUTHORIZED" if status == 401 else "OTHER"}
    async with FakeProvider(answer(status, error)) as fake:
        found = await asked(own("playai", fake.url))
        assert (found.ok, found.voices) == (ok, None)
        assert found.code == {401: Code.PROVIDER_AUTH, 403: Code.PROVIDER_AUTH}.get(
            status, None if ok else Code.PROVIDER_UNAVAILABLE
        )
        assert all("blue" in words for words in found.wrong)
        [exchange] = fake.exchanges
        assert exchange.request.method == "GET", "nothing is made"


@pytest.mark.parametrize("adapter", VOICES)
async def test_nobody_there_is_never_ok(adapter: str) -> None:
    found = await asked(own(adapter, NOBODY))
    assert (found.ok, found.code, found.voices) == (False, Code.PROVIDER_UNAVAILABLE, None)
    assert "blue (127.0.0.1:9)" in found.wrong[0]


@each("adapter", LISTS)
@each("name", ["html_200", "json_200", "empty_200", "not_http", "early_close", "redirect"])
async def test_what_is_no_answer_is_never_ok(adapter: str, name: str) -> None:
    async with FakeProvider(scenario(name)) as fake:
        found = await asked(own(adapter, fake.url))
        assert not found.ok
        assert found.code is not None
        assert KEY not in str(found)


@pytest.mark.parametrize("adapter", LISTS)
async def test_a_refused_key_is_told(adapter: str) -> None:
    async with FakeProvider(error_reply(401)) as fake:
        found = await asked(own(adapter, fake.url))
    assert (found.ok, found.code) == (False, Code.PROVIDER_AUTH)
    assert found.wrong[0].startswith("blue answered 401")


async def test_a_voice_that_is_not_listed_is_told() -> None:
    names: dict[str, dict[str, str | VoiceConfig]] = {
        "anna": {"blue": "voc_1"},
        "old": {"blue": VoiceConfig(voice="voc_8")},
        "mine": {"blue": VoiceConfig(voice="voc_1", options={"odd": 1})},
        "elsewhere": {"breeze": "voc_9"},
    }
    async with FakeProvider(answer(200, LISTS["breeze"])) as fake:
        found = await asked(own("breeze", fake.url, voice="voc_7"), names)
        assert (found.ok, found.code, found.voices) == (False, Code.VOICE_NOT_FOUND, 2)
        first, second, third = sorted(found.wrong, key=lambda words: "odd" in words)
        assert "voices.old is 'voc_8'" in f"{first} {second}"
        assert "its default voice is 'voc_7'" in f"{first} {second}"
        assert "voices.mine" in third
        assert "odd" in third


async def test_one_without_a_default_voice_is_well() -> None:
    async with FakeProvider(answer(200, LISTS["breeze"])) as fake:
        assert (await asked(own("breeze", fake.url, voice=None))).ok


@pytest.mark.parametrize(("voice", "ok"), [(None, True), ("de", True), ("en-us+f3", True), ("nope", False)])
async def test_the_built_in_voice_is_asked_too(voice: str | None, ok: bool) -> None:
    found = await asked(ProviderConfig(adapter="espeak", voice=voice))
    assert found.ok is ok, found
    assert (found.voices or 0) > 100


# Ways to look that no provider of the catalog has yet.


async def test_where_there_is_nothing_to_ask_a_connection_must_do() -> None:
    class Quiet(Described):
        def __init__(self, url: str) -> None:
            self.url = url

        def check(self) -> Origin:
            return Origin(url=self.url)

    async with FakeProvider(()) as fake, drivers() as through:
        found = await reach(through, Quiet(fake.url), {}, has_default=False)
        assert (found.ok, fake.exchanges) == (True, [])
        lost = await reach(through, Quiet(NOBODY), {}, has_default=False)
        assert (lost.ok, lost.code) == (False, Code.PROVIDER_UNAVAILABLE)


async def test_a_conversation_is_greeted_and_left() -> None:
    async with FakeBreeze() as fake, drivers() as through:
        settings = own("breeze", fake.url, options={"transport": "realtime"})
        usable, _ = build_providers(Config(providers={"blue": settings}))
        [dialogue] = [each for each in usable["blue"].warm(SpeechRequest()) if isinstance(each, DialogueRequest)]

        class Socket(Described):
            def check(self) -> DialogueRequest:  # type: ignore[override]
                return dialogue

        found = await reach(through, Socket(), {}, has_default=False)
        assert found.ok, found
        link = await fake.sockets.link(0)
        await link.left.wait()
        assert link.told == []
