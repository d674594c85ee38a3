"""The splitter: every frame at its last byte, nothing that is none, and every byte accounted for."""

import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.codecs.mp3_frames import HEADER_BYTES, MAX_JUNK_RUN_BYTES, FrameSplitter, Mp3Frame, read_header
from tests.covering import each
from tests.cuts import CUTS, Cut, cuts_of

GOLDEN = Path(__file__).parents[1] / "golden" / "mp3"
BARE = (GOLDEN / "bare_24k.mp3").read_bytes()
FRAME_BYTES = 192

# The longest frame of MP3 (MPEG-1, 32 kHz, 320 kbit/s, padded), and the header that vouches for it inside junk.
LONGEST_HELD_BYTES = 1441 + HEADER_BYTES

MONO_24K = b"\xff\xf3\x84\xc0"
MONO_44K = b"\xff\xfb\x90\xc0"
LONGEST = b"\xff\xfb\xea\xc0"


def frame(four: bytes = MONO_24K, fill: int = 0x55) -> bytes:
    header = read_header(four)
    assert header is not None
    return four + bytes([fill]) * (header.size_bytes - HEADER_BYTES)


def id3v2(payload: bytes, *, footer: bool = False) -> bytes:
    size = bytes(len(payload) >> shift & 0x7F for shift in (21, 14, 7, 0))
    tag = b"\x04\x00" + (b"\x10" if footer else b"\x00") + size
    return b"ID3" + tag + payload + (b"3DI" + tag if footer else b"")


def apev2(items: bytes, *, header: bool, footer: bool = True) -> bytes:
    def end(is_header: int) -> bytes:
        size, flags = len(items) + 32 * footer, header << 31 | is_header << 29
        return b"APETAGEX" + b"".join(part.to_bytes(4, "little") for part in (2000, size, 1, flags)) + bytes(8)

    return (end(1) if header else b"") + items + (end(0) if footer else b"")


ID3V1 = b"TAG" + bytes(125)


def split(pieces: Iterable[bytes]) -> tuple[list[Mp3Frame], FrameSplitter]:
    splitter = FrameSplitter()
    frames = [frame for piece in pieces for frame in splitter.feed(piece)]
    return frames + splitter.flush(), splitter


def counts(splitter: FrameSplitter) -> dict[str, object]:
    return {name: value for name, value in vars(splitter).items() if not name.startswith("_")}


def bodies(frames: Iterable[Mp3Frame]) -> list[bytes]:
    return [frame.data for frame in frames]


# Headers ---------------------------------------------------------------------------------------------------------


@each(
    ("four", "sample_rate_hz", "channels", "samples", "size_bytes"),
    [
        (b"\xff\xfb\x90\xc4", 44100, 1, 1152, 417),
        (b"\xff\xfb\x92\x64", 44100, 2, 1152, 418),
        (b"\xff\xfa\x90\x00", 44100, 2, 1152, 417),
        (b"\xff\xfb\xe4\x80", 48000, 2, 1152, 960),
        (b"\xff\xfb\x18\xc0", 32000, 1, 1152, 144),
        (b"\xff\xfb\xea\xc0", 32000, 1, 1152, 1441),
        (b"\xff\xf3\x84\xc4", 24000, 1, 576, 192),
        (b"\xff\xf3\x40\xc4", 22050, 1, 576, 104),
        (b"\xff\xf3\x14\x00", 24000, 2, 576, 24),
        (b"\xff\xf2\xe8\xc0", 16000, 1, 576, 720),
        (b"\xff\xe3\x18\xc0", 8000, 1, 576, 72),
        (b"\xff\xe3\x80\x40", 11025, 2, 576, 417),
        (b"\xff\xe3\xea\xc0", 8000, 1, 576, 1441),
    ],
)
def test_headers(four: bytes, sample_rate_hz: int, channels: int, samples: int, size_bytes: int) -> None:
    header = read_header(four)
    assert header is not None
    assert (header.sample_rate_hz, header.channels) == (sample_rate_hz, channels)
    assert (header.samples, header.size_bytes) == (samples, size_bytes)


