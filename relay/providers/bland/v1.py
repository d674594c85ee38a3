"""Bland's first API: `POST /v1/speak/stream` and `POST /v1/speak`, a WAV whatever is asked for.

The streamed WAV claims 0xFFFFFFFF for its sizes, and the one of u-law is a WAV as well (the vendor's pages, 2025 and
2026-11). Voices go by UUID or by name. Every clip is kept by the service: see `bland_samples`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.providers.base import checks
from relay.providers.base.http import HttpRequest, ReplyFacts
from relay.providers.base.rates import best_rate_hz
from relay.providers.bland import errors, reply
from relay.providers.bland.account import Account

MAX_TEXT_CHARS = 5000  # the vendor's page of either endpoint
MAX_VOICE_CHARS = 200
MAX_LANGUAGE_CHARS = 35  # the longest language tag that RFC 5646 (4.4.1) wants to be taken

OPTIONS = ("output_format", "stream", "consistency", "expressiveness", "boost")
FORMATS = {
    **{
        f"pcm_{rate_hz}": AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=rate_hz)
        for rate_hz in (8000, 16000, 24000, 44100)
    },
    "ulaw_8000": AudioFormat(encoding=Encoding.MULAW, sample_rate_hz=8000),
}
_PCM_RATES_HZ = tuple(form.sample_rate_hz for form in FORMATS.values() if form.encoding is Encoding.PCM_S16LE)

# 0 to 1 for voices of the first family, whole numbers of 1 to 32 for the later ones; which it is the voice knows.
_CONSISTENCY = (0.0, 32.0)
_EXPRESSIVENESS = (0.0, 1.0)
# A whole number, of no documented range: the bounds keep nonsense out.
_BOOST = (-1000, 1000)

# /v1/speak answers when the whole clip is made: six minutes of speech, at several times real time.
WHOLE_CLIP_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class V1Settings:
    """What a request is made of, but for the voice and the text. `fields` go into its body as they are."""

    output_format: str
    stream: bool
    fields: Mapping[str, Any]


def checked_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, checked; null is as good as absent."""
    options: dict[str, Any] = {}
    if (value := given.get("output_format")) is not None:
        options["output_format"] = checks.one_of(f"{name}.output_format", value, FORMATS)
    if (value := given.get("stream")) is not None:
        options["stream"] = checks.boolean(f"{name}.stream", value)
    if (value := given.get("consistency")) is not None:
        options["consistency"] = checks.number(f"{name}.consistency", value, *_CONSISTENCY)
        if value > 1 and value != int(value):
            raise checks.invalid(f"{name}.consistency is {checks.shown(value)}; above 1 it must be a whole number")
    if (value := given.get("expressiveness")) is not None:
        options["expressiveness"] = checks.number(f"{name}.expressiveness", value, *_EXPRESSIVENESS)
    if (value := given.get("boost")) is not None:
        if not isinstance(value, int):
            raise checks.invalid(f"{name}.boost is {checks.shown(value)}; it must be a whole number")
        options["boost"] = checks.number(f"{name}.boost", value, *_BOOST)
    return options


def checked_voice(name: str, voice: str) -> str:
    return checks.text(name, voice, MAX_VOICE_CHARS)


def settings(options: Mapping[str, Any], language: str | None, wanted_rate_hz: int | None) -> V1Settings:
    """Fills in the defaults: audio as it is made, at the rate that is nearest to the client's."""
    fields = {name: options[name] for name in ("consistency", "expressiveness", "boost") if name in options}
    if language:
        fields = {"language": checks.text("language", language, MAX_LANGUAGE_CHARS), **fields}
    return V1Settings(
        output_format=options.get("output_format") or f"pcm_{best_rate_hz(_PCM_RATES_HZ, wanted_rate_hz)}",
        stream=options.get("stream", True),
        fields=fields,
    )


def request(account: Account, voice: str, settings: V1Settings, text: str) -> HttpRequest:
    body = {"text": text, "voice_id": voice, "output_format": settings.output_format, **settings.fields}
    return HttpRequest(
        provider=account.name,
        method="POST",
        url=f"{account.base_url}/v1/speak{'/stream' if settings.stream else ''}",
        headers={"content-type": "application/json"},
        secret_headers=account.bare(),
        # ASCII: a lone surrogate, which JSON can carry to us and UTF-8 cannot carry on, is the provider's to judge.
        body=json.dumps(body, separators=(",", ":")).encode("ascii"),
        accept=lambda headers: _facts(headers, settings.output_format),
        refuse=lambda refusal: errors.refused(account.name, refusal, speaking=True, secrets=(account.api_key, text)),
        first_byte_timeout_s=None if settings.stream else WHOLE_CLIP_S,
    )


def _facts(headers: Mapping[str, str], output_format: str) -> ReplyFacts:
    # The shape is for a reply that says by its Content-Type that it has no header after all.
    source = SourceFormat(container=Container.WAV, pcm=FORMATS[output_format])
    return ReplyFacts(source=source, ids=reply.ids(headers))
