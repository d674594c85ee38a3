"""Breeze Blue's API: speech whole or as it is made, with or without the times of words, and a realtime WebSocket.

What the relay makes of each field, and what it does not have, is in docs/reference/door-breeze.md.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Annotated
from urllib.parse import quote

import msgspec
from msgspec import Meta

from relay.core.job import Job, JobRequest
from relay.errors import ClientError, Code, RelayError
from relay.protocols.base import Credential, Handshake, HttpAnswer, Known, SpeechCall, SpeechReply, TokenWish
from relay.protocols.body import decode
from relay.protocols.breeze import api, jobs, speech
from relay.protocols.breeze.api import PREFIX, SPEECH, SUBPROTOCOL, TOKEN_PREFIX, Manner, VoiceSettings
from relay.protocols.breeze.lists import Lists
from relay.protocols.breeze.realtime import AUDIO_FORMAT, BreezeSession
from relay.protocols.door import Door

# How long a client secret waits for its socket: the vendor's sample code connects at once.
SECRET_TTL_S = 60.0


class SessionBody(Manner, kw_only=True):
    """The body of a realtime session. How long it may be idle is the relay's own to say."""

    inactivity_timeout_seconds: Annotated[int, Meta(ge=1, le=180)] | None = None
    enable_logging: bool | None = None

    def manner(self) -> Manner:
        return Manner(**{name: getattr(self, name) for name in Manner.__struct_fields__})


class Granted(msgspec.Struct):
    """What a client secret holds: whose it is, and what was fixed when it was made."""

    breeze: str
    manner: Manner


_SESSION = msgspec.json.Decoder(SessionBody)
_GRANTED = msgspec.json.Decoder(Granted)


_ROUTES: Mapping[str, Callable[[Door, Handshake, bytes], SpeechCall | JobRequest]] = {
    SPEECH: partial(speech.parse, whole=True, timed=False),
    f"{SPEECH}/with-timestamps": partial(speech.parse, whole=True, timed=True),
    f"{SPEECH}/stream": partial(speech.parse, whole=False, timed=False),
    f"{SPEECH}/stream/with-timestamps": partial(speech.parse, whole=False, timed=True),
}


class Breeze:
    """Every seam of `base`: turns, sessions, lists, tokens and jobs, under `/breeze`."""

    name = "breeze"
    credential_hint = "send the header xi-api-key: KEY"
    prefix = PREFIX
    stream_paths: tuple[str, ...] = (f"{SPEECH}/stream-input",)
    subprotocols: tuple[str, ...] = (SUBPROTOCOL,)
    speech_paths: tuple[str, ...] = tuple(_ROUTES)
    mint_paths: tuple[str, ...] = (f"{SPEECH}/realtime-sessions",)

    # The route of speech makes them.
    submissions: Mapping[str, Callable[[Handshake, bytes], JobRequest]] = {}
    job_states: Mapping[str, Callable[[Handshake, Job], HttpAnswer]] = {
        jobs.JOBS: jobs.job_state,
        jobs.HISTORY: jobs.history_item,
    }
    job_audio: tuple[str, ...] = (f"{jobs.JOBS}/audio", f"{jobs.HISTORY}/audio")
    open_job_audio: tuple[str, ...] = ()

    def __init__(self, door: Door) -> None:
        self._door = door
        self.lists: Mapping[str, Callable[[Handshake, Known], HttpAnswer]] = Lists(door).paths

    def credential(self, handshake: Handshake) -> Credential | None:
        return api.credential(handshake)

    def refusal(self, error: RelayError, status: int | None = None) -> HttpAnswer:
        return api.refusal(error, self._door, status)

    # Sessions.

    def wish(self, handshake: Handshake, body: bytes) -> TokenWish:
        asked = decode(_SESSION, body or b"{}", {"voice_settings": VoiceSettings})
        voice = handshake.path.get("voice", "")
        speaker = self._door.speaker(voice, asked.model_id)
        return TokenWish(
            ttl_s=SECRET_TTL_S,
            provider=speaker.get("provider"),
            voice=speaker["voice"],
            granted=msgspec.json.encode(Granted(breeze=voice, manner=asked.manner())).decode(),
        )

    def minted(self, handshake: Handshake, wish: TokenWish, token: str, expires_at_s: int) -> HttpAnswer:
        """The secret opens one session; its addresses are those under which the client knows this server."""
        secret = token.removeprefix(TOKEN_PREFIX)
        scheme, host = "wss" if handshake.secure else "ws", handshake.headers.get("host", "")
        path = SPEECH.format(voice=quote(handshake.path.get("voice", ""), safe=""))
        url = f"{scheme}://{host}{path}/stream-input"
        fields = {
            "client_secret": secret,
            "websocket_url": f"{url}?client_secret={secret}",
            "direct_websocket_url": url,
            "expires_at": f"{datetime.fromtimestamp(expires_at_s, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "audio_format": AUDIO_FORMAT,
        }
        answer = api.answer(handshake, fields)
        return HttpAnswer(
            status=answer.status, headers={**answer.headers, "Cache-Control": "no-store"}, body=answer.body
        )

    def open(self, handshake: Handshake) -> BreezeSession:
        voice = handshake.path.get("voice", "")
        manner = Manner()
        if handshake.granted:
            try:
                granted = _GRANTED.decode(handshake.granted)
            except msgspec.MsgspecError:
                raise ClientError(Code.FORBIDDEN, "the client secret is not one for a realtime session") from None
            if granted.breeze != voice:
                raise ClientError(Code.FORBIDDEN, "the client secret is for another voice")
            manner = granted.manner
        return BreezeSession(self._door, voice, manner, handshake.id)

    # One turn a request.

    def parse(self, handshake: Handshake, body: bytes) -> SpeechCall | JobRequest:
        return _ROUTES[handshake.route](self._door, handshake, body)

    def reply(self, call: SpeechCall) -> SpeechReply:
        return speech.reply(call)

    # Jobs.

    def job_id(self, shown: str) -> str:
        return shown

    def created(self, handshake: Handshake, job: Job) -> HttpAnswer:
        return jobs.created(handshake, job)
