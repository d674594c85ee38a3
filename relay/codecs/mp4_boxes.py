"""MP4 boxes (ISO/IEC 14496-12): the track that is played, and where its samples lie, from a `moov` or a `moof`.

"Sample" is MP4's word for a packet. This file reads boxes that are all there; `mp4` brings them.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relay.codecs.base import CorruptAudioError

_HEAD = struct.Struct(">I4s")
# Nested deeper than any real file only on purpose.
_CHILDREN_MAX = 4096


class Run(NamedTuple):
    """Samples one behind the other: where the first begins, and the bytes of each."""

    offset: int
    sizes: list[int]


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a fragment leaves to `trex` or `tfhd`."""

    size: int = 0


@dataclass(frozen=True, slots=True)
class Track:
    """The track that is played. `config` is what its codec calls its header.

    `skip` and `keep` count units of `timescale`: what to drop at the start, and where the audio ends (0: not stated).
    `gapless` is the same, in samples, as iTunes states it.
    """

    number: int
    codec: str
    config: bytes
    timescale: int
    skip: int
    keep: int
    gapless: tuple[int, int] | None
    defaults: Defaults
    tables: "Tables"


@dataclass(frozen=True, slots=True)
class Tables:
    """Where the samples of a `moov` lie; none in a fragmented file."""

    sizes: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    one_size: int = 0
    count: int = 0
    offsets: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    chunks: tuple[tuple[int, int], ...] = ()  # first chunk, counted from 1, and samples in each from there on

    def runs(self) -> Iterator[Run]:
        """In the order of the table, which is that of time; at most _RUN_SAMPLES_MAX each."""
        done = 0
        # The last entry goes on to the last chunk.
        for (first, per_chunk), (following, _) in pairwise((*self.chunks, _NO_MORE)):
            for chunk in range(max(first - 1, 0), min(following - 1, len(self.offsets))):
                offset = int(self.offsets[chunk])
                end = min(done + per_chunk, self.count)
                while done < end:
                    until = min(done + _RUN_SAMPLES_MAX, end)
                    sizes = [self.one_size] * (until - done) if self.one_size else self.sizes[done:until].tolist()
                    yield Run(offset, sizes)
                    offset += sum(sizes)
                    done = until


_NO_MORE = (1 << 32, 0)
# A chunk that claims millions of samples is taken a few at a time.
_RUN_SAMPLES_MAX = 256


