"""Ogg: the samples of libopus, libvorbis and libFLAC (through libsndfile), from the first packet on, in any cut."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from relay.codecs.base import Block, CorruptAudioError, TruncatedAudioError
from relay.codecs.ogg import JUNK_RUN_BYTES_MAX, PACKET_BYTES_MAX, OggDecoder
from relay.codecs.ogg_pages import checksum, is_intact, packet_sizes
from relay.codecs.opus import packet_samples, read_head
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
    ogg_pages,
    opus_at_48k,
    outcome,
    sndfile,
    with_checksum,
)
from tests.covering import each
from tests.cuts import CUTS, Cut, cuts_of, run

OPUS = ("mono.opus", "stereo.opus", "long.opus", "pipe.opus")
VORBIS = ("mono.ogg", "stereo.ogg")
NAMES = (*OPUS, *VORBIS, "flac.oga")
OGG = {name: load(name) for name in NAMES}
RATES_HZ = {"mono.ogg": 24000, "stereo.ogg": 44100, "flac.oga": 24000}

every_cut = pytest.mark.parametrize("cut", CUTS)


def reference(name: str) -> NDArray[np.float64]:
    """libsndfile reads no FLAC within Ogg here; the same sound is in another file."""
    data = load("mono.flac") if name == "flac.oga" else opus_at_48k(OGG[name]) if name in OPUS else OGG[name]
    return sndfile(data)


# The samples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_those_of_the_reference_decoders_in_every_cut(name: str) -> None:
    expected = np.rint(reference(name)).clip(-32768, 32767).astype(np.int16)
    check_decoder(OggDecoder, OGG[name], [Block(expected, RATES_HZ.get(name, 48000))], within=1)


@each("name", ["pipe.opus", "mono.ogg", "flac.oga"])
@every_cut
def test_what_is_behind_the_last_page_is_not_heard(name: str, cut: Cut) -> None:
    for tail in JUNK:
        np.testing.assert_array_equal(joined(run(OggDecoder(), cut(OGG[name] + tail))), decode(OggDecoder, OGG[name]))


@pytest.mark.parametrize("name", NAMES)
def test_no_sample_is_further_off_than_rounding(name: str) -> None:
    assert apart(decode(OggDecoder, OGG[name]), reference(name)) < 0.51


@needs_ffmpeg
@pytest.mark.parametrize("name", NAMES)
def test_as_long_as_ffmpeg_decodes(name: str) -> None:
    """FFmpeg's own decoder of Opus, which its command prefers, differs from libopus by thousands of steps in SILK."""
    theirs = by_ffmpeg(name)
    ours = decode(OggDecoder, OGG[name])
    assert len(ours) == len(theirs)
    if name not in OPUS:
        assert apart(ours, theirs) < 0.51


# The first sound -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*OPUS, "flac.oga"])
def test_the_first_block_comes_with_the_last_byte_of_the_first_packet(name: str) -> None:
    data, at = OGG[name], 0
    for page in ogg_pages(data):
        table = page[27 : 27 + page[26]]
        first, _ = packet_sizes(table)[0]
        body = page[27 + len(table) :]
        if not page[5] & 2 and body[:8] != b"OpusTags" and (name in OPUS or body[0] == 0xFF):
            assert first_block_at(OggDecoder, data) == at + 27 + len(table) + first
            return
        at += len(page)
    raise AssertionError("no page of audio")


@pytest.mark.parametrize("name", VORBIS)
def test_vorbis_comes_with_the_end_of_its_first_page(name: str) -> None:
    pages = ogg_pages(OGG[name])
    ends = np.cumsum([len(page) for page in pages])
    first = next(index for index, page in enumerate(pages) if int.from_bytes(page[6:14], "little"))
    assert first_block_at(OggDecoder, OGG[name]) == ends[first]


@pytest.mark.parametrize("name", OPUS)
def test_every_packet_comes_with_its_last_byte(name: str) -> None:
    decoder = OggDecoder()
    data = OGG[name]
    came = sum(len(decoder.feed(data[at : at + 1])) for at in range(len(data)))
    pages = [page for page in ogg_pages(data) if not page[5] & 2 and b"OpusTags" not in page]
    assert came == sum(len(packet_sizes(page[27 : 27 + page[26]])) for page in pages)