@pytest.mark.parametrize(
    "four",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfb\x90", id="three bytes"),
        pytest.param(b"\xfe\xfb\x90\xc4", id="no sync in the first byte"),
        pytest.param(b"\xff\xdb\x90\xc4", id="no sync in the second byte"),
        pytest.param(b"\xff\xeb\x90\xc4", id="reserved version"),
        pytest.param(b"\xff\xf9\x90\xc4", id="no layer, as in AAC"),
        pytest.param(b"\xff\xfd\x90\xc4", id="layer II"),
        pytest.param(b"\xff\xff\x90\xc4", id="layer I"),
        pytest.param(b"\xff\xfb\x00\xc4", id="free format"),
        pytest.param(b"\xff\xfb\xf0\xc4", id="bit rate 15"),
        pytest.param(b"\xff\xfb\x9c\xc4", id="reserved rate"),
    ],
)
def test_what_is_no_header(four: bytes) -> None:
    assert read_header(four) is None


@given(st.binary(min_size=4, max_size=4))
def test_no_frame_is_longer_than_what_may_be_held(four: bytes) -> None:
    header = read_header(b"\xff" + four[1:])
    assert header is None or 24 <= header.size_bytes <= LONGEST_HELD_BYTES - HEADER_BYTES


# In step ---------------------------------------------------------------------------------------------------------


def test_a_frame_is_handed_out_at_its_last_byte_and_not_one_byte_later() -> None:
    splitter = FrameSplitter()
    ends = [at + 1 for at in range(len(BARE)) for _ in splitter.feed(BARE[at : at + 1])]
    assert ends == list(range(FRAME_BYTES, len(BARE) + 1, FRAME_BYTES))
    assert splitter.flush() == []


@each("path", sorted(GOLDEN.glob("[!f]*.mp3")))
@each("cut", CUTS)
def test_files_in_every_cut(path: Path, cut: Cut) -> None:
    data = path.read_bytes()
    frames, splitter = split(cut(data))
    whole_frames, whole = split([data])
    assert bodies(frames) == bodies(whole_frames)
    assert counts(splitter) == counts(whole)
    assert (splitter.junk_bytes, splitter.truncated_bytes) == (0, 0)
    assert sum(map(len, bodies(frames))) + splitter.tag_bytes == len(data)


@each("missing", range(1, FRAME_BYTES))
def test_an_unfinished_last_frame_is_counted_and_not_handed_out(missing: int) -> None:
    frames, splitter = split([BARE[:-missing]])
    assert bodies(frames) == [BARE[at : at + FRAME_BYTES] for at in range(0, len(BARE) - FRAME_BYTES, FRAME_BYTES)]
    assert (splitter.truncated_bytes, splitter.junk_bytes) == (FRAME_BYTES - missing, 0)


@pytest.mark.parametrize("tail", [b"\xff", b"\xff\xf3", b"\xff\xf3\x84"])
def test_the_start_of_a_header_is_an_unfinished_frame(tail: bytes) -> None:
    assert split([frame() + tail])[1].truncated_bytes == len(tail)


@pytest.mark.parametrize("tail", [b"\n", b"\0\0", b"\xff\0", b"\xff\xf3\xff", b"ID3", b"ID3\x04\0\0\0\0\0", b"APETAG"])
def test_another_short_tail_is_junk(tail: bytes) -> None:
    frames, splitter = split([frame() + tail])
    assert (len(frames), splitter.truncated_bytes, splitter.junk_bytes) == (1, 0, len(tail))


def test_rate_bit_rate_and_channels_may_change_from_frame_to_frame() -> None:
    stream = [frame(four) for four in (MONO_24K, MONO_44K, b"\xff\xf3\x44\xc0", b"\xff\xfb\x90\x00", LONGEST, MONO_24K)]
    frames, splitter = split([b"".join(stream)])
    assert bodies(frames) == stream
    assert splitter.junk_bytes == 0


