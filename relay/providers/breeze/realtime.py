"""Breeze's realtime WebSocket, `/stream-input`: text as it is typed, 24 kHz PCM as it is made.

A session is minted by an HTTP request that also fixes voice, model, language, instructions and voice settings; its
socket then serves one turn after another until the session expires (30 minutes), nobody has said anything for
`INACTIVITY_S`, or an error ends it. Facts are from the vendor's SDK 0.21.1 (`_resources.py`, `types.py`, 2026-11).

This file does not know when a socket is opened, shared or closed.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.errors import Code, ProviderError
from relay.providers.base import faults
from relay.providers.base.dialogue import DialogueRequest, Heard, Message, Ready, SocketAddress, TurnOver
from relay.providers.base.http import HttpRequest, ReplyFacts
from relay.providers.base.provider import Speech
from relay.providers.breeze.api import PCM, Api, as_json
from relay.providers.breeze.settings import SpeechSettings

# Asked for when a session is minted. The default, 30 s, is shorter than people think before they answer a voice; up to
# 180 s are said to be taken, and every open session counts (20 a key).
INACTIVITY_S = 60

# What the SDK offers to a `direct_websocket_url`; the server must select the first.
SUBPROTOCOL = "breeze-realtime-v1"
_TOKEN_PREFIX = "breeze-realtime-token."
# `<base64url>.<43 characters of base64url>`, no longer than 7 KiB with the prefix (the SDK's own check).
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{43}")
_MAX_TOKEN_CHARS = 7 * 1024

_ENCODINGS = {"pcm_s16le": Encoding.PCM_S16LE, "pcm_f32le": Encoding.PCM_F32LE}
_RATES_HZ = range(8000, 48_001)


def request(api: Api, speech: Speech) -> DialogueRequest:
    settings: SpeechSettings = speech.settings
    session = {
        **settings.described(speech.model),
        "inactivity_timeout_seconds": INACTIVITY_S,
        "enable_logging": settings.enable_logging,
    }
    body = as_json(session)
    # Whatever is fixed when a session is minted. Hashed: instructions are private, and a key may be shown.
    key = hashlib.sha256(f"{api.base_url}\n{speech.voice}\n{body}".encode()).hexdigest()
    mint = HttpRequest(
        provider=api.name,
        method="POST",
        url=api.speech_url(speech.voice, "/realtime-sessions"),
        headers={"content-type": "application/json"},
        secret_headers=api.secret_headers(),
        body=body.encode("ascii"),
        accept=lambda _headers: ReplyFacts(source=SourceFormat(container=Container.RAW)),
        refuse=lambda refusal: api.refused(refusal, settings.instructions, speaking=True),
    )
    return DialogueRequest(
        provider=api.name,
        key=key,
        mint=mint,
        connect=lambda minted: _address(api, speech.voice, minted),
        dialogue=lambda: BreezeDialogue(api, settings.instructions),
        refuse=lambda refusal: api.refused(refusal, settings.instructions, speaking=True),
        source=SourceFormat(container=Container.RAW, pcm=PCM),
        idle_close_s=float(INACTIVITY_S),
    )


def _address(api: Api, voice: str, minted: bytes) -> SocketAddress:
    """The direct address where there is one, whose credential is not in its URL; else the one that is given."""
    session = faults.json_object(minted)
    secret, url, direct = (
        value if isinstance(value := session.get(name), str) and value else None
        for name in ("client_secret", "websocket_url", "direct_websocket_url")
    )
    if direct and secret and len(secret) < _MAX_TOKEN_CHARS and _TOKEN.fullmatch(secret):
        return SocketAddress(url=_checked(api, direct), subprotocols=(SUBPROTOCOL, _TOKEN_PREFIX + secret))
    if url:
        return SocketAddress(url=_checked(api, url))
    if secret:
        base = "ws" + api.base_url.removeprefix("http")
        path = f"/v1/text-to-speech/{quote(voice, safe='')}/stream-input"
        return SocketAddress(url=f"{base}{path}?client_secret={quote(secret, safe='')}")
    raise api.unreadable("a realtime session without credentials", minted, speaking=True)


def _checked(api: Api, url: str) -> str:
    """A WebSocket's address that is as private as the API's own."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise _no_address(api, "is none") from None
    schemes = ("wss",) if api.base_url.startswith("https:") else ("wss", "ws")
    odd = not url.isascii() or any(character.isspace() for character in url) or "@" in parts.netloc
    if parts.scheme not in schemes or not host or odd:
        raise _no_address(api, f"is not {' or '.join(schemes)}")
    return url


def _no_address(api: Api, what: str) -> ProviderError:
    words = f"sent a realtime session whose address {what}"
    return api.problem(Code.PROVIDER_UNAVAILABLE, words, retryable=False)


