"""Containers around the audio that leaves: bytes of one encoding -> bytes of a file, as it grows.

A container encoder has the shape of every transform, `feed` and `flush`, and knows its media type.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from relay.codecs.wav_format import wav_header
from relay.core.formats import AudioFormat, Encoding


class ContainerEncoder(Protocol):
    """`begin` gives what stands before the first sample; the pieces of `feed` and `flush` follow it.

    `pcm_bytes`: how much will be fed, where that is known; None where it is not.
    `slice_bytes`: as much as `feed` is to be given at once, so that it does not hold the loop; None: any.
    """

    media_type: str
    slice_bytes: int | None

    def begin(self, pcm_bytes: int | None) -> bytes: ...

    def feed(self, pcm: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


class Raw:
    """The samples alone."""

    slice_bytes: int | None = None

    def __init__(self, audio: AudioFormat) -> None:
        self.media_type = media_type(audio)

    def begin(self, pcm_bytes: int | None) -> bytes:
        return b""

    def feed(self, pcm: bytes) -> bytes:
        return pcm

    def flush(self) -> bytes:
        return b""


class Wav(Raw):
    """A WAV. Its sizes are those of a stream where its length is not known before its end."""

    def __init__(self, audio: AudioFormat) -> None:
        self.media_type = "audio/wav"
        self._audio = audio
        self._is_odd = False

    def begin(self, pcm_bytes: int | None) -> bytes:
        self._is_odd = bool(pcm_bytes and pcm_bytes % 2)
        return wav_header(self._audio, pcm_bytes)

    def flush(self) -> bytes:
        # RIFF pads a chunk of known size to an even length.
        return b"\0" if self._is_odd else b""


def _compressed(name: str, audio: AudioFormat) -> ContainerEncoder:
    from relay.codecs.compressed import FORMATS, Compressed

    return Compressed(FORMATS[name], audio)


# The names that a client chooses from. Those that are compressed want `loaded` first: they import PyAV.
CONTAINERS: Mapping[str, Callable[[AudioFormat], ContainerEncoder]] = {
    "raw": Raw,
    "wav": Wav,
    "mp3": partial(_compressed, "mp3"),
    "ogg": partial(_compressed, "ogg"),
    "flac": partial(_compressed, "flac"),
    "aac": partial(_compressed, "aac"),
}
PLAIN = ("raw", "wav")
"""Those that hold samples in the encoding that was asked for; the others take any encoding, and lose it."""


def media_type(audio: AudioFormat) -> str:
    """The media type of headerless audio: `audio/basic` is 8 kHz mono mulaw by definition, all else says what it is."""
    if audio == AudioFormat(encoding=Encoding.MULAW, sample_rate_hz=8000):
        return "audio/basic"
    parameters = f"rate={audio.sample_rate_hz};channels={audio.channels}"
    if audio.encoding is not Encoding.PCM_S16LE:
        parameters += f";encoding={audio.encoding}"
    return f"audio/pcm;{parameters}"
