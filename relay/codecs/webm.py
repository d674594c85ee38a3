"""WebM and Matroska (RFC 9559) with Opus, Vorbis, AAC or FLAC in it -> mono blocks, each at the last byte of its block.

The file is read flat: segments and clusters are entered whatever size they state, and their elements are taken as they
come. So sizes need not be known, and files in a row are read as one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from relay.codecs.aac import AacPackets, read_config
from relay.codecs.base import CorruptAudioError, TruncatedAudioError
from relay.codecs.ebml import UNKNOWN_SIZE, children, length_of, read_size
from relay.codecs.flac_frames import MAGIC as FLAC_MAGIC
from relay.codecs.flac_frames import FlacPackets, read_stream_info
from relay.codecs.opus import OpusPackets, read_head
from relay.codecs.pull import Output, Packets, PullDecoder, Reading, Source, Trim
from relay.codecs.vorbis import VorbisHeaders, xiph_lacing

# The descriptions of all tracks: a hundred bytes each, Vorbis' codebooks and a font or a logo at most.
TRACKS_BYTES_MAX = 1024 * 1024
# A block of audio is a packet or a few. Blocks of other tracks are skipped and may be of any size.
BLOCK_BYTES_MAX = 256 * 1024
# In one run: as for MP3, more than any hiccup.
JUNK_RUN_BYTES_MAX = 16 * 1024
EBML_HEADER_BYTES_MAX = 4096

_EBML, _SEGMENT, _CLUSTER, _TRACKS = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0x1654AE6B
_BLOCK_GROUP, _BLOCK, _SIMPLE_BLOCK, _DISCARD_PADDING = 0xA0, 0xA1, 0xA3, 0x75A2
_TRACK_ENTRY, _TRACK_NUMBER, _TRACK_TYPE, _CODEC_ID, _CODEC_PRIVATE = 0xAE, 0xD7, 0x83, 0x86, 0x63A2
_CODEC_DELAY, _CONTENT_ENCODINGS = 0x56AA, 0x6D80
_AUDIO = 2

# What is read over: everything else that may stand at the top, in a segment or in a cluster.
_SKIPPED = frozenset(
    (
        *(0xEC, 0xBF),  # Void, CRC-32
        *(0x114D9B74, 0x1549A966, 0x1C53BB6B, 0x1254C367, 0x1043A770, 0x1941A469),  # the other parts of a segment
        *(0xE7, 0xA7, 0xAB, 0x5854, 0xAF),  # Timestamp, Position, PrevSize, SilentTracks, EncryptedBlock
    )
)
_KNOWN = _SKIPPED | {_EBML, _SEGMENT, _CLUSTER, _TRACKS, _BLOCK_GROUP, _SIMPLE_BLOCK}
_NAMES = tuple(identifier.to_bytes((identifier.bit_length() + 7) // 8, "big") for identifier in _KNOWN)
# Where reading goes on after junk: four bytes each.
_RESUME = (_EBML.to_bytes(4, "big"), _CLUSTER.to_bytes(4, "big"), _SEGMENT.to_bytes(4, "big"))
_NS = 1_000_000_000
_BLOCK_HEAD_BYTES = 3  # behind the track number: time, flags
_XIPH, _FIXED, _EBML_LACING = 1, 2, 3


@dataclass(slots=True)
class _Track:
    number: int
    packets: Packets
    trim: Trim


class WebmDecoder(PullDecoder):
    """A decoder of the first audio track that is played; Opus comes at 48 kHz.

    * Simple blocks are decoded at their last byte. A group is decoded at its end: what it says about padding stands
      behind its block.
    * The pre-skip of the Opus header is dropped at the start, for other codecs `CodecDelay`; and `DiscardPadding` from
      the end of its block.
    * A broken packet is silence of its length, or nothing for Vorbis, and counted in `damaged_samples`.
    * What is no element is skipped up to the next cluster and counted; so is what stands behind the end.
    * An input that ends inside an element, or before a size that its cluster or segment states, is truncated.

    Memory: one block, and while they are read the descriptions of all tracks.
    """

    def _read(self, source: Source, out: Output) -> Reading[None]:
        track: _Track | None = None
        ends = {_SEGMENT: 0, _CLUSTER: 0}
        junk_run = 0
        first = True
        while (element := (yield from _element(source, max(ends.values())))) is not None:
            identifier, size, header = element
            if identifier not in _KNOWN or (size == UNKNOWN_SIZE and identifier not in ends):
                if first:
                    raise CorruptAudioError("not WebM: it does not begin with an EBML header")
                junk_run += yield from _resume(source, out, header)
                if junk_run > JUNK_RUN_BYTES_MAX:
                    raise CorruptAudioError(f"more than {JUNK_RUN_BYTES_MAX} bytes are not WebM")
                continue
            first = False
            junk_run = 0
            if identifier in ends:
                ends[identifier] = 0 if size == UNKNOWN_SIZE else source.taken + size
                if identifier == _SEGMENT:
                    ends[_CLUSTER] = 0
                elif track is None:
                    raise CorruptAudioError("a WebM file whose audio comes before its description")
            elif identifier == _EBML:
                ends = dict.fromkeys(ends, 0)
                track = None
                _check_size(size, EBML_HEADER_BYTES_MAX, "an EBML header")
                yield from source.need(size, "an EBML header")
            elif identifier == _TRACKS:
                _check_size(size, TRACKS_BYTES_MAX, "WebM tracks")
                track = _open_track((yield from source.need(size, "the tracks of a WebM file")))
            elif identifier in (_BLOCK_GROUP, _SIMPLE_BLOCK) and track is not None:
                yield from _block(source, out, track, identifier, size)
            elif missing := (yield from source.skip(size)):
                raise TruncatedAudioError(f"the input ended {missing} bytes short of the end of a WebM element")


def _element(source: Source, end: int) -> Reading[tuple[int, int, bytes] | None]:
    """The head of the next element: identifier (0 for none), size, and its bytes. None at the end of the input."""
    begun = source.taken
    head = yield from source.upto(1)
    if not head:
        if begun < end:
            raise TruncatedAudioError(f"the input ended {end - begun} bytes short of the end of a WebM file")
        return None
    length = length_of(head[0], 4)
    if not length:
        return 0, 0, head
    head += yield from source.upto(length)  # the rest of the identifier, and the first byte of the size
    identifier = int.from_bytes(head[:length], "big")
    size_length = length_of(head[length], 8) if len(head) > length else 1
    if identifier in _KNOWN and size_length:
        head += yield from source.upto(length + size_length - len(head))
    if len(head) < length + size_length and any(name.startswith(head[:length]) for name in _NAMES):
        raise TruncatedAudioError("the input ended inside the head of a WebM element")
    if identifier not in _KNOWN or not size_length or len(head) < length + size_length:
        return 0, 0, head
    return identifier, read_size(head, length).value, head


def _resume(source: Source, out: Output, head: bytes) -> Reading[int]:
    """Reads over `head` and what follows, up to where reading can go on. How many bytes that were."""
    out.skip(head[:1])
    window = head[1:]
    junk = 1
    while junk <= JUNK_RUN_BYTES_MAX:
        found = min((at for mark in _RESUME if (at := window.find(mark)) >= 0), default=None)
        end = max(0, len(window) - 3) if found is None else found
        out.skip(window[:end])
        junk += end
        window = window[end:]
        if found is not None:
            break
        part = yield from source.some(JUNK_RUN_BYTES_MAX)
        if not part:
            out.skip(window)
            return junk + len(window)
        window += part
    source.unread(window)
    return junk


def _check_size(size: int, most: int, what: str) -> None:
    if size > most:
        raise CorruptAudioError(f"{what} of {size} bytes; {most} are read")


def _block(source: Source, out: Output, track: _Track, identifier: int, size: int) -> Reading[None]:
    """One block or group: decoded if it is our track's."""
    if size > BLOCK_BYTES_MAX:
        # Audio is never that long. Another track's picture may be.
        if missing := (yield from source.skip(size)):
            raise TruncatedAudioError(f"the input ended {missing} bytes short of the end of a WebM block")
        return
    data = yield from source.need(size, "a WebM block")
    discard_ns = 0
    if identifier == _BLOCK_GROUP:
        parts = _parts(data)
        data = parts.get(_BLOCK, b"")
        discard_ns = int.from_bytes(parts.get(_DISCARD_PADDING, b""), "big", signed=True)
    packets = _packets(data, track.number)
    if packets is None:
        out.skip(data)
        return
    blocks = [block for packet in packets for block in out.decode(track.packets, packet, source.taken)]
    total = sum(block.samples.size for block in blocks)
    track.trim.keep_samples = None
    if discard_ns > 0 and blocks:
        track.trim.keep_samples = max(0, total - round(discard_ns * blocks[0].sample_rate_hz / _NS))
    for block in blocks:
        out.put(track.trim.feed(block.samples), block.sample_rate_hz)
    track.trim.keep_samples = None


