"""Speech as it comes out of real worker processes, judged by measurement; and the parts of the worker that are pure.

The library's output varies by a few samples from call to call, so nothing here compares samples.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray

from relay.core.text.spoken import Phonemes
from relay.core.timings import Timings
from relay.drivers.local.driver import LocalDriver
from relay.errors import Code, ProviderError
from relay.providers.base.http import Piece, WordTime
from relay.providers.base.provider import LocalRequest, ProviderSettings, SpeechRequest
from relay.providers.espeak.provider import LANGUAGES, WORKER_MODULE, Espeak

SENTENCE = "The quick brown fox jumps over the lazy dog."
PROVIDER = Espeak(ProviderSettings())

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def driver() -> AsyncIterator[LocalDriver]:
    async with LocalDriver([WORKER_MODULE]) as driver:
        yield driver


class Speech:
    """What came back for one segment."""

    def __init__(self, pieces: list[Piece], rate_hz: int) -> None:
        self.pieces = pieces
        self.rate_hz = rate_hz
        self.words = [piece for piece in pieces if isinstance(piece, WordTime)]
        pcm = b"".join(piece for piece in pieces if isinstance(piece, bytes))
        self.samples: NDArray[np.float64] = np.frombuffer(pcm, "<i2").astype(np.float64)

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate_hz

    @property
    def rms(self) -> float:
        return float(np.sqrt(np.mean(self.samples**2)))

    @property
    def f0_hz(self) -> float:
        """Median pitch of the voiced parts; see `voiced_hz`."""
        return float(np.median(self.voiced_hz()))

    def voiced_hz(self) -> list[float]:
        """The pitch of each 50 ms that has one: the autocorrelation of what lies below 500 Hz has a clear peak."""
        size = self.rate_hz * 50 // 1000
        shortest, longest = self.rate_hz // 400, self.rate_hz // 50
        spectrum = np.fft.rfft(self.samples)
        spectrum[np.fft.rfftfreq(len(self.samples), 1 / self.rate_hz) > 500] = 0
        low = np.fft.irfft(spectrum, len(self.samples))
        pitches = []
        for start in range(0, len(low) - size, size // 2):
            window = low[start : start + size]
            correlation = np.correlate(window, window, "full")[size - 1 :]
            # What overlaps less at longer lags is made up for.
            correlation *= size / (size - np.arange(size))
            lag = shortest + int(np.argmax(correlation[shortest:longest]))
            if correlation[0] > size * 1e4 and correlation[lag] > 0.8 * correlation[0]:
                pitches.append(self.rate_hz / lag)
        return pitches

    def band(self, low_hz: float, high_hz: float) -> float:
        """The part of the energy that lies in a band of frequencies."""
        energy = np.abs(np.fft.rfft(self.samples)) ** 2
        frequencies_hz = np.fft.rfftfreq(len(self.samples), 1 / self.rate_hz)
        return float(energy[(frequencies_hz >= low_hz) & (frequencies_hz < high_hz)].sum() / energy.sum())


async def speak(
    driver: LocalDriver, text: str = SENTENCE, *, phonemes: tuple[Phonemes, ...] = (), **wanted: Any
) -> Speech:
    request = PROVIDER.pronounce(PROVIDER.resolve(SpeechRequest(**wanted)), text, phonemes)
    async with driver.open(request, Timings()) as reply:
        pcm = reply.facts.source.pcm
        assert pcm is not None
        return Speech([piece async for piece in reply], pcm.sample_rate_hz)


async def refusal(driver: LocalDriver, **wanted: Any) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await speak(driver, **wanted)
    return caught.value


# ── speech ───────────────────────────────────────────────────────────────────


async def test_a_sentence_sounds_like_a_person(driver: LocalDriver) -> None:
    speech = await speak(driver)
    assert speech.rate_hz == 22050
    assert 2.0 < speech.duration_s < 4.0
    assert speech.rms > 1000
    assert np.abs(speech.samples).max() < 32767, "not clipped"
    assert 70 < speech.f0_hz < 160, "a man's voice"
    assert speech.band(80, 4000) > 0.9
    silent = np.abs(speech.samples) < 100
    assert np.argmin(silent) < 0.030 * speech.rate_hz, "it begins at once"


async def test_the_first_chunk_is_short_and_alone(driver: LocalDriver) -> None:
    first = (await speak(driver)).pieces[0]
    assert isinstance(first, bytes)
    assert len(first) == 1324 * 2, "60 ms, the library's smallest chunk"


async def test_the_rate_changes_how_long_it_takes(driver: LocalDriver) -> None:
    slow, usual, fast = [(await speak(driver, options={"rate": rate})).duration_s for rate in (80, 175, 450)]
    assert slow / usual == pytest.approx(175 / 80, rel=0.2)
    assert fast < usual / 2
    assert (await speak(driver)).duration_s == pytest.approx(usual, rel=0.01), "the next one is not changed"


async def test_pitch_range_volume_and_word_gap_do_what_they_say(driver: LocalDriver) -> None:
    usual = await speak(driver)
    assert (await speak(driver, options={"pitch": 99})).f0_hz > usual.f0_hz * 1.3
    assert (await speak(driver, options={"pitch": 0})).f0_hz < usual.f0_hz * 0.85
    assert (await speak(driver, options={"volume": 50})).rms == pytest.approx(usual.rms / 2, rel=0.1)
    assert not (await speak(driver, options={"volume": 0})).samples.any()
    gaps = await speak(driver, options={"word_gap": 50})
    assert gaps.duration_s == pytest.approx(usual.duration_s + 8 * 0.5, rel=0.15)
    monotone, lively = [await speak(driver, options={"range": value}) for value in (0, 100)]
    assert spread_of_pitch(lively) > 2 * spread_of_pitch(monotone)


def spread_of_pitch(speech: Speech) -> float:
    """How far the pitch of single words lies apart, in Hz."""
    spans = [
        speech.samples[round(word.start_s * speech.rate_hz) : round(word.end_s * speech.rate_hz)]
        for word in speech.words
    ]
    return float(np.std([Speech([span.astype("<i2").tobytes()], speech.rate_hz).f0_hz for span in spans]))


async def test_languages_and_variants_differ(driver: LocalDriver) -> None:
    text = "1 2 3 4 5 6 7"
    voices = ["en-us", "en-gb", "de", "fr", "cmn", "ru", "gmw/en-US+f3", "en-us+whisper"]
    spoken = {voice: await speak(driver, text, voice=voice) for voice in voices}
    lengths = {len(speech.samples) // 220 for speech in spoken.values()}
    assert len(lengths) >= 6, "to 10 ms, hardly two take the same time"
    assert spoken["gmw/en-US+f3"].f0_hz > spoken["en-us"].f0_hz * 1.3, "a woman's voice"
    # A whisper is noise, and a new one each time: of a short one half may by chance lie close together.
    steady, whisper = [await speak(driver, SENTENCE * 2, voice=voice) for voice in ("en-us", "en-us+whisper")]
    assert wavering_hz(whisper) > 3 * wavering_hz(steady), "no steady pitch"


def wavering_hz(speech: Speech) -> float:
    """The width of the middle half of its pitches."""
    low_hz, high_hz = np.percentile(speech.voiced_hz(), [25, 75])
    return float(high_hz - low_hz)


async def test_a_language_is_spoken_by_its_own_voice(driver: LocalDriver) -> None:
    by_language = await speak(driver, "1 2 3", language="de-AT")
    by_voice = await speak(driver, "1 2 3", voice="gmw/de")
    assert by_language.duration_s == pytest.approx(by_voice.duration_s, rel=0.01)


async def test_markup_is_spoken_as_it_is_written(driver: LocalDriver) -> None:
    plain = await speak(driver, "loud")
    for markup in ("<b>loud</b>", "&lt;loud", '<break time="5s"/>loud', "[[l'aUd]] loud"):
        assert (await speak(driver, markup)).duration_s > plain.duration_s + 0.3
    assert (await speak(driver, '<audio src="/etc/passwd"/>')).words[0].text.startswith("<audio")


async def test_a_word_is_said_as_its_ipa_says_and_nothing_else_is(driver: LocalDriver) -> None:
    ipa = "ˌɛksəkəˈluːmə"
    named = await speak(driver, "exacalooma now")
    for text in ("Bob now", '"Bob" now', "(Bob) now"):
        at = text.index("Bob")
        said = await speak(driver, text, phonemes=(Phonemes(at, at + 3, ipa),))
        assert [word.text for word in said.words] == ["Bob", "now"]
        assert said.words[0].end_s - said.words[0].start_s == pytest.approx(named.words[0].end_s, rel=0.3)
    written = await speak(driver, "Bob now")
    for unusable in ("漢字", "b]] [[a", "a" * 401):
        said = await speak(driver, "Bob now", phonemes=(Phonemes(0, 3, unusable),))
        assert said.duration_s == pytest.approx(written.duration_s, rel=0.01)
    # What the client wrote is spoken, not read as phonemes or markup.
    text = "Bob [[l'aUd]] <b> & [ [[ x"
    said = await speak(driver, text, phonemes=(Phonemes(0, 3, "bɒb"),))
    assert said.duration_s == pytest.approx((await speak(driver, text)).duration_s, rel=0.05)
    assert [word.text for word in said.words][:2] == ["Bob", "l'aUd"]
    assert (await speak(driver, "Bob now")).duration_s == pytest.approx(written.duration_s, rel=0.01), "and it is over"


@pytest.mark.parametrize("text", ["", " ", "...", "—", "\0", "\ud800", "\n\n", "\x1b[31m", "\u202e\u200b"])
async def test_text_with_nothing_to_say_is_no_error(driver: LocalDriver, text: str) -> None:
    speech = await speak(driver, text)
    assert 0 < speech.duration_s < 3


async def test_what_cannot_be_said_ends_nothing(driver: LocalDriver) -> None:
    assert [word.text for word in (await speak(driver, "one\0two \ud800 three")).words] == ["one", "two", "three"]


async def test_a_clause_end_brings_its_pause(driver: LocalDriver) -> None:
    assert (await speak(driver, "Hello there.")).duration_s - (await speak(driver, "Hello there")).duration_s > 0.2


# ── words ────────────────────────────────────────────────────────────────────


async def test_words_are_timed_to_the_end_of_the_audio(driver: LocalDriver) -> None:
    speech = await speak(driver, "Hello, dear naïve 😀 world: it's 10:30.")
    assert [word.text for word in speech.words] == ["Hello", "dear", "naïve", "😀", "world", "it's", "10:30"]
    assert speech.words[0].start_s == 0
    assert speech.words[-1].end_s == pytest.approx(speech.duration_s, abs=1e-9)
    for word, following in zip(speech.words, speech.words[1:], strict=False):
        assert word.start_s < word.end_s == following.start_s
    loudness = [
        np.abs(speech.samples[round(word.start_s * 22050) : round(word.end_s * 22050)]).mean() for word in speech.words
    ]
    assert min(loudness) > 300, "something is said in each of them"


async def test_a_words_time_comes_before_its_audio_but_for_the_first_chunk(driver: LocalDriver) -> None:
    speech = await speak(driver, "Hello, this is a test of times, 1234567890, and of the end.")
    came_s, first_chunk_s = 0.0, None
    for piece in speech.pieces:
        if isinstance(piece, bytes):
            came_s += len(piece) / 2 / speech.rate_hz
            first_chunk_s = first_chunk_s or came_s
        else:
            assert first_chunk_s is not None, "audio first"
            assert piece.start_s < first_chunk_s or piece.start_s >= came_s - 1e-9


# ── voices ───────────────────────────────────────────────────────────────────


async def test_every_listed_voice_speaks_and_the_languages_are_theirs(driver: LocalDriver) -> None:
    query = PROVIDER.voices()
    assert isinstance(query.request, LocalRequest)
    async with driver.open(query.request, Timings()) as reply:
        body = b"".join([piece async for piece in reply if isinstance(piece, bytes)])
    voices, more = query.parse(body)
    assert more is None
    assert len(voices) > 100
    american = next(voice for voice in voices if voice.id == "gmw/en-US")
    assert (american.name, american.languages, american.gender) == ("English (America)", ("en-us", "en"), "male")
    # Some have no words for digits, and Japanese hardly any for Latin letters: each is given all of them.
    spoken = await asyncio.gather(*(speak(driver, "a 2 あ", voice=voice.id) for voice in voices))
    assert min(speech.rms for speech in spoken) > 300
    tags = {tag.lower() for voice in voices for tag in voice.languages}
    assert tags <= set(LANGUAGES)
    assert set(LANGUAGES) - tags == {"chr"}, "a language that the library knows by a longer tag only"
    await asyncio.gather(*(speak(driver, "1", language=language) for language in LANGUAGES))


@pytest.mark.parametrize("voice", ["alloy", "en-zz", "gmw", "../../../etc/passwd", "!v/f3", "+f3", "mb/mb-en1"])
async def test_an_unknown_voice_is_named_and_where_to_look(driver: LocalDriver, voice: str) -> None:
    error = await refusal(driver, voice=voice)
    assert error.code is Code.VOICE_NOT_FOUND
    assert "relay voices" in error.message
    assert error.provider.name == "espeak"
    assert f"voice {voice.partition('+')[0]!r}" in error.message or f"voice {voice!r}" in error.message


@pytest.mark.parametrize("variant", ["zzz", "", "../f3", "f3+f4"])
async def test_an_unknown_variant_is_not_ignored(driver: LocalDriver, variant: str) -> None:
    error = await refusal(driver, voice=f"en-us+{variant}")
    assert error.code is Code.VOICE_NOT_FOUND
    assert f"variant {variant!r}" in error.message


# ── as a process ─────────────────────────────────────────────────────────────


async def test_eight_at_once_finish_whole(driver: LocalDriver) -> None:
    alone = await speak(driver)
    for speech in await asyncio.gather(*(speak(driver) for _ in range(8))):
        assert speech.duration_s == pytest.approx(alone.duration_s, rel=0.01)
        assert [word.text for word in speech.words] == [word.text for word in alone.words]


async def test_leaving_in_the_middle_spoils_nothing_for_the_next(driver: LocalDriver) -> None:
    usual = await speak(driver)
    request = PROVIDER.request(PROVIDER.resolve(SpeechRequest(options={"rate": 80})), f"{SENTENCE} " * 4)
    for _ in range(5):
        async with driver.open(request, Timings()) as reply:
            assert isinstance(await anext(aiter(reply)), bytes)
        speech = await speak(driver)
        assert speech.duration_s == pytest.approx(usual.duration_s, rel=0.01)
        assert [word.text for word in speech.words] == [word.text for word in usual.words]


async def test_a_crash_of_the_library_costs_no_request(driver: LocalDriver) -> None:
    (pool,) = driver._pools.values()
    before = {process.pid for process in pool._processes}
    for pid in before:
        assert pid is not None
        os.kill(pid, signal.SIGSEGV)
    for speech in await asyncio.gather(*(speak(driver) for _ in range(4))):
        assert speech.rms > 1000
    assert not before & {process.pid for process in pool._processes}


async def test_without_the_extra_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "espeakng_loader.py").write_text("raise ImportError('not here')")
    monkeypatch.syspath_prepend(tmp_path)
    async with LocalDriver(workers=1) as without:
        error = await refusal(without)
    assert error.code is Code.PROVIDER_UNAVAILABLE
    assert "pip install 'speech-relay[espeak]'" in error.message


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        ("get_library_path = lambda: '/nowhere.so'\nget_data_path = lambda: '/'", "does not load: /nowhere.so"),
        ("from real import get_library_path\nget_data_path = lambda: '/nowhere'", "its data in /nowhere"),
    ],
)
async def test_a_broken_library_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: str, message: str
) -> None:
    import espeakng_loader

    (tmp_path / "real.py").write_text(f"get_library_path = lambda: {espeakng_loader.get_library_path()!r}")
    (tmp_path / "espeakng_loader.py").write_text(loader)
    monkeypatch.syspath_prepend(tmp_path)
    async with LocalDriver(workers=1) as broken:
        error = await refusal(broken)
    assert error.code is Code.PROVIDER_UNAVAILABLE
    assert message in error.message