# Positions -------------------------------------------------------------------------------------------------------


def with_positions(data: bytes, shift: int) -> bytes:
    """All positions of audio moved."""
    pages = []
    for page in ogg_pages(data):
        position = int.from_bytes(page[6:14], "little", signed=True)
        if position > 0:
            page = with_checksum(page[:6] + (position + shift).to_bytes(8, "little", signed=True) + page[14:])
        pages.append(page)
    return b"".join(pages)


@every_cut
def test_the_start_of_vorbis_is_trimmed_as_its_first_position_says(cut: Cut) -> None:
    whole = decode(OggDecoder, OGG["mono.ogg"])
    data = with_positions(OGG["mono.ogg"], -1000)
    np.testing.assert_array_equal(joined(run(OggDecoder(), cut(data))), whole[1000:])


def test_a_stream_that_was_joined_late_is_whole() -> None:
    for name in ("mono.opus", "mono.ogg"):
        whole = decode(OggDecoder, OGG[name])
        np.testing.assert_array_equal(decode(OggDecoder, with_positions(OGG[name], 1_000_000)), whole)


@each("trimmed", [0, 1, 500, 5000])
@each("name", ["mono.opus", "long.opus", "mono.ogg", "flac.oga"])
def test_the_end_is_trimmed_as_the_last_position_says(name: str, trimmed: int) -> None:
    *pages, last = ogg_pages(OGG[name])
    position = int.from_bytes(last[6:14], "little") - trimmed
    data = b"".join(pages) + with_checksum(last[:6] + position.to_bytes(8, "little") + last[14:])
    whole = decode(OggDecoder, OGG[name])
    np.testing.assert_array_equal(decode(OggDecoder, data), whole[: len(whole) - trimmed])


def test_without_the_mark_of_the_last_page_nothing_is_trimmed() -> None:
    *pages, last = ogg_pages(OGG["mono.opus"])
    data = b"".join(pages) + with_checksum(last[:5] + bytes([last[5] & ~4]) + last[6:])
    blocks, error, _ = outcome(OggDecoder, [data])
    assert error is None
    assert (len(joined(blocks)) + 312) % 960 == 0


def test_pre_skip_longer_than_packets() -> None:
    first, *pages = ogg_pages(OGG["mono.opus"])
    head = with_checksum(first[:38] + (4000).to_bytes(2, "little") + first[40:])
    assert head[28:36] == b"OpusHead"
    whole = decode(OggDecoder, OGG["mono.opus"])
    np.testing.assert_array_equal(decode(OggDecoder, head + b"".join(pages)), whole[4000 - 312 :])


def test_output_gain_is_applied() -> None:
    first, *pages = ogg_pages(OGG["mono.opus"])
    head = with_checksum(first[:44] + (-1541).to_bytes(2, "little", signed=True) + first[46:])  # -6.02 dB
    louder, softer = decode(OggDecoder, OGG["mono.opus"]), decode(OggDecoder, head + b"".join(pages))
    assert apart(louder / 2, softer) <= 2


# Chains and multiplexes ------------------------------------------------------------------------------------------


@every_cut
def test_streams_one_behind_the_other(cut: Cut) -> None:
    names = ["mono.opus", "mono.ogg", "flac.oga", "mono.opus", "stereo.ogg"]
    blocks = run(OggDecoder(), cut(b"".join(OGG[name] for name in names)))
    expected = [run(OggDecoder(), [OGG[name]]) for name in names]
    assert runs_of(blocks) == runs_of([block for part in expected for block in part])


