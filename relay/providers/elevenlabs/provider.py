"""ElevenLabs: a POST for audio as it is made, alone or with the times of its characters, or a WebSocket for text as it
is typed.

`http` (the default) gives the first sample soonest: a request's text is complete, so that nothing is held back for
more of it, its connection is open already, and it is cancelled by leaving. The sockets wait until enough text has come
(50 characters at the least) or a flush. Facts are from the vendor's SDK 2.78.0 and its specification of 2025-08.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

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
from relay.providers.elevenlabs import socket
from relay.providers.elevenlabs.account import PROVIDER, account
from relay.providers.elevenlabs.timed import timed_lines

BASE_URL = "https://api.elevenlabs.io"
# The voice of the SDK's examples, which every account has; the model that the vendor names for low latency.
VOICE, MODEL = "JBFqnCBsd6RMkjVDRZzb", "eleven_flash_v2_5"
MODELS = (MODEL, "eleven_flash_v2", "eleven_turbo_v2_5", "eleven_turbo_v2", "eleven_multilingual_v2", "eleven_v3")
# The least that any model takes (`eleven_v3`); the others take 10,000 to 40,000.
MAX_TEXT_CHARS = 3000
TRANSPORTS = ("http", "timestamps", "multi", "single")
# Rates that every plan has; of 44,100 Hz the vendor says that it needs a higher one, of more nothing.
RATES_HZ = (8000, 16000, 22050, 24000)
_ALL_RATES_HZ = (*RATES_HZ, 32000, 44100, 48000)
_RAW = {
    **{f"pcm_{rate_hz}": (Encoding.PCM_S16LE, rate_hz) for rate_hz in _ALL_RATES_HZ},
    "ulaw_8000": (Encoding.MULAW, 8000),
    "alaw_8000": (Encoding.ALAW, 8000),
}
_PACKED = {
    **{f"wav_{rate_hz}": Container.WAV for rate_hz in _ALL_RATES_HZ},
    **{f"mp3_{form}": Container.MP3 for form in ("22050_32", "24000_48")},
    **{f"mp3_44100_{kbps}": Container.MP3 for kbps in (32, 64, 96, 128, 192)},
    # In which container is not stated: the bytes decide.
    **{f"opus_48000_{kbps}": Container.OGG for kbps in (32, 64, 96, 128, 192)},
}
FORMATS = (*_RAW, *_PACKED)
# Models that begin so are not offered on the sockets here.
_WITHOUT_SOCKET = ("eleven_v3", "eleven_v4")
_VOICES_A_PAGE = 100

_VOICE_SETTINGS: Mapping[str, Check] = {
    "stability": partial(checks.number, low=0, high=1),
    "similarity_boost": partial(checks.number, low=0, high=1),
    "style": partial(checks.number, low=0, high=1),
    "use_speaker_boost": checks.boolean,
    "speed": partial(checks.number, low=0.7, high=1.2),
}


def _voice_settings(name: str, value: object) -> dict[str, Any]:
    return checks.options(name, checks.mapping(name, value), _VOICE_SETTINGS)


_OPTIONS: Mapping[str, Check] = {
    "transport": partial(checks.one_of, valid=TRANSPORTS),
    "output_format": partial(checks.one_of, valid=FORMATS),
    "voice_settings": _voice_settings,
    "seed": partial(checks.whole, low=0, high=2**32 - 1),
    "apply_text_normalization": partial(checks.one_of, valid=("auto", "on", "off")),
    "enable_logging": checks.boolean,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """What a request is made of, but for the text."""

    transport: str
    query: Mapping[str, str]
    body: Mapping[str, Any]
    source: SourceFormat


class ElevenLabs:
    """The speech of ElevenLabs."""

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
            formats=(Container.RAW, Container.WAV, Container.MP3, Container.OGG),
            models=MODELS,
            word_times=True,
            streaming_text=True,
            max_segment_chars=MAX_TEXT_CHARS,
            # An account may speak with shared voices that it has not added.
            lists_every_voice=False,
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
            voice=checks.path_segment("voice", wanted.voice or self._settings.voice or VOICE),
            model=settings.body["model_id"],
            streaming_text=settings.transport in ("multi", "single"),
            settings=settings,
        )

    def _own_settings(self, wanted: SpeechRequest, options: Mapping[str, Any]) -> _Settings:
        """Options that fit together. Raises ClientError."""
        transport = options.get("transport", "http")
        model = checks.text("model", wanted.model or self._settings.model or MODEL, 100)
        rate_hz = best_rate_hz(RATES_HZ, wanted.sample_rate_hz or RATES_HZ[-1])
        form = options.get("output_format", f"pcm_{rate_hz}")
        if transport in ("multi", "single"):
            if model.startswith(_WITHOUT_SOCKET):
                raise checks.invalid(f"model is {model}, which the sockets do not have; use options.transport http")
            if form not in _RAW:
                raise checks.invalid(
                    f"options.output_format is {form}; on a socket it must be one of {', '.join(_RAW)}"
                )
        language = wanted.language or self._settings.language
        own: dict[str, Any] = {"model_id": model}
        if language:
            own["language_code"] = checks.text("language", language, 20)
        own |= {
            name: options[name] for name in ("voice_settings", "seed", "apply_text_normalization") if name in options
        }
        query = {"output_format": form}
        if "enable_logging" in options:
            query["enable_logging"] = str(options["enable_logging"]).lower()
        pcm = None
        if form in _RAW:
            encoding, rate_hz = _RAW[form]
            pcm = AudioFormat(encoding=encoding, sample_rate_hz=rate_hz)
        source = SourceFormat(container=_PACKED.get(form, Container.RAW), pcm=pcm)
        return _Settings(transport=transport, query=query, body=own, source=source)

    def request(self, speech: Speech, text: str) -> HttpRequest:
        """For a turn over a socket too: the same speech, by HTTP."""
        assert 1 <= len(text) <= MAX_TEXT_CHARS, "the chunker keeps to max_segment_chars"
        settings: _Settings = speech.settings
        is_timed = settings.transport == "timestamps"
        return self._api.post(
            _path(speech.voice, "stream/with-timestamps" if is_timed else "stream"),
            {"text": text, **settings.body},
            settings.source,
            query=settings.query,
            private=(text,),
            unwrap=partial(timed_lines, self.name) if is_timed else None,
        )

    def converse(self, speech: Speech) -> DialogueRequest:
        assert speech.streaming_text, "only a socket takes text as it is written"
        settings: _Settings = speech.settings
        query = {name: str(value) for name, value in settings.body.items() if name != "voice_settings"}
        query |= {**settings.query, "inactivity_timeout": str(socket.IDLE_CLOSE_S)}
        # The shortest wait for more text that may be asked for, as the SDK asks.
        opening: dict[str, Any] = {"generation_config": {"chunk_length_schedule": [50]}}
        if "voice_settings" in settings.body:
            opening["voice_settings"] = settings.body["voice_settings"]
        single = settings.transport == "single"
        path = _path(speech.voice, "stream-input" if single else "multi-stream-input")
        dialogue = socket.SingleDialogue if single else socket.MultiDialogue
        return socket.request(self._api, path, query, settings.source, opening, dialogue)

    def voices(self) -> VoiceQuery:
        """The account's voices, a page at a time."""
        return self._page({})

    def _page(self, after: Mapping[str, str]) -> VoiceQuery:
        def parse(body: bytes) -> tuple[list[Voice], VoiceQuery | None]:
            voices = listings.voices_in(self.name, body)
            said = faults.json_object(body)
            token = said.get("next_page_token")
            more = said.get("has_more") is True and voices and isinstance(token, str) and token != after.get(_NEXT)
            return voices, self._page({_NEXT: str(token)}) if more else None

        query = {"page_size": str(_VOICES_A_PAGE), **after}
        return VoiceQuery(request=self._api.get("/v2/voices", query), parse=parse)

    def warm(self, wanted: SpeechRequest) -> list[Ahead]:
        return ahead(self, wanted, self._api.base_url)

    def check(self) -> VoiceQuery:
        """The list wants the key."""
        return self.voices()


_NEXT = "next_page_token"


def _path(voice: str, way: str) -> str:
    return f"/v1/text-to-speech/{quote(voice, safe='')}/{way}"
