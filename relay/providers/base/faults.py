"""What a provider's refusal means: shared by every adapter. Pure: no clock, no network.

A provider's own words may be passed on, but they are a stranger's: they may quote the key or the text that was sent,
run on for megabytes, or be a web page. `quoted` makes them fit to be shown.
"""

import html
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base.http import Refusal

# Longest quotation of a provider: enough for a validation message, short enough for one line of a log.
QUOTE_CHARS = 300
# Longest run of characters that a quotation may share with a secret by chance. Keys and sentences share no more.
SHARED_RUN_CHARS = 8
# Values in one JSON text, which take some 10 ms to read. A thousand voices with all that is said of them have 30,000;
# the times of 2,000 characters 6,000; audio in base64 a few.
MAX_JSON_ITEMS = 50_000
_COUNTED_BYTES = 64 * 1024
# Of a page, which says what it is at its beginning.
_PAGE_CHARS = 4096
# A longer wait than a day is a date in the wrong century; it means "not now" all the same.
LONGEST_RETRY_AFTER_S = 86_400.0

_REDACTED = "[redacted]"
_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "x-amzn-requestid", "dg-request-id", "cf-ray")

# Statuses whose meaning all providers share (RFC 9110, 6585, 8470). 402 is the plan's or the credits' word.
_CODES = {
    401: Code.PROVIDER_AUTH,
    402: Code.PROVIDER_AUTH,
    403: Code.PROVIDER_AUTH,
    407: Code.PROVIDER_AUTH,
    408: Code.PROVIDER_TIMEOUT,
    413: Code.TEXT_TOO_LONG,
    425: Code.PROVIDER_UNAVAILABLE,
    429: Code.PROVIDER_RATE_LIMITED,
    504: Code.PROVIDER_TIMEOUT,
}
# Asking again gives the same answer: not implemented; the HTTP version; the login page of a captive network.
_FINAL_STATUSES = frozenset({501, 505, 511})