def test_of_multiplexed_streams_the_first_that_is_played_is_decoded() -> None:
    opus, vorbis = ogg_pages(OGG["mono.opus"]), ogg_pages(OGG["mono.ogg"])
    video = with_checksum(b"OggS\0\2" + bytes(8) + b"\1\2\3\4" + bytes(8) + b"\1\x2a" + b"\x80theora" + bytes(35))
    woven = [video, opus[0], vorbis[0]]
    for index in range(1, max(len(opus), len(vorbis))):
        woven += [*vorbis[index : index + 1], *opus[index : index + 1]]
    np.testing.assert_array_equal(decode(OggDecoder, b"".join(woven)), decode(OggDecoder, OGG["mono.opus"]))


# Damage ----------------------------------------------------------------------------------------------------------


@every_cut
@each("name", ["pipe.opus", "mono.ogg"])
def test_a_page_that_is_lost_is_counted(name: str, cut: Cut) -> None:
    pages = ogg_pages(OGG[name])
    index = 10 if name in OPUS else len(pages) - 2
    decoder = OggDecoder()
    samples = joined(run(decoder, cut(b"".join(pages[:index] + pages[index + 1 :]))))
    whole = decode(OggDecoder, OGG[name])
    assert decoder.damaged_samples == len(whole) - len(samples) > 0
    if name == "pipe.opus":
        before = (index - 2) * 960 - 312
        np.testing.assert_array_equal(samples[:before], whole[:before])
    else:
        np.testing.assert_array_equal(samples[-5000:], whole[-5000:])


@every_cut
def test_a_damaged_page_of_opus_is_played_and_counted(cut: Cut) -> None:
    pages = ogg_pages(OGG["pipe.opus"])
    page = pages[10]
    pages[10] = page[:-5] + bytes([page[-5] ^ 4]) + page[-4:]
    decoder = OggDecoder()
    samples = joined(run(decoder, cut(b"".join(pages))))
    whole = decode(OggDecoder, OGG["pipe.opus"])
    assert len(samples) == len(whole)
    assert decoder.damaged_samples == 960
    start = (10 - 2) * 960 - 312
    np.testing.assert_array_equal(samples[:start], whole[:start])


@every_cut
def test_a_damaged_page_of_vorbis_is_not_played(cut: Cut) -> None:
    pages = ogg_pages(OGG["mono.ogg"])
    index = next(at for at, page in enumerate(pages) if int.from_bytes(page[6:14], "little"))
    page = pages[index]
    pages[index] = page[:-5] + bytes([page[-5] ^ 4]) + page[-4:]
    blocks, error, _ = outcome(OggDecoder, cut(b"".join(pages)))
    assert error is None
    whole = decode(OggDecoder, OGG["mono.ogg"])
    left = joined(blocks)
    assert 0 < len(left) < len(whole)
    np.testing.assert_array_equal(left[-2000:], whole[-2000:])


def test_a_broken_packet_of_opus_is_silence_of_its_length() -> None:
    """Two frames, the first of them longer than the packet."""
    pages = ogg_pages(OGG["pipe.opus"])
    page = pages[10]
    pages[10] = with_checksum(page[:28] + b"\x7a" + b"\xfb" * (len(page) - 29))
    decoder = OggDecoder()
    samples = joined(run(decoder, [b"".join(pages)]))
    assert decoder.damaged_samples == 1920
    start = (10 - 2) * 960 - 312
    assert not samples[start : start + 1920].any()


@every_cut
@each("junk", [b"x", bytes(1000), random.Random(2).randbytes(1024), b"OggS", b"OggOggS\0\7O"])
@each("name", ["pipe.opus", "mono.ogg"])
def test_junk_between_pages_costs_no_sound(name: str, junk: bytes, cut: Cut) -> None:
    pages = ogg_pages(OGG[name])
    data = b"".join([*pages[:3], junk, *pages[3:], b"junk"])
    decoder = OggDecoder()
    np.testing.assert_array_equal(joined(run(decoder, cut(data))), decode(OggDecoder, OGG[name]))
    assert (decoder.junk_bytes, decoder.damaged_samples) == (len(junk) + 4, 0)


