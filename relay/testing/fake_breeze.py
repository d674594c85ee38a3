"""Breeze's realtime API on loopback: sessions are minted over HTTP, and a socket speaks what it is told.

    async with FakeBreeze() as fake:
        ...  # speak to fake.url, as to https://api.breeze.blue
        assert fake.sockets.links[0].kinds == ["turn.start", "text.append", "turn.end"]

It speaks `clip(text)` for the text of a turn: what was given up to a flush when that comes, the rest at the turn's end.
Messages and their fields are those that the vendor's SDK 0.21.1 sends and reads (2026-11).
"""

import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from relay.testing.audio import speech_like
from relay.testing.fake_provider import FakeProvider, FakeRequest
from relay.testing.fake_socket import FakeSocket, Link, Refuse, Scene
from relay.testing.script import Script, Send, Status

SUBPROTOCOL = "breeze-realtime-v1"
AUDIO_FORMAT = {"codec": "pcm_s16le", "sample_rate": 24000, "channels": 1, "sample_width_bits": 16}
# Odd on purpose: the vendor's messages end anywhere.
MESSAGE_BYTES = 1001


def clip(text: str) -> bytes:
    """50 ms of audio a word, other for every text."""
    words = len(text.split())
    return speech_like(words * 0.05, seed=sum(text.encode("utf-8", "surrogatepass"))) if words else b""


async def greet(link: Link) -> None:
    await link.say(
        type="session.ready",
        session_id=f"sess_{link.number}",
        audio_format=AUDIO_FORMAT,
        max_append_bytes=4096,
        max_turn_characters=10_000,
        inactivity_timeout_seconds=60,
        max_session_seconds=1800,
        expires_at="2026-11-20T12:00:00Z",
    )


async def speak_turn(link: Link) -> None:
    """One turn, up to its end or its cancel."""
    turn_id = (await _told(link, "turn.start")).get("turn_id")
    item = f"hist_{turn_id}"
    await link.say(type="turn.started", turn_id=turn_id, history_item_id=item)
    text, characters, audio_bytes = "", 0, 0
    while True:
        message = await link.next_told()
        match message["type"]:
            case "text.append":
                text += message["text"]
                characters += len(message["text"])
            case "text.flush" | "turn.end":
                data = clip(text)
                text = ""
                if data and not audio_bytes:
                    await link.say(type="audio.started", turn_id=turn_id, ttfa_ms=1, audio_format=AUDIO_FORMAT)
                audio_bytes += len(data)
                for start in range(0, len(data), MESSAGE_BYTES):
                    await link.audio(data[start : start + MESSAGE_BYTES])
            case "ping":
                await link.say(type="pong")
        if message["type"] in ("turn.end", "turn.cancel"):
            done = message["type"] == "turn.end"
            summary: dict[str, Any] = {"turn_id": turn_id, "history_item_id": item, "text_characters": characters}
            if done:
                await link.say(type="usage.committed", **summary)
            await link.say(
                type="turn.done" if done else "turn.cancelled",
                status="completed" if done else "cancelled",
                audio_bytes=audio_bytes,
                duration_ms=audio_bytes // 48,
                ttfa_ms=1,
                **summary,
            )
            return


async def session(link: Link) -> None:
    """One turn after another."""
    await greet(link)
    while True:
        await speak_turn(link)


async def _told(link: Link, kind: str) -> dict[str, Any]:
    while (message := await link.next_told())["type"] != kind:
        if message["type"] == "ping":
            await link.say(type="pong")
    return message


class FakeBreeze:
    """The HTTP side and the sockets. `scenes` are those of the sockets in turn (see `FakeSocket`).

    `direct`: sessions have a `direct_websocket_url`, as those of the newer servers do. `http` answers every other
    request; without it there are no others.
    """

    def __init__(
        self,
        *scenes: Scene | Refuse,
        direct: bool = True,
        http: Callable[[FakeRequest], Script] | None = None,
    ) -> None:
        self._direct = direct
        self._other = http
        self.sockets = FakeSocket(*(scenes or (session,)), subprotocol=SUBPROTOCOL)
        self.http = FakeProvider(self._answer)
        self.minted: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return self.http.url

    async def __aenter__(self) -> Self:
        await self.sockets.__aenter__()
        await self.http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.http.__aexit__(kind, error, trace)
        finally:
            await self.sockets.__aexit__(kind, error, trace)

    def _answer(self, request: FakeRequest) -> Script:
        if not request.path.endswith("/realtime-sessions"):
            assert self._other is not None, f"nothing answers {request.path}"
            return self._other(request)
        self.minted.append(request.json())
        voice = request.path.split("/")[3]
        secret = f"session{len(self.minted)}.{'s' * 43}"
        path = f"{self.sockets.url}/v1/text-to-speech/{voice}/stream-input"
        minted: dict[str, Any] = {
            "client_secret": secret,
            "websocket_url": f"{path}?client_secret={secret}",
            "expires_at": "2026-11-20T12:00:00Z",
            "audio_format": AUDIO_FORMAT,
        }
        if self._direct:
            minted["direct_websocket_url"] = path
        body = json.dumps(minted).encode()
        return Status(200, {"content-type": "application/json"}, len(body)), Send(body)
