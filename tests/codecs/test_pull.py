"""What decoders of containers are made of."""

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from relay.codecs.aac import AacDecoder
from relay.codecs.av_codec import AvCodec, check_shape
from relay.codecs.base import CorruptAudioError, TruncatedAudioError
from relay.codecs.ogg import OggDecoder
from relay.codecs.pull import PACKET_WORK, WORK_MAX, WORK_PER_BYTE, Output, PullDecoder, Reading, Source, Trim
from tests.codecs.streams import load
from tests.covering import each
from tests.cuts import CUTS, Cut, run


def steps(count: int) -> NDArray[np.int16]:
    return np.arange(count, dtype=np.int16)


class Numbers(PullDecoder):
    """A size in one byte, and as many samples of one byte; 0 is a fault, 255 is put back and read again."""

    def _read(self, source: Source, out: Output) -> Reading[None]:
        while size := (yield from source.upto(1)):
            if size[0] == 0:
                raise CorruptAudioError("a zero")
            if size[0] == 255:
                more = yield from source.upto(3)
                source.unread(more)
                continue
            data = yield from source.need(size[0], "numbers")
            out.put(np.frombuffer(data, np.uint8).astype(np.int16), 8000)
            yield from source.skip(1)


@pytest.mark.parametrize("cut", CUTS)
def test_reading_does_not_depend_on_cuts(cut: Cut) -> None:
    data = b"\3abc.\xff\xff\2de.\xff\1f.\xff"
    decoder = Numbers()
    blocks = run(decoder, cut(data))
    assert b"".join(bytes(block.samples.astype(np.uint8)) for block in blocks) == b"abcdef"
    assert decoder._source.taken == len(data)


def test_samples_of_one_piece_are_one_block() -> None:
    (block,) = Numbers().feed(b"\1a.\2bc.")
    assert (block.samples.tolist(), block.sample_rate_hz) == ([97, 98, 99], 8000)


def test_a_fault_behind_good_samples_is_raised_by_every_later_call() -> None:
    decoder = Numbers()
    assert len(decoder.feed(b"\1a.\0\1b.")) == 1
    for piece in (b"\1b.", b""):
        with pytest.raises(CorruptAudioError, match="a zero"):
            decoder.feed(piece)
    with pytest.raises(CorruptAudioError, match="a zero"):
        decoder.flush()


def test_a_fault_before_any_is_raised_at_once() -> None:
    with pytest.raises(CorruptAudioError):
        Numbers().feed(b"\0\1a.")


def test_an_end_inside_a_unit_is_truncated() -> None:
    decoder = Numbers()
    decoder.feed(b"\4ab")
    with pytest.raises(TruncatedAudioError, match="2 bytes short of the end of numbers"):
        decoder.flush()


@each("size", [1, 3, 7, 100])
@each(("skip", "keep"), [(0, None), (5, None), (0, 50), (5, 50), (60, 50), (5, 0), (200, None)])
def test_trim(skip: int, keep: int | None, size: int) -> None:
    trim = Trim(skip, keep)
    parts = [trim.feed(steps(100)[at : at + size]) for at in range(0, 100, size)]
    np.testing.assert_array_equal(np.concatenate(parts), steps(100)[:keep][skip:])


def test_work_is_bounded_by_the_bytes_that_come() -> None:
    out = Output()
    for at in range(1, 100):
        out.spend(WORK_PER_BYTE * 1000 - PACKET_WORK, at * 1000)
    out.spend(WORK_MAX - PACKET_WORK, 100_000)
    with pytest.raises(CorruptAudioError, match="more silence"):
        out.spend(2 * WORK_PER_BYTE, 100_001)


def test_damage_is_counted_in_time() -> None:
    out = Output()
    out.put(steps(480), 48000)
    out.lose(480, 48000, played=True)
    out.lose(240, 8000, played=False)
    assert (out.damaged_samples, out.damaged_ms, out.audio_ms) == (720, 40.0, 40.0)


def test_the_tail_is_what_follows_the_last_good_packet() -> None:
    decoder = AacDecoder()
    run(decoder, [load("mono.aac") + b"\r\n\r\n"])
    assert decoder.tail == b"\r\n\r\n"
    ogg = OggDecoder()
    run(ogg, [load("pipe.opus") + b"junk" + load("pipe.opus")])
    assert (ogg.tail, ogg.damage.ms, round(ogg.damage.audio_ms)) == (b"", 0, 2400)


@pytest.mark.parametrize(("rate_hz", "channels"), [(1000, 1), (400_000, 1), (24000, 0), (24000, 3)])
def test_shapes_that_are_not_played(rate_hz: int, channels: int) -> None:
    with pytest.raises(CorruptAudioError):
        check_shape(rate_hz, channels)


def test_a_codec_whose_header_is_none_is_refused() -> None:
    with pytest.raises(CorruptAudioError, match="header does not decode"):
        AvCodec("vorbis", extradata=b"\2\1\1xyz")


def test_without_libopus_ffmpegs_own_decoder_is_used() -> None:
    assert AvCodec("no such decoder", "opus").decode(b"") is None


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_no_thread_is_started() -> None:
    run(OggDecoder(), [load("mono.opus")])
    before = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    decoders = [make() for make in (OggDecoder, AacDecoder) for _ in range(10)]
    for decoder, name in zip(decoders, ["mono.opus"] * 5 + ["mono.ogg"] * 5 + ["mono.aac"] * 10, strict=True):
        decoder.feed(load(name))
    assert len(os.listdir("/proc/self/task")) == before  # noqa: PTH208
