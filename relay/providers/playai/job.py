"""PlayAI's requests and its jobs: how speech is asked for, asked about and fetched, and what each refusal means."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from relay.core.events import Progress
from relay.core.formats import SourceFormat
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base import faults
from relay.providers.base.addresses import address_in
from relay.providers.base.http import HttpRequest, Refusal, ReplyFacts
from relay.providers.base.poll import Answer, Ask, Fetch

PROVIDER = "playai"

# From the first request to the first byte of the finished file. Not stated; a listener who waits for a job waits for
# minutes at most.
TIMEOUT_S = 120.0
# What other clients of the API wait between polls. How many are allowed is not stated: one that is refused for being
# too many (429, without a Retry-After) doubles the wait, to at most the second.
# The id of a job that does not exist; ids are UUIDs.
NO_JOB = "00000000-0000-0000-0000-000000000000"
POLL_S, LONGEST_POLL_S = 1.0, 16.0

_TTS = "/api/v1/tts"
# `errorId` of the API's error page. All else goes by its status.
_CODES: Mapping[str, Code] = {
    "INVALID_PARAMETERS": Code.PROVIDER_REJECTED,
    "UNAUTHORIZED": Code.PROVIDER_AUTH,
    "UNSUPPORTED_PLAN": Code.PROVIDER_AUTH,
}
# The contract of `Refusal.body`.
_REFUSAL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The requests about one text, and what their refusals mean. `private` is never quoted back."""

    base_url: str
    key: str = field(repr=False)
    user_id: str = field(repr=False)
    source: SourceFormat
    private: tuple[str, ...] = field(repr=False)
    name: str = PROVIDER

    def stream(self, body: Mapping[str, Any]) -> HttpRequest:
        return self._call("POST", f"{_TTS}/stream", body)

    def make(self, body: Mapping[str, Any]) -> HttpRequest:
        return self._call("POST", _TTS, body)

    def poll(self, job_id: str) -> HttpRequest:
        return self._call("GET", f"{_TTS}/{quote(job_id, safe='')}", None)

    def download(self, url: str, job_id: str) -> HttpRequest:
        """The finished file: somewhere else, so without the credentials."""
        return HttpRequest(
            provider=self.name,
            method="GET",
            url=url,
            headers={},
            secret_headers={},
            body=None,
            accept=lambda _headers: ReplyFacts(source=self.source, ids={"job_id": job_id}),
            refuse=self._not_downloaded,
            named_by=self.base_url,
        )

    def reached(self, answer: Answer) -> str:
        """What an answer to a question about `NO_JOB` shows. Raises ProviderError."""
        if answer.status == 404 or 200 <= answer.status < 300:
            return "the credentials are not refused"
        raise self._refused(Refusal(status=answer.status, headers=answer.headers, body=answer.body[:_REFUSAL_BYTES]))

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None) -> HttpRequest:
        # ASCII: a lone surrogate, which JSON can carry and UTF-8 cannot, is the provider's to judge.
        sent = None if body is None else json.dumps(body, separators=(",", ":")).encode("ascii")
        return HttpRequest(
            provider=self.name,
            method=method,
            url=self.base_url + path,
            headers={} if sent is None else {"content-type": "application/json"},
            secret_headers={"authorization": f"Bearer {self.key}", "x-user-id": self.user_id},
            body=sent,
            accept=lambda _headers: ReplyFacts(source=self.source),
            refuse=self._refused,
        )

    def _refused(self, refusal: Refusal) -> ProviderError:
        """An error is `{errorMessage, errorId}`, but for 429: that is a string, and bare."""
        error = _json(refusal.body)
        envelope = error if isinstance(error, dict) else {}
        error_id, message = envelope.get("errorId"), error if isinstance(error, str) else envelope.get("errorMessage")
        error_id = error_id if isinstance(error_id, str) else None
        words = message if isinstance(message, str) else "" if envelope else None
        code = _CODES.get(error_id or "")
        return faults.refused(
            self.name,
            refusal,
            code=code,
            retryable=code.retryable if code else None,
            provider_code=error_id,
            provider_words=words,
            secrets=(self.key, self.user_id, *self.private),
        )

    def _not_downloaded(self, refusal: Refusal) -> ProviderError:
        """A storage's refusal: of our address, never of our key. It is not quoted, for it may repeat the signature."""
        fault = ProviderFault(name=self.name, status=refusal.status)
        if 200 <= refusal.status < 300:
            return ProviderError(Code.BAD_AUDIO, f"{self.name}'s finished file is not audio", provider=fault)
        return ProviderError(
            Code.PROVIDER_UNAVAILABLE,
            f"{self.name}'s finished file cannot be fetched: its host answered {refusal.status}",
            retryable=refusal.status >= 400,
            retry_after_s=faults.retry_after_s(refusal.headers),
            provider=fault,
        )


