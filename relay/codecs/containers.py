"""Containers around the audio that leaves: bytes of one encoding -> bytes of a file, as it grows.

A container encoder has the shape of every transform, `feed` and `flush`, and knows its media type.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from relay.codecs.wav_format import wav_header
from relay.core.formats import AudioFormat, Encoding


class ContainerEncoder(Protocol):
    """`begin` gives what stands before the first sample; the pieces of `feed` and `flush` follow it."""

    media_type: str

    def begin(self) -> bytes: ...

    def feed(self, pcm: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


class Raw:
    """The samples alone."""

    def __init__(self, audio: AudioFormat) -> None:
        self.media_type = media_type(audio)

    def begin(self) -> bytes:
        return b""

    def feed(self, pcm: bytes) -> bytes:
        return pcm

    def flush(self) -> bytes:
        return b""


class Wav(Raw):
    """A WAV whose length is not known before its end: its sizes are those of a stream."""

    def __init__(self, audio: AudioFormat) -> None:
        self.media_type = "audio/wav"
        self._audio = audio

    def begin(self) -> bytes:
        return wav_header(self._audio, None)


CONTAINERS: Mapping[str, Callable[[AudioFormat], ContainerEncoder]] = {"raw": Raw, "wav": Wav}


def media_type(audio: AudioFormat) -> str:
    """The media type of headerless audio: `audio/basic` is 8 kHz mono mulaw by definition, all else says what it is."""
    if audio == AudioFormat(encoding=Encoding.MULAW, sample_rate_hz=8000):
        return "audio/basic"
    parameters = f"rate={audio.sample_rate_hz};channels={audio.channels}"
    if audio.encoding is not Encoding.PCM_S16LE:
        parameters += f";encoding={audio.encoding}"
    return f"audio/pcm;{parameters}"
