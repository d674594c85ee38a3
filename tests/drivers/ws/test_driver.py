"""The WebSocket driver against a scripted provider: a toy dialogue, every fault, every socket accounted for."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.core.timings import Stage, Timings
from relay.drivers.ws.conversation import WsConversation
from relay.drivers.ws.driver import WsDriver, WsSettings
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base import faults
from relay.providers.base.dialogue import DialogueRequest, Heard, Ready, SocketAddress, TurnOver
from relay.providers.base.http import HttpRequest, Piece, ReplyFacts, WordTime
from relay.testing.audio import noise
from relay.testing.fake_socket import FakeSocket, Link, Refuse
from tests.covering import each

PCM = SourceFormat(container=Container.RAW, pcm=AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000))
CLIP = noise(0.2)
SECRET = "token-that-nobody-may-see"


@dataclass
class Toy:
    """JSON both ways. Audio counts between `begun` and the turn's end."""

    speaking: bool = False
    cancels: bool = True

    def greet(self) -> list[str]:
        return [json.dumps({"type": "hello"})]

    def begin(self, turn_id: str) -> list[str]:
        self.speaking = False
        return [json.dumps({"type": "begin", "turn_id": turn_id})]

    def give(self, text: str) -> list[str]:
        return [json.dumps({"type": "text", "text": text})]

    def flush(self) -> list[str]:
        return [json.dumps({"type": "flush"})]

    def end_text(self) -> list[str]:
        return [json.dumps({"type": "end"})]

    def cancel(self) -> list[str]:
        self.speaking = False
        return [json.dumps({"type": "cancel"})] if self.cancels else []

    def keep_alive(self) -> list[str]:
        return [json.dumps({"type": "still here"})]

    def receive(self, message: str | bytes) -> list[Heard]:
        if isinstance(message, bytes):
            return [message] if self.speaking else []
        event = json.loads(message)
        match event["type"]:
            case "ready":
                return [Ready(facts=ReplyFacts(source=PCM, ids={"session_id": "s1"}))]
            case "begun":
                self.speaking = True
            case "word":
                return [WordTime(text=event["text"], start_s=0.0, end_s=0.1)]
            case "over":
                self.speaking = False
                return [TurnOver(ids={"turn": event.get("id", "x")}, reusable=event.get("reusable", True))]
            case "error":
                fault = ProviderFault(name="toy")
                raise ProviderError(Code.PROVIDER_REJECTED, "toy: no", provider=fault)
        return []


@dataclass
class Mint:
    """What the HTTP driver would be asked for."""

    asked: list[HttpRequest] = field(default_factory=list)

    async def fetch(self, request: HttpRequest) -> bytes:
        self.asked.append(request)
        return b"minted"


def request(fake: FakeSocket, *, key: str = "k", toy: Toy | None = None, **changes: Any) -> DialogueRequest:
    def connect(body: bytes) -> SocketAddress:
        assert body == b""
        return SocketAddress(url=f"{fake.url}/speak?token={SECRET}", secret_headers={"x-key": SECRET})

    made: dict[str, Any] = {
        "provider": "toy",
        "key": key,
        "mint": None,
        "connect": connect,
        "dialogue": lambda: toy or Toy(),
        "refuse": lambda refusal: faults.refused("toy", refusal, secrets=(SECRET,)),
        "source": PCM,
    }
    return DialogueRequest(**(made | changes))


@asynccontextmanager
async def driving(**settings: Any) -> AsyncIterator[WsDriver]:
    """A driver; when it has been closed no task of it is left."""
    driver = WsDriver(Mint(), WsSettings(**settings))
    await driver.start()
    try:
        yield driver
    finally:
        await driver.close()
    working = [task for task in asyncio.all_tasks() if "drivers/ws" in str(task.get_coro())]
    assert working == []


async def turn(link: Link, audio: bytes = CLIP, **over: Any) -> None:
    await link.heard("begin")
    await link.say(type="begun")
    await link.heard("end")
    await link.audio(audio)
    await link.say(type="over", **over)


async def polite(link: Link) -> None:
    """Greets, then speaks every turn."""
    await link.heard("hello")
    await link.say(type="ready")
    while True:
        await turn(link)


async def speak(conversation: WsConversation, *texts: str) -> bytes:
    for text in texts:
        await conversation.give(text)
    await conversation.end_text()
    return b"".join([piece async for piece in conversation if isinstance(piece, bytes)])


