"""MP4: what the same packets are in other containers, from the first packet on, in any cut."""

import random
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from relay.codecs.aac import AacDecoder
from relay.codecs.base import Block, CorruptAudioError, TruncatedAudioError
from relay.codecs.mp4 import HELD_BYTES_MAX, MOOV_BYTES_MAX, Mp4Decoder
from relay.codecs.mp4_boxes import boxes, read_movie
from relay.testing.conformance.codec import check_decoder, runs_of
from tests.codecs.streams import (
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
    needs_ffmpeg,
    opus_at_48k,
    outcome,
    sndfile,
)
from tests.covering import each
from tests.cuts import CUTS, Cut, cuts_of, run

RATES_HZ = {
    "first.m4a": 24000,
    "last.m4a": 24000,
    "fragments.mp4": 24000,
    "delayed.mp4": 24000,
    "opus.mp4": 48000,
    "flac.mp4": 24000,
    "he.m4a": 48000,
}
NAMES = tuple(RATES_HZ)
MP4 = {name: load(name) for name in NAMES}
# Samples that were encoded, and what FFmpeg's encoder of AAC puts before them.
SOURCE, PRIMING = 14400, 1024

every_cut = pytest.mark.parametrize("cut", CUTS)


def reference(name: str) -> NDArray[np.float64]:
    """The same packets by another way: through libsndfile, or as FFmpeg decoded them from ADTS."""
    if name == "opus.mp4":
        return sndfile(opus_at_48k(load("mono.opus")))
    if name == "flac.mp4":
        return sndfile(load("mono.flac"))[:9600]
    if name == "he.m4a":
        return sndfile(load("he.aac.flac"))
    samples = sndfile(load("mono.aac.flac"))
    return {
        "fragments.mp4": samples,
        "delayed.mp4": samples[PRIMING:],
    }.get(name, samples[PRIMING : PRIMING + SOURCE])


def places(data: bytes, kind: bytes) -> list[int]:
    """Where the boxes of a kind begin, at the top."""
    at, found = 0, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == kind:
            found.append(at)
        at += size
    return found


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


# The samples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_those_of_the_reference_decoders_in_every_cut(name: str) -> None:
    samples = np.rint(reference(name)).clip(-32768, 32767).astype(np.int16)
    trailing = (box(b"free", bytes(50)), box(b"mdat", b""))
    check_decoder(Mp4Decoder, MP4[name], [Block(samples, RATES_HZ[name])], trailing=trailing, within=1)


@needs_ffmpeg
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("opus.mp4", "delayed.mp4")])
def test_samples_are_those_of_the_ffmpeg_that_is_installed(name: str) -> None:
    """FFmpeg plays the padding at the end too; and of fragments, the priming that an edit list says to drop."""
    theirs, ours = by_ffmpeg(name), decode(Mp4Decoder, MP4[name])
    assert 0 <= len(theirs) - len(ours) < 1024
    assert apart(ours, theirs[: len(ours)]) < 0.51


def test_as_many_samples_as_were_encoded() -> None:
    assert len(decode(Mp4Decoder, MP4["first.m4a"])) == SOURCE
    assert len(decode(Mp4Decoder, MP4["opus.mp4"])) == 57600
    assert len(decode(Mp4Decoder, MP4["flac.mp4"])) == 9600


@every_cut
def test_files_one_behind_the_other(cut: Cut) -> None:
    names = ["first.m4a", "fragments.mp4", "last.m4a", "opus.mp4", "first.m4a"]
    blocks = run(Mp4Decoder(), cut(b"".join(MP4[name] for name in names)))
    assert runs_of(blocks) == runs_of([block for name in names for block in run(Mp4Decoder(), [MP4[name]])])


# The first sound -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "packets_of_priming"), [("flac.mp4", 0), ("he.m4a", 0), ("fragments.mp4", 0)])
def test_the_first_block_comes_with_the_last_byte_of_the_first_packet(name: str, packets_of_priming: int) -> None:
    data = MP4[name]
    at = places(data, b"mdat")[0] + 8
    assert first_block_at(Mp4Decoder, data) == at + first_packet_bytes(name) + packets_of_priming


