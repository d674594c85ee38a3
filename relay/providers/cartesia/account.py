"""Whom Cartesia's requests are for, and what its refusals mean.

A body, an event and a message on the socket are `{error_code, title, message, status_code, request_id}` from version
2026-03-01 of the API on; of the codes `concurrency_limited` alone is documented, the others go by their status.
"""

import re

from relay.errors import Code
from relay.providers.base.problems import UNKNOWN_VOICE
from relay.providers.base.rest import RestApi

PROVIDER = "cartesia"
# The version whose fields these are, as the SDK 4.2.0 sends it. Every request has to name one.
VERSION = "2026-08-14"
VERSION_HEADER = {"cartesia-version": VERSION}
CODES = {"concurrency_limited": Code.PROVIDER_RATE_LIMITED, "voice_not_found": Code.VOICE_NOT_FOUND}
_UNKNOWN_VOICE = re.compile(rf"\bvoice\b.*\bnot be found\b|{UNKNOWN_VOICE.pattern}", re.IGNORECASE | re.DOTALL)


def account(name: str, base_url: str, key: str | None) -> RestApi:
    """The operator's account; `name` is the instance's."""
    return RestApi(
        name=name, base_url=base_url, key=key, headers=VERSION_HEADER, codes=CODES, unknown_voice=_UNKNOWN_VOICE
    )
