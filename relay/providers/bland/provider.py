"""Bland AI: three APIs under one name, of which `options.api` chooses, for the relay or for a turn.

`v2` (the default) sends headerless audio at the client's own rate: its first bytes are its first samples, and nothing
is held open between sentences. `socket` takes text as it is written, which saves the wait for a sentence's end, but
holds a session, and with it a place in the account's concurrency, for as long as it lives. `v1` takes voices by name
as well, and keeps every clip.
"""

from collections.abc import Mapping
from typing import Any

from relay.core.formats import Container, SourceFormat
from relay.providers.base import checks, faults
from relay.providers.base.ahead import ahead
from relay.providers.base.dialogue import DialogueRequest
from relay.providers.base.http import HttpRequest, ReplyFacts
from relay.providers.base.provider import (
    Ahead,
    Capabilities,
    ProviderSettings,
    Speech,
    SpeechRequest,
    Voice,
    VoiceQuery,
)
from relay.providers.bland import errors, socket, v1, v2
from relay.providers.bland.account import BASE_URL, PROVIDER, Account
from relay.providers.bland.v1 import V1Settings
from relay.providers.bland.v2 import V2Settings

APIS = ("v1", "v2", "socket")
DEFAULT_API = "v2"
_OPTIONS = {"v1": v1.OPTIONS, "v2": v2.OPTIONS, "socket": v2.OPTIONS}
_MAX_TEXT_CHARS = min(v1.MAX_TEXT_CHARS, v2.MAX_TEXT_CHARS)

# The service of a voice, where the list tells it; voices of other services cannot be spoken with here.
_FAMILY = "BTTS"
_GENDERS = ("female", "male")


class Bland:
    """The speech of Bland AI."""

    capabilities = Capabilities(
        formats=(Container.RAW, Container.WAV),
        streaming_text=True,
        max_segment_chars=_MAX_TEXT_CHARS,
        options=("api", *v2.OPTIONS, *v1.OPTIONS),
    )

    def __init__(self, settings: ProviderSettings) -> None:
        """Raises ClientError for settings that no request could be made with."""
        self.name = name = settings.name or PROVIDER
        self._account = Account(
            api_key=checks.api_key(f"{name}.api_key", settings.api_key),
            base_url=checks.base_url(f"{name}.base_url", settings.base_url or BASE_URL),
            name=name,
        )
        self._settings = settings
        self._api = _api(f"{name}.options", settings.options) or DEFAULT_API
        self._options = _checked_options(f"{name}.options", self._api, settings.options)
        _refuse_fieldless(name, self._api, f"{name}.", settings.model, settings.language)
        if settings.voice is not None:
            _checked_voice(name, self._api, f"{name}.voice", settings.voice)
        self._own_settings(self._api, {}, SpeechRequest())

    def resolve(self, wanted: SpeechRequest) -> Speech:
        if self._account.api_key is None:
            raise checks.no_key(self.name, PROVIDER)
        api = _api("options", wanted.options) or self._api
        _refuse_fieldless(self.name, api, "", wanted.model, wanted.language, wanted.instructions)
        voice = wanted.voice or self._settings.voice
        if voice is None:
            raise checks.no_voice(self.name, "a voice's id")
        return Speech(
            voice=_checked_voice(self.name, api, "voice", voice),
            streaming_text=api == "socket",
            settings=self._own_settings(api, _checked_options("options", api, wanted.options), wanted),
        )

    def _own_settings(self, api: str, options: Mapping[str, Any], wanted: SpeechRequest) -> V1Settings | V2Settings:
        """The checked options of a turn over those of the operator. Raises ClientError if they do not go together."""
        # The operator's may be those of another API, where a turn chose its own; none has a name in common with v1's.
        if api == "v1":
            language = wanted.language or self._settings.language
            return v1.settings({**self._options, **options}, language, wanted.sample_rate_hz)
        settings = v2.settings(v2.merged(self._options, options), wanted.sample_rate_hz)
        if api == "socket" and settings.container is not Container.RAW:
            raise checks.invalid("options.audio.container is wav; the socket sends audio without a header only")
        return settings

    def request(self, speech: Speech, text: str) -> HttpRequest:
        """For a turn over the socket too: the same speech, by v2."""
        assert 1 <= len(text) <= _MAX_TEXT_CHARS, "the chunker keeps to max_segment_chars"
        settings: V1Settings | V2Settings = speech.settings
        if isinstance(settings, V1Settings):
            return v1.request(self._account, speech.voice, settings, text)
        return v2.request(self._account, speech.voice, settings, text)

    def converse(self, speech: Speech) -> DialogueRequest:
        assert speech.streaming_text, "only the socket takes text as it is written"
        return socket.request(self._account, speech.voice, speech.settings)

    def warm(self, wanted: SpeechRequest) -> list[Ahead]:
        return ahead(self, wanted, self._account.base_url)

    def check(self) -> VoiceQuery:
        """The list wants the key."""
        return self.voices()

    def voices(self) -> VoiceQuery:
        """One list for all three APIs; the id of a voice is its UUID."""
        account = self._account
        request = HttpRequest(
            provider=self.name,
            method="GET",
            url=f"{account.base_url}/v1/voices",
            headers={},
            secret_headers=account.bare(),
            body=None,
            accept=lambda _headers: ReplyFacts(source=SourceFormat(container=Container.RAW)),
            refuse=lambda refusal: errors.refused(account.name, refusal, speaking=False, secrets=(account.api_key,)),
        )
        return VoiceQuery(request=request, parse=lambda body: (_voices(account, body), None))


