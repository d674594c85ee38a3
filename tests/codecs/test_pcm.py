import io
import math
import struct
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from relay.codecs import encoder_for, sample_decoder
from relay.codecs.base import Block, CorruptAudioError, SampleDecoder, Samples, to_float32, to_int16, to_mono
from relay.core.formats import AudioFormat, Encoding
from tests.covering import each
from tests.cuts import CUTS, cuts_of, run

RATE_HZ = 24000
ALL_INT16 = np.arange(-32768, 32768).astype(np.int16)
NOISE = np.random.default_rng(7)

# What libsndfile calls each encoding when it reads headerless bytes.
SOUNDFILE = {
    Encoding.PCM_S16LE: ("PCM_16", "LITTLE"),
    Encoding.PCM_S16BE: ("PCM_16", "BIG"),
    Encoding.PCM_U8: ("PCM_U8", "LITTLE"),
    Encoding.PCM_S24LE: ("PCM_24", "LITTLE"),
    Encoding.PCM_S32LE: ("PCM_32", "LITTLE"),
    Encoding.PCM_F32LE: ("FLOAT", "LITTLE"),
    Encoding.PCM_S8: ("PCM_S8", "LITTLE"),
    Encoding.PCM_S24BE: ("PCM_24", "BIG"),
    Encoding.PCM_S32BE: ("PCM_32", "BIG"),
    Encoding.PCM_F32BE: ("FLOAT", "BIG"),
    Encoding.PCM_F64LE: ("DOUBLE", "LITTLE"),
    Encoding.PCM_F64BE: ("DOUBLE", "BIG"),
    Encoding.MULAW: ("ULAW", "LITTLE"),
    Encoding.ALAW: ("ALAW", "LITTLE"),
}


FLOATS = {
    Encoding.PCM_F32LE: "<f4",
    Encoding.PCM_F32BE: ">f4",
    Encoding.PCM_F64LE: "<f8",
    Encoding.PCM_F64BE: ">f8",
}


def form_of(encoding: Encoding, channels: int = 1) -> AudioFormat:
    return AudioFormat(encoding=encoding, sample_rate_hz=RATE_HZ, channels=channels)


def decode(encoding: Encoding, data: bytes, channels: int = 1) -> Samples:
    return joined(run(sample_decoder(form_of(encoding, channels)), [data]))


def encode(encoding: Encoding, samples: Samples, channels: int = 1) -> bytes:
    return b"".join(run(encoder_for(form_of(encoding, channels)), [Block(samples, RATE_HZ)]))


def joined(blocks: list[Block]) -> Samples:
    assert all(len(block.samples) for block in blocks), "a block is never empty"
    assert {block.sample_rate_hz for block in blocks} <= {RATE_HZ}
    samples: Samples = np.concatenate([block.samples for block in blocks])
    return samples


def bytes_of(encoding: Encoding, samples: int, channels: int = 1) -> bytes:
    """Any bytes are samples, but floats: those are taken from -1..1."""
    if encoding in FLOATS:
        return NOISE.uniform(-1, 1, samples * channels).astype(FLOATS[encoding]).tobytes()
    return NOISE.bytes(samples * channels * encoding.sample_width)


def read_by_libsndfile(encoding: Encoding, data: bytes, dtype: Literal["int16", "float32"]) -> NDArray[Any]:
    subtype, endian = SOUNDFILE[encoding]
    samples, _ = soundfile.read(
        io.BytesIO(data),
        dtype=dtype,
        samplerate=RATE_HZ,
        channels=1,
        format="RAW",
        subtype=subtype,
        endian=endian,
    )
    return np.asarray(samples)


