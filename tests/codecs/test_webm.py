"""WebM and Matroska: what the same packets are in other containers, from the first block on, in any cut."""

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from relay.codecs.base import Block, CorruptAudioError, TruncatedAudioError
from relay.codecs.ebml import UNKNOWN_SIZE, children, read_size
from relay.codecs.ogg import OggDecoder
from relay.codecs.webm import BLOCK_BYTES_MAX, JUNK_RUN_BYTES_MAX, TRACKS_BYTES_MAX, WebmDecoder
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
)
from tests.covering import each
from tests.cuts import CUTS, Cut, cuts_of, run

RATES_HZ = {
    "mono.webm": 48000,
    "live.webm": 48000,
    "laced.mka": 48000,
    "vorbis.webm": 24000,
    "aac.mkv": 24000,
    "flac.mkv": 24000,
}
NAMES = tuple(RATES_HZ)
OF_OPUS = ("mono.webm", "live.webm", "laced.mka")
WEBM = {name: load(name) for name in NAMES}

every_cut = pytest.mark.parametrize("cut", CUTS)


def reference(name: str) -> NDArray[np.float64]:
    """The same packets by another way: through libsndfile, or as FFmpeg decoded them from ADTS."""
    other = {
        "mono.webm": opus_at_48k(load("mono.opus")),
        "live.webm": opus_at_48k(load("mono.opus")),
        "laced.mka": opus_at_48k(load("stereo.opus")),
        "vorbis.webm": load("mono.ogg"),
        "aac.mkv": load("mono.aac.flac"),
        "flac.mkv": load("mono.flac"),
    }[name]
    samples = sndfile(other)
    return samples[:9600] if name == "flac.mkv" else samples


# Written by hand -------------------------------------------------------------------------------------------------


def vint(value: int, length: int = 0) -> bytes:
    length = length or next(n for n in range(1, 9) if value < (1 << 7 * n) - 1)
    return (value | 1 << 7 * length).to_bytes(length, "big")


def element(identifier: str, payload: bytes, size: bytes | None = None) -> bytes:
    return bytes.fromhex(identifier) + (vint(len(payload)) if size is None else size) + payload


UNKNOWN = b"\x01" + b"\xff" * 7
EBML = element("1a45dfa3", element("4282", b"webm"))


def opus_packets(name: str = "pipe.opus") -> list[bytes]:
    return [page[27 + page[26] :] for page in ogg_pages(load(name))[2:]]


HEAD = load("pipe.opus")[28:47]
PACKETS = opus_packets()
EXPECTED = decode(OggDecoder, load("pipe.opus"))


def track(head: bytes = HEAD, number: int = 1, codec: bytes = b"A_OPUS", kind: int = 2, more: bytes = b"") -> bytes:
    return element(
        "ae",
        element("d7", bytes([number]))
        + element("83", bytes([kind]))
        + element("86", codec)
        + (element("63a2", head) if head else b"")
        + more,
    )


def block(packets: list[bytes], lacing: int = 0, number: int = 1, sizes: bytes = b"") -> bytes:
    head = vint(number) + b"\0\0" + bytes([0x80 | lacing << 1])
    return head + (bytes([len(packets) - 1]) + sizes if lacing else b"") + b"".join(packets)


def xiph(packets: list[bytes]) -> bytes:
    return b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets[:-1])


def ebml_lacing(packets: list[bytes]) -> bytes:
    sizes = [len(packet) for packet in packets[:-1]]
    steps = [vint(now - before + (1 << 13) - 1, 2) for before, now in pairwise(sizes)]
    return vint(sizes[0]) + b"".join(steps)


def webm(clusters: list[bytes], tracks: bytes | None = None, *, known: bool = True) -> bytes:
    size = None if known else UNKNOWN
    tracks = track() if tracks is None else tracks
    body = element("1654ae6b", tracks) + b"".join(element("1f43b675", cluster, size) for cluster in clusters)
    return EBML + element("18538067", body, size)


def simple(packets: list[bytes]) -> bytes:
    return element("e7", b"\0") + b"".join(element("a3", block([packet])) for packet in packets)


