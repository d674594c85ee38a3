"""The decoder: libmpg123's samples to within one step, from the last byte of the first frame on, in any cut."""

import os
import random
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from relay.codecs import SniffingDecoder, open_decoder
from relay.codecs.base import Block, CorruptAudioError, NotAudioError, TruncatedAudioError
from relay.codecs.mp3 import HOPELESS_FRAMES, SILENT_FRAME, Mp3Decoder, looks_like, warm_up
from relay.codecs.mp3_frames import MAX_JUNK_RUN_BYTES, FrameSplitter
from relay.codecs.mp3_info import Info, read_info
from relay.core.formats import Container, SourceFormat
from tests.covering import each
from tests.cuts import CUTS, Cut, cuts_of, run

GOLDEN = Path(__file__).parents[1] / "golden" / "mp3"
FILES = sorted(path for path in GOLDEN.glob("*.mp3") if path.stem != "free_24k")
MP3 = {path.stem: path.read_bytes() for path in FILES}
BARE = MP3["bare_24k"]
FRAME_BYTES, FRAME_SAMPLES = 192, 576
# What LAME and FFmpeg state: 576 of the encoder and 529 of any decoder.
DELAY = 1105

every_file = pytest.mark.parametrize("name", MP3)
every_cut = pytest.mark.parametrize("cut", CUTS)


def joined(blocks: list[Block]) -> NDArray[np.int16]:
    for block in blocks:
        assert block.samples.dtype == np.int16
        assert block.samples.ndim == 1
        assert block.samples.size > 0
    return np.concatenate([np.empty(0, np.int16), *(block.samples for block in blocks)], dtype=np.int16)


def decode(data: bytes, *, encoder_delay_samples: int = 0) -> NDArray[np.int16]:
    return joined(run(Mp3Decoder(encoder_delay_samples=encoder_delay_samples), [data]))


def reference(name: str) -> NDArray[np.float64]:
    """libmpg123's decode of the whole file, without the priming and padding that it states; mono, in 16-bit steps."""
    samples, _ = soundfile.read(GOLDEN / f"{name}.mp3", dtype="int16", always_2d=True)
    return np.asarray(samples.mean(axis=1))


def apart(one: NDArray[np.int16], other: NDArray[np.int16] | NDArray[np.float64]) -> float:
    """The largest difference; lengths are the same."""
    assert len(one) == len(other)
    return float(np.abs(one.astype(np.float64) - other).max())


# The samples -----------------------------------------------------------------------------------------------------


@every_file
def test_samples_are_those_of_libmpg123(name: str) -> None:
    samples, expected = decode(MP3[name]), reference(name)
    assert apart(samples, expected) <= 1
    assert np.mean(np.abs(samples - expected) > 0.5) < 0.01


@pytest.mark.parametrize(
    ("name", "source_samples"),
    [("id3_vbr_24k", 38444), ("lavf_24k", 38444), ("info_44k", 70640), ("joint_44k", 57330), ("mpeg25_8k", 12815)],
)
def test_a_tagged_file_has_as_many_samples_as_were_encoded(name: str, source_samples: int) -> None:
    assert len(decode(MP3[name])) == source_samples


@every_file
def test_rate(name: str) -> None:
    (rate_hz,) = {block.sample_rate_hz for block in run(Mp3Decoder(), [MP3[name]])}
    assert rate_hz == soundfile.info(GOLDEN / f"{name}.mp3").samplerate


@every_cut
@every_file
def test_cuts(name: str, cut: Cut) -> None:
    np.testing.assert_array_equal(joined(run(Mp3Decoder(), cut(MP3[name]))), decode(MP3[name]))


@given(st.data())
def test_random_cuts_of_three_streams_with_junk_between(data: st.DataObject) -> None:
    blocks = run(Mp3Decoder(), data.draw(cuts_of(MIXED)))
    runs = [(rate_hz, joined(list(group))) for rate_hz, group in groupby(blocks, lambda block: block.sample_rate_hz)]
    assert [rate_hz for rate_hz, _ in runs] == [rate_hz for rate_hz, _ in MIXED_RUNS]
    for (_, samples), (_, expected) in zip(runs, MIXED_RUNS, strict=True):
        np.testing.assert_array_equal(samples, expected)


def runs_of(data: bytes) -> list[tuple[int, NDArray[np.int16]]]:
    blocks = run(Mp3Decoder(), [data])
    return [(rate_hz, joined(list(group))) for rate_hz, group in groupby(blocks, lambda block: block.sample_rate_hz)]