class TestDecoding:
    @each("encoding", Encoding)
    def test_samples_are_those_that_libsndfile_reads(self, encoding: Encoding) -> None:
        data = bytes_of(encoding, 5000)
        samples = decode(encoding, data)
        wide = encoding.sample_width > 2
        expected = read_by_libsndfile(encoding, data, "float32" if wide else "int16")
        assert samples.dtype == expected.dtype
        np.testing.assert_array_equal(samples, expected)

    @each("channels", [1, 2])
    @each("encoding", Encoding)
    def test_every_cut_gives_the_same_samples(self, encoding: Encoding, channels: int) -> None:
        data = bytes_of(encoding, 700, channels)
        whole = decode(encoding, data, channels)
        assert len(whole) == 700
        for cut in CUTS:
            cut_up = joined(run(sample_decoder(form_of(encoding, channels)), cut(data)))
            assert cut_up.dtype == whole.dtype
            np.testing.assert_array_equal(cut_up, whole, err_msg=cut.__name__)

    @given(data=st.data(), encoding=st.sampled_from(Encoding), channels=st.integers(1, 2), audio=st.binary(max_size=64))
    def test_samples_come_as_soon_as_their_last_byte(
        self, data: st.DataObject, encoding: Encoding, channels: int, audio: bytes
    ) -> None:
        decoder, fed, samples = sample_decoder(form_of(encoding, channels)), 0, 0
        align = encoding.sample_width * channels
        for piece in data.draw(cuts_of(audio)):
            samples += sum(len(block.samples) for block in decoder.feed(piece))
            fed += len(piece)
            assert samples == fed // align
        assert decoder.flush() == []
        assert isinstance(decoder, SampleDecoder)
        assert decoder.stray_bytes == len(audio) % align

    def test_s16le_is_the_providers_own_bytes_not_a_copy(self) -> None:
        piece = NOISE.bytes(960)
        [block] = sample_decoder(form_of(Encoding.PCM_S16LE)).feed(piece)
        assert np.shares_memory(block.samples, np.frombuffer(piece, np.uint8))

    def test_the_rate_is_that_of_the_format(self) -> None:
        form = AudioFormat(encoding=Encoding.PCM_U8, sample_rate_hz=11025)
        [block] = sample_decoder(form).feed(b"\x80")
        assert block.sample_rate_hz == 11025

    @pytest.mark.parametrize("rate_hz", [0, 1999, 384_001, 2**32 - 1])
    def test_an_absurd_rate_is_refused(self, rate_hz: int) -> None:
        with pytest.raises(CorruptAudioError, match=f"audio at {rate_hz} Hz"):
            sample_decoder(AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=rate_hz))

    @pytest.mark.parametrize("channels", [0, 3, 65535])
    def test_more_than_stereo_is_refused(self, channels: int) -> None:
        with pytest.raises(CorruptAudioError, match=f"audio of {channels} channels"):
            sample_decoder(form_of(Encoding.PCM_S16LE, channels))


class TestFloatsOfAProvider:
    def test_what_is_within_range_is_left_as_it_is(self) -> None:
        data = np.array([0, -1, 1, 1e-30, -0.5], "<f4").tobytes()
        assert decode(Encoding.PCM_F32LE, data).tobytes() == data

    @each(("sent", "played"), [(math.nan, 0.0), (math.inf, 1.0), (-math.inf, -1.0), (1.5, 1.0), (-3e38, -1.0)])
    @each("channels", [1, 2])
    def test_what_is_not_is_made_to_be(self, sent: float, played: float, channels: int) -> None:
        frames = np.repeat(np.array([0.25, sent, -0.75], "<f4"), channels)
        samples = decode(Encoding.PCM_F32LE, frames.tobytes(), channels)
        assert samples.tolist() == [0.25, played, -0.75]

    @given(st.binary(max_size=64))
    def test_no_bytes_at_all_give_anything_else(self, data: bytes) -> None:
        blocks = run(sample_decoder(form_of(Encoding.PCM_F32LE)), [data])
        for block in blocks:
            assert (np.abs(block.samples) <= 1).all()


class TestMono:
    def test_int16_is_the_mean_with_a_half_rounded_to_even(self) -> None:
        corners = np.array([-32768, -32767, -3, -2, -1, 0, 1, 2, 3, 32766, 32767])
        left, right = (side.ravel() for side in np.meshgrid(corners, corners))
        mixed = to_mono(np.stack([left, right], 1).astype(np.int16).ravel())
        assert mixed.dtype == np.int16
        assert mixed.tolist() == [round((a + b) / 2) for a, b in zip(left.tolist(), right.tolist(), strict=True)]

    def test_the_same_on_both_sides_is_unchanged(self) -> None:
        np.testing.assert_array_equal(to_mono(ALL_INT16.repeat(2)), ALL_INT16)

    def test_float32_is_the_mean(self) -> None:
        left, right = NOISE.uniform(-1, 1, (2, 500)).astype(np.float32)
        mixed = to_mono(np.stack([left, right], 1).ravel())
        assert mixed.dtype == np.float32
        np.testing.assert_array_equal(mixed, (left + right) / np.float32(2))

    def test_stereo_bytes_are_mixed(self) -> None:
        assert decode(Encoding.PCM_S16LE, struct.pack("<4h", 100, 200, -7, -8), channels=2).tolist() == [150, -8]
        assert decode(Encoding.PCM_U8, bytes([0x80, 0x82, 0x00, 0xFF]), channels=2).tolist() == [256, -128]


