"""The rule of `onset`: against a plain reading of it, real beginnings of words, and what is no speech."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from relay.codecs.base import Block, Samples
from relay.codecs.onset import OnsetDetector
from relay.codecs.resample import Resampler
from tests.covering import each
from tests.cuts import run

Shorts = NDArray[np.int16]

SPEECH = Path(__file__).parent.parent / "golden" / "speech"
# Word -> its first sample that is not zero (README.md beside the files).
ONSETS = {"hello": 265, "six": 264, "two": 1080, "eight": 0}
RATE = 16000
MS = RATE // 1000


def onset_ms(samples: Samples, rate_hz: int = RATE, cuts: tuple[int, ...] = ()) -> float | None:
    detector = OnsetDetector()
    ends = [*cuts, len(samples)]
    for start, end in zip([0, *cuts], ends, strict=True):
        if end > start:
            detector.feed(Block(samples[start:end], rate_hz))
    return detector.leading_silence_ms


def onset_of(detector: OnsetDetector) -> float | None:
    return detector.leading_silence_ms


def word(name: str) -> Shorts:
    samples, rate_hz = soundfile.read(SPEECH / f"{name}.wav", dtype="int16")
    assert rate_hz == 22050
    found: Shorts = samples
    return found


def noise(samples: int, level_dbfs: float, seed: int = 3) -> Shorts:
    spread = 2**15 * 10 ** (level_dbfs / 20)
    return np.rint(np.random.default_rng(seed).normal(0, spread, samples)).clip(-(2**15), 2**15 - 1).astype(np.int16)


def silence(samples: int) -> Shorts:
    return np.zeros(samples, np.int16)


def by_the_rule(samples: Shorts, rate_hz: int) -> float | None:
    """Read aloud: the first loud hop of 1 ms that has four more within 20."""
    hop = rate_hz // 1000
    loud = []
    for start in range(0, len(samples) - hop + 1, hop):
        values = [int(value) for value in samples[start : start + hop]]
        mean = sum(values) / hop
        rms = (sum((value - mean) ** 2 for value in values) / hop) ** 0.5
        loud.append(rms > 32768 * 10 ** (-50 / 20))
    for at, is_loud in enumerate(loud):
        if is_loud and sum(loud[at : at + 20]) >= 5:
            return at * hop * 1000 / rate_hz
    return None


@st.composite
def patchwork(draw: st.DrawFn) -> Shorts:
    """Stretches of noise about the threshold, silence, offsets and clicks, of 1 to 400 samples each."""
    stretches = draw(
        st.lists(
            st.tuples(st.integers(1, 400), st.sampled_from([-90, -53, -50, -47, -20]), st.sampled_from([0, 0, 900])),
            min_size=1,
            max_size=12,
        )
    )
    parts = [noise(count, level, seed) + offset for seed, (count, level, offset) in enumerate(stretches)]
    return np.concatenate(parts).astype(np.int16)


@given(patchwork(), st.sampled_from([8000, 11025, 16000, 22050, 48000]), st.data())
def test_the_rule_at_every_cut(samples: Shorts, rate_hz: int, data: st.DataObject) -> None:
    cuts = tuple(sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=12))))
    expected = by_the_rule(samples, rate_hz)
    assert onset_ms(samples, rate_hz, cuts) == expected
    assert onset_ms((samples / 2**15).astype(np.float32), rate_hz, cuts) == expected


@pytest.mark.parametrize(("name", "first"), ONSETS.items())
def test_speech(name: str, first: int) -> None:
    """The millisecond that holds the first sample, or the next one where that holds too little of it."""
    samples = word(name)
    assert np.flatnonzero(samples)[0] == first
    found = onset_ms(samples, 22050)
    assert found is not None
    assert -1 < found - first * 1000 / 22050 <= 1
    assert onset_ms(samples, 22050, tuple(range(1, len(samples)))) == found


@each("name", ONSETS)
@each("rate_hz", [8000, 16000, 48000])
def test_speech_after_the_resampler(name: str, rate_hz: int) -> None:
    detector = OnsetDetector()
    for block in run(Resampler(rate_hz), [Block(word(name), 22050)]):
        detector.feed(block)
    assert detector.leading_silence_ms is not None
    assert abs(detector.leading_silence_ms - ONSETS[name] / 22.05) <= 2


@each("name", ONSETS)
@each("gain_db", [6, 0, -6])
def test_silence_in_front_is_counted_exactly(name: str, gain_db: int) -> None:
    samples = (word(name) * 10 ** (gain_db / 20)).clip(-(2**15), 2**15 - 1).astype(np.int16)
    alone = onset_ms(samples, 22050)
    assert alone is not None
    led = np.concatenate((silence(22 * 300), samples))
    assert onset_ms(led, 22050) == pytest.approx(alone + 22 * 300 / 22.05)


@pytest.mark.parametrize("floor_dbfs", [-96, -80, -60, -54])
def test_a_noise_floor_is_no_speech_and_does_not_hide_it(floor_dbfs: float) -> None:
    floor = noise(500 * MS, floor_dbfs)
    assert onset_ms(floor) is None
    floor[200 * MS :] += noise(300 * MS, -30, seed=4)
    assert onset_ms(floor) == 200


@pytest.mark.parametrize("samples", [silence(RATE), noise(RATE, -93), np.full(RATE, 9000, np.int16)])
def test_what_never_speaks_has_no_onset(samples: Shorts) -> None:
    assert onset_ms(samples) is None
    assert onset_ms((samples / 2**15).astype(np.float32)) is None


@each("at", [0, 5, 100 * MS + 3])
@each("length", [1, MS, 3 * MS])
def test_a_click_is_no_speech(at: int, length: int) -> None:
    samples = silence(300 * MS)
    samples[at : at + length] = noise(length, -3)
    samples[at] = 2**15 - 1
    assert onset_ms(samples) is None
    samples[200 * MS :] = noise(100 * MS, -30)
    assert onset_ms(samples) == 200


def test_the_threshold_is_50_dbfs() -> None:
    """103.6 steps of s16. A square wave has the smallest range for its spread."""
    square = np.tile(np.array([1, -1], np.int16), 50 * MS)
    assert onset_ms(square * np.int16(103)) is None
    assert onset_ms(square * np.int16(104)) == 0


@pytest.mark.parametrize(("fifth", "expected"), [(22, 3), (23, None)])
def test_five_loud_hops_within_20_ms(fifth: int, expected: float | None) -> None:
    """The 20 that begin with hop 3 end with hop 22."""
    samples = silence(60 * MS)
    for hop in (3, 7, 11, 15, fifth):
        samples[hop * MS] = 2**15 - 1
    assert onset_ms(samples) == expected


def test_clicks_far_apart_never_add_up() -> None:
    samples = silence(2000 * MS)
    samples[:: 10 * MS] = 2**15 - 1
    assert onset_ms(samples) is None


def test_a_dc_offset_and_its_steps_are_no_speech() -> None:
    steps = np.repeat(np.array([0, 12000, -12000, 300], np.int16), 50 * MS + 7)
    assert onset_ms(steps) is None
    speaking = np.concatenate((steps, noise(50 * MS, -30) + np.int16(300)))
    found = onset_ms(speaking)
    assert found is not None
    assert abs(found - len(steps) / MS) <= 1


def test_loud_hum_of_the_mains_is_no_speech_but_a_low_voice_is() -> None:
    instants = np.arange(RATE) / RATE
    hum = (2**15 * 10 ** (-35 / 20) * 2**0.5 * np.sin(2 * np.pi * 50 * instants)).astype(np.int16)
    assert onset_ms(hum) is None
    # An 80 Hz voice: at each closing of the glottis a resonance at 600 Hz that dies within 4 ms.
    since_pulse = instants % (1 / 80)
    voice = 3000 * np.exp(-since_pulse / 0.002) * np.sin(2 * np.pi * 600 * since_pulse)
    assert onset_ms(voice.astype(np.int16)) == 0


def test_known_after_5_ms_of_speech_and_final() -> None:
    detector = OnsetDetector()
    detector.feed(Block(silence(30 * MS), RATE))
    detector.feed(Block(noise(4 * MS, -20), RATE))
    assert onset_of(detector) is None
    for later in (noise(1 * MS, -20), silence(500 * MS), noise(500 * MS, -10)):
        detector.feed(Block(later, RATE))
        assert onset_of(detector) == 30
    detector.feed(Block(noise(500, -10), 48000))
    assert onset_of(detector) == 30


def test_time_runs_on_over_a_change_of_rate() -> None:
    detector = OnsetDetector()
    detector.feed(Block(silence(4410 + 5), 44100))
    detector.feed(Block(silence(801), 8000))
    detector.feed(Block(noise(160, -20), 16000))
    assert detector.leading_silence_ms == pytest.approx((4410 + 5) / 44.1 + 801 / 8)


def test_speech_is_not_pieced_together_over_a_change_of_rate() -> None:
    detector = OnsetDetector()
    detector.feed(Block(noise(4 * MS, -20), RATE))
    detector.feed(Block(noise(4 * 8, -20), 8000))
    assert detector.leading_silence_ms is None


def test_what_waits_for_speech_does_not_grow() -> None:
    detector = OnsetDetector()
    clicks = silence(1000 * MS + 7)
    clicks[:: 25 * MS] = 2**15 - 1
    for _ in range(50):
        detector.feed(Block(clicks, RATE))
        assert len(detector._carry) < MS
        assert len(detector._loud) <= 4
        assert detector._carry.base is None
    assert detector.leading_silence_ms is None