MIXED = MP3["id3_vbr_24k"][:3000] + b"junk" + MP3["joint_44k"][:5000] + bytes(90) + BARE[:2000] + b"\r\n"
MIXED_RUNS = runs_of(MIXED)

# The first sound -------------------------------------------------------------------------------------------------


def frame_ends(data: bytes) -> list[int]:
    """Where each frame of `data` ends, information frames too."""
    splitter = FrameSplitter()
    return [at + 1 for at in range(len(data)) for _ in splitter.feed(data[at : at + 1])]


@pytest.mark.parametrize(
    ("name", "frame", "samples"),
    [
        # Nothing to trim: the first frame.
        pytest.param("bare_24k", 0, 576, id="bare"),
        pytest.param("bare_24k_low", 0, 576, id="bare, 96 bytes"),
        # After the information frame two frames of 576 hold the 1,105 of priming and the first 47 of sound...
        pytest.param("id3_vbr_24k", 2, 47, id="ID3v2 and Xing"),
        pytest.param("lavf_24k", 2, 47, id="ID3v2 and Xing by FFmpeg"),
        pytest.param("mpeg25_8k", 2, 47, id="Info, 8 kHz"),
        # ... and one of 1,152.
        pytest.param("info_44k", 1, 47, id="Info, 44.1 kHz"),
        pytest.param("joint_44k", 1, 47, id="Info, stereo"),
    ],
)
def test_first_sound_comes_with_the_last_byte_of_its_frame(name: str, frame: int, samples: int) -> None:
    data = MP3[name]
    end = frame_ends(data)[frame]
    decoder = Mp3Decoder()
    assert [block for at in range(end - 1) for block in decoder.feed(data[at : at + 1])] == []
    (block,) = decoder.feed(data[end - 1 : end])
    assert block.samples.size == samples
    at_once = Mp3Decoder()
    assert at_once.feed(data[: end - 1]) == []
    assert len(at_once.feed(data[end - 1 : end])) == 1


def test_first_sound_after_a_tag() -> None:
    tagged = MP3["id3_vbr_24k"][:142] + BARE
    assert tagged[142:146] == BARE[:4]
    decoder = Mp3Decoder()
    assert decoder.feed(tagged[: 142 + FRAME_BYTES - 1]) == []
    (block,) = decoder.feed(tagged[142 + FRAME_BYTES - 1 : 142 + FRAME_BYTES])
    np.testing.assert_array_equal(block.samples, decode(BARE)[:FRAME_SAMPLES])


def test_every_frame_comes_with_its_last_byte() -> None:
    decoder = Mp3Decoder()
    ends = [at + 1 for at in range(len(BARE)) for _ in decoder.feed(BARE[at : at + 1])]
    assert ends == list(range(FRAME_BYTES, len(BARE) + 1, FRAME_BYTES))
    assert decoder.flush() == []


def test_a_piece_gives_one_block() -> None:
    (block,) = Mp3Decoder().feed(BARE[: 10 * FRAME_BYTES + 7])
    assert block.samples.size == 10 * FRAME_SAMPLES


# Delay and padding -----------------------------------------------------------------------------------------------


def info_frame(data: bytes) -> tuple[int, int]:
    """Where the information frame of `data` lies."""
    frames = FrameSplitter().feed(data)
    begin = data.index(frames[0].data)
    return begin, begin + len(frames[0].data)


def without_info(data: bytes) -> bytes:
    begin, end = info_frame(data)
    return data[:begin] + data[end:]


def with_info(data: bytes, at: int, new: bytes) -> bytes:
    """`data` with `new` at `at` in its information frame, counted from the word Xing or Info."""
    begin, end = info_frame(data)
    mark = max(data.find(b"Xing", begin, end), data.find(b"Info", begin, end)) + at
    return data[:mark] + new + data[mark + len(new) :]


FLAGS, FRAME_COUNT, LAME = 4, 8, 120


@pytest.mark.parametrize("name", ["id3_vbr_24k", "lavf_24k", "info_44k", "joint_44k", "mpeg25_8k"])
def test_the_trimmed_samples_are_the_right_ones(name: str) -> None:
    everything, heard = decode(without_info(MP3[name])), decode(MP3[name])
    np.testing.assert_array_equal(everything[DELAY : DELAY + len(heard)], heard)


