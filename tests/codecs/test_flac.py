"""FLAC: libsndfile's samples exactly, from the last byte of the first frame on, in any cut."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.codecs.base import Block, CorruptAudioError, TruncatedAudioError, to_mono
from relay.codecs.flac import DAMAGED_FRAMES_MAX, JUNK_RUN_BYTES_MAX, METADATA_BLOCKS_MAX, FlacDecoder
from relay.codecs.flac_frames import crc16, crc16_zeros, read_frame_header, read_stream_info
from relay.testing.conformance.codec import check_decoder
from tests.codecs.streams import (
    JUNK,
    MUTATIONS,
    check_any_input,
    decode,
    first_block_at,
    joined,
    load,
    mutated,
    outcome,
    sndfile,
    sndfile_channels,
)
from tests.covering import each
from tests.cuts import CUTS, Cut, cuts_of, run

NAMES = ("mono.flac", "stereo.flac", "pipe.flac", "wide.flac")
FLAC = {name: load(name) for name in NAMES}
MONO = FLAC["mono.flac"]


def audio_at(data: bytes) -> int:
    """Where the first frame begins."""
    at = 4
    while not data[at] & 0x80:
        at += 4 + int.from_bytes(data[at + 1 : at + 4], "big")
    return at + 4 + int.from_bytes(data[at + 1 : at + 4], "big")


def frames_of(data: bytes) -> list[bytes]:
    """The frames, cut by brute force: where a header stands and the checksum of what is before fits."""
    info = read_stream_info(data[8:42])
    at, frames = audio_at(data), []
    places = [p for p in range(at, len(data)) if data[p] == 0xFF and read_frame_header(data[p : p + 16], info)]
    for place in [*places[1:], len(data)]:
        if place > at and crc16(data[at:place], 0) == 0:
            frames.append(data[at:place])
            at = place
    assert at == len(data)
    return frames


FRAMES = frames_of(MONO)
HEAD = MONO[: audio_at(MONO)]
WHOLE = decode(FlacDecoder, MONO)
BLOCK = 4096


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_those_of_libsndfile_in_every_cut(name: str) -> None:
    # libsndfile cannot read a file of unknown length; that one holds the same sound.
    judged = MONO if name == "pipe.flac" else FLAC[name]
    samples, rate_hz = sndfile_channels(judged, "float32" if name == "wide.flac" else "int16")
    mono = samples[:, 0] if samples.shape[1] == 1 else to_mono(samples.reshape(-1))
    check_decoder(FlacDecoder, FLAC[name], [Block(mono, rate_hz)], trailing=JUNK if name == "mono.flac" else ())


def test_24_bits_are_exact() -> None:
    (block, *_) = FlacDecoder().feed(FLAC["wide.flac"])
    assert block.samples.dtype == np.float32
    np.testing.assert_array_equal(joined([block]), sndfile(FLAC["wide.flac"]))


@pytest.mark.parametrize("name", NAMES)
def test_the_first_block_comes_with_the_last_byte_of_the_first_frame(name: str) -> None:
    data = FLAC[name]
    assert first_block_at(FlacDecoder, data) == audio_at(data) + len(frames_of(data)[0])


def test_every_frame_comes_with_its_last_byte() -> None:
    decoder = FlacDecoder()
    ends = [at + 1 for at in range(len(MONO)) for _ in decoder.feed(MONO[at : at + 1])]
    assert ends == [len(HEAD) + end for end in np.cumsum([len(frame) for frame in FRAMES])]


@each("tail", range(1, 16))
def test_a_piece_that_ends_in_the_next_header_does_not_delay_the_frame(tail: int) -> None:
    decoder = FlacDecoder()
    (block,) = decoder.feed(MONO[: len(HEAD) + len(FRAMES[0]) + tail])
    assert block.samples.size == BLOCK


def test_files_one_behind_the_other() -> None:
    both = decode(FlacDecoder, MONO + FLAC["stereo.flac"] + b"junk" + MONO, 777)
    np.testing.assert_array_equal(both, np.concatenate([WHOLE, decode(FlacDecoder, FLAC["stereo.flac"]), WHOLE]))


# Damage ----------------------------------------------------------------------------------------------------------


@each("cut", CUTS)
@each("index", [0, 1, len(FRAMES) - 2])
def test_a_damaged_frame_is_silence_of_its_length(index: int, cut: Cut) -> None:
    frames = FRAMES.copy()
    at = len(frames[index]) // 2
    frames[index] = frames[index][:at] + bytes([frames[index][at] ^ 1]) + frames[index][at + 1 :]
    decoder = FlacDecoder()
    samples = joined(run(decoder, cut(HEAD + b"".join(frames))))
    assert decoder.damaged_samples == BLOCK
    expected = WHOLE.copy()
    expected[index * BLOCK : (index + 1) * BLOCK] = 0
    np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize("cut", CUTS)
def test_a_lost_frame_is_counted(cut: Cut) -> None:
    decoder = FlacDecoder()
    samples = joined(run(decoder, cut(HEAD + FRAMES[0] + b"".join(FRAMES[2:]))))
    np.testing.assert_array_equal(samples, np.concatenate([WHOLE[:BLOCK], WHOLE[2 * BLOCK :]]))
    assert decoder.damaged_samples == BLOCK


@each("cut", CUTS)
@each("junk", [b"x", bytes(500), random.Random(3).randbytes(3000), b"fLa\xff\xf8\xff\xf9 "])
def test_junk_costs_no_sound(junk: bytes, cut: Cut) -> None:
    decoder = FlacDecoder()
    data = HEAD + FRAMES[0] + junk + b"".join(FRAMES[1:]) + junk
    np.testing.assert_array_equal(joined(run(decoder, cut(data))), WHOLE)
    assert (decoder.junk_bytes, decoder.damaged_samples) == (2 * len(junk), 0)


@pytest.mark.parametrize("cut", CUTS)
def test_a_header_that_is_damaged_costs_its_frame(cut: Cut) -> None:
    broken = FRAMES[1][:3] + b"\x77" + FRAMES[1][4:]
    decoder = FlacDecoder()
    samples = joined(run(decoder, cut(HEAD + FRAMES[0] + broken + b"".join(FRAMES[2:]))))
    np.testing.assert_array_equal(samples, np.concatenate([WHOLE[:BLOCK], WHOLE[2 * BLOCK :]]))
    assert (decoder.damaged_samples, decoder.junk_bytes) == (BLOCK, len(broken))


@pytest.mark.parametrize("missing", [1, 2, 100, 3000])
def test_a_file_that_is_cut_is_truncated_after_the_good_frames(missing: int) -> None:
    blocks, error, _ = outcome(FlacDecoder, [MONO[:-missing]])
    assert isinstance(error, TruncatedAudioError)
    samples = joined(blocks)
    assert len(samples) % BLOCK == 0
    np.testing.assert_array_equal(samples, WHOLE[: len(samples)])


def test_fewer_samples_than_stated_are_truncated() -> None:
    with pytest.raises(TruncatedAudioError, match=f"{len(WHOLE) - BLOCK} samples short"):
        run(FlacDecoder(), [HEAD + FRAMES[0]])


def test_too_much_damage_is_an_error() -> None:
    broken = FRAMES[1][:40] + b"\x55\xaa\x55" + FRAMES[1][43:]
    numbered = [renumbered(broken, number) for number in range(1, 2 * DAMAGED_FRAMES_MAX)]
    with pytest.raises(CorruptAudioError, match="in a row are damaged"):
        run(FlacDecoder(), [HEAD + FRAMES[0], b"".join(numbered), FRAMES[0]])


def renumbered(frame: bytes, number: int) -> bytes:
    """Frame numbers below 128 take a byte, and these headers end behind it."""
    header = frame[:4] + bytes([number])
    crc = 0
    for byte in header:
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 ^ (0x107 if crc & 0x80 else 0)
    return header + bytes([crc]) + frame[6:]


def test_a_lot_of_junk_is_an_error() -> None:
    decoder = FlacDecoder()
    assert len(decoder.feed(HEAD + FRAMES[0] + bytes(JUNK_RUN_BYTES_MAX + 1))) == 1
    with pytest.raises(CorruptAudioError, match="belong to no frame"):
        decoder.feed(FRAMES[1])
    with pytest.raises(CorruptAudioError, match="belong to no frame"):
        decoder.flush()


# What is refused -------------------------------------------------------------------------------------------------


def stream_info(rate_hz: int, channels: int) -> bytes:
    word = rate_hz << 44 | channels - 1 << 41 | 15 << 36
    return b"fLaC\x80\0\0\x22" + MONO[8:18] + word.to_bytes(8, "big") + bytes(16)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"RIFF" + bytes(100), "not FLAC", id="another file"),
        pytest.param(b"fLaC\x84\0\0\x04" + bytes(100), "no STREAMINFO", id="comments first"),
        pytest.param(stream_info(24000, 6), "6 channels; one and two are played", id="6 channels"),
        pytest.param(stream_info(600_000, 1), "600000 Hz", id="600 kHz"),
        pytest.param(MONO[:4] + b"\0" + MONO[5:42] + b"\1\0\0\0" * 200, f"{METADATA_BLOCKS_MAX} blocks", id="blocks"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        blocks, error, _ = outcome(FlacDecoder, pieces)
        assert not blocks
        assert isinstance(error, CorruptAudioError)
        assert reason in str(error)


@pytest.mark.parametrize("end", [1, 3, 4, 20, 42, 60, len(HEAD) + 3, len(HEAD) + 100])
def test_an_end_before_the_first_frame_is_one(end: int) -> None:
    with pytest.raises(TruncatedAudioError):
        run(FlacDecoder(), [MONO[:end]])


def test_nothing_is_nothing() -> None:
    assert run(FlacDecoder(), [b"", b""]) == []


def test_an_endless_silence_is_refused() -> None:
    """The longest blocks that there are, of one value: 65,535 samples in 13 bytes."""
    header = b"\xff\xf8\x70\x08"
    frames = []
    for number in range(120):
        data = header + bytes([number]) + b"\xff\xfe"
        crc = 0
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc << 1 ^ (0x107 if crc & 0x80 else 0)
        frame = data + bytes([crc]) + b"\0\0\0"
        frames.append(frame + crc16(frame, 0).to_bytes(2, "big"))
    head = MONO[:8] + b"\x00\x10\xff\xff" + bytes(6) + MONO[18:21] + b"\xf0" + bytes(20)
    head = head[:4] + b"\x80" + head[5:]
    blocks, error, _ = outcome(FlacDecoder, [head + b"".join(frames)])
    assert isinstance(error, CorruptAudioError)
    assert "more silence" in str(error)
    assert 20 < sum(block.samples.size for block in blocks) / 65535 < 100


# Anything --------------------------------------------------------------------------------------------------------


@given(st.data())
def test_random_cuts(data: st.DataObject) -> None:
    stream = MONO[:9000] + MONO
    check_any_input(FlacDecoder, stream, data.draw(cuts_of(stream)))


@given(st.data(), st.sampled_from(NAMES), MUTATIONS)
def test_no_mutation_breaks_anything_but_the_sound(
    data: st.DataObject, name: str, mutations: list[tuple[float, bytes, int]]
) -> None:
    stream = mutated(FLAC[name][:12000], mutations)
    check_any_input(FlacDecoder, stream, data.draw(cuts_of(stream, 4)))


@given(st.binary(max_size=3000), st.integers(0, 300))
def test_any_bytes(data: bytes, size: int) -> None:
    check_any_input(FlacDecoder, data, [data[:size], data[size:]])
    check_any_input(FlacDecoder, HEAD + data, [HEAD + data[:size], data[size:]])


@given(st.binary(max_size=3000), st.integers(0, 0xFFFF), st.integers(0, 3000))
def test_the_checksum_is_the_same_by_rows_and_in_parts(data: bytes, start: int, cut: int) -> None:
    slow, zeros = start, []
    data += frame_checksum(data, start)
    for at, byte in enumerate(data, 1):
        slow = step(slow, byte)
        if slow == 0:
            zeros.append(at)
    assert zeros
    assert crc16_zeros(data, start) == (zeros, slow)
    assert crc16(data[cut:], crc16(data[:cut], start)) == slow


def step(crc: int, byte: int) -> int:
    crc ^= byte << 8
    for _ in range(8):
        crc = (crc << 1) ^ (0x18005 if crc & 0x8000 else 0)
    return crc


def frame_checksum(data: bytes, crc: int) -> bytes:
    for byte in data:
        crc = step(crc, byte)
    return crc.to_bytes(2, "big")