# The samples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_those_of_the_reference_decoders_in_every_cut(name: str) -> None:
    samples = np.rint(reference(name)).clip(-32768, 32767).astype(np.int16)
    check_decoder(
        WebmDecoder,
        WEBM[name],
        [Block(samples, RATES_HZ[name])],
        trailing=JUNK if name == "live.webm" else (),
        within=1,
    )


@needs_ffmpeg
@pytest.mark.parametrize("name", NAMES)
def test_as_long_as_ffmpeg_decodes(name: str) -> None:
    theirs, ours = by_ffmpeg(name), decode(WebmDecoder, WEBM[name])
    assert len(ours) == len(theirs)
    if name not in OF_OPUS:
        assert apart(ours, theirs) < 0.51


@every_cut
@each("known", [True, False])
def test_sizes_may_be_unknown(known: bool, cut: Cut) -> None:
    data = webm([simple(PACKETS[:20]), simple(PACKETS[20:])], known=known)
    samples = joined(run(WebmDecoder(), cut(data)))
    np.testing.assert_array_equal(samples[: len(EXPECTED)], EXPECTED)
    assert len(samples) == len(PACKETS) * 960 - 312


@every_cut
@each("lacing", [1, 2, 3])
@each("count", [1, 2, 7])
def test_lacing(lacing: int, count: int, cut: Cut) -> None:
    packets = PACKETS
    if lacing == 2:
        packets = [packet for packet in PACKETS if len(packet) == len(PACKETS[1])] * 7
    groups = [packets[at : at + count] for at in range(0, len(packets), count)]

    def sizes(group: list[bytes]) -> bytes:
        if lacing == 1:
            return xiph(group)
        return ebml_lacing(group) if lacing == 3 and len(group) > 1 else b""

    laced = webm([b"".join(element("a3", block(group, lacing, sizes=sizes(group))) for group in groups)])
    expected = decode(WebmDecoder, webm([simple(packets)]))
    np.testing.assert_array_equal(joined(run(WebmDecoder(), cut(laced))), expected)


@every_cut
def test_padding_is_trimmed_from_the_end_of_its_block(cut: Cut) -> None:
    group = element("a0", element("a1", block([PACKETS[-1]])) + element("75a2", (10_000_000).to_bytes(4, "big")))
    data = webm([simple(PACKETS[:-1]) + group])
    whole = decode(WebmDecoder, webm([simple(PACKETS)]))
    np.testing.assert_array_equal(joined(run(WebmDecoder(), cut(data))), whole[:-480])


def test_the_pre_skip_of_the_header_counts_and_not_the_delay_of_the_track() -> None:
    """FFmpeg 5.1 states half of it for input at 24 kHz."""
    tracks = track(more=element("56aa", (3_250_000).to_bytes(4, "big")))
    samples = decode(WebmDecoder, webm([simple(PACKETS)], tracks))
    np.testing.assert_array_equal(samples[: len(EXPECTED)], EXPECTED)


def test_other_tracks_are_read_over() -> None:
    tracks = track(b"", 2, b"V_VP9", 1) + track(number=1)
    video = element("a3", block([bytes(3000)], number=2)) + element("a3", block([bytes(BLOCK_BYTES_MAX)], number=2))
    samples = decode(WebmDecoder, webm([video + simple(PACKETS[:30]) + video, simple(PACKETS[30:])], tracks))
    np.testing.assert_array_equal(samples[: len(EXPECTED)], EXPECTED)


@every_cut
def test_files_one_behind_the_other(cut: Cut) -> None:
    names = ["live.webm", "mono.webm", "vorbis.webm", "live.webm"]
    blocks = run(WebmDecoder(), cut(b"".join(WEBM[name] for name in names)))
    assert runs_of(blocks) == runs_of([block for name in names for block in run(WebmDecoder(), [WEBM[name]])])


# The first sound -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
def test_the_first_block_comes_with_the_last_byte_of_the_first_packet(known: bool) -> None:
    data = webm([simple(PACKETS)], known=known)
    assert first_block_at(WebmDecoder, data) == data.index(PACKETS[0]) + len(PACKETS[0])


@pytest.mark.parametrize("name", ["live.webm", "mono.webm", "aac.mkv"])
def test_every_simple_block_comes_with_its_last_byte(name: str) -> None:
    data = WEBM[name]
    decoder = WebmDecoder()
    ends = [at + 1 for at in range(len(data)) for _ in decoder.feed(data[at : at + 1])]
    # Behind each stands the next one, a new cluster, a block group, or what follows the last.
    assert all(data[end : end + 1] in (b"\xa3", b"\x1f", b"\xa0", b"\x1c", b"\x12", b"") for end in ends)