def test_the_delay_of_a_bare_stream_is_trimmed_if_it_is_told() -> None:
    np.testing.assert_array_equal(decode(BARE, encoder_delay_samples=DELAY), decode(BARE)[DELAY:])


@every_cut
def test_a_delay_of_several_frames_in_every_cut(cut: Cut) -> None:
    blocks = run(Mp3Decoder(encoder_delay_samples=5000), cut(BARE))
    np.testing.assert_array_equal(joined(blocks), decode(BARE)[5000:])


def test_a_stated_delay_counts_and_not_the_told_one() -> None:
    data = MP3["info_44k"]
    np.testing.assert_array_equal(decode(data, encoder_delay_samples=9999), decode(data))


def test_an_information_frame_that_states_no_delay_is_dropped_and_the_told_one_trimmed() -> None:
    data = with_info(MP3["info_44k"], LAME, b"????")
    everything = decode(without_info(data))
    np.testing.assert_array_equal(decode(data), everything)
    np.testing.assert_array_equal(decode(data, encoder_delay_samples=DELAY), everything[DELAY:])


def without_count(data: bytes) -> bytes:
    """No count of frames: its flag cleared, and what follows it four bytes nearer."""
    _, end = info_frame(data)
    mark = data.index(b"Info") + FRAME_COUNT
    return with_info(data[:mark] + data[mark + 4 : end] + bytes(4) + data[end:], FLAGS, b"\0\0\0\x0e")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(with_info(MP3["info_44k"], FRAME_COUNT, bytes(4)), id="a count of zero"),
        pytest.param(without_count(MP3["info_44k"]), id="no count"),
    ],
)
def test_without_a_count_of_frames_the_padding_stays(data: bytes) -> None:
    np.testing.assert_array_equal(decode(data), decode(without_info(data))[DELAY:])


def test_frames_beyond_the_stated_count_are_heard() -> None:
    """A sender may join a bare stream to a tagged one: the padding between them goes, the rest is sound."""
    data = MP3["id3_vbr_24k"][: -len(b"TAG") - 125]
    heard, more = decode(data), MP3["bare_24k_low"]
    both = decode(data + more)
    np.testing.assert_array_equal(both[: len(heard)], heard)
    assert len(both) == len(heard) + len(decode(more))


def test_fewer_frames_than_stated_are_all_heard() -> None:
    data = MP3["info_44k"]
    cut = data[: frame_ends(data)[20]]
    assert len(decode(cut)) == 20 * 1152 - DELAY


def test_files_one_behind_the_other_join_without_a_gap() -> None:
    names = ["id3_vbr_24k", "lavf_24k", "id3_vbr_24k"]
    assert (
        apart(decode(b"".join(MP3[name] for name in names)), np.concatenate([reference(name) for name in names])) <= 1
    )


def vbri_frame() -> bytes:
    """As Fraunhofer's encoder writes it: a silent frame with its table 32 bytes after the header, mono or not."""
    return b"\xff\xf3\x84\xc0" + bytes(32) + b"VBRI\x00\x01" + random.Random(5).randbytes(FRAME_BYTES - 42)


def test_a_vbri_frame_is_dropped() -> None:
    np.testing.assert_array_equal(decode(vbri_frame() + BARE), decode(BARE))
    np.testing.assert_array_equal(decode(vbri_frame() + BARE, encoder_delay_samples=7), decode(BARE)[7:])


@pytest.mark.parametrize("word", [b"Xing", b"Info"])
def test_sound_in_which_the_word_stands_is_sound(word: bytes) -> None:
    """Only in a frame whose side information says that nothing else is in it does the word mean anything."""
    frame = BARE[: 4 + 9] + word + BARE[4 + 9 + len(word) : FRAME_BYTES]
    assert any(frame[6:13])
    assert len(decode(frame + BARE[FRAME_BYTES:])) == len(decode(BARE))


def test_what_an_information_frame_states() -> None:
    (info,) = [found for found in map(read_info, FrameSplitter().feed(MP3["info_44k"])) if found]
    assert info == Info(audio_samples=63 * 1152, delay_samples=576, padding_samples=63 * 1152 - 576 - 70640)


def test_a_count_of_zero_is_none() -> None:
    (frame, *_) = FrameSplitter().feed(with_info(MP3["info_44k"], FRAME_COUNT, bytes(4)))
    info = read_info(frame)
    assert info is not None
    assert (info.audio_samples, info.delay_samples) == (None, 576)