async def spoken(driver: WsDriver, wanted: DialogueRequest, *texts: str, timings: Timings | None = None) -> bytes:
    async with driver.converse(wanted, timings or Timings()) as conversation:
        return await speak(conversation, *texts)


async def first_of(conversation: WsConversation) -> Piece:
    return await anext(aiter(conversation))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.001)


# A turn, and the next.


async def test_text_goes_out_as_it_comes_and_audio_comes_in_as_it_is_made() -> None:
    async def scene(link: Link) -> None:
        assert (await link.heard("hello"))["type"] == "hello"
        await link.say(type="ready")
        await link.heard("begin")
        await link.say(type="begun")
        assert (await link.heard("text"))["text"] == "Hel"
        await link.audio(CLIP[:7])
        assert (await link.heard("text"))["text"] == "lo."
        await link.heard("flush")
        await link.say(type="word", text="Hello")
        await link.audio(b"")
        await link.audio(CLIP[7:])
        await link.heard("end")
        await link.say(type="over", id="t9")

    timings = Timings()
    async with FakeSocket(scene) as fake, driving() as driver:
        async with driver.converse(request(fake), timings) as conversation:
            pieces = aiter(conversation)
            await conversation.give("Hel")
            assert await anext(pieces) == CLIP[:7]
            await conversation.give("lo.")
            await conversation.flush()
            assert await anext(pieces) == WordTime(text="Hello", start_s=0.0, end_s=0.1)
            assert await anext(pieces) == CLIP[7:], "an empty message is no piece"
            await conversation.end_text()
            assert [piece async for piece in pieces] == []
            assert conversation.facts == ReplyFacts(source=PCM, ids={"session_id": "s1", "turn": "t9"})
        assert fake.links[0].kinds == ["hello", "begin", "text", "text", "flush", "end"]
        assert fake.links[0].headers["x-key"] == SECRET
    assert timings.connection_reused is False
    instants = timings.instants_s
    assert list(instants) == [Stage.REQUEST_SENT, Stage.FIRST_BYTE]
    assert instants[Stage.REQUEST_SENT] <= instants[Stage.FIRST_BYTE]


async def test_the_next_turn_has_the_same_socket_and_no_handshake() -> None:
    async with FakeSocket(polite) as fake, driving() as driver:
        for number in range(3):
            timings = Timings()
            assert await spoken(driver, request(fake), "One.", timings=timings) == CLIP
            assert timings.connection_reused is (number > 0)
            assert driver.idle_sockets == 1
        assert len(fake.paths) == 1
        begun = [message["turn_id"] for message in fake.links[0].told if message["type"] == "begin"]
        assert len(set(begun)) == 3
    assert fake.links[0].close_code == 1000


async def test_a_socket_serves_its_own_kind_only() -> None:
    async with FakeSocket(polite) as fake, driving() as driver:
        await spoken(driver, request(fake, key="a"), "One.")
        await spoken(driver, request(fake, key="b"), "Two.")
        await spoken(driver, request(fake, key="a", provider="other"), "Three.")
        assert len(fake.links) == 3
        await spoken(driver, request(fake, key="a"), "Four.")
        assert len(fake.links) == 3


async def test_two_turns_at_a_time_have_a_socket_each_and_idle_ones_are_bounded() -> None:
    async with FakeSocket(polite) as fake, driving(idle_per_key=2, idle_sockets=3) as driver:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(spoken(driver, request(fake), "At once."))
        assert len(fake.links) == 4
        assert driver.idle_sockets == 2
        for key in ("x", "y"):
            await spoken(driver, request(fake, key=key), "Another kind.")
        assert driver.idle_sockets == 3
        await until(lambda: sum(link.left.is_set() for link in fake.links) == 3)


async def test_credentials_are_minted_for_each_socket_and_not_for_each_turn() -> None:
    mint = HttpRequest(
        provider="toy",
        method="POST",
        url="http://127.0.0.1:9/mint",
        headers={},
        secret_headers={},
        body=None,
        accept=lambda _: ReplyFacts(source=PCM),
        refuse=lambda refusal: faults.refused("toy", refusal),
    )
    http = Mint()
    async with FakeSocket(polite) as fake:
        driver = WsDriver(http)
        await driver.start()

        def connect(body: bytes) -> SocketAddress:
            assert body == b"minted"
            return SocketAddress(url=fake.url)

        try:
            for _ in range(2):
                await spoken(driver, request(fake, mint=mint, connect=connect), "One.")
        finally:
            await driver.close()
    assert http.asked == [mint]


