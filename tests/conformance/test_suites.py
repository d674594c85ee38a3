"""The suite for providers finds what it is there to find: a copy of a real adapter, broken in one way, fails."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base import HttpRequest, ProviderSettings, Refusal, Speech, Wanted
from relay.providers.sauti import Sauti
from relay.testing.conformance.provider import (
    ProviderCase,
    check_errors,
    check_longest_segment,
    check_requests,
    check_settings,
)

KEY = "key_4f9d2c71b8e6a035"
SETTINGS = ProviderSettings(api_key=KEY, voice="v")


class Broken(Sauti):
    """`break_request` spoils the first request of a job; everything else is as it was."""

    def break_request(self, request: HttpRequest, text: str) -> HttpRequest:
        return request

    def request(self, speech: Speech, text: str) -> Any:
        upstream = super().request(speech, text)

        def job() -> Any:
            made = upstream.job()
            ask = made.start()
            spoilt = replace(ask, request=self.break_request(ask.request, text))
            made.start = lambda: spoilt  # type: ignore[method-assign]
            return made

        return replace(upstream, job=job)


class KeyInTheQuery(Broken):
    def break_request(self, request: HttpRequest, text: str) -> HttpRequest:
        return replace(request, url=f"{request.url}?key={KEY}")


class TextTrimmed(Broken):
    def break_request(self, request: HttpRequest, text: str) -> HttpRequest:
        return replace(request, body=(request.body or b"").replace(b"Deich.", b"Deich"))


class TextCut(Broken):
    def break_request(self, request: HttpRequest, text: str) -> HttpRequest:
        return replace(request, body=b'{"text": "' + text[:100].encode() + b'"}')


class RefusalQuoted(Broken):
    def break_request(self, request: HttpRequest, text: str) -> HttpRequest:
        def refuse(refusal: Refusal) -> ProviderError:
            words = refusal.body.decode("utf-8", "replace")[:200] or "nothing"
            return ProviderError(Code.PROVIDER_AUTH, words, provider=ProviderFault(name="sauti"), retryable=False)

        return replace(request, refuse=refuse)


class RefusalNotRead(Broken):
    def break_request(self, request: HttpRequest, text: str) -> HttpRequest:
        def refuse(refusal: Refusal) -> ProviderError:
            raise KeyError("code")

        return replace(request, refuse=refuse)


class HeadersNotRead(Broken):
    def break_request(self, request: HttpRequest, text: str) -> HttpRequest:
        def accept(headers: Mapping[str, str]) -> Any:
            return headers["content-type"]

        return replace(request, accept=accept)


class OptionsIgnored(Sauti):
    def resolve(self, wanted: Wanted) -> Speech:
        return super().resolve(replace(wanted, options={}))


@pytest.mark.parametrize(
    ("make", "check", "says"),
    [
        (KeyInTheQuery, check_requests, "outside the secret headers"),
        (TextTrimmed, check_requests, "text is not sent as it is"),
        (TextCut, check_longest_segment, "not sent whole"),
        (RefusalQuoted, check_errors, "passes on a secret"),
        (RefusalNotRead, check_errors, "code"),
        (HeadersNotRead, check_errors, "content-type"),
        (OptionsIgnored, check_settings, "unknown option is not refused"),
    ],
)
def test_a_broken_provider_is_found(
    make: Callable[[ProviderSettings], Any], check: Callable[[ProviderCase], None], says: str
) -> None:
    with pytest.raises((AssertionError, KeyError), match=says):
        check(ProviderCase(make=make, settings=SETTINGS))
    check(ProviderCase(make=Sauti, settings=SETTINGS))
