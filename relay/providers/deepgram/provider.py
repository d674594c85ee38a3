"""Deepgram: `/v1/speak` for Aura voices and `/v2/speak` for those of Flux; a POST for audio as it is made, or a
WebSocket for text as it is typed.

`http` (the default) gives the first sample as soon as the socket does, holds nothing open between sentences, and is
cancelled by leaving. `socket` takes text as it is written; what Deepgram limits there is in `socket`. The voice is the
model. Facts are from the vendor's API specification (2026-07) and its SDK 7.17.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.providers.base import checks, listings
from relay.providers.base.ahead import ahead
from relay.providers.base.checks import Check
from relay.providers.base.dialogue import DialogueRequest
from relay.providers.base.http import HttpRequest
from relay.providers.base.provider import (
    Ahead,
    Capabilities,
    ProviderSettings,
    Speech,
    SpeechRequest,
    VoiceQuery,
)
from relay.providers.base.rates import best_rate_hz
from relay.providers.deepgram import socket
from relay.providers.deepgram.account import PROVIDER, account
from relay.providers.deepgram.flux import FluxDialogue

BASE_URL = "https://api.deepgram.com"
VOICE = "aura-2-thalia-en"
# Not in the specification; what the service is widely seen to refuse with 413 above.
MAX_TEXT_CHARS = 2000
# Encoding -> what its bytes are. Headerless audio begins with its first sample, and comes at the listener's rate.
RAW = {"linear16": Encoding.PCM_S16LE, "mulaw": Encoding.MULAW, "alaw": Encoding.ALAW}
PACKED = {"mp3": Container.MP3, "opus": Container.OGG, "flac": Container.FLAC, "aac": Container.AAC}
RATES_HZ = {"linear16": (8000, 16000, 24000, 32000, 48000), "mulaw": (8000, 16000), "alaw": (8000, 16000)}
NATIVE_HZ = 24000
# Voices that begin so speak on `/v2/speak` alone, which has another rate and another range of speed.
FLUX = "flux-"
_FLUX_HZ = 44100
_AURA_SPEED = 0.7
TRANSPORTS = ("http", "socket")

_OPTIONS: Mapping[str, Check] = {
    "transport": partial(checks.one_of, valid=TRANSPORTS),
    "encoding": partial(checks.one_of, valid=(*RAW, *PACKED)),
    "container": partial(checks.one_of, valid=("none", "wav")),
    "sample_rate": partial(checks.whole, low=8000, high=48000),
    "bit_rate": partial(checks.whole, low=4000, high=650_000),
    "speed": partial(checks.number, low=0.5, high=1.5),
    "expressivity": partial(checks.whole, low=0, high=100),
    "mip_opt_out": checks.boolean,
    "tag": partial(checks.text, longest=128),
}
_IN_QUERY = ("speed", "expressivity", "bit_rate", "mip_opt_out", "tag")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """What a request is made of, but for the text: all of it stands in the query."""

    query: Mapping[str, str]
    source: SourceFormat


class Deepgram:
    """The speech of Deepgram."""

    def __init__(self, settings: ProviderSettings) -> None:
        """Raises ClientError for settings that no request could be made with."""
        self.name = name = settings.name or PROVIDER
        self._settings = settings
        self._api = account(
            name,
            checks.base_url(f"{name}.base_url", settings.base_url or BASE_URL),
            checks.api_key(f"{name}.api_key", settings.api_key),
        )
        self._options = checks.options(f"{name}.options", settings.options, _OPTIONS)
        self.capabilities = Capabilities(
            formats=(Container.RAW, Container.WAV, *PACKED.values()),
            streaming_text=True,
            max_segment_chars=MAX_TEXT_CHARS,
            # A server of one's own has none.
            needs_key=self._api.base_url.partition("://")[2].partition("/")[0].endswith("deepgram.com"),
            options=tuple(_OPTIONS),
        )
        self._own_settings(settings.voice or VOICE, self._options, None)
        _refuse_fieldless(name, settings.model, None)

    def resolve(self, wanted: SpeechRequest) -> Speech:
        """See `base.Provider.resolve`. A language is the voice's own: it is not sent."""
        if self.capabilities.needs_key and self._api.key is None:
            raise checks.no_key(self.name, PROVIDER)
        _refuse_fieldless(self.name, wanted.model, wanted.instructions)
        voice = checks.text("voice", wanted.voice or self._settings.voice or VOICE, 200)
        options = {**self._options, **checks.options("options", wanted.options, _OPTIONS)}
        return Speech(
            voice=voice,
            streaming_text=options.get("transport") == "socket",
            settings=self._own_settings(voice, options, wanted.sample_rate_hz),
        )

    def _own_settings(self, voice: str, options: Mapping[str, Any], wanted_hz: int | None) -> _Settings:
        """Options that fit together. Raises ClientError."""
        encoding, container = options.get("encoding", "linear16"), options.get("container", "none")
        socketed = options.get("transport") == "socket"
        if (encoding not in RAW and "container" in options) or (
            socketed and (container == "wav" or encoding not in RAW)
        ):
            where = "the socket" if socketed else f"encoding {encoding}"
            raise checks.invalid(f"options.container is {container!r} with {encoding}, which {where} does not have")
        flux = voice.startswith(FLUX)
        if not flux and (options.get("speed", 1) < _AURA_SPEED or "expressivity" in options):
            raise checks.invalid(
                f"options.speed below {_AURA_SPEED} and options.expressivity are of {FLUX} voices only"
            )
        query: dict[str, Any] = {"model": voice, "encoding": encoding}
        query |= {name: value for name, value in options.items() if name in _IN_QUERY}
        pcm = None
        if encoding in RAW:
            rates = (*RATES_HZ[encoding], *((_FLUX_HZ,) if flux and encoding == "linear16" else ()))
            rate_hz = options.get("sample_rate") or best_rate_hz(rates, wanted_hz or (min(rates[-1], NATIVE_HZ)))
            if rate_hz not in rates:
                raise checks.invalid(f"options.sample_rate is {rate_hz}; for {encoding} it must be one of {rates}")
            query |= {"sample_rate": rate_hz, **({} if socketed else {"container": container})}
            pcm = AudioFormat(encoding=RAW[encoding], sample_rate_hz=rate_hz)
        elif "sample_rate" in options:
            raise checks.invalid(f"options.sample_rate is given, and {encoding} has its own; leave it out")
        packed = Container.WAV if container == "wav" else PACKED.get(encoding, Container.RAW)
        return _Settings(
            query={
                name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in query.items()
            },
            source=SourceFormat(container=packed, pcm=pcm if packed is Container.RAW else None),
        )

    def request(self, speech: Speech, text: str) -> HttpRequest:
        """For a turn over the socket too: the same speech, by HTTP."""
        assert 1 <= len(text) <= MAX_TEXT_CHARS, "the chunker keeps to max_segment_chars"
        settings: _Settings = speech.settings
        query = (
            {"container": "none", **settings.query} if settings.source.container is Container.RAW else settings.query
        )
        return self._api.post(_path(speech.voice), {"text": text}, settings.source, query=query, private=(text,))

    def converse(self, speech: Speech) -> DialogueRequest:
        assert speech.streaming_text, "only the socket takes text as it is written"
        settings: _Settings = speech.settings
        dialogue = FluxDialogue if speech.voice.startswith(FLUX) else socket.AuraDialogue
        return socket.request(self._api, _path(speech.voice), settings.query, settings.source, dialogue)

    def voices(self) -> VoiceQuery:
        """The models of speech."""
        return VoiceQuery(
            request=self._api.get("/v1/models"), parse=lambda body: (listings.voices_in(self.name, body), None)
        )

    def warm(self, wanted: SpeechRequest) -> list[Ahead]:
        return ahead(self, wanted, self._api.base_url)

    def check(self) -> VoiceQuery:
        """The list wants the key."""
        return self.voices()


def _path(voice: str) -> str:
    """Each route refuses the other's voices."""
    return "/v2/speak" if voice.startswith(FLUX) else "/v1/speak"


def _refuse_fieldless(name: str, model: str | None, instructions: str | None) -> None:
    if model:
        raise checks.invalid(f"model is given, and at {name} the voice is the model; give it as voice")
    if instructions:
        raise checks.invalid(f"instructions is given, but {name} has none; leave it out")
