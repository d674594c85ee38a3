"""Cartesia: a POST for audio as it is made, the same in events with times of words, or a WebSocket for text as it is
typed.

`http` (the default) gives the first sample soonest: a request's text is complete, so that nothing is held back for
more of it, and its connection is open already. On the socket text is held back until it is enough to be spoken well
(`max_buffer_delay_ms`), or a flush. Facts are from the vendor's SDK 4.2.0 and its pages.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.providers.base import checks, faults, listings
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
    Voice,
    VoiceQuery,
)
from relay.providers.base.rates import best_rate_hz
from relay.providers.base.sse import AudioEvents, EventAudio
from relay.providers.cartesia import socket
from relay.providers.cartesia.account import PROVIDER, account
from relay.providers.cartesia.words import words_in

BASE_URL = "https://api.cartesia.ai"
# Those of the SDK.
VOICE, MODEL = "6ccbfb76-1fc6-48f7-b71d-91ac6298247b", "sonic-latest"
TRANSPORTS = ("http", "events", "socket")
RAW = {
    "pcm_s16le": Encoding.PCM_S16LE,
    "pcm_f32le": Encoding.PCM_F32LE,
    "pcm_mulaw": Encoding.MULAW,
    "pcm_alaw": Encoding.ALAW,
}
CONTAINERS = {"raw": Container.RAW, "wav": Container.WAV, "mp3": Container.MP3}
RATES_HZ = (8000, 16000, 22050, 24000, 44100, 48000)
NATIVE_HZ = 24000
# Without a delay of ours the service would speak each piece of a word at once; this is the vendor's own.
BUFFER_MS = 3000
_BIT_RATE = 128_000
_VOICES_A_PAGE = 100
_EVENTS = AudioEvents(audio=("data",), done=("done",), errors=("error",), words=words_in)

_OPTIONS: Mapping[str, Check] = {
    "transport": partial(checks.one_of, valid=TRANSPORTS),
    "container": partial(checks.one_of, valid=CONTAINERS),
    "encoding": partial(checks.one_of, valid=RAW),
    "sample_rate": partial(checks.whole, low=min(RATES_HZ), high=max(RATES_HZ)),
    "bit_rate": partial(checks.whole, low=32_000, high=192_000),
    "speed": partial(checks.number, low=0.6, high=1.5),
    "volume": partial(checks.number, low=0.5, high=2.0),
    "emotion": partial(checks.text, longest=100),
    "max_buffer_delay_ms": partial(checks.whole, low=0, high=5000),
    "pronunciation_dict_id": partial(checks.text, longest=200),
}
_GENERATION = ("speed", "volume", "emotion")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """What a request is made of, but for the text."""

    transport: str
    fields: Mapping[str, Any]
    buffer_ms: int
    source: SourceFormat


class Cartesia:
    """The speech of Cartesia."""

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
            formats=tuple(CONTAINERS.values()),
            word_times=True,
            streaming_text=True,
            options=tuple(_OPTIONS),
        )
        self._own_settings(SpeechRequest(), self._options)

    def resolve(self, wanted: SpeechRequest) -> Speech:
        """See `base.Provider.resolve`."""
        if self._api.key is None:
            raise checks.no_key(self.name, PROVIDER)
        if wanted.instructions:
            raise checks.invalid(f"instructions is given, but {self.name} has none; leave it out")
        settings = self._own_settings(wanted, {**self._options, **checks.options("options", wanted.options, _OPTIONS)})
        return Speech(
            voice=settings.fields["voice"]["id"],
            model=settings.fields["model_id"],
            streaming_text=settings.transport == "socket",
            settings=settings,
        )

    def _own_settings(self, wanted: SpeechRequest, options: Mapping[str, Any]) -> _Settings:
        """Options that fit together. Raises ClientError."""
        transport = options.get("transport", "http")
        container, encoding = options.get("container", "raw"), options.get("encoding", "pcm_s16le")
        if transport != "http" and container != "raw":
            raise checks.invalid(f"options.container is {container}; with options.transport {transport} it must be raw")
        if container == "mp3" and "encoding" in options:
            raise checks.invalid("options.encoding is given, and mp3 has its own; leave it out")
        if container != "mp3" and "bit_rate" in options:
            raise checks.invalid(f"options.bit_rate is given, which options.container {container} does not have")
        rate_hz = options.get("sample_rate") or best_rate_hz(RATES_HZ, wanted.sample_rate_hz or NATIVE_HZ)
        if rate_hz not in RATES_HZ:
            raise checks.invalid(f"options.sample_rate is {rate_hz}; it must be one of {RATES_HZ}")
        output: dict[str, Any] = {"container": container, "sample_rate": rate_hz}
        output |= {"bit_rate": options.get("bit_rate", _BIT_RATE)} if container == "mp3" else {"encoding": encoding}
        fields: dict[str, Any] = {
            "model_id": checks.text("model", wanted.model or self._settings.model or MODEL, 100),
            "voice": {"id": checks.text("voice", wanted.voice or self._settings.voice or VOICE, 200)},
            "output_format": output,
        }
        if language := wanted.language or self._settings.language:
            fields["language"] = checks.text("language", language, 20)
        if generation := {name: options[name] for name in _GENERATION if name in options}:
            fields["generation_config"] = generation
        if "pronunciation_dict_id" in options:
            fields["pronunciation_dict_id"] = options["pronunciation_dict_id"]
        pcm = AudioFormat(encoding=RAW[encoding], sample_rate_hz=rate_hz) if container == "raw" else None
        return _Settings(
            transport=transport,
            fields=fields,
            buffer_ms=options.get("max_buffer_delay_ms", BUFFER_MS),
            source=SourceFormat(container=CONTAINERS[container], pcm=pcm),
        )

    def request(self, speech: Speech, text: str) -> HttpRequest:
        """For a turn over the socket too: the same speech, by HTTP."""
        settings: _Settings = speech.settings
        body = {**settings.fields, "transcript": text}
        if settings.transport != "events":
            return self._api.post("/tts/bytes", body, settings.source, private=(text,))
        return self._api.post(
            "/tts/sse",
            {**body, "add_timestamps": True},
            settings.source,
            private=(text,),
            unwrap=lambda refuse: EventAudio(self.name, _EVENTS, refuse),
        )

    def converse(self, speech: Speech) -> DialogueRequest:
        assert speech.streaming_text, "only the socket takes text as it is written"
        settings: _Settings = speech.settings
        fields = {**settings.fields, "add_timestamps": True, "max_buffer_delay_ms": settings.buffer_ms}
        return socket.request(self._api, settings.source, fields)

    def voices(self) -> VoiceQuery:
        """The voices, a page at a time."""
        return self._page(None)

    def _page(self, after: str | None) -> VoiceQuery:
        def parse(body: bytes) -> tuple[list[Voice], VoiceQuery | None]:
            voices = listings.voices_in(self.name, body)
            has_more = faults.json_object(body).get("has_more") is True
            return voices, self._page(voices[-1].id) if has_more and voices and voices[-1].id != after else None

        query = {"limit": str(_VOICES_A_PAGE)} | ({"starting_after": after} if after else {})
        return VoiceQuery(request=self._api.get("/voices", query), parse=parse)

    def warm(self, wanted: SpeechRequest) -> list[Ahead]:
        return ahead(self, wanted, self._api.base_url)

    def check(self) -> VoiceQuery:
        """The list wants the key."""
        return self.voices()
