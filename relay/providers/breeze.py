"""Breeze Blue: `POST /v1/text-to-speech/{voice_id}/stream`, audio as it is made.

Facts are from the vendor's API pages and its Python SDK 0.21.1 (2026-11), named where they matter. The API has two
vintages in use, which differ in their default format, so the format is always sent.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers import checks, faults
from relay.providers.base import (
    Capabilities,
    HttpRequest,
    ProviderSettings,
    Refusal,
    ReplyFacts,
    Speech,
    Voice,
    VoiceQuery,
    Wanted,
)

BASE_URL = "https://api.breeze.blue"

# 1,000 characters are taken, 1,001 give 422 (probed by a third party, 2026-09-13); the vendor states no limit.
MAX_TEXT_CHARS = 1000
MAX_INSTRUCTIONS_CHARS = 1000  # the vendor's guide; its SDK enforces it
MAX_MODEL_CHARS = 120
MAX_LANGUAGE_CHARS = 16

# What /stream gives. `wav` only in the newer vintage; rated profiles such as wav_48000 are refused there.
_FORMATS = {"pcm": Container.RAW, "mp3": Container.MP3, "wav": Container.WAV}
_CONTENT_TYPES = {
    "audio/pcm": Container.RAW,
    "audio/mpeg": Container.MP3,
    "audio/mp3": Container.MP3,
    "audio/wav": Container.WAV,
    "audio/x-wav": Container.WAV,
}
# Headerless audio when no header says otherwise: the fallback of the SDK (`_audio.py`), which is the native rate.
_PCM = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000)
# `x-breeze-audio-codec`, with and without its prefix; and by width where only that is told.
_ENCODINGS = {
    "s16le": Encoding.PCM_S16LE,
    "s24le": Encoding.PCM_S24LE,
    "s32le": Encoding.PCM_S32LE,
    "f32le": Encoding.PCM_F32LE,
    "u8": Encoding.PCM_U8,
}
_WIDTHS = {1: Encoding.PCM_U8, 2: Encoding.PCM_S16LE, 3: Encoding.PCM_S24LE, 4: Encoding.PCM_S32LE}

_VOICE_SETTINGS = {"guidance_scale": (1.0, 10.0), "speed": (0.5, 2.0), "volume": (0.01, 2.0)}
_OPTIONS = ("output_format", "enable_logging", "voice_settings")

# Reply headers that are ids, and the names under which they are reported.
_IDS = {"history-item-id": "history_item_id", "x-breeze-api-key-id": "api_key_id"}

# The vendor's error codes (its error table and `_errors.py` of its SDK), and whether another try may help where that
# differs from the rule of the code.
_CODES: Mapping[str, tuple[Code, bool | None]] = {
    "BAD_REQUEST": (Code.PROVIDER_REJECTED, None),
    "VALIDATION_ERROR": (Code.PROVIDER_REJECTED, None),
    "CONFLICT": (Code.PROVIDER_REJECTED, None),
    "AUTH_REQUIRED": (Code.PROVIDER_AUTH, None),
    "AUTH_INVALID_SESSION": (Code.PROVIDER_AUTH, None),
    "AUTH_SESSION_EXPIRED": (Code.PROVIDER_AUTH, None),
    "AUTH_USER_UNAVAILABLE": (Code.PROVIDER_AUTH, None),
    "AUTH_CONFIG_MISSING": (Code.PROVIDER_AUTH, None),
    "BILLING_INSUFFICIENT_CREDITS": (Code.PROVIDER_AUTH, None),
    "FORBIDDEN": (Code.PROVIDER_AUTH, None),
    # The voice is the only resource that the path names.
    "RESOURCE_NOT_FOUND": (Code.VOICE_NOT_FOUND, None),
    "GENERATION_NOT_READY": (Code.PROVIDER_UNAVAILABLE, None),
    "GENERATION_CONCURRENCY_EXCEEDED": (Code.PROVIDER_RATE_LIMITED, None),
    "RATE_LIMITED": (Code.PROVIDER_RATE_LIMITED, None),
    "GENERATION_CAPACITY_EXCEEDED": (Code.PROVIDER_UNAVAILABLE, None),
    "UPSTREAM_TIMEOUT": (Code.PROVIDER_TIMEOUT, None),
    "GENERATION_TIMEOUT": (Code.PROVIDER_TIMEOUT, None),
    "DISPATCH_TIMEOUT": (Code.PROVIDER_TIMEOUT, None),
    "UPSTREAM_GENERATION_ERROR": (Code.PROVIDER_UNAVAILABLE, None),
    "UPSTREAM_GENERATION_SERVICE_ERROR": (Code.PROVIDER_UNAVAILABLE, None),
    "UPSTREAM_ASSET_STORAGE_ERROR": (Code.PROVIDER_UNAVAILABLE, None),
    # Neither the vendor's own bill nor its missing configuration is put right within a second.
    "UPSTREAM_BILLING_ERROR": (Code.PROVIDER_UNAVAILABLE, False),
    "LLM_CONFIG_NOT_FOUND": (Code.PROVIDER_UNAVAILABLE, False),
    "GENERATION_FAILED": (Code.PROVIDER_UNAVAILABLE, None),
    "GENERATION_INVALID_RESPONSE": (Code.PROVIDER_UNAVAILABLE, None),
    "GENERATION_INTERRUPTED": (Code.PROVIDER_UNAVAILABLE, None),
    "INTERNAL_ERROR": (Code.PROVIDER_UNAVAILABLE, None),
}

# The SDK's page size: the one value known to be accepted.
_PAGE_SIZE = 50
# 2,000 voices; a `has_more` that never ends must.
_MAX_PAGES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """What one request is made of, but for the voice and the text. None and empty are not sent."""

    output_format: str = "pcm"
    enable_logging: bool | None = None
    voice_settings: Mapping[str, float | bool]
    language_code: str | None = None
    instructions: str | None = None


class Breeze:
    """The streaming speech of Breeze Blue."""

    name = "breeze"
    capabilities = Capabilities(
        formats=tuple(_FORMATS.values()),
        models=("breeze-tts-2",),
        max_segment_chars=MAX_TEXT_CHARS,
        options=_OPTIONS,
    )

    def __init__(self, settings: ProviderSettings) -> None:
        """Raises ClientError for settings that no request could be made with."""
        self._key = checks.api_key("breeze.api_key", settings.api_key)
        self._base_url = checks.base_url("breeze.base_url", settings.base_url or BASE_URL)
        self._settings = settings
        self._options = _checked_options("breeze.options", settings.options)

    def resolve(self, wanted: Wanted) -> Speech:
        settings = self._settings
        if self._key is None:
            raise checks.invalid("breeze has no API key; set BREEZE_API_KEY")
        voice = wanted.voice or settings.voice
        if voice is None:
            raise checks.invalid(
                "voice is missing and breeze has no default one; give a voice_id, like voc_xeh3w54cqvnp: "
                "`relay voices --provider breeze` and GET /v1/voices?provider=breeze list them"
            )
        model, language = wanted.model or settings.model, wanted.language or settings.language
        if wanted.instructions:
            checks.text("instructions", wanted.instructions, MAX_INSTRUCTIONS_CHARS)
        options = _merged(self._options, _checked_options("options", wanted.options))
        return Speech(
            voice=checks.path_segment("voice", voice),
            model=checks.text("model", model, MAX_MODEL_CHARS) if model else None,
            settings=_Settings(
                **{"voice_settings": {}, **options},
                language_code=_language(language) if language else None,
                instructions=wanted.instructions or None,
            ),
        )

    def request(self, speech: Speech, text: str) -> HttpRequest:
        assert 1 <= len(text) <= MAX_TEXT_CHARS, "the chunker keeps to max_segment_chars"
        settings: _Settings = speech.settings
        query = {"output_format": settings.output_format}
        if settings.enable_logging is not None:
            query["enable_logging"] = str(settings.enable_logging).lower()
        body = {
            "text": text,
            "model_id": speech.model,
            "language_code": settings.language_code,
            "instructions": settings.instructions,
            "voice_settings": settings.voice_settings or None,
        }
        sent = {name: value for name, value in body.items() if value is not None}
        return HttpRequest(
            provider=self.name,
            method="POST",
            # The vendor's SDK does not escape the voice; a slash in it would change the route.
            url=f"{self._base_url}/v1/text-to-speech/{quote(speech.voice, safe='')}/stream?{urlencode(query)}",
            headers={"content-type": "application/json"},
            secret_headers=self._secret_headers(),
            # ASCII: a lone surrogate, which JSON can carry to us and UTF-8 cannot carry on, is the provider's to judge.
            body=json.dumps(sent, separators=(",", ":")).encode("ascii"),
            accept=lambda headers: _facts(headers, _FORMATS[settings.output_format]),
            refuse=lambda refusal: self._refused(refusal, text, settings.instructions),
        )

    def voices(self) -> VoiceQuery:
        return self._voice_page(1, None)

    def _voice_page(self, page: int, token: str | None) -> VoiceQuery:
        query = {"voice_type": "all", "sort": "created_at_unix", "sort_direction": "desc"}
        query |= {"page": str(page), "page_size": str(_PAGE_SIZE)}
        if token:
            query["next_page_token"] = token

        def parse(body: bytes) -> tuple[list[Voice], VoiceQuery | None]:
            reply = faults.json_object(body)
            listed = reply.get("voices")
            if not isinstance(listed, list):
                raise self._unreadable("a list of voices without voices in it")
            voices = [voice for entry in listed if (voice := _voice(entry))]
            next_token = reply.get("next_page_token")
            more = bool(reply.get("has_more")) and listed and page < _MAX_PAGES
            return voices, self._voice_page(
                page + 1, next_token if isinstance(next_token, str) else None
            ) if more else None

        request = HttpRequest(
            provider=self.name,
            method="GET",
            url=f"{self._base_url}/v1/voices?{urlencode(query)}",
            headers={"accept": "application/json"},
            secret_headers=self._secret_headers(),
            body=None,
            accept=lambda _headers: ReplyFacts(source=SourceFormat(container=Container.RAW)),
            refuse=lambda refusal: self._refused(refusal),
        )
        return VoiceQuery(request=request, parse=parse)

    def _secret_headers(self) -> dict[str, str]:
        return {"xi-api-key": self._key} if self._key else {}

    def _refused(self, refusal: Refusal, *sent: str | None) -> ProviderError:
        """The envelope is `{ok: false, code, detail, error, meta?}`, with `error` repeating `detail`."""
        envelope = faults.json_object(refusal.body)
        vendor_code = envelope.get("code")
        vendor_code = vendor_code if isinstance(vendor_code, str) else None
        words = next((said for name in ("detail", "error") if isinstance(said := envelope.get(name), str)), None)
        code, retryable = _CODES.get(vendor_code or "", (None, None))
        if code is None and vendor_code and vendor_code.startswith("AUTH_"):
            code = Code.PROVIDER_AUTH  # AUTH_ADMIN_* and whatever follows
        if code is Code.VOICE_NOT_FOUND and not sent:
            code = Code.PROVIDER_REJECTED  # nothing was to be spoken, so no voice was named: the route is missing
        return faults.refused(
            self.name,
            refusal,
            code=code,
            retryable=retryable,
            provider_code=vendor_code,
            provider_words="" if words is None and envelope else words,
            secrets=(self._key, *sent),
        )

    def _unreadable(self, what: str) -> ProviderError:
        return ProviderError(
            Code.PROVIDER_UNAVAILABLE,
            f"{self.name} sent {what}",
            retryable=False,
            provider=ProviderFault(name=self.name),
        )


def _checked_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, checked; null is as good as absent."""
    hint = "; model, language and instructions are fields of their own"
    checks.known(name, given, _OPTIONS, hint)
    options: dict[str, Any] = {}
    if (value := given.get("output_format")) is not None:
        options["output_format"] = checks.one_of(f"{name}.output_format", value, _FORMATS)
    if (value := given.get("enable_logging")) is not None:
        options["enable_logging"] = checks.boolean(f"{name}.enable_logging", value)
    if (value := given.get("voice_settings")) is not None:
        options["voice_settings"] = _voice_settings(f"{name}.voice_settings", value)
    return options


