"""The fade at a cancel: as the formula has it in every encoding, whole frames, and silence at its end."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from relay.codecs import g711, pcm
from relay.codecs.fade import FADE_MS_MAX, fade_samples_in, faded
from relay.core.formats import OUTPUT_CHANNELS, OUTPUT_ENCODINGS, AudioFormat, Encoding
from relay.errors import ClientError, Code
from tests.covering import each

DECODE = {**pcm.DECODE, **g711.DECODE}
ENCODE = {**pcm.ENCODE, **g711.ENCODE}
FORMATS = [
    AudioFormat(encoding=encoding, sample_rate_hz=8000, channels=channels)
    for encoding in OUTPUT_ENCODINGS
    for channels in OUTPUT_CHANNELS
]
formats = st.sampled_from(FORMATS)


def noise(audio: AudioFormat, samples: int, seed: int = 1) -> bytes:
    values = np.random.default_rng(seed).integers(-(2**15), 2**15, samples * audio.channels).astype(np.int16)
    return ENCODE[audio.encoding](values).tobytes()


def constant(audio: AudioFormat, samples: int, value: int) -> bytes:
    return ENCODE[audio.encoding](np.full(samples * audio.channels, value, np.int16)).tobytes()


def values_of(data: bytes, audio: AudioFormat) -> NDArray[np.float64]:
    """One row a sample instant."""
    return DECODE[audio.encoding](data).astype(np.float64).reshape(-1, audio.channels)


@given(formats, st.integers(0, 700), st.integers(0, 500), st.integers(0, 99))
def test_the_formula_in_every_encoding(audio: AudioFormat, present: int, fade: int, seed: int) -> None:
    data = noise(audio, present, seed)
    result = faded(data, audio, fade)
    assert len(result) == len(data), "whole frames in, whole frames out"
    count = min(fade, present)
    assert result[count * audio.block_align :] == audio.encoding.silence * ((present - count) * audio.channels)
    weights = [(1 + np.cos(np.pi * (at + 1) / count)) / 2 for at in range(count)]
    if count:
        expected = values_of(data, audio)[:count] * np.array(weights)[:, None]
        if audio.encoding is not Encoding.PCM_F32LE:
            expected = np.rint(expected)
        codes = ENCODE[audio.encoding](expected.astype(DECODE[audio.encoding](data).dtype).ravel()).tobytes()
        got = values_of(result[: count * audio.block_align], audio)
        assert np.allclose(got, values_of(codes, audio), rtol=0, atol=1e-7)


@each("value", [-(2**15), -1000, -1, 0, 1, 1000, 2**15 - 1])
@each("audio", FORMATS)
def test_it_falls_steadily_and_ends_in_the_encodings_silence(audio: AudioFormat, value: int) -> None:
    data = constant(audio, 160, value)
    result = faded(data, audio, 100)
    magnitudes = np.abs(values_of(result, audio))
    rest = np.abs(values_of(audio.encoding.silence, AudioFormat(encoding=audio.encoding, sample_rate_hz=8000)))[0, 0]
    assert (np.diff(magnitudes[:100], axis=0) <= 0).all()
    assert magnitudes[0, 0] >= 0.99 * np.abs(values_of(data, audio))[0, 0] - 1
    assert (magnitudes[99:] == rest).all()
    # The very bytes, not a negative zero of floats or of G.711.
    assert result[99 * audio.block_align :] == audio.encoding.silence * (61 * audio.channels)


@pytest.mark.parametrize("audio", FORMATS, ids=str)
def test_silence_stays_the_same_bytes(audio: AudioFormat) -> None:
    silence = audio.encoding.silence * (320 * audio.channels)
    assert faded(silence, audio, 160) == silence


@pytest.mark.parametrize("audio", [form for form in FORMATS if form.channels == 2], ids=str)
def test_both_channels_fall_together(audio: AudioFormat) -> None:
    rows = values_of(faded(constant(audio, 50, 9000), audio, 40), audio)
    assert (rows[:, 0] == rows[:, 1]).all()


@pytest.mark.parametrize("audio", FORMATS, ids=str)
def test_what_is_shorter_than_the_fade_still_ends_in_silence(audio: AudioFormat) -> None:
    assert faded(constant(audio, 1, 20000), audio, 400) == audio.encoding.silence * audio.channels
    result = faded(constant(audio, 80, 20000), audio, 400)
    assert result == faded(constant(audio, 80, 20000), audio, 80)
    assert result.endswith(audio.encoding.silence * audio.channels)


@pytest.mark.parametrize("audio", FORMATS, ids=str)
def test_nothing_held_is_nothing_to_fade(audio: AudioFormat) -> None:
    assert faded(b"", audio, 160) == b""


def test_a_part_of_a_sample_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        faded(bytes(3), AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=8000), 1)


def test_milliseconds_are_whole_samples() -> None:
    assert fade_samples_in(0, 8000) == 0
    assert fade_samples_in(10, 22050) == 220
    assert fade_samples_in(2.5, 48000) == 120
    assert fade_samples_in(FADE_MS_MAX, 48000) == 4800


@pytest.mark.parametrize("fade_ms", [-1, 100.1, float("nan"), True, "5", None])
def test_other_lengths_are_refused_with_the_range(fade_ms: float) -> None:
    with pytest.raises(ClientError, match="from 0 to 100") as caught:
        fade_samples_in(fade_ms, 8000)
    assert caught.value.code is Code.INVALID_CONFIG
