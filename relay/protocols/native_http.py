"""The native protocol's routes, credentials and bodies over HTTP, and the description of it as a whole."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from relay.core.events import Event, TurnRequest
from relay.core.record import TurnRecord
from relay.errors import ClientError, Code, RelayError
from relay.protocols.base import Credential, Handshake, HttpAnswer, SpeechCall, TokenWish
from relay.protocols.native import NAME, NativeSession, http_error, receive_speech, receive_token

# A browser cannot set headers of a WebSocket: its token is one of the subprotocols that it offers.
TOKEN_SUBPROTOCOL = "relay-token."
# What tells a short-lived token from a key.
TOKEN_PREFIX = "rt1."


class NativeReply:
    """A body of audio alone; what else there is to say stands in the headers."""

    def headers(self, record: TurnRecord, media_type: str) -> Mapping[str, str]:
        timings = record.timings.report()
        stages = [
            f"{name};dur={value}" for name, value in timings.items() if name in ("first_byte", "ttfa_ms") and value
        ]
        return {
            "Content-Type": media_type,
            "X-Relay-Provider": record.provider,
            "X-Relay-Voice": record.voice,
            **({"Server-Timing": ", ".join(stages)} if stages else {}),
            # Proxies that buffer would hold back the first audio.
            "X-Accel-Buffering": "no",
            "Cache-Control": "no-store",
        }

    def audio(self, data: bytes) -> bytes:
        return data

    def event(self, event: Event) -> bytes:
        return b""


class Native:
    """`relay.v1`: a WebSocket at `/v1/stream`, one turn at `/v1/speech`, tokens at `/v1/tokens`."""

    name: str = NAME
    stream_paths: tuple[str, ...] = ("/v1/stream",)
    speech_paths: tuple[str, ...] = ("/v1/speech",)
    mint_paths: tuple[str, ...] = ("/v1/tokens",)
    prefix: str = "/"
    subprotocols: tuple[str, ...] = (NAME,)
    credential_hint: str = "send the header Authorization: Bearer KEY"

    def credential(self, handshake: Handshake) -> Credential | None:
        """The bearer, or a page's token: as a subprotocol, or in the address."""
        offered = _offered(handshake.headers)
        scheme, _, bearer = handshake.headers.get("authorization", "").partition(" ")
        shown = bearer.strip() if scheme.lower() == "bearer" else ""
        if shown.startswith(TOKEN_PREFIX):
            return Credential(shown)
        if token := offered or handshake.query.get("token"):
            return Credential(token, token_only=True)
        return Credential(shown) if shown else None

    def refusal(self, error: RelayError, status: int | None = None) -> HttpAnswer:
        headers = {"Content-Type": "application/json"}
        if error.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
        if error.code is Code.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return HttpAnswer(status=status or error.code.http_status, headers=headers, body=http_error(error))

    def open(self, handshake: Handshake) -> NativeSession:
        return NativeSession()

    def parse(self, handshake: Handshake, body: bytes) -> SpeechCall:
        speech = receive_speech(body)
        return SpeechCall(request=_for_a_body(speech.request()), text=speech.text, container=speech.container)

    def reply(self, call: SpeechCall) -> NativeReply:
        return NativeReply()

    def wish(self, handshake: Handshake, body: bytes) -> TokenWish:
        return receive_token(body)

    def minted(self, handshake: Handshake, wish: TokenWish, token: str, expires_at_s: int) -> HttpAnswer:
        expires_at = f"{datetime.fromtimestamp(expires_at_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
        body = msgspec.json.encode({"token": token, "expires_at": expires_at})
        return HttpAnswer(
            status=201, headers={"Content-Type": "application/json", "Cache-Control": "no-store"}, body=body
        )


def _offered(headers: Mapping[str, str]) -> str | None:
    """The token among the subprotocols."""
    protocols = [protocol.strip() for protocol in headers.get("sec-websocket-protocol", "").split(",")]
    for protocol in protocols:
        if protocol.startswith(TOKEN_SUBPROTOCOL):
            # Otherwise nothing could be selected: browsers then close, and what was offered would be logged.
            if NAME not in protocols:
                reason = f"the subprotocol {NAME} has to be offered beside the token"
                raise ClientError(Code.INVALID_MESSAGE, reason)
            return protocol.removeprefix(TOKEN_SUBPROTOCOL)
    return None


def _for_a_body(request: TurnRequest) -> TurnRequest:
    """The last frame is short unless asked otherwise: a body has no place to report padding."""
    if request.audio.get("header"):
        raise ClientError(Code.INVALID_CONFIG, "audio.header is for WebSocket frames; a body over HTTP has none")
    if request.window_ms is not None:
        raise ClientError(
            Code.INVALID_CONFIG, "flow is for WebSocket turns; over HTTP the reading of the body is credit"
        )
    return replace(request, audio={"tail": "short", **request.audio})