@pytest.mark.parametrize(
    ("info", "silence"),
    [
        (Info(), [(0, 7)]),
        (Info(audio_samples=5760), [(0, 7)]),
        (Info(delay_samples=576), [(0, 1105)]),
        (Info(5760, 576, 1000), [(0, 1105), (5289, 5760)]),
        # Less padding than the decoder's delay: the last of the sound never comes out of the last frame.
        (Info(5760, 576, 500), [(0, 1105), (5760, 5760)]),
        # Nothing but padding.
        (Info(1152, 576, 4000), [(0, 1105), (1105, 1152)]),
    ],
)
def test_silence(info: Info, silence: list[tuple[int, int]]) -> None:
    assert info.silence(7) == silence


# Changes, junk, holes --------------------------------------------------------------------------------------------


def test_the_rate_may_change() -> None:
    runs = runs_of(BARE + MP3["info_44k"] + MP3["mpeg25_8k"] + BARE)
    assert [(rate_hz, len(samples)) for rate_hz, samples in runs] == [
        (24000, 39744),
        (44100, 70640),
        (8000, 12815),
        (24000, 39744),
    ]
    assert apart(runs[0][1], reference("bare_24k")) <= 1
    assert apart(runs[1][1], reference("info_44k")) <= 1
    assert apart(runs[2][1], reference("mpeg25_8k")) <= 1
    # The filters still ring with the end of the stream before; after two frames it is the same again.
    assert apart(runs[3][1][1152:], reference("bare_24k")[1152:]) <= 1


def test_channels_may_change() -> None:
    mono = without_info(MP3["info_44k"])
    stereo = without_info(MP3["joint_44k"])
    samples = decode(mono + stereo + mono)
    n, m = len(decode(mono)), len(decode(stereo))
    np.testing.assert_array_equal(samples[:n], decode(mono))
    np.testing.assert_array_equal(samples[n + 2304 : n + m], decode(stereo)[2304:])
    np.testing.assert_array_equal(samples[n + m + 2304 :], decode(mono)[2304:])


