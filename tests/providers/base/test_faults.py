"""What refusals mean, and what of a stranger's words may be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import Code, ProviderFault
from relay.providers.base import faults
from relay.providers.base.faults import (
    QUOTE_CHARS,
    SHARED_RUN_CHARS,
    body_words,
    code_for_status,
    json_object,
    quoted,
    refused,
    request_id,
    retry_after_s,
)
from relay.providers.base.http import Refusal

DATE = "Fri, 20 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (101, Code.PROVIDER_UNAVAILABLE, False),
        (200, Code.BAD_AUDIO, False),
        (202, Code.BAD_AUDIO, False),
        (302, Code.PROVIDER_UNAVAILABLE, False),
        (400, Code.PROVIDER_REJECTED, False),
        (401, Code.PROVIDER_AUTH, False),
        (402, Code.PROVIDER_AUTH, False),
        (403, Code.PROVIDER_AUTH, False),
        (404, Code.PROVIDER_REJECTED, False),
        (408, Code.PROVIDER_TIMEOUT, True),
        (409, Code.PROVIDER_REJECTED, False),
        (413, Code.TEXT_TOO_LONG, False),
        (422, Code.PROVIDER_REJECTED, False),
        (425, Code.PROVIDER_UNAVAILABLE, True),
        (429, Code.PROVIDER_RATE_LIMITED, True),
        (500, Code.PROVIDER_UNAVAILABLE, True),
        (501, Code.PROVIDER_UNAVAILABLE, False),
        (502, Code.PROVIDER_UNAVAILABLE, True),
        (503, Code.PROVIDER_UNAVAILABLE, True),
        (504, Code.PROVIDER_TIMEOUT, True),
        (505, Code.PROVIDER_UNAVAILABLE, False),
        (520, Code.PROVIDER_UNAVAILABLE, True),
    ],
)
def test_statuses(status: int, code: Code, retryable: bool) -> None:
    assert code_for_status(status) == (code, retryable)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": " 120 "}, 120.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "Fri, 20 Nov 2026 10:00:30 GMT", "date": DATE}, 30.0),
        # The obsolete forms that RFC 9110, 5.6.7 wants understood.
        ({"retry-after": "Friday, 20-Nov-26 10:00:30 GMT", "date": DATE}, 30.0),
        ({"retry-after": "Fri Nov 20 10:00:30 2026", "date": DATE}, 30.0),
        ({"retry-after": "Fri, 20 Nov 2026 09:59:00 GMT", "date": DATE}, 0.0),
        # Without the provider's own clock a date says nothing.
        ({"retry-after": DATE}, None),
        ({"retry-after": DATE, "date": "yesterday"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "86400"}, 86400.0),
        ({"retry-after": "86401"}, 86400.0),
        ({"retry-after": "9" * 400}, 86400.0),
        ({"retry-after": "Fri, 20 Nov 9999 10:00:30 GMT", "date": DATE}, 86400.0),
    ],
)
def test_retry_after(headers: dict[str, str], wait_s: float | None) -> None:
    assert retry_after_s(headers) == wait_s


@given(st.text(max_size=60), st.text(max_size=60))
def test_retry_after_of_anything(value: str, date: str) -> None:
    wait_s = retry_after_s({"retry-after": value, "date": date})
    assert wait_s is None or 0 <= wait_s <= 86_400


def test_request_ids() -> None:
    assert request_id({"x-request-id": "req_1", "cf-ray": "ray"}) == "req_1"
    assert request_id({"cf-ray": "ray\r\n1"}) == "ray 1"
    assert request_id({"x-request-id": ""}) is None
    assert len(request_id({"x-request-id": "r" * 8000}) or "") == QUOTE_CHARS // 3


@pytest.mark.parametrize("body", [b"", b"[1]", b"null", b"{", b"\xff", b"[" * 100_000, b'{"a": NaN'])
def test_no_object(body: bytes) -> None:
    assert json_object(body) == {}


def test_an_object() -> None:
    assert json_object(b'{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"plain", "plain"),
        (b"\xffbad", "�bad"),
        (b" <html><TITLE lang=en>A &lt; B</TITLE></html>", "A < B"),
        (b"<!doctype html><p>no title", "(a page without a title)"),
        (b"<title></title>", ""),
    ],
)
def test_words_of_a_body(body: bytes, words: str) -> None:
    assert body_words(body) == words


def test_a_quotation_is_one_bounded_printable_line() -> None:
    assert quoted(" a\r\n\tb\x00\x1b[31mc\u2028d ") == "a b [31mc d"
    assert quoted("x" * 1000) == "x" * (QUOTE_CHARS - 1) + "…"
    assert quoted("x" * QUOTE_CHARS) == "x" * QUOTE_CHARS
    assert quoted("xyz", 2) == "x…"


@pytest.mark.parametrize(
    ("words", "secret", "shown"),
    [
        ("key brz_0123456789 is bad", "brz_0123456789", "key [redacted] is bad"),
        # Shortened, from either end or the middle.
        ("key brz_0123... is bad", "brz_0123456789", "key [redacted]... is bad"),
        ("key ...23456789 is bad", "brz_0123456789", "key ...[redacted] is bad"),
        ("twice brz_0123456789brz_0123456789", "brz_0123456789", "twice [redacted][redacted]"),
        ("the text 'Hello\n  there, you' is bad", "Hello there, you", "the text '[redacted]' is bad"),
        # A short one only where it stands alone.
        ("no voice: not 'no'", "no", "[redacted] voice: not '[redacted]'"),
        ("1+1? what (1+1)?", "1+1?", "[redacted] what (1+1)?"),
        ("nothing of it", "brz_0123456789", "nothing of it"),
        ("nothing of it", "", "nothing of it"),
        ("nothing of it", None, "nothing of it"),
    ],
)
def test_secrets_are_taken_out(words: str, secret: str | None, shown: str) -> None:
    assert quoted(words, secrets=[secret]) == shown


@given(
    st.text(alphabet="abc ", max_size=50),
    st.text(alphabet="xyz0189_", min_size=SHARED_RUN_CHARS, max_size=60),
    st.text(alphabet="abc ", max_size=400),
    st.data(),
)
def test_no_run_of_a_secret_survives(before: str, secret: str, after: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(secret) - SHARED_RUN_CHARS))
    end = data.draw(st.integers(start + SHARED_RUN_CHARS, len(secret)))
    shown = quoted(before + secret[start:end] + after, secrets=[secret])
    assert len(shown) <= QUOTE_CHARS
    for at in range(len(secret) - SHARED_RUN_CHARS + 1):
        assert secret[at : at + SHARED_RUN_CHARS] not in shown


def refusal(status: int, body: bytes = b"", **headers: str) -> Refusal:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Refusal(status=status, headers=names, body=body)


def test_a_refusal_in_its_own_words() -> None:
    error = refused("bland", refusal(503, b"busy", retry_after="3", x_request_id="req_1"))
    assert (error.code, error.retryable, error.retry_after_s) == (Code.PROVIDER_UNAVAILABLE, True, 3.0)
    assert error.message == "bland answered 503: busy"
    assert error.provider == ProviderFault(name="bland", status=503, message="busy", request_id="req_1")


def test_a_refusal_as_an_adapter_understands_it() -> None:
    error = refused(
        "bland",
        refusal(400, b"{...}"),
        code=Code.VOICE_NOT_FOUND,
        provider_code="voice_not_found",
        provider_words="No voice of that name.",
        wait_s=5.0,
    )
    assert (error.code, error.retryable, error.retry_after_s) == (Code.VOICE_NOT_FOUND, False, 5.0)
    assert error.message == "bland answered 400 voice_not_found: No voice of that name."


def test_whether_to_try_again_may_be_overruled() -> None:
    assert refused("p", refusal(500), retryable=False).retryable is False
    assert refused("p", refusal(400), code=Code.PROVIDER_UNAVAILABLE).retryable is True
    assert refused("p", refusal(500), code=Code.PROVIDER_UNAVAILABLE, retryable=False).retryable is False


def test_a_redirect_and_a_200_are_explained() -> None:
    assert "a redirect, which is not followed" in refused("p", refusal(302)).message
    assert refused("p", refusal(200, b"Hi")).message == "p answered 200 with a body that is not audio: Hi"
    # A provider's code says more than that.
    assert "not audio" not in refused("p", refusal(200), provider_code="GENERATION_FAILED").message


def test_secrets_stay_out_of_every_field() -> None:
    error = refused(
        "p",
        refusal(400, b"the key brz_0123456789"),
        provider_code="brz_0123456789",
        secrets=iter(["brz_0123456789"]),
    )
    assert "brz_0123456789" not in f"{error.message} {error.provider}"


def test_what_is_not_what_an_api_gives_has_one_code_on_the_way_to_speech_and_another_elsewhere() -> None:
    error = faults.unreadable("blue", "no job", status=201, headers={"x-request-id": "r1"})
    assert (error.code, error.retryable, error.message) == (Code.BAD_AUDIO, False, "blue answered 201 with no job")
    assert error.code is code_for_status(201)[0], "as a page in place of audio"
    assert error.provider == ProviderFault(name="blue", status=201, request_id="r1")
    assert faults.unreadable("blue", "half a line").message == "blue sent half a line"
    asked = faults.no_answer("blue", "a list without voices")
    assert (asked.code, asked.retryable) == (Code.PROVIDER_UNAVAILABLE, False)
    assert (asked.message, asked.provider) == ("blue sent a list without voices", ProviderFault(name="blue"))


@pytest.mark.parametrize(
    ("reply", "tells"),
    [
        ({"error": "x"}, True),
        ({"errors": [1]}, True),
        ({"error": None, "errors": []}, False),
        ({"status": "error"}, False),
    ],
)
def test_whether_an_answer_tells_of_an_error(reply: dict[str, object], tells: bool) -> None:
    assert faults.tells_error(reply) is tells
