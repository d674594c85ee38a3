"""Whom ElevenLabs' requests are for, and what its refusals mean.

A body is `{"detail": {"status": .., "message": ..}}`, of a failed validation FastAPI's list; a message on a socket is
`{"message": .., "error": .., "code": ..}`. Many have the status 401 that are not about the key, so that the name goes
before the status (the vendor's help pages on 400, 401 and 429, and its specification of 2025-08).
"""

from collections.abc import Mapping
from typing import Any

from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base.faults import json_object
from relay.providers.base.http import Refusal
from relay.providers.base.rest import RestApi

PROVIDER = "elevenlabs"
CODES = {
    "invalid_api_key": Code.PROVIDER_AUTH,
    "missing_permissions": Code.PROVIDER_AUTH,
    "detected_unusual_activity": Code.PROVIDER_AUTH,
    # Credits and plans: another try gets the same answer.
    "quota_exceeded": Code.PROVIDER_AUTH,
    "only_for_creator+": Code.PROVIDER_AUTH,
    "max_character_limit_exceeded": Code.TEXT_TOO_LONG,
    "voice_not_found": Code.VOICE_NOT_FOUND,
    "too_many_concurrent_requests": Code.PROVIDER_RATE_LIMITED,
    "system_busy": Code.PROVIDER_RATE_LIMITED,
    # Of the sockets.
    "input_timeout_exceeded": Code.PROVIDER_TIMEOUT,
    "max_active_conversations": Code.PROVIDER_RATE_LIMITED,
}
_RUNNING, _MOST = "current-concurrent-requests", "maximum-concurrent-requests"


class Account(RestApi):
    """The operator's account. A refusal for too many requests says how many there may be, as its headers tell."""

    __slots__ = ()

    def refused(self, private: tuple[str, ...], refusal: Refusal) -> ProviderError:
        error = super().refused(private, refusal)
        running, most = (refusal.headers.get(name, "") for name in (_RUNNING, _MOST))
        if error.code is not Code.PROVIDER_RATE_LIMITED or not _is_count(running) or not _is_count(most):
            return error
        return ProviderError(
            error.code,
            f"{error.message} ({running} of {most} requests at a time are running)",
            retryable=error.retryable,
            retry_after_s=error.retry_after_s,
            provider=error.provider,
        )

    def told_error(self, body: bytes, given: str) -> ProviderError:
        """The error that a message on a socket tells. One of no known name is of the moment."""
        error = self.refused((given,), Refusal(status=503, headers={}, body=body))
        fault = ProviderFault(name=self.name, code=error.provider.code, message=error.provider.message)
        words = error.message.replace("answered 503", "sent an error", 1)
        return ProviderError(error.code, words, retryable=error.retryable, provider=fault)


def account(name: str, base_url: str, key: str | None) -> Account:
    """`name` is the instance's."""
    return Account(name=name, base_url=base_url, key=key, key_header="xi-api-key", scheme="", codes=CODES)


def tells_error(said: Mapping[str, Any]) -> bool:
    """Whether a message or a line is an error: it has no audio, and one of the keys of an error."""
    return bool(said.get("error") or said.get("detail"))


def parsed(message: str | bytes) -> Mapping[str, Any]:
    data = message if isinstance(message, bytes) else message.encode("utf-8", "replace")
    return json_object(data)


def _is_count(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= 6
