"""WAV: read at any byte cut, and written with a length that may be unknown.

RIFF is `name, size, payload` again and again, a payload of odd size followed by a zero (Multimedia Programming
Interface and Data Specifications 1.0, IBM and Microsoft, 1991). The size of the outermost RIFF is never looked at:
streams lie there. This file does not know what samples mean: `fmt ` names a format, someone else decodes it.
"""

import struct
from collections.abc import Callable, Generator
from typing import TypeAlias, TypeVar

from relay.codecs.base import Block, CorruptAudioError, Decoder, TruncatedAudioError
from relay.core.formats import AudioFormat, Encoding

UNKNOWN_SIZE = 0xFFFFFFFF
# Who cannot know the size when the header leaves writes 0, 0xFFFFFFFF (ffmpeg, OpenAI), 0x7FFFFFFF (ElevenLabs),
# 0x7FFFF000 (sox) or 2,000,000,000 (pocket-tts). A true size from here on would be six hours at 24 kHz.
_UNKNOWN_SIZE_FROM = 1 << 30

# 16, 18 and 40 bytes are usual; this leaves room for a header that grew, not for garbage read as a size.
_FORMAT_BYTES_MAX = 4096
# Real files have a handful. Without a bound a hostile one could cost a little time for every 8 bytes, for ever.
_CHUNKS_MAX = 64

_RIFF_BYTES = 12  # "RIFF", size, "WAVE"
_CHUNK = struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")  # tag, channels, sample rate, bytes per second, block align, bits per sample

_LINEAR, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_ENCODINGS = {
    (_LINEAR, 8): Encoding.PCM_U8,
    (_LINEAR, 16): Encoding.PCM_S16LE,
    (_LINEAR, 24): Encoding.PCM_S24LE,
    (_LINEAR, 32): Encoding.PCM_S32LE,
    (_FLOAT, 32): Encoding.PCM_F32LE,
    (_ALAW, 8): Encoding.ALAW,
    (_MULAW, 8): Encoding.MULAW,
}
_TAGS = {encoding: tag for (tag, _), encoding in _ENCODINGS.items()}
# A sub-format is a tag and these 14 bytes (KSDATAFORMAT_SUBTYPE_*, ksmedia.h), 24 bytes into `fmt `.
_SUB_FORMAT = slice(24, 40)
_SUB_FORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")

_T = TypeVar("_T")
# Written as if the bytes were all there; `yield` waits for the next piece.
_Reading: TypeAlias = Generator[None, None, _T]


class WavDecoder:
    """A decoder of one WAV, or of several in a row (a header per sentence, as some providers send).

    What follows the samples is not played: after a `data` chunk that says how long it is, other chunks are skipped and
    another RIFF...WAVE goes on in its own format. Where the size is unknown samples last until the end of the input,
    and nothing can tell a chunk or a second header from them.

    `payload_decoder` raises CorruptAudioError for a format it refuses. `flush` raises TruncatedAudioError when the
    input ended inside a chunk. A fault that follows good samples in one piece is raised by the next call, and after an
    error every further call raises it again.
    """

    def __init__(self, payload_decoder: Callable[[AudioFormat], Decoder]) -> None:
        self._source = _Source()
        self._blocks: list[Block] = []
        self._fault: CorruptAudioError | None = None
        self._reading = _wavs(self._source, payload_decoder, self._blocks)

    def feed(self, piece: bytes) -> list[Block]:
        self._raise_fault()
        self._source.give(piece)
        try:
            next(self._reading)
        except CorruptAudioError as fault:
            self._fault = fault
            if not self._blocks:
                raise
        return self._take_blocks()

    def flush(self) -> list[Block]:
        self._raise_fault()
        self._source.end()
        next(self._reading, None)
        return self._take_blocks()

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _take_blocks(self) -> list[Block]:
        blocks = self._blocks.copy()
        self._blocks.clear()
        return blocks


class _Source:
    """The piece being read, and how far."""

    def __init__(self) -> None:
        self._piece = b""
        self._at = 0
        self._ended = False

    def give(self, piece: bytes) -> None:
        self._piece, self._at = piece, 0

    def end(self) -> None:
        self._ended = True

    def wait(self) -> _Reading[bool]:
        """True when there is a byte to read, False at the end of the input."""
        while self._at == len(self._piece):
            if self._ended:
                return False
            yield
        return True

    def some(self, most: int | None = None) -> _Reading[bytes]:
        """What there is, at most `most` bytes; none at the end of the input only."""
        yield from self.wait()
        start, end = self._at, len(self._piece)
        self._at = end if most is None else min(end, start + most)
        return self._piece[start : self._at]  # a whole piece is not copied

    def upto(self, size: int) -> _Reading[bytes]:
        """`size` bytes, fewer only where the input ends."""
        held = b""
        while len(held) < size and (part := (yield from self.some(size - len(held)))):
            held += part
        return held

    def skip(self, size: int) -> _Reading[int]:
        """Reads over `size` bytes and keeps none of them. How many the input lacks."""
        while size and (part := (yield from self.some(size))):
            size -= len(part)
        return size

    def skip_pad(self, size: int) -> _Reading[None]:
        """The zero after a payload of odd `size`. Some writers forget it; no name begins with a zero."""
        if size % 2 and (yield from self.wait()) and self._piece[self._at] == 0:
            self._at += 1