def first_packet_bytes(name: str) -> int:
    if name == "fragments.mp4":
        data = MP4[name]
        moof = data[places(data, b"moof")[0] + 8 :]
        trun = dict(boxes(dict(boxes(moof[: places(data, b"mdat")[0] - places(data, b"moof")[0] - 8]))[b"traf"]))[
            b"trun"
        ]
        flags = int.from_bytes(trun[1:4], "big")
        at = 8 + 4 * bool(flags & 1) + 4 * bool(flags & 4) + 4 * bool(flags & 0x100)
        return int.from_bytes(trun[at : at + 4], "big")
    moov = MP4[name][places(MP4[name], b"moov")[0] :]
    return next(read_movie(moov[8 : int.from_bytes(moov[:4], "big")]).tables.runs()).sizes[0]


def test_priming_is_not_heard() -> None:
    """One packet of AAC in an M4A is the encoder's delay: sound comes with the second."""
    data = MP4["first.m4a"]
    moov = data[places(data, b"moov")[0] :]
    sizes = next(read_movie(moov[8 : int.from_bytes(moov[:4], "big")]).tables.runs()).sizes
    assert first_block_at(Mp4Decoder, data) == places(data, b"mdat")[0] + 8 + sizes[0] + sizes[1]


def test_every_packet_comes_with_its_last_byte() -> None:
    decoder = Mp4Decoder()
    data = MP4["fragments.mp4"]
    came = sum(len(decoder.feed(data[at : at + 1])) for at in range(len(data)))
    assert came == len(reference("fragments.mp4")) // 1024


# Tables ----------------------------------------------------------------------------------------------------------


def test_boxes_between_and_within_do_not_matter() -> None:
    data = MP4["fragments.mp4"]
    at = places(data, b"moof")
    woven = data[: at[0]] + box(b"free", bytes(99)) + box(b"emsg", b"x") + data[at[0] :]
    np.testing.assert_array_equal(decode(Mp4Decoder, woven, 50), decode(Mp4Decoder, data))


def test_a_size_of_64_bits_and_one_until_the_end() -> None:
    data = MP4["fragments.mp4"]
    at = places(data, b"mdat")[-1]
    size = int.from_bytes(data[at : at + 4], "big")
    rest = data[at + size :]
    until_end = data[:at] + bytes(4) + data[at + 4 : at + size]
    np.testing.assert_array_equal(decode(Mp4Decoder, until_end), decode(Mp4Decoder, data))
    free = places(data, b"moof")[0]
    wide = struct.pack(">I4sQ", 1, b"free", 20) + bytes(4)
    np.testing.assert_array_equal(decode(Mp4Decoder, data[:free] + wide + data[free:]), decode(Mp4Decoder, data))
    assert rest


def itunes(delay: int, padding: int, samples: int) -> bytes:
    text = f" 00000000 {delay:08X} {padding:08X} {samples:016X} 00000000 00000000"
    return box(b"udta", box(b"name", b"\0\0\0\0iTunSMPB") + box(b"data", bytes(8) + text.encode()))


def test_what_itunes_says_is_trimmed() -> None:
    data = MP4["last.m4a"]
    at = places(data, b"moov")[0]
    size = int.from_bytes(data[at : at + 4], "big") + len(itunes(0, 0, 0))
    moov = size.to_bytes(4, "big") + data[at + 4 :] + itunes(2112, 100, 9000)
    everything = decode(AacDecoder, load("mono.aac"))
    np.testing.assert_array_equal(decode(Mp4Decoder, data[:at] + moov), everything[2112 : 2112 + 9000])


@pytest.mark.parametrize("name", ["last.m4a", "first.m4a"])
def test_without_an_edit_list_everything_is_heard_up_to_the_duration(name: str) -> None:
    data = MP4[name].replace(b"edts", b"free")
    everything = decode(AacDecoder, load("mono.aac"))
    np.testing.assert_array_equal(decode(Mp4Decoder, data), everything[: PRIMING + SOURCE])


def test_packets_of_one_size() -> None:
    """A table may state one size for all; these are FLAC's, which then are too long or too short, so all are broken."""
    data = MP4["flac.mp4"]
    at = data.index(b"stsz") + 8
    same = data[:at] + (100).to_bytes(4, "big") + data[at + 4 :]
    _, error, _ = outcome(Mp4Decoder, [same])
    assert isinstance(error, CorruptAudioError)
    assert "none of" in str(error)