@each("junk", [b"x", bytes(1000), random.Random(2).randbytes(1024), b"RIFF\x24\0\0\0WAVEfmt "])
@every_cut
def test_junk_costs_no_sound(junk: bytes, cut: Cut) -> None:
    at = 20 * FRAME_BYTES
    decoder = Mp3Decoder()
    np.testing.assert_array_equal(joined(run(decoder, cut(junk + BARE[:at] + junk + BARE[at:] + junk))), decode(BARE))
    assert (decoder.junk_bytes, decoder.truncated_bytes, decoder.broken_frames) == (3 * len(junk), 0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_after_a_hole_the_sound_is_the_same_again(seed: int) -> None:
    at = random.Random(seed).randrange(3000, 9000)
    decoder = Mp3Decoder()
    samples = joined(run(decoder, [BARE[:at] + BARE[at + 500 :]]))
    before = at // FRAME_BYTES * FRAME_SAMPLES
    # The hole and the frame it is noticed in, then up to two frames for the bits of frames lost, two for the filters.
    after = len(decode(BARE)) - (at + 500) // FRAME_BYTES * FRAME_SAMPLES - 6 * FRAME_SAMPLES
    np.testing.assert_array_equal(samples[:before], decode(BARE)[:before])
    np.testing.assert_array_equal(samples[-after:], decode(BARE)[-after:])
    assert 0 < decoder.junk_bytes < 2 * FRAME_BYTES


def test_a_broken_frame_is_silence_of_its_length() -> None:
    at = 30
    begin = at * FRAME_BYTES + 4
    broken = BARE[:begin] + b"\xff" * 9 + BARE[begin + 9 :]
    decoder = Mp3Decoder()
    samples, whole = joined(run(decoder, [broken])), decode(BARE)
    assert (decoder.broken_frames, len(samples)) == (1, len(whole))
    first, end = at * FRAME_SAMPLES, (at + 1) * FRAME_SAMPLES
    np.testing.assert_array_equal(samples[:first], whole[:first])
    assert not samples[first:end].any()
    np.testing.assert_array_equal(samples[end + 3 * FRAME_SAMPLES :], whole[end + 3 * FRAME_SAMPLES :])


@pytest.mark.parametrize("missing", [1, 100, FRAME_BYTES - 4, FRAME_BYTES - 1])
def test_an_unfinished_last_frame_is_counted(missing: int) -> None:
    decoder = Mp3Decoder()
    np.testing.assert_array_equal(joined(run(decoder, [BARE[:-missing]])), decode(BARE)[:-FRAME_SAMPLES])
    assert decoder.truncated_bytes == FRAME_BYTES - missing


# What is not MP3 -------------------------------------------------------------------------------------------------


def noise(size: int) -> bytes:
    return random.Random(4).randbytes(size)


NOT_MP3 = [
    pytest.param(b"RIFF\x24\x10\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0" + noise(4000), "a WAV file", id="WAV"),
    pytest.param(b"\x12\x03" + noise(4000), "perhaps PCM", id="PCM"),
    pytest.param(bytes(4000), "zeros", id="zeros"),
    pytest.param(b'{"detail": {"status": "quota_exceeded"}}', "JSON", id="JSON"),
    pytest.param(b' \r\n[{"error": 1}]', "JSON", id="JSON after white space"),
    pytest.param(b"\xef\xbb\xbf<!DOCTYPE html><title>502 Bad Gateway</title>", "HTML or XML", id="HTML"),
    pytest.param(b"OggS\0\x02" + noise(900), "an Ogg file", id="Ogg"),
    pytest.param(b"fLaC\0\0\0\x22" + noise(900), "a FLAC file", id="FLAC"),
    pytest.param(b"\x1aE\xdf\xa3" + noise(900), "a WebM file", id="WebM"),
    pytest.param(b"\0\0\0\x20ftypM4A " + noise(900), "an MP4 file", id="MP4"),
    pytest.param(b"\xff\xf1\x50\x80" + noise(900), "AAC", id="AAC"),
    pytest.param(b"\xff\xfd\x84\x04" + noise(900), "MPEG audio of layer I or II", id="Layer II"),
    pytest.param(
        (GOLDEN / "free_24k.mp3").read_bytes()[:4000], "MP3 of free format, which is not supported", id="free format"
    ),
]


@every_cut
@each(("data", "kind"), NOT_MP3)
def test_what_is_not_mp3_gives_no_sound_and_is_named(data: bytes, kind: str, cut: Cut) -> None:
    decoder = Mp3Decoder()
    for piece in cut(data):
        assert decoder.feed(piece) == []
    with pytest.raises(CorruptAudioError, match=f"^{len(data)} bytes before any MP3 frame are not MP3: {kind}$"):
        decoder.flush()


@each(("data", "kind"), NOT_MP3)
def test_a_lot_of_it_is_not_waited_for(data: bytes, kind: str) -> None:
    decoder = Mp3Decoder()
    endless = data * (2 * MAX_JUNK_RUN_BYTES // len(data))
    message = f"^{MAX_JUNK_RUN_BYTES} bytes before any MP3 frame are not MP3: {kind}$"
    with pytest.raises(CorruptAudioError, match=message):
        decoder.feed(endless)
    with pytest.raises(CorruptAudioError, match=message):
        decoder.feed(BARE)
    with pytest.raises(CorruptAudioError, match=message):
        decoder.flush()


@every_cut
def test_good_sound_before_a_lot_of_junk_is_delivered_first(cut: Cut) -> None:
    decoder = Mp3Decoder()
    blocks: list[Block] = []
    with pytest.raises(CorruptAudioError, match=f"^{MAX_JUNK_RUN_BYTES} bytes among 138 MP3 frames .*: a WAV file$"):
        for piece in [*cut(BARE * 2 + b"RIFF" + bytes(MAX_JUNK_RUN_BYTES) + BARE), b""]:
            blocks += decoder.feed(piece)
    np.testing.assert_array_equal(joined(blocks), decode(BARE * 2))


def test_giving_up_at_the_very_end_is_an_error_too() -> None:
    decoder = Mp3Decoder()
    np.testing.assert_array_equal(joined(decoder.feed(BARE * 2 + bytes(MAX_JUNK_RUN_BYTES))), decode(BARE * 2))
    with pytest.raises(CorruptAudioError, match="zeros"):
        decoder.flush()


def test_a_first_frame_that_was_none_does_not_pass_for_mp3() -> None:
    """PCM may happen to begin like a frame; that one is believed, but not what follows."""
    decoder = Mp3Decoder()
    decoder.feed(b"\xff\xf3\x84\xc0" + noise(4000))
    with pytest.raises(CorruptAudioError, match="among 1 MP3 frame"):
        decoder.flush()


def test_an_error_message_quotes_nothing() -> None:
    assert looks_like(b'{"text": "a secret"}') == "JSON"
    with pytest.raises(CorruptAudioError) as raised:
        run(Mp3Decoder(), [b"a secret"])
    assert "secret" not in str(raised.value)


def test_nothing_is_nothing() -> None:
    assert run(Mp3Decoder(), []) == []
    assert run(Mp3Decoder(), [b"", b""]) == []


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(BARE[: FRAME_BYTES - 1], id="in the first frame"),
        pytest.param(BARE[:2], id="in its header"),
        pytest.param(MP3["id3_vbr_24k"][:100], id="in a tag"),
        pytest.param(MP3["id3_vbr_24k"][:142], id="after a tag"),
        pytest.param(MP3["id3_vbr_24k"][:200], id="in the first frame after a tag"),
    ],
)
def test_an_input_cut_before_its_first_frame_is_truncated(data: bytes) -> None:
    with pytest.raises(TruncatedAudioError):
        run(Mp3Decoder(), [data])


