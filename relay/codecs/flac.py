"""FLAC as a stream (RFC 9639) -> mono blocks, each frame as soon as its last byte is there.

A frame does not say how many bytes it has, and waiting for the next one would hold back 0.1 to 0.2 s. So the checksum
is compared at every byte: where it fits, the frame is decoded. FFmpeg refuses a frame whose end is missing, so a
checksum that fits by chance, once in 65,536 bytes, does no harm.
"""

import re

from relay.codecs.base import CorruptAudioError, TruncatedAudioError
from relay.codecs.flac_frames import (
    FRAME_BYTES_MIN,
    HEADER_BYTES_MAX,
    MAGIC,
    STREAM_INFO_BYTES,
    FlacPackets,
    FrameHeader,
    StreamInfo,
    crc16_zeros,
    read_frame_header,
    read_stream_info,
)
from relay.codecs.pull import Output, PullDecoder, Reading, Source

# Real files have a handful; each costs a little time however short it is.
METADATA_BLOCKS_MAX = 128
# In one run: as for MP3, more than any hiccup.
JUNK_RUN_BYTES_MAX = 16 * 1024
# In a row, without a good one between: 1 to 3 s.
DAMAGED_FRAMES_MAX = 16
# A later frame ends a damaged one if it is that near: what was lost between is the damage.
_FRAMES_LOST_MAX = 64
# A frame may itself end with some.
_ZEROS_TRIED = 4

_BLOCK_HEADER_BYTES = 4
_NEXT = re.compile(rb"\xff[\xf8\xf9]|fLaC")


class FlacDecoder(PullDecoder):
    """A decoder of one FLAC file, or of several in a row. Up to 16 bits give int16, more give float32: exactly.

    * A frame whose checksum is wrong is silence of its length, so that what follows keeps its time; it is counted in
      `damaged_samples`, as are frames that are missing altogether.
    * Bytes between frames (a tag at the end) are skipped and counted.
    * An input that ends inside a frame, or before the number of samples that the header states, is truncated.

    Memory: one frame, at most 256 KiB for two channels of 16 bits in the longest blocks there are.
    """

    def _read(self, source: Source, out: Output) -> Reading[None]:
        start = yield from source.upto(len(MAGIC))
        while start:
            if not MAGIC.startswith(start):
                raise CorruptAudioError("not FLAC: it does not begin with fLaC")
            if start != MAGIC:
                raise TruncatedAudioError("the input ended inside the first bytes of a FLAC file")
            info = yield from _metadata(source)
            frames = _Frames(info, source, out)
            ended = False
            while not ended and not frames.another:
                part = yield from source.some()
                ended = not part
                frames.feed(part, ended=ended)
            frames.close(ended=ended)
            start = (yield from source.upto(len(MAGIC))) if frames.another else b""


def _metadata(source: Source) -> Reading[StreamInfo]:
    info: StreamInfo | None = None
    for _ in range(METADATA_BLOCKS_MAX):
        header = yield from source.need(_BLOCK_HEADER_BYTES, "the metadata of a FLAC file")
        size = int.from_bytes(header[1:], "big")
        if info is None:
            if header[0] & 0x7F or size != STREAM_INFO_BYTES:
                raise CorruptAudioError("a FLAC file whose first block is no STREAMINFO")
            info = read_stream_info((yield from source.need(size, "the metadata of a FLAC file")))
        elif missing := (yield from source.skip(size)):
            raise TruncatedAudioError(f"the input ended {missing} bytes short of the end of a FLAC file's metadata")
        if header[0] & 0x80:
            return info
    raise CorruptAudioError(f"a FLAC file of more than {METADATA_BLOCKS_MAX} blocks of metadata")


