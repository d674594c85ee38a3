"""WAV: read at any byte cut. What its header says of the samples is in `wav_format`.

RIFF is `name, size, payload` again and again, a payload of odd size followed by a zero (Multimedia Programming
Interface and Data Specifications 1.0, IBM and Microsoft, 1991). The size of the outermost RIFF is never looked at:
streams lie there. RF64 and BW64 are the same, with the size of the samples in 64 bits in a chunk of its own (EBU Tech
3306, ITU-R BS.2088). This file does not know what samples mean: `fmt ` names a format, someone else decodes it.
"""

import re
import struct
from collections.abc import Callable
from typing import NamedTuple

from relay.codecs.base import Block, CorruptAudioError, Damage, Decoder, TruncatedAudioError
from relay.codecs.pull import Reading, Source
from relay.codecs.tail import SINGLE_TEXT, Tail
from relay.codecs.wav_format import CHUNK, FORMAT, UNKNOWN_SIZE, WavFormat, read_format
from relay.core.formats import AudioFormat

# Who cannot know the size when the header leaves writes 0, 0xFFFFFFFF (ffmpeg, OpenAI), 0x7FFFFFFF (ElevenLabs),
# 0x7FFFF000 (sox) or 2,000,000,000 (pocket-tts). A true size from here on would be six hours at 24 kHz.
_UNKNOWN_SIZE_FROM = 1 << 30

# 16, 18 and 40 bytes are usual; this leaves room for a header that grew, not for garbage read as a size.
_FORMAT_BYTES_MAX = 4096
# Real files have a handful. Without a bound a hostile one could cost a little time for every 8 bytes, for ever.
_CHUNKS_MAX = 64

# What may stand behind the samples, and is read over: names of chunks in files of others. Any other name is taken for
# one if it looks like one and is short, for samples may look like a name.
_CHUNK_NAMES = frozenset(
    (
        *(b"LIST", b"INFO", b"JUNK", b"junk", b"PAD ", b"FLLR", b"fact", b"fmt ", b"cue ", b"plst", b"smpl", b"inst"),
        *(b"bext", b"iXML", b"aXML", b"axml", b"chna", b"umid", b"ubxt", b"cart", b"levl", b"PEAK", b"DISP", b"acid"),
        *(b"id3 ", b"ID3 ", b"_PMX", b"afsp", b"link", b"strc", b"slnt", b"wavl", b"labl", b"note", b"ltxt", b"adtl"),
        *(b"minf", b"elm1", b"regn", b"ovwf", b"SAUR", b"SNDM", b"Fake", b"clm ", b"tlst", b"cset", b"mext", b"r64m"),
    )
)
_OTHER_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_ ]{3}")
_OTHER_CHUNK_BYTES_MAX = 1 << 20
# Zeros behind the samples are padding if nothing else follows, and samples if something does.
_PADDING_BYTES_MAX = 4096

# Samples that last until the end of the input end earlier where another WAV begins, or a list of texts.
_SEAM = re.compile(rb"RIFF.{4}WAVE|LIST.{4}(?:INFO|adtl)", re.DOTALL)
_HALF_SEAM = re.compile(
    rb"(?:R(?:I(?:F(?:F(?:.{0,3}|.{4}(?:W(?:AV?)?)?))?)?)?"
    rb"|L(?:I(?:S(?:T(?:.{0,3}|.{4}(?:I(?:NF?)?|a(?:dt?)?)?))?)?)?)\Z",
    re.DOTALL,
)
_SEAM_BYTES = 12

_RIFF_BYTES = 12  # "RIFF", size, "WAVE"
_RIFF_NAMES = (b"RIFF", b"RF64", b"BW64")
_DS64 = struct.Struct("<QQ")  # sizes of the file and of the samples
_DS64_BYTES_MAX = 64 * 1024


