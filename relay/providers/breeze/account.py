"""What an account at Breeze Blue has: voices, models, its plan's limit, credits, and past audio."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from relay.core.formats import Container
from relay.providers.base import faults
from relay.providers.base.http import HttpRequest
from relay.providers.base.provider import LimitQuery, Query, Voice, VoiceQuery
from relay.providers.breeze.api import Api

# The SDK's page size: the one value known to be accepted.
_PAGE_SIZE = 50
# 2,000 voices; a `has_more` that never ends must.
_MAX_PAGES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as `GET /v1/models` lists it."""

    id: str
    name: str
    languages: tuple[str, ...] = ()
    description: str | None = None


def voices(api: Api, page: int = 1, token: str | None = None) -> VoiceQuery:
    url = api.url(
        "/v1/voices",
        voice_type="all",
        sort="created_at_unix",
        sort_direction="desc",
        page=str(page),
        page_size=str(_PAGE_SIZE),
        next_page_token=token or None,
    )

    def parse(body: bytes) -> tuple[list[Voice], VoiceQuery | None]:
        reply = faults.json_object(body)
        listed = reply.get("voices")
        if not isinstance(listed, list):
            raise faults.no_answer(api.name, "a list of voices without voices in it")
        found = [voice for entry in listed if (voice := _voice(entry))]
        if not (reply.get("has_more") and listed and page < _MAX_PAGES):
            return found, None
        next_token = reply.get("next_page_token")
        return found, voices(api, page + 1, next_token if isinstance(next_token, str) else None)

    return VoiceQuery(request=api.get(url), parse=parse)


def models(api: Api) -> Query[list[Model]]:
    def parse(body: bytes) -> list[Model]:
        # An array at the top, which `faults.json_object` is not for.
        listed = faults.json_object(b'{"models":%b}' % body).get("models")
        if not isinstance(listed, list):
            raise faults.no_answer(api.name, "a list of models that is none")
        return [model for entry in listed if (model := _model(entry))]

    return Query(request=api.get(api.url("/v1/models")), parse=parse)


def limits(api: Api) -> LimitQuery:
    """Of the plan; a single key may be held to less. Every way of speaking counts, the vendor's own app too."""

    def parse(body: bytes) -> int | None:
        allowed = faults.json_object(body).get("max_concurrent_generations")
        return allowed if isinstance(allowed, int) and not isinstance(allowed, bool) and allowed > 0 else None

    return Query(request=api.get(api.url("/v1/entitlements")), parse=parse)


def balance(api: Api) -> Query[float]:
    """Credits that are left."""

    def parse(body: bytes) -> float:
        credits_left = faults.json_object(body).get("balance")
        if isinstance(credits_left, bool) or not isinstance(credits_left, int | float):
            raise faults.no_answer(api.name, "a balance without a balance in it")
        if not math.isfinite(credits_left):
            raise faults.no_answer(api.name, "a balance that is no number")
        return float(credits_left)

    return Query(request=api.get(api.url("/v1/balance")), parse=parse)


def history_audio(api: Api, history_item_id: str) -> HttpRequest:
    """The audio of a past generation, in the format in which it was made."""
    return HttpRequest(
        provider=api.name,
        method="GET",
        url=api.url(f"/v1/history/{quote(history_item_id, safe='')}/audio"),
        headers={},
        secret_headers=api.secret_headers(),
        body=None,
        accept=lambda headers: api.facts(headers, Container.MP3),
        refuse=api.refused,
    )


def _voice(entry: object) -> Voice | None:
    """One voice of the list; None for an entry without an id, which nobody could ask for."""
    if not isinstance(entry, Mapping) or not isinstance(voice_id := entry.get("voice_id"), str):
        return None
    told = {name: value for name, value in entry.items() if isinstance(value, str) and value}
    tone = entry.get("tone")
    tones = [word for word in tone if isinstance(word, str)] if isinstance(tone, list) else []
    traits = [told.get("accent"), told.get("age"), *tones]
    return Voice(
        id=voice_id,
        name=told.get("name", voice_id),
        languages=(told["language_code"],) if "language_code" in told else (),
        gender=told.get("gender"),
        description=told.get("description") or ", ".join(trait for trait in traits if trait) or None,
    )


def _model(entry: object) -> Model | None:
    if not isinstance(entry, Mapping) or not isinstance(model_id := entry.get("model_id"), str):
        return None
    listed = entry.get("languages")
    spoken = listed if isinstance(listed, list) else []
    languages = [each.get("language_id") for each in spoken if isinstance(each, Mapping)]
    name, description = entry.get("name"), entry.get("description")
    return Model(
        id=model_id,
        name=name if isinstance(name, str) and name else model_id,
        languages=tuple(tag for tag in languages if isinstance(tag, str)),
        description=description if isinstance(description, str) and description else None,
    )