def _voice_settings(name: str, given: object) -> dict[str, float | bool]:
    fields = checks.mapping(name, given)
    checks.known(name, fields, ("use_speaker_boost", *_VOICE_SETTINGS))
    checked: dict[str, float | bool] = {}
    for field, value in fields.items():
        if value is None:
            continue
        if field == "use_speaker_boost":
            checked[field] = checks.boolean(f"{name}.{field}", value)
        else:
            checked[field] = checks.number(f"{name}.{field}", value, *_VOICE_SETTINGS[field])
    return checked


def _merged(defaults: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The client's options over the operator's, voice settings field by field."""
    voice = {**defaults.get("voice_settings", {}), **wanted.get("voice_settings", {})}
    return {**defaults, **wanted, "voice_settings": voice}


def _language(tag: str) -> str:
    """The language of a BCP-47 tag. The newer vintage takes two letters only, the older takes them as well."""
    if len(tag) > MAX_LANGUAGE_CHARS or not re.fullmatch(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*", tag):
        raise checks.invalid(f"language is {checks.shown(tag)}; it must be a language tag like en or pt-BR")
    return re.split("[-_]", tag)[0].lower()


def _facts(headers: Mapping[str, str], asked_for: Container) -> ReplyFacts:
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    container = _CONTENT_TYPES.get(media_type, asked_for)
    ids = {ours: faults.quoted(headers[theirs]) for theirs, ours in _IDS.items() if headers.get(theirs)}
    pcm = _shape(headers) if container is Container.RAW else None
    return ReplyFacts(source=SourceFormat(container=container, pcm=pcm), ids=ids)


def _shape(headers: Mapping[str, str]) -> AudioFormat:
    """`x-breeze-*` where they are sent (documented for previews only); a shape that makes no sense is no audio."""
    codec = headers.get("x-breeze-audio-codec", "").strip().lower().removeprefix("pcm_")
    width = _header_number(headers, "x-breeze-sample-width-bytes", 1, 4)
    encoding = _ENCODINGS.get(codec) or (_WIDTHS[width] if width else _PCM.encoding)
    if width and encoding.sample_width != width:
        raise _no_shape("x-breeze-sample-width-bytes", f"does not fit {encoding}")
    return AudioFormat(
        encoding=encoding,
        sample_rate_hz=_header_number(headers, "x-breeze-sample-rate", 1000, 384_000) or _PCM.sample_rate_hz,
        channels=_header_number(headers, "x-breeze-channels", 1, 8) or _PCM.channels,
    )


def _header_number(headers: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    value = headers.get(name, "").strip()
    if not value:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", value) or not low <= int(value) <= high:
        raise _no_shape(name, f"is {faults.quoted(value, 40)}; it must be from {low} to {high}")
    return int(value)


def _no_shape(header: str, what: str) -> ProviderError:
    return ProviderError(
        Code.BAD_AUDIO, f"breeze: the reply header {header} {what}", provider=ProviderFault(name="breeze")
    )


def _voice(entry: object) -> Voice | None:
    """One voice of the list; None for an entry without an id, which nobody could ask for."""
    if not isinstance(entry, Mapping) or not isinstance(voice_id := entry.get("voice_id"), str):
        return None
    told = {name: value for name, value in entry.items() if isinstance(value, str) and value}
    tone = entry.get("tone")
    tones = [word for word in tone if isinstance(word, str)] if isinstance(tone, list) else []
    traits = [told.get("accent"), told.get("age"), *tones]
    return Voice(
        id=voice_id,
        name=told.get("name", voice_id),
        languages=(told["language_code"],) if "language_code" in told else (),
        gender=told.get("gender"),
        description=told.get("description") or ", ".join(trait for trait in traits if trait) or None,
    )
