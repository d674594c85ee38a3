"""Speech as it comes out of a real worker process, compared with what the library makes when it is called itself."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from relay.core.text.spoken import Phonemes
from relay.core.timings import Timings
from relay.drivers.local.driver import LocalDriver
from relay.errors import Code, ProviderError
from relay.providers.base.http import WordTime
from relay.providers.base.provider import ProviderSettings, SpeechRequest
from relay.providers.hibari import sound
from relay.providers.hibari.provider import PROCESSES, WORKER_MODULE, Hibari

hibari = pytest.importorskip("hibari", reason="the extra [voice] is not installed")
pytestmark = pytest.mark.asyncio(loop_scope="module")

PROVIDER = Hibari(ProviderSettings())
SENTENCE = "Thank you for calling us."


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def driver() -> AsyncIterator[LocalDriver]:
    async with LocalDriver() as driver:
        driver.warm(WORKER_MODULE, processes=PROCESSES)
        yield driver


async def spoken(driver: LocalDriver, text: str, **options: float) -> tuple[bytes, list[WordTime]]:
    request = PROVIDER.request(PROVIDER.resolve(SpeechRequest(options=options)), text)
    async with driver.open(request, Timings()) as reply:
        pieces = [piece async for piece in reply]
    audio = b"".join(piece for piece in pieces if isinstance(piece, bytes))
    return audio, [piece for piece in pieces if isinstance(piece, WordTime)]


async def test_the_samples_are_the_librarys_own_trimmed_and_raised(driver: LocalDriver) -> None:
    audio, _ = await spoken(driver, SENTENCE)
    own = hibari.Hibari()(SENTENCE, seed=0)
    trimmed, _ = sound.trimmed(own * sound.GAIN, 24000, tail_ms=sound.SENTENCE_END_MS)
    assert audio == sound.s16(trimmed)
    again, _ = await spoken(driver, SENTENCE)
    assert again == audio


async def test_a_word_is_said_as_its_ipa_says_and_nothing_else_is(driver: LocalDriver) -> None:
    async def said(text: str, *phonemes: Phonemes) -> tuple[bytes, list[WordTime]]:
        request = PROVIDER.pronounce(PROVIDER.resolve(SpeechRequest()), text, phonemes)
        async with driver.open(request, Timings()) as reply:
            pieces = [piece async for piece in reply]
        return b"".join(piece for piece in pieces if isinstance(piece, bytes)), [
            piece for piece in pieces if isinstance(piece, WordTime)
        ]

    plain, _ = await said("Bob is here.")
    named, words = await said("Bob is here.", Phonemes(0, 3, "ɛksəkəˈluːmə"))
    assert [word.text for word in words] == ["Bob", "is", "here"]
    assert len(named) > len(plain) + 0.3 * 48000
    for unusable in ("漢字", "b](/a/)", "a" * 401):
        assert (await said("Bob is here.", Phonemes(0, 3, unusable)))[0] == plain
    written, words = await said("Bob [is](/x/) here.", Phonemes(0, 3, "bɑb"))
    assert len(written) > len(plain), "what the client wrote is spoken, not read as phonemes"


async def test_each_word_has_its_time_within_the_audio_and_before_it(driver: LocalDriver) -> None:
    text = "Thank you, Dr. Smith: it costs $9.99 at 7:30 pm. Bye!"
    audio, words = await spoken(driver, text)
    assert [word.text for word in words] == [
        "Thank",
        "you",
        "Dr",
        "Smith",
        "it",
        "costs",
        "$9.99",
        "at",
        "7:30 pm",
        "Bye",
    ]
    duration_s = len(audio) / 2 / 24000
    ends = [0.0]
    for word in words:
        assert ends[-1] <= word.start_s < word.end_s <= duration_s
        ends.append(word.end_s)
    # The last sentence begins behind the pause after the first: its word is where there is sound.
    samples = np.frombuffer(audio, "<i2").astype(float)
    bye = samples[int(words[-1].start_s * 24000) : int(words[-1].end_s * 24000)]
    assert np.sqrt(np.mean(bye**2)) > 1000


async def test_speed_changes_the_length(driver: LocalDriver) -> None:
    lengths = [len((await spoken(driver, SENTENCE, speed=speed))[0]) for speed in (0.5, 1.0, 2.0)]
    assert lengths[0] > 1.5 * lengths[1] > 2 * lengths[2]


async def test_what_it_cannot_read_is_an_error_that_says_so_and_costs_no_worker(driver: LocalDriver) -> None:
    with pytest.raises(ProviderError, match="Hiragana") as caught:
        await spoken(driver, "Say こんにちは.")
    assert caught.value.code is Code.PROVIDER_REJECTED
    assert "Say" not in caught.value.message
    with pytest.raises(ProviderError, match="no English word"):
        await spoken(driver, "Say ʘʘʘ.")
    silence, words = await spoken(driver, "…")
    assert (silence, words) == (bytes(2 * 24 * sound.SENTENCE_END_MS), [])
    assert (await spoken(driver, "🙂"))[1][0].text == "🙂"


async def test_many_at_once_are_each_whole(driver: LocalDriver) -> None:
    alone, _ = await spoken(driver, SENTENCE)
    together = await asyncio.gather(*(spoken(driver, SENTENCE) for _ in range(8)))
    assert [audio for audio, _ in together] == [alone] * 8


async def test_user_text_is_never_markup(driver: LocalDriver) -> None:
    """`[word](/phonemes/)` would make the library say the phonemes in place of the word."""
    marked, _ = await spoken(driver, "[Hello and welcome](/good/)")
    assert len(marked) > len((await spoken(driver, "Hello and welcome"))[0])