def _parts(data: bytes) -> dict[int, bytes]:
    try:
        return dict(children(data))
    except CorruptAudioError:
        return {}


def _packets(block: bytes, track: int) -> list[bytes] | None:
    """The packets of a block; none if it is another track's, None if it is damaged."""
    try:
        number, at = read_size(block)
        if number != track:
            return []
        lacing = block[at + 2] >> 1 & 3 if len(block) > at + 2 else 0
        at += _BLOCK_HEAD_BYTES
        if at > len(block):
            return None
        return _laced(block, at, lacing) if lacing else [block[at:]]
    except CorruptAudioError:
        return None


def _laced(block: bytes, at: int, lacing: int) -> list[bytes]:
    """RFC 9559 10.3: several packets, whose sizes but for the last stand in front."""
    if at >= len(block):
        raise CorruptAudioError("a WebM block cut short")
    count = block[at] + 1
    at += 1
    if lacing == _FIXED:
        size, odd = divmod(len(block) - at, count)
        if odd:
            raise CorruptAudioError("a WebM block of packets of one size that does not divide it")
        sizes = [size] * count
    else:
        sizes, at = xiph_lacing(block, at, count - 1) if lacing == _XIPH else _ebml_lacing(block, at, count - 1)
        sizes.append(len(block) - at - sum(sizes))
        if min(sizes) < 0:
            raise CorruptAudioError("a WebM block shorter than its packets")
    packets = []
    for size in sizes:
        packets.append(block[at : at + size])
        at += size
    return packets