def test_an_information_frame_alone_is_an_empty_file() -> None:
    begin, end = info_frame(MP3["info_44k"])
    assert run(Mp3Decoder(), [MP3["info_44k"][begin:end]]) == []


# What stands behind the sound ------------------------------------------------------------------------------------

ERRORS = [
    b'{"error":{"code":"quota_exceeded","message":"out of credits"}}',
    b"<html><body><h1>502 Bad Gateway</h1>" + b" " * 4000 + b"</body></html>",
    b'data: {"error": "overloaded"}\n\n',
    b"Internal Server Error",
    b'{"e":1}',
]


@every_cut
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("within_frame", [0, 100, 150])
def test_an_error_behind_the_sound_is_raised_after_it(error: bytes, within_frame: int, cut: Cut) -> None:
    if within_frame and error[:1] not in b"{<d":
        pytest.skip("words within a frame are bits like any other")
    if error == ERRORS[-1] and within_frame:
        error += b"\n" * 100
    at = 20 * FRAME_BYTES
    decoder, blocks = Mp3Decoder(), list[Block]()
    with pytest.raises(NotAudioError, match=r"in the middle of the audio$") as raised:
        for piece in cut(BARE[: at + within_frame] + error):
            blocks += decoder.feed(piece)
        decoder.flush()
    np.testing.assert_array_equal(joined(blocks), decode(BARE[:at]))
    assert error.strip().startswith(raised.value.head.strip()[:4000])
    assert len(raised.value.head) <= 4096


@every_cut
@each(
    "around",
    [
        (b"", bytes(9000)),
        (bytes(9000), b""),
        (b"", b"\xff" * 9000),
        (b"", b"LYRICSBEGININD0000200LYR00020Some words of a song that is sung here000038LYRICS200"),
        (b"ID3\x04\0\0\0\0\x20\0" + bytes(4096), b"TAG" + bytes(125)),
        (b"", b"TAG+" + bytes(223) + b"TAG" + bytes(125)),
    ],
)
def test_a_short_clip_may_have_more_around_it_than_in_it(around: tuple[bytes, bytes], cut: Cut) -> None:
    clip = BARE[: 5 * FRAME_BYTES]
    decoder = Mp3Decoder()
    np.testing.assert_array_equal(joined(run(decoder, cut(around[0] + clip + around[1]))), decode(clip))
    assert not decoder.damage.ms


@every_cut
@each("tag", [b"ID3\x04\0\0\0\0\x7f\x7f", b"APETAGEX\xd0\x07\0\0\xff\xff\0\0\1\0\0\0\0\0\0\xa0" + bytes(8)])
def test_a_tag_that_claims_more_than_comes_is_a_cut(tag: bytes, cut: Cut) -> None:
    at = 20 * FRAME_BYTES
    decoder, blocks = Mp3Decoder(), list[Block]()
    with pytest.raises(TruncatedAudioError, match="short of the end of a tag"):
        for piece in cut(BARE[:at] + tag + BARE[at:]):
            blocks += decoder.feed(piece)
        decoder.flush()
    np.testing.assert_array_equal(joined(blocks), decode(BARE[:at]))


# Damage ----------------------------------------------------------------------------------------------------------


