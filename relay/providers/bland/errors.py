"""What Bland's errors mean, in all shapes that it sends them in.

v1 answers `{status: "error", errors: [{error, message}]}` or `{data: null, errors: [...]}`, the latter with a 200 too
(the vendor's SDK `bland-tts` 0.3.0 looks for it in every reply); v2 answers `{error: {code, message}}`; its WebSocket
sends `{type: "error", code, message, context_id?}`. One reader takes them all: what stands before an API (who are you,
what do you owe) need not speak as the API behind it does.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base import faults
from relay.providers.base.http import Refusal

# The codes that no retry can fix, as the vendor's plugin `livekit-plugins-bland` 1.8.9 lists them, in lower case: some
# are sent in both spellings. Any other code goes by its status, and may be retried where there is none.
_CODES: Mapping[str, Code] = {
    "auth_failed": Code.PROVIDER_AUTH,
    "insufficient_credits": Code.PROVIDER_AUTH,
    "org_deleted": Code.PROVIDER_AUTH,
    "org_stripe_overdue": Code.PROVIDER_AUTH,
    "org_suspended": Code.PROVIDER_AUTH,
    "user_banned": Code.PROVIDER_AUTH,
    "already_initialized": Code.PROVIDER_REJECTED,
    "init_required": Code.PROVIDER_REJECTED,
    "invalid_message": Code.PROVIDER_REJECTED,
    "invalid_request": Code.PROVIDER_REJECTED,
    "unsupported_encoding": Code.PROVIDER_REJECTED,
    "unsupported_sample_rate": Code.PROVIDER_REJECTED,
    # The voice exists, but not for this API: of another family, or not published.
    "unsupported_voice": Code.PROVIDER_REJECTED,
    "voice_not_live": Code.PROVIDER_REJECTED,
    "voice_not_found": Code.VOICE_NOT_FOUND,
    # One turn's text has become too long for the service.
    "context_overflow": Code.TEXT_TOO_LONG,
    # 60 s without a message from us: the session is over, whatever was still to be spoken.
    "idle_timeout": Code.PROVIDER_CUT,
}
# What v1 says of every request that it refuses (the vendor's page); a 404 says more: the voice.
_INVALID_INPUT = "invalid input"
# The code of a full concurrency pool is not in the vendor's pages; words that such a code can hardly do without.
_CROWDED = ("concurren", "rate_limit", "too_many")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An error as it was told. `told`: the body was one of Bland's own, whatever it holds."""

    code: str | None = None
    words: str | None = None
    told: bool = False


def read(body: bytes) -> Said:
    """The error in a body of any shape; nothing in one that holds none."""
    reply = faults.json_object(body)
    error, errors = reply.get("error"), reply.get("errors")
    entries = [error] if error else errors if isinstance(errors, list) else []
    if not entries:
        return Said()
    codes, words = [], []
    for entry in entries:
        if isinstance(entry, Mapping):
            codes += _strings(entry.get("code") or entry.get("error"))
            words += _strings(entry.get("message"))
        else:
            words += _strings(entry)
    known = [code for code in codes if code.lower() in _CODES]
    return Said(code=next(iter(known + codes), None), words="; ".join(words) or None, told=True)


def refused(
    name: str, refusal: Refusal, *, speaking: bool, secrets: Iterable[str | None], unknown: Code | None = None
) -> ProviderError:
    """The error of an HTTP reply that is not audio, of the instance of that name. `speaking`: the request named a voice
    and a text. `unknown`: what an error means whose code is not known; None: what its status means, which of a good
    status is that there is no audio."""
    said = read(refusal.body)
    code = _CODES.get((said.code or "").lower())
    if code is Code.VOICE_NOT_FOUND and not speaking:
        code = Code.PROVIDER_REJECTED
    if code is None and said.told and refusal.status == 404 and speaking:
        code = Code.VOICE_NOT_FOUND  # nothing else that a request to speak names can be missing
    if code is None and (said.code or "").lower() == _INVALID_INPUT and refusal.status < 400:
        code = Code.PROVIDER_REJECTED
    if code is None and said.told:
        code = unknown
    return faults.refused(
        name,
        refusal,
        code=code,
        provider_code=said.code,
        provider_words="" if said.told and said.words is None else said.words,
        secrets=secrets,
    )


def in_200(name: str, body: bytes, *secrets: str | None) -> ProviderError | None:
    """The error that a body stands for whose status was good; None if it holds none."""
    refusal = Refusal(status=200, headers={}, body=body)
    # Understood, and answered with an error: the same again, if asked again.
    unknown = Code.PROVIDER_REJECTED
    return refused(name, refusal, speaking=False, secrets=secrets, unknown=unknown) if read(body).told else None


def told_on_socket(name: str, message: Mapping[str, Any], secrets: Iterable[str | None]) -> ProviderError:
    """The error in a message of the WebSocket, which has no status."""
    secrets = tuple(secrets)
    vendor_code = next(iter(_strings(message.get("code"))), "")
    words = next(iter(_strings(message.get("message"))), "")
    crowded = any(part in vendor_code.lower() for part in _CROWDED)
    unknown = Code.PROVIDER_RATE_LIMITED if crowded else Code.PROVIDER_UNAVAILABLE
    return failure(
        name,
        _CODES.get(vendor_code.lower(), unknown),
        "said on its socket",
        vendor_code=faults.quoted(vendor_code, 100, secrets=secrets) or None,
        words=faults.quoted(words, secrets=secrets) or None,
    )


def failure(
    name: str,
    code: Code,
    what: str,
    *,
    retryable: bool | None = None,
    vendor_code: str | None = None,
    words: str | None = None,
) -> ProviderError:
    """The instance of that name did `what`. `vendor_code` and `words` are its own, fit to be shown."""
    quotation = ": ".join(part for part in (vendor_code, words) if part)
    return ProviderError(
        code,
        f"{name} {what}: {quotation}" if quotation else f"{name} {what}",
        retryable=retryable,
        provider=ProviderFault(name=name, code=vendor_code, message=words),
    )


def _strings(value: object) -> list[str]:
    return [value] if isinstance(value, str) and value else []
