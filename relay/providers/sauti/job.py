"""Sauti's requests and its jobs: how speech is made, asked about and fetched, and what each refusal means."""

import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

from relay.core.events import Progress
from relay.core.formats import Container, SourceFormat
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base import faults
from relay.providers.base.http import HttpRequest, Refusal, ReplyFacts
from relay.providers.base.poll import Answer, Arrived, Ask, Fetch

PROVIDER = "sauti"

# From the first request to the audio. Nobody says how long 5,000 characters (5.5 minutes of speech) take; a model that
# needs more than a third of real time for them is not one to listen to.
TIMEOUT_S = 120.0
# The vendor's own poller. A key may ask 60 times a minute, so two jobs at a time fit; see `_pause_s` for more.
POLL_S = 2.0
# A refusal for want of budget (429) has made nothing. If the provider names a wait that a listener bears, the job is
# asked for again so often; else the client is told at once.
MAKE_RETRIES = 2
LONGEST_MAKE_WAIT_S = 10.0

# The contract of `Refusal.body`.
_REFUSAL_BYTES = 64 * 1024

# The last segment of a problem's `type` (RFC 9457, 3.1.1; the vendor's error page).
_CODES: Mapping[str, Code] = {
    "invalid_request": Code.PROVIDER_REJECTED,
    "unauthorized": Code.PROVIDER_AUTH,
    "job_not_complete": Code.PROVIDER_UNAVAILABLE,
    "payload_too_large": Code.TEXT_TOO_LONG,
    "unprocessable_content": Code.PROVIDER_REJECTED,
    "rate_limit_exceeded": Code.PROVIDER_RATE_LIMITED,
    "internal_error": Code.PROVIDER_UNAVAILABLE,
}
_SOURCE = SourceFormat(container=Container.WAV)


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The requests about one text, and what their refusals mean."""

    base_url: str
    key: str | None = field(repr=False)
    text: str | None = field(default=None, repr=False)
    name: str = PROVIDER

    def make(self, voice: str | None, body: Mapping[str, Any]) -> HttpRequest:
        """The clip, or a job of it; with `voice` None a job in any case."""
        path = "/v1/tts/jobs" if voice is None else f"/v1/text-to-speech/{quote(voice, safe='')}"
        # The path names the voice and nothing else; the vendor's error page has no 404.
        missing = Code.PROVIDER_REJECTED if voice is None else Code.VOICE_NOT_FOUND
        return HttpRequest(
            provider=self.name,
            method="POST",
            url=self.base_url + path,
            headers={"content-type": "application/json"},
            secret_headers=self._secret_headers(),
            # ASCII: a lone surrogate, which JSON can carry and UTF-8 cannot, is the provider's to judge.
            body=json.dumps(body, separators=(",", ":")).encode("ascii"),
            accept=lambda _headers: ReplyFacts(source=_SOURCE),
            refuse=lambda refusal: self.refused(refusal, missing=missing),
            first_byte_timeout_s=TIMEOUT_S,
        )

    def get(
        self, path: str, *, missing: Code = Code.PROVIDER_REJECTED, ids: Mapping[str, str] | None = None
    ) -> HttpRequest:
        return HttpRequest(
            provider=self.name,
            method="GET",
            url=self.base_url + path,
            headers={},
            secret_headers=self._secret_headers(),
            body=None,
            accept=lambda _headers: ReplyFacts(source=_SOURCE, ids=ids or {}),
            refuse=lambda refusal: self.refused(refusal, missing=missing),
        )

    def refused(self, refusal: Refusal, *, missing: Code) -> ProviderError:
        """A problem is `{type, title, status, detail, instance?}`. What has no known type goes by its status."""
        problem = faults.json_object(refusal.body)
        vendor_code = _vendor_code(problem.get("type"))
        words = next((said for name in ("detail", "title") if isinstance(said := problem.get(name), str)), None)
        code = _CODES.get(vendor_code or "")
        retryable = code.retryable if code else None
        if refusal.status == 404 and code is None:
            code, retryable = missing, missing.retryable
        elif refusal.status == 409 and code is None:
            code, retryable = Code.PROVIDER_UNAVAILABLE, True  # not complete yet: the only conflict there is
        return faults.refused(
            self.name,
            refusal,
            code=code,
            retryable=retryable,
            provider_code=vendor_code,
            provider_words="" if words is None and problem else words,
            secrets=(self.key, self.text),
        )

    def _secret_headers(self) -> dict[str, str]:
        return {"xi-api-key": self.key} if self.key else {}


class Job:
    """From the making to the audio. The API has no way to withdraw a job."""

    def __init__(self, api: Api, make: HttpRequest) -> None:
        self._api = api
        self._make = make
        self._id: str | None = None
        self._made_again = 0

    def start(self) -> Ask:
        return Ask(request=self._make)

    def receive(self, answer: Answer) -> Ask | Fetch | Arrived:
        if answer.status == 429:
            return self._later(answer)
        if not 200 <= answer.status < 300:
            raise self._refused(answer)
        body = faults.json_object(answer.body)
        if self._id is None:
            if "audio_base64" in body:
                return self._clip(body["audio_base64"])
            self._id = self._named(body, answer)
            if "status" not in body:  # all that is said of the 202 for a long text is its job_id
                return Ask(request=self._poll(), after_s=_pause_s(answer))
        match body.get("status"):
            case "queued" | "running" as state:
                return Ask(request=self._poll(), after_s=_pause_s(answer), progress=Progress(state))
            case "succeeded":
                return Fetch(
                    request=self._api.get(
                        f"{self._path}/audio", missing=Code.PROVIDER_UNAVAILABLE, ids={"job_id": self._id}
                    )
                )
            case "failed":
                raise self._failed(body)
            case str() if not faults.tells_error(body):
                # A job, but not one that can be gone on with.
                words = f"{self._api.name} answered {answer.status} with a job in a state that is not documented"
                fault = ProviderFault(name=self._api.name, status=answer.status)
                raise ProviderError(Code.PROVIDER_UNAVAILABLE, words, retryable=False, provider=fault)
        raise self._unreadable(answer, "a job without a state")

    def withdraw(self) -> None:
        return None

    def _later(self, answer: Answer) -> Ask:
        """Over the budget: of polls that is a matter of time, of making speech it may be the client's."""
        wait_s = faults.retry_after_s(answer.headers)
        if self._id is not None:
            return Ask(request=self._poll(), after_s=_pause_s(answer))
        if wait_s is None or wait_s > LONGEST_MAKE_WAIT_S or self._made_again == MAKE_RETRIES:
            raise self._refused(answer)
        self._made_again += 1
        return Ask(request=self._make, after_s=wait_s)

    def _clip(self, audio: object) -> Arrived:
        try:
            clip = binascii.a2b_base64(audio, strict_mode=True) if isinstance(audio, str) else b""
        except ValueError:
            raise self._broken("audio_base64 that is not base64") from None
        if not clip:
            raise self._broken("no audio")
        return Arrived(facts=ReplyFacts(source=_SOURCE), pieces=(clip,))

    def _named(self, body: Mapping[str, Any], answer: Answer) -> str:
        if "type" in body:
            raise self._refused(answer)
        job_id = body.get("job_id")
        if not isinstance(job_id, str) or not 1 <= len(job_id) <= 200 or job_id in (".", ".."):
            raise self._unreadable(answer, "neither audio nor a job")
        return job_id

    def _poll(self) -> HttpRequest:
        return self._api.get(self._path, missing=Code.PROVIDER_UNAVAILABLE)

    @property
    def _path(self) -> str:
        assert self._id is not None, "only a job that was made is asked about"
        return f"/v1/tts/jobs/{quote(self._id, safe='')}"

    def _refused(self, answer: Answer) -> ProviderError:
        request = self._make if self._id is None else self._poll()
        return request.refuse(Refusal(status=answer.status, headers=answer.headers, body=answer.body[:_REFUSAL_BYTES]))

    def _failed(self, body: Mapping[str, Any]) -> ProviderError:
        """No field of a failed job says why; should one come, it is passed on."""
        said = next((word for name in ("error", "detail") if isinstance(word := body.get(name), str)), "")
        words = faults.quoted(said, secrets=(self._api.key, self._api.text))
        fault = ProviderFault(name=self._api.name, code="failed", message=words or None)
        sentence = f"{self._api.name} failed to make the speech"
        return ProviderError(Code.PROVIDER_UNAVAILABLE, f"{sentence}: {words}" if words else sentence, provider=fault)

    def _unreadable(self, answer: Answer, what: str) -> ProviderError:
        return faults.unreadable(self._api.name, what, status=answer.status, headers=answer.headers)

    def _broken(self, what: str) -> ProviderError:
        return faults.unreadable(self._api.name, what, status=200)


