"""What decoders of containers are made of: bytes cut anywhere, read as if all were there, and blocks that go out at
once.

    class OggDecoder(PullDecoder):
        def _read(self, source: Source, out: Output) -> Reading[None]:
            header = yield from source.need(27, "the header of a page")

This file knows no container and no codec.
"""

from collections.abc import Generator
from itertools import groupby
from typing import Protocol, TypeAlias, TypeVar

import numpy as np

from relay.codecs.base import (
    HEAD_BYTES_MAX,
    Block,
    CorruptAudioError,
    Damage,
    NotAudioError,
    Samples,
    TruncatedAudioError,
)
from relay.codecs.tail import find_text
from relay.codecs.texts import text_kind

# What decoding costs, in units of about 4 ns, the price of one sample of silence. An input may always run up WORK_MAX
# (16 ms of CPU, 80 s of silence at 48 kHz), and earns WORK_PER_BYTE more with every byte: speech of 6 kbit/s needs 256,
# digital silence in FLAC 300. What is denser for longer is made to keep a decoder busy.
WORK_MAX = 4_000_000
WORK_PER_BYTE = 320
# Any packet costs this, however little is in it.
PACKET_WORK = 1_000
# And a broken one this: FFmpeg may set up half a decoder, 0.5 ms, before it sees that. 30 in a row are too many.
BROKEN_WORK = 130_000

# So many packets at the start of which none decodes: a second or two of a codec that says it is another.
HOPELESS_PACKETS = 50
# Of what follows the audio: any provider's error message.
TAIL_BYTES_MAX = HEAD_BYTES_MAX
# Shorter words are no message: line ends, padding.
_WORDS_BYTES_MIN = 12
_ID3V1_BYTES = 128

T = TypeVar("T")
# Written as if the bytes were all there; `yield` waits for the next piece.
Reading: TypeAlias = Generator[None, None, T]


class Packets(Protocol):
    """A decoder of whole packets. Of the last one: what it cost (`work`), and whether it did not decode."""

    rate_hz: int
    damaged_samples: int
    work: int
    is_broken: bool

    def decode(self, packet: bytes) -> list[Block]: ...


class Source:
    """The bytes that have come, and how many were `taken`."""

    def __init__(self) -> None:
        self._piece = b""
        self._at = 0
        self._ended = False
        self.taken = 0
        # What there was of the unit that the input ended in.
        self.cut = b""

    def give(self, piece: bytes) -> None:
        """Only after everything given before was taken."""
        self._piece, self._at = piece, 0

    def end(self) -> None:
        self._ended = True

    def wait(self) -> Reading[bool]:
        """True when there is a byte to read, False at the end of the input."""
        while self._at == len(self._piece):
            if self._ended:
                return False
            yield
        return True

    def some(self, most: int | None = None) -> Reading[bytes]:
        """What there is, at most `most` bytes; none at the end of the input only."""
        yield from self.wait()
        start, end = self._at, len(self._piece)
        self._at = end if most is None else min(end, start + most)
        self.taken += self._at - start
        return self._piece[start : self._at]

    def upto(self, size: int) -> Reading[bytes]:
        """`size` bytes, fewer only where the input ends."""
        end = self._at + size
        if end <= len(self._piece):
            data = self._piece[self._at : end]
            self._at = end
            self.taken += size
            return data
        held = bytearray()
        while len(held) < size and (part := (yield from self.some(size - len(held)))):
            held += part
        return bytes(held)

    def need(self, size: int, of: str) -> Reading[bytes]:
        """`size` bytes; TruncatedAudioError, which names `of`, where the input ends before."""
        data = yield from self.upto(size)
        if len(data) < size:
            self.cut = data
            raise TruncatedAudioError(f"the input ended {size - len(data)} bytes short of the end of {of}")
        return data

    def skip(self, size: int) -> Reading[int]:
        """Reads over `size` bytes and keeps none of them. How many the input lacks."""
        while size and (part := (yield from self.some(size))):
            size -= len(part)
        return size

    def unread(self, data: bytes) -> None:
        """Puts back what was taken last."""
        start = self._at - len(data)
        if start >= 0 and self._piece.startswith(data, start):
            self._at = start
        else:
            self._piece = data + self._piece[self._at :]
            self._at = 0
        self.taken -= len(data)