# Tags ------------------------------------------------------------------------------------------------------------

TAGS = [
    pytest.param(id3v2(b"title"), id="ID3v2"),
    pytest.param(id3v2(b""), id="empty ID3v2"),
    pytest.param(id3v2(b"x" * 300, footer=True), id="ID3v2 with a footer"),
    pytest.param(id3v2(frame() * 3), id="ID3v2 with frames in a picture"),
    pytest.param(id3v2(b"a") + id3v2(b"b"), id="two ID3v2"),
    pytest.param(apev2(frame() * 3, header=True), id="APEv2"),
    pytest.param(apev2(b"", header=False), id="APEv2 footer alone"),
    pytest.param(apev2(b"items", header=True, footer=False), id="APEv2 without a footer"),
    pytest.param(ID3V1, id="ID3v1"),
    pytest.param(apev2(b"items", header=True) + ID3V1, id="APEv2 and ID3v1"),
]


@each("tag", TAGS)
@each("cut", CUTS)
def test_tags_are_skipped_wherever_they_stand(tag: bytes, cut: Cut) -> None:
    frames, splitter = split(cut(tag + frame() + tag + frame() + frame() + tag))
    assert bodies(frames) == [frame()] * 3
    assert (splitter.tag_bytes, splitter.junk_bytes, splitter.truncated_bytes) == (3 * len(tag), 0, 0)


def test_the_frame_after_a_tag_comes_at_its_last_byte() -> None:
    splitter = FrameSplitter()
    assert splitter.feed(id3v2(b"t" * 1000) + frame()[:-1]) == []
    assert len(splitter.feed(frame()[-1:])) == 1


def test_a_tag_of_the_largest_size_is_not_held() -> None:
    splitter = FrameSplitter()
    splitter.feed(b"ID3\x03\x00\x00\x7f\x7f\x7f\x7f")
    left = (1 << 28) - 1
    piece = bytes(1 << 20)
    for _ in range(left >> 20):
        splitter.feed(piece)
        assert len(splitter._held) == 0
    assert len(splitter.feed(bytes(left % (1 << 20)) + frame())) == 1
    assert splitter.tag_bytes == left + 10


@pytest.mark.parametrize(
    "tag", [b"ID3\x03\x00\x00\x00\x00\x00\x80", b"ID3\x03\xff\x00\x00\x00\x00\x00", b"APETAGEY" + bytes(24)]
)
def test_what_only_begins_like_a_tag_is_junk(tag: bytes) -> None:
    frames, splitter = split([frame() + tag + frame() * 2])
    assert len(frames) == 3
    assert (splitter.tag_bytes, splitter.junk_bytes) == (0, len(tag))


def test_a_cut_tag_is_a_tag() -> None:
    frames, splitter = split([frame() + id3v2(b"x" * 100)[:50]])
    assert (len(frames), splitter.tag_bytes, splitter.junk_bytes) == (1, 50, 0)


# Junk ------------------------------------------------------------------------------------------------------------


def test_inside_junk_a_frame_needs_a_second_one_to_vouch_for_it() -> None:
    splitter = FrameSplitter()
    assert splitter.feed(b"junk" + BARE[: FRAME_BYTES + HEADER_BYTES - 1]) == []
    assert bodies(splitter.feed(BARE[FRAME_BYTES + HEADER_BYTES - 1 :][:1])) == [BARE[:FRAME_BYTES]]
    assert splitter.junk_bytes == 4


def test_after_junk_frames_come_at_their_last_byte_again() -> None:
    splitter = FrameSplitter()
    splitter.feed(b"junk" + BARE[: 2 * FRAME_BYTES])
    assert splitter.feed(BARE[2 * FRAME_BYTES : 3 * FRAME_BYTES - 1]) == []
    assert len(splitter.feed(BARE[3 * FRAME_BYTES - 1 : 3 * FRAME_BYTES])) == 1