class WavDecoder:
    """A decoder of one WAV, or of several in a row (a header per sentence, as some providers send).

    * Several `data` chunks are one; other chunks are read over; another RIFF...WAVE goes on in its own format.
    * Where the size is unknown samples last until the end of the input, another WAV, or a LIST. A WAV that is longer
      than it says plays on. Zeros at the very end are padding.
    * A text behind the samples, or among them at the end of the input, is not played: NotAudioError (see `tail`).

    `payload_decoder` raises CorruptAudioError for a format it refuses; `mp3_decoder` makes one for MP3 in a WAV.
    `flush` raises TruncatedAudioError when the input ended inside a chunk. A fault that follows good samples in one
    piece is raised by the next call, and after an error every further call raises it again.
    """

    def __init__(
        self, payload_decoder: Callable[[AudioFormat], Decoder], mp3_decoder: Callable[[], Decoder] | None = None
    ) -> None:
        self._source = Source()
        self._blocks: list[Block] = []
        self._fault: CorruptAudioError | None = None
        self._payload_decoder = payload_decoder
        self._mp3_decoder = mp3_decoder
        self._payloads: list[Decoder] = []
        self._past = Damage()
        self._reading = self._wavs()

    @property
    def damage(self) -> Damage:
        """Of all WAVs so far."""
        return _added(self._past, self._payloads)

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

    def _wavs(self) -> Reading[None]:
        source = self._source
        start = yield from source.upto(_RIFF_BYTES)
        while start:
            if not (any(name.startswith(start[:4]) for name in _RIFF_NAMES) and b"WAVE".startswith(start[8:])):
                raise CorruptAudioError(f"not a WAV: it begins with {start!r}")
            if len(start) < _RIFF_BYTES:
                raise TruncatedAudioError("the input ended inside the first bytes of a WAV")
            header = yield from _header(source)
            payload = self._open(header.form)
            self._past, self._payloads = self.damage, [payload]
            # An MP3 knows the end of its sound itself.
            tail = None if header.form == "mp3" else Tail(header.form.encoding.sample_width)
            start = yield from _samples(source, header, _Sink(payload, tail, self._blocks))

    def _open(self, form: WavFormat) -> Decoder:
        if form != "mp3":
            return self._payload_decoder(form)
        if self._mp3_decoder is None:
            raise CorruptAudioError("MP3 in a WAV, which has no decoder here")
        return self._mp3_decoder()


def _added(past: Damage, payloads: list[Decoder]) -> Damage:
    counted: list[Damage] = [getattr(payload, "damage", Damage()) for payload in payloads]
    return Damage(past.ms + sum(one.ms for one in counted), past.audio_ms + sum(one.audio_ms for one in counted))


class _Header(NamedTuple):
    """What stands before the samples; `size` None is all that come. `is_empty`: the size says that there are none, or
    that it is unknown."""

    form: WavFormat
    size: int | None
    is_empty: bool


class _Sink:
    """Where samples go: through the look for a text at their end to the decoder of the payload."""

    def __init__(self, payload: Decoder, tail: Tail | None, blocks: list[Block]) -> None:
        self._payload = payload
        self._tail = tail
        self._blocks = blocks
        self._played = 0

    def play(self, part: bytes) -> None:
        tail = self._tail
        if tail is not None and (part[-1:] in SINGLE_TEXT or tail.run):
            held = self._played
            self._played += len(part)
            part = tail.pass_on(part, held)
        else:
            self._played += len(part)
        if part:
            self._blocks += self._payload.feed(part)

    def begin(self, size: int | None) -> None:
        """So many bytes come, or nobody knows how many."""
        if self._tail is not None:
            self._tail.looks_for_words = size is None

    def more_follows(self) -> None:
        """What came so far is whole: nothing at its end is a text."""
        if self._tail is not None and (rest := self._tail.release()):
            self._blocks += self._payload.feed(rest)

    def input_ended(self) -> None:
        """Raises NotAudioError."""
        if self._tail is not None and (rest := self._tail.flush()):
            self._blocks += self._payload.feed(rest)

    def close(self) -> None:
        self._blocks += self._payload.flush()


def _header(source: Source) -> Reading[_Header]:
    """Everything before the samples."""
    form: WavFormat | None = None
    long_size: int | None = None
    names: list[str] = []
    while len(chunk := (yield from source.upto(CHUNK.size))) == CHUNK.size:
        name, size = CHUNK.unpack(chunk)
        names.append(repr(name))
        if not _is_name(name) or len(names) > _CHUNKS_MAX:
            raise CorruptAudioError(f"a WAV in disorder: {_end_of(names)} before any samples")
        if name == b"data":
            if form is None:
                raise CorruptAudioError("a WAV whose samples come before their format")
            if size == UNKNOWN_SIZE and long_size is not None:
                return _Header(form, long_size or None, is_empty=long_size == 0)
            return _Header(form, None if size == 0 or size >= _UNKNOWN_SIZE_FROM else size, is_empty=size == 0)
        if name == b"fmt ":
            if not FORMAT.size <= size <= _FORMAT_BYTES_MAX:
                raise CorruptAudioError(f"a WAV whose format takes {size} bytes")
            payload = yield from source.upto(size)
            missing = size - len(payload)
            form = read_format(payload) if not missing else None
        elif name == b"ds64" and _DS64.size <= size <= _DS64_BYTES_MAX:
            payload = yield from source.upto(size)
            missing = size - len(payload)
            if not missing:
                long_size = _long_size(payload)
        else:
            missing = yield from source.skip(size)
        if missing:
            raise TruncatedAudioError(f"the input ended {missing} bytes short of the chunk {name!r} of a WAV")
        yield from _skip_pad(source, size)
    if chunk:
        raise TruncatedAudioError(f"the input ended inside the header of a WAV, after {_end_of(names)}")
    raise CorruptAudioError(f"a WAV without samples: it holds {_end_of(names)}")


