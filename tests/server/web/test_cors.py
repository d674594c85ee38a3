"""What a page of an allowed origin may read, and that another page can use nothing."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from relay.config import ServerConfig
from relay.errors import Code
from relay.server.app import Server
from relay.server.web.cors import ROUTES
from relay.testing.fake_provider import FakeProvider
from relay.testing.scenarios import scenario
from tests.server.harness import config, serving

KEY = "a key of the relay"
BEARER = {"Authorization": f"Bearer {KEY}"}
PAGE = "https://app.example"
EVIL = "http://evil.example"
# Every route that does anything; health and metrics are for the operator's own network.
USED = {**ROUTES, "/v1/stream": "GET"}
BODIES = {"/v1/speech": b'{"text":"Hello."}', "/v1/tokens": b""}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider(scenario("ok")) as provider:
        yield provider


def url(server: Server, path: str) -> str:
    return f"http://127.0.0.1:{server.port}{path}"


@pytest.mark.parametrize("path", ROUTES)
async def test_a_page_of_an_allowed_origin_may_read(http: aiohttp.ClientSession, fake: FakeProvider, path: str) -> None:
    keys = ServerConfig(port=0, keys=[KEY], allowed_origins=[PAGE])
    async with serving(config(fake.url, server=keys)) as server:
        asked = {
            "Origin": PAGE,
            "Access-Control-Request-Method": ROUTES[path],
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        async with http.options(url(server, path), headers=asked) as preflight:
            assert preflight.status == 204
            assert preflight.headers["Access-Control-Allow-Origin"] == PAGE
            assert preflight.headers["Access-Control-Allow-Methods"] == ROUTES[path]
            assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
            assert preflight.headers["Vary"] == "Origin"
        for headers, status in ((BEARER, {200, 201}), ({}, {401})):
            headers = {"Origin": PAGE, **headers}
            async with http.request(ROUTES[path], url(server, path), data=BODIES.get(path), headers=headers) as answer:
                await answer.read()
                assert answer.status in status
                assert answer.headers["Access-Control-Allow-Origin"] == PAGE, "an error is told too"
                assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize("keys", [[], [KEY]])
@pytest.mark.parametrize("path", USED)
async def test_a_page_of_another_origin_may_not(
    http: aiohttp.ClientSession, fake: FakeProvider, path: str, keys: list[str]
) -> None:
    allowed = ServerConfig(port=0, keys=keys, allowed_origins=[PAGE])
    async with serving(config(fake.url, server=allowed)) as server:
        for origin in (EVIL, "null", f"{PAGE}.evil.example", "https://evil-app.example", f"{PAGE}:8443", ""):
            headers = {"Origin": origin, **BEARER}
            methods = [USED[path], *(["OPTIONS"] if path in ROUTES else [])]
            for method in methods:
                async with http.request(method, url(server, path), data=BODIES.get(path), headers=headers) as answer:
                    assert (answer.status, (await answer.json())["error"]["code"]) == (403, Code.FORBIDDEN)
                    assert not [name for name in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("path", USED)
async def test_a_name_that_was_pointed_here_is_no_way_in(
    http: aiohttp.ClientSession, fake: FakeProvider, path: str
) -> None:
    """To its browser, a page of evil.example that is now this address reads its own server: with GET it names no
    origin, with POST its own."""
    async with serving(config(fake.url, server=ServerConfig(port=0))) as server:
        evil = f"evil.example:{server.port}"
        for headers in ({"Host": evil}, {"Host": evil, "Origin": f"http://{evil}"}, {"Host": "localhost.evil.example"}):
            for method in (USED[path], "OPTIONS"):
                if method == "OPTIONS" and path not in ROUTES:
                    continue
                async with http.request(method, url(server, path), data=BODIES.get(path), headers=headers) as answer:
                    assert answer.status == 403
                    assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_who_is_not_a_browser_is_not_asked(http: aiohttp.ClientSession, fake: FakeProvider) -> None:
    async with serving(config(fake.url, server=ServerConfig(port=0))) as server:
        for host in (f"127.0.0.1:{server.port}", f"localhost:{server.port}", "LOCALHOST", "[::1]:1"):
            async with http.get(url(server, "/v1/providers"), headers={"Host": host}) as answer:
                assert answer.status == 200
                assert "Access-Control-Allow-Origin" not in answer.headers
                assert answer.headers["Vary"] == "Origin"
        async with http.options(url(server, "/v1/providers")) as answer:
            assert answer.status == 400


async def test_a_page_on_this_machine_uses_a_relay_without_keys(
    http: aiohttp.ClientSession, fake: FakeProvider
) -> None:
    async with serving(config(fake.url, server=ServerConfig(port=0))) as server:
        headers = {"Origin": f"http://127.0.0.1:{server.port}"}
        async with http.post(url(server, "/v1/tokens"), headers=headers) as answer:
            assert answer.status == 201
            assert answer.headers["Access-Control-Allow-Origin"] == headers["Origin"]


async def test_a_name_that_was_listed_is_answered_to(http: aiohttp.ClientSession, fake: FakeProvider) -> None:
    named = ServerConfig(port=0, allowed_origins=["http://relay.home.example"])
    async with serving(config(fake.url, server=named)) as server:
        async with http.get(url(server, "/v1/providers"), headers={"Host": "relay.home.example"}) as answer:
            assert answer.status == 200


def test_no_answer_is_for_everyone() -> None:
    from pathlib import Path

    from relay.server.web import cors

    assert '"*"' not in Path(cors.__file__).read_text("utf-8")