@pytest.mark.parametrize("four", [MONO_24K, MONO_44K, b"\xff\xfb\x90\x0a", b"\xff\xe2\xe6\xff"])
def test_a_pair_of_frames_is_found_in_junk(four: bytes) -> None:
    assert bodies(split([b"junk" + frame(four) * 2 + b"junk"])[0]) == [frame(four)] * 2


@pytest.mark.parametrize("tag", [id3v2(frame() * 2), apev2(frame() * 2, header=True)])
def test_a_tag_inside_junk_is_skipped_and_believed(tag: bytes) -> None:
    frames, splitter = split([b"junk" + tag + frame() + b"junk"])
    assert bodies(frames) == [frame()]
    assert (splitter.tag_bytes, splitter.junk_bytes) == (len(tag), 8)


def test_runs_of_junk_are_counted_apart() -> None:
    run = b"x" * (MAX_JUNK_RUN_BYTES - 1)
    frames, splitter = split([(run + frame() * 2) * 3, b"OggS"])
    assert len(frames) == 6
    assert splitter.junk_bytes == 3 * len(run) + 4
    assert not splitter.gave_up
    assert splitter.junk_head == b"OggS"


@pytest.mark.parametrize(
    "follower",
    [
        pytest.param(b"nothing of the kind", id="more junk"),
        pytest.param(frame(MONO_44K), id="another rate"),
        pytest.param(b"", id="the end, where there was no frame before"),
    ],
)
def test_a_lone_frame_in_junk_is_not_believed(follower: bytes) -> None:
    data = b"junk" + frame() + follower
    frames, splitter = split([data])
    assert (frames, splitter.junk_bytes) == ([], len(data))


@pytest.mark.parametrize("follower", [ID3V1, id3v2(b""), apev2(b"", header=False)])
def test_a_tag_vouches_for_the_frame_before_it(follower: bytes) -> None:
    assert bodies(split([b"junk" + frame() + follower])[0]) == [frame()]


@pytest.mark.parametrize(("four", "found"), [(MONO_24K, 1), (MONO_44K, 0)])
def test_the_end_vouches_for_a_frame_like_those_before_the_junk(four: bytes, found: int) -> None:
    frames, _ = split([frame() + b"junk" + frame(four)])
    assert bodies(frames[1:]) == [frame(four)] * found


def test_a_false_header_in_junk_hides_no_frame_behind_it() -> None:
    """It announces 1,441 bytes; the frames that follow are all inside, and the input ends before those are over."""
    stream = [BARE[at : at + FRAME_BYTES] for at in range(0, 4 * FRAME_BYTES, FRAME_BYTES)]
    frames, splitter = split([b"junk" + LONGEST + b"".join(stream)])
    assert bodies(frames) == stream
    assert splitter.junk_bytes == 8


@each("seed", range(8))
@each("size", [1, 100, 500, 1000])
def test_a_hole_costs_the_frames_it_touches_and_one_more_at_most(size: int, seed: int) -> None:
    at = random.Random(seed).randrange(1000, 8000)
    frames, splitter = split([BARE[:at] + BARE[at + size :]])
    intact = {BARE[begin : begin + FRAME_BYTES] for begin in range(0, len(BARE), FRAME_BYTES)}
    touched = (at + size - 1) // FRAME_BYTES - at // FRAME_BYTES + 1
    assert sum(data in intact for data in bodies(frames)) >= len(intact) - touched - 1
    assert splitter.frame_bytes + splitter.junk_bytes == len(BARE) - size


@pytest.mark.parametrize(
    "junk", [b"\0" * 1000, b"x", b"\xff" * 700, b"x" + LONGEST * 50, b"ID3" * 9, random.Random(1).randbytes(1024)]
)
def test_junk_between_frames_costs_none(junk: bytes) -> None:
    at = 20 * FRAME_BYTES
    frames, splitter = split([junk + BARE[:at] + junk + BARE[at:] + junk])
    assert bodies(frames) == bodies(split([BARE])[0])
    assert splitter.junk_bytes == 3 * len(junk)


