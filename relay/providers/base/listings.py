"""Lists of voices and of models, as most APIs spell them: entries that are names, or objects. Pure."""

from collections.abc import Mapping
from typing import Any

from relay.providers.base import faults
from relay.providers.base.provider import Voice

_LISTS = ("voices", "tts", "data", "models", "items")
_IDS = ("canonical_name", "id", "voice_id", "slug", "name")
_LANGUAGES = ("languages", "language", "locale", "lang_code")
_DESCRIPTIONS = ("description", "desc")


def voices_in(name: str, body: bytes) -> list[Voice]:
    """The voices in a list, each once, in their order. Raises ProviderError where there is no list."""
    found = [voice for entry in _entries(name, body, "voices") if (voice := _voice(entry))]
    return list({voice.id: voice for voice in found}.values())


def ids_in(name: str, body: bytes, what: str) -> list[str]:
    """The ids in a list of `what`. Raises ProviderError where there is no list."""
    entries = _entries(name, body, what)
    return [found for entry in entries if (found := entry if isinstance(entry, str) else _first(entry, _IDS))]


def _entries(name: str, body: bytes, what: str) -> list[object]:
    # Some send the list bare, and `json_object` reads objects.
    said = faults.json_object(body) or faults.json_object(b'{"data":%b}' % body)
    for key in _LISTS:
        if isinstance(listed := said.get(key), list):
            return listed
    raise faults.no_answer(name, f"a list of {what} without {what} in it")


def _voice(entry: object) -> Voice | None:
    if isinstance(entry, str):
        return Voice(id=entry, name=entry) if entry else None
    if not (voice_id := _first(entry, _IDS)):
        return None
    assert isinstance(entry, Mapping)
    languages = next((entry[key] for key in _LANGUAGES if entry.get(key)), ())
    listed = [languages] if isinstance(languages, str) else languages if isinstance(languages, list) else []
    return Voice(
        id=voice_id,
        name=_first(entry, ("name", "display_name")) or voice_id,
        languages=tuple(tag for tag in listed if isinstance(tag, str)),
        gender=_first(entry, ("gender",)),
        description=_first(entry, _DESCRIPTIONS),
    )


def _first(entry: object, keys: tuple[str, ...]) -> str | None:
    told: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {}
    return next((value for key in keys if isinstance(value := told.get(key), str) and value), None)
