"""What all requests to Breeze Blue share: address, key, error table, and what a reply's headers say of its audio.

Facts are from the vendor's API pages and its Python SDK 0.21.1 (2026-11), named where they matter.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base import faults
from relay.providers.base.http import HttpRequest, Refusal, ReplyFacts

PROVIDER = "breeze"
BASE_URL = "https://api.breeze.blue"

# What every route gives. `wav` of /stream only in the newer vintage; rated profiles such as wav_48000 are refused
# there.
FORMATS = {"pcm": Container.RAW, "mp3": Container.MP3, "wav": Container.WAV}
_CONTENT_TYPES = {
    "audio/pcm": Container.RAW,
    "audio/mpeg": Container.MP3,
    "audio/mp3": Container.MP3,
    "audio/wav": Container.WAV,
    "audio/x-wav": Container.WAV,
}
# Headerless audio when no header says otherwise: the fallback of the SDK (`_audio.py`), which is the native rate.
PCM = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000)
# `x-breeze-audio-codec`, with and without its prefix; and by width where only that is told.
_ENCODINGS = {
    "s16le": Encoding.PCM_S16LE,
    "s24le": Encoding.PCM_S24LE,
    "s32le": Encoding.PCM_S32LE,
    "f32le": Encoding.PCM_F32LE,
    "u8": Encoding.PCM_U8,
}
_WIDTHS = {1: Encoding.PCM_U8, 2: Encoding.PCM_S16LE, 3: Encoding.PCM_S24LE, 4: Encoding.PCM_S32LE}

# Reply headers that are ids, and the names under which they are reported.
_IDS = {"history-item-id": "history_item_id", "x-breeze-api-key-id": "api_key_id"}

# The vendor's error codes (its error table, `_errors.py` and `_resources.py` of its SDK), and whether another try may
# help where that differs from the rule of the code.
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
    # The voice is the only resource that the path of speech names.
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
    # Of a realtime session.
    "SESSION_EXPIRED": (Code.PROVIDER_CUT, None),
    "IDLE_TIMEOUT": (Code.PROVIDER_CUT, None),
}
KNOWN_CODES = frozenset(_CODES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The address and the key, and requests made with them. `name` is the instance's, in all that is said of it."""

    base_url: str
    key: str | None = field(repr=False)
    name: str = PROVIDER

    def speech_url(self, voice: str, route: str = "", **query: str | None) -> str:
        # The vendor's SDK does not escape the voice; a slash in it would change the route.
        return self.url(f"/v1/text-to-speech/{quote(voice, safe='')}{route}", **query)

    def url(self, path: str, **query: str | None) -> str:
        sent = urlencode({name: value for name, value in query.items() if value is not None})
        return f"{self.base_url}{path}?{sent}" if sent else f"{self.base_url}{path}"

    def secret_headers(self) -> dict[str, str]:
        return {"xi-api-key": self.key} if self.key else {}

    def get(self, url: str, *sent: str | None) -> HttpRequest:
        """A question that is answered in JSON; `sent` before it is what no error may quote."""
        return HttpRequest(
            provider=self.name,
            method="GET",
            url=url,
            headers={"accept": "application/json"},
            secret_headers=self.secret_headers(),
            body=None,
            accept=lambda _headers: ReplyFacts(source=SourceFormat(container=Container.RAW)),
            refuse=lambda refusal: self.refused(refusal, *sent),
        )

    def refused(self, refusal: Refusal, *sent: str | None, speaking: bool = False) -> ProviderError:
        """The envelope is `{ok: false, code, detail, error, meta?}`, with `error` repeating `detail`.

        `sent` is what no error may quote; `speaking`: the path names a voice.
        """
        envelope = faults.json_object(refusal.body)
        vendor_code, words = _said(envelope)
        code, retryable = _meaning(vendor_code, speaking=speaking)
        return faults.refused(
            self.name,
            refusal,
            code=code,
            retryable=retryable,
            provider_code=vendor_code,
            provider_words="" if words is None and envelope else words,
            secrets=(self.key, *sent),
        )

    def failed(
        self, what: str, event: Mapping[str, Any], *sent: str | None, wait_s: float | None = None, speaking: bool = True
    ) -> ProviderError:
        """The error in a message that is no HTTP reply: `{code, detail or message}`, said by `what`."""
        vendor_code, words = _said(event)
        code, retryable = _meaning(vendor_code, speaking=speaking)
        secrets = (self.key, *sent)
        name = faults.quoted(vendor_code, 100, secrets=secrets) if vendor_code else None
        quoted = faults.quoted(words, secrets=secrets) if words else None
        sentence = " ".join(part for part in (self.name, what, name) if part)
        return ProviderError(
            code or Code.PROVIDER_UNAVAILABLE,
            f"{sentence}: {quoted}" if quoted else sentence,
            retryable=retryable,
            retry_after_s=wait_s,
            provider=ProviderFault(name=self.name, code=name, message=quoted),
        )

    def unreadable(
        self, what: str, body: bytes, *, speaking: bool, headers: Mapping[str, str] | None = None
    ) -> ProviderError:
        """A body with a good status is not what the API gives: the error that it tells of by a code that is known, or
        that `what` was sent. None of its words are quoted."""
        vendor_code = faults.json_object(body).get("code")
        if isinstance(vendor_code, str) and vendor_code in KNOWN_CODES:
            code, retryable = _meaning(vendor_code, speaking=speaking)
            assert code is not None, "a known code has a meaning"
            fault = ProviderFault(name=self.name, status=200, code=vendor_code)
            words = f"{self.name} answered 200 with the error {vendor_code}"
            return ProviderError(code, words, retryable=retryable, provider=fault)
        return faults.unreadable(self.name, what, status=200, headers=headers)

    def problem(self, code: Code, what: str, *, retryable: bool | None = None) -> ProviderError:
        """An error in our own words."""
        return ProviderError(code, f"{self.name} {what}", retryable=retryable, provider=ProviderFault(name=self.name))

    def facts(self, headers: Mapping[str, str], asked_for: Container) -> ReplyFacts:
        """What the headers of audio say."""
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        container = _CONTENT_TYPES.get(media_type, asked_for)
        ids = {ours: faults.quoted(headers[theirs]) for theirs, ours in _IDS.items() if headers.get(theirs)}
        pcm = self._shape(headers) if container is Container.RAW else None
        return ReplyFacts(source=SourceFormat(container=container, pcm=pcm), ids=ids)

    def _shape(self, headers: Mapping[str, str]) -> AudioFormat:
        """`x-breeze-*` where they are sent (documented for previews only); a shape that makes no sense is no audio."""
        codec = headers.get("x-breeze-audio-codec", "").strip().lower().removeprefix("pcm_")
        width = self._header_number(headers, "x-breeze-sample-width-bytes", 1, 4)
        encoding = _ENCODINGS.get(codec) or (_WIDTHS[width] if width else PCM.encoding)
        if width and encoding.sample_width != width:
            raise self._no_shape("x-breeze-sample-width-bytes", f"does not fit {encoding}")
        return AudioFormat(
            encoding=encoding,
            sample_rate_hz=self._header_number(headers, "x-breeze-sample-rate", 1000, 384_000) or PCM.sample_rate_hz,
            channels=self._header_number(headers, "x-breeze-channels", 1, 8) or PCM.channels,
        )

    def _header_number(self, headers: Mapping[str, str], name: str, low: int, high: int) -> int | None:
        value = headers.get(name, "").strip()
        if not value:
            return None
        if not re.fullmatch(r"[0-9]{1,6}", value) or not low <= int(value) <= high:
            raise self._no_shape(name, f"is {faults.quoted(value, 40)}; it must be from {low} to {high}")
        return int(value)

    def _no_shape(self, header: str, what: str) -> ProviderError:
        return ProviderError(
            Code.BAD_AUDIO, f"{self.name}: the reply header {header} {what}", provider=ProviderFault(name=self.name)
        )


def as_json(message: Mapping[str, Any]) -> str:
    """Compact, without what is None, and ASCII: a lone surrogate, which JSON can carry to us and UTF-8 cannot carry on,
    is the provider's to judge."""
    return json.dumps({name: value for name, value in message.items() if value is not None}, separators=(",", ":"))


def _said(envelope: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The code, and the words, that an error is told with."""
    code = envelope.get("code")
    names = ("detail", "error", "message")
    words = next((said for name in names if isinstance(said := envelope.get(name), str)), None)
    return code if isinstance(code, str) else None, words


def _meaning(vendor_code: str | None, *, speaking: bool) -> tuple[Code | None, bool | None]:
    code, retryable = _CODES.get(vendor_code or "", (None, None))
    if code is None and vendor_code and vendor_code.startswith("AUTH_"):
        code = Code.PROVIDER_AUTH  # AUTH_ADMIN_* and whatever follows
    if code is None and vendor_code and vendor_code.startswith("UPSTREAM_"):
        code = Code.PROVIDER_UNAVAILABLE
    if code is Code.VOICE_NOT_FOUND and not speaking:
        code = Code.PROVIDER_REJECTED  # no voice was named: the route is missing, or what it asks for
    return code, retryable
