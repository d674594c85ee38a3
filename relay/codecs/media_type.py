"""What a Content-Type says about audio. It is a hint: this file never sees a byte of the audio itself."""

from dataclasses import dataclass
from functools import lru_cache

from relay.core.formats import AudioFormat, Container, Encoding

_CONTAINERS = {
    "audio/mpeg": Container.MP3,
    "audio/mp3": Container.MP3,
    "audio/x-mpeg": Container.MP3,
    "audio/x-mp3": Container.MP3,
    "audio/wav": Container.WAV,
    "audio/wave": Container.WAV,
    "audio/x-wav": Container.WAV,
    "audio/vnd.wave": Container.WAV,
    "audio/ogg": Container.OGG,
    "application/ogg": Container.OGG,
    "audio/opus": Container.OGG,
    "audio/flac": Container.FLAC,
    "audio/x-flac": Container.FLAC,
}

# Headerless types that name their encoding: RFC 2586 (L16, in network byte order), RFC 2046 4.3 (basic), RFC 3551
# 4.5.14 (PCMU, PCMA).
_ENCODED = {
    "audio/l16": Encoding.PCM_S16BE,
    "audio/basic": Encoding.MULAW,
    "audio/pcmu": Encoding.MULAW,
    "audio/mulaw": Encoding.MULAW,
    "audio/x-mulaw": Encoding.MULAW,
    "audio/ulaw": Encoding.MULAW,
    "audio/pcma": Encoding.ALAW,
    "audio/alaw": Encoding.ALAW,
    "audio/x-alaw": Encoding.ALAW,
    "audio/x-alaw-basic": Encoding.ALAW,
}
# Unregistered types that leave the encoding to a parameter, or to what was asked for.
_BARE = ("audio/pcm", "audio/x-pcm", "audio/raw", "audio/x-raw")
_ENCODING_NAMES = {
    **{encoding.value: encoding for encoding in Encoding},
    **{encoding.value.removeprefix("pcm_"): encoding for encoding in Encoding},
    "linear16": Encoding.PCM_S16LE,
    "ulaw": Encoding.MULAW,
}
_TELEPHONY_RATE_HZ = 8000

_RATE = ("rate", "sample_rate", "samplerate")
_CHANNELS = ("channels",)
_ENCODING = ("encoding", "format", "codec")


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
    if name in _ENCODED or name in _BARE:
        return MediaType(Container.RAW, _shape(name, parameters, asked), text=False)
    text = name.startswith("text/") or name.endswith(("/json", "+json", "/xml", "+xml"))
    return MediaType(_CONTAINERS.get(name), asked, text)


def _shape(name: str, parameters: dict[str, str], asked: AudioFormat | None) -> AudioFormat | None:
    named = _ENCODED.get(name) or _ENCODING_NAMES.get(_first(parameters, _ENCODING))
    encoding = named or (asked.encoding if asked else Encoding.PCM_S16LE)
    usual_rate_hz = _TELEPHONY_RATE_HZ if encoding in (Encoding.MULAW, Encoding.ALAW) else 0
    # audio/basic for PCM that was asked for is another thing altogether: it brings its own rate and channel.
    agreed = asked if asked and (asked.encoding is encoding or name in _BARE or not usual_rate_hz) else None
    rate_hz = _number(parameters, _RATE) or (agreed.sample_rate_hz if agreed else usual_rate_hz)
    channels = _number(parameters, _CHANNELS) or (agreed.channels if agreed else 1)
    return AudioFormat(encoding=encoding, sample_rate_hz=rate_hz, channels=channels) if rate_hz else None


def _parameter(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key.strip(), value.strip().strip('"')


def _first(parameters: dict[str, str], keys: tuple[str, ...]) -> str:
    return next((parameters[key] for key in keys if key in parameters), "")


def _number(parameters: dict[str, str], keys: tuple[str, ...]) -> int:
    """Zero when it is missing or no decimal number of a sensible length."""
    digits = _first(parameters, keys)
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0
