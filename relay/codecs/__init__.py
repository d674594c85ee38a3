"""Pure CPU, one codec a file, and here the tables that join them.

A decoder is a transform from bytes to blocks, an encoder one from blocks to bytes.
"""

from collections.abc import Callable
from functools import partial

from relay.codecs import g711, pcm
from relay.codecs.base import CorruptAudioError, Decoder, Encoder, SampleDecoder, SampleEncoder
from relay.codecs.media_type import read_media_type
from relay.codecs.mp3_frames import HEADER_BYTES, read_header
from relay.codecs.sniff import Hints, NotAudioError, SniffingDecoder
from relay.codecs.wav import WavDecoder, wav_header
from relay.core.formats import AudioFormat, Container, SourceFormat

__all__ = [
    "NotAudioError",
    "SniffingDecoder",
    "encoder_for",
    "load_compressed",
    "must_load",
    "open_decoder",
    "sample_decoder",
    "wav_header",
]

_DECODE = {**pcm.DECODE, **g711.DECODE}
_ENCODE = {**pcm.ENCODE, **g711.ENCODE}

# Beyond these a header or a Content-Type is damaged, and what a resampler has to do would know no bound.
_RATES_HZ = range(2_000, 384_001)
_CHANNELS = (1, 2)


def open_decoder(source: SourceFormat, content_type: str | None = None) -> SniffingDecoder:
    """A decoder of a provider's reply, by what its bytes are and not by what they were meant to be."""
    media = read_media_type(content_type, source.pcm)
    openers: dict[Container, Callable[[], Decoder]] = {
        Container.WAV: partial(WavDecoder, sample_decoder),
        Container.MP3: partial(_mp3_decoder, encoder_delay_samples=source.encoder_delay_samples),
    }
    if media.pcm is not None:
        openers[Container.RAW] = partial(sample_decoder, media.pcm)
    hints = Hints(asked=source.container, said=media.container, said_text=media.text)
    return SniffingDecoder(hints, openers, _mp3_frame_bytes)


def sample_decoder(form: AudioFormat) -> Decoder:
    """A decoder of headerless audio. Raises CorruptAudioError for a rate or channels that it cannot have."""
    if form.sample_rate_hz not in _RATES_HZ:
        raise CorruptAudioError(f"audio at {form.sample_rate_hz} Hz; from {_RATES_HZ[0]} to {_RATES_HZ[-1]} are played")
    if form.channels not in _CHANNELS:
        raise CorruptAudioError(f"audio of {form.channels} channels; one and two are played")
    return SampleDecoder(form, _DECODE[form.encoding])


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


def must_load(source: SourceFormat, content_type: str | None) -> bool:
    """Whether a decoder for such a reply would import PyAV. A reply may still turn out to be what it does not say."""
    said = read_media_type(content_type, source.pcm).container
    return Container.MP3 in (source.container, said) and not _LOADED


# Containers whose library has been imported.
_LOADED: set[Container] = set()


def _mp3_decoder(encoder_delay_samples: int) -> Decoder:
    from relay.codecs.mp3 import Mp3Decoder

    return Mp3Decoder(encoder_delay_samples=encoder_delay_samples)


def _mp3_frame_bytes(data: bytes, at: int) -> int:
    header = read_header(data[at : at + HEADER_BYTES])
    return header.size_bytes if header else 0
