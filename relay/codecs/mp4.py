"""MP4 and M4A as a stream: AAC, Opus or FLAC in it -> mono blocks, each packet at its last byte.

With `moov` in front (what is called fast start) and in fragments (CMAF, DASH, HLS). A file whose `moov` comes last
cannot be played as it comes: it is held up to a bound.
"""

from collections import deque
from collections.abc import Iterator

from relay.codecs.aac import AacPackets, read_config
from relay.codecs.base import CorruptAudioError, TruncatedAudioError
from relay.codecs.flac_frames import FlacPackets, read_stream_info
from relay.codecs.mp4_boxes import Run, Track, read_fragment, read_movie
from relay.codecs.opus import OpusPackets, head_of_mp4
from relay.codecs.pull import TAIL_BYTES_MAX, Output, Packets, PullDecoder, Reading, Source, Trim

# The tables of an hour of AAC take 350 KB, a cover picture as much again.
MOOV_BYTES_MAX = 4 * 1024 * 1024
# A fragment's tables: 8 bytes a packet.
MOOF_BYTES_MAX = 1024 * 1024
# Of a file whose `moov` comes last: half a minute at 64 kbit/s. It is decoded at once, which takes some 15 ms.
HELD_BYTES_MAX = 256 * 1024
# An AAC packet has at most 6,144 bits a channel, an Opus packet 61,440 bytes, a FLAC frame of 4,608 samples 28,000.
PACKET_BYTES_MAX = 256 * 1024
# Boxes at the top, of no bytes: real fragments take several KB each.
_EMPTY_BOXES_MAX = 1024

# Behind the last box: line ends, padding, a tag of another format.
_TAG_BYTES_MAX = 512

_HEAD_BYTES = 8
_STARTS = (b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"sidx", b"pnot", b"emsg", b"prft")
# A box of another type: text behind the audio would be one of 150 MB at least.
_OTHER_BYTES_MAX = 64 * 1024 * 1024


class Mp4Decoder(PullDecoder):
    """A decoder of the first track of audio that is played; of files in a row too.

    * What an edit list, or iTunes' comment, says about the encoder's delay and padding is trimmed; fragments mostly
      say nothing about padding.
    * A broken packet is silence of the usual length, and counted in `damaged_samples`.
    * A file with its `moov` last is held until that comes, and refused beyond HELD_BYTES_MAX.
    * An input that ends inside a box, or before all packets that its tables name, is truncated.

    Memory: the tables of `moov`, one fragment's, one packet; or what is held.
    """

    def _read(self, source: Source, out: Output) -> Reading[None]:
        movie = _Movie(source, out, 0)
        any_box = False
        empty = 0
        while (head := (yield from _head(source, out, first=not any_box))) is not None:
            kind, start, size = head
            any_box = True
            end = None if size is None else start + size
            left = None if end is None else end - source.taken
            empty = 0 if left else empty + 1
            if empty > _EMPTY_BOXES_MAX:
                raise CorruptAudioError("MP4 of empty boxes")
            if kind == b"ftyp" and movie.track is not None:
                if not movie.is_complete:
                    raise CorruptAudioError("an MP4 file that ends before all packets that it names")
                movie = _Movie(source, out, start)
            if kind == b"moov":
                movie.open((yield from _whole(source, left, MOOV_BYTES_MAX, "the moov box of an MP4 file")))
            elif kind == b"moof" and movie.track is not None:
                data = yield from _whole(source, left, MOOF_BYTES_MAX, "a fragment of an MP4 file")
                movie.add(read_fragment(data, start - movie.start, movie.track))
                continue
            elif kind == b"mdat":
                yield from movie.media(end)
            missing = yield from source.skip(end - source.taken if end is not None else 1 << 62)
            if missing and end is not None:
                raise TruncatedAudioError(f"the input ended {missing} bytes short of the end of an MP4 box")
        if any_box:
            movie.close()


def _head(source: Source, out: Output, *, first: bool) -> Reading[tuple[bytes, int, int | None] | None]:
    """Type, start and size of the next box; no size where it lasts until the end of the input. None at the end, or at
    what is no box and lasts until there."""
    start = source.taken
    head = yield from source.upto(_HEAD_BYTES)
    if not head:
        return None
    if first and not any(head[4:].startswith(kind[: len(head) - 4]) for kind in _STARTS if len(head) > 4):
        raise CorruptAudioError("not MP4: it begins with no box of MP4")
    if len(head) < _HEAD_BYTES:
        if first or head[0] == 0:
            raise TruncatedAudioError("the input ended inside the head of an MP4 box")
        out.skip(head)
        return None
    size, kind = int.from_bytes(head[:4], "big"), head[4:]
    if size == 1:
        size = int.from_bytes((yield from source.need(8, "the head of an MP4 box")), "big")
    if size == 0:
        return kind, start, None
    if size < source.taken - start or (kind not in _STARTS and size > _OTHER_BYTES_MAX) or not _is_type(kind):
        yield from _skip_tail(source, out, head)
        return None
    return kind, start, size