# Damage ----------------------------------------------------------------------------------------------------------


@every_cut
def test_a_broken_packet_is_silence_of_its_length(cut: Cut) -> None:
    data = MP4["first.m4a"]
    moov = data[places(data, b"moov")[0] :]
    sizes = next(read_movie(moov[8 : int.from_bytes(moov[:4], "big")]).tables.runs()).sizes
    at = places(data, b"mdat")[0] + 8 + sum(sizes[:5])
    broken = data[:at] + b"\x20" + bytes(sizes[5] - 1) + data[at + sizes[5] :]
    decoder = Mp4Decoder()
    samples, whole = joined(run(decoder, cut(broken))), decode(Mp4Decoder, data)
    assert decoder.damaged_samples == 1024
    assert len(samples) == len(whole)
    np.testing.assert_array_equal(samples[: 4 * 1024], whole[: 4 * 1024])
    assert not samples[4 * 1024 : 5 * 1024].any()
    np.testing.assert_array_equal(samples[7 * 1024 :], whole[7 * 1024 :])


@each("missing", [1, 100, 1000])
@each("name", [name for name in NAMES if name != "last.m4a"])
def test_a_file_that_is_cut_is_truncated_after_the_good_packets(name: str, missing: int) -> None:
    blocks, error, _ = outcome(Mp4Decoder, [MP4[name][:-missing]])
    assert isinstance(error, TruncatedAudioError)
    samples, whole = joined(blocks), decode(Mp4Decoder, MP4[name])
    np.testing.assert_array_equal(samples, whole[: len(samples)])
    assert len(samples)


def test_a_file_cut_before_its_moov_is_truncated() -> None:
    data = MP4["last.m4a"]
    for end in (5, 20, 1000, places(data, b"moov")[0], len(data) - 1):
        blocks, error, _ = outcome(Mp4Decoder, [data[:end]])
        assert not blocks
        assert isinstance(error, TruncatedAudioError)


def test_fragments_may_end_at_any_fragment() -> None:
    data = MP4["fragments.mp4"]
    second = places(data, b"moof")[1]
    blocks, error, _ = outcome(Mp4Decoder, [data[:second]])
    assert error is None
    assert len(joined(blocks)) % 1024 == 0


@every_cut
@each("name", ["first.m4a", "fragments.mp4", "last.m4a"])
def test_what_is_behind_the_last_box_and_is_none_is_not_heard(name: str, cut: Cut) -> None:
    for tail in JUNK:
        decoder = Mp4Decoder()
        blocks = run(decoder, cut(MP4[name] + b"." + tail))
        np.testing.assert_array_equal(joined(blocks), decode(Mp4Decoder, MP4[name]))
        assert decoder.junk_bytes == 1 + len(tail)


@pytest.mark.parametrize("size", [600, 5000])
def test_a_lot_behind_the_last_box_is_an_error(size: int) -> None:
    decoder = Mp4Decoder()
    assert decoder.feed(MP4["first.m4a"] + b"\xfe" * size)
    with pytest.raises(CorruptAudioError, match="no box"):
        decoder.flush()


def test_nothing_is_nothing() -> None:
    assert run(Mp4Decoder(), [b"", b""]) == []


# What is refused -------------------------------------------------------------------------------------------------


def patched(name: str, mark: bytes, at: int, new: bytes) -> bytes:
    data = MP4[name]
    place = data.index(mark) + at
    return data[:place] + new + data[place + len(new) :]