def _ebml_lacing(block: bytes, at: int, count: int) -> tuple[list[int], int]:
    """The first size as it is, then differences, which are shifted so as not to be negative."""
    sizes: list[int] = []
    for _ in range(count):
        value, end = read_size(block, at)
        if sizes:
            value += sizes[-1] - ((1 << 7 * (end - at) - 1) - 1)
        if value < 0:
            raise CorruptAudioError("a WebM block of packets of negative size")
        sizes.append(value)
        at = end
    return sizes, at


def _open_track(data: bytes) -> _Track:
    """The first track of audio that is played. Raises CorruptAudioError, which names what there is, for none."""
    found: list[str] = []
    for identifier, payload in children(data):
        if identifier != _TRACK_ENTRY:
            continue
        entry = dict(children(payload))
        name = entry.get(_CODEC_ID, b"").rstrip(b"\0").decode("ascii", "replace")
        if int.from_bytes(entry.get(_TRACK_TYPE, b""), "big") != _AUDIO or name not in _CODECS:
            found.append(name if name.isprintable() and name else "a nameless codec")
            continue
        if _CONTENT_ENCODINGS in entry:
            raise CorruptAudioError("WebM whose packets are compressed or encrypted, which has no decoder here")
        packets, rate_hz, skip_samples = _CODECS[name](entry.get(_CODEC_PRIVATE, b""))
        if skip_samples is None:
            skip_samples = round(int.from_bytes(entry.get(_CODEC_DELAY, b""), "big") * rate_hz / _NS)
        return _Track(int.from_bytes(entry.get(_TRACK_NUMBER, b""), "big"), packets, Trim(skip_samples))
    raise CorruptAudioError(f"WebM without audio that is played: it holds {', '.join(found) or 'no track'}")


# A decoder, the rate at which a delay counts, and what to drop at the start: None where `CodecDelay` says it.
_Codec: TypeAlias = tuple[Packets, int, int | None]


def _opus(private: bytes) -> _Codec:
    # Its own pre-skip, not `CodecDelay`: FFmpeg 5.1 writes the latter at half of what it is for input at 24 kHz.
    head = read_head(private)
    return OpusPackets(head), 48_000, head.pre_skip_samples


def _vorbis(private: bytes) -> _Codec:
    """Three headers laced as in a block."""
    if not private:
        raise CorruptAudioError("Vorbis in WebM without its headers")
    sizes, at = xiph_lacing(private, 1, min(private[0], 2))
    headers = VorbisHeaders()
    packets = None
    for size in (*sizes, len(private)):
        packets = headers.feed(private[at : at + size]) or packets
        at += size
    if packets is None:
        raise CorruptAudioError("Vorbis in WebM without its headers")
    return packets, packets.rate_hz, None


def _aac(private: bytes) -> _Codec:
    config = read_config(private)
    return AacPackets(config), config.sample_rate_hz, None


def _flac(private: bytes) -> _Codec:
    if not private.startswith(FLAC_MAGIC):
        raise CorruptAudioError("FLAC in WebM without its header")
    info = read_stream_info(private[8:])
    return FlacPackets(info), info.sample_rate_hz, None


_CODECS: dict[str, Callable[[bytes], _Codec]] = {
    "A_OPUS": _opus,
    "A_VORBIS": _vorbis,
    "A_AAC": _aac,
    "A_FLAC": _flac,
}