class BreezeDialogue:
    """See `base_dialogue.Dialogue`. Audio has no id: it belongs to the turn that `turn.started` has named."""

    def __init__(self, api: Api, instructions: str | None = None) -> None:
        self._api = api
        self._instructions = instructions
        self._turn_id: str | None = None
        self._speaking = False
        self._cancelled = False
        self._expiring = False
        # The turn's text, so that an error that quotes it is not passed on; the session bounds its length.
        self._given: list[str] = []
        self._chars = 0
        self._max_append_bytes: int | None = None
        self._max_chars: int | None = None

    # What we say.

    def greet(self) -> list[Message]:
        return []

    def begin(self, turn_id: str) -> list[Message]:
        self._turn_id = turn_id
        self._speaking = self._cancelled = False
        self._given, self._chars = [], 0
        return [as_json({"type": "turn.start", "turn_id": turn_id})]

    def give(self, text: str) -> list[Message]:
        if not text:
            return []
        self._chars += len(text)
        if self._max_chars is not None and self._chars > self._max_chars:
            raise self._api.problem(
                Code.TEXT_TOO_LONG, f"takes {self._max_chars} characters a turn; this one has {self._chars}"
            )
        self._given.append(text)
        return [as_json({"type": "text.append", "text": piece}) for piece in _cut(text, self._max_append_bytes)]

    def flush(self) -> list[Message]:
        return [as_json({"type": "text.flush"})] if self._given else []

    def end_text(self) -> list[Message]:
        return [as_json({"type": "turn.end"})]

    def cancel(self) -> list[Message]:
        self._cancelled = True
        return [as_json({"type": "turn.cancel"})]

    def keep_alive(self) -> list[Message]:
        return [as_json({"type": "ping"})]

    # What the provider says.

    def receive(self, message: str | bytes) -> list[Heard]:
        if isinstance(message, bytes):
            return [message] if self._speaking and not self._cancelled else []
        event = faults.json_object(message.encode("utf-8", "replace"))
        match event.get("type"):
            case "session.ready":
                return [self._ready(event)]
            case "turn.started" | "audio.started" if self._is_ours(event):
                self._speaking = True
            case "turn.done" | "turn.cancelled" as kind if self._is_ours(event):
                return [self._over(kind, event)]
            case "session.expiring":
                self._expiring = True
                # Between turns this is the end; a turn may still be finished.
                return [] if self._turn_id else [TurnOver(reusable=False)]
            case "error":
                raise self._error(event)
            case "session.closed":
                raise self._closed(event)
            case None:
                raise self._api.problem(
                    Code.PROVIDER_UNAVAILABLE, "sent a message that is no JSON object with a type", retryable=False
                )
        return []

    def _ready(self, event: Mapping[str, Any]) -> Ready:
        self._max_append_bytes = _count(event, "max_append_bytes")
        self._max_chars = _count(event, "max_turn_characters")
        session_id = event.get("session_id")
        ids = {"session_id": faults.quoted(session_id, 100)} if isinstance(session_id, str) and session_id else {}
        return Ready(facts=ReplyFacts(source=_source(self._api, event.get("audio_format")), ids=ids))

    def _is_ours(self, event: Mapping[str, Any]) -> bool:
        return self._turn_id is not None and event.get("turn_id") in (None, self._turn_id)

    def _over(self, kind: str, event: Mapping[str, Any]) -> TurnOver:
        self._turn_id = None
        self._speaking = False
        status = event.get("status")
        if not self._cancelled and (kind == "turn.cancelled" or status in ("failed", "error")):
            told = f": {faults.quoted(status, 40)}" if isinstance(status, str) else ""
            raise self._api.problem(Code.PROVIDER_CUT, f"cancelled the turn, which nobody had asked for{told}")
        item = event.get("history_item_id")
        ids = {"history_item_id": faults.quoted(item, 100)} if isinstance(item, str) and item else {}
        return TurnOver(ids=ids, reusable=not self._expiring)

    def _error(self, event: Mapping[str, Any]) -> ProviderError:
        meta = event.get("meta")
        wait_s = _wait_s(meta) if isinstance(meta, Mapping) else None
        given = "".join(self._given)
        return self._api.failed("said", event, given, self._instructions, wait_s=wait_s)

    def _closed(self, event: Mapping[str, Any]) -> ProviderError:
        number = event.get("code")
        told = f" ({number})" if isinstance(number, int) else ""
        return self._api.problem(Code.PROVIDER_CUT, f"closed the session{told} before the turn's end")


def _cut(text: str, max_bytes: int | None) -> list[str]:
    """`text` in pieces of at most so many bytes of UTF-8; never within a character."""
    if max_bytes is None or len(text) * 4 <= max_bytes:
        return [text]
    pieces, start, size = [], 0, 0
    for at, character in enumerate(text):
        width = len(character.encode("utf-8", "surrogatepass"))
        if size + width > max_bytes and at > start:
            pieces.append(text[start:at])
            start, size = at, 0
        size += width
    return [*pieces, text[start:]]


def _source(api: Api, told: object) -> SourceFormat:
    """The shape that the greeting names; one that cannot be is no audio."""
    form = told if isinstance(told, Mapping) else {}
    codec = form.get("codec", "pcm_s16le")
    rate_hz = form.get("sample_rate", PCM.sample_rate_hz)
    channels = form.get("channels", 1)
    encoding = _ENCODINGS.get(codec) if isinstance(codec, str) else None
    # Bits here, where the HTTP headers count bytes.
    width = form.get("sample_width_bits", encoding.sample_width * 8 if encoding else 0)
    known = encoding is not None and rate_hz in _RATES_HZ and channels in (1, 2)
    if not known or encoding is None or width != encoding.sample_width * 8:
        raise api.problem(Code.BAD_AUDIO, "greeted with an audio_format that cannot be played")
    pcm = AudioFormat(encoding=encoding, sample_rate_hz=int(rate_hz), channels=int(channels))
    return SourceFormat(container=Container.RAW, pcm=pcm)


def _count(event: Mapping[str, Any], name: str) -> int | None:
    value = event.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _wait_s(meta: Mapping[str, Any]) -> float | None:
    """The vendor's text says `retry_after_seconds`, its SDK reads `retry_after_ms`."""
    for name, unit_s in (("retry_after_seconds", 1.0), ("retry_after_ms", 0.001)):
        value = meta.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf"):
            return min(value * unit_s, faults.LONGEST_RETRY_AFTER_S)
    return None
