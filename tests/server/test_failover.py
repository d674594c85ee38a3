"""Several providers, and places at one, through a whole relay."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from relay.config import HttpConfig, ProviderConfig
from relay.errors import Code
from relay.server.app import Server
from relay.testing.fake_breeze import FakeBreeze, greet
from relay.testing.fake_provider import FakeProvider, FakeRequest, in_turn
from relay.testing.fake_socket import FakeSocket, Link, Refuse, Scene
from relay.testing.scenarios import PCM_CLIP, scenario
from relay.testing.script import Script, Send, Stall, Status
from tests.server.cycles import left_in_cycles
from tests.server.harness import KEY, breeze, client, config, relay_to, serving
from tests.server.held import nothing_left


async def test_the_built_in_voice_goes_on_where_a_provider_cannot_be_reached() -> None:
    async with serving(config("http://127.0.0.1:9")) as server, client(server) as caller:
        heard = await caller.speak("Hello there.", providers=["breeze", "espeak"])
    assert heard.end["type"] == "turn.done"
    assert heard.end["samples"] > 12_000
    [told] = heard.of("turn.failover")
    assert (told["from"], told["to"], told["code"]) == ("breeze", "espeak", Code.PROVIDER_UNAVAILABLE)
    assert len(heard.of("text.segment")) == 1


async def test_a_turn_that_was_cut_is_not_done_though_another_provider_went_on() -> None:
    text = "Here is one sentence that is long enough to stand alone. " * 8
    async with (
        relay_to(scenario("cut_chunked_fin"), http=HttpConfig(retries=0)) as (server, _),
        client(server) as caller,
    ):
        heard = await caller.speak(text, providers=["breeze", "espeak"])
    assert (heard.end["type"], heard.end["code"]) == ("error", Code.PROVIDER_CUT)
    assert len(heard.of("turn.failover")) == 1
    assert len(heard.audio) > len(PCM_CLIP.data) * 2, "the rest of the text was spoken"


async def test_a_stall_of_the_first_byte_starts_a_failover() -> None:
    patience = HttpConfig(retries=0, first_byte_timeout_s=0.2)
    async with relay_to((Stall(),), http=patience) as (server, fake), client(server) as caller:
        heard = await caller.speak("Hello.", providers=["breeze", "espeak"])
        await fake.connected(0)
    assert heard.end["type"] == "turn.done"
    assert heard.of("turn.failover")[0]["code"] == Code.PROVIDER_TIMEOUT


async def test_turns_beyond_the_providers_limit_wait_and_are_told() -> None:
    script = (Status(200, {"content-type": "audio/pcm"}), Stall(), Send(PCM_CLIP.data))
    async with FakeProvider(script) as fake:
        own = ProviderConfig(api_key=KEY, base_url=fake.url, voice="v", max_concurrent=1)
        async with serving(config(providers={"breeze": own})) as server, client(server) as one, client(server) as two:
            await one.send(type="speak", text="First.")
            await fake.exchange(0)
            await two.send(type="speak", text="Second.")
            assert (await two.event("turn.waiting"))["provider"] == "breeze"
            assert len(fake.exchanges) == 1, "the provider sees no more than it allows"
            fake.release()
            ends = await asyncio.gather(one.turn(), two.turn())
    assert [heard.end["type"] for heard in ends] == ["turn.done", "turn.done"]


async def test_a_place_that_does_not_come_in_time_is_an_honest_error() -> None:
    async with FakeProvider((Stall(),)) as fake:
        own = ProviderConfig(api_key=KEY, base_url=fake.url, voice="v", max_concurrent=1, queue_timeout_s=0.1)
        async with serving(config(providers={"breeze": own})) as server, client(server) as one, client(server) as two:
            await one.send(type="speak", text="First.")
            await fake.exchange(0)
            heard = await two.speak("Second.")
            await one.send(type="turn.cancel")
            await one.event("turn.cancelled")
    error = heard.end
    assert (error["code"], error["retryable"]) == (Code.PROVIDER_RATE_LIMITED, True)
    assert error["retry_after_s"] > 0
    assert "1 at a time" in error["message"]


async def test_a_busy_provider_is_asked_again_when_it_said_so() -> None:
    scripts = in_turn(scenario("status_429_retry_after"), scenario("ok"))
    async with relay_to(scripts, http=HttpConfig(retries=0)) as (server, fake), client(server) as caller:
        heard = await caller.speak("Hello.")
        assert len(fake.exchanges) == 2
    assert heard.end["type"] == "turn.done"


async def test_the_providers_own_limit_is_asked_for_where_none_is_configured() -> None:
    body = b'{"max_concurrent_generations": 1}'
    entitled = (Status(200, {"content-type": "application/json"}, len(body)), Send(body))
    speaking = (Status(200, {"content-type": "audio/pcm"}), Stall(), Send(PCM_CLIP.data))

    def choose(request: FakeRequest) -> Script:
        return entitled if request.path.endswith("/entitlements") else speaking

    async with FakeProvider(choose) as fake:
        own = ProviderConfig(api_key=KEY, base_url=fake.url, voice="v")
        async with serving(config(providers={"breeze": own})) as server, client(server) as one, client(server) as two:
            while server.engine.limiters["breeze"].limit is None:
                await asyncio.sleep(0)
            await one.send(type="speak", text="First.")
            await fake.exchange(1)
            await two.send(type="speak", text="Second.")
            await two.event("turn.waiting")
            fake.release()
            ends = await asyncio.gather(one.turn(), two.turn())
    assert [heard.end["type"] for heard in ends] == ["turn.done", "turn.done"]


# Text that is passed on as it is typed

TYPED = {"options": {"transport": "realtime"}}


@asynccontextmanager
async def typed_relay_to(
    *scenes: Scene | Refuse, bland: FakeSocket | None = None
) -> AsyncIterator[tuple[Server, FakeBreeze]]:
    """A relay whose Breeze takes text as it is typed, with the built-in voice, and Bland over its socket, beside it."""
    async with FakeBreeze(*scenes) as fake:
        providers = {"breeze": breeze(fake.url, **TYPED)}
        if bland:
            address = bland.url.replace("ws", "http", 1)
            providers["bland"] = ProviderConfig(
                api_key=KEY, base_url=address, voice="12345678-1234-1234-1234-123456789abc", options={"api": "socket"}
            )
        async with serving(config(fake.url, providers=providers)) as server:
            yield server, fake


async def lost_without_a_sound(link: Link) -> None:
    """The socket dies when it has all the text and has spoken nothing of it."""
    await greet(link)
    await link.heard("turn.end")
    link._connection.transport.close()


@pytest.mark.parametrize("scene", [Refuse(status=503), lost_without_a_sound], ids=["refused", "lost"])
async def test_typed_text_that_nobody_has_heard_is_spoken_by_the_built_in_voice(scene: Scene | Refuse) -> None:
    async with typed_relay_to(scene) as (server, fake), client(server) as caller:
        await caller.send(type="turn.start", turn_id="t", providers=["breeze", "espeak"])
        for piece in ("Hello ", "there. How ", "are you?"):
            await caller.send(type="text.append", text=piece)
        await caller.send(type="turn.end")
        heard = await caller.turn()
        assert fake.sockets.links if scene is lost_without_a_sound else fake.minted
    assert heard.end["type"] == "turn.done", heard.end
    assert heard.end["samples"] > 12_000
    assert heard.end["text_chars"] == len("Hello there. How are you?")
    assert "".join(told["text"] for told in heard.of("text.segment")) == "Hello there. How are you?"
    [told] = heard.of("turn.failover")
    assert (told["from"], told["to"], told["at_sample"]) == ("breeze", "espeak", 0)


async def test_a_conversation_is_taken_up_by_another_one_from_its_beginning() -> None:
    spoken = b"\x11\x22" * 4800

    async def speak(link: Link) -> None:
        await link.say(type="ready", encoding="pcm_s16le", sample_rate=24000)
        context = (await link.heard("speak"))["context_id"]
        await link.heard("end_of_turn")
        await link.say(type="utterance_start", context_id=context)
        await link.audio(spoken)
        await link.say(type="utterance_end", context_id=context, reason="complete")

    async with FakeSocket(speak) as bland, typed_relay_to(lost_without_a_sound, bland=bland) as (server, _):
        async with client(server) as caller:
            heard = await caller.speak("Hello there.", providers=["breeze", "bland"], audio={"tail": "short"})
        told = [message["text"] for message in bland.links[0].told if message["type"] == "speak"]
    assert heard.end["type"] == "turn.done", heard.end
    assert heard.audio == spoken
    assert "".join(told) == "Hello there."
    assert [(each["from"], each["to"]) for each in heard.of("turn.failover")] == [("breeze", "bland")]


async def test_a_conversation_that_was_heard_in_part_ends_in_its_error() -> None:
    """The provider had all the text, and does not say how much of it it has spoken."""

    async def scene(link: Link) -> None:
        await greet(link)
        turn_id = (await link.heard("turn.start"))["turn_id"]
        await link.say(type="turn.started", turn_id=turn_id)
        await link.heard("turn.end")
        await link.audio(PCM_CLIP.data[:9600])
        link._connection.transport.close()

    async with typed_relay_to(scene) as (server, _), client(server) as caller:
        heard = await caller.speak("Good, then gone. " * 20, providers=["breeze", "espeak"], audio={"tail": "short"})
        assert (heard.end["type"], heard.end["code"]) == ("error", Code.PROVIDER_CUT)
        assert heard.audio == PCM_CLIP.data[:9600]
        assert heard.of("turn.failover") == []
        assert (await caller.speak("Again.", provider="espeak")).end["type"] == "turn.done"


# Afterwards


async def over_two_providers(server: Server, text: str = "Hello there. ") -> str:
    """How the turn ends."""
    async with client(server) as caller:
        heard = await caller.speak(text, providers=["breeze", "espeak"])
    assert len(heard.of("turn.failover")) == 1
    return str(heard.end["type"])


async def test_a_turn_that_was_cut_leaves_nothing_to_the_garbage_collector() -> None:
    text = "Here is one sentence that is long enough to stand alone. " * 8
    async with relay_to(scenario("cut_chunked_fin"), http=HttpConfig(retries=0)) as (server, _):
        with left_in_cycles() as left:
            assert await over_two_providers(server, text) == "error"
            async with asyncio.timeout(5):
                while server.engine.session_limiter.taken:
                    await asyncio.sleep(0)
    assert not left


async def test_a_conversation_that_was_lost_leaves_nothing() -> None:
    async with typed_relay_to(lost_without_a_sound) as (server, _):
        await over_two_providers(server)  # the built-in voice's workers are there now
        async with nothing_left():
            assert await over_two_providers(server) == "turn.done"