class _Frames:
    """The frames of one FLAC file. `another` is set where the next file begins, and its bytes are put back."""

    def __init__(self, info: StreamInfo, source: Source, out: Output) -> None:
        self.another = False
        self._info = info
        self._source = source
        self._out = out
        self._packets = FlacPackets(info)
        self._held = b""
        # Of the frame that `_held` begins with; None while its header is not there, or in junk.
        self._header: FrameHeader | None = None
        # The checksum of the first bytes; how many. Every place up to there was tried for an end.
        self._crc = 0
        self._crc_at = 0
        # The last place where it was zero, and at how many places in a row before that.
        self._zero_at = 0
        self._zeros = 0
        self._searched = 0
        self._position: int | None = None
        self._junk_run = 0
        self._damaged_run = 0

    def feed(self, part: bytes, *, ended: bool) -> None:
        self._held += part
        while self._held and not self.another and self._step(ended=ended):
            pass

    def close(self, *, ended: bool) -> None:
        """At the end of the file. What is missing of it is damage, or, where the input `ended`, an error."""
        if self._header is not None:
            self._source.cut = self._held
            raise TruncatedAudioError("the input ended inside a FLAC frame")
        missing = self._info.total_samples - (self._position or 0) if self._info.total_samples else 0
        if missing > 0 and ended:
            raise TruncatedAudioError(f"the input ended {missing} samples short of the end of a FLAC file")
        if 0 < missing <= _FRAMES_LOST_MAX * self._info.block_samples:
            self._out.lose(missing, self._info.sample_rate_hz, played=False)

    def _step(self, *, ended: bool) -> bool:
        """Whether there was something to do."""
        return self._end(ended=ended) if self._header is not None else self._begin(ended=ended)

    def _begin(self, *, ended: bool) -> bool:
        """The header of the frame at the start of what is held, or the way there through junk."""
        held = self._held
        if len(held) < HEADER_BYTES_MAX and not ended and _may_begin(held):
            return False
        if held.startswith(MAGIC):
            self.another = True
            self._source.unread(held)
            self._held = b""
            return False
        header = read_frame_header(held[:HEADER_BYTES_MAX], self._info)
        if header is None:
            if ended and self._junk_run == 0 and len(held) < HEADER_BYTES_MAX and _may_begin(held):
                raise TruncatedAudioError("the input ended inside the header of a FLAC frame")
            self._junk(self._next_start(1, len(held), ended=ended))
            return True
        if self._position is not None and header.position > self._position:
            lost = min(header.position - self._position, _FRAMES_LOST_MAX * header.samples)
            self._out.lose(lost, self._info.sample_rate_hz, played=False)
        self._header = header
        self._junk_run = 0
        self._crc = self._crc_at = self._zero_at = self._zeros = 0
        self._searched = header.size_bytes
        return True

    def _end(self, *, ended: bool) -> bool:
        """The end of the frame: the first place where its checksum fits and it decodes. Where a later frame begins
        before that, it is damaged."""
        header, held = self._header, self._held
        assert header is not None, "a frame was begun"
        # What lies beyond is not looked at, so that the same happens however much has come.
        limit = header.frame_bytes_max(self._info) + HEADER_BYTES_MAX
        last = min(len(held), limit)
        for match in _NEXT.finditer(held, self._searched, last):
            at = match.start()
            if at + HEADER_BYTES_MAX > last and not (ended and last < limit):
                break
            self._searched = at + 1
            if self._follows(at):
                if not self._find_end(at):
                    self._give_up(at)
                return True
        self._searched = max(self._searched, last - HEADER_BYTES_MAX + 1)
        if self._find_end(last):
            return True
        if last == limit:
            self._give_up(self._next_start(1, limit, ended=False))
            return True
        return False

    def _follows(self, at: int) -> bool:
        """Whether another frame, or file, begins at `at` for sure."""
        if self._held.startswith(MAGIC, at):
            return True
        found = read_frame_header(self._held[at : at + HEADER_BYTES_MAX], self._info)
        if found is None or self._header is None:
            return False
        ahead = found.position - self._header.position
        return 0 < ahead <= _FRAMES_LOST_MAX * max(found.samples, self._header.samples)

    def _find_end(self, last: int) -> bool:
        """Tries the places up to `last` that were not tried before."""
        begun = self._crc_at
        if last <= begun:
            return False
        zeros, self._crc = crc16_zeros(self._held[begun:last], self._crc)
        self._crc_at = last
        for at in (begun + zero for zero in zeros):
            # Zeros behind a frame leave its checksum at zero: the end is where they begin, or among the first of them.
            self._zeros = self._zeros + 1 if at == self._zero_at + 1 else 0
            self._zero_at = at
            if self._zeros < _ZEROS_TRIED and self._decode(at):
                return True
        return False

    def _decode(self, at: int) -> bool:
        blocks = self._packets.try_decode(self._held[:at]) if at >= FRAME_BYTES_MIN else None
        if not blocks:
            return False
        self._spend(at)
        self._out.packets += 1
        self._out.good_packets += 1
        self._out.tail = b""
        for block in blocks:
            self._out.put(block.samples, block.sample_rate_hz)
        self._damaged_run = 0
        self._next(at)
        return True

    def _give_up(self, limit: int) -> None:
        """The frame is damaged, and nothing of it is behind `limit`."""
        assert self._header is not None, "a frame was begun"
        self._damaged_run += 1
        if self._damaged_run > DAMAGED_FRAMES_MAX:
            raise CorruptAudioError(f"more than {DAMAGED_FRAMES_MAX} FLAC frames in a row are damaged")
        for block in self._packets.silence(self._header.samples):
            self._out.lose(block.samples.size, block.sample_rate_hz, played=True)
            self._spend(limit)
            self._out.put(block.samples, block.sample_rate_hz)
        self._next(limit)

    def _next(self, at: int) -> None:
        assert self._header is not None, "a frame was begun"
        self._position = self._header.position + self._header.samples
        self._header = None
        self._held = self._held[at:]

    def _spend(self, at: int) -> None:
        self._out.spend(self._packets.work, self._source.taken - len(self._held) + at)

    def _next_start(self, at: int, last: int, *, ended: bool) -> int:
        """Where the next frame or file begins, or may begin, at `last` at the latest."""
        held = self._held
        for match in _NEXT.finditer(held, at, last):
            place = match.start()
            if place + HEADER_BYTES_MAX > last and not ended:
                return place
            header = held[place : place + HEADER_BYTES_MAX]
            if header.startswith(MAGIC) or read_frame_header(header, self._info):
                return place
        if ended:
            return last
        return next(place for place in range(max(at, last - 3), last + 1) if _may_begin(held[place:last]))

    def _junk(self, size: int) -> None:
        self._out.skip(self._held[:size])
        self._junk_run += size
        self._held = self._held[size:]
        if self._junk_run > JUNK_RUN_BYTES_MAX:
            raise CorruptAudioError(f"more than {JUNK_RUN_BYTES_MAX} bytes in a FLAC file belong to no frame")


def _may_begin(data: bytes) -> bool:
    """Whether what is there of a header, or of another file, is right so far."""
    four = data[:4]
    return MAGIC.startswith(four) or (four[:1] == b"\xff" and (len(four) == 1 or four[1] & 0xFE == 0xF8))
