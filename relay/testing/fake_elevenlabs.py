"""ElevenLabs' speech API on loopback, stricter than the service: what its SDK cannot send is refused.

    fake = FakeElevenLabs(key="el-test")
    async with FakeProvider(fake) as server, FakeSocket(fake.converse) as sockets:
        ...  # speak to server.url over HTTP, and to sockets.url over a WebSocket
        assert fake.spoken == ["Hello."]

Fields, values and messages are those of the vendor's SDK 2.78.0 and its specification of 2025-08. It speaks
`clip(text)` in headerless PCM of the rate asked for.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from relay.testing.audio import speech_like
from relay.testing.fake_provider import FakeRequest
from relay.testing.fake_socket import Link
from relay.testing.script import Script, Send, Status

VOICE = "JBFqnCBsd6RMkjVDRZzb"
MODELS = ("eleven_flash_v2_5", "eleven_multilingual_v2", "eleven_v3")
FORMATS = tuple(f"pcm_{rate_hz}" for rate_hz in (8000, 16000, 22050, 24000, 44100))
MAX_TEXT_CHARS = 3000
# Of one socket, at a time; one more closes it.
MAX_CONTEXTS = 5
# Odd on purpose: messages end anywhere, but for half a sample, which no chunk of PCM ends with.
CHUNK_BYTES = 1002
_BODY = ("text", "model_id", "language_code", "voice_settings", "seed", "apply_text_normalization")
_VOICE_SETTINGS = ("stability", "similarity_boost", "style", "use_speaker_boost", "speed")
_QUERY = ("output_format", "enable_logging")
_SOCKET_QUERY = ("model_id", "language_code", "seed", "apply_text_normalization", *_QUERY, "inactivity_timeout")
_OPENING = ("generation_config", "voice_settings")


def clip(text: str, rate_hz: int = 24000) -> bytes:
    """50 ms of 16-bit PCM a word, other for every text."""
    return speech_like(0.05 * max(1, len(text.split())), seed=sum(text.encode()), rate_hz=rate_hz)


class FakeElevenLabs:
    """Chooses the answer to a request (see `FakeProvider`), and plays a socket (see `FakeSocket`). `spoken` are the
    texts it spoke, in order."""

    def __init__(self, *, key: str) -> None:
        self._key = key
        self.spoken: list[str] = []

    def __call__(self, request: FakeRequest) -> Script:
        if request.headers.get("xi-api-key") != self._key:
            return _error(401, "invalid_api_key", "Invalid API key")
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["v2", "voices"]:
                return _json(200, {"voices": [{"voice_id": VOICE, "name": "George"}], "has_more": False})
            case "POST", ["v1", "text-to-speech", voice, "stream"]:
                return self._speech(request, voice, timed=False)
            case "POST", ["v1", "text-to-speech", voice, "stream", "with-timestamps"]:
                return self._speech(request, voice, timed=True)
        return _json(404, {"detail": "Not Found"})

    def _speech(self, request: FakeRequest, voice: str, *, timed: bool) -> Script:
        body = request.json()
        if not isinstance(body, dict) or (wrong := _wrong(body, request.query)):
            return _json(422, {"detail": [{"loc": ["body"], "msg": wrong or "no object", "type": "value_error"}]})
        if voice != VOICE:
            return _error(401, "voice_not_found", f"A voice with the voice_id {voice} was not found.")
        text = body["text"]
        if len(text) > MAX_TEXT_CHARS:
            return _error(400, "max_character_limit_exceeded", f"At most {MAX_TEXT_CHARS} characters.")
        self.spoken.append(text)
        audio = clip(text, _rate_hz(request.query))
        pieces = [audio[at : at + CHUNK_BYTES] for at in range(0, len(audio), CHUNK_BYTES)]
        headers = {"request-id": f"r{len(self.spoken)}"}
        if not timed:
            return (Status(200, headers | {"content-type": "audio/pcm"}), *(Send(piece) for piece in pieces))
        times = [index * 0.01 for index in range(len(text) + 1)]
        alignment = {
            "characters": list(text),
            "character_start_times_seconds": times[:-1],
            "character_end_times_seconds": times[1:],
        }
        lines = [
            {"audio_base64": _base64(piece), "alignment": None if at else alignment, "normalized_alignment": None}
            for at, piece in enumerate(pieces)
        ]
        sends = (Send(json.dumps(line).encode() + b"\n") for line in lines)
        return (Status(200, headers | {"content-type": "application/json"}), *sends)

    def _opened(self, link: Link, way: str) -> Mapping[str, str]:
        """The query of a handshake. Raises AssertionError for one that the service would refuse."""
        query = dict(parse_qsl(urlsplit(link.path).query))
        assert urlsplit(link.path).path == f"/v1/text-to-speech/{VOICE}/{way}", link.path
        assert link.headers.get("xi-api-key") == self._key, "the key is refused"
        assert set(query) <= set(_SOCKET_QUERY), query
        assert query["model_id"] in MODELS and query["model_id"] != "eleven_v3", "a model that sockets do not have"
        assert query["output_format"] in FORMATS
        assert 1 <= int(query.get("inactivity_timeout", "20")) <= 180
        return query

    async def converse(self, link: Link) -> None:
        """One socket of `multi-stream-input`, until it is closed."""
        rate_hz = _rate_hz(self._opened(link, "multi-stream-input"))
        contexts: dict[str, str] = {}
        while True:
            message = dict(await link.next_told())
            name = message.pop("context_id", "")
            match message:
                case {"text": str(text), **opening} if name not in contexts:
                    if wrong := _wrong_opening(opening):
                        await self._refuse(link, "invalid_message", wrong)
                        return
                    contexts[name] = text.lstrip(" ")
                    if len(contexts) > MAX_CONTEXTS:
                        await self._refuse(link, "max_active_conversations", "Too many contexts.")
                        return
                case {"text": str(text), **rest} if not rest:
                    contexts[name] += text
                case {"flush": True, **rest} if not rest and name in contexts:
                    await self._speak(link, contexts[name], rate_hz, contextId=name)
                    contexts[name] = ""
                case {"close_context": True, **rest} if not rest:
                    if name in contexts:
                        del contexts[name]
                        await link.say(isFinal=True, contextId=name)
                case _:
                    await self._refuse(link, "invalid_message", "The message is not known.")
                    return

    async def converse_once(self, link: Link) -> None:
        """One socket of `stream-input`, until its text has ended."""
        rate_hz = _rate_hz(self._opened(link, "stream-input"))
        opening = dict(await link.next_told())
        first = opening.pop("text")
        opening.pop("try_trigger_generation", None)
        wrong = _wrong_opening(opening) if first == " " else "the first text is no space"
        if wrong:
            await self._refuse(link, "invalid_message", wrong)
            return
        text = ""
        while True:
            match await link.next_told():
                case {"text": "", **rest} if not rest:
                    await self._speak(link, text, rate_hz)
                    await link.say(audio=None, isFinal=True)
                    await link.close(1000)
                    return
                case {"text": str(more), **rest} if set(rest) <= {"flush", "try_trigger_generation"}:
                    text += more
                    if rest.get("flush"):
                        await self._speak(link, text, rate_hz)
                        text = ""
                case _:
                    await self._refuse(link, "invalid_message", "The message is not known.")
                    return

    async def _refuse(self, link: Link, name: str, words: str) -> None:
        await link.say(message=words, error=name, code=1008)
        await link.close(1008, name)

    async def _speak(self, link: Link, text: str, rate_hz: int, **named: str) -> None:
        if text.strip():
            self.spoken.append(text)
            audio = clip(text, rate_hz)
            for at in range(0, len(audio), CHUNK_BYTES):
                piece = audio[at : at + CHUNK_BYTES]
                await link.say(audio=_base64(piece), isFinal=None, alignment=None, normalizedAlignment=None, **named)


def _wrong(body: Mapping[str, Any], query: Mapping[str, str]) -> str | None:
    """What is wrong with a request, as the service says it."""
    for name in (*body, *query):
        if name not in (*_BODY, *_QUERY):
            return f"Unknown field: {name}"
    if not isinstance(body.get("text"), str) or not body["text"]:
        return "text is missing"
    if body.get("model_id") not in MODELS:
        return "model_id is unknown"
    if query.get("output_format") not in FORMATS:
        return "output_format is unknown"
    if query.get("enable_logging", "true") not in ("true", "false"):
        return "enable_logging is no boolean"
    return _wrong_settings(body.get("voice_settings"))


def _wrong_settings(settings: object) -> str | None:
    if settings is None:
        return None
    known = isinstance(settings, dict) and set(settings) <= set(_VOICE_SETTINGS)
    return None if known else "voice_settings has an unknown field"


def _wrong_opening(opening: Mapping[str, Any]) -> str | None:
    if not set(opening) <= set(_OPENING):
        return "an unknown field in the first message"
    schedule = (opening.get("generation_config") or {}).get("chunk_length_schedule", [120])
    if not all(isinstance(length, int) and 50 <= length <= 500 for length in schedule):
        return "chunk_length_schedule is out of range"
    return _wrong_settings(opening.get("voice_settings"))


def _rate_hz(query: Mapping[str, str]) -> int:
    return int(query["output_format"].removeprefix("pcm_"))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _error(status: int, name: str, message: str) -> Script:
    return _json(status, {"detail": {"status": name, "message": message}})


def _json(status: int, content: Any) -> Script:
    data = json.dumps(content).encode()
    return (Status(status, {"content-type": "application/json"}, len(data)), Send(data))
