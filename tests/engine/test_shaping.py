"""Louder or softer, and leading silence trimmed, within a turn: the samples, and where its events stand."""

import asyncio
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.codecs.base import Block
from relay.codecs.gain import Gain
from relay.codecs.onset import OnsetDetector
from relay.codecs.silence import LeadingSilenceTrimmer
from relay.core.events import FlushDone, SegmentStarted, WordsTimed
from relay.engine.audio import TurnAudio
from relay.errors import ClientError, Code
from relay.providers.base.http import WordTime
from relay.testing.audio import speech_like
from tests.engine.fakes import FakeDriver, FakeProvider, FakeReply
from tests.engine.stage import Heard, listen, one_shot, settings, spoken

RATE_HZ = 24000
CLIP = speech_like(0.1)
SENTENCES = [f"This is sentence number {number}, long enough. " for number in range(3)]


def silence(ms: int) -> bytes:
    return bytes(2 * RATE_HZ * ms // 1000)


def block(pcm: bytes) -> Block:
    return Block(np.frombuffer(pcm, np.int16), RATE_HZ)


def trimmed(pcm: bytes, most_ms: float) -> bytes:
    trimmer = LeadingSilenceTrimmer(most_ms, RATE_HZ)
    blocks = [*trimmer.feed(block(pcm)), *trimmer.flush()]
    return b"".join(each.samples.tobytes() for each in blocks)


def pieces_of(pcm: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({0, *(2 * cut for cut in cuts if 2 * cut < len(pcm)), len(pcm)})
    return [pcm[begin:end] for begin, end in pairwise(at)]


def shaped(pieces: list[Any], **audio: Any) -> Heard:
    of = settings(FakeDriver(lambda _: FakeReply(pieces)), FakeProvider(), tail="short", **audio)
    return asyncio.run(spoken(of, SENTENCES[0]))


CUTS = st.lists(st.integers(1, 12_000), max_size=8)


@given(CUTS, st.integers(0, 300), st.sampled_from([0, 7.5, 50, 2000]))
def test_silence_is_trimmed_to_the_sample_however_the_audio_is_cut(cuts: list[int], ms: int, most_ms: float) -> None:
    pcm = silence(ms) + CLIP
    heard = shaped(pieces_of(pcm, cuts), max_leading_silence_ms=most_ms)
    assert heard.audio == trimmed(pcm, most_ms)
    left_ms = heard.record.timings.leading_silence_ms
    assert left_ms is not None
    onset = OnsetDetector()
    onset.feed(block(heard.audio))
    assert left_ms == pytest.approx(onset.leading_silence_ms)


@given(CUTS, st.floats(-60, 30))
def test_a_gain_is_the_same_however_the_audio_is_cut(cuts: list[int], gain_db: float) -> None:
    heard = shaped(pieces_of(CLIP, cuts), gain_db=gain_db, encoding="pcm_f32le")
    whole = Gain(gain_db, RATE_HZ).feed(block(CLIP))[0].samples
    if gain_db:
        assert heard.audio == whole.astype(np.float32).tobytes()
    assert len(heard.audio) == 2 * len(CLIP)


def test_the_gain_comes_after_the_trimming() -> None:
    pcm = silence(100) + CLIP
    heard = shaped([pcm], max_leading_silence_ms=20, gain_db=-40, encoding="pcm_f32le")
    alone = shaped([trimmed(pcm, 20)], gain_db=-40, encoding="pcm_f32le")
    assert heard.audio == alone.audio


@given(CUTS)
def test_words_and_segments_are_as_much_earlier_as_was_trimmed(cuts: list[int]) -> None:
    words = [WordTime(text="This", start_s=0.0, end_s=0.05), WordTime(text="is", start_s=0.2, end_s=0.25)]

    async def main() -> Heard:
        replies = [FakeReply([words[0], *pieces_of(silence(200) + CLIP, cuts), words[1]]), FakeReply([words[0], CLIP])]
        driver = FakeDriver(lambda text: replies[0] if text == SENTENCES[0] else replies[1])
        return await spoken(
            settings(driver, FakeProvider(), tail="short", max_leading_silence_ms=50), SENTENCES[0] + SENTENCES[1]
        )

    heard = asyncio.run(main())
    left_out = (len(silence(200) + CLIP) + len(CLIP) - len(heard.audio)) // 2
    assert left_out == (len(silence(200) + CLIP) - len(trimmed(silence(200) + CLIP, 50))) // 2 > 0
    told = [item for item in heard.contents if isinstance(item, SegmentStarted)]
    assert [(each.text, each.start_sample) for each in told] == [
        (SENTENCES[0], 0),
        (SENTENCES[1], 7200 - left_out),
    ]
    timed = [word for item in heard.contents if isinstance(item, WordsTimed) for word in item.words]
    assert [(word.start_sample, word.end_sample) for word in timed] == [
        (0, max(0, 1200 - left_out)),
        (4800 - left_out, 6000 - left_out),
        (7200 - left_out, 8400 - left_out),
    ]
    assert heard.record.transcript.until(7200 - left_out) in (SENTENCES[0], "This is"), "what is told of a cancel"
    assert heard.record.transcript.until(7201 - left_out).startswith(SENTENCES[0])


async def test_segments_before_the_first_sound_are_told_where_they_are_heard() -> None:
    """A first segment that is nothing but silence."""
    driver = FakeDriver(lambda text: FakeReply([silence(100) if text == SENTENCES[0] else CLIP]))
    of = settings(driver, FakeProvider(), tail="short", max_leading_silence_ms=20)
    heard = await spoken(of, SENTENCES[0] + SENTENCES[1])
    assert heard.audio == trimmed(silence(100) + CLIP, 20)
    starts = [item.start_sample for item in heard.contents if isinstance(item, SegmentStarted)]
    assert starts == [0, 2400 - (len(silence(100) + CLIP) - len(heard.audio)) // 2]
    assert "".join(heard.texts) == SENTENCES[0] + SENTENCES[1]


async def test_a_flush_is_answered_though_no_sound_came() -> None:
    """The client waits for the answer before it says more; what is held is decided then."""
    driver = FakeDriver(lambda text: FakeReply([silence(100) if text == SENTENCES[0] else CLIP]))
    of = settings(driver, FakeProvider(), tail="short", max_leading_silence_ms=20)
    async with asyncio.timeout(10), one_shot(of) as turn:
        turn.append(SENTENCES[0])
        turn.flush()
        async with aclosing(turn.contents()) as contents:
            ends = [item.end_sample async for item in until_answered(contents) if isinstance(item, FlushDone)]
        assert ends == [480]
        turn.append(SENTENCES[1])
        turn.end_input()
        heard = await listen(turn)
        assert heard.audio == CLIP
        assert [each.start_sample for each in heard.contents if isinstance(each, SegmentStarted)] == [480]


async def until_answered(contents: Any) -> Any:
    async for item in contents:
        yield item
        if isinstance(item, FlushDone):
            return


def test_a_turn_that_is_never_audible_ends_as_what_is_left() -> None:
    assert shaped([silence(100)], max_leading_silence_ms=30).audio == silence(30)
    heard = shaped([silence(100)], max_leading_silence_ms=0)
    assert heard.audio == b"" and heard.texts == [SENTENCES[0]] and heard.error is None


def test_without_them_nothing_stands_on_the_way() -> None:
    of = settings(FakeDriver(lambda _: FakeReply([CLIP])), FakeProvider())
    audio = TurnAudio(of.audio.resolve(RATE_HZ), of.audio)
    assert [type(stage).__name__ for stage in audio._chain._stages] == ["Resampler", "SampleEncoder"]
    assert audio.feed([block(CLIP)]) == CLIP


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("gain_db", 30.1, "-60 to 30"),
        ("gain_db", float("nan"), "-60 to 30"),
        ("gain_db", True, "-60 to 30"),
        ("max_leading_silence_ms", -1, "0 to 2000"),
        ("fade_ms", 101, "0 to 100"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_its_name(name: str, value: Any, right: str) -> None:
    with pytest.raises(ClientError, match=f"audio.{name} is .*{right}") as caught:
        settings(FakeDriver(lambda _: FakeReply([CLIP])), FakeProvider(), **{name: value})
    assert caught.value.code is Code.INVALID_CONFIG
