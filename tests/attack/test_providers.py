"""Providers are not trusted: what they send at the wrong time, too slowly, for too long or in too many pieces."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from relay.core.timings import Timings
from relay.drivers.http.driver import HttpDriver, HttpSettings
from relay.engine.too_long import MOST_CHANGES, AudioBound, ReplyLength
from relay.engine.voice_lists import KEPT_S, VoiceLists
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base import faults
from relay.providers.base.provider import Voice
from tests.attack.wire import OK, provider, request


@asynccontextmanager
async def driver(**settings: float) -> AsyncIterator[HttpDriver]:
    made = HttpDriver(HttpSettings(retries=0, **settings))  # type: ignore[arg-type]
    await made.start()
    try:
        yield made
    finally:
        await made.close()


async def heard(by: HttpDriver, url: str) -> bytes | ProviderError:
    try:
        async with by.open(request(url), Timings()) as reply:
            return b"".join([piece async for piece in reply if isinstance(piece, bytes)])
    except ProviderError as error:
        return error


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_connection_on_which_anything_arrived_while_idle_is_not_used(run: Callable[..., None]) -> None:
    run(_stray())


async def _stray() -> None:
    arrives, written = asyncio.Event(), asyncio.Event()

    async def answer(writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(OK + bytes([number]) * 100)
        if number == 1:
            await writer.drain()
            await arrives.wait()
            writer.write(OK + b"X" * 100)
            written.set()

    async with provider(answer) as url, driver() as http:
        assert await heard(http, url) == b"\1" * 100
        arrives.set()
        await written.wait()  # as far as into the kernel; it may have been read, or not
        for number in range(2, 5):
            assert await heard(http, url) == bytes([number]) * 100


@pytest.mark.parametrize(
    ("head", "code", "said"),
    [
        (b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-9/20\r\nContent-Length: 10\r\n\r\n", Code.BAD_AUDIO, "206"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000, Code.PROVIDER_UNAVAILABLE, "not an HTTP reply"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 20_000, Code.PROVIDER_UNAVAILABLE, "not an HTTP reply"),
    ],
)
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_parts_and_floods_of_interim_answers_are_refused(
    run: Callable[..., None], head: bytes, code: Code, said: str
) -> None:
    run(_flood(head, code, said))


async def _flood(head: bytes, code: Code, said: str) -> None:
    async def answer(writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(head + bytes(10))

    async with provider(answer) as url, driver() as http:
        error = await heard(http, url)
        assert isinstance(error, ProviderError)
        assert error.code is code and said in error.message


async def test_a_few_interim_answers_are_none() -> None:
    async def answer(writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK + bytes(100))

    async with provider(answer) as url, driver() as http:
        assert await heard(http, url) == bytes(100)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_drip_is_a_stall(run: Callable[..., None]) -> None:
    run(_drip())


async def _drip() -> None:
    async def answer(writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(OK)
        while not writer.is_closing():
            writer.write(b"\1")
            await writer.drain()
            await asyncio.sleep(0.1)

    async with provider(answer) as url, driver(stall_timeout_s=0.6) as http:
        error = await heard(http, url)
    assert isinstance(error, ProviderError)
    assert error.code is Code.PROVIDER_TIMEOUT and "sent less than 45 bytes in 0.6 s" in error.message


def test_audio_is_no_longer_than_its_text_can_be() -> None:
    chars = 10
    length = ReplyLength("fake", AudioBound(base_s=5, s_per_char=1), lambda: chars)
    for _ in range(15):
        length.add(8000, 8000)
    chars = 12
    for _ in range(2):
        length.add(8000, 8000)
    with pytest.raises(ProviderError, match="more than 17 s of audio for 12 characters") as caught:
        length.add(1, 8000)
    assert caught.value.code is Code.BAD_AUDIO and not caught.value.retryable


def test_a_reply_may_change_its_rate_a_few_times() -> None:
    length = ReplyLength("fake", AudioBound(), lambda: 1000)
    for rate in range(MOST_CHANGES + 1):
        length.add(10, 8000 + rate)
        length.add(10, 8000 + rate)
    with pytest.raises(ProviderError, match="changes its sample rate more than 4 times"):
        length.add(10, 9000)


@pytest.mark.parametrize(
    "body",
    [
        b"[" + b"[]," * 5_000_000 + b"[]]",
        b'{"voices":[' + b'{"voice_id":"a"},' * 480_000 + b'{"voice_id":"b"}]}',
        b"[" * 200_000,
        b'{"a":' * 60_000,
        b"<title" * 10_000,
        b"<title>" * 9_000,
        b"<h1 " + b"h1 <h1" * 10_000,
    ],
    ids=["many lists", "many voices", "deep", "deep objects", "titles", "closed titles", "h1"],
)
def test_no_answer_is_worked_on_for_long(body: bytes) -> None:
    """CPU time, so that a busy machine does not matter; what it was took 0.6 to 4 s."""
    start_s = time.process_time()
    assert faults.json_object(body) == {}
    faults.body_words(body)
    assert time.process_time() - start_s < 0.25


def test_long_honest_json_is_read() -> None:
    voices = b'{"voices":[' + b",".join(b'{"voice_id":"%d","labels":{"a":"b"}}' % n for n in range(5000)) + b"]}"
    assert len(faults.json_object(voices)["voices"]) == 5000
    audio = b'{"audio":"' + b"A" * 14_000_000 + b'"}'
    assert len(faults.json_object(audio)["audio"]) == 14_000_000


async def test_a_list_of_voices_is_asked_for_once_a_minute() -> None:
    now_s, asked = 0.0, 0

    async def ask() -> list[Voice]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        if asked == 2:
            raise ProviderError(Code.PROVIDER_UNAVAILABLE, "away", provider=ProviderFault(name="fake"))
        return [Voice(id=str(asked), name="")]

    lists = VoiceLists(clock=lambda: now_s)
    first = await asyncio.gather(*(lists.of("fake", ask) for _ in range(50)))
    assert [voices[0].id for voices in first] == ["1"] * 50
    now_s = KEPT_S
    with pytest.raises(ProviderError):
        await lists.of("fake", ask)
    assert [voice.id for voice in await lists.of("fake", ask)] == ["3"]
