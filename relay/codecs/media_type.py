"""What a Content-Type says about audio. It is evidence: this file never sees a byte of the audio itself.

What headerless audio is made of is decided part by part (kind of number, bits, byte order, rate, channels), each by the
first that says it: a parameter, what was asked for, the type's own standard. A type or a parameter that is not known
says nothing, and is not taken for agreement with anything.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from relay.core.formats import AudioFormat, Container, Encoding

CONTAINERS: Mapping[str, Container] = {
    **dict.fromkeys(("audio/mpeg", "audio/mp3", "audio/x-mpeg", "audio/x-mp3", "audio/mpeg3"), Container.MP3),
    **dict.fromkeys(("audio/wav", "audio/wave", "audio/x-wav", "audio/vnd.wave", "audio/x-pn-wav"), Container.WAV),
    **dict.fromkeys(("audio/ogg", "application/ogg", "audio/opus", "audio/x-opus", "video/ogg"), Container.OGG),
    **dict.fromkeys(("audio/vorbis", "audio/x-vorbis", "audio/x-ogg", "audio/x-vorbis+ogg"), Container.OGG),
    **dict.fromkeys(("audio/flac", "audio/x-flac"), Container.FLAC),
    **dict.fromkeys(("audio/webm", "video/webm", "audio/x-matroska", "video/x-matroska"), Container.WEBM),
    **dict.fromkeys(("audio/aac", "audio/aacp", "audio/x-aac", "audio/x-hx-aac-adts"), Container.AAC),
    **dict.fromkeys(("audio/mp4", "audio/m4a", "audio/x-m4a", "video/mp4", "application/mp4"), Container.MP4),
    **dict.fromkeys(("audio/3gpp", "video/3gpp", "audio/3gpp2", "video/quicktime"), Container.MP4),
    **dict.fromkeys(("audio/mp4a-latm", "audio/x-latm"), Container.LATM),
    **dict.fromkeys(("audio/aiff", "audio/x-aiff", "audio/aifc", "audio/x-aifc"), Container.AIFF),
    **dict.fromkeys(("audio/x-au", "audio/x-snd"), Container.AU),
    **dict.fromkeys(("audio/x-caf", "audio/caf"), Container.CAF),
    **dict.fromkeys(("audio/x-ms-wma", "audio/wma", "video/x-ms-asf", "application/vnd.ms-asf"), Container.ASF),
    **dict.fromkeys(("audio/amr", "audio/amr-wb", "audio/amr-wb+"), Container.AMR),
    **dict.fromkeys(("audio/silk", "audio/x-silk"), Container.SILK),
    **dict.fromkeys(("audio/mp2", "audio/x-mp2", "audio/mp1"), Container.MP2),
    **dict.fromkeys(("audio/ac3", "audio/eac3", "audio/vnd.dolby.dd-raw"), Container.AC3),
    **dict.fromkeys(("audio/vnd.dts", "audio/vnd.dts.hd"), Container.DTS),
    **dict.fromkeys(("audio/x-wavpack", "audio/wavpack"), Container.WAVPACK),
    **dict.fromkeys(("audio/x-ape", "audio/ape", "audio/x-monkeys-audio"), Container.APE),
    **dict.fromkeys(("audio/x-musepack", "audio/musepack"), Container.MUSEPACK),
    **dict.fromkeys(("audio/x-tta",), Container.TTA),
    **dict.fromkeys(("audio/vnd.rn-realaudio", "audio/x-pn-realaudio"), Container.REAL),
    **dict.fromkeys(("audio/midi", "audio/x-midi", "audio/sp-midi"), Container.MIDI),
    **dict.fromkeys(("video/mp2t",), Container.MPEG_TS),
    **dict.fromkeys(("video/x-flv",), Container.FLV),
    # Headerless, and no PCM: the type is all that can tell.
    **dict.fromkeys(("audio/g722", "audio/x-g722"), Container.G722),
    **dict.fromkeys(("audio/g726-16", "audio/g726-24", "audio/g726-32", "audio/g726-40"), Container.G726),
    **dict.fromkeys(("audio/g729", "audio/x-g729"), Container.G729),
    **dict.fromkeys(("audio/gsm", "audio/x-gsm", "audio/gsm-efr"), Container.GSM),
    **dict.fromkeys(("audio/ilbc",), Container.ILBC),
    **dict.fromkeys(("audio/speex", "audio/x-speex"), Container.SPEEX),
}
# Where nothing else is known of the bytes, what such a type names is what came: no signature could be missing.
HEADERLESS_CODECS = frozenset(
    (Container.G722, Container.G726, Container.G729, Container.GSM, Container.ILBC, Container.SPEEX)
)

_Order = Literal["le", "be"]


class _Kind(NamedTuple):
    """Parts of an encoding; None is not said."""

    number: str | None = None  # s, u, f; mulaw, alaw
    bits: int | None = None
    order: _Order | None = None


# Headerless types that name their encoding: RFC 2586 (L16) and 3190 (L20, L24; both in network byte order), RFC 3551
# 4.5.10 (L8: offset binary), RFC 2046 4.3 (basic), RFC 3551 4.5.14 (PCMU, PCMA).
ENCODED: Mapping[str, _Kind] = {
    "audio/l8": _Kind("u", 8),
    "audio/l16": _Kind("s", 16),
    "audio/l24": _Kind("s", 24),
    **dict.fromkeys(("audio/basic", "audio/pcmu", "audio/mulaw", "audio/x-mulaw", "audio/ulaw"), _Kind("mulaw", 8)),
    **dict.fromkeys(("audio/x-ulaw", "audio/g711-mulaw", "audio/x-mulaw-basic"), _Kind("mulaw", 8)),
    **dict.fromkeys(("audio/pcma", "audio/alaw", "audio/x-alaw", "audio/x-alaw-basic"), _Kind("alaw", 8)),
    "audio/g711-alaw": _Kind("alaw", 8),
}
# By RFC: most significant byte first, if nothing that was sent or asked for says otherwise.
_NETWORK_ORDER = ("audio/l16", "audio/l24")
# Unregistered types that leave the encoding to parameters, or to what was asked for.
BARE = ("audio/pcm", "audio/x-pcm", "audio/raw", "audio/x-raw", "audio/lpcm", "audio/x-lpcm", "audio/vnd.pcm")

_NAMES: Mapping[str, _Kind] = {
    "linear16": _Kind("s", 16),
    "lin16": _Kind("s", 16),
    "l16": _Kind("s", 16),
    "l24": _Kind("s", 24),
    "int": _Kind("s"),
    "integer": _Kind("s"),
    "signed": _Kind("s"),
    "signed-int": _Kind("s"),
    "signed-integer": _Kind("s"),
    "unsigned": _Kind("u"),
    "unsigned-int": _Kind("u"),
    "unsigned-integer": _Kind("u"),
    "float": _Kind("f"),
    "floating-point": _Kind("f"),
    "ieee-float": _Kind("f"),
    "double": _Kind("f", 64),
    "half": _Kind("f", 16),
    "mulaw": _Kind("mulaw", 8),
    "mu-law": _Kind("mulaw", 8),
    "ulaw": _Kind("mulaw", 8),
    "u-law": _Kind("mulaw", 8),
    "pcmu": _Kind("mulaw", 8),
    "g711u": _Kind("mulaw", 8),
    "g711-ulaw": _Kind("mulaw", 8),
    "g711-mulaw": _Kind("mulaw", 8),
    "alaw": _Kind("alaw", 8),
    "a-law": _Kind("alaw", 8),
    "pcma": _Kind("alaw", 8),
    "g711a": _Kind("alaw", 8),
    "g711-alaw": _Kind("alaw", 8),
}
# s16le, int16, i24, float32, fp32, f64be, u8, pcm_s16le, pcm16 ...
_NAME = re.compile(r"(?:pcm-?)?(s|i|int|sint|u|uint|f|fp|float)?-?(8|16|24|32|64)-?(le|be)?")
_NUMBERS = {"s": "s", "i": "s", "int": "s", "sint": "s", "u": "u", "uint": "u", "f": "f", "fp": "f", "float": "f"}

_ENCODINGS: Mapping[tuple[str, int, _Order], Encoding] = {
    ("s", 16, "le"): Encoding.PCM_S16LE,
    ("s", 16, "be"): Encoding.PCM_S16BE,
    ("s", 24, "le"): Encoding.PCM_S24LE,
    ("s", 24, "be"): Encoding.PCM_S24BE,
    ("s", 32, "le"): Encoding.PCM_S32LE,
    ("s", 32, "be"): Encoding.PCM_S32BE,
    ("f", 32, "le"): Encoding.PCM_F32LE,
    ("f", 32, "be"): Encoding.PCM_F32BE,
    ("f", 64, "le"): Encoding.PCM_F64LE,
    ("f", 64, "be"): Encoding.PCM_F64BE,
    **{("s", 8, order): Encoding.PCM_S8 for order in ("le", "be")},
    **{("u", 8, order): Encoding.PCM_U8 for order in ("le", "be")},
    **{("mulaw", 8, order): Encoding.MULAW for order in ("le", "be")},
    **{("alaw", 8, order): Encoding.ALAW for order in ("le", "be")},
}
_KINDS: Mapping[Encoding, tuple[str, int, _Order]] = {
    encoding: kind for kind, encoding in reversed(list(_ENCODINGS.items()))
}
_USUAL_BITS = {"s": 16, "u": 8, "f": 32, "mulaw": 8, "alaw": 8}
_TELEPHONY_RATE_HZ = 8000

_RATE = ("rate", "sample_rate", "samplerate", "sample-rate", "sampling_rate", "samplingrate", "freq", "frequency")
_CHANNELS = ("channels", "channel", "ch", "num_channels", "nchannels")
_ENCODING = ("encoding", "format", "codec", "codecs", "sample_format", "sampleformat", "subtype")
_BITS = ("bits", "bit", "bitdepth", "bit_depth", "bits_per_sample", "bitspersample", "bits-per-sample", "depth")
_BYTES = ("width", "sample_width", "samplewidth", "bytes_per_sample")
_ORDER = ("endianness", "endian", "byteorder", "byte_order", "byte-order")
_ORDERS: Mapping[str, _Order] = {
    **dict.fromkeys(("little", "little-endian", "little_endian", "littleendian", "le"), "le"),
    **dict.fromkeys(("big", "big-endian", "big_endian", "bigendian", "be", "network"), "be"),
}


@dataclass(frozen=True, slots=True)
class MediaType:
    """What was said. `pcm` is the shape of headerless audio, as far as the type and what was asked for tell it."""

    container: Container | None
    pcm: AudioFormat | None
    text: bool


@lru_cache(maxsize=64)  # a provider says the same of all its replies
def read_media_type(content_type: str | None, asked: AudioFormat | None) -> MediaType:
    """Reads a Content-Type. Its parameters win over `asked`; a type or parameter that makes no sense says nothing."""
    name, *rest = (content_type or "").lower().split(";")
    name = name.strip()
    parameters = dict(_parameter(text) for text in rest)
    if name in ENCODED:
        return MediaType(Container.RAW, _shape(name, ENCODED[name], parameters, asked), text=False)
    if name in BARE:
        return MediaType(Container.RAW, _shape(name, _Kind(), parameters, asked), text=False)
    text = name.startswith("text/") or name.endswith(("/json", "+json", "/xml", "+xml", "-ndjson", "/problem"))
    container = CONTAINERS.get(name)
    if container is None and not text and (kind := _kind_of_words(name)) is not None:
        return MediaType(Container.RAW, _shape(name, kind, parameters, asked), text=False)
    return MediaType(container, asked, text)


def _shape(name: str, kind: _Kind, parameters: Mapping[str, str], asked: AudioFormat | None) -> AudioFormat | None:
    encoding = _encoding(name, kind, parameters, asked)
    if encoding is None:
        return None
    usual_rate_hz = _TELEPHONY_RATE_HZ if encoding in (Encoding.MULAW, Encoding.ALAW) else 0
    # audio/basic for PCM that was asked for is another thing altogether: it brings its own rate and channel.
    agreed = asked if asked and (asked.encoding is encoding or name in BARE or not usual_rate_hz) else None
    rate_hz = _number(parameters, _RATE) or (agreed.sample_rate_hz if agreed else usual_rate_hz)
    channels = _number(parameters, _CHANNELS) or (agreed.channels if agreed else 1)
    return AudioFormat(encoding=encoding, sample_rate_hz=rate_hz, channels=channels) if rate_hz else None


def _encoding(name: str, kind: _Kind, parameters: Mapping[str, str], asked: AudioFormat | None) -> Encoding | None:
    """Part by part: the type's name where it says it, a parameter, what was asked for, the standard. None if what they
    say is no encoding that has a decoder."""
    said = _named(_first(parameters, _ENCODING))
    bits = _number(parameters, _BITS) or 8 * _number(parameters, _BYTES) or None
    order = _ORDERS.get(_first(parameters, _ORDER))
    asked_number, asked_bits, asked_order = _KINDS[asked.encoding if asked else Encoding.PCM_S16LE]
    number = kind.number or said.number
    bits = kind.bits or said.bits or bits
    if number is None:
        # 8 bits that nobody calls signed are not: as in WAV and in audio/L8. 64 are a double's.
        number = asked_number if bits in (None, asked_bits) else {8: "u", 64: "f"}.get(bits, "s")
    if bits is None:
        bits = asked_bits if number == asked_number else _USUAL_BITS[number]
    alike = asked is not None and (number, bits) == (asked_number, asked_bits)
    order = order or kind.order or said.order or (asked_order if alike else "be" if name in _NETWORK_ORDER else "le")
    return _ENCODINGS.get((number, bits, order))


def _named(word: str) -> _Kind:
    """What the name of an encoding says; nothing if it is not known."""
    word = word.replace("_", "-")
    if (kind := _NAMES.get(word)) is not None:
        return kind
    found = _NAME.fullmatch(word)
    if found is None:
        return _Kind()
    number, bits, order = found.groups()
    return _Kind(_NUMBERS[number] if number else None, int(bits), "le" if order == "le" else "be" if order else None)


def _kind_of_words(name: str) -> _Kind | None:
    """What the words of a vendor's type say, such as `audio/vnd.example.pcm-f32le`: an encoding, or just PCM."""
    words = re.split(r"[/.+-]", name)
    for word in words:
        kind = _named(word)
        if kind.number is not None:
            return kind
    return _Kind() if not {"pcm", "lpcm", "pcm16"}.isdisjoint(words) else None


def _parameter(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key.strip(), value.strip().strip('"')


def _first(parameters: Mapping[str, str], keys: tuple[str, ...]) -> str:
    return next((parameters[key] for key in keys if key in parameters), "")


def _number(parameters: Mapping[str, str], keys: tuple[str, ...]) -> int:
    """Zero when it is missing or no decimal number of a sensible length."""
    digits = _first(parameters, keys)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0
