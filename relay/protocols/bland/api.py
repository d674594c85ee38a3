"""What both generations of Bland's API share: its key, and what the relay's errors are called.

Facts are from the vendor's pages, npm `bland-tts` 0.3.0 and `livekit-plugins-bland` 1.8.9 (2026-11).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from relay.errors import ClientError, Code, RelayError
from relay.protocols.base import Credential, Handshake, HttpAnswer
from relay.protocols.door import Door

KEY_SUBPROTOCOL = "bland.api_key."
CREDENTIAL_HINT = "send the header authorization: KEY"
# Errors that have a name in these APIs; the others keep the relay's.
_NAMES: Mapping[Code, str] = {
    Code.INVALID_MESSAGE: "invalid_request",
    Code.INVALID_CONFIG: "invalid_request",
    Code.UNKNOWN_TURN: "invalid_message",
    Code.PROVIDER_REJECTED: "invalid_request",
    Code.TEXT_TOO_LONG: "context_overflow",
    Code.UNAUTHORIZED: "AUTH_FAILED",
}


class NamedError(ClientError):
    """An error of the client's for which these APIs have a name of its own."""

    def __init__(self, name: str, message: str, code: Code = Code.INVALID_CONFIG) -> None:
        super().__init__(code, message)
        self.name = name


def credential(handshake: Handshake) -> Credential | None:
    """`?token=`, then the header, bare or as a bearer, then a subprotocol."""
    if token := handshake.query.get("token"):
        return Credential(token, token_only=True)
    header = handshake.headers.get("authorization", "").strip()
    scheme, _, bearer = header.partition(" ")
    if key := bearer.strip() if scheme.lower() == "bearer" else header:
        return Credential(key)
    offered = [each.strip() for each in handshake.headers.get("sec-websocket-protocol", "").split(",")]
    keys = [each.removeprefix(KEY_SUBPROTOCOL) for each in offered if each.startswith(KEY_SUBPROTOCOL)]
    return Credential(keys[0]) if keys and keys[0] else None


def name_of(error: RelayError, status: int | None = None) -> str:
    if isinstance(error, NamedError):
        return error.name
    return "not_found" if status == 404 else _NAMES.get(error.code, str(error.code))


def message_of(error: RelayError, door: Door) -> str:
    """The message, with what an operator does about a voice that is not there."""
    return error.message + door.unknown_voice_hint() if error.code is Code.VOICE_NOT_FOUND else error.message


def refused(error: RelayError, status: int | None, body: Mapping[str, Any]) -> HttpAnswer:
    headers = {"Content-Type": "application/json"}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return HttpAnswer(status=status or error.code.http_status, headers=headers, body=msgspec.json.encode(body))


def answer(fields: Mapping[str, Any]) -> HttpAnswer:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return HttpAnswer(status=200, headers=headers, body=msgspec.json.encode(fields))
