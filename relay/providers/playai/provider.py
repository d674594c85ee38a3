"""PlayAI (formerly PlayHT): `POST /api/v1/tts/stream`, audio as it is made; or jobs, `POST /api/v1/tts`.

The public service closed on 2025-12-31: this is for servers that speak its API. Facts are from the vendor's API pages
(read 2026-11), named where they matter. Every request of the API carries both credentials.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.errors import ClientError
from relay.providers.base import checks
from relay.providers.base.ahead import ahead
from relay.providers.base.http import HttpRequest
from relay.providers.base.poll import PollRequest
from relay.providers.base.provider import Ahead, Capabilities, Probe, ProviderSettings, Speech, SpeechRequest, Voice
from relay.providers.playai.job import NO_JOB, PROVIDER, TIMEOUT_S, Api, Job
from relay.providers.playai.languages import language_name

# Longest text of a request, by model. The first one is the default: the API wants one named.
TEXT_CHARS = {"PlayDialog": 50_000, "Play3.0-mini": 20_000, "PlayDialog-turbo": 20_000}
_DIALOG, _MINI, _TURBO = TEXT_CHARS
MAX_VOICE_CHARS = 1000  # voices are addresses: s3://voice-cloning-zero-shot/.../manifest.json
MAX_STRING_CHARS = 2000  # not stated; a prompt is a few sentences

# What the API makes and we decode; the first is its default. `raw` has no header, and its pages name no encoding.
_FORMATS = {"mp3": Container.MP3, "wav": Container.WAV, "mulaw": Container.RAW, "raw": Container.RAW}
_TURBO_FORMATS = ("wav",)
_DELIVERIES = ("stream", "job")
# The SDK's protobuf comments say float32 of `raw`, of another product; a compatible server may have read it otherwise.
_RAW_ENCODINGS = (Encoding.PCM_F32LE.value, Encoding.PCM_S16LE.value)
# Sent where no header of the audio will say it: the telephone's rate, and the native one of the models.
_RATES_HZ = {"mulaw": 8000, "raw": 24000}
_QUALITIES = ("draft", "low", "medium", "high", "premium")


def _whole(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise checks.invalid(f"{name} is {checks.shown(value)}; it must be a whole number from {low} to {high}")
    return value


def _seed(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise checks.invalid(f"{name} is {checks.shown(value)}; it must be a whole number from 0")
    return value


def _amount(name: str, value: object) -> float:
    """A number whose range nobody states; none of these makes sense below 0."""
    try:
        return checks.number(name, value, 0, sys.float_info.max)
    except ClientError:
        raise checks.invalid(f"{name} is {checks.shown(value)}; it must be a number from 0") from None


def _web_address(name: str, value: object) -> str:
    """Whom the server is to tell. It may hold a secret: it is not quoted."""
    address = checks.text(name, value, MAX_STRING_CHARS)
    if not address.startswith(("https://", "http://")) or not address.isascii() or not address.isprintable():
        raise checks.invalid(f"{name} is no address; it must be like https://example.com/done")
    return address


_string = partial(checks.text, longest=MAX_STRING_CHARS)
# The fields of the request that are options: how each is checked, and of which model it is (None: of all).
_FIELDS: Mapping[str, tuple[Callable[[str, object], Any], str | None]] = {
    "outputFormat": (partial(checks.one_of, valid=_FORMATS), None),
    "sampleRate": (partial(_whole, low=8000, high=48000), None),
    "speed": (partial(checks.number, low=0.1, high=5.0), None),
    "seed": (_seed, None),
    "temperature": (partial(checks.number, low=0.0, high=2.0), None),
    "quality": (partial(checks.one_of, valid=_QUALITIES), _MINI),
    "voice2": (partial(checks.text, longest=MAX_VOICE_CHARS), _DIALOG),
    "turnPrefix": (_string, _DIALOG),
    "turnPrefix2": (_string, _DIALOG),
    "prompt": (_string, _DIALOG),
    "prompt2": (_string, _DIALOG),
    "voiceConditioningSeconds": (_amount, _DIALOG),
    "voiceConditioningSeconds2": (_amount, _DIALOG),
    "voiceGuidance": (_amount, _MINI),
    "styleGuidance": (_amount, _MINI),
    "textGuidance": (_amount, _MINI),
    "webHookUrl": (_web_address, None),
}
# Ours, not sent: stream or job, and what the samples of `raw` are, which is a fact about the server: an operator's
# default, that other formats do not look at.
_OURS: Mapping[str, Callable[[str, object], Any]] = {
    "delivery": partial(checks.one_of, valid=_DELIVERIES),
    "raw_encoding": partial(checks.one_of, valid=_RAW_ENCODINGS),
}
_OPTIONS = (*_FIELDS, *_OURS)
# Words of people, which no error quotes.
_PRIVATE = ("prompt", "prompt2", "webHookUrl")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """What one request is made of, but for the text: `fields` are sent as they are."""

    job: bool
    source: SourceFormat
    fields: Mapping[str, Any]


class PlayAI:
    """The speech of a server that speaks PlayAI's API."""

    capabilities = Capabilities(
        formats=tuple(dict.fromkeys(_FORMATS.values())),
        models=tuple(TEXT_CHARS),
        # A segment must fit every model.
        max_segment_chars=min(TEXT_CHARS.values()),
        needs_user_id=True,
        needs_base_url=True,
        options=_OPTIONS,
    )

    def __init__(self, settings: ProviderSettings) -> None:
        """Raises ClientError for settings that no request could be made with."""
        self.name = name = settings.name or PROVIDER
        self._key = checks.api_key(f"{name}.api_key", settings.api_key)
        self._user_id = checks.api_key(f"{name}.user_id", settings.user_id)
        self._base_url = checks.base_url(f"{name}.base_url", settings.base_url) if settings.base_url else None
        self._settings = settings
        self._options = _checked_options(f"{name}.options", settings.options)

    def resolve(self, wanted: SpeechRequest) -> Speech:
        settings = self._settings
        for key, value in (("api_key", self._key), ("user_id", self._user_id), ("base_url", self._base_url)):
            if value is None:
                where = checks.place(self.name, PROVIDER, key)
                raise checks.invalid(f"{self.name} has no {key}; set {where} (there is no public service any more)")
        if wanted.instructions:
            raise checks.invalid(f"instructions is given, but {self.name} has none; PlayDialog takes options.prompt")
        voice = wanted.voice or settings.voice
        if voice is None:
            raise checks.invalid(
                f"voice is missing, {self.name} has no default one and no list; give what your server takes, like "
                "s3://voice-cloning-zero-shot/.../manifest.json, or Atlas-PlayAI for PlayDialog-turbo"
            )
        model = checks.one_of("model", wanted.model or settings.model or _DIALOG, TEXT_CHARS)
        language = wanted.language or settings.language
        options = {**self._options, **_checked_options("options", wanted.options)}
        fields = {"model": model, "voice": checks.text("voice", voice, MAX_VOICE_CHARS)}
        if language:
            fields["language"] = language_name(language, self.name)
        return Speech(voice=voice, model=model, settings=_request_settings(fields, options))

    def request(self, speech: Speech, text: str) -> HttpRequest | PollRequest:
        settings: _Settings = speech.settings
        assert 1 <= len(text) <= TEXT_CHARS[settings.fields["model"]], "the chunker keeps to max_segment_chars"
        private = (text, *(settings.fields[name] for name in _PRIVATE if name in settings.fields))
        api = self._api(settings.source, *private)
        body = {"text": text, **settings.fields}
        if not settings.job:
            return api.stream(body)
        make = api.make(body)
        return PollRequest(provider=self.name, job=lambda: Job(api, make), timeout_s=TIMEOUT_S)

    def voices(self) -> list[Voice]:
        """None: the API documents no list of them."""
        return []

    def warm(self, wanted: SpeechRequest) -> list[Ahead]:
        return ahead(self, wanted, self._base_url)

    def check(self) -> Probe:
        """About a job that does not exist: an answer that does not refuse the credentials is a good one."""
        api = self._api(SourceFormat(container=Container.MP3))
        return Probe(request=api.poll(NO_JOB), read=api.reached)

    def _api(self, source: SourceFormat, *private: str) -> Api:
        assert self._key and self._user_id and self._base_url, "it is usable with all of them"
        return Api(
            base_url=self._base_url,
            key=self._key,
            user_id=self._user_id,
            source=source,
            private=private,
            name=self.name,
        )