def _skip_pad(source: Source, size: int) -> Reading[None]:
    """The zero after a payload of odd `size`. Some writers forget it; no name begins with a zero."""
    if size % 2 and (pad := (yield from source.some(1))) not in (b"", b"\0"):
        source.unread(pad)


def _long_size(payload: bytes) -> int:
    """Of the samples of an RF64; 0 for one that streams do not know either."""
    size: int = _DS64.unpack_from(payload)[1]
    return size if size < 1 << 62 and size != UNKNOWN_SIZE else 0


def _samples(source: Source, header: _Header, sink: _Sink) -> Reading[bytes]:
    """All samples of a WAV. Returns the start of another, none at the end of the input."""
    size: int | None = header.size
    # An empty `data` may be followed by other chunks, and so may one whose writer did not know its size.
    follows = (yield from _next(source)) if header.is_empty else _Next(b"data", size)
    while follows.name:
        if follows.name in _RIFF_NAMES:
            sink.close()
            return follows.start
        size = follows.size
        sink.begin(size)
        if size is None:
            follows = yield from _open_ended(source, sink)
            continue
        left = size
        while left and (part := (yield from source.some(left))):
            sink.play(part)
            left -= len(part)
        if left:
            sink.input_ended()
            raise TruncatedAudioError(f"the input ended {left} bytes short of the {size} bytes of samples of a WAV")
        sink.more_follows()
        yield from _skip_pad(source, size)
        follows = yield from _next(source)
    sink.input_ended()
    sink.close()
    return b""


class _Next(NamedTuple):
    """What comes behind samples: "data" for more of them, of any size if it is None; "RIFF", with the `start` of
    another WAV; or nothing."""

    name: bytes
    size: int | None = None
    start: bytes = b""


_END = _Next(b"")


def _next(source: Source) -> Reading[_Next]:
    """Reads over chunks that are no samples."""
    for _ in range(_CHUNKS_MAX):
        chunk = yield from source.upto(CHUNK.size)
        if len(chunk) < CHUNK.size:
            return _rest(source, chunk)
        name, size = CHUNK.unpack(chunk)
        if name in _RIFF_NAMES:
            form = yield from source.upto(4)
            if b"WAVE".startswith(form):
                return _Next(name, start=chunk + form)
            source.unread(form)
        elif _is_name(chunk[4:]):
            # Half a gigabyte at least, if it were a size: these are eight letters of a text.
            source.unread(chunk)
            return _Next(b"data")
        elif name == b"data":
            return _Next(name, None if size == 0 or size >= _UNKNOWN_SIZE_FROM else size)
        elif not any(chunk):
            return (yield from _padding(source, chunk))
        elif name not in _CHUNK_NAMES and not (_OTHER_NAME.fullmatch(name) and size <= _OTHER_CHUNK_BYTES_MAX):
            source.unread(chunk)
            return _Next(b"data")
        yield from source.skip(size)
        yield from _skip_pad(source, size)
    while (yield from source.some()):
        pass  # no writer of WAVs puts so many chunks there
    return _END


def _rest(source: Source, few: bytes) -> _Next:
    """Of fewer bytes than a chunk's name and size: another WAV that was begun, padding, a name; or samples."""
    if few and b"RIFF".startswith(few[:4]):
        return _Next(b"RIFF", start=few) if few.startswith(b"RIFF") else _END
    if not any(few) or _is_name(few[:4]):
        return _END
    source.unread(few)
    return _Next(b"data")


def _padding(source: Source, zeros: bytes) -> Reading[_Next]:
    while len(zeros) <= _PADDING_BYTES_MAX:
        part = yield from source.some(_PADDING_BYTES_MAX)
        if not part:
            return _END
        zeros += part
        if any(part):
            break
    source.unread(zeros)
    return _Next(b"data")


def _open_ended(source: Source, sink: _Sink) -> Reading[_Next]:
    """Samples until the end of the input, or a seam."""
    held = b""
    while part := (yield from source.some()):
        data = held + part if held else part
        if (b"RIFF" in data or b"LIST" in data) and (seam := _SEAM.search(data)):
            sink.play(data[: seam.start()])
            sink.more_follows()
            source.unread(data[seam.start() :])
            return (yield from _next(source))
        last = data[1 - _SEAM_BYTES :]
        half = _HALF_SEAM.search(last) if b"R" in last or b"L" in last else None
        if half is None:
            held = b""
            sink.play(data)
        else:
            held = last[half.start() :]
            sink.play(data[: -len(held)])
    sink.play(held)
    return _END


def _is_name(name: bytes) -> bool:
    """A FOURCC is four printable ASCII characters."""
    return all(0x20 <= byte < 0x7F for byte in name)


def _end_of(names: list[str]) -> str:
    return ", ".join(names[-4:]) or "nothing"