class Output:
    """The audio of one stream on its way out, and what was wrong with it."""

    def __init__(self) -> None:
        self._parts: list[tuple[Samples, int]] = []
        self._work_left = WORK_MAX
        self._taken = 0
        # All that there should be, damage included; and the damage.
        self.audio_ms = 0.0
        self.damaged_ms = 0.0
        self.damaged_samples = 0
        self.junk_bytes = 0
        # How what follows the last of the audio begins, if that is no audio.
        self.tail = b""
        self.packets = 0
        self.good_packets = 0

    def decode(self, packets: Packets, packet: bytes, taken: int) -> list[Block]:
        """The blocks of a packet, not put yet; `taken` bytes of input ended with it. Raises CorruptAudioError beyond
        the bounds above, and when nothing decodes."""
        damaged = packets.damaged_samples
        blocks = packets.decode(packet)
        self.spend(packets.work + (BROKEN_WORK if packets.is_broken else 0), taken)
        self.packets += 1
        if packets.is_broken:
            self.lose(packets.damaged_samples - damaged, packets.rate_hz, played=bool(blocks))
            if not self.good_packets and self.packets == HOPELESS_PACKETS:
                raise self.hopeless()
        else:
            self.good_packets += 1
            self.tail = b""
        return blocks

    def lose(self, samples: int, sample_rate_hz: int, *, played: bool) -> None:
        """Counts damage: `played` as silence or as it decoded, or left out."""
        ms = samples * 1000 / sample_rate_hz
        self.damaged_samples += samples
        self.damaged_ms += ms
        self.audio_ms += 0 if played else ms

    def skip(self, junk: bytes) -> None:
        """Counts bytes that belong to nothing."""
        self.junk_bytes += len(junk)
        if len(self.tail) < TAIL_BYTES_MAX:
            self.tail = (self.tail + junk)[:TAIL_BYTES_MAX]

    def hopeless(self) -> CorruptAudioError:
        return CorruptAudioError(f"none of {self.packets} packets decodes")

    def spend(self, work: int, taken: int) -> None:
        """Accounts for decoding, after `taken` bytes of input. Raises CorruptAudioError beyond the bounds above."""
        self._work_left = min(WORK_MAX, self._work_left + (taken - self._taken) * WORK_PER_BYTE) - work - PACKET_WORK
        self._taken = taken
        if self._work_left < 0:
            raise CorruptAudioError("more silence, or more broken packets, in a few bytes than speech ever holds")

    def put(self, samples: Samples, sample_rate_hz: int) -> None:
        if samples.size:
            self._parts.append((samples, sample_rate_hz))
            self.audio_ms += samples.size * 1000 / sample_rate_hz

    def __bool__(self) -> bool:
        return bool(self._parts)

    def take(self) -> list[Block]:
        """All that is there, a block for each run of one rate and type."""
        parts, self._parts = self._parts, []
        if len(parts) == 1:
            return [Block(*parts[0])]
        return [
            Block(np.concatenate([samples for samples, _ in run]), rate_hz)
            for (rate_hz, _), run in groupby(parts, lambda part: (part[1], part[0].dtype))
        ]


class Trim:
    """Drops the first `skip_samples` of what is fed, and what comes after the first `keep_samples` (None: nothing)."""

    def __init__(self, skip_samples: int = 0, keep_samples: int | None = None) -> None:
        self.skip_samples = skip_samples
        self.keep_samples = keep_samples

    def feed(self, samples: Samples) -> Samples:
        if self.keep_samples is not None:
            samples = samples[: self.keep_samples]
            self.keep_samples -= samples.size
        if self.skip_samples:
            skipped = min(self.skip_samples, samples.size)
            self.skip_samples -= skipped
            samples = samples[skipped:]
        return samples


class PullDecoder:
    """A decoder that reads: `_read` is run as far as the bytes go.

    `damaged_samples` counts audio that was lost, silenced or played from damaged bytes, `damage` the same in time; all
    of them are true after every call. `junk_bytes` counts bytes that belong to nothing. `tail` is what
    follows the audio and is none, TAIL_BYTES_MAX of it at most.

    A fault that follows good samples in one piece is raised by the next call, and after an error every further call
    raises it again.
    """

    def __init__(self) -> None:
        self._source = Source()
        self._out = Output()
        self._fault: CorruptAudioError | TruncatedAudioError | None = None
        self._reading = self._read(self._source, self._out)

    @property
    def damaged_samples(self) -> int:
        return self._out.damaged_samples

    @property
    def damage(self) -> Damage:
        return Damage(self._out.damaged_ms, self._out.audio_ms)

    @property
    def tail(self) -> bytes:
        return self._out.tail

    @property
    def junk_bytes(self) -> int:
        return self._out.junk_bytes

    def _read(self, source: Source, out: Output) -> Reading[None]:
        raise NotImplementedError

    def feed(self, piece: bytes) -> list[Block]:
        self._raise_fault()
        if piece:
            self._source.give(piece)
            self._run()
            if not self._out:
                self._raise_fault()
        return self._out.take()

    def flush(self) -> list[Block]:
        """Raises NotAudioError for a text behind the audio or in the middle of it, TruncatedAudioError when the input
        ended inside something that says how long it is."""
        self._raise_fault()
        self._source.end()
        self._run()
        if self._out.packets and not self._out.good_packets:
            self._fault = self._fault or self._out.hopeless()
        self._fault = _text_in(self._out.tail or self._source.cut) or self._fault
        self._raise_fault()
        return self._out.take()

    def _raise_fault(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _run(self) -> None:
        try:
            next(self._reading)
        except StopIteration:
            pass
        except (CorruptAudioError, TruncatedAudioError) as fault:
            self._fault = fault


def _text_in(tail: bytes) -> NotAudioError | None:
    """A provider that fails in the middle of a reply may write its error behind the audio."""
    start = find_text(tail)
    text = tail[start or 0 :].strip()
    is_tag = len(tail) == _ID3V1_BYTES and tail.startswith(b"TAG")
    if start is None and (is_tag or len(text) < _WORDS_BYTES_MIN):
        return None
    kind = text_kind(text, any_text=True)
    return NotAudioError(kind, text, after_audio=True) if kind else None