def low_noise(count: int) -> bytes:
    """PCM that is silence but for its last bit: half of its bytes are 0xFF."""
    return b"".join(random.Random(7).choices([b"\0\0", b"\xff\xff", b"\x01\0", b"\xfe\xff"], k=count // 2))


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param(random.Random(3).randbytes(1_000_000), id="noise"),
        pytest.param(low_noise(400_000), id="near silence"),
        pytest.param(bytes(400_000), id="zeros"),
        pytest.param(b"\xff" * 400_000, id="ones"),
        pytest.param((GOLDEN / "README.md").read_bytes() * 40, id="text"),
        pytest.param((GOLDEN / "free_24k.mp3").read_bytes(), id="free format"),
    ],
)
def test_there_are_no_frames_in_what_is_not_mp3(junk: bytes) -> None:
    """In runs short enough not to be given up, a tag between them."""
    step = MAX_JUNK_RUN_BYTES - 1
    frames, splitter = split(junk[at : at + step] + id3v2(b"") for at in range(0, len(junk), step))
    assert frames == []
    assert splitter.junk_bytes + splitter.truncated_bytes == len(junk)


@each("cut", CUTS)
@each("before", [b"", BARE[: 3 * FRAME_BYTES]])
def test_gives_up_at_the_bound_wherever_the_input_is_cut(before: bytes, cut: Cut) -> None:
    tail = BARE[: 5 * FRAME_BYTES]
    enough = before + b"RIFF" + bytes(MAX_JUNK_RUN_BYTES - 4)
    frames, splitter = split(cut(enough + tail))
    assert splitter.gave_up
    assert bodies(frames) == bodies(split([before])[0])
    assert splitter.junk_bytes == MAX_JUNK_RUN_BYTES
    assert splitter.junk_head == b"RIFF" + bytes(12)
    frames, splitter = split(cut(enough[:-1] + tail))
    assert not splitter.gave_up
    assert len(frames) == len(before + tail) // FRAME_BYTES


def test_after_giving_up_nothing_is_kept() -> None:
    splitter = FrameSplitter()
    splitter.feed(b"x" * 2 * MAX_JUNK_RUN_BYTES)
    assert splitter.gave_up
    for _ in range(100):
        assert splitter.feed(BARE) == []
        assert len(splitter._held) == 0
    assert splitter.flush() == []


# Everything together ---------------------------------------------------------------------------------------------

PARTS = st.one_of(
    st.sampled_from([MONO_24K, MONO_44K, LONGEST, b"\xff\xf2\x18\x40"]).map(frame),
    st.sampled_from([ID3V1, id3v2(b"x" * 200), id3v2(b"", footer=True), apev2(b"items", header=True)]),
    st.binary(max_size=40),
    st.sampled_from([b"\xff", b"\xff\xf3", MONO_24K, LONGEST, b"ID3", b"ID3\x03", b"TA", b"APETAGE", frame()[:-7]]),
)
STREAMS = st.lists(PARTS, max_size=14).map(b"".join)


@given(st.data(), STREAMS)
def test_any_stream_in_any_cut(data: st.DataObject, stream: bytes) -> None:
    splitter = FrameSplitter()
    frames = []
    for piece in data.draw(cuts_of(stream)):
        frames += splitter.feed(piece)
        assert len(splitter._held) < LONGEST_HELD_BYTES
    frames += splitter.flush()
    whole_frames, whole = split([stream])
    bytewise_frames, bytewise = split(stream[at : at + 1] for at in range(len(stream)))
    assert bodies(frames) == bodies(whole_frames) == bodies(bytewise_frames)
    assert counts(splitter) == counts(whole) == counts(bytewise)
    counted = splitter.frame_bytes + splitter.tag_bytes + splitter.junk_bytes + splitter.truncated_bytes
    assert counted == len(stream)
    assert splitter.frame_bytes == sum(map(len, bodies(frames)))
    assert splitter.frames == len(frames)