async def test_a_provider_that_does_not_greet_is_not_waited_for() -> None:
    class Silent(Toy):
        def greet(self) -> list[str]:
            return []

    async with FakeSocket(turn) as fake, driving() as driver:
        assert await spoken(driver, request(fake, toy=Silent(), greeted=False), "One.") == CLIP


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux can acknowledge at once")
async def test_the_first_audio_does_not_wait_for_an_acknowledgement() -> None:
    """A provider whose socket collects small writes says that it has begun, then holds the audio for 40 ms or more."""

    async def scene(link: Link) -> None:
        await link.heard("hello")
        await link.say(type="ready")
        while True:
            await link.heard("begin")
            await link.say(type="begun")
            await link.say(type="word", text="one")
            await link.audio(CLIP[:100])
            await link.heard("end")
            await link.say(type="over")

    fastest_s = float("inf")
    async with FakeSocket(scene, nagle=True) as fake, driving() as driver:
        for _ in range(3):
            began_s = time.monotonic()
            async with driver.converse(request(fake), Timings()) as conversation:
                await conversation.give("Hello.")
                async for piece in conversation:
                    if isinstance(piece, bytes):
                        fastest_s = min(fastest_s, time.monotonic() - began_s)
                        await conversation.end_text()
    assert fastest_s < 0.03


# Sockets between turns.


async def test_a_socket_that_died_while_idle_is_replaced() -> None:
    async def once(link: Link) -> None:
        await link.heard("hello")
        await link.say(type="ready")
        await turn(link)
        link.cut()

    async with FakeSocket(once, polite) as fake, driving() as driver:
        await spoken(driver, request(fake), "One.")
        await until(lambda: driver.idle_sockets == 0)
        timings = Timings()
        assert await spoken(driver, request(fake), "Two.", timings=timings) == CLIP
        assert timings.connection_reused is False


async def test_a_socket_that_dies_as_it_is_taken_is_replaced_too() -> None:
    """The close has arrived, and nobody has looked yet."""

    async def once(link: Link) -> None:
        await link.heard("hello")
        await link.say(type="ready")
        await turn(link)
        await link.close(1001)

    async with FakeSocket(once, polite) as fake, driving() as driver:
        await spoken(driver, request(fake), "One.")
        await fake.links[0].left.wait()
        assert await spoken(driver, request(fake), "Two.") == CLIP
        assert len(fake.links) == 2


async def test_a_socket_that_turns_out_dead_as_the_turn_begins_is_replaced() -> None:
    """Its end is known to the system, and has been told to nobody."""
    async with FakeSocket(polite) as fake, driving() as driver:
        await spoken(driver, request(fake), "One.")
        [idle] = driver._idle._watchers
        link = idle._websocket._response.connection
        assert link is not None
        assert link.transport is not None
        link.transport.abort()
        timings = Timings()
        assert await spoken(driver, request(fake), "Two.", timings=timings) == CLIP
        assert (timings.connection_reused, len(fake.links)) == (False, 2)


@pytest.mark.parametrize("over", [{"reusable": False}, {}])
async def test_a_session_that_ends_is_not_used_again(over: dict[str, Any]) -> None:
    """It says so with the turn's end, or between turns."""

    async def once(link: Link) -> None:
        await link.heard("hello")
        await link.say(type="ready")
        await turn(link, **over)
        if not over:
            await link.say(type="over", reusable=False)

    async with FakeSocket(once, polite) as fake, driving() as driver:
        await spoken(driver, request(fake), "One.")
        await until(lambda: driver.idle_sockets == 0)
        await spoken(driver, request(fake), "Two.")
        assert len(fake.links) == 2


async def test_idle_sockets_are_closed_before_the_provider_would() -> None:
    async with FakeSocket(polite) as fake, driving() as driver:
        await spoken(driver, request(fake, idle_close_s=0.1), "One.")
        async with asyncio.timeout(5):
            await fake.links[0].left.wait()
        assert driver.idle_sockets == 0
        assert fake.links[0].close_code == 1000