# Damage ----------------------------------------------------------------------------------------------------------


@every_cut
@each("junk", [b"x", bytes(900), random.Random(2).randbytes(1024), b"\x1f\x43\xb6"])
def test_junk_costs_what_stands_before_the_next_cluster(junk: bytes, cut: Cut) -> None:
    clusters = [simple(PACKETS[:20]), simple(PACKETS[20:])]
    data = webm(clusters, known=False).replace(bytes.fromhex("1f43b675"), junk + bytes.fromhex("1f43b675"))
    decoder = WebmDecoder()
    samples = joined(run(decoder, cut(data + junk + b".")))
    np.testing.assert_array_equal(samples[: len(EXPECTED)], EXPECTED)
    assert (decoder.junk_bytes, decoder.damaged_samples) == (3 * len(junk) + 1, 0)


@every_cut
def test_a_broken_packet_is_silence_of_its_length(cut: Cut) -> None:
    broken = [*PACKETS[:10], b"\x7a" + b"\xfb" * 40, *PACKETS[11:]]
    decoder = WebmDecoder()
    samples = joined(run(decoder, cut(webm([simple(broken)]))))
    assert decoder.damaged_samples == 1920
    start = 10 * 960 - 312
    np.testing.assert_array_equal(samples[:start], EXPECTED[:start])
    assert not samples[start : start + 1920].any()


@pytest.mark.parametrize(
    "bad", [b"", b"\x81", b"\x81\0\0", b"\x81\0\0\x02", b"\x81\0\0\x02\5\xff", b"\x81\0\0\6\1\1\1\1"]
)
def test_a_damaged_block_is_left_out(bad: bytes) -> None:
    data = webm([simple(PACKETS[:10]) + element("a3", bad) + simple(PACKETS[10:])])
    samples = decode(WebmDecoder, data)
    np.testing.assert_array_equal(samples[: len(EXPECTED)], EXPECTED)


def test_a_lot_of_junk_is_an_error() -> None:
    decoder = WebmDecoder()
    assert decoder.feed(WEBM["live.webm"] + bytes(JUNK_RUN_BYTES_MAX + 1000))
    for _ in range(2):
        with pytest.raises(CorruptAudioError, match="are not WebM"):
            decoder.feed(b"more")
    with pytest.raises(CorruptAudioError, match="are not WebM"):
        decoder.flush()


@each("missing", [1, 30, 200])
@each("name", ["mono.webm", "laced.mka", "vorbis.webm"])
def test_a_file_that_is_cut_is_truncated(name: str, missing: int) -> None:
    blocks, error, _ = outcome(WebmDecoder, [WEBM[name][:-missing]])
    assert isinstance(error, TruncatedAudioError)
    samples, whole = joined(blocks), decode(WebmDecoder, WEBM[name])
    np.testing.assert_array_equal(samples, whole[: len(samples)])


def test_an_end_between_blocks_is_one_where_sizes_are_unknown_and_a_cut_where_not() -> None:
    packets = simple(PACKETS)
    missing = len(element("a3", block([PACKETS[-1]])))
    assert outcome(WebmDecoder, [webm([packets], known=False)[:-missing]])[1] is None
    assert isinstance(outcome(WebmDecoder, [webm([packets])[:-missing]])[1], TruncatedAudioError)


@pytest.mark.parametrize("end", [1, 3, 5, 20, 60])
def test_an_end_before_the_first_block_is_truncated(end: int) -> None:
    with pytest.raises(TruncatedAudioError):
        run(WebmDecoder(), [WEBM["mono.webm"][:end]])


def test_nothing_is_nothing() -> None:
    assert run(WebmDecoder(), [b"", b""]) == []


