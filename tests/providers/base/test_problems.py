"""Errors of JSON APIs in their shapes, and the waits that their headers ask for."""

import json
from typing import Any

import pytest

from relay.errors import Code
from relay.providers.base import faults, listings, problems
from relay.providers.base.http import Refusal
from relay.providers.base.problems import Problem, read_problem

ODD: tuple[Any, ...] = ({}, [], 7, None, {"error": None}, {"detail": []}, {"error": {"message": 1}})
SHAPES: list[tuple[Any, Problem]] = [
    (
        {"error": {"message": "M", "type": "t", "param": "voice", "code": "c"}},
        Problem(words="M", codes=("c", "t"), field="voice"),
    ),
    ({"error": {"message": "M", "type": "t", "param": None, "code": 500}}, Problem(words="M", codes=("t",))),
    ({"code": "c", "error": "M"}, Problem(words="M", codes=("c",))),
    ({"detail": "M"}, Problem(words="M")),
    ({"detail": {"error": "c", "message": "M", "type": "t"}}, Problem(words="M", codes=("c", "t"))),
    (
        {"detail": [{"loc": ["body", "voice"], "msg": "M", "type": "t"}]},
        Problem(words="M", codes=("t",), field="voice"),
    ),
    ({"detail": [{"loc": ["body", "input", 0], "msg": "M"}]}, Problem(words="M", field="input")),
    ({"err_code": "c", "err_msg": "M", "request_id": "r"}, Problem(words="M", codes=("c",))),
    ({"category": "c", "message": "M", "details": "D"}, Problem(words="M", codes=("c",))),
    *[(odd, Problem()) for odd in ODD],
]


@pytest.mark.parametrize(("body", "expected"), SHAPES, ids=lambda value: str(value)[:40])
def test_a_shape_is_read(body: Any, expected: Problem) -> None:
    assert read_problem(json.dumps(body).encode()) == expected


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [
        (400, "Voice 'x' not found. Available voices: a", Code.VOICE_NOT_FOUND),
        (422, "The speaker is not supported", Code.VOICE_NOT_FOUND),
        (404, "Unknown voice x", Code.VOICE_NOT_FOUND),
        (500, "Voice 'x' not found", Code.PROVIDER_UNAVAILABLE),
        (400, "speed is invalid", Code.PROVIDER_REJECTED),
        (400, "The text is too long", Code.TEXT_TOO_LONG),
        (404, "Not Found", Code.PROVIDER_REJECTED),
    ],
)
def test_a_sentence_tells_the_voice_and_the_length(status: int, words: str, code: Code) -> None:
    refusal = Refusal(status=status, headers={}, body=json.dumps({"detail": words}).encode())
    assert problems.refused("it", refusal, {}).code is code


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "6m0s"}, None),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "soon"}, None),
        ({"x-ratelimit-remaining-tokens": "0"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_a_wait_is_read(headers: dict[str, str], wait_s: float | None) -> None:
    assert faults.retry_after_s(headers) == wait_s


def test_a_bare_list_is_a_list() -> None:
    assert listings.ids_in("it", b'["a", {"id": "b"}, {"name": "c"}, 7]', "models") == ["a", "b", "c"]
    assert [voice.id for voice in listings.voices_in("it", b'[{"voice_id": "a"}, "b", ""]')] == ["a", "b"]
