"""Errors of JSON APIs, in all the shapes that servers of one API and the frameworks under them send. Pure.

`{"error": {..}}` of OpenAI's kind, `{"code": .., "error": ".."}`, `{"detail": ..}` of FastAPI (a sentence, an object,
or the list of what failed in a validation), `{"err_code": .., "err_msg": ..}`, `{"error_code": .., "message": ..}`, or
plain text.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relay.errors import Code, ProviderError
from relay.providers.base import faults
from relay.providers.base.http import Refusal

_WORDS = ("message", "err_msg", "msg", "error", "detail", "description", "details")
_CODES = ("code", "err_code", "error_code", "error", "type", "category", "status")
_FIELDS = ("param", "field")
# Statuses with which a server says that something in the request is wrong.
_ABOUT_THE_REQUEST = (400, 404, 422)
# A sentence that says so of a voice.
UNKNOWN_VOICE = re.compile(
    r"\b(voice|speaker)\b.*\b(not found|not exist|unknown|invalid|unsupported|not supported|not available|not one of)"
    r"|\b(unknown|invalid|unsupported|no such) (voice|speaker)\b",
    re.IGNORECASE | re.DOTALL,
)
_TOO_LONG = re.compile(r"too_long|too long|max_length|at most \d+ characters|above_max_length", re.IGNORECASE)
# Sentences are searched so far: what is wrong is said first.
_SEARCHED_CHARS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What an error says: its sentence, the names it goes by (the most special first), the field it is about."""

    words: str = ""
    codes: tuple[str, ...] = ()
    field: str | None = None


def read_problem(body: bytes) -> Problem:
    """The error in a body; an empty one where there is none. Raises nothing."""
    said = faults.json_object(body)
    inner = next((said[key] for key in ("error", "detail") if isinstance(said.get(key), Mapping | list)), None)
    if isinstance(inner, list):
        first = next((entry for entry in inner if isinstance(entry, Mapping)), {})
        location = first.get("loc")
        parts = [part for part in location if isinstance(part, str)] if isinstance(location, list) else []
        return Problem(words=_text(first, _WORDS), codes=_names(first), field=parts[-1] if parts else None)
    place = inner if isinstance(inner, Mapping) else said
    field = next((value for key in _FIELDS if isinstance(value := place.get(key), str) and value), None)
    words = _text(place, _WORDS)
    return Problem(words=words, codes=tuple(name for name in _names(place) if name != words), field=field)


def refused(
    name: str,
    refusal: Refusal,
    codes: Mapping[str, Code],
    *,
    secrets: Iterable[str | None] = (),
    hints: Mapping[int, str] | None = None,
    unknown_voice: re.Pattern[str] = UNKNOWN_VOICE,
) -> ProviderError:
    """The error of a refusal: by the names that it goes by (`codes`, in lower case), by the field or the thing that its
    sentence is about, else by its status. `hints` say what to look at where only the status tells.

    A sentence in which `unknown_voice` is found is about the voice. `x-should-retry: false` (the vendors' own SDKs obey
    it) makes any error a final one.
    """
    problem = read_problem(refusal.body)
    known = next((each for each in problem.codes if each.lower() in codes), None)
    code = codes[known.lower()] if known else _meaning(refusal, problem, unknown_voice)
    final = refusal.headers.get("x-should-retry") == "false"
    return faults.refused(
        name,
        refusal,
        code=code,
        retryable=False if final else code.retryable if code else None,
        provider_code=known or next(iter(problem.codes), None),
        provider_words=problem.words or None,
        secrets=secrets,
        hint=None if code else (hints or {}).get(refusal.status),
    )


def _meaning(refusal: Refusal, problem: Problem, unknown_voice: re.Pattern[str]) -> Code | None:
    if refusal.status not in _ABOUT_THE_REQUEST:
        return None
    words = problem.words or faults.body_words(refusal.body[: _SEARCHED_CHARS * 4])
    said = " ".join((words[:_SEARCHED_CHARS], *problem.codes))
    if problem.field in ("voice", "voice_id", "speaker", "speaker_id") or unknown_voice.search(said):
        return Code.VOICE_NOT_FOUND
    return Code.TEXT_TOO_LONG if _TOO_LONG.search(said) and problem.field in (None, "input", "text") else None


def _text(place: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return next((value for key in keys if isinstance(value := place.get(key), str) and value), "")


def _names(place: Mapping[str, Any]) -> tuple[str, ...]:
    """A number is the name of nothing: it repeats the status."""
    return tuple(value for key in _CODES if isinstance(value := place.get(key), str) and value)
