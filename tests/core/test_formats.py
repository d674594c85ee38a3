from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.formats import (
    FRAME_MS_MAX,
    FRAME_MS_MIN,
    NATIVE,
    OUTPUT_CHANNELS,
    OUTPUT_ENCODINGS,
    OUTPUT_RATES_HZ,
    AudioFormat,
    AudioRequest,
    Encoding,
    FrameFormat,
)
from relay.errors import ClientError, Code
from tests.covering import each

WIDTHS = {
    Encoding.PCM_S16LE: 2,
    Encoding.PCM_F32LE: 4,
    Encoding.MULAW: 1,
    Encoding.ALAW: 1,
    Encoding.PCM_S16BE: 2,
    Encoding.PCM_U8: 1,
    Encoding.PCM_S24LE: 3,
    Encoding.PCM_S32LE: 4,
    Encoding.PCM_S8: 1,
    Encoding.PCM_S24BE: 3,
    Encoding.PCM_S32BE: 4,
    Encoding.PCM_F32BE: 4,
    Encoding.PCM_F64LE: 8,
    Encoding.PCM_F64BE: 8,
}


@each("encoding", Encoding)
def test_an_encoding_knows_its_width_and_one_sample_of_its_silence(encoding: Encoding) -> None:
    assert encoding.sample_width == WIDTHS[encoding]
    assert len(encoding.silence) == WIDTHS[encoding]


def test_silence_is_zero_but_where_zero_is_loud() -> None:
    loud = {Encoding.MULAW: b"\xff", Encoding.ALAW: b"\xd5", Encoding.PCM_U8: b"\x80"}
    for encoding in Encoding:
        assert encoding.silence == loud.get(encoding, bytes(WIDTHS[encoding]))


@each("channels", OUTPUT_CHANNELS)
@each("encoding", Encoding)
def test_block_align_is_one_sample_of_every_channel(encoding: Encoding, channels: int) -> None:
    form = AudioFormat(encoding=encoding, sample_rate_hz=8000, channels=channels)
    assert form.block_align == WIDTHS[encoding] * channels


def test_the_defaults_are_those_of_the_protocol() -> None:
    form = AudioRequest().resolve(48000)
    assert form.audio == AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000, channels=1)
    assert (form.frame_samples, form.frame_bytes, form.frame_ms) == (480, 960, 20)
    assert (form.tail, form.header) == ("pad", False)


@each("rate_hz", OUTPUT_RATES_HZ)
def test_every_frame_length_is_exact_or_refused(rate_hz: int) -> None:
    for frame_ms in range(FRAME_MS_MIN, FRAME_MS_MAX + 1):
        samples = Fraction(rate_hz * frame_ms, 1000)
        if samples.denominator == 1:
            form = AudioRequest(sample_rate=rate_hz, frame_ms=frame_ms).resolve(rate_hz)
            assert form.frame_samples == samples
            assert form.frame_ms == frame_ms
        else:
            with pytest.raises(ClientError) as caught:
                AudioRequest(sample_rate=rate_hz, frame_ms=frame_ms)
            assert caught.value.code is Code.INVALID_CONFIG


@pytest.mark.parametrize(
    ("rate_hz", "frame_ms", "advice"),
    [
        (11025, 20, "multiples of 40 ms from 40 to 1000"),
        (22050, 30, "multiples of 20 ms from 20 to 1000"),
        (44100, 25, "multiples of 10 ms from 10 to 1000"),
    ],
)
def test_a_refusal_says_which_lengths_fit(rate_hz: int, frame_ms: int, advice: str) -> None:
    with pytest.raises(ClientError, match=advice) as caught:
        AudioRequest(sample_rate=rate_hz, frame_ms=frame_ms)
    assert f"audio.frame_ms {frame_ms} at audio.sample_rate {rate_hz}" in caught.value.message


@given(rate_hz=st.integers(1000, 384000), frame_ms=st.integers(FRAME_MS_MIN, FRAME_MS_MAX))
def test_native_frames_are_exact_or_the_advice_is(rate_hz: int, frame_ms: int) -> None:
    request = AudioRequest(sample_rate=NATIVE, frame_ms=frame_ms)
    try:
        form = request.resolve(rate_hz)
    except ClientError as error:
        step_ms, first_ms, last_ms = [int(word) for word in error.message.split() if word.isdigit()][-3:]
        fitting = [ms for ms in range(FRAME_MS_MIN, FRAME_MS_MAX + 1) if rate_hz * ms % 1000 == 0]
        assert fitting == list(range(first_ms, last_ms + 1, step_ms))
        assert frame_ms not in fitting
    else:
        assert form.frame_samples * 1000 == rate_hz * frame_ms
        assert form.audio.sample_rate_hz == rate_hz


def test_a_fixed_rate_does_not_look_at_the_native_one() -> None:
    assert AudioRequest(sample_rate=8000).resolve(44100).audio.sample_rate_hz == 8000


@each(
    ("field", "value"),
    [
        ("encoding", Encoding.PCM_S24LE),
        ("encoding", "opus"),
        ("sample_rate", 44000),
        ("sample_rate", "fast"),
        ("channels", 0),
        ("channels", 3),
        ("channels", True),
        ("tail", "cut"),
        ("frame_ms", FRAME_MS_MIN - 1),
        ("frame_ms", FRAME_MS_MAX + 1),
        ("frame_ms", -20),
    ],
)
def test_a_wrong_field_is_named_with_its_value(field: str, value: object) -> None:
    fields: dict[str, Any] = {field: value}
    with pytest.raises(ClientError) as caught:
        AudioRequest(**fields)
    assert caught.value.code is Code.INVALID_CONFIG
    assert f"audio.{field} is {value!r}" in caught.value.message


@pytest.mark.parametrize("encoding", OUTPUT_ENCODINGS)
@pytest.mark.parametrize("channels", OUTPUT_CHANNELS)
def test_a_frame_has_the_bytes_of_its_samples(encoding: Encoding, channels: int) -> None:
    request = AudioRequest(encoding=encoding, sample_rate=22050, channels=channels, frame_ms=40, tail="short")
    form = request.resolve(22050)
    assert form.frame_samples == 882
    assert form.frame_bytes == 882 * WIDTHS[encoding] * channels
    assert form.tail == "short"


def test_durations_are_multiplied_before_they_are_divided() -> None:
    form = _frames_at(22050)
    assert form.samples_in(200) == 4410
    assert form.samples_in(0) == 0
    assert form.samples_in(0.04) == 0
    assert form.duration_ms(4410) == 200
    assert form.duration_ms(1) == pytest.approx(1000 / 22050)


@given(rate_hz=st.sampled_from(OUTPUT_RATES_HZ), duration_ms=st.integers(0, 3_600_000))
def test_samples_in_is_the_floor_for_whole_milliseconds(rate_hz: int, duration_ms: int) -> None:
    assert _frames_at(rate_hz).samples_in(duration_ms) == rate_hz * duration_ms // 1000


def _frames_at(rate_hz: int) -> FrameFormat:
    return FrameFormat(audio=AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=rate_hz), frame_samples=441)


def test_a_frame_whose_padding_a_header_could_not_count_is_refused() -> None:
    request = AudioRequest(sample_rate="native", frame_ms=1000, header=True)
    with pytest.raises(ClientError, match="shorter frames"):
        request.resolve(96_000)
    assert request.resolve(48_000).frame_samples == 48_000