def _api(name: str, options: Mapping[str, Any]) -> str | None:
    value = options.get("api")
    return None if value is None else checks.one_of(f"{name}.api", value, APIS)


def _checked_options(name: str, api: str, given: Mapping[str, Any]) -> dict[str, Any]:
    checks.known(name, given, ("api", *_OPTIONS[api]), f" where options.api is {api}")
    check = v1.checked_options if api == "v1" else v2.checked_options
    return check(name, given)


def _checked_voice(instance: str, api: str, name: str, voice: str) -> str:
    return v1.checked_voice(name, voice) if api == "v1" else v2.checked_voice(instance, name, voice)


def _refuse_fieldless(
    instance: str, api: str, prefix: str, model: str | None, language: str | None, instructions: str | None = None
) -> None:
    """Refuses what the API has no field for: a setting that is silently without effect is worse than none."""
    if model:
        raise checks.invalid(
            f"{prefix}model is {checks.shown(model)}; {instance} has none to choose, its voices bring theirs"
        )
    if instructions:
        raise checks.invalid(f"instructions are given, and {instance} takes none; its options say how to speak")
    if language and api != "v1":
        raise checks.invalid(
            f"{prefix}language is {checks.shown(language)}; {api} of {instance} speaks the voice's language, and only "
            "v1 (options.api) lets it be chosen"
        )


def _voices(account: Account, body: bytes) -> list[Voice]:
    """The list is in `voices` (the vendor's page) or in `data` (where its SDK looks first)."""
    if (error := errors.in_200(account.name, body, account.api_key)) is not None:
        raise error
    reply = faults.json_object(body)
    listed = reply.get("data") or reply.get("voices")
    if not isinstance(listed, list):
        raise faults.no_answer(account.name, "a list of voices without voices in it")
    return [voice for entry in listed if (voice := _voice(entry))]


def _voice(entry: object) -> Voice | None:
    """One voice of the list; None for an entry that nobody could ask for."""
    if not isinstance(entry, Mapping):
        return None
    told = {name: value for name, value in entry.items() if isinstance(value, str) and value}
    if not told.get("id") or not told.get("service", _FAMILY).startswith(_FAMILY):
        return None
    listed = entry.get("tags")
    tags = [tag for tag in listed if isinstance(tag, str)] if isinstance(listed, list) else []
    return Voice(
        id=told["id"],
        name=told.get("name", told["id"]),
        gender=next((gender for gender in _GENDERS if gender in map(str.lower, tags)), None),
        description=told.get("description") or ", ".join(tags) or None,
    )