# What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"RIFF" + bytes(200), "not WebM", id="another file"),
        pytest.param(bytes(200), "not WebM", id="zeros"),
        pytest.param(webm([], track(b"", 1, b"V_VP8", 1)), "it holds V_VP8", id="video"),
        pytest.param(webm([], track(b"", 1, b"A_MPEG/L3")), "it holds A_MPEG/L3", id="MP3"),
        pytest.param(webm([], b""), "it holds no track", id="no track"),
        pytest.param(webm([], track(HEAD[:9] + b"\6" + HEAD[10:])), "6 channels", id="6 channels"),
        pytest.param(webm([], track(b"")), "Opus stream without a header", id="no header"),
        pytest.param(webm([], track(more=element("6d80", b"\0"))), "compressed or encrypted", id="encrypted"),
        pytest.param(webm([], b"\xae\x88\1"), "longer than the one around it", id="bad entry"),
        pytest.param(webm([], track(b"\2\xff", codec=b"A_VORBIS")), "beyond the end", id="bad lacing of headers"),
        pytest.param(webm([], track(b"", codec=b"A_VORBIS")), "without its headers", id="no codebooks"),
        pytest.param(EBML + element("18538067", element("1f43b675", b"")), "before its description", id="no tracks"),
        pytest.param(
            EBML + bytes.fromhex("18538067") + UNKNOWN + bytes.fromhex("1654ae6b") + vint(TRACKS_BYTES_MAX + 1),
            f"{TRACKS_BYTES_MAX} are read",
            id="endless tracks",
        ),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        blocks, error, _ = outcome(WebmDecoder, pieces)
        assert not blocks
        assert isinstance(error, CorruptAudioError)
        assert reason in str(error)


def test_an_endless_silence_is_refused() -> None:
    packets = [b"\x18"] * 255
    cluster = b"".join(element("a3", block(packets, 2)) for _ in range(40))
    _, error, _ = outcome(WebmDecoder, [webm([cluster])])
    assert isinstance(error, CorruptAudioError)
    assert "more silence" in str(error)


# Anything --------------------------------------------------------------------------------------------------------


@given(st.data(), st.sampled_from(NAMES))
def test_random_cuts(data: st.DataObject, name: str) -> None:
    stream = WEBM[name][:3000] + WEBM["live.webm"][:2500]
    check_any_input(WebmDecoder, stream, data.draw(cuts_of(stream)))


@given(st.data(), st.sampled_from([name for name in NAMES if name != "vorbis.webm"]), MUTATIONS)
def test_no_mutation_breaks_anything_but_the_sound(
    data: st.DataObject, name: str, mutations: list[tuple[float, bytes, int]]
) -> None:
    stream = mutated(WEBM[name][:6000], mutations)
    check_any_input(WebmDecoder, stream, data.draw(cuts_of(stream, 4)))


@given(MUTATIONS)
def test_no_mutation_of_vorbis_breaks_anything_but_the_sound(mutations: list[tuple[float, bytes, int]]) -> None:
    """Nothing in WebM says that a packet is damaged, and what FFmpeg then plays may differ from run to run."""
    outcome(WebmDecoder, [mutated(WEBM["vorbis.webm"], mutations)])


@given(st.binary(max_size=3000), st.integers(0, 300))
def test_any_bytes(data: bytes, size: int) -> None:
    head = WEBM["live.webm"][: WEBM["live.webm"].index(b"\x1f\x43\xb6\x75")]
    for start in (b"", EBML, head, webm([], known=False)):
        check_any_input(WebmDecoder, start + data, [start + data[:size], data[size:]])


# EBML ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "value", "end"),
    [
        (b"\x81", 1, 1),
        (b"\xff", UNKNOWN_SIZE, 1),
        (b"\x40\x7f", 127, 2),
        (b"\x7f\xff", UNKNOWN_SIZE, 2),
        (b"\x01\0\0\0\0\0\1\0", 256, 8),
        (UNKNOWN, UNKNOWN_SIZE, 8),
    ],
)
def test_sizes(data: bytes, value: int, end: int) -> None:
    assert read_size(data) == (value, end)
    assert read_size(b"x" + data + b"x", 1) == (value, end + 1)


@pytest.mark.parametrize("data", [b"", b"\0\xff", b"\x40", b"\x01\0"])
def test_what_is_no_size(data: bytes) -> None:
    with pytest.raises(CorruptAudioError):
        read_size(data)


def test_elements_inside_another() -> None:
    data = element("a1", b"one") + element("75a2", b"") + element("1654ae6b", b"three")
    assert list(children(data)) == [(0xA1, b"one"), (0x75A2, b""), (0x1654AE6B, b"three")]