FTYP = MP4["first.m4a"][: places(MP4["first.m4a"], b"moov")[0]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"RIFF" + bytes(200), "not MP4", id="another file"),
        pytest.param(bytes(200), "not MP4", id="zeros"),
        pytest.param(patched("first.m4a", b"mp4a", 0, b"alac"), "it holds alac", id="ALAC"),
        pytest.param(patched("first.m4a", b"mp4a", 0, b"enca"), "it holds enca", id="encrypted"),
        pytest.param(patched("first.m4a", b"soun", 0, b"vide"), "no track of audio", id="video"),
        pytest.param(patched("opus.mp4", b"dOps", 5, b"\6"), "6 channels; one and two are played", id="6 channels"),
        pytest.param(patched("first.m4a", b"mdhd", 16, bytes(4)), "seconds have no length", id="no timescale"),
        pytest.param(FTYP + struct.pack(">I4s", MOOV_BYTES_MAX + 9, b"moov"), f"{MOOV_BYTES_MAX} are read", id="moov"),
        pytest.param(FTYP + bytes(4) + b"moov", "takes all bytes", id="moov until the end"),
        pytest.param(FTYP + struct.pack(">I4s", HELD_BYTES_MAX + 9, b"mdat"), "ask for fragmented MP4", id="mdat"),
        pytest.param(FTYP + bytes(4) + b"mdat" + bytes(99), "ask for fragmented MP4", id="mdat until the end"),
        pytest.param(FTYP + b"\0\0\0\3moov" + bytes(600), "no box", id="box shorter than its head"),
        pytest.param(FTYP + b"\0\0\0\x08free" * 3000, "empty boxes", id="empty boxes"),
        pytest.param(patched("first.m4a", b"esds", -4, b"\xff\xff"), "longer than the one around it", id="child"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        blocks, error, _ = outcome(Mp4Decoder, pieces)
        assert not blocks
        assert isinstance(error, CorruptAudioError)
        assert reason in str(error)


def test_packets_out_of_order_are_refused() -> None:
    data = patched("first.m4a", b"stco", 12, (9).to_bytes(4, "big"))
    _, error, _ = outcome(Mp4Decoder, [data])
    assert isinstance(error, CorruptAudioError)
    assert "order" in str(error)


def test_an_endless_table_is_refused() -> None:
    """A fragment of a million packets of no bytes."""
    data = MP4["fragments.mp4"]
    start = places(data, b"moof")[0]
    number = read_movie(data[places(data, b"moov")[0] + 8 : start]).number
    tfhd = box(b"tfhd", b"\0\x02\0\0" + number.to_bytes(4, "big"))
    for count, reason in ((90_000, "broken packets"), (1 << 31, "are read")):
        trun = box(b"trun", b"\0\0\0\1" + count.to_bytes(4, "big") + (60).to_bytes(4, "big"))
        fragment = box(b"moof", box(b"traf", tfhd + trun)) + box(b"mdat", bytes(100))
        assert fragment.index(b"mdat") == 56
        _, error, _ = outcome(Mp4Decoder, [data + fragment])
        assert isinstance(error, CorruptAudioError)
        assert reason in str(error)


# Anything --------------------------------------------------------------------------------------------------------


@given(st.data(), st.sampled_from(NAMES))
def test_random_cuts(data: st.DataObject, name: str) -> None:
    stream = MP4[name] + MP4["fragments.mp4"][:2500]
    check_any_input(Mp4Decoder, stream, data.draw(cuts_of(stream)))


@given(st.data(), st.sampled_from(NAMES), MUTATIONS)
def test_no_mutation_breaks_anything_but_the_sound(
    data: st.DataObject, name: str, mutations: list[tuple[float, bytes, int]]
) -> None:
    stream = mutated(MP4[name], mutations)
    check_any_input(Mp4Decoder, stream, data.draw(cuts_of(stream, 4)))


@given(st.integers(0, 1 << 30), st.integers(1, 6))
def test_no_damage_of_the_tables_breaks_anything(seed: int, count: int) -> None:
    source = random.Random(seed)
    name = source.choice(NAMES)
    data = bytearray(MP4[name])
    moov = places(MP4[name], b"moov")[0]
    for _ in range(count):
        at = moov + source.randrange(min(1000, len(data) - moov))
        data[at : at + 1] = bytes([source.choice((0, 1, 0x7F, 0xFF, source.randrange(256)))])
    stream = bytes(data)
    check_any_input(Mp4Decoder, stream, [stream[:moov], stream[moov:]])


@given(st.binary(max_size=3000), st.integers(0, 300))
def test_any_bytes(data: bytes, size: int) -> None:
    for start in (b"", FTYP, MP4["fragments.mp4"][: places(MP4["fragments.mp4"], b"moof")[0]]):
        check_any_input(Mp4Decoder, start + data, [start + data[:size], data[size:]])
