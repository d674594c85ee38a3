"""What is told of audio that is not as it should be: damage, and samples in another encoding than was promised."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relay.codecs.mp3_frames import FrameSplitter
from relay.core.events import TurnDone
from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.core.record import IMPLAUSIBLE
from relay.engine.turn import TurnSettings
from relay.errors import Code
from relay.providers.base.http import ReplyFacts
from relay.testing.audio import speech_like
from tests.engine.fakes import FakeDriver, FakeProvider, FakeReply
from tests.engine.stage import Heard, settings, spoken
from tests.test_metrics import ended

TEXT = "One sentence, long enough to be spoken. "
SPEECH = speech_like(2.0)
SWAPPED = np.frombuffer(SPEECH, "<i2").astype(">i2").tobytes()
BIG_ENDIAN = AudioFormat(encoding=Encoding.PCM_S16BE, sample_rate_hz=24000)
MP3 = (Path(__file__).parent.parent / "golden" / "mp3" / "bare_24k.mp3").read_bytes()
OF_MP3 = ReplyFacts(source=SourceFormat(container=Container.MP3))


def speaking(reply: bytes, *, shape: AudioFormat | None = None, mp3: bool = False) -> TurnSettings:
    def choose(_: str) -> FakeReply:
        return FakeReply([reply], OF_MP3, "audio/mpeg") if mp3 else FakeReply([reply])

    of = settings(FakeDriver(choose), FakeProvider(), tail="short")
    return replace(of, candidates=tuple(replace(each, shape=shape) for each in of.candidates))


def done(heard: Heard) -> TurnDone:
    assert heard.error is None
    return heard.record.done()


async def test_samples_that_sound_like_another_encoding_are_played_and_warned_of() -> None:
    heard = await spoken(speaking(SWAPPED), TEXT)
    assert heard.audio == SWAPPED
    assert done(heard).warnings == {IMPLAUSIBLE: 1}


async def test_good_audio_has_no_damage_and_no_warning() -> None:
    heard = await spoken(speaking(SPEECH), TEXT)
    assert (done(heard).damaged_ms, done(heard).warnings) == (0.0, {})


async def test_the_operators_shape_wins_over_what_the_reply_says() -> None:
    heard = await spoken(speaking(SWAPPED, shape=BIG_ENDIAN), TEXT)
    assert heard.audio == SPEECH
    assert done(heard).warnings == {}


def garbled(every: int) -> bytes:
    """MP3, one frame in `every` of which has a body of noise."""
    source = random.Random(3)
    frames = [frame.data for frame in FrameSplitter().feed(MP3)]
    return b"".join(
        data if index % every else data[:4] + source.randbytes(len(data) - 4) for index, data in enumerate(frames)
    )


async def test_a_little_damage_is_told_and_counted() -> None:
    heard = await spoken(speaking(garbled(20), mp3=True), TEXT)
    damaged_ms = done(heard).damaged_ms
    assert 0 < damaged_ms <= 4 * 24
    assert ended(heard.record)["relay_audio_damaged_seconds_total", ("fake",)] * 1000 == pytest.approx(damaged_ms)


async def test_too_much_damage_is_an_error_after_the_audio_and_counted_too() -> None:
    heard = await spoken(speaking(garbled(1), mp3=True), TEXT)
    assert heard.error is not None
    assert heard.error.code is Code.BAD_AUDIO
    assert heard.audio
    assert ended(heard.record)["relay_audio_damaged_seconds_total", ("fake",)] > 0.1