def test_a_page_inside_a_damaged_page_is_found() -> None:
    """A table that claims too much swallows the pages behind it; they are given back."""
    pages = ogg_pages(OGG["pipe.opus"])
    page = pages[10]
    pages[10] = page[:27] + b"\xfe" + page[28:]
    decoder = OggDecoder()
    samples = joined(run(decoder, [b"".join(pages)]))
    whole = decode(OggDecoder, OGG["pipe.opus"])
    np.testing.assert_array_equal(samples[-20000:], whole[-20000:])
    assert decoder.damaged_samples > 0


def test_a_lot_of_junk_is_an_error() -> None:
    decoder = OggDecoder()
    assert decoder.feed(OGG["mono.opus"] + bytes(JUNK_RUN_BYTES_MAX + 1))
    for _ in range(2):
        with pytest.raises(CorruptAudioError, match="are not Ogg"):
            decoder.feed(b"more")
    with pytest.raises(CorruptAudioError, match="are not Ogg"):
        decoder.flush()


@each("name", NAMES)
@each("missing", [1, 60])
def test_a_page_that_is_cut_is_truncated(name: str, missing: int) -> None:
    blocks, error, _ = outcome(OggDecoder, [OGG[name][:-missing]])
    assert isinstance(error, TruncatedAudioError)
    samples, whole = joined(blocks), decode(OggDecoder, OGG[name])
    np.testing.assert_array_equal(samples, whole[: len(samples)])


@pytest.mark.parametrize("name", OPUS)
def test_an_end_between_pages_is_one(name: str) -> None:
    pages = ogg_pages(OGG[name])
    _, error, _ = outcome(OggDecoder, [b"".join(pages[:-1])])
    assert error is None


@pytest.mark.parametrize("end", [1, 27, 30])
def test_an_end_inside_the_first_page_is_truncated(end: int) -> None:
    with pytest.raises(TruncatedAudioError):
        run(OggDecoder(), [OGG["mono.opus"][:end]])


def test_an_end_among_the_headers_of_vorbis_is_truncated() -> None:
    with pytest.raises(TruncatedAudioError):
        run(OggDecoder(), [ogg_pages(OGG["mono.ogg"])[0]])


def test_nothing_is_nothing() -> None:
    assert run(OggDecoder(), [b"", b""]) == []


# What is refused -------------------------------------------------------------------------------------------------


def opus_page(head: bytes) -> bytes:
    return with_checksum(b"OggS\0\2" + bytes(8) + b"\1\2\3\4" + bytes(8) + bytes([1, len(head)]) + head)