def _request_settings(fields: Mapping[str, Any], options: Mapping[str, Any]) -> _Settings:
    """Fields and options that fit together. Raises ClientError."""
    model = fields["model"]
    for name in options:
        if name in _FIELDS and (only := _FIELDS[name][1]) is not None and only != model:
            raise checks.invalid(f"options.{name} is a field of {only}, and the model is {model}; leave it out")
    job = options.get("delivery") == "job"
    if "webHookUrl" in options and not job:
        raise checks.invalid("options.webHookUrl is a field of jobs; leave it out, or set options.delivery to job")
    formats = _TURBO_FORMATS if model == _TURBO else tuple(_FORMATS)
    chosen = options.get("outputFormat", formats[0])
    if chosen not in formats:
        raise checks.invalid(f"options.outputFormat is {chosen!r}; of {model} it must be one of {', '.join(formats)}")
    rate_hz = options.get("sampleRate") or _RATES_HZ.get(chosen)
    sent = {**fields, **{name: value for name, value in options.items() if name in _FIELDS}, "outputFormat": chosen}
    if rate_hz is not None:
        sent["sampleRate"] = rate_hz
    pcm = _shape(chosen, rate_hz, options.get("raw_encoding"))
    return _Settings(job=job, source=SourceFormat(container=_FORMATS[chosen], pcm=pcm), fields=sent)


def _shape(chosen: str, rate_hz: int | None, raw_encoding: str | None) -> AudioFormat | None:
    """The shape of headerless audio. It is never guessed: float32 heard as 16 bits is noise at full volume."""
    if chosen != "raw":
        encoding = Encoding.MULAW
    elif raw_encoding is None:
        raise checks.invalid(
            "options.outputFormat is 'raw', whose samples the API does not name; "
            f"options.raw_encoding must say what your server sends: {' or '.join(_RAW_ENCODINGS)}"
        )
    else:
        encoding = Encoding(raw_encoding)
    if _FORMATS[chosen] is not Container.RAW:
        return None
    assert rate_hz is not None, "headerless audio is asked for at a rate"
    return AudioFormat(encoding=encoding, sample_rate_hz=rate_hz)


def _checked_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, checked one by one; null is as good as absent."""
    checks.known(name, given, _OPTIONS, "; model, voice and language are fields of their own")
    checked = {field: check for field, (check, _) in _FIELDS.items()} | dict(_OURS)
    return {field: checked[field](f"{name}.{field}", value) for field, value in given.items() if value is not None}