class Job:
    """From the making to the finished file. The API has no way to withdraw a job."""

    def __init__(self, api: Api, make: HttpRequest) -> None:
        self._api = api
        self._make = make
        self._id: str | None = None
        self._pause_s = POLL_S

    def start(self) -> Ask:
        return Ask(request=self._make)

    def receive(self, answer: Answer) -> Ask | Fetch:
        if answer.status == 429 and self._id is not None:
            self._pause_s = min(2 * self._pause_s, LONGEST_POLL_S)
            return self._again(self._id, answer)
        job = faults.json_object(answer.body)
        if not 200 <= answer.status < 300 or "errorId" in job:
            raise self._refused(answer)
        job_id = self._id or _identifier(job.get("id"))
        output = job.get("output")
        if job_id is None or not isinstance(output, dict):
            raise self._unreadable(answer, "no job")
        self._id = job_id
        match output.get("status"):
            case "IN_PROGRESS":
                return self._again(job_id, answer, Progress.RUNNING)
            case "COMPLETED":
                if (url := address_in(output.get("url"), self._api.base_url)) is None:
                    raise self._odd(answer, "a finished job without an http or https address of its audio")
                return Fetch(request=self._api.download(url, job_id))
            case "FAILED":
                fault = ProviderFault(name=self._api.name, code="FAILED")
                raise ProviderError(
                    Code.PROVIDER_UNAVAILABLE, f"{self._api.name} failed to make the speech", provider=fault
                )
        raise self._odd(answer, "a job in a state that is not documented")

    def withdraw(self) -> None:
        return None

    def _again(self, job_id: str, answer: Answer, progress: Progress | None = None) -> Ask:
        asked_s = faults.retry_after_s(answer.headers) or 0.0
        return Ask(request=self._api.poll(job_id), after_s=max(asked_s, self._pause_s), progress=progress)

    def _unreadable(self, answer: Answer, what: str) -> ProviderError:
        return faults.unreadable(self._api.name, what, status=answer.status, headers=answer.headers)

    def _odd(self, answer: Answer, what: str) -> ProviderError:
        """A job, but not one that can be gone on with."""
        fault = ProviderFault(name=self._api.name, status=answer.status, request_id=faults.request_id(answer.headers))
        words = f"{self._api.name} answered {answer.status} with {what}"
        return ProviderError(Code.PROVIDER_UNAVAILABLE, words, retryable=False, provider=fault)

    def _refused(self, answer: Answer) -> ProviderError:
        refusal = Refusal(status=answer.status, headers=answer.headers, body=answer.body[:_REFUSAL_BYTES])
        error = self._make.refuse(refusal)
        if answer.status == 404 and self._id is not None:
            # Of what the path of a poll names, the job is what can be missing. Another one may fare better.
            return ProviderError(Code.PROVIDER_UNAVAILABLE, error.message, provider=error.provider)
        return error


def _json(body: bytes) -> object:
    return faults.json_value(body)


def _identifier(value: object) -> str | None:
    """A job's id; a UUID, as the API says, but all that matters is that it can stand in a path."""
    fits = isinstance(value, str) and 1 <= len(value) <= 200 and value not in (".", "..")
    return value if isinstance(value, str) and fits else None