HEAD = OGG["mono.opus"][28:47]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(bytes(20_000), "are not Ogg", id="zeros"),
        pytest.param(b"RIFF" + bytes(200), "without a page", id="another file"),
        pytest.param(opus_page(HEAD[:9] + b"\6" + HEAD[10:]), "6 channels; one and two are played", id="6 channels"),
        pytest.param(opus_page(HEAD[:8] + b"\x20" + HEAD[9:]), "version 32", id="version"),
        pytest.param(opus_page(HEAD[:18] + b"\xff"), "channel mapping 255", id="mapping"),
        pytest.param(opus_page(b"Speex   1.2"), "it holds Speex", id="Speex"),
        pytest.param(opus_page(b"what"), "an unknown codec", id="unknown"),
        pytest.param(b"".join(ogg_pages(OGG["mono.opus"])[2:]), "its beginning is missing", id="no beginning"),
        pytest.param(OGG["mono.ogg"][:39] + b"\7" + OGG["mono.ogg"][40:], "beginning is missing", id="bad first page"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        blocks, error, _ = outcome(OggDecoder, pieces)
        assert not blocks
        assert isinstance(error, CorruptAudioError)
        assert reason in str(error)


def test_a_packet_without_end_is_refused() -> None:
    first, tags, *_ = ogg_pages(OGG["mono.opus"])
    page = bytearray(b"OggS\0\0" + bytes(8) + first[14:18] + bytes(8) + b"\xff" + b"\xff" * 255 + b"\x78" * 65025)
    data = first + tags
    for number in range(2, 8):
        page[5] = 0 if number == 2 else 1
        page[18:22] = number.to_bytes(4, "little")
        page[22:26] = checksum(bytes(page)).to_bytes(4, "little")
        data += page
    with pytest.raises(CorruptAudioError, match=f"more than {PACKET_BYTES_MAX}"):
        run(OggDecoder(), [data])


def test_comments_with_a_picture_are_not_held() -> None:
    first, tags, *pages = ogg_pages(OGG["pipe.opus"])
    data = b""
    for number in range(9):
        part = tags[28:].ljust(65025, b"\0") if number == 0 else bytes(65025)
        table = b"\xff" * 255
        if number == 8:
            table, part = b"\xff" * 254 + b"\0", part[: 254 * 255]
        head = b"OggS\0" + bytes([number > 0]) + bytes(8) + first[14:18] + number.to_bytes(4, "little") + bytes(4)
        data += with_checksum_fast(head + b"\xff" + table + part)
    decoder = OggDecoder()
    samples = joined(run(decoder, [first + data + b"".join(pages)]))
    np.testing.assert_array_equal(samples, decode(OggDecoder, OGG["pipe.opus"]))


def with_checksum_fast(page: bytes) -> bytes:
    return page[:22] + checksum(page).to_bytes(4, "little") + page[26:]


def test_an_endless_silence_is_refused() -> None:
    """Packets of one byte that say 60 ms, 60 in a second of speech's bytes."""
    first, tags, *_ = ogg_pages(OGG["mono.opus"])
    data = first + tags
    for number in range(2, 40):
        head = b"OggS\0\0" + bytes(8) + first[14:18] + number.to_bytes(4, "little") + bytes(4)
        data += with_checksum_fast(head + b"\xff" + b"\1" * 255 + b"\x18" * 255)
    blocks, error, _ = outcome(OggDecoder, [data])
    assert isinstance(error, CorruptAudioError)
    assert "more silence" in str(error)
    assert 60 < sum(block.samples.size for block in blocks) / 48000 < 300


# Anything --------------------------------------------------------------------------------------------------------


@given(st.data(), st.sampled_from(NAMES))
def test_random_cuts(data: st.DataObject, name: str) -> None:
    stream = OGG[name][:3000] + OGG["mono.opus"][:2500]
    check_any_input(OggDecoder, stream, data.draw(cuts_of(stream)))


@given(st.data(), st.sampled_from(NAMES), MUTATIONS)
def test_no_mutation_breaks_anything_but_the_sound(
    data: st.DataObject, name: str, mutations: list[tuple[float, bytes, int]]
) -> None:
    stream = mutated(OGG[name][:9000], mutations)
    check_any_input(OggDecoder, stream, data.draw(cuts_of(stream, 4)))


@given(st.binary(max_size=3000), st.integers(0, 300), st.sampled_from(NAMES))
def test_any_bytes(data: bytes, size: int, name: str) -> None:
    check_any_input(OggDecoder, data, [data[:size], data[size:]])
    head = OGG[name][:100]
    check_any_input(OggDecoder, head + data, [head + data[:size], data[size:]])


@given(st.binary(max_size=600))
def test_the_checksum_is_that_of_the_specification(body: bytes) -> None:
    page = b"OggS\0\0" + bytes(20) + b"\0" + body
    assert is_intact(with_checksum(page))


def test_packets_of_a_page() -> None:
    assert packet_sizes(b"") == []
    assert packet_sizes(b"\0\5\xff\0\xff\xff\1") == [(0, True), (5, True), (255, True), (511, True)]
    assert packet_sizes(b"\1\xff\xff") == [(1, True), (510, False)]


@each(
    ("packet", "samples"),
    [
        (b"", 0),
        (b"\x00", 480),
        (b"\x18", 2880),
        (b"\x61", 960),
        (b"\x7a", 1920),
        (b"\x80", 120),
        (b"\xf8", 960),
        (b"\xfb\x06", 5760),
        (b"\xfb\x07", 0),
        (b"\xfb", 0),
    ],
)
def test_how_long_an_opus_packet_says_it_is(packet: bytes, samples: int) -> None:
    assert packet_samples(packet) == samples


def test_what_the_header_says() -> None:
    assert read_head(HEAD) == (1, 312, 0)
