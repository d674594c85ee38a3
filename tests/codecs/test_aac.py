"""ADTS: the samples of FFmpeg 5.1.9 and of faad, from the first frame on, in any cut."""

import random
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.codecs.aac import JUNK_RUN_BYTES_MAX, AacDecoder, AacPackets, read_adts_header, read_config
from relay.codecs.base import Block, CorruptAudioError, TruncatedAudioError
from relay.testing.conformance.codec import check_decoder, runs_of
from tests.codecs.streams import (
    GOLDEN,
    JUNK,
    MUTATIONS,
    apart,
    by_ffmpeg,
    check_any_input,
    decode,
    first_block_at,
    joined,
    load,
    mutated,
    needs_faad,
    needs_ffmpeg,
    outcome,
    sndfile,
)
from tests.covering import each
from tests.cuts import CUTS, Cut, cuts_of, run

RATES_HZ = {"mono.aac": 24000, "stereo.aac": 44100, "he.aac": 48000, "he_v2.aac": 48000}
NAMES = tuple(RATES_HZ)
AAC = {name: load(name) for name in NAMES}
MONO = AAC["mono.aac"]

every_cut = pytest.mark.parametrize("cut", CUTS)


def frames_of(data: bytes) -> list[bytes]:
    frames = []
    while data:
        header = read_adts_header(data[:7])
        assert header is not None
        frames.append(data[: header.frame_bytes])
        data = data[header.frame_bytes :]
    return frames