def garbage(every: int, but: int = 0) -> bytes:
    """BARE, of which one frame in `every` has a body of noise; with `but`, all except one in so many."""
    source = random.Random(3)
    frames = FrameSplitter().feed(BARE)
    broken = [index % every == 0 if not but else index % but != 0 for index in range(len(frames))]
    return b"".join(
        frame.data[:4] + source.randbytes(FRAME_BYTES - 4) if is_broken else frame.data
        for frame, is_broken in zip(frames, broken, strict=True)
    )


def sniffed() -> SniffingDecoder:
    return open_decoder(SourceFormat(container=Container.MP3))


@every_cut
@each("data", [garbage(1), garbage(1, but=10), garbage(2), garbage(1)[: 5 * FRAME_BYTES]])
def test_more_damage_than_a_listener_bears_is_bad_audio(data: bytes, cut: Cut) -> None:
    decoder, samples = sniffed(), 0
    with pytest.raises(CorruptAudioError, match=r"could not be decoded$"):
        for piece in cut(data):
            samples += sum(block.samples.size for block in decoder.feed(piece))
        decoder.flush()
    assert samples == len(data) // FRAME_BYTES * FRAME_SAMPLES, "after all of it"
    assert decoder.damage.ms > 0.1 * decoder.damage.audio_ms


def test_a_little_is_counted() -> None:
    decoder = sniffed()
    run(decoder, [garbage(20)])
    assert 0 < decoder.damage.ms <= 4 * 24
    assert decoder.damage.audio_ms == 69 * 24


def test_a_hole_is_counted_by_its_bytes() -> None:
    decoder = sniffed()
    run(decoder, [BARE[:5000] + b"x" * 800 + BARE[5000:]])
    assert decoder.damage.ms == pytest.approx(24 * 800 / FRAME_BYTES, abs=24)


def test_of_nothing_that_decodes_little_is_waited_for() -> None:
    data = b"".join(frame.data[:4] + b"\xff" * (FRAME_BYTES - 4) for frame in FrameSplitter().feed(BARE))
    decoder = Mp3Decoder()
    decoder.feed(data[: HOPELESS_FRAMES * FRAME_BYTES])
    with pytest.raises(CorruptAudioError, match="none of the first 50 MP3 frames decodes"):
        decoder.feed(data)


# Hostile input ---------------------------------------------------------------------------------------------------

MUTATIONS = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=6), st.integers(0, 300)), max_size=8
)


@given(st.data(), st.sampled_from(sorted(MP3)), MUTATIONS)
def test_no_mutation_breaks_anything_but_the_sound(
    data: st.DataObject, name: str, mutations: list[tuple[float, bytes, int]]
) -> None:
    mutated = MP3[name][:4000]
    for place, new, gone in mutations:
        at = int(place * len(mutated))
        mutated = mutated[:at] + new + mutated[at + gone :]
    decoder = Mp3Decoder()
    try:
        blocks = run(decoder, data.draw(cuts_of(mutated, 4)))
    except (CorruptAudioError, TruncatedAudioError):
        return
    assert len(joined(blocks)) <= 1152 * decoder._splitter.frames


@pytest.mark.parametrize("four", [b"\xff\xf3\x84\xc0", b"\xff\xfb\x90\x00", b"\xff\xfa\xea\x40", b"\xff\xe3\x18\xc0"])
def test_frames_of_noise(four: bytes) -> None:
    """Headers are right, all else is not. Every frame counts for its time, and no sample for a warning."""
    source = random.Random(6)
    size = len(FrameSplitter().feed(four + bytes(1500))[0].data)
    decoder = Mp3Decoder()
    stream = b"".join(four + source.randbytes(size - 4) for _ in range(100))
    samples = joined(run(decoder, [stream]))
    assert len(samples) == 100 * (1152 if four[1] & 8 else 576)
    assert decoder.broken_frames > 0


# The process -----------------------------------------------------------------------------------------------------


def test_warm_up_decodes_a_frame() -> None:
    warm_up()
    (block,) = Mp3Decoder().feed(SILENT_FRAME)
    assert (block.sample_rate_hz, block.samples.size, int(block.samples.any())) == (24000, 576, 0)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_no_thread_is_started() -> None:
    warm_up()
    before = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    decoders = [Mp3Decoder() for _ in range(20)]
    for decoder in decoders:
        decoder.feed(BARE)
    assert len(os.listdir("/proc/self/task")) == before  # noqa: PTH208
