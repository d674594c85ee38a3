"""The trimming of leading silence: exact about samples at every cut, and about what it holds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from relay.codecs.base import Block, Samples
from relay.codecs.onset import OnsetDetector
from relay.codecs.silence import MAX_LEADING_SILENCE_MS_MAX, LeadingSilenceTrimmer
from relay.core.formats import OUTPUT_RATES_HZ
from relay.errors import ClientError, Code
from tests.covering import each

Shorts = NDArray[np.int16]

SPEECH = Path(__file__).parent.parent / "golden" / "speech"
RATE = 16000
MS = RATE // 1000


def trimmed(
    max_ms: float, samples: Samples, rate_hz: int = RATE, cuts: tuple[int, ...] = ()
) -> tuple[Samples, LeadingSilenceTrimmer]:
    """What comes out, and the trimmer, whose promises are checked on the way."""
    trimmer = LeadingSilenceTrimmer(max_ms, rate_hz)
    hop = max(2, rate_hz // 1000)
    outputs: list[Any] = []
    given = 0
    settled_with: int | None = None
    for start, end in zip([0, *cuts], [*cuts, len(samples)], strict=True):
        if end == start:
            continue
        for block in trimmer.feed(Block(samples[start:end], rate_hz)):
            outputs.append(block.samples)
            given += len(block.samples)
        assert trimmer.held_samples <= max_ms * rate_hz / 1000 + 21 * hop
        assert end == given + trimmer.held_samples + trimmer.trimmed_samples
        if trimmer.is_settled:
            settled_with = trimmer.trimmed_samples if settled_with is None else settled_with
            assert trimmer.held_samples == 0
            assert trimmer.trimmed_samples == settled_with, "nothing is trimmed after the first sound"
    outputs += [block.samples for block in trimmer.flush()]
    assert trimmer.is_settled
    return np.concatenate(outputs) if outputs else samples[:0], trimmer


def onset_samples(samples: Samples, rate_hz: int) -> int | None:
    detector = OnsetDetector()
    detector.feed(Block(samples, rate_hz))
    found_ms = detector.leading_silence_ms
    return None if found_ms is None else round(found_ms * rate_hz / 1000)


def noise(samples: int, level: int = 3000, seed: int = 3) -> Shorts:
    return np.random.default_rng(seed).integers(-level, level, samples, endpoint=True).astype(np.int16)


def silence(samples: int) -> Shorts:
    return np.zeros(samples, np.int16)


def word(name: str) -> Shorts:
    found: Shorts = soundfile.read(SPEECH / f"{name}.wav", dtype="int16")[0]
    return found


@st.composite
def patchwork(draw: st.DrawFn) -> Shorts:
    """Stretches of near silence, clicks and sound."""
    stretches = draw(
        st.lists(
            st.tuples(st.integers(1, 1500), st.sampled_from([0, 0, 2, 60, 3000])),
            min_size=1,
            max_size=8,
        )
    )
    return np.concatenate([noise(count, level, seed) for seed, (count, level) in enumerate(stretches)])


@given(
    patchwork(),
    st.one_of(st.sampled_from(OUTPUT_RATES_HZ), st.integers(8000, 48000)),
    st.one_of(st.sampled_from([0, 1, 5, 20, 100]), st.floats(0, 60)),
    st.data(),
)
def test_every_cut_gives_the_same_samples(samples: Shorts, rate_hz: int, max_ms: float, data: st.DataObject) -> None:
    cuts = tuple(sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=12))))
    whole, trimmer = trimmed(max_ms, samples, rate_hz)
    assert np.array_equal(whole, samples[trimmer.trimmed_samples :])
    as_float = (samples / 2**15).astype(np.float32)
    # One by one as far as the first sound, and a little on.
    by_one = tuple(range(1, min(len(samples), (onset_samples(samples, rate_hz) or 1000) + 500)))
    for form, places in ((samples, cuts), (as_float, cuts), (samples, by_one)):
        got, other = trimmed(max_ms, form, rate_hz, places)
        assert np.array_equal(got, form[trimmer.trimmed_samples :])
        assert other.trimmed_samples == trimmer.trimmed_samples
    kept = int(max_ms * rate_hz) // 1000
    sound = onset_samples(samples, rate_hz)
    if sound is None:
        assert len(whole) == min(len(samples), kept), "without a sound, so much of the end"
    else:
        hop = rate_hz // 1000
        left = onset_samples(whole, rate_hz)
        assert left == sound - trimmer.trimmed_samples, "the same first sound"
        assert left <= max(kept, 0)
        assert left > min(kept, sound) - hop, "and not a millisecond more trimmed than asked for"


@each("name", ["hello", "six", "two", "eight"])
@each("max_ms", [0, 10, 100])
def test_speech_behind_silence(name: str, max_ms: int) -> None:
    rate_hz, speech = 22050, word(name)
    samples = np.concatenate((silence(22 * 700 + 5), speech))
    got, trimmer = trimmed(max_ms, samples, rate_hz, tuple(range(441, len(samples), 441)))
    assert trimmer.trimmed_samples > 0
    assert np.array_equal(got, samples[trimmer.trimmed_samples :])
    left = onset_samples(got, rate_hz)
    assert left is not None
    assert max_ms - 1 <= left * 1000 / rate_hz <= max_ms


@pytest.mark.parametrize("name", ["six", "two", "eight"])
def test_less_silence_than_asked_for_stays_as_it_is(name: str) -> None:
    samples = word(name)
    got, trimmer = trimmed(200, samples, 22050, tuple(range(441, len(samples), 441)))
    assert trimmer.trimmed_samples == 0
    assert np.array_equal(got, samples)


def test_speech_that_begins_at_once_is_out_with_its_first_20_ms() -> None:
    trimmer = LeadingSilenceTrimmer(100, RATE)
    block = Block(noise(20 * MS), RATE)
    [out] = trimmer.feed(block)
    assert out is block
    assert trimmer.is_settled


def test_after_the_first_sound_the_same_blocks_pass() -> None:
    trimmer = LeadingSilenceTrimmer(0, RATE)
    trimmer.feed(Block(silence(100 * MS), RATE))
    assert trimmer.feed(Block(noise(20 * MS), RATE))
    for samples in (silence(1000 * MS), noise(20 * MS), silence(1)):
        block = Block(samples, RATE)
        [out] = trimmer.feed(block)
        assert out is block
    assert trimmer.flush() == []


@pytest.mark.parametrize(("max_ms", "left"), [(0, 0), (50, 50 * MS), (2000, 500 * MS)])
def test_a_reply_of_silence_ends_as_so_much_of_it(max_ms: int, left: int) -> None:
    got, trimmer = trimmed(max_ms, silence(500 * MS), cuts=tuple(range(7, 500 * MS, 331)))
    assert len(got) == left
    assert trimmer.trimmed_samples == 500 * MS - left


def test_nothing_at_all_is_nothing() -> None:
    trimmer = LeadingSilenceTrimmer(10, RATE)
    assert trimmer.flush() == []
    assert trimmer.trimmed_samples == 0


def test_a_click_is_no_sound() -> None:
    samples = silence(600 * MS)
    samples[100 * MS : 103 * MS] = noise(3 * MS, 20000)
    samples[400 * MS :] = noise(200 * MS)
    got, trimmer = trimmed(20, samples, cuts=tuple(range(1, len(samples), 97)))
    assert trimmer.trimmed_samples == 380 * MS
    assert np.array_equal(got, samples[380 * MS :])


def test_what_is_held_does_not_grow_with_its_pieces() -> None:
    trimmer = LeadingSilenceTrimmer(500, RATE)
    large = silence(RATE * 60)
    trimmer.feed(Block(large, RATE))
    for _ in range(2 * RATE):
        trimmer.feed(Block(large[:1], RATE))
        assert len(trimmer._held) <= 2 + 521 * MS // 1024
    assert all(block.samples.base is None for block in trimmer._held), "no view that keeps a whole piece alive"


@pytest.mark.parametrize("max_ms", [-1, MAX_LEADING_SILENCE_MS_MAX + 1, float("nan"), True, "5", None])
def test_other_lengths_are_refused_with_the_range(max_ms: float) -> None:
    with pytest.raises(ClientError, match="from 0 to 2000") as caught:
        LeadingSilenceTrimmer(max_ms, 8000)
    assert caught.value.code is Code.INVALID_CONFIG