async def test_an_idle_socket_that_answers_no_ping_is_dropped() -> None:
    async def deaf(link: Link) -> None:
        await link.heard("hello")
        await link.say(type="ready")
        await turn(link)
        # Its pongs, and all else, are held back.
        link._connection.transport.pause_reading()
        await link.stall()

    async with FakeSocket(deaf) as fake, driving(probe_every_s=0.02, probe_timeout_s=0.05) as driver:
        await spoken(driver, request(fake), "One.")
        await until(lambda: driver.idle_sockets == 0)


async def test_an_idle_socket_that_answers_pings_is_kept() -> None:
    async with FakeSocket(polite) as fake, driving(probe_every_s=0.01, probe_timeout_s=0.2) as driver:
        await spoken(driver, request(fake), "One.")
        await asyncio.sleep(0.5)  # real time: fifty probes, or one that was not answered
        assert driver.idle_sockets == 1


# Cancelling.


async def cancelled_after_first_audio(driver: WsDriver, wanted: DialogueRequest) -> None:
    async with driver.converse(wanted, Timings()) as conversation:
        await conversation.give("A long story.")
        await conversation.end_text()
        async for _ in conversation:
            return


async def test_late_audio_of_a_cancelled_turn_never_reaches_the_next() -> None:
    stale = b"\x11\x22" * 2000

    async def scene(link: Link) -> None:
        await a_beginning(link)
        await link.audio(stale)
        await link.heard("cancel")
        await link.audio(stale)
        await link.say(type="over")
        await link.audio(stale)
        await turn(link)

    async with FakeSocket(scene) as fake, driving() as driver:
        await cancelled_after_first_audio(driver, request(fake))
        await until(lambda: driver.idle_sockets == 1)
        assert await spoken(driver, request(fake), "Next.") == CLIP
        assert len(fake.links) == 1, "a confirmed cancel keeps the socket"


@pytest.mark.parametrize("fault", ["silence", "more audio", "error", "cut"])
async def test_a_cancel_that_is_not_confirmed_closes_the_socket(fault: str) -> None:
    async def scene(link: Link) -> None:
        await a_beginning(link)
        await link.audio(CLIP)
        await link.heard("cancel")
        match fault:
            case "more audio":
                while True:
                    await link.audio(CLIP)
            case "error":
                await link.say(type="error")
            case "cut":
                link.cut()
        await link.stall()

    async with FakeSocket(scene, polite) as fake, driving(confirm_timeout_s=0.1, close_timeout_s=0.2) as driver:
        await cancelled_after_first_audio(driver, request(fake))
        assert await spoken(driver, request(fake), "Next.") == CLIP
        async with asyncio.timeout(5):
            await fake.links[0].left.wait()
        assert len(fake.links) == 2


async def test_where_nothing_can_be_cancelled_the_socket_goes() -> None:
    async with FakeSocket(polite) as fake, driving() as driver:
        async with driver.converse(request(fake, toy=Toy(cancels=False)), Timings()) as conversation:
            await conversation.give("Never mind.")
        async with asyncio.timeout(5):
            await (await fake.link(0)).left.wait()
        assert driver.idle_sockets == 0


@each("steps", range(0, 60, 3))
async def test_a_cancel_at_any_instant_leaves_nothing(steps: int) -> None:
    """Whatever is awaited after `steps` turns of the loop; `driving` looks for tasks, the fake for its connections."""

    async def talk(driver: WsDriver, fake: FakeSocket) -> None:
        for _ in range(3):
            await spoken(driver, request(fake), "One.", "Two.")

    async with FakeSocket(polite) as fake:
        async with driving(confirm_timeout_s=0.2) as driver:
            task = asyncio.create_task(talk(driver, fake))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        async with asyncio.timeout(5):
            for link in fake.links:
                await link.left.wait()


# Faults.


async def failure(driver: WsDriver, wanted: DialogueRequest, *texts: str) -> tuple[bytes, ProviderError]:
    """The good audio before an error, and the error."""
    audio = bytearray()
    with pytest.raises(ProviderError) as caught:
        async with driver.converse(wanted, Timings()) as conversation:
            for text in texts or ("Hello.",):
                await conversation.give(text)
            await conversation.end_text()
            async for piece in conversation:
                assert isinstance(piece, bytes)
                audio += piece
    error = caught.value
    assert error.provider.name == "toy"
    assert SECRET not in f"{error.message} {error.provider} {error.__cause__!r}"
    return bytes(audio), error


