"""MP3 bytes in any cut -> whole MP3 frames. This file does not know what a frame sounds like.

A frame is handed out at its last byte: while one frame follows the other, nothing is looked at ahead. Only inside
junk, where any two bytes may look like the start of a frame, a header is believed once a second, agreeing one stands
where the first says its frame ends.

Layer III of MPEG-1, MPEG-2 and MPEG-2.5 (ISO/IEC 11172-3 2.4.1.3, ISO/IEC 13818-3 2.4.1; 2.5 is Fraunhofer's
extension). Free-format frames, whose header does not say how long they are, count as junk: no speech service sends
them, and FFmpeg does not decode them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from relay.codecs.base import HEAD_BYTES_MAX
from relay.codecs.tail import find_text
from relay.codecs.texts import WORDS_BYTES, words_kind

# In one run of junk: two seconds of speech at the usual 64 kbit/s. A hiccup is shorter (the longest MP3 frame has
# 1,441 bytes); what is longer is not an MP3 stream, and every second spent on it is one the listener hears nothing.
MAX_JUNK_RUN_BYTES = 16 * 1024

# Fewer bytes of words behind the sound are too little to tell from what else encoders leave there.
_WORDS_BYTES_MIN = 12

# So many last bytes of a frame are ASCII where a text ends it, and hardly ever else: other frames are not looked at.
_ASCII_BYTES = 7

# Lyrics3 is text, and no error (id3.org/Lyrics3v2).
_LYRICS = b"LYRICSBEGIN"

# Enough of the junk to tell what it is instead.
JUNK_HEAD_BYTES = 16

HEADER_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameHeader:
    """The shape of a frame. `samples` is per channel."""

    sample_rate_hz: int
    channels: int
    samples: int
    size_bytes: int
    # From the start of the frame to its main data (a checksum not counted): where encoders put their Xing tag.
    side_info_end: int


class Mp3Frame(NamedTuple):
    """One whole frame, header included."""

    header: FrameHeader
    data: bytes


# By the two version bits; the rates of one version do not occur in another.
_RATES_HZ = {0b11: (44100, 48000, 32000), 0b10: (22050, 24000, 16000), 0b00: (11025, 12000, 8000)}
_MPEG1 = 0b11
_MPEG1_KBPS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_KBPS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_LAYER_III = 0b01
_MONO = 0b11


# A stream has a dozen different headers or a few; junk may look like any.
@lru_cache(maxsize=1024)
def read_header(four: bytes) -> FrameHeader | None:
    """What the first four bytes of a frame say, or None if they begin none; fewer than four do not.

    The checksum, private, mode extension, copyright, original and emphasis bits may have any value, as mpg123 and
    FFmpeg have it.
    """
    word = int.from_bytes(four, "big")
    version, layer, mono = word >> 19 & 3, word >> 17 & 3, word >> 6 & 3 == _MONO
    bitrate_index, rate_index = word >> 12 & 15, word >> 10 & 3
    if word >> 21 != 0x7FF or version not in _RATES_HZ or layer != _LAYER_III:
        return None
    if bitrate_index in (0, 15) or rate_index == 3:
        return None
    rate_hz = _RATES_HZ[version][rate_index]
    kbps = (_MPEG1_KBPS if version == _MPEG1 else _MPEG2_KBPS)[bitrate_index]
    samples = 1152 if version == _MPEG1 else 576
    side_info_bytes = (17 if mono else 32) if version == _MPEG1 else (9 if mono else 17)
    return FrameHeader(
        sample_rate_hz=rate_hz,
        channels=1 if mono else 2,
        samples=samples,
        size_bytes=samples * kbps * 1000 // 8 // rate_hz + (word >> 9 & 1),
        side_info_end=HEADER_BYTES + side_info_bytes,
    )


class _Tag(NamedTuple):
    """A tag between frames: `size` reads its first `header_bytes` and gives the length of it all, 0 if it is none."""

    header_bytes: int
    size: Callable[[bytes], int]


_ID3V1_BYTES, _ENHANCED_BYTES = 128, 227


def _id3v1_size(header: bytes) -> int:
    """`TAG`, or the longer `TAG+` that may stand before it."""
    return _ENHANCED_BYTES if header[3:4] == b"+" else _ID3V1_BYTES


def _id3v2_size(header: bytes) -> int:
    """ID3v2.4 structure, 3.1: four bytes of seven bits count what follows the ten; flag 0x10 adds a footer."""
    major, revision, flags, size = header[3], header[4], header[5], header[6:10]
    if major not in (2, 3, 4) or revision == 0xFF or max(size) > 0x7F:
        return 0
    payload = size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3]
    return 10 + payload + (10 if flags & 0x10 else 0)


def _apev2_size(header: bytes) -> int:
    """APEv2: the size counts everything but the header. A footer met alone is that and nothing more."""
    if header[:8] != b"APETAGEX":
        return 0
    is_header = int.from_bytes(header[20:24], "little") & 1 << 29
    return 32 + (int.from_bytes(header[12:16], "little") if is_header else 0)


_TAGS = {b"TAG": _Tag(4, _id3v1_size), b"ID3": _Tag(10, _id3v2_size), b"APE": _Tag(32, _apev2_size)}

# What is worth a closer look inside junk. "TAG" is not: three letters are too little to skip 128 bytes for.
_FRAME_OR_TAG = re.compile(
    rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb][%b].|ID3[\x02-\x04]|APETAGEX"
    % b"".join(re.escape(bytes([byte])) for byte in range(0x10, 0xF0) if byte & 0x0C != 0x0C),
    re.DOTALL,
)
_LONGEST_MARK = len(b"APETAGEX")

# Tells whether one to three last bytes are how a header begins: with its end put behind them, they are one.
_ANY_HEADER = b"\xff\xfb\x90\x00"


class FrameSplitter:
    """A transform from the bytes of an MP3 stream to its frames. Xing and Info frames are frames like any other.

    Counts are true after every call but for what is still held, at most one frame and one header. After `flush`
    every byte is counted once: `frame_bytes + tag_bytes + junk_bytes + truncated_bytes`.

    A text that a failing provider writes behind the sound, in the place of a frame or within one, is `text` after
    `flush`; nothing of it is a frame. Before, it counts as junk.

    After MAX_JUNK_RUN_BYTES of junk in one run `gave_up` is set and nothing more comes out, wherever the input was
    cut; `junk_head` is how the last run began.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.frame_bytes = 0
        self.tag_bytes = 0
        self.junk_bytes = 0
        self.junk_zeros = 0  # of those, bytes of zero: padding
        # Of a frame that the input ended in; known after `flush`.
        self.truncated_bytes = 0
        self.junk_head = b""
        self.gave_up = False
        # Junk between frames, zeros not counted: sound was lost there. Before and behind all frames it is padding.
        self.lost_bytes = 0
        # Most frames one right behind the other: two are no accident.
        self.most_in_a_row = 0
        # What the input's last tag lacks; known after `flush`. A tag of ID3v1 stands at the end, and hides nothing.
        self.missing_tag_bytes = 0
        # What a provider wrote behind the sound, known after `flush`: at most HEAD_BYTES_MAX.
        self.text: bytes | None = None
        self._in_a_row = 0
        self._run_lost = 0
        self._body = bytearray()  # how the last run of junk began
        self._last_frame = b""
        self._held = b""
        # Bytes that must be there for the next step to get anywhere; they keep one-byte pieces cheap.
        self._need = HEADER_BYTES
        self._tag_left = 0
        self._tag_hides = False
        # True where a frame must begin: at the start, after a frame, after a tag. False inside junk.
        self._in_step = True
        self._junk_run = 0
        self._last_rate_hz = 0

    def feed(self, piece: bytes) -> list[Mp3Frame]:
        return self._split(piece, final=False)

    def flush(self) -> list[Mp3Frame]:
        return self._split(b"", final=True)

    def _split(self, piece: bytes, *, final: bool) -> list[Mp3Frame]:
        data = self._held + piece
        frames: list[Mp3Frame] = []
        at = 0
        while not self.gave_up and len(data) - at >= (1 if final else self._need):
            if self._tag_left:
                at = self._skip(data, at)
            elif self._in_step:
                at = self._take(data, at, frames, final=final)
            else:
                at = self._search(data, at, final=final)
        self._held = b"" if self.gave_up else data[at:]
        if final or self.gave_up:
            self.missing_tag_bytes = self._tag_left if self._tag_hides else 0
            self.text = self._text_behind()
        return frames

    def _text_behind(self) -> bytes | None:
        """What stands at the end of the input, if a provider wrote it there."""
        if self._tag_left or not self.frames or not self._body:
            return None
        body = bytes(self._body)
        if body.startswith(_LYRICS):
            return None
        words = body.lstrip()
        if len(words) >= _WORDS_BYTES_MIN and words_kind(words[:WORDS_BYTES], ended=True) is not None:
            return words
        # It may have begun within the frame before.
        data = self._last_frame + body
        at = find_text(data)
        return None if at is None else data[at:]

    def _take(self, data: bytes, at: int, frames: list[Mp3Frame], *, final: bool) -> int:
        """The frames that stand here one behind the other."""
        start, found = at, len(frames)
        ends_in_text: bool | None = False
        while header := read_header(data[at : at + HEADER_BYTES]):
            end = at + header.size_bytes
            if end > len(data):
                break
            frame = data[at:end]
            if (
                frame[-_ASCII_BYTES:].isascii()
                and (ends_in_text := self._ends_in_text(frame, data, end, final=final)) is not False
            ):
                break
            frames.append(Mp3Frame(header, frame))
            at = end
        if at > start:
            self._count(frames[found:], at - start)
        if header is None:
            return self._take_no_frame(data, at, final=final)
        if ends_in_text:
            self._in_step = False
            return self._junk(data, at, at + header.size_bytes)
        self._need = header.size_bytes + (0 if ends_in_text is False else HEADER_BYTES)
        return self._cut_short(data, at) if final else at

    def _ends_in_text(self, frame: bytes, data: bytes, end: int, *, final: bool) -> bool | None:
        """Whether an error was written into a frame, and no sound follows; None if only the next header can tell."""
        if find_text(frame) is None:
            return False
        follower = data[end : end + HEADER_BYTES]
        if len(follower) < HEADER_BYTES and not final:
            return None
        return read_header(follower) is None and follower[:3] not in _TAGS

    def _count(self, frames: list[Mp3Frame], size_bytes: int) -> None:
        self.frames += len(frames)
        self.frame_bytes += size_bytes
        self._in_a_row += len(frames)
        self.most_in_a_row = max(self.most_in_a_row, self._in_a_row)
        self.lost_bytes += self._run_lost
        self._junk_run = self._run_lost = 0
        self._last_rate_hz = frames[-1].header.sample_rate_hz
        self._last_frame = frames[-1].data
        self._body.clear()

    def _take_no_frame(self, data: bytes, at: int, *, final: bool) -> int:
        """Where a frame must begin: a tag, the very end, or junk."""
        left = data[at : at + HEADER_BYTES]
        if len(left) < HEADER_BYTES and not final:
            self._need = HEADER_BYTES
            return at
        if left[:3] in _TAGS:
            return self._enter_tag(data, at, final=final)
        if read_header(left + _ANY_HEADER[len(left) :]):
            return self._cut_short(data, at)
        self._in_step = False
        self._need = _LONGEST_MARK
        return at

    def _cut_short(self, data: bytes, at: int) -> int:
        self.truncated_bytes = len(data) - at
        self._body += data[at:]
        return len(data)

    def _search(self, data: bytes, at: int, *, final: bool) -> int:
        """Through junk towards a tag, or a frame that another one vouches for."""
        found = _FRAME_OR_TAG.search(data, at)
        if found is None:
            return self._junk(data, at, len(data) if final else max(at, len(data) - _LONGEST_MARK + 1))
        if found.start() > at:
            return self._junk(data, at, found.start())
        header = read_header(data[at : at + HEADER_BYTES])
        if header is None:
            return self._enter_tag(data, at, final=final)
        needed = header.size_bytes + HEADER_BYTES
        if len(data) - at < needed and not final:
            self._need = needed
            return at
        if not self._vouched_for(header, data, at + header.size_bytes, final=final):
            return self._junk(data, at, at + 1)
        self._in_step = True
        return at

    def _vouched_for(self, header: FrameHeader, data: bytes, end: int, *, final: bool) -> bool:
        """Whether what stands at the end of a frame makes it one: another like it, a tag, or the end of the input."""
        follower = read_header(data[end : end + HEADER_BYTES])
        if follower is not None:
            return follower.sample_rate_hz == header.sample_rate_hz
        if final and end == len(data):
            return self._last_rate_hz == header.sample_rate_hz
        return data[end : end + 3] in _TAGS

    def _enter_tag(self, data: bytes, at: int, *, final: bool) -> int:
        tag = _TAGS[data[at : at + 3]]
        header = data[at : at + tag.header_bytes]
        whole = len(header) == tag.header_bytes
        if not whole and not final:
            self._need = tag.header_bytes
            return at
        self._tag_left = tag.size(header) if whole else 0
        self._tag_hides = tag is not _TAGS[b"TAG"]
        if not self._tag_left:
            self._in_step = False
            return self._junk(data, at, at + 1)
        self._need = 1
        self._junk_run = 0
        self._last_frame = b""
        self._body.clear()
        return at

    def _skip(self, data: bytes, at: int) -> int:
        """Past a tag as far as it has come, so that a cover picture is never held."""
        step = min(self._tag_left, len(data) - at)
        self.tag_bytes += step
        self._tag_left -= step
        if not self._tag_left:
            self._in_step = True
            self._need = HEADER_BYTES
        return at + step

    def _junk(self, data: bytes, at: int, end: int) -> int:
        """Counts what is none, up to the byte at which we give up."""
        if not self._junk_run:
            self.junk_head = b""
            self._body.clear()
        end = min(end, at + MAX_JUNK_RUN_BYTES - self._junk_run)
        self.junk_head += data[at : min(end, at + JUNK_HEAD_BYTES - len(self.junk_head))]
        self._body += data[at : min(end, at + HEAD_BYTES_MAX - len(self._body))]
        zeros = data.count(0, at, end)
        self.junk_zeros += zeros
        self._run_lost += end - at - zeros if self.frames else 0
        self._in_a_row = 0
        self.junk_bytes += end - at
        self._junk_run += end - at
        self.gave_up = self._junk_run == MAX_JUNK_RUN_BYTES
        self._need = _LONGEST_MARK
        return end