def _skip_tail(source: Source, out: Output, head: bytes) -> Reading[None]:
    """Reads over what is no box, until the end. CorruptAudioError if that is more than a tag or a line end."""
    size = len(head)
    out.skip(head)
    while size <= TAIL_BYTES_MAX and (part := (yield from source.some(TAIL_BYTES_MAX + 1 - size))):
        out.skip(part)
        size += len(part)
    if size > _TAG_BYTES_MAX:
        raise CorruptAudioError("an MP4 file in disorder: something that is no box where one must begin")


def _is_type(kind: bytes) -> bool:
    """Printable ASCII, or the copyright sign of QuickTime."""
    return all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in kind)


def _whole(source: Source, size: int | None, most: int, what: str) -> Reading[bytes]:
    if size is None or size > most:
        raise CorruptAudioError(f"{what} takes {size or 'all'} bytes; {most} are read")
    return (yield from source.need(size, what))


class _Movie:
    """One file: its track once that is known, and the packets that are still to come."""

    def __init__(self, source: Source, out: Output, start: int) -> None:
        self.start = start
        self.track: Track | None = None
        self._source = source
        self._out = out
        self._packets: Packets | None = None
        self._trim: Trim | None = None
        self._table: Iterator[Run] = iter(())
        self._fragments: deque[Run] = deque()
        self._run: Run | None = None
        self._held: list[tuple[int, bytes]] = []
        self._held_bytes = 0

    def open(self, moov: bytes) -> None:
        """Takes the tables; decodes what was held for want of them."""
        track = read_movie(moov)
        self._packets = _open(track)
        self.track = track
        self._trim = None
        self._table = track.tables.runs()
        self._run = None
        held, self._held = self._held, []
        while held and (run := self._next_run()) is not None:
            for at, data in held:
                if at <= run.offset < at + len(data):
                    self._run = self._from_memory(data, run.offset - at, run)
                    break
            else:
                break

    def add(self, runs: list[Run]) -> None:
        """The packets of a fragment. What an earlier one named and did not bring is lost."""
        self._fragments.extend(runs)

    def media(self, end: int | None) -> Reading[None]:
        """The packets of an `mdat` box up to `end`, or all of it is held where nothing says where they lie."""
        source = self._source
        if self.track is None:
            yield from self._hold(end)
            return
        while (run := self._next_run()) is not None:
            offset = run.offset + self.start
            if not run.sizes:
                self._run = None
                continue
            if end is not None and offset >= end:
                return
            if offset < source.taken:
                raise CorruptAudioError("an MP4 file whose packets do not lie in the order in which they are heard")
            if missing := (yield from source.skip(offset - source.taken)):
                raise TruncatedAudioError(f"the input ended {missing} bytes short of a packet of an MP4 file")
            for size in run.sizes:
                if size > PACKET_BYTES_MAX:
                    raise CorruptAudioError(f"an MP4 packet of {size} bytes; {PACKET_BYTES_MAX} are read")
                self._decode((yield from source.need(size, "a packet of an MP4 file")))
            self._run = None

    @property
    def is_complete(self) -> bool:
        """Whether all packets that the tables name have come."""
        return self._next_run() is None

    def close(self) -> None:
        """At the end of the input."""
        if self.track is None:
            raise TruncatedAudioError("the input ended before the moov box of an MP4 file")
        if not self.is_complete:
            raise TruncatedAudioError("the input ended before all packets that an MP4 file names")

    def _hold(self, end: int | None) -> Reading[None]:
        at = self._source.taken - self.start
        size = end - self._source.taken if end is not None else None
        self._held_bytes += size or 0
        if size is None or self._held_bytes > HELD_BYTES_MAX:
            raise CorruptAudioError(
                f"MP4 with its moov box behind {'all' if size is None else self._held_bytes} bytes of audio; "
                f"{HELD_BYTES_MAX} are held: ask for fragmented MP4, or for moov in front (fast start)"
            )
        self._held.append((at, (yield from self._source.need(size, "the audio of an MP4 file"))))

    def _from_memory(self, data: bytes, at: int, run: Run) -> Run | None:
        """Decodes a run from what is held; what is left of it."""
        for index, size in enumerate(run.sizes):
            if at + size > len(data):
                return Run(run.offset + sum(run.sizes[:index]), run.sizes[index:])
            self._decode(data[at : at + size])
            at += size
        return None

    def _next_run(self) -> Run | None:
        if self._run is None:
            self._run = self._fragments.popleft() if self._fragments else next(self._table, None)
        return self._run

    def _decode(self, packet: bytes) -> None:
        track, packets = self.track, self._packets
        assert track is not None, "there are no packets before their track"
        assert packets is not None, "there are no packets before their track"
        for block in self._out.decode(packets, packet, self._source.taken):
            if self._trim is None:
                self._trim = _trim(track, block.sample_rate_hz)
            self._out.put(self._trim.feed(block.samples), block.sample_rate_hz)


def _trim(track: Track, rate_hz: int) -> Trim:
    """At the rate that is heard: that of the tables may be the one of the core of HE-AAC."""
    if track.gapless is not None:
        delay, samples = track.gapless
        return Trim(delay, delay + samples)
    keep = track.keep * rate_hz // track.timescale
    return Trim(track.skip * rate_hz // track.timescale, keep or None)


def _open(track: Track) -> Packets:
    if track.codec == "opus":
        return OpusPackets(head_of_mp4(track.config))
    if track.codec == "flac":
        return FlacPackets(read_stream_info(track.config))
    return AacPackets(read_config(track.config))