async def a_beginning(link: Link) -> None:
    await link.heard("hello")
    await link.say(type="ready")
    await link.heard("begin")
    await link.say(type="begun")


async def a_start(link: Link) -> None:
    await a_beginning(link)
    await link.heard("end")
    await link.audio(CLIP)


@pytest.mark.parametrize(
    ("code", "says"),
    [(None, "1006, no closing handshake"), (1000, "1000, normal end"), (1011, "1011"), (4429, "4429, a code of its")],
)
async def test_a_socket_lost_mid_turn_is_a_cut_after_the_good_audio(code: int | None, says: str) -> None:
    async def scene(link: Link) -> None:
        await a_start(link)
        if code is None:
            link._connection.transport.close()
        else:
            await link.close(code, SECRET)

    async with FakeSocket(scene, polite) as fake, driving() as driver:
        audio, error = await failure(driver, request(fake))
        assert audio == CLIP
        assert (error.code, error.retryable) == (Code.PROVIDER_CUT, True)
        assert says in error.message
        assert driver.idle_sockets == 0
        assert await spoken(driver, request(fake), "Again.") == CLIP


async def test_an_error_of_the_dialogue_ends_the_turn_and_the_socket() -> None:
    async def scene(link: Link) -> None:
        await a_start(link)
        await link.say(type="error")

    async with FakeSocket(scene) as fake, driving() as driver:
        audio, error = await failure(driver, request(fake))
        assert (audio, error.message) == (CLIP, "toy: no")
        await fake.links[0].left.wait()
        assert driver.idle_sockets == 0


async def test_after_an_error_nothing_is_reused_even_if_the_provider_would() -> None:
    async def scene(link: Link) -> None:
        await a_start(link)
        await link.say(type="error")
        while "cancel" not in link.kinds:
            await link.next_told()
        await link.say(type="over")

    async with FakeSocket(scene, polite) as fake, driving() as driver:
        await failure(driver, request(fake))
        async with asyncio.timeout(5):
            await fake.links[0].left.wait()
        assert "cancel" not in fake.links[0].kinds
        assert await spoken(driver, request(fake), "Again.") == CLIP
        assert len(fake.links) == 2


async def test_text_for_a_socket_that_is_gone_is_no_error_before_the_good_audio() -> None:
    async def scene(link: Link) -> None:
        await a_beginning(link)
        await link.audio(CLIP)
        link._connection.transport.close()

    async with FakeSocket(scene) as fake, driving() as driver:
        audio = bytearray()
        async with driver.converse(request(fake), Timings()) as conversation:
            lost = conversation._socket._websocket._reader.is_eof
            await until(lost)
            for _ in range(3):
                await conversation.give("Anybody there? ")
            await conversation.end_text()
            with pytest.raises(ProviderError, match="1006") as caught:
                async for piece in conversation:
                    assert isinstance(piece, bytes)
                    audio += piece
        assert (bytes(audio), caught.value.code) == (CLIP, Code.PROVIDER_CUT)


async def test_a_providers_pings_are_answered() -> None:
    async def scene(link: Link) -> None:
        await link.heard("hello")
        await (await link._connection.ping())
        await link.say(type="ready")
        await link.heard("begin")
        await link.say(type="begun")
        await link.heard("end")
        await (await link._connection.ping())
        await link.audio(CLIP)
        await link.say(type="over")

    async with FakeSocket(scene) as fake, driving() as driver:
        assert await spoken(driver, request(fake), "One.") == CLIP


async def test_a_turn_that_the_provider_ends_before_its_text_is_cut() -> None:
    async def scene(link: Link) -> None:
        await link.heard("hello")
        await link.say(type="ready")
        await link.heard("begin")
        await link.say(type="over")

    async with FakeSocket(scene) as fake, driving() as driver:
        with pytest.raises(ProviderError, match="before its text did") as caught:
            async with driver.converse(request(fake), Timings()) as conversation:
                await conversation.give("Half a ")
                async for _ in conversation:
                    pass
        assert caught.value.code is Code.PROVIDER_CUT
        assert driver.idle_sockets == 0