def bits(text: str) -> bytes:
    size = -(-len(text) // 8)
    return int(text.ljust(8 * size, "0"), 2).to_bytes(size, "big")


FRAMES = frames_of(MONO)
WHOLE = decode(AacDecoder, MONO)


# The samples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_those_of_ffmpeg_in_every_cut(name: str) -> None:
    expected = np.rint(sndfile(load(f"{name}.flac"))).astype(np.int16)
    trailing = JUNK if name == "mono.aac" else ()
    check_decoder(AacDecoder, AAC[name], [Block(expected, RATES_HZ[name])], trailing=trailing, within=1)


@needs_ffmpeg
@pytest.mark.parametrize("name", NAMES)
def test_samples_are_those_of_the_ffmpeg_that_is_installed(name: str) -> None:
    assert apart(decode(AacDecoder, AAC[name]), by_ffmpeg(name)) < 0.51


@needs_faad
def test_samples_are_those_of_faad(tmp_path: Path) -> None:
    """faad leaves out the first frame, which holds no sound yet. Mono of up to 24 kHz it plays at twice the rate."""
    out = tmp_path / "faad.wav"
    subprocess.run(["faad", "-q", "-b", "4", "-o", str(out), str(GOLDEN / "stereo.aac")], check=True)
    assert apart(decode(AacDecoder, AAC["stereo.aac"])[1024:], sndfile(out.read_bytes())) < 0.51


@pytest.mark.parametrize("name", NAMES)
def test_the_first_block_comes_with_the_last_byte_of_the_first_frame(name: str) -> None:
    assert first_block_at(AacDecoder, AAC[name]) == len(frames_of(AAC[name])[0])


def test_every_frame_comes_with_its_last_byte() -> None:
    decoder = AacDecoder()
    ends = [at + 1 for at in range(len(MONO)) for _ in decoder.feed(MONO[at : at + 1])]
    assert ends == np.cumsum([len(frame) for frame in FRAMES]).tolist()


@pytest.mark.parametrize("name", ["he.aac", "he_v2.aac"])
def test_replicated_bands_double_the_rate_of_the_header(name: str) -> None:
    header = read_adts_header(AAC[name][:7])
    assert header is not None
    assert read_config(header.config).sample_rate_hz == 24000
    assert {block.sample_rate_hz for block in run(AacDecoder(), [AAC[name]])} == {48000}


@every_cut
def test_a_delay_is_trimmed_if_it_is_told(cut: Cut) -> None:
    blocks = run(AacDecoder(encoder_delay_samples=3000), cut(MONO))
    np.testing.assert_array_equal(joined(blocks), WHOLE[3000:])


def test_rate_and_channels_may_change() -> None:
    names = ["mono.aac", "stereo.aac", "he.aac", "stereo.aac", "mono.aac"]
    blocks = run(AacDecoder(), [b"".join(AAC[name] for name in names)])
    assert runs_of(blocks) == [kind for name in names for kind in runs_of(run(AacDecoder(), [AAC[name]]))]


def test_a_checksum_in_the_header_is_read_over() -> None:
    protected = b""
    for frame in FRAMES:
        size = len(frame) + 2
        head = bytes([0xFF, frame[1] & 0xFE, frame[2], frame[3] & 0xFC | size >> 11, size >> 3 & 0xFF])
        protected += head + bytes([(size & 7) << 5 | frame[5] & 31, frame[6]]) + b"\x12\x34" + frame[7:]
    np.testing.assert_array_equal(decode(AacDecoder, protected, 99), WHOLE)


# Damage ----------------------------------------------------------------------------------------------------------


@every_cut
def test_a_broken_frame_is_silence_of_its_length(cut: Cut) -> None:
    frames = FRAMES.copy()
    # An element that exists, but not in this configuration.
    frames[5] = frames[5][:7] + b"\x20" + bytes(len(frames[5]) - 8)
    decoder = AacDecoder()
    samples = joined(run(decoder, cut(b"".join(frames))))
    assert decoder.damaged_samples == 1024
    assert len(samples) == len(WHOLE)
    np.testing.assert_array_equal(samples[: 5 * 1024], WHOLE[: 5 * 1024])
    assert not samples[5 * 1024 : 6 * 1024].any()
    np.testing.assert_array_equal(samples[8 * 1024 :], WHOLE[8 * 1024 :])


@every_cut
@each("junk", [b"x", bytes(1000), random.Random(2).randbytes(1024), b"\xff\xf1\x50\x80\x01"])
def test_junk_costs_no_sound(junk: bytes, cut: Cut) -> None:
    decoder = AacDecoder()
    data = b"".join([b"start", junk, *FRAMES[:5], junk, *FRAMES[5:], junk + b"end"])
    np.testing.assert_array_equal(joined(run(decoder, cut(data))), WHOLE)
    assert (decoder.junk_bytes, decoder.damaged_samples) == (3 * len(junk) + 8, 0)


@pytest.mark.parametrize("missing", [1, 20, 50])
def test_a_frame_that_is_cut_is_truncated(missing: int) -> None:
    blocks, error, _ = outcome(AacDecoder, [MONO[:-missing]])
    assert isinstance(error, TruncatedAudioError)
    samples = joined(blocks)
    assert len(samples) in (len(WHOLE) - 1024, len(WHOLE) - 2048)
    np.testing.assert_array_equal(samples, WHOLE[: len(samples)])


def test_a_lot_of_junk_is_an_error() -> None:
    decoder = AacDecoder()
    assert decoder.feed(MONO + bytes(JUNK_RUN_BYTES_MAX + 1))
    for _ in range(2):
        with pytest.raises(CorruptAudioError, match="are not AAC"):
            decoder.feed(MONO)
    with pytest.raises(CorruptAudioError, match="are not AAC"):
        decoder.flush()


def test_nothing_but_broken_frames_is_an_error() -> None:
    broken = FRAMES[5][:7] + b"\x20" + bytes(len(FRAMES[5]) - 8)
    blocks, error, _ = outcome(AacDecoder, [broken * 20])
    assert isinstance(error, CorruptAudioError)
    assert str(error) == "none of 20 packets decodes"
    assert not joined(blocks).any()


def test_many_small_broken_frames_are_an_error() -> None:
    """Each may cost FFmpeg half a millisecond."""
    head = bytes([0xFF, 0xF1, MONO[2], MONO[3] & 0xFC, 2, 0x1F, 0xFC])
    with pytest.raises(CorruptAudioError, match="broken packets"):
        run(AacDecoder(), [MONO + (head + bytes(10)[:9]) * 200])


def test_a_packet_without_sound_is_left_out() -> None:
    """Some encoders begin with their name."""
    filler = bits("110" + "1111" + "00000010" + "0" * 128 + "111")
    size = len(filler) + 7
    head = bytes([0xFF, 0xF1, MONO[2], MONO[3] & 0xFC | size >> 11, size >> 3 & 0xFF, (size & 7) << 5 | 31, 0xFC])
    blocks, error, decoder = outcome(AacDecoder, [head + filler + MONO])
    assert error is None
    assert decoder.damaged_samples == 0  # type: ignore[attr-defined]
    np.testing.assert_array_equal(joined(blocks), WHOLE)


# What is refused -------------------------------------------------------------------------------------------------


def with_head(third: int, fourth: int, last: int = 0xFC) -> bytes:
    return MONO[:2] + bytes([third, fourth | MONO[3] & 3]) + MONO[4:6] + bytes([last]) + MONO[7:]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(bytes(20_000), "are not AAC", id="zeros"),
        pytest.param(b"RIFF" + bytes(200), "without a frame", id="another file"),
        pytest.param(with_head(MONO[2] | 1, 0x80), "6 channels; one and two are played", id="6 channels"),
        pytest.param(with_head(MONO[2], 0), "does not say how many channels", id="channels not stated"),
        pytest.param(with_head(MONO[2], 0x40, 0xFD), "several AAC frames in one", id="two raw blocks"),
        pytest.param(with_head(MONO[2] & 0x3F | 0x80, 0x40), "object type 3", id="SSR"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        blocks, error, _ = outcome(AacDecoder, pieces)
        assert not blocks
        assert isinstance(error, CorruptAudioError)
        assert reason in str(error)


@pytest.mark.parametrize("end", [1, 2, 6, 7, 100])
def test_an_end_before_the_first_frame_is_truncated(end: int) -> None:
    with pytest.raises(TruncatedAudioError):
        run(AacDecoder(), [MONO[:end]])


def test_nothing_is_nothing() -> None:
    assert run(AacDecoder(), [b"", b""]) == []


@pytest.mark.parametrize(
    ("data", "object_type", "rate_hz", "channels"),
    [
        ("1310", 2, 24000, 2),
        ("1188", 2, 48000, 1),
        ("2b098800", 5, 24000, 1),
        # The rate as a number, not an index.
        (bits("00010" + "1111" + f"{48000:024b}" + "0001" + "000").hex(), 2, 48000, 1),
    ],
)
def test_what_a_configuration_says(data: str, object_type: int, rate_hz: int, channels: int) -> None:
    config = read_config(bytes.fromhex(data))
    assert (config.object_type, config.sample_rate_hz, config.channels) == (object_type, rate_hz, channels)


@pytest.mark.parametrize("data", ["", "13", "ffff", "0000"])
def test_a_configuration_that_is_none(data: str) -> None:
    with pytest.raises(CorruptAudioError):
        read_config(bytes.fromhex(data))


def test_an_empty_packet_is_broken_and_the_next_one_is_not() -> None:
    header = read_adts_header(MONO[:7])
    assert header is not None
    packets = AacPackets(read_config(header.config))
    (silence,) = packets.decode(b"")
    assert packets.is_broken
    assert not silence.samples.any()
    packets.decode(FRAMES[0][7:])
    assert not packets.is_broken


# Anything --------------------------------------------------------------------------------------------------------


@given(st.data())
def test_random_cuts(data: st.DataObject) -> None:
    stream = MONO[:900] + b"\xff\xf1" + MONO[:700]
    check_any_input(AacDecoder, stream, data.draw(cuts_of(stream)))


@given(st.data(), st.sampled_from(NAMES), MUTATIONS)
def test_no_mutation_breaks_anything_but_the_sound(
    data: st.DataObject, name: str, mutations: list[tuple[float, bytes, int]]
) -> None:
    stream = mutated(AAC[name][:3000], mutations)
    check_any_input(AacDecoder, stream, data.draw(cuts_of(stream, 4)))


@given(st.binary(max_size=3000), st.integers(0, 300), st.integers(0, 3000))
def test_any_bytes(data: bytes, size: int, delay: int) -> None:
    make = partial(AacDecoder, encoder_delay_samples=delay)
    check_any_input(make, data, [data[:size], data[size:]])
    check_any_input(make, MONO[:8] + data, [MONO[:8] + data[:size], data[size:]])