def code_for_status(status: int) -> tuple[Code, bool]:
    """What a status means when the body says no more, and whether trying again may help."""
    if code := _CODES.get(status):
        return code, code.retryable
    if 200 <= status < 300:
        return Code.BAD_AUDIO, False
    if 400 <= status < 500:
        return Code.PROVIDER_REJECTED, False
    # 1xx and 3xx are no answers to a request for audio: the address is wrong, and will be wrong again.
    return Code.PROVIDER_UNAVAILABLE, status >= 500 and status not in _FINAL_STATUSES


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` asks for (RFC 9110, 10.2.3: seconds or a date), a day at most; None if it says none.

    A date is read against the reply's own `Date`, so that neither a clock nor agreement between clocks is needed.
    Fractions of a second are not in the RFC, but are sent. `retry-after-ms` is finer, and goes before it, as in the
    SDKs of the vendors that send it. Without either, a budget that `x-ratelimit-remaining-*` says is spent is waited
    for until `x-ratelimit-reset-*`, where that is a duration such as `1s`, `6m0s` or `20ms`.
    """
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", finer := headers.get("retry-after-ms", "").strip()):
        return min(float(finer) / 1000, LONGEST_RETRY_AFTER_S)
    value = headers.get("retry-after", "").strip()
    if not value:
        return _until_reset_s(headers)
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        wait_s = float(value)
    else:
        until, now = _http_date(value), _http_date(headers.get("date", ""))
        if until is None or now is None:
            return None
        wait_s = max(0.0, (until - now).total_seconds())
    return min(wait_s, LONGEST_RETRY_AFTER_S)


def _until_reset_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until the last of the budgets that are spent is there again."""
    waits = [
        wait_s
        for budget in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{budget}") == "0"
        and (wait_s := _duration_s(headers.get(f"x-ratelimit-reset-{budget}", ""))) is not None
    ]
    return min(max(waits), LONGEST_RETRY_AFTER_S) if waits else None


def _duration_s(value: str) -> float | None:
    """`1h2m3.5s`, `20ms`: as Go prints durations."""
    number = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)"
    found = re.fullmatch(rf"(?:{number}h)?(?:{number}m(?!s))?(?:{number}s)?(?:{number}ms)?", value.strip())
    if not value.strip() or found is None:
        return None
    scales = (3600.0, 60.0, 1.0, 0.001)
    return sum(float(part) * scale for part, scale in zip(found.groups(), scales, strict=True) if part)


def request_id(headers: Mapping[str, str]) -> str | None:
    """The provider's name for this exchange, to be quoted to its support."""
    for name in _REQUEST_ID_HEADERS:
        if value := headers.get(name):
            return quoted(value, QUOTE_CHARS // 3)
    return None


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; empty where there is none, or one of more than MAX_JSON_ITEMS."""
    value = json_value(body)
    return value if isinstance(value, dict) else {}


def json_value(body: bytes) -> object:
    """The JSON in a body; None where there is none, or one of more than MAX_JSON_ITEMS: it is read in one go, while
    nothing else is done."""
    if _has_more_items(body, MAX_JSON_ITEMS):
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _has_more_items(body: bytes, most: int) -> bool:
    """Whether a text could hold more values than that. The bytes between values are counted, within strings too."""
    if len(body) <= most:
        return False
    items = 0
    for at in range(0, len(body), _COUNTED_BYTES):
        piece = body[at : at + _COUNTED_BYTES]
        items += piece.count(b",") + piece.count(b"[") + piece.count(b"{")
        if items > most:
            return True
    return False


def tells_error(reply: Mapping[str, Any]) -> bool:
    """Whether a JSON object has an error in it, in the fields that most APIs use for that."""
    return bool(reply.get("error") or reply.get("errors"))


def body_words(body: bytes) -> str:
    """The human words in a body that is not the error the provider documents: the title of a page, or plain text."""
    text = body.decode("utf-8", "replace")
    if not text.lstrip().startswith("<"):
        return text
    page = text[:_PAGE_CHARS]
    for name in ("title", "h1", "message"):  # a page's, or the error's of an XML API
        # The first one only: looking for the end of each would take a hostile page's length squared.
        begin = re.search(rf"<{name}[^<>]{{0,256}}>", page, re.IGNORECASE)
        end = re.compile(rf"</{name}", re.IGNORECASE).search(page, begin.end()) if begin else None
        if begin and end:
            return html.unescape(page[begin.end() : end.start()])
    return "(a page without a title)"


# Where errors of JSON APIs keep their sentence: a proxy's or another product's may come under any provider's address.
_WORD_KEYS = ("message", "error_description", "error_message", "detail", "title", "reason")


def said_words(body: Mapping[str, Any]) -> str:
    """The sentence in an error that is not of the documented form: `{"error": {"message": ..}}` and the like."""
    nested = body.get("error")
    for place in (nested, body):
        if isinstance(place, Mapping):
            words = next((words for key in _WORD_KEYS if isinstance(words := place.get(key), str) and words), "")
            if words:
                return words
    return ""


def quoted(words: str, limit: int = QUOTE_CHARS, *, secrets: Iterable[str | None] = ()) -> str:
    """`words` on one line, printable, at most `limit` characters, without anything of the `secrets`.

    A secret is taken out wherever it, or a run of `SHARED_RUN_CHARS` of it, appears: providers shorten what they quote.
    """
    # Four times the limit leaves room for what is squeezed and taken out, and bounds the work on a hostile body.
    line = " ".join("".join(c if c.isprintable() else " " for c in words[: limit * 4]).split())
    for secret in secrets:
        if secret:
            line = _without(line, " ".join(secret.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def refused(
    provider: str,
    refusal: Refusal,
    *,
    code: Code | None = None,
    retryable: bool | None = None,
    provider_code: str | None = None,
    provider_words: str | None = None,
    wait_s: float | None = None,
    secrets: Iterable[str | None] = (),
    hint: str | None = None,
) -> ProviderError:
    """The error that a refusal stands for. What is not given follows from the status, the headers and the body. `hint`
    says what to look at; it stands before the provider's words."""
    by_status, retry_by_status = code_for_status(refusal.status)
    if code is None:
        code, retryable = by_status, retry_by_status if retryable is None else retryable
    secrets = tuple(secrets)
    words = quoted(body_words(refusal.body) if provider_words is None else provider_words, secrets=secrets)
    if not words and provider_words is not None:
        words = quoted(said_words(json_object(refusal.body)), secrets=secrets)
    name = quoted(provider_code, QUOTE_CHARS // 3, secrets=secrets) if provider_code else None
    sentence = f"{provider} answered {refusal.status}"
    if name:
        sentence += f" {name}"
    if 300 <= refusal.status < 400:
        sentence += ", a redirect, which is not followed because it would carry the key along; check its base_url"
    elif 200 <= refusal.status < 300 and name is None:
        sentence += " with a body that is not audio"
    if hint:
        sentence += f"; {hint}"
    return ProviderError(
        code,
        f"{sentence}: {words}" if words else sentence,
        retryable=retryable,
        retry_after_s=retry_after_s(refusal.headers) if wait_s is None else wait_s,
        provider=ProviderFault(
            name=provider,
            status=refusal.status,
            code=name,
            message=words or None,
            request_id=request_id(refusal.headers),
        ),
    )


def unreadable(
    provider: str, what: str, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> ProviderError:
    """The error of an answer with a good status, on the way to speech, that is not what the API gives: `what` was sent.

    The same code as for a page, a text or nothing in place of audio (`code_for_status`), for every provider: to the
    listener it is one fault, whichever request of a turn met it.
    """
    answered = f"answered {status} with" if status is not None else "sent"
    return ProviderError(
        Code.BAD_AUDIO,
        f"{provider} {answered} {what}",
        retryable=False,
        provider=ProviderFault(name=provider, status=status, request_id=request_id(headers or {})),
    )


def no_answer(provider: str, what: str) -> ProviderError:
    """The error of an answer to a question that is not about speech (which voices there are, say) and cannot be read:
    `what` was sent."""
    return ProviderError(
        Code.PROVIDER_UNAVAILABLE,
        f"{provider} sent {what}",
        retryable=False,
        provider=ProviderFault(name=provider),
    )


def _http_date(value: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _without(line: str, secret: str) -> str:
    if len(secret) < SHARED_RUN_CHARS:
        # A short text ("no") is inside many words; only as a word of its own is it a quotation.
        return re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", _REDACTED, line)
    kept: list[str] = []
    at = 0
    while at < len(line):
        end = at + SHARED_RUN_CHARS
        if end > len(line) or line[at:end] not in secret:
            kept.append(line[at])
            at += 1
            continue
        while end < len(line) and line[at : end + 1] in secret:
            end += 1
        kept.append(_REDACTED)
        at = end
    return "".join(kept)
