"""Clips that Bland keeps: every speech made by v1 is stored and can be fetched again by its id.

No reply names the id of its clip; the list, newest first, is the way to it. The clip comes as audio, or within JSON.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from relay.core.formats import Container, SourceFormat
from relay.errors import Code
from relay.providers.base import checks, faults
from relay.providers.base.http import HttpRequest, ReplyFacts
from relay.providers.bland import errors, reply, v1
from relay.providers.bland.account import PROVIDER, Account

MAX_ID_CHARS = 200
# What the vendor's page gives as the default, and a bound of ours: a page of clips is to stay a page.
PAGE_SIZE, MAX_PAGE_SIZE = 20, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A stored clip. `audio` is None in a list; else the bytes, to be decoded as `source` says."""

    id: str
    voice_id: str | None = None
    text: str | None = field(default=None, repr=False)
    output_format: str | None = None
    latency_ms: float | None = None
    cost_usd: float | None = None
    created_at: str | None = None
    audio: bytes | None = field(default=None, repr=False)
    source: SourceFormat | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePage:
    """A page of the list, and how many clips there are in all."""

    samples: tuple[Sample, ...]
    total: int | None


def list_request(
    account: Account, *, limit: int = PAGE_SIZE, offset: int = 0, voice_id: str | None = None
) -> HttpRequest:
    """`parse_list` reads its body. Raises ClientError."""
    query = {
        "limit": str(int(checks.number("limit", limit, 1, MAX_PAGE_SIZE))),
        "offset": str(int(checks.number("offset", offset, 0, 10**9))),
    }
    if voice_id is not None:
        query["voice_id"] = v1.checked_voice("voice_id", voice_id)
    return _get(account, f"?{urlencode(query)}", SourceFormat(container=Container.RAW))


def sample_request(account: Account, sample_id: str) -> HttpRequest:
    """All that is known of a clip, its audio within; `parse_sample` reads its body. Raises ClientError."""
    return _get(account, _path(sample_id), SourceFormat(container=Container.RAW))


def audio_request(account: Account, sample_id: str) -> HttpRequest:
    """The clip as it was spoken, a WAV, to be read as it comes. Raises ClientError."""
    return _get(account, f"{_path(sample_id)}?format=audio", SourceFormat(container=Container.WAV))


def parse_list(body: bytes, name: str = PROVIDER) -> SamplePage:
    """Raises ProviderError."""
    reply = _data(name, body, list, "a list of samples without samples in it")
    total = reply.get("total")
    samples = [_sample(entry) for entry in reply["data"] if isinstance(entry, Mapping) and _is_text(entry.get("id"))]
    return SamplePage(samples=tuple(samples), total=total if isinstance(total, int) else None)


def parse_sample(body: bytes, name: str = PROVIDER) -> Sample:
    """Raises ProviderError; a clip without audio is one too."""
    entry = _data(name, body, Mapping, "a sample that holds none")["data"]
    encoded = entry.get("audio_data")
    if not _is_text(entry.get("id")) or not _is_text(encoded):
        raise errors.failure(name, Code.BAD_AUDIO, "sent a sample without an id or without audio")
    try:
        audio = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise errors.failure(name, Code.BAD_AUDIO, "sent a sample whose audio is not base64") from None
    sample = _sample(entry)
    # Whether the audio keeps the header that the reply had is not documented; its first letters tell.
    shape = v1.FORMATS.get(sample.output_format or "")
    is_wav = audio.startswith(b"RIFF")
    if not is_wav and shape is None:
        raise errors.failure(name, Code.BAD_AUDIO, "sent a sample without a header, in a format that is not known")
    return Sample(
        id=sample.id,
        voice_id=sample.voice_id,
        text=sample.text,
        output_format=sample.output_format,
        latency_ms=sample.latency_ms,
        cost_usd=sample.cost_usd,
        created_at=sample.created_at,
        audio=audio,
        source=SourceFormat(container=Container.WAV if is_wav else Container.RAW, pcm=shape),
    )


def _get(account: Account, rest: str, source: SourceFormat) -> HttpRequest:
    return HttpRequest(
        provider=account.name,
        method="GET",
        url=f"{account.base_url}/v1/speak/samples{rest}",
        headers={},
        secret_headers=account.bare(),
        body=None,
        accept=lambda headers: ReplyFacts(source=source, ids=reply.ids(headers)),
        refuse=lambda refusal: errors.refused(account.name, refusal, speaking=False, secrets=(account.api_key,)),
    )


def _path(sample_id: str) -> str:
    return "/" + quote(checks.path_segment("sample_id", sample_id, MAX_ID_CHARS), safe="")


def _data(name: str, body: bytes, kind: type, otherwise: str) -> dict[str, Any]:
    """The reply, whose `data` is of that kind. An error comes with a 200 as well."""
    if (error := errors.in_200(name, body)) is not None:
        raise error
    reply = faults.json_object(body)
    if not isinstance(reply.get("data"), kind):
        raise faults.no_answer(name, otherwise)
    return reply


def _sample(entry: Mapping[str, Any]) -> Sample:
    def text(name: str) -> str | None:
        value = entry.get(name)
        return value if isinstance(value, str) else None

    def number(name: str) -> float | None:
        value = entry.get(name)
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    return Sample(
        id=entry["id"],
        voice_id=text("voice_id"),
        text=text("text"),
        output_format=text("output_format"),
        latency_ms=number("latency_ms"),
        cost_usd=number("cost"),
        created_at=text("created_at"),
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