async def test_silence_after_the_text_is_a_stall_before_and_after_the_first_audio() -> None:
    async def before(link: Link) -> None:
        await link.heard("hello")
        await link.say(type="ready")
        await link.stall()

    async def after(link: Link) -> None:
        await a_start(link)
        await link.stall()

    async with FakeSocket(before, after) as fake:
        async with driving(first_audio_timeout_s=0.05, stall_timeout_s=0.1) as driver:
            audio, error = await failure(driver, request(fake))
            assert (audio, error.code) == (b"", Code.PROVIDER_TIMEOUT)
            assert "sent no audio within 0.05 s" in error.message
            audio, error = await failure(driver, request(fake))
            assert (audio, error.code) == (CLIP, Code.PROVIDER_TIMEOUT)
            assert "sent nothing for 0.1 s" in error.message


async def test_silence_after_a_flush_is_a_stall_although_text_may_still_come() -> None:
    async def scene(link: Link) -> None:
        await link.heard("hello")
        await link.say(type="ready")
        await link.stall()

    async with FakeSocket(scene) as fake, driving(first_audio_timeout_s=0.05) as driver:
        with pytest.raises(ProviderError, match=r"within 0\.05 s"):
            async with driver.converse(request(fake), Timings()) as conversation:
                reading = asyncio.create_task(first_of(conversation))
                await asyncio.sleep(0)
                await conversation.give("Say something.")
                await conversation.flush()
                await reading


async def test_while_text_may_come_the_provider_may_be_silent_and_hears_that_we_are_there() -> None:
    """The open text outlasts every timeout, and the provider's own idle close twice over."""

    async def scene(link: Link) -> None:
        await a_beginning(link)
        await link.heard("flush")
        await link.audio(CLIP)
        for _ in range(4):
            await link.heard("still here")
        await link.say(type="word", text="go")
        await link.heard("end")
        await link.audio(CLIP)
        await link.say(type="over")

    async with FakeSocket(scene) as fake, driving(first_audio_timeout_s=0.05, stall_timeout_s=0.05) as driver:
        async with driver.converse(request(fake, idle_close_s=0.1), Timings()) as conversation:
            pieces = aiter(conversation)
            await conversation.give("Well, ")
            await conversation.flush()
            assert await anext(pieces) == CLIP
            assert isinstance(await anext(pieces), WordTime)
            await conversation.end_text()
            assert [piece async for piece in pieces] == [CLIP]
        assert 4 <= fake.links[0].kinds.count("still here") <= 6, "each after half the time"


async def test_a_listener_that_holds_us_back_is_no_stall_and_stops_the_provider() -> None:
    async def scene(link: Link) -> None:
        await a_beginning(link)
        for _ in range(400):
            await link.audio(CLIP)
        await link.heard("end")
        await link.say(type="over")

    async with FakeSocket(scene) as fake, driving(stall_timeout_s=0.2) as driver:
        async with driver.converse(request(fake), Timings()) as conversation:
            await conversation.give("Much.")
            await conversation.end_text()
            pieces = aiter(conversation)
            audio = bytearray(await anext(pieces))  # type: ignore[arg-type]
            sent = -1
            while sent != fake.links[0].sent_bytes:
                sent = fake.links[0].sent_bytes
                await asyncio.sleep(0.1)  # real time: until the provider stands still
            assert sent < 800_000, "aiohttp's queue, one message, and the kernels' buffers"
            async for piece in pieces:
                assert isinstance(piece, bytes)
                audio += piece
        assert bytes(audio) == CLIP * 400


