"""The rule of `gain`: against a plain reading of it, real speech, steady tones, and what must not change at all."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from relay.codecs import encoder_for
from relay.codecs.base import Block, Samples, to_int16
from relay.codecs.gain import GAIN_DB_MAX, GAIN_DB_MIN, LATENCY_SAMPLES, RELEASE_DB_PER_S, Gain
from relay.core.formats import OUTPUT_RATES_HZ, AudioFormat, Encoding
from relay.errors import ClientError, Code
from tests.covering import each

Doubles = NDArray[np.float64]

SPEECH = Path(__file__).parent.parent / "golden" / "speech"
FULL_SCALE = 32767 / 32768


def amplified(gain_db: float, samples: Samples, rate_hz: int = 16000, cuts: tuple[int, ...] = ()) -> Samples:
    gain = Gain(gain_db, rate_hz)
    outputs: list[Any] = []
    for start, end in zip([0, *cuts], [*cuts, len(samples)], strict=True):
        if end > start:
            [block] = gain.feed(Block(samples[start:end], rate_hz))
            assert len(block.samples) == end - start, "no block waits"
            outputs.append(block.samples)
    assert gain.flush() == []
    return np.concatenate(outputs) if outputs else samples


def by_the_rule(gain_db: float, samples: Samples, rate_hz: int) -> Doubles:
    """Read aloud, in decibels: at least what this sample needs, else 6 dB a second less than before."""
    unit = samples / 2**15 if samples.dtype == np.int16 else samples
    outputs, reduction_db = [], 0.0
    for value in unit.astype(np.float64) * 10 ** (gain_db / 20):
        needed_db = 20 * np.log10(max(abs(value) / FULL_SCALE, 1e-9))
        reduction_db = max(needed_db, reduction_db - RELEASE_DB_PER_S / rate_hz, 0.0)
        outputs.append(value * 10 ** (-reduction_db / 20))
    return np.array(outputs)


def word(name: str) -> NDArray[np.int16]:
    found: NDArray[np.int16] = soundfile.read(SPEECH / f"{name}.wav", dtype="int16")[0]
    return found


def tone(amplitude: float, frequency_hz: float, rate_hz: int, seconds: float = 1.0) -> NDArray[np.float32]:
    instants = np.arange(int(rate_hz * seconds)) / rate_hz
    return (amplitude * np.sin(2 * np.pi * frequency_hz * instants)).astype(np.float32)


@st.composite
def patchwork(draw: st.DrawFn) -> NDArray[np.int16]:
    """Stretches of noise from silence to full scale."""
    stretches = draw(
        st.lists(st.tuples(st.integers(1, 300), st.sampled_from([0, 1, 300, 3000, 32767])), min_size=1, max_size=8)
    )
    random = np.random.default_rng(draw(st.integers(0, 99)))
    parts = [random.integers(-level - (level == 32767), level, count, endpoint=True) for count, level in stretches]
    return np.concatenate(parts).astype(np.int16)


gains = st.one_of(st.sampled_from([-60.0, -6.0, -0.001, 0.001, 6.0, 30.0]), st.floats(GAIN_DB_MIN, GAIN_DB_MAX))
rates = st.one_of(st.sampled_from(OUTPUT_RATES_HZ), st.integers(8000, 48000))


@given(gains, patchwork(), rates, st.data())
def test_every_cut_gives_the_same_bits_and_nothing_passes_full_scale(
    gain_db: float, samples: NDArray[np.int16], rate_hz: int, data: st.DataObject
) -> None:
    cuts = tuple(sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=12))))
    as_float = (samples / 2**15).astype(np.float32)
    whole = amplified(gain_db, as_float, rate_hz)
    assert len(whole) == len(samples)
    assert np.array_equal(amplified(gain_db, as_float, rate_hz, cuts), whole)
    assert np.array_equal(amplified(gain_db, as_float, rate_hz, tuple(range(1, len(samples)))), whole)
    if gain_db != 0:
        assert np.array_equal(amplified(gain_db, samples, rate_hz, cuts), whole), "int16 and float32 alike"
        assert whole.dtype == np.float32
        assert np.abs(whole).max(initial=0) <= FULL_SCALE
        # The conversion to int16 has nothing to clip.
        assert np.array_equal(to_int16(whole), np.rint(whole.astype(np.float64) * 2**15))


@given(gains, patchwork(), st.sampled_from([8000, 44100]))
def test_the_rule(gain_db: float, samples: NDArray[np.int16], rate_hz: int) -> None:
    # A reduction is rounded up to a whole sample of release, at 8 kHz 0.00075 dB.
    got = amplified(gain_db, samples, rate_hz) if gain_db else samples / 2**15
    expected = by_the_rule(gain_db, samples, rate_hz)
    assert np.allclose(got, expected, rtol=1.01 * RELEASE_DB_PER_S / rate_hz / 8.68, atol=1e-7)


@pytest.mark.parametrize("samples", [np.array([-(2**15), 5, 32767], np.int16), np.array([-1, 0.1, 1], np.float32)])
def test_no_gain_passes_the_same_blocks(samples: Samples) -> None:
    block = Block(samples, 16000)
    for zero in (0, 0.0, -0.0):
        [out] = Gain(zero, 16000).feed(block)
        assert out is block


def test_nothing_waits_for_a_later_sample() -> None:
    assert LATENCY_SAMPLES == 0
    [out] = Gain(12, 48000).feed(Block(np.array([100], np.int16), 48000))
    assert out.samples == np.float32(100 / 2**15 * 10 ** (12 / 20))


@pytest.mark.parametrize("gain_db", [-60, -20, -6, -0.5, 3, 6])
def test_below_full_scale_the_gain_is_exact(gain_db: float) -> None:
    samples = tone(0.45, 440, 24000)
    gain = Gain(gain_db, 24000)
    [out] = gain.feed(Block(samples, 24000))
    assert np.array_equal(out.samples, samples * np.float32(10 ** (gain_db / 20)))
    assert gain.max_reduction_db == 0


@each("rate_hz", [8000, 24000, 48000])
@each("frequency_hz", [80, 440, 1500])
def test_a_steady_tone_stays_a_tone(frequency_hz: float, rate_hz: int) -> None:
    """Once its first wave has set the reduction: everything but the tone, 50 dB below it."""
    outputs = amplified(12, tone(1.0, frequency_hz, rate_hz), rate_hz)[rate_hz // 10 :].astype(np.float64)
    turns = 2 * np.pi * frequency_hz * (np.arange(len(outputs)) + rate_hz // 10) / rate_hz
    waves = np.stack([np.sin(turns), np.cos(turns)], axis=1)
    rest = outputs - waves @ np.linalg.lstsq(waves, outputs)[0]
    assert 20 * np.log10(rest.std() / outputs.std()) < -50
    assert FULL_SCALE * 0.99 < outputs.max() <= FULL_SCALE


@each("name", ["hello", "six", "two", "eight"])
@each("over_db", [3, 6, 12])
def test_speech_is_turned_down_and_not_pumped(name: str, over_db: float) -> None:
    samples = word(name).astype(np.float64) / 2**15
    normalised = (samples / np.abs(samples).max()).astype(np.float32)
    outputs = amplified(over_db, normalised, 22050).astype(np.float64)
    there = np.abs(normalised) > 1e-4
    gains_db = 20 * np.log10(np.abs(outputs[there]) / np.abs(normalised[there]))
    assert gains_db.max() <= over_db + 0.001
    instants = there.nonzero()[0] / 22050
    # Never faster up than the release; down only at a sample that would have passed full scale.
    rises = np.diff(gains_db) - RELEASE_DB_PER_S * np.diff(instants)
    assert rises.max() < 0.001
    falls = (np.diff(gains_db) < -0.001).nonzero()[0] + 1
    assert np.allclose(np.abs(outputs[there][falls]), FULL_SCALE, rtol=1e-4)


def test_how_far_it_was_turned_down_is_known_and_returns() -> None:
    gain = Gain(6, 8000)
    [loud] = gain.feed(Block(np.full(10, 1.0, np.float32), 8000))
    assert np.allclose(loud.samples, FULL_SCALE, rtol=1e-4)
    assert gain.max_reduction_db == pytest.approx(6, abs=0.002)
    [soft] = gain.feed(Block(np.full(8100, 0.1, np.float32), 8000))
    steps_db = np.diff(20 * np.log10(soft.samples.astype(np.float64)))
    assert np.allclose(steps_db[:7900], RELEASE_DB_PER_S / 8000, atol=2e-6)
    assert soft.samples[-1] == np.float32(0.1) * np.float32(10 ** (6 / 20))
    assert gain.max_reduction_db == pytest.approx(6, abs=0.002), "the most so far"


@pytest.mark.parametrize("encoding", [Encoding.PCM_S16LE, Encoding.PCM_F32LE, Encoding.MULAW, Encoding.ALAW])
def test_every_encoding_takes_what_comes_out(encoding: Encoding) -> None:
    encoder = encoder_for(AudioFormat(encoding=encoding, sample_rate_hz=22050))
    [block] = Gain(20, 22050).feed(Block(word("hello"), 22050))
    assert len(b"".join(encoder.feed(block))) == len(block.samples) * encoding.sample_width


def test_input_is_left_as_it_was() -> None:
    samples = np.full(100, 32767, np.int16)
    samples.setflags(write=False)
    amplified(20, samples)
    assert (samples == 32767).all()


@pytest.mark.parametrize("gain_db", [GAIN_DB_MIN, GAIN_DB_MAX, 0, 1])
def test_both_ends_of_the_range_are_allowed(gain_db: float) -> None:
    Gain(gain_db, 8000)


@pytest.mark.parametrize("gain_db", [-60.01, 30.01, float("nan"), float("inf"), True, "6", None])
def test_other_gains_are_refused_with_the_range(gain_db: float) -> None:
    with pytest.raises(ClientError, match="from -60 to 30") as caught:
        Gain(gain_db, 8000)
    assert caught.value.code is Code.INVALID_CONFIG
    assert caught.value.message.startswith("gain_db is ")
