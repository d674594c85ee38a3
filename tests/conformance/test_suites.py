"""The suites for providers find what it is there to find: a copy of a real adapter, broken in one way, fails."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base.http import HttpRequest, Refusal
from relay.providers.base.provider import ProviderSettings, Speech, SpeechRequest
from relay.providers.sauti.provider import Sauti
from relay.testing.conformance.exchange import check_exchange
from relay.testing.conformance.provider import (
    ProviderCase,
    check_errors,
    check_longest_segment,
    check_requests,
    check_settings,
    check_voices,
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
    def resolve(self, wanted: SpeechRequest) -> Speech:
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


EXCHANGE = json.loads((Path(__file__).parent.parent / "golden" / "sauti" / "job.json").read_text("utf-8"))["valid"]


def changed(**fields: Any) -> dict[str, Any]:
    """The golden, with other fields in its first exchange's request."""
    first, *rest = EXCHANGE["exchanges"]
    return {**EXCHANGE, "exchanges": [{**first, "request": {**first["request"], **fields}}, *rest]}


@pytest.mark.parametrize(
    ("exchange", "says"),
    [
        (changed(body={"text": "other"}), "fields of the body"),
        (changed(query={"q": "1"}), "the query is"),
        (changed(headers={"xi-api-key": "another"}), "the header xi-api-key"),
        ({**EXCHANGE, "facts": {**EXCHANGE["facts"], "ids": {}}}, "the reply says"),
        ({**EXCHANGE, "exchanges": EXCHANGE["exchanges"][:-1]}, "one request too many"),
        ({**EXCHANGE, "exchanges": EXCHANGE["exchanges"] + EXCHANGE["exchanges"][-1:]}, "never sent"),
        ({**EXCHANGE, "error": {"code": "bad_audio", "retryable": False, "says": []}}, "does not fail"),
        ({**EXCHANGE, "refused": ["voice"]}, "not refused"),
    ],
)
def test_an_exchange_that_differs_is_found(exchange: dict[str, Any], says: str) -> None:
    settings = ProviderSettings(api_key="sau_test")
    check_exchange(Sauti, settings, EXCHANGE)
    with pytest.raises(AssertionError, match=says):
        check_exchange(Sauti, settings, exchange)


@pytest.mark.parametrize(
    ("pages", "says"),
    [
        ((), "no golden"),
        ((b'{"voices": []}',), "no voice"),
        ((b'{"voices": [{"voice_id": "a", "name": "A"}]}',) * 2, "more pages"),
    ],
)
def test_voices_that_are_none_are_found(pages: tuple[bytes, ...], says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        check_voices(ProviderCase(make=Sauti, settings=SETTINGS), pages)