async def test_a_provider_that_does_not_read_makes_us_wait_and_then_fail() -> None:
    async def scene(link: Link) -> None:
        await link.heard("hello")
        await link.say(type="ready")
        link.stop_reading()
        await link.stall()

    async with FakeSocket(scene) as fake, driving(write_timeout_s=0.1, close_timeout_s=0.1) as driver:
        given = 0
        with pytest.raises(ProviderError, match=r"did not read for 0\.1 s") as caught:
            async with driver.converse(request(fake), Timings()) as conversation:
                while given < 1000:
                    await conversation.give("x" * 10_000)
                    given += 1
        assert caught.value.code is Code.PROVIDER_TIMEOUT
        assert given < 100, "less than a megabyte is held"


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (401, Code.PROVIDER_AUTH, False),
        (403, Code.PROVIDER_AUTH, False),
        (404, Code.PROVIDER_REJECTED, False),
        (429, Code.PROVIDER_RATE_LIMITED, True),
        (500, Code.PROVIDER_UNAVAILABLE, True),
        (503, Code.PROVIDER_UNAVAILABLE, True),
        (307, Code.PROVIDER_UNAVAILABLE, False),
        (200, Code.BAD_AUDIO, False),
    ],
)
async def test_a_refused_handshake_is_the_providers_own_error(status: int, code: Code, retryable: bool) -> None:
    elsewhere = {"Location": "http://127.0.0.1:9/", "Retry-After": "3"}
    async with FakeSocket(Refuse(status=status, headers=elsewhere, body=b"No, " + SECRET.encode())) as fake:
        async with driving() as driver:
            _, error = await failure(driver, request(fake))
        assert len(fake.paths) == 1, "not followed, not retried"
    assert (error.code, error.retryable, error.retry_after_s) == (code, retryable, 3.0)
    assert (error.provider.status, error.provider.message) == (status, "No, [redacted]")


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ("silence", Code.PROVIDER_TIMEOUT, "did not greet within 0.1 s"),
        ("cut", Code.PROVIDER_UNAVAILABLE, "before it greeted: 1006"),
        ("1008", Code.PROVIDER_REJECTED, "before it greeted: 1008, policy"),
        ("1013", Code.PROVIDER_UNAVAILABLE, "before it greeted: 1013, try again later"),
        ("error", Code.PROVIDER_REJECTED, "toy: no"),
    ],
)
async def test_a_greeting_that_does_not_come(fault: str, code: Code, says: str) -> None:
    async def scene(link: Link) -> None:
        await link.heard("hello")
        match fault:
            case "cut":
                link.cut()
            case "error":
                await link.say(type="error")
            case "silence":
                await link.stall()
            case number:
                await link.close(int(number), SECRET)

    async with FakeSocket(scene) as fake, driving(greeting_timeout_s=0.1) as driver:
        _, error = await failure(driver, request(fake))
        assert error.code is code
        assert says in error.message
        async with asyncio.timeout(5):
            await fake.links[0].left.wait()


async def test_nobody_listens() -> None:
    async with FakeSocket(polite) as fake:
        pass
    async with driving() as driver:
        _, error = await failure(driver, request(fake))
    assert (error.code, error.retryable) == (Code.PROVIDER_UNAVAILABLE, True)


async def test_a_connection_that_is_not_answered() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    address = SocketAddress(url=f"ws://127.0.0.1:{port}/?token={SECRET}")
    async with server, FakeSocket(polite) as fake, driving(connect_timeout_s=0.1) as driver:
        _, error = await failure(driver, request(fake, connect=lambda _: address))
    assert error.code is Code.PROVIDER_UNAVAILABLE
    assert f"toy (127.0.0.1:{port}) did not take a connection within 0.1 s" in error.message


async def test_a_subprotocol_that_is_not_spoken() -> None:
    async with FakeSocket(polite, subprotocol="toy-v2") as fake, driving() as driver:
        address = SocketAddress(url=fake.url, subprotocols=("toy-v1", SECRET))
        _, error = await failure(driver, request(fake, connect=lambda _: address))
        assert (error.code, error.retryable) == (Code.PROVIDER_UNAVAILABLE, False)
        assert "does not speak toy-v1" in error.message
        address = SocketAddress(url=fake.url, subprotocols=("toy-v2", SECRET))
        assert await spoken(driver, request(fake, connect=lambda _: address), "One.") == CLIP
        assert fake.links[-1].subprotocol == "toy-v2"


async def test_a_message_too_long_is_not_taken() -> None:
    async def scene(link: Link) -> None:
        await a_start(link)
        await link.audio(bytes(len(CLIP) + 2))
        await link.stall()

    async with FakeSocket(scene) as fake, driving(message_bytes=len(CLIP) + 1) as driver:
        audio, error = await failure(driver, request(fake))
        assert (audio, error.code) == (CLIP, Code.PROVIDER_CUT)
        assert "broke the WebSocket protocol before the turn's end: 1009, message too big" in error.message


@pytest.mark.parametrize("name", ["connect_timeout_s", "idle_per_key", "message_bytes"])
def test_settings_are_born_valid(name: str) -> None:
    wrong: tuple[Any, ...] = (0, -1, float("inf"), float("nan"))
    for value in wrong:
        with pytest.raises(ValueError, match=name):
            WsSettings(**{name: value})
