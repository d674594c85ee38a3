"""Voices, models and the account, as clients of Breeze Blue's API ask for them."""

from collections.abc import Callable, Mapping

from relay.errors import ClientError, Code
from relay.protocols.base import Handshake, HttpAnswer, Known, KnownVoice
from relay.protocols.breeze.api import answer
from relay.protocols.door import Door

# What the vendor takes; its SDK asks for 50.
MAX_PAGE_SIZE = 100
_GENDERS = ("female", "male", "neutral")


class Lists:
    """The functions of `base.ListProtocol.lists`."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.paths: Mapping[str, Callable[[Handshake, Known], HttpAnswer]] = {
            "/breeze/v1/voices": self._voices,
            "/breeze/v1/voices/random": self._any_voice,
            "/breeze/v1/voices/{voice}": self._voice,
            "/breeze/v1/models": self._models,
            "/breeze/v1/history": self._history,
        }

    def _voices(self, handshake: Handshake, known: Known) -> HttpAnswer:
        """A page of the voices that fit; filters that the relay knows nothing about find all."""
        query = handshake.query
        words, language, gender = (query.get(name, "").lower() for name in ("search", "language_code", "gender"))
        found = [
            voice
            for voice in known.voices
            if words in f"{voice.id} {voice.name} {voice.description or ''}".lower()
            and (not language or language in _languages(voice))
            and (not gender or gender == voice.gender)
        ]
        page, size = _count(query, "page", 1, 10**6), _count(query, "page_size", 50, MAX_PAGE_SIZE)
        start = (page - 1) * size
        fields = {
            "voices": [_fields(voice) for voice in found[start : start + size]],
            "has_more": start + size < len(found),
            "total": len(found),
            "page": page,
            "page_size": size,
        }
        return answer(handshake, fields)

    def _voice(self, handshake: Handshake, known: Known) -> HttpAnswer:
        asked = handshake.path["voice"]
        voice = known.find(self._door.meant(asked) or asked)
        if voice is not None:
            return answer(handshake, _fields(voice) | {"voice_id": asked})
        raise ClientError(Code.VOICE_NOT_FOUND, f"there is no voice {asked[:40]!r}")

    def _any_voice(self, handshake: Handshake, known: Known) -> HttpAnswer:
        """The first that fits: any is as good as another."""
        language = handshake.query.get("language_code", "").lower()
        for voice in known.voices:
            if not language or language in _languages(voice):
                return answer(handshake, _fields(voice))
        raise ClientError(Code.VOICE_NOT_FOUND, f"there is no voice for the language {language[:20]!r}")

    def _models(self, handshake: Handshake, known: Known) -> HttpAnswer:
        names = dict.fromkeys((*self._door.models, *known.models))
        models = [{"model_id": name, "name": name, "languages": [], "description": ""} for name in names]
        return answer(handshake, models)

    def _history(self, handshake: Handshake, known: Known) -> HttpAnswer:
        """None is listed: what jobs have made is found by its id."""
        page, size = (
            _count(handshake.query, "page", 1, 10**6),
            _count(handshake.query, "page_size", 50, MAX_PAGE_SIZE),
        )
        return answer(handshake, {"history": [], "has_more": False, "total": 0, "page": page, "page_size": size})


def _fields(voice: KnownVoice) -> dict[str, object]:
    languages = _languages(voice)
    return {
        "voice_id": voice.id,
        "name": voice.name,
        "language_code": languages[0] if languages else "en",
        "gender": voice.gender if voice.gender in _GENDERS else None,
        "age": None,
        "tone": [],
        "accent": None,
        "voice_type": "default",
        "description": voice.description,
    }


def _languages(voice: KnownVoice) -> list[str]:
    """Two letters each."""
    return [tag.partition("-")[0].lower() for tag in voice.languages]


def _count(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    given = query.get(name, str(default))
    if not (given.isascii() and given.isdecimal() and len(given) <= 7 and 1 <= int(given) <= most):
        raise ClientError(Code.INVALID_CONFIG, f"{name} is {given[:20]!r}; it must be a number from 1 to {most}")
    return int(given)
