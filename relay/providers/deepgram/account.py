"""Whom Deepgram's requests are for, and what its refusals mean.

A body is a bare string, `{err_code, err_msg, request_id}`, or `{category, message, details, request_id}`; a refused
handshake says it in the header `dg-error` (the vendor's specification of 2026-07, and its plugins).
"""

import re

from relay.errors import Code
from relay.providers.base.problems import UNKNOWN_VOICE
from relay.providers.base.rest import RestApi

PROVIDER = "deepgram"
# Of a refusal, and of an error on the socket, in lower case.
CODES = {
    "invalid_auth": Code.PROVIDER_AUTH,
    "insufficient_permissions": Code.PROVIDER_AUTH,
    "too_many_requests": Code.PROVIDER_RATE_LIMITED,
    "data-0000": Code.PROVIDER_REJECTED,
    "data-0001": Code.PROVIDER_REJECTED,
    "data-0002": Code.PROVIDER_REJECTED,
    "message-0000": Code.PROVIDER_REJECTED,
    "big-0000": Code.TEXT_TOO_LONG,
    "big-0001": Code.TEXT_TOO_LONG,
    "net-0000": Code.PROVIDER_TIMEOUT,
    "net-0001": Code.PROVIDER_TIMEOUT,
    "net-0002": Code.PROVIDER_UNAVAILABLE,
    "net-0003": Code.PROVIDER_UNAVAILABLE,
    "net-0004": Code.PROVIDER_CUT,
}
# The voice is the model: what is wrong about the one is wrong about the other.
_UNKNOWN_VOICE = re.compile(rf"\bmodel\b|{UNKNOWN_VOICE.pattern}", re.IGNORECASE | re.DOTALL)


def account(name: str, base_url: str, key: str | None) -> RestApi:
    """The operator's account; `name` is the instance's."""
    return RestApi(
        name=name,
        base_url=base_url,
        key=key,
        scheme="Token ",
        codes=CODES,
        unknown_voice=_UNKNOWN_VOICE,
        words_header="dg-error",
    )