def boxes(data: bytes, start: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """The boxes one behind the other: type, payload. Raises CorruptAudioError beyond the end of `data`."""
    at = start
    for _ in range(_CHILDREN_MAX):
        if at + _HEAD.size > len(data):
            return
        size, kind = _HEAD.unpack_from(data, at)
        head = _HEAD.size
        if size == 1 and at + 16 <= len(data):
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        elif size == 0:
            size = len(data) - at
        if size < head or at + size > len(data):
            raise CorruptAudioError(f"an MP4 box {kind!r} that is longer than the one around it")
        yield kind, data[at + head : at + size]
        at += size
    raise CorruptAudioError("an MP4 box of too many boxes")


def _box(data: bytes, *path: bytes) -> bytes:
    """The first box there, empty if there is none."""
    for kind in path:
        data = next((payload for found, payload in boxes(data) if found == kind), b"")
    return data


def _field(data: bytes, form: str, at: int) -> tuple[int, ...]:
    """Numbers at `at`. Raises CorruptAudioError beyond the end."""
    if at + struct.calcsize(form) > len(data):
        raise CorruptAudioError("an MP4 box cut short")
    numbers: tuple[int, ...] = struct.unpack_from(form, data, at)
    return numbers


def read_movie(moov: bytes) -> Track:
    """The first track of audio that is played. Raises CorruptAudioError, which names what there is, for none."""
    found: list[str] = []
    for kind, trak in boxes(moov):
        if kind != b"trak" or _box(trak, b"mdia", b"hdlr")[8:12] != b"soun":
            continue
        codec, config = _sample_entry(_box(trak, b"mdia", b"minf", b"stbl", b"stsd"))
        if not codec:
            found.append(config.decode("ascii", "replace"))
            continue
        return _track(moov, trak, codec, config)
    raise CorruptAudioError(f"MP4 without audio that is played: it holds {', '.join(found) or 'no track of audio'}")


def _track(moov: bytes, trak: bytes, codec: str, config: bytes) -> Track:
    tkhd, mdhd, mvhd = _box(trak, b"tkhd"), _box(trak, b"mdia", b"mdhd"), _box(moov, b"mvhd")
    (number,) = _field(tkhd, ">I", 20 if tkhd[:1] == b"\1" else 12)
    timescale, duration = _timescale(mdhd)
    movie_timescale, _ = _timescale(mvhd)
    skip, keep = _edit(_box(trak, b"edts", b"elst"), timescale, movie_timescale, duration)
    trex = next((p for k, p in boxes(_box(moov, b"mvex")) if k == b"trex" and p[4:8] == number.to_bytes(4, "big")), b"")
    return Track(
        number=number,
        codec=codec,
        config=config,
        timescale=timescale,
        skip=skip,
        keep=keep,
        gapless=_gapless(moov),
        defaults=Defaults(_field(trex, ">I", 16)[0] if trex else 0),
        tables=_tables(_box(trak, b"mdia", b"minf", b"stbl")),
    )


def _timescale(data: bytes) -> tuple[int, int]:
    """Of `mdhd` and `mvhd`: units in a second, and how many there are, 0 if that is not known."""
    wide = data[:1] == b"\1"
    timescale, duration = _field(data, ">IQ" if wide else ">II", 20 if wide else 12)
    if not timescale:
        raise CorruptAudioError("an MP4 whose seconds have no length")
    return timescale, 0 if duration >= (1 << (64 if wide else 32)) - 1 else duration


def _edit(elst: bytes, timescale: int, movie_timescale: int, duration: int) -> tuple[int, int]:
    """What the first edit with sound in it drops at the start, and where it ends. Silence before it is not played."""
    wide = elst[:1] == b"\1"
    size = 20 if wide else 12
    count = min(_field(elst, ">I", 4)[0] if elst else 0, _CHILDREN_MAX)
    for index in range(count):
        length, start = _field(elst, ">Qq" if wide else ">Ii", 8 + index * size)
        if start < 0:
            continue
        end = start + length * timescale // movie_timescale
        # The edit is measured in a coarser unit: where both mean the same, the exact one counts.
        if not length or abs(end - duration) * movie_timescale <= 2 * timescale:
            end = duration
        return start, end
    return 0, duration


def _gapless(moov: bytes) -> tuple[int, int] | None:
    """iTunes' comment: delay, padding and the number of samples, as text."""
    at = moov.find(b"iTunSMPB")
    found = _ITUNES.search(moov, at, at + 300) if at >= 0 else None
    if found is None:
        return None
    delay, samples = int(found[1], 16), int(found[2], 16)
    return (delay, samples) if samples else None


_ITUNES = re.compile(rb" [0-9A-F]{8} ([0-9A-F]{8}) [0-9A-F]{8} ([0-9A-F]{16}) ")

# Of a sound sample entry: reserved, data reference, version, ..., rate. QuickTime's later versions have more.
_ENTRY_BYTES = {0: 28, 1: 28 + 16, 2: 28 + 36}


def _sample_entry(stsd: bytes) -> tuple[str, bytes]:
    """The codec and its header; where it is none that is played, "" and its name."""
    kind, entry = next(boxes(stsd, 8), (b"none", b""))
    if kind not in (b"mp4a", b"Opus", b"fLaC"):
        return "", kind if kind.isalnum() else b"an unknown codec"
    (version,) = _field(entry, ">H", 8)
    inner = entry[_ENTRY_BYTES.get(version, 28) :]
    if kind == b"Opus":
        return "opus", _box(inner, b"dOps")
    if kind == b"fLaC":
        return "flac", _box(inner, b"dfLa")[8:]
    object_type, config = _descriptor(_box(inner, b"esds") or _box(inner, b"wave", b"esds"))
    if object_type not in _AAC_TYPES:
        return "", b"MP3" if object_type in (0x69, 0x6B) else b"mp4a of type %#x" % object_type
    return "aac", config


# Of an elementary stream (mp4ra.org): MPEG-4 audio, and the three profiles of MPEG-2 AAC.
_AAC_TYPES = (0x40, 0x66, 0x67, 0x68)
_ES, _DECODER_CONFIG, _DECODER_SPECIFIC = 3, 4, 5


def _descriptor(esds: bytes) -> tuple[int, bytes]:
    """ISO/IEC 14496-1, 7.2.6: the object type, and the AudioSpecificConfig."""
    object_type, at = 0, 4
    while at < len(esds):
        tag = esds[at]
        size, at = _descriptor_size(esds, at + 1)
        if tag == _ES:
            (flags,) = _field(esds, ">B", at + 2)
            # What else it may depend on: another stream, a URL, a clock.
            at += 3 + (2 if flags & 0x80 else 0) + (1 + _field(esds, ">B", at + 3)[0] if flags & 0x40 else 0)
            at += 2 if flags & 0x20 else 0
        elif tag == _DECODER_CONFIG:
            (object_type,) = _field(esds, ">B", at)
            at += 13
        elif tag == _DECODER_SPECIFIC:
            return object_type, esds[at : at + size]
        else:
            at += size
    return object_type, b""


def _descriptor_size(data: bytes, at: int) -> tuple[int, int]:
    size = 0
    for _ in range(4):
        (byte,) = _field(data, ">B", at)
        at += 1
        size = size << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return size, at


def _tables(stbl: bytes) -> Tables:
    stsz, stsc = _box(stbl, b"stsz"), _box(stbl, b"stsc")
    one_size, count = _field(stsz, ">II", 4) if stsz else (0, 0)
    if not count:
        return Tables()
    table = b"" if one_size else stsz[12 : 12 + 4 * count]
    sizes = np.frombuffer(table[: len(table) // 4 * 4], ">u4")
    if not one_size and len(sizes) < count:
        raise CorruptAudioError("an MP4 whose table of sizes is cut short")
    narrow = _box(stbl, b"stco")
    offsets = np.frombuffer((narrow or _box(stbl, b"co64"))[8:], np.uint8)
    width = 4 if narrow else 8
    offsets = offsets[: len(offsets) // width * width].view(">u4" if narrow else ">u8")
    entries = np.frombuffer(stsc[8 : 8 + (len(stsc) - 8) // 12 * 12], ">u4").reshape(-1, 3)
    chunks = tuple((int(first), int(per_chunk)) for first, per_chunk, _ in entries)
    if any(one[0] >= other[0] for one, other in pairwise(chunks)):
        raise CorruptAudioError("an MP4 whose table of chunks is out of order")
    return Tables(sizes.astype(np.uint32), one_size, count, offsets.astype(np.uint64), chunks)


def read_fragment(moof: bytes, start: int, track: Track) -> list[Run]:
    """The samples of our track in a fragment that begins at the byte `start`."""
    runs: list[Run] = []
    for kind, traf in boxes(moof):
        tfhd = _box(traf, b"tfhd") if kind == b"traf" else b""
        if not tfhd or _field(tfhd, ">I", 4)[0] != track.number:
            continue
        flags = int.from_bytes(tfhd[1:4], "big")
        at, base, size = 8, start, track.defaults.size
        if flags & 0x01:
            (base,) = _field(tfhd, ">Q", at)
            at += 8
        at += 4 * (bool(flags & 0x02) + bool(flags & 0x08))  # description, duration
        if flags & 0x10:
            (size,) = _field(tfhd, ">I", at)
        offset = base
        for inner, trun in boxes(traf):
            if inner == b"trun":
                run = _run(trun, base, offset, size)
                runs.append(run)
                offset = run.offset + sum(run.sizes)
    return runs


def _run(trun: bytes, base: int, offset: int, size: int) -> Run:
    flags = int.from_bytes(trun[1:4], "big")
    (count,) = _field(trun, ">I", 4)
    at = 8
    if flags & 0x01:
        offset = base + _field(trun, ">i", at)[0]
        at += 4
    at += 4 if flags & 0x04 else 0
    columns = [bool(flags & bit) for bit in (0x100, 0x200, 0x400, 0x800)]  # duration, size, flags, composition offset
    width = sum(columns)
    if not flags & 0x200:
        if count > FRAGMENT_SAMPLES_MAX:
            raise CorruptAudioError(f"an MP4 fragment of {count} samples; {FRAGMENT_SAMPLES_MAX} are read")
        return Run(offset, [size] * count)
    if at + count * width * 4 > len(trun):
        raise CorruptAudioError("an MP4 fragment cut short")
    table = np.frombuffer(trun, ">u4", count * width, at).reshape(count, width)
    return Run(offset, table[:, int(columns[0])].tolist())


# Hours of audio. Real fragments have a second or ten.
FRAGMENT_SAMPLES_MAX = 100_000
