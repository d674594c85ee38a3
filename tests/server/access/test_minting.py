"""`POST /v1/tokens`, and what its tokens open."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from websockets.exceptions import InvalidStatus

from relay.config import LimitsConfig, ServerConfig, TokensConfig
from relay.errors import Code
from relay.server.app import Server
from relay.testing.fake_provider import FakeProvider
from relay.testing.scenarios import scenario
from tests.server.access.test_tokens import Clock
from tests.server.harness import client, config, serving

CALLER_KEY = "a key of the relay"
OTHER_KEY = "another key of the relay"
BEARER = {"Authorization": f"Bearer {CALLER_KEY}"}
KEYS = ServerConfig(port=0, keys=[CALLER_KEY, OTHER_KEY], allowed_origins=["https://app.example"])
KEYLESS = ServerConfig(port=0)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def relay(clock: Clock, server: ServerConfig = KEYS, **sections: Any) -> AsyncIterator[Server]:
    async with FakeProvider(scenario("ok")) as fake:
        async with serving(config(fake.url, server=server, **sections), wall_clock_s=clock) as running:
            yield running


def url(server: Server, path: str) -> str:
    return f"http://127.0.0.1:{server.port}{path}"


async def asked(
    http: aiohttp.ClientSession, server: Server, headers: dict[str, str] | None = None, **body: Any
) -> tuple[int, dict[str, Any]]:
    async with http.post(url(server, "/v1/tokens"), json=body, headers=BEARER if headers is None else headers) as reply:
        return reply.status, await reply.json()


async def token(http: aiohttp.ClientSession, server: Server, **body: Any) -> str:
    status, reply = await asked(http, server, **body)
    assert status == 201, reply
    return str(reply["token"])


def subprotocols(token: str) -> dict[str, Any]:
    return {"subprotocols": ["relay.v1", f"relay-token.{token}"]}


async def refusal(server: Server, **options: Any) -> tuple[int, str]:
    """Status and code with which a handshake is refused."""
    with pytest.raises(InvalidStatus) as refused:
        async with client(server, **options):
            pass
    response = refused.value.response
    body = (response.body or b"").decode()
    for code in Code:
        if f'"{code}"' in body:
            return response.status_code, code
    raise AssertionError(body)


async def test_a_token_opens_one_session(http: aiohttp.ClientSession, clock: Clock) -> None:
    async with relay(clock) as server:
        status, made = await asked(http, server)
        assert (status, set(made)) == (201, {"token", "expires_at"})
        assert datetime.fromisoformat(made["expires_at"]).timestamp() == clock.now_s + 60
        async with client(server, **subprotocols(made["token"])) as caller:
            assert caller.websocket.subprotocol == "relay.v1", "the token is not echoed"
            assert (await caller.speak()).end["type"] == "turn.done"
            assert (await caller.speak()).end["type"] == "turn.done", "a session has many turns"
        assert await refusal(server, **subprotocols(made["token"])) == (401, Code.UNAUTHORIZED)


@pytest.mark.parametrize("way", ["subprotocol", "query", "bearer"])
async def test_a_token_may_come_in_any_of_these_ways(http: aiohttp.ClientSession, clock: Clock, way: str) -> None:
    async with relay(clock) as server:
        made = await token(http, server)
        options: dict[str, Any] = {
            "subprotocol": subprotocols(made),
            "query": {"path": f"/v1/stream?token={made}"},
            "bearer": {"additional_headers": {"Authorization": f"Bearer {made}"}},
        }[way]
        async with client(server, **options) as caller:
            assert (await caller.speak()).end["type"] == "turn.done"
        assert await refusal(server, **options) == (401, Code.UNAUTHORIZED)


async def test_a_token_alone_is_no_subprotocol(http: aiohttp.ClientSession, clock: Clock) -> None:
    """Nothing could be selected, and a browser would close what the token was spent for."""
    async with relay(clock) as server:
        made = await token(http, server)
        assert await refusal(server, subprotocols=[f"relay-token.{made}"]) == (400, Code.INVALID_MESSAGE)
        async with client(server, **subprotocols(made)):
            pass


@pytest.mark.parametrize("way", ["bearer", "query"])
async def test_a_token_speaks_one_turn_over_http(http: aiohttp.ClientSession, clock: Clock, way: str) -> None:
    async with relay(clock) as server:
        made = await token(http, server)
        address = url(server, "/v1/speech") + (f"?token={made}" if way == "query" else "")
        headers = {"Authorization": f"Bearer {made}"} if way == "bearer" else {}
        async with http.post(address, json={"text": "Hello."}, headers=headers) as response:
            assert response.status == 200
            assert await response.read()
        async with http.post(address, json={"text": "Hello."}, headers=headers) as response:
            assert response.status == 401


async def test_many_at_once_with_one_token_are_one(http: aiohttp.ClientSession, clock: Clock) -> None:
    async with relay(clock) as server:
        made = await token(http, server)

        async def speak() -> int:
            headers = {"Authorization": f"Bearer {made}"}
            async with http.post(url(server, "/v1/speech"), json={"text": "Hello."}, headers=headers) as response:
                await response.read()
                return response.status

        assert sorted(await asyncio.gather(*(speak() for _ in range(20)))) == [200] + [401] * 19


async def test_only_a_key_makes_tokens(http: aiohttp.ClientSession, clock: Clock) -> None:
    async with relay(clock) as server:
        assert (await asked(http, server, {}))[0] == 401
        assert (await asked(http, server, {"Authorization": "Bearer wrong"}))[0] == 401
        made = await token(http, server)
        status, reply = await asked(http, server, {"Authorization": f"Bearer {made}"})
        assert (status, reply["error"]["code"]) == (403, Code.FORBIDDEN)
        for path in ("/v1/voices", "/v1/providers"):
            async with http.get(url(server, path), headers={"Authorization": f"Bearer {made}"}) as response:
                assert response.status == 403
        async with client(server, **subprotocols(made)):
            pass  # asking elsewhere has not spent it


async def test_a_key_is_not_a_token(clock: Clock) -> None:
    async with relay(clock) as server:
        assert await refusal(server, **subprotocols("rt1.e30." + "A" * 43)) == (401, Code.UNAUTHORIZED)
        path = f"/v1/stream?token={CALLER_KEY.replace(' ', '%20')}"
        assert await refusal(server, path=path) == (401, Code.UNAUTHORIZED)


async def test_without_keys_tokens_are_made_for_anyone_and_still_hold(
    http: aiohttp.ClientSession, clock: Clock
) -> None:
    async with relay(clock, KEYLESS) as server:
        made = await token(http, server, max_chars=5)
        async with client(server, **subprotocols(made)) as caller:
            assert (await caller.speak("Hello, my friend.")).end["code"] == Code.FORBIDDEN
        assert await refusal(server, **subprotocols(made)) == (401, Code.UNAUTHORIZED)
        async with client(server) as caller:
            assert (await caller.speak()).end["type"] == "turn.done"


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (b"[]", Code.INVALID_MESSAGE, "object"),
        (b"{", Code.INVALID_MESSAGE, "not JSON"),
        (b"\xff", Code.INVALID_MESSAGE, "not JSON"),
        (b'{"ttl":5}', Code.INVALID_MESSAGE, "ttl_s, max_chars, provider, voice, origin"),
        (b'{"ttl_s":"5"}', Code.INVALID_MESSAGE, "ttl_s"),
        (b'{"max_chars":1.5}', Code.INVALID_MESSAGE, "max_chars"),
        (b'{"ttl_s":0.5}', Code.INVALID_CONFIG, "from 1 to 600 (tokens.max_ttl_s)"),
        (b'{"ttl_s":601}', Code.INVALID_CONFIG, "ttl_s is 601"),
        (b'{"ttl_s":1e308}', Code.INVALID_CONFIG, "ttl_s"),
        (b'{"max_chars":0}', Code.INVALID_CONFIG, "max_chars is 0"),
        (b'{"provider":"nobody"}', Code.INVALID_CONFIG, "nobody"),
        (b'{"voice":""}', Code.INVALID_CONFIG, "1 to 256"),
        (b'{"voice":"' + b"v" * 257 + b'"}', Code.INVALID_CONFIG, "257"),
        (b'{"origin":"app.example"}', Code.INVALID_CONFIG, "https://app.example.com"),
        (b'{"origin":"https://app.example/path"}', Code.INVALID_CONFIG, "origin"),
        (b'{"origin":"*"}', Code.INVALID_CONFIG, "origin"),
    ],
)
async def test_a_wrong_body_is_told(
    http: aiohttp.ClientSession, clock: Clock, body: bytes, code: Code, says: str
) -> None:
    async with relay(clock) as server:
        async with http.post(url(server, "/v1/tokens"), data=body, headers=BEARER) as response:
            error = (await response.json())["error"]
    assert (response.status, error["code"]) == (400, code)
    assert says in error["message"]


async def test_an_empty_body_asks_for_nothing_special(http: aiohttp.ClientSession, clock: Clock) -> None:
    async with relay(clock) as server:
        async with http.post(url(server, "/v1/tokens"), headers=BEARER) as response:
            assert response.status == 201
            assert response.headers["Cache-Control"] == "no-store"


async def test_a_token_grows_old(http: aiohttp.ClientSession, clock: Clock) -> None:
    async with relay(clock) as server:
        made = await token(http, server, ttl_s=5)
        clock.now_s += 5
        assert await refusal(server, **subprotocols(made)) == (401, Code.UNAUTHORIZED)
        made = await token(http, server, ttl_s=5)
        clock.now_s += 4
        async with client(server, **subprotocols(made)) as caller:
            clock.now_s += 100
            assert (await caller.speak()).end["type"] == "turn.done", "it is for opening"


async def test_characters_are_counted_over_the_session(http: aiohttp.ClientSession, clock: Clock) -> None:
    async with relay(clock) as server:
        async with client(server, **subprotocols(await token(http, server, max_chars=20))) as caller:
            assert (await caller.speak("Twelve chars")).end["type"] == "turn.done"
            refused = (await caller.speak("Nine more", turn_id="t2")).end
            assert (refused["code"], refused["turn_id"]) == (Code.FORBIDDEN, "t2")
            assert "20 characters in all; 12 were given before, and this text has 9" in refused["message"]
            assert (await caller.speak("Eight...")).end["type"] == "turn.done"
            await caller.send(type="turn.start", turn_id="t3")
            await caller.event("turn.started")
            await caller.send(type="text.append", text="a")
            assert (await caller.event("error"))["turn_id"] == "t3", "a turn whose text is not whole is not spoken"
        headers = {"Authorization": f"Bearer {await token(http, server, max_chars=3)}"}
        async with http.post(url(server, "/v1/speech"), json={"text": "Four"}, headers=headers) as response:
            assert response.status == 403


@pytest.mark.parametrize(
    ("scope", "asked_for", "code"),
    [
        ({"provider": "espeak"}, {"provider": "breeze"}, Code.FORBIDDEN),
        ({"provider": "breeze"}, {"providers": ["breeze", "espeak"]}, Code.FORBIDDEN),
        ({"provider": "breeze"}, {"providers": ["breeze"], "voice": "voc_9"}, None),
        ({"provider": "breeze"}, {"provider": "nobody"}, Code.INVALID_CONFIG),
        ({"voice": "voc_2"}, {}, None),
        ({"voice": "voc_2"}, {"voice": "voc_2", "provider": "breeze"}, None),
        ({"voice": "voc_2"}, {"voice": "voc_1"}, Code.FORBIDDEN),
        ({"voice": "voc_2"}, {"provider": "espeak", "voice": "en"}, Code.FORBIDDEN),
        ({"provider": "espeak", "voice": "de"}, {"voice": "en-us"}, Code.FORBIDDEN),
    ],
)
async def test_a_scope_holds(
    http: aiohttp.ClientSession, clock: Clock, scope: dict[str, Any], asked_for: dict[str, Any], code: Code | None
) -> None:
    async with relay(clock) as server:
        async with client(server, **subprotocols(await token(http, server, **scope))) as caller:
            heard = await caller.speak(**asked_for)
            assert heard.end.get("code") == code
            if code is None:
                [started] = heard.of("turn.started")
                assert started["provider"] == "breeze"
                assert started["voice"] == asked_for.get("voice", "voc_2")
        headers = {"Authorization": f"Bearer {await token(http, server, **scope)}"}
        body = {"text": "Hello.", **asked_for}
        async with http.post(url(server, "/v1/speech"), json=body, headers=headers) as response:
            assert response.status == (200 if code is None else code.http_status)
            await response.read()


async def test_the_scope_is_the_default(http: aiohttp.ClientSession, clock: Clock) -> None:
    async with relay(clock) as server:
        async with client(server, **subprotocols(await token(http, server, provider="espeak", voice="de"))) as caller:
            assert caller.ready["defaults"]["provider"] == "espeak"
            assert caller.ready["defaults"]["voice"] == "de"
            [started] = (await caller.speak("Guten Tag.")).of("turn.started")
            assert (started["provider"], started["voice"]) == ("espeak", "de")


async def test_an_origin_holds(http: aiohttp.ClientSession, clock: Clock) -> None:
    async with relay(clock) as server:
        made = await token(http, server, origin="https://APP.example/")
        assert await refusal(server, **subprotocols(made)) == (403, Code.FORBIDDEN)
        own = f"http://127.0.0.1:{server.port}"
        assert await refusal(server, **subprotocols(made), origin=own) == (403, Code.FORBIDDEN)
        async with client(server, **subprotocols(made), origin="https://app.example") as caller:
            assert (await caller.speak()).end["type"] == "turn.done"
        # A token lets no page in that is not allowed to connect.
        made = await token(http, server, origin="https://evil.example")
        assert await refusal(server, **subprotocols(made), origin="https://evil.example") == (403, Code.FORBIDDEN)


async def test_a_session_ends_with_its_time(http: aiohttp.ClientSession, clock: Clock) -> None:
    patient = LimitsConfig(idle_timeout_s=1e9)
    async with relay(clock, tokens=TokensConfig(session_s=3000), limits=patient) as server:
        for speaking in (False, True):
            async with client(server, **subprotocols(await token(http, server))) as caller:
                [connection] = server._routes.sessions
                if speaking:
                    await caller.send(type="turn.start", turn_id="t1")
                    await caller.event("turn.started")
                connection.check(connection._opened_s + 3000)
                connection.check(connection._opened_s + 3001)
                connection.check(connection._opened_s + 3002)
                error = await caller.event()
                assert (error["type"], error["code"], error.get("turn_id")) == (
                    *("error", Code.UNAUTHORIZED),
                    "t1" if speaking else None,
                )
                assert "3000 s" in error["message"]
                closing = await caller.event()
                assert closing == {"type": "session.closing", "reason": "unauthorized", "retryable": False}
                assert await caller.close_code() == (1008, "unauthorized")
            while server._routes.sessions:
                await asyncio.sleep(0.01)


async def test_a_session_of_a_key_does_not_end(clock: Clock) -> None:
    async with relay(clock, limits=LimitsConfig(idle_timeout_s=1e9)) as server:
        async with client(server, additional_headers=BEARER) as caller:
            [connection] = server._routes.sessions
            connection.check(connection._opened_s + 1e6)
            assert (await caller.speak()).end["type"] == "turn.done"


async def test_limits_are_those_of_the_key(http: aiohttp.ClientSession, clock: Clock) -> None:
    async with relay(clock, limits=LimitsConfig(max_sessions_per_client=1)) as server:
        made, again = await token(http, server), await token(http, server)
        other = await asked(http, server, {"Authorization": f"Bearer {OTHER_KEY}"})
        async with client(server, **subprotocols(made)):
            assert await refusal(server, **subprotocols(again)) == (429, Code.RATE_LIMITED)
            assert await refusal(server, additional_headers=BEARER) == (429, Code.RATE_LIMITED)
            async with client(server, **subprotocols(other[1]["token"])):
                pass
        while server.engine.session_limiter.taken:
            await asyncio.sleep(0.01)
        async with client(server, **subprotocols(again)):
            pass  # who was told to come again can


async def test_a_key_that_was_taken_away_takes_its_tokens_with_it(http: aiohttp.ClientSession, clock: Clock) -> None:
    same = TokensConfig(secret="s" * 32)
    async with relay(clock, tokens=same) as server:
        made = await token(http, server)
    other = ServerConfig(port=0, keys=[OTHER_KEY])
    async with relay(clock, other, tokens=same) as server:
        assert await refusal(server, **subprotocols(made)) == (401, Code.UNAUTHORIZED)
    async with relay(clock, tokens=same) as server:
        async with client(server, **subprotocols(made)):
            pass


async def test_tokens_are_counted(http: aiohttp.ClientSession, clock: Clock) -> None:
    async with relay(clock) as server:
        made = await token(http, server, origin="https://app.example")
        await refusal(server, **subprotocols(made))
        async with client(server, **subprotocols(made), origin="https://app.example"):
            pass
        await refusal(server, **subprotocols(made), origin="https://app.example")
        await refusal(server, **subprotocols(made + "x"))
        clock.now_s += 60
        await refusal(server, **subprotocols(made))
        text = server.engine.metrics.render().decode()
    for reason in ("invalid", "expired", "spent", "origin"):
        assert f'relay_tokens_refused_total{{reason="{reason}"}} 1.0' in text
    assert "relay_tokens_minted_total 1.0" in text
    assert "relay_tokens_spent_total 1.0" in text
    assert 'relay_sessions_refused_total{code="unauthorized"} 3.0' in text


async def test_a_token_is_told_to_nobody(
    http: aiohttp.ClientSession, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in logs of any level, nor in metrics, errors, messages, reply headers or close reasons."""
    caplog.set_level(logging.DEBUG)
    # The test's own client and its library say what they like.
    logging.getLogger("websockets").setLevel(logging.INFO)
    said: list[str] = []
    async with relay(clock) as server:
        made = await token(http, server, max_chars=5)
        for address in ("/v1/speech", "/v1/voices", "/v1/nothing", "/v1/stream"):
            for method in (http.get, http.post):
                async with method(url(server, f"{address}?token={made}x")) as response:
                    said += [await response.text(), str(response.headers)]
        with pytest.raises(InvalidStatus) as refused:
            async with client(server, **subprotocols(made[:-1] + ("A" if made[-1] != "A" else "E"))):
                pass
        said += [str(refused.value.response.headers), str(refused.value.response.body)]
        with pytest.raises(InvalidStatus):
            async with client(server, subprotocols=[f"relay-token.{made}"], additional_headers=BEARER):
                pass
        async with client(server, **subprotocols(made)) as caller:
            assert caller.websocket.response is not None
            said += [str(caller.ready), str(caller.websocket.response.headers)]
            said += [str((await caller.speak("Too long for it.")).said)]
            await caller.websocket.send(b"binary")
            said += [str(await caller.close_code())]
        said += [server.engine.metrics.render().decode(), caplog.text]
    payload = made.split(".")[1]
    for words in said:
        assert payload not in words
        assert made.split(".")[2][:-1] not in words