def _pause_s(answer: Answer) -> float:
    """Seconds until the next poll: as long as was asked for, and so that what is left of the budget lasts.

    Every reply to a poll says how many are left and until when; other jobs of the same key draw on them too. The reply
    to a request that makes speech tells of another budget, which polls do not draw on: with 202 it is not read.
    """
    pause_s = max(POLL_S, faults.retry_after_s(answer.headers) or 0.0)
    if answer.status == 202:
        return pause_s
    left = answer.headers.get("x-ratelimit-remaining", "")
    until_s = _until_reset_s(answer.headers)
    if until_s is None or not (left.isascii() and left.isdigit() and len(left) < 10):
        return pause_s
    return max(pause_s, until_s / max(1, int(left)))


def _until_reset_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until `X-RateLimit-Reset` (unix time), by the reply's own `Date`; a minute, the budget's own, at most."""
    reset = headers.get("x-ratelimit-reset", "")
    try:
        now = parsedate_to_datetime(headers.get("date", ""))
        until_s = float(reset) - (now if now.tzinfo else now.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(60.0, max(0.0, until_s)) if math.isfinite(until_s) else None


def _vendor_code(problem_type: object) -> str | None:
    """`https://sauti.finiflowlabs.com/errors/rate_limit_exceeded` -> its last segment; `about:blank` says nothing."""
    if not isinstance(problem_type, str) or problem_type == "about:blank":
        return None
    try:
        return urlsplit(problem_type).path.rstrip("/").rpartition("/")[2] or None
    except ValueError:
        return None
