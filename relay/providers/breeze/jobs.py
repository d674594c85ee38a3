"""Breeze's jobs: `?delivery=async` makes one, `GET /v1/generation-jobs/{id}` tells of it, then its audio is fetched.

For text where nobody waits for the first word: a job is whole or it is not there. It takes a place in the plan's
concurrency like any other way of speaking. It cannot be withdrawn: the API names no way to cancel one.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from relay.core.events import Progress
from relay.core.formats import Container
from relay.errors import Code, ProviderError
from relay.providers.base import faults
from relay.providers.base.addresses import address_in, origin_of
from relay.providers.base.http import HttpRequest, Refusal
from relay.providers.base.poll import Answer, Arrived, Ask, Fetch, PollJob, PollRequest
from relay.providers.breeze.api import Api

# A thousand characters are a minute of speech; live providers make it in less than that.
TIMEOUT_S = 120.0
# The vendor's sample code asks every 2 s. The first answers are asked for sooner: a sentence is ready within a second.
PAUSES_S = (0.5, 1.0, 2.0)
# A plan's poll limit is not stated; longer waits are what the provider asks for, within reason.
LONGEST_PAUSE_S = 10.0
# Questions in a row that may fail before the job is given up; the job itself goes on meanwhile.
FAILED_ASKS = 4
# The one state of a job under way that is documented.
_PROGRESS = {"active": Progress.RUNNING}
# Refusals that say nothing about the job.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSAL_BYTES = 64 * 1024


def poll(api: Api, make: HttpRequest, asked_for: Container, *sent: str | None) -> PollRequest:
    """`make` is the request that makes the job; `sent` is what is in it that no error may quote."""

    def job() -> PollJob:
        return BreezeJob(api, make, asked_for, *sent)

    return PollRequest(provider=api.name, job=job, timeout_s=TIMEOUT_S)


class BreezeJob:
    """See `base_poll.PollJob`."""

    def __init__(self, api: Api, make: HttpRequest, asked_for: Container, *sent: str | None) -> None:
        self._api = api
        self._make = make
        self._sent = sent
        self._asked_for = asked_for
        self._id: str | None = None
        self._asked = 0
        self._failed = 0

    def start(self) -> Ask:
        return Ask(request=self._make)

    def receive(self, answer: Answer) -> Ask | Fetch | Arrived:
        if self._id is None:
            return self._made(answer)
        if answer.status in _PASSING and self._failed < FAILED_ASKS:
            self._failed += 1
            return self._ask(answer)
        if not 200 <= answer.status < 300:
            raise self._api.refused(_refusal(answer), *self._sent)
        self._failed = 0
        job = faults.json_object(answer.body)
        match job.get("status"):
            case "ready":
                return Fetch(request=self._audio(job))
            case "failed" | "cancelled":
                error = job.get("error")
                raise self._api.failed("failed the job", error if isinstance(error, Mapping) else {}, *self._sent)
            case str() as state if not faults.tells_error(job):
                # `active`, and whatever else it may be before it is one of those; the time is bounded.
                return self._ask(answer, _PROGRESS.get(state))
        raise self._unreadable(answer, "a job without a status")

    def withdraw(self) -> HttpRequest | None:
        return None

    def _made(self, answer: Answer) -> Ask | Arrived:
        if not 200 <= answer.status < 300:
            raise self._api.refused(_refusal(answer), *self._sent, speaking=True)
        if answer.headers.get("content-type", "").lower().startswith("audio/"):
            # A server that does not know `delivery` answers with the clip itself.
            return Arrived(facts=self._api.facts(answer.headers, self._asked_for), pieces=(answer.body,))
        job = faults.json_object(answer.body)
        job_id = job.get("generation_job_id")
        if not isinstance(job_id, str) or not job_id or job_id in (".", ".."):
            raise self._unreadable(answer, "a job without an id")
        self._id = job_id
        return self._ask(answer, _PROGRESS.get(str(job.get("status"))))

    def _ask(self, answer: Answer, progress: Progress | None = None) -> Ask:
        pause_s = PAUSES_S[min(self._asked, len(PAUSES_S) - 1)]
        self._asked += 1
        if (asked_s := faults.retry_after_s(answer.headers)) is not None:
            pause_s = min(max(pause_s, asked_s), LONGEST_PAUSE_S)
        return Ask(request=self._api.get(self._api.url(self._path()), *self._sent), after_s=pause_s, progress=progress)

    def _audio(self, job: Mapping[str, Any]) -> HttpRequest:
        """The audio from where the job says it is, without the key if that is not the API's own host."""
        own = True
        url, secret_headers = self._api.url(f"{self._path()}/audio"), self._api.secret_headers()
        if isinstance(elsewhere := job.get("download_url"), str) and elsewhere:
            own, url = origin_of(elsewhere) == origin_of(self._api.base_url), self._checked(elsewhere)
            secret_headers = secret_headers if own else {}
        return HttpRequest(
            provider=self._api.name,
            method="GET",
            url=url,
            headers={},
            secret_headers=secret_headers,
            body=None,
            accept=lambda headers: self._api.facts(headers, self._asked_for),
            refuse=self._not_fetched if own else self._not_downloaded,
            named_by=None if own else self._api.base_url,
        )

    def _checked(self, url: str) -> str:
        if (checked := address_in(url, self._api.base_url)) is None:
            raise self._api.problem(Code.PROVIDER_UNAVAILABLE, "sent a download_url that is none", retryable=False)
        return checked

    def _unreadable(self, answer: Answer, what: str) -> ProviderError:
        making = self._id is None
        return self._api.unreadable(what, answer.body, speaking=making, headers=answer.headers)

    def _not_fetched(self, refusal: Refusal) -> ProviderError:
        if refusal.status in (401, 403, 404, 410):
            # Not the key's fault, which made the job, nor the voice's: the address has expired.
            return self._api.problem(
                Code.PROVIDER_UNAVAILABLE, f"answered {refusal.status} where a job's audio should be"
            )
        return self._api.refused(refusal, *self._sent)

    def _not_downloaded(self, refusal: Refusal) -> ProviderError:
        """Another server's words are not quoted: it may be one that its own network alone should hear."""
        if 200 <= refusal.status < 300:
            return self._api.problem(Code.BAD_AUDIO, "named an address for a job's audio where no audio is")
        told = {name: value for name, value in refusal.headers.items() if name in ("retry-after", "date")}
        return self._not_fetched(Refusal(status=refusal.status, headers=told, body=b""))

    def _path(self) -> str:
        assert self._id is not None, "a job that has been made has an id"
        return f"/v1/generation-jobs/{quote(self._id, safe='')}"


def _refusal(answer: Answer) -> Refusal:
    return Refusal(status=answer.status, headers=answer.headers, body=answer.body[:_REFUSAL_BYTES])