def _wavs(source: _Source, payload_decoder: Callable[[AudioFormat], Decoder], blocks: list[Block]) -> _Reading[None]:
    start = yield from source.upto(_RIFF_BYTES)
    while start:
        if not (b"RIFF".startswith(start[:4]) and b"WAVE".startswith(start[8:])):
            raise CorruptAudioError(f"not a WAV: it begins with {start!r}")
        if len(start) < _RIFF_BYTES:
            raise TruncatedAudioError("the input ended inside the first bytes of a WAV")
        form, size = yield from _header(source)
        yield from _samples(source, size, payload_decoder(form), blocks)
        start = yield from _another(source, size)


def _header(source: _Source) -> _Reading[tuple[AudioFormat, int | None]]:
    """Everything before the samples: their format, and how many bytes they take (None: all that come)."""
    form: AudioFormat | None = None
    names: list[str] = []
    while len(chunk := (yield from source.upto(_CHUNK.size))) == _CHUNK.size:
        name, size = _CHUNK.unpack(chunk)
        names.append(repr(name))
        if not _is_name(name) or len(names) > _CHUNKS_MAX:
            raise CorruptAudioError(f"a WAV in disorder: {_end_of(names)} before any samples")
        if name == b"data":
            if form is None:
                raise CorruptAudioError("a WAV whose samples come before their format")
            return form, None if size == 0 or size >= _UNKNOWN_SIZE_FROM else size
        if name == b"fmt ":
            if not _FORMAT.size <= size <= _FORMAT_BYTES_MAX:
                raise CorruptAudioError(f"a WAV whose format takes {size} bytes")
            payload = yield from source.upto(size)
            missing = size - len(payload)
            form = _format(payload) if not missing else None
        else:
            missing = yield from source.skip(size)
        if missing:
            raise TruncatedAudioError(f"the input ended {missing} bytes short of the chunk {name!r} of a WAV")
        yield from source.skip_pad(size)
    if chunk:
        raise TruncatedAudioError(f"the input ended inside the header of a WAV, after {_end_of(names)}")
    raise CorruptAudioError(f"a WAV without samples: it holds {_end_of(names)}")


def _format(payload: bytes) -> AudioFormat:
    """Reads `fmt `. Block align and bytes per second follow from the rest and are not looked at: many a hand-made
    header has them wrong."""
    tag, channels, sample_rate_hz, _, _, bits = _FORMAT.unpack_from(payload)
    if tag == _EXTENSIBLE:
        sub_format = payload[_SUB_FORMAT]
        if sub_format[2:] != _SUB_FORMAT_TAIL:
            raise CorruptAudioError(f"a WAV of the unknown sub-format {sub_format.hex()}")
        tag = int.from_bytes(sub_format[:2], "little")
    encoding = _ENCODINGS.get((tag, bits))
    if encoding is None:
        raise CorruptAudioError(f"a WAV of {bits} bits in format {tag:#06x}, which has no decoder here")
    return AudioFormat(encoding=encoding, sample_rate_hz=sample_rate_hz, channels=channels)


def _samples(source: _Source, size: int | None, payload: Decoder, blocks: list[Block]) -> _Reading[None]:
    left = size
    while left != 0 and (part := (yield from source.some(left))):
        blocks += payload.feed(part)
        if left is not None:
            left -= len(part)
    if left:
        raise TruncatedAudioError(f"the input ended {left} bytes short of the {size} bytes of samples of a WAV")
    blocks += payload.flush()


def _another(source: _Source, size: int | None) -> _Reading[bytes]:
    """Reads over what follows `size` bytes of samples: the start of another WAV, none at the end of the input."""
    yield from source.skip_pad(size or 0)
    for _ in range(_CHUNKS_MAX):
        chunk = yield from source.upto(_CHUNK.size)
        if len(chunk) < _CHUNK.size:
            return chunk if chunk.startswith(b"RIFF") else b""
        name, size = _CHUNK.unpack(chunk)
        if name == b"RIFF" and b"WAVE".startswith(form := (yield from source.upto(4))):
            return chunk + form
        yield from source.skip(size)
        yield from source.skip_pad(size)
    while (yield from source.some()):
        pass  # whatever it is, nobody said that it was sound
    return b""


def _is_name(name: bytes) -> bool:
    """A FOURCC is four printable ASCII characters."""
    return all(0x20 <= byte < 0x7F for byte in name)


def _end_of(names: list[str]) -> str:
    return ", ".join(names[-4:]) or "nothing"


def wav_header(form: AudioFormat, data_bytes: int | None) -> bytes:
    """What stands before `data_bytes` of samples; None, or more than the field can hold: "until the end".

    Odd `data_bytes` must be followed by one zero byte, as RIFF wants it; that byte is counted here.
    """
    tag, bits = _TAGS[form.encoding], form.encoding.sample_width * 8
    byte_rate = form.sample_rate_hz * form.block_align
    payload = _FORMAT.pack(tag, form.channels, form.sample_rate_hz, byte_rate, form.block_align, bits)
    if tag == _LINEAR:
        chunks = _CHUNK.pack(b"fmt ", len(payload)) + payload
    else:
        # Anything but linear PCM has an extension, here of no bytes, and counts its samples (WAVEFORMATEX, mmreg.h).
        samples = UNKNOWN_SIZE if data_bytes is None else data_bytes // form.block_align
        chunks = _CHUNK.pack(b"fmt ", len(payload) + 2) + payload + bytes(2)
        chunks += _CHUNK.pack(b"fact", 4) + min(samples, UNKNOWN_SIZE).to_bytes(4, "little")
    size = 4 + len(chunks) + _CHUNK.size + (data_bytes or 0) + (data_bytes or 0) % 2
    if data_bytes is None or size > UNKNOWN_SIZE:
        size = data_bytes = UNKNOWN_SIZE
    return _CHUNK.pack(b"RIFF", size) + b"WAVE" + chunks + _CHUNK.pack(b"data", data_bytes)
