"""Pure CPU, one codec a file, and here the tables that join them.

A decoder is a transform from bytes to blocks, an encoder one from blocks to bytes.
"""

from collections.abc import Callable, Mapping
from functools import partial

from relay.codecs import g711, pcm
from relay.codecs.base import Decoder, Encoder, SampleEncoder
from relay.codecs.media_type import MediaType, read_media_type
from relay.codecs.raw import RawDecoder, sample_decoder
from relay.codecs.sniff import Hints, NotAudioError, SniffingDecoder
from relay.codecs.wav import WavDecoder
from relay.codecs.wav_format import wav_header
from relay.core.formats import AudioFormat, Container, SourceFormat

__all__ = [
    "DECODERS",
    "NotAudioError",
    "SniffingDecoder",
    "encoder_for",
    "is_loaded",
    "load_compressed",
    "must_load",
    "open_decoder",
    "sample_decoder",
    "wav_header",
]

_ENCODE = {**pcm.ENCODE, **g711.ENCODE}


def _wav(source: SourceFormat) -> Decoder:
    return WavDecoder(sample_decoder, mp3_decoder=partial(_mp3, source))


def _mp3(source: SourceFormat) -> Decoder:
    from relay.codecs.mp3 import Mp3Decoder

    return Mp3Decoder(encoder_delay_samples=source.encoder_delay_samples)


def _ogg(_: SourceFormat) -> Decoder:
    from relay.codecs.ogg import OggDecoder

    return OggDecoder()


def _flac(_: SourceFormat) -> Decoder:
    from relay.codecs.flac import FlacDecoder

    return FlacDecoder()


def _webm(_: SourceFormat) -> Decoder:
    from relay.codecs.webm import WebmDecoder

    return WebmDecoder()


def _aac(source: SourceFormat) -> Decoder:
    from relay.codecs.aac import AacDecoder

    return AacDecoder(encoder_delay_samples=source.encoder_delay_samples)


def _mp4(_: SourceFormat) -> Decoder:
    from relay.codecs.mp4 import Mp4Decoder

    return Mp4Decoder()


# What makes the decoder of each container, but for RAW, whose shape stands in no header. One line for each; a library
# is imported by the first decoder that needs it.
DECODERS: Mapping[Container, Callable[[SourceFormat], Decoder]] = {
    Container.WAV: _wav,
    Container.MP3: _mp3,
    Container.OGG: _ogg,
    Container.FLAC: _flac,
    Container.WEBM: _webm,
    Container.AAC: _aac,
    Container.MP4: _mp4,
}
_WITH_RAW = frozenset((Container.RAW, *DECODERS))
# Those that need no PyAV.
_PLAIN = (Container.RAW, Container.WAV)


def open_decoder(
    source: SourceFormat, content_type: str | None = None, override: AudioFormat | None = None
) -> SniffingDecoder:
    """A decoder of a provider's reply, by what its bytes are and not by what they were meant to be.

    `override` is the shape of headerless audio as the operator knows it: it wins over what headers say and over what
    was asked for. Bytes that say themselves what they are win over it.
    """
    media = read_media_type(content_type, source.pcm)
    if override is not None:
        media = MediaType(Container.RAW, override, media.text)
    at_once_hz = media.pcm.sample_rate_hz if media.pcm is not None and _is_agreed(source, media) else 0
    hints = Hints(source.container, media.container, media.text, at_once_hz)
    return SniffingDecoder(hints, DECODERS if media.pcm is None else _WITH_RAW, partial(_open, source, media.pcm))


def _is_agreed(source: SourceFormat, media: MediaType) -> bool:
    """Whether 16-bit mono was asked for and is declared."""
    plain = media.pcm is not None and media.pcm.block_align == 2 and media.pcm.channels == 1
    return plain and source.container is Container.RAW and media.container is Container.RAW


def _open(source: SourceFormat, pcm: AudioFormat | None, container: Container) -> Decoder:
    if container is Container.RAW and pcm is not None:
        return RawDecoder(pcm)
    return DECODERS[container](source)


def encoder_for(form: AudioFormat) -> Encoder:
    """An encoder to one of OUTPUT_ENCODINGS; blocks must be at its rate."""
    return SampleEncoder(form, _ENCODE[form.encoding])


def load_compressed() -> None:
    """Imports PyAV and decodes a frame: 40 to 100 ms and 15 MiB, which else the first decoder that needs it costs.

    Idempotent; may be called in a thread.
    """
    from relay.codecs.mp3 import warm_up

    if not _LOADED:
        warm_up()
        _LOADED.add(Container.MP3)


def is_loaded() -> bool:
    """Whether that has been done."""
    return bool(_LOADED)


def must_load(source: SourceFormat, content_type: str | None) -> bool:
    """Whether a decoder for such a reply would import PyAV. A reply may still turn out to be what it does not say."""
    if _LOADED:
        return False
    said = read_media_type(content_type, source.pcm).container
    return any(each in DECODERS and each not in _PLAIN for each in (source.container, said))


# Containers whose library has been imported.
_LOADED: set[Container] = set()