class TestEncoding:
    def test_s16_in_is_s16_out_bit_for_bit(self) -> None:
        data = ALL_INT16.astype("<i2").tobytes()
        assert encode(Encoding.PCM_S16LE, decode(Encoding.PCM_S16LE, data)) == data

    def test_s16_through_f32_loses_nothing(self) -> None:
        data = encode(Encoding.PCM_F32LE, ALL_INT16)
        assert decode(Encoding.PCM_F32LE, data).tolist() == [sample / 32768 for sample in ALL_INT16.tolist()]
        np.testing.assert_array_equal(to_int16(decode(Encoding.PCM_F32LE, data)), ALL_INT16)

    def test_f32_in_is_f32_out_bit_for_bit(self) -> None:
        data = bytes_of(Encoding.PCM_F32LE, 1000)
        assert encode(Encoding.PCM_F32LE, decode(Encoding.PCM_F32LE, data)) == data

    def test_s24_through_f32_loses_nothing(self) -> None:
        data = bytes_of(Encoding.PCM_S24LE, 5000)
        whole_steps = (decode(Encoding.PCM_S24LE, data).astype(np.float64) * 2**23).astype("<i4")
        assert whole_steps.view(np.uint8).reshape(-1, 4)[:, :3].tobytes() == data

    @each(
        ("sample", "rounded"),
        [
            (0.5 / 32768, 0),
            (1.5 / 32768, 2),
            (-0.5 / 32768, 0),
            (-1.5 / 32768, -2),
            (2.4 / 32768, 2),
            (1.0, 32767),
            (32767.5 / 32768, 32767),
            (-1.0, -32768),
            (1.25, 32767),
            (-1.25, -32768),
        ],
    )
    def test_f32_to_s16_rounds_half_to_even_and_clips(self, sample: float, rounded: int) -> None:
        assert to_int16(np.array([sample], np.float32)).tolist() == [rounded]

    @pytest.mark.parametrize("convert", [to_int16, to_float32])
    def test_what_is_right_already_is_not_copied(self, convert: Callable[[Samples], Samples]) -> None:
        samples = convert(np.zeros(8, np.int16))
        assert convert(samples) is samples

    def test_samples_given_to_an_encoder_are_not_changed(self) -> None:
        samples = NOISE.uniform(-1, 1, 100).astype(np.float32)
        samples.flags.writeable = False
        for encoding in (Encoding.PCM_S16LE, Encoding.PCM_F32LE, Encoding.MULAW, Encoding.ALAW):
            assert len(encode(encoding, samples)) == 100 * encoding.sample_width

    @pytest.mark.parametrize("encoding", [Encoding.PCM_S16LE, Encoding.PCM_F32LE, Encoding.MULAW, Encoding.ALAW])
    def test_stereo_is_the_mono_sample_twice(self, encoding: Encoding) -> None:
        samples = NOISE.integers(-32768, 32768, 300).astype(np.int16)
        mono, stereo = encode(encoding, samples), encode(encoding, samples, channels=2)
        width = encoding.sample_width
        doubled = b"".join(mono[at : at + width] * 2 for at in range(0, len(mono), width))
        assert stereo == doubled

    def test_every_block_is_encoded_at_once(self) -> None:
        encoder = encoder_for(form_of(Encoding.PCM_S16LE))
        assert encoder.feed(Block(np.array([1], np.int16), RATE_HZ)) == [b"\1\0"]
        assert encoder.flush() == []

    def test_a_block_of_another_rate_is_a_bug(self) -> None:
        with pytest.raises(AssertionError, match="does not resample"):
            encoder_for(form_of(Encoding.PCM_S16LE)).feed(Block(np.zeros(1, np.int16), RATE_HZ + 1))
