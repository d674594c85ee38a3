"""What files begin with: the bytes by which a container, a codec or something that is no audio at all is recognised.

None of these is shorter than 26 bits, so that headerless audio does not begin like one by chance. Codecs whose frames
begin with less are in `framed`, text is in `texts`. This file does not know what was asked for.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from relay.core.formats import Container

# Part of a pattern: these bytes; so many bytes of any value; or (mask, value) of one byte.
_Part: TypeAlias = bytes | int | tuple[int, int]


# Input that ends inside a longer signature, but after so much of it, was going to be that.
_TELLING_BITS = 32


@dataclass(frozen=True, slots=True)
class Signature:
    """A first few bytes. `name` is what messages say; `container` is None for what is no audio.

    `check` looks at `size` bytes for what a mask cannot say.
    """

    name: str
    container: Container | None
    mask: bytes
    value: bytes
    check: Callable[[bytes], bool] | None = None
    size: int = field(init=False)
    _mask: int = field(init=False)
    _value: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", len(self.value))
        object.__setattr__(self, "_mask", int.from_bytes(self.mask, "big"))
        object.__setattr__(self, "_value", int.from_bytes(self.value, "big"))

    def fits(self, head: bytes) -> bool | None:
        """Whether `head` begins so; None when it does as far as it goes."""
        missing = self.size - len(head)
        if missing > 0:
            begun = int.from_bytes(head, "big")
            return None if begun & self._mask >> 8 * missing == self._value >> 8 * missing else False
        head = head[: self.size]
        begun = int.from_bytes(head, "big")
        return begun & self._mask == self._value and (self.check is None or self.check(head))

    def tells(self, head: bytes) -> bool:
        """Whether as much of a signature as `head` has is enough, where the input ends there."""
        return int.from_bytes(self.mask[: len(head)], "big").bit_count() >= _TELLING_BITS


def _signature(
    name: str, container: Container | None, *parts: _Part, check: Callable[[bytes], bool] | None = None
) -> Signature:
    mask, value = b"", b""
    for part in parts:
        if isinstance(part, bytes):
            mask, value = mask + b"\xff" * len(part), value + part
        elif isinstance(part, int):
            mask, value = mask + bytes(part), value + bytes(part)
        else:
            mask, value = mask + bytes([part[0]]), value + bytes([part[1]])
    return Signature(name, container, mask, value, check)


def _is_box(head: bytes) -> bool:
    """A name, and a size that can be one: 0 is "until the end", 1 "the size follows", 8 an empty box (ISO/IEC 14496-12,
    4.2)."""
    size = int.from_bytes(head[:4], "big")
    return head[4:] in FIRST_BOXES and (size in (0, 1) or size >= 8)


def _is_icon(head: bytes) -> bool:
    """One to four images, and the first one begins where their directory ends."""
    count, bits, offset = head[4], head[12], int.from_bytes(head[18:], "little")
    return 1 <= count <= 4 and bits in (0, 1, 4, 8, 24, 32) and offset == 6 + 16 * count


def _is_message(head: bytes) -> bool:
    """A gRPC frame whose message is one field that fills it (protobuf, "Message Structure")."""
    size, field, shift = int.from_bytes(head[1:5], "big"), 0, 0
    for at in range(6, len(head)):
        field |= (head[at] & 0x7F) << shift
        shift += 7
        if head[at] < 0x80:
            return field + at - 4 == size and field > 0
    return False


def _is_ascii_16(head: bytes) -> bool:
    """A byte order mark, and characters of ASCII in two bytes each, in either order."""
    low, high = (head[2::2], head[3::2]) if head[0] == 0xFF else (head[3::2], head[2::2])
    return not any(high) and all(0x20 <= character < 0x7F or character in b"\t\r\n" for character in low)


_IFF = (b"FORM", 4)
# What texts without a byte order mark begin with, as quiet samples hardly would.
_BYTE_ORDERS = ("utf-16-le", "utf-16-be")
_WIDE_STARTS = ("<!do", "<!DO", "<htm", "<HTM", "<?xm", '{"er', '{"co', '{"de', '{"me', '{"st')
# Boxes that ISO media files and QuickTime movies begin with. No box that comes first is longer than 16 MiB but `mdat`,
# whose size is then 1 or 0.
FIRST_BOXES = frozenset((b"ftyp", b"styp", b"moov", b"moof", b"sidx", b"mdat", b"free", b"skip", b"wide", b"pnot"))

SIGNATURES: tuple[Signature, ...] = (
    _signature("WAV", Container.WAV, b"RIFF", 4, b"WAVE"),
    _signature("WAV", Container.WAV, b"RF64", 4, b"WAVE"),
    _signature("WAV", Container.WAV, b"BW64", 4, b"WAVE"),
    # Version, revision, flags, and a size of four bytes below 0x80 (id3.org, ID3v2.4 structure, 3.1).
    *(_signature("MP3", Container.MP3, b"ID3", version, 2, *[(0x80, 0)] * 4) for version in (b"\2", b"\3", b"\4")),
    _signature("Ogg", Container.OGG, b"OggS"),
    _signature("FLAC", Container.FLAC, b"fLaC"),
    _signature("WebM or Matroska", Container.WEBM, b"\x1aE\xdf\xa3"),
    # One pattern for all, for silence begins with a zero too and should be told apart at once.
    _signature("MP4", Container.MP4, b"\0", 7, check=_is_box),
    _signature("AAC (ADIF)", Container.ADIF, b"ADIF"),
    _signature("RIFX", Container.RIFX, b"RIFX", 4, b"WAVE"),
    _signature("RIFX", Container.RIFX, b"FFIR", 4, b"WAVE"),
    _signature("Wave64", Container.W64, b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb"),
    _signature("AIFF", Container.AIFF, *_IFF, b"AIFF"),
    _signature("AIFF-C", Container.AIFF, *_IFF, b"AIFC"),
    _signature("IFF 8SVX", Container.AIFF, *_IFF, b"8SVX"),
    _signature("AU", Container.AU, b".snd\0\0"),
    _signature("AU", Container.AU, b"dns.", 2, b"\0\0"),
    _signature("CAF", Container.CAF, b"caff\0\1"),
    _signature("WMA or ASF", Container.ASF, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    _signature("AMR", Container.AMR, b"#!AMR"),
    _signature("EVRC, QCELP or iLBC", Container.AMR, b"#!EVRC"),
    _signature("EVRC, QCELP or iLBC", Container.ILBC, b"#!iLBC"),
    _signature("EVRC, QCELP or iLBC", Container.AMR, b"RIFF", 4, b"QLCM"),
    _signature("SILK", Container.SILK, b"#!SILK"),
    _signature("SILK", Container.SILK, b"\2#!SILK"),
    _signature("WavPack", Container.WAVPACK, b"wvpk"),
    _signature("APE", Container.APE, b"MAC "),
    _signature("Musepack", Container.MUSEPACK, b"MPCK"),
    _signature("Musepack", Container.MUSEPACK, b"MP+", (0x0F, 0x07)),
    _signature("TTA", Container.TTA, b"TTA1"),
    _signature("TTA", Container.TTA, b"TTA2"),
    _signature("DTS", Container.DTS, b"\x7f\xfe\x80\1"),
    _signature("DTS", Container.DTS, b"\xfe\x7f\1\x80"),
    _signature("DTS", Container.DTS, b"\x1f\xff\xe8\0"),
    _signature("DTS", Container.DTS, b"DTSHDHDR"),
    _signature("DSD", Container.DSD, b"DSD "),
    _signature("DSD", Container.DSD, b"FRM8"),
    _signature("VOC", Container.VOC, b"Creative Voice"),
    _signature("NIST SPHERE", Container.SPHERE, b"NIST_1A"),
    _signature("RealAudio", Container.REAL, b".ra\xfd"),
    _signature("RealAudio", Container.REAL, b".RMF"),
    _signature("FLV", Container.FLV, b"FLV\1"),
    _signature("AVI", Container.AVI, b"RIFF", 4, b"AVI "),
    _signature("MPEG-TS", Container.MPEG_TS, b"\x47\x40\0", (0xF0, 0x10)),
    _signature("MPEG-TS", Container.MPEG_TS, b"\x47\x40\x11", (0xF0, 0x10)),
    _signature("MPEG-PS", Container.MPEG_PS, b"\0\0\1\xba"),
    _signature("NUT", Container.AVI, b"nut/multimedia"),
    _signature("Flash", Container.FLV, b"FWS", (0xC0, 0)),
    _signature("Flash", Container.FLV, b"CWS", (0xC0, 0)),
    _signature("IRCAM", Container.AU, b"\x64\xa3", (0xF0, 0), b"\0"),
    _signature("PAF", Container.AU, b" paf\0\0\0"),
    _signature("PAF", Container.AU, b"fap \0\0\0"),
    _signature("Psion", Container.VOC, b"\x37\0\0\x10\x6d\0\0\x10"),
    _signature("Psion", Container.VOC, b"ALawSoundFile"),
    _signature("SoX audio", None, b".SoX"),
    _signature("SoX audio", None, b"XoS."),
    _signature("MAUD audio", None, *_IFF, b"MAUD"),
    _signature("ADX audio", None, b"\x80\0", 2, (0xFC, 0), b"\x12\4", (0xFC, 0)),
    _signature("AST audio", None, b"STRM", 4, b"\0"),
    _signature("Codec 2 audio", None, b"\xc0\xde\xc2", (0xFE, 0)),
    _signature("KVAG audio", None, b"KVAG"),
    _signature("SMAF audio", None, b"MMMD"),
    _signature("AC-3 or DTS in IEC 61937", None, b"\x72\xf8\x1f\x4e"),
    _signature("AC-3 or DTS in IEC 61937", None, b"\xf8\x72\x4e\x1f"),
    _signature("AVR audio", None, b"2BIT"),
    _signature("PVF audio", None, b"PVF1\n"),
    _signature("PVF audio", None, b"PVF2\n"),
    _signature("Sample Vision audio", None, b"SOUND SAMPLE"),
    _signature("SNDT audio", None, b"SOUND\x1a\0"),
    _signature("a MIDI sample dump", None, b"\xf0\x7e", (0x80, 0), b"\1", *[(0x80, 0)] * 2),
    _signature("TX-16W audio", None, b"LM8953"),
    _signature("a FastTracker instrument", None, b"Extended Instr"),
    _signature("a FastTracker module", None, b"Extended Modul"),
    _signature("a MATLAB file", None, b"MATLAB 5.0 MAT"),
    _signature("MIDI", Container.MIDI, b"MThd\0\0\0\6"),
    _signature("MIDI", Container.MIDI, b"RIFF", 4, b"RMID"),
    _signature("a sound font", None, b"RIFF", 4, b"sfbk"),
    # Within a file of the Macintosh (MacBinary II): a name of 63 characters at most, then the type of the file.
    # Of its length each highest bit is a pattern: the length is not zero, for silence begins with two.
    *(
        _signature("HCOM audio", None, b"\0", (0x100 - bit, bit), 63, b"FSSD", 59, b"HCOM")
        for bit in (1, 2, 4, 8, 16, 32)
    ),
    _signature("Shorten audio", None, b"ajkg"),
    _signature("TAK audio", None, b"tBaK"),
    _signature("OptimFROG audio", None, b"OFR "),
    _signature("VQF audio", None, b"TWIN", 4, b"\0"),
    _signature("a PNG image", None, b"\x89PNG\r\n\x1a\n"),
    _signature("a JPEG image", None, b"\xff\xd8\xff", (0xF0, 0xE0), b"\0"),
    _signature("a JPEG image", None, b"\xff\xd8\xff\xdb\0"),
    _signature("a GIF image", None, b"GIF8"),
    _signature("a WebP image", None, b"RIFF", 4, b"WEBP"),
    _signature("a BMP image", None, b"BM", 4, b"\0\0\0\0"),
    _signature("a TIFF image", None, b"II*\0"),
    _signature("a TIFF image", None, b"MM\0*"),
    _signature(
        "an icon", None, b"\0\0\1\0", 1, b"\0", 3, b"\0", (0xFE, 0), b"\0", 1, b"\0", 4, 2, b"\0\0", check=_is_icon
    ),
    _signature("a JPEG 2000 image", None, b"\0\0\0\x0cjP"),
    _signature("a PNM image", None, b"P", (0xF8, 0x30), b"\n", (0xF0, 0x30), *[(0xC0, 0)] * 3),
    _signature("a PDF document", None, b"%PDF-"),
    _signature("a PostScript document", None, b"%!PS"),
    _signature("gzip-compressed data", None, b"\x1f\x8b\x08", (0xE0, 0)),
    _signature("a ZIP archive", None, b"PK\3\4"),
    _signature("a ZIP archive", None, b"PK\5\6"),
    _signature("lz4-compressed data", None, b"\x04\x22\x4d\x18"),
    _signature("a database", None, b"SQLite format 3\0"),
    _signature("a Python pickle", None, b"\x80", (0xFE, 4), b"\x95", 4, b"\0\0\0\0"),
    _signature("a playlist", None, b"#EXTM3U"),
    _signature("a gRPC message", None, b"\0\0", 3, b'{"'),
    _signature("a gRPC message", None, b"\0\0", 3, b"\n", 4, check=_is_message),
    _signature("a gRPC trailer", None, b"\x80\0\0", 2, b"grpc-"),
    # With a character of ASCII, which is no control character: zeros behind -2 are quiet samples.
    _signature("text in UTF-32", None, b"\xff\xfe\0\0", (0xE0, 0x20), b"\0\0\0"),
    _signature("text in UTF-32", None, b"\xff\xfe\0\0", (0xC0, 0x40), b"\0\0\0"),
    _signature("text in UTF-16", None, b"\xff\xfe", 14, check=_is_ascii_16),
    _signature("text in UTF-16", None, b"\xfe\xff", 14, check=_is_ascii_16),
    *(_signature("text in UTF-16", None, start.encode(order)) for start in _WIDE_STARTS for order in _BYTE_ORDERS),
    _signature("bzip2-compressed data", None, b"BZh", (0xF0, 0x30), b"1AY"),
    _signature("xz-compressed data", None, b"\xfd7zXZ\0"),
    _signature("zstd-compressed data", None, b"\x28\xb5\x2f\xfd"),
    _signature("a 7z archive", None, b"7z\xbc\xaf\x27\x1c"),
    _signature("a RAR archive", None, b"Rar!\x1a\7"),
    _signature("a NumPy array", None, b"\x93NUMPY"),
    _signature("a program", None, b"\x7fELF"),
    _signature("a program", None, b"\0asm\1"),
    _signature("a program", None, b"\xca\xfe\xba\xbe"),
)

# Longest of them: what may wait before it is known what came.
SIGNATURE_BYTES_MAX = max(signature.size for signature in SIGNATURES)


def _by_first_byte(signatures: Iterable[Signature]) -> dict[int, tuple[Signature, ...]]:
    table: dict[int, tuple[Signature, ...]] = {}
    for signature in signatures:
        assert signature.mask[0] == 0xFF, "the first byte of every signature is one value"
        first = signature.value[0]
        table[first] = (*table.get(first, ()), signature)
    return table


BY_FIRST_BYTE = _by_first_byte(SIGNATURES)
