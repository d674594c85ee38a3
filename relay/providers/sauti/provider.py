"""Sauti (Finiflow Labs): whole clips, at once or as a job that is polled for. It has no stream.

`POST /v1/text-to-speech/{voice_id}` answers with a WAV in base64, or with 202 and a job when the text is long;
`POST /v1/tts/jobs` always makes a job. Facts are from the vendor's API pages (2026-11), named where they matter.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from relay.core.formats import Container
from relay.providers.base import checks, faults
from relay.providers.base.ahead import ahead
from relay.providers.base.poll import PollRequest
from relay.providers.base.provider import (
    Ahead,
    Capabilities,
    ProviderSettings,
    Speech,
    SpeechRequest,
    Voice,
    VoiceQuery,
)
from relay.providers.sauti.job import PROVIDER, TIMEOUT_S, Api, Job

BASE_URL = "https://sauti.finiflowlabs.com"

MAX_TEXT_CHARS = 5000
# A key may make speech ten times a minute. 600 characters are 40 s of speech (15 a second), so ten calls carry six
# listeners at once; longer ones would leave a gap after a short first segment, for a clip is heard only when all of it
# is made, and below 2,000 characters the clip comes in the answer, without polling.
TARGET_SEGMENT_CHARS = 600

_OPTIONS = ("delivery", "voice_settings")
_DELIVERIES = ("sync", "job")
# Ranges are not stated. These are VITS's knobs: a rate of 0 never ends, noise of 0 is its deterministic voice.
_VOICE_SETTINGS = {"speaking_rate": False, "noise_scale": True, "noise_scale_duration": True}  # may it be 0?


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """What one request is made of, but for the voice and the text."""

    delivery: str = "sync"
    voice_settings: Mapping[str, float]


class Sauti:
    """The speech of Sauti, whole."""

    capabilities = Capabilities(
        formats=(Container.WAV,),
        max_segment_chars=MAX_TEXT_CHARS,
        target_segment_chars=TARGET_SEGMENT_CHARS,
        options=_OPTIONS,
    )

    def __init__(self, settings: ProviderSettings) -> None:
        """Raises ClientError for settings that no request could be made with."""
        self.name = name = settings.name or PROVIDER
        self._key = checks.api_key(f"{name}.api_key", settings.api_key)
        self._base_url = checks.base_url(f"{name}.base_url", settings.base_url or BASE_URL)
        self._settings = settings
        self._options = _checked_options(f"{name}.options", settings.options)
        _no_such(name, "model", settings.model)

    def resolve(self, wanted: SpeechRequest) -> Speech:
        """See `base.Provider.resolve`. A language is the voice's own: it is not sent."""
        if self._key is None:
            raise checks.no_key(self.name, PROVIDER)
        _no_such(self.name, "model", wanted.model)
        _no_such(self.name, "instructions", wanted.instructions)
        voice = wanted.voice or self._settings.voice
        if voice is None:
            raise checks.no_voice(self.name, "a voice_id, like sauti-swahili-v1")
        options = _checked_options("options", wanted.options)
        knobs = {**self._options.get("voice_settings", {}), **options.get("voice_settings", {})}
        return Speech(
            voice=checks.path_segment("voice", voice),
            settings=_Settings(**{**self._options, **options, "voice_settings": knobs}),
        )

    def request(self, speech: Speech, text: str) -> PollRequest:
        assert 1 <= len(text) <= MAX_TEXT_CHARS, "the chunker keeps to max_segment_chars"
        settings: _Settings = speech.settings
        body: dict[str, Any] = {"text": text}
        if settings.voice_settings:
            body["voice_settings"] = settings.voice_settings
        if settings.delivery == "job":
            body["voice_id"] = speech.voice
        api = self._api(text)
        make = api.make(speech.voice if settings.delivery == "sync" else None, body)
        return PollRequest(provider=self.name, job=lambda: Job(api, make), timeout_s=TIMEOUT_S)

    def voices(self) -> VoiceQuery:
        """The active voices, of the configured language if there is one."""
        language = self._settings.language
        query = f"?{urlencode({'language': language})}" if language else ""
        return VoiceQuery(
            request=self._api().get(f"/v1/voices{query}"), parse=lambda body: _parse_voices(self.name, body)
        )

    def warm(self, wanted: SpeechRequest) -> list[Ahead]:
        return ahead(self, wanted, self._base_url)

    def check(self) -> VoiceQuery:
        """The list wants the key."""
        return self.voices()

    def _api(self, text: str | None = None) -> Api:
        return Api(base_url=self._base_url, key=self._key, text=text, name=self.name)


def _parse_voices(name: str, body: bytes) -> tuple[list[Voice], None]:
    listed = faults.json_object(body).get("voices")
    if not isinstance(listed, list):
        raise faults.no_answer(name, "a list of voices without voices in it")
    return [voice for entry in listed if (voice := _voice(entry))], None


def _voice(entry: object) -> Voice | None:
    """One voice; None for one that cannot be asked for: without an id, or not active."""
    if not isinstance(entry, Mapping) or not isinstance(voice_id := entry.get("voice_id"), str):
        return None
    if entry.get("status", "active") != "active":
        return None
    told = {name: value for name, value in entry.items() if isinstance(value, str) and value}
    tags = [told[name].replace("_", "-") for name in ("locale", "language_code") if name in told]
    if len(tags) == 2 and tags[0].lower().startswith(f"{tags[1].lower()}-"):
        tags.pop()  # sw-KE says sw
    return Voice(
        id=voice_id,
        name=told.get("name", voice_id),
        languages=tuple(dict.fromkeys(tags)),
        gender=told.get("gender"),
        description=told.get("description"),
    )


def _checked_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, checked; null is as good as absent."""
    checks.known(name, given, _OPTIONS, "; voice is a field of its own")
    options: dict[str, Any] = {}
    if (value := given.get("delivery")) is not None:
        options["delivery"] = checks.one_of(f"{name}.delivery", value, _DELIVERIES)
    if (value := given.get("voice_settings")) is not None:
        fields = checks.mapping(f"{name}.voice_settings", value)
        checks.known(f"{name}.voice_settings", fields, tuple(_VOICE_SETTINGS))
        options["voice_settings"] = {
            knob: _amount(f"{name}.voice_settings.{knob}", amount, may_be_0=_VOICE_SETTINGS[knob])
            for knob, amount in fields.items()
            if amount is not None
        }
    return options


def _amount(name: str, value: object, *, may_be_0: bool) -> float:
    # A bool is an int to Python, not to the person who wrote it; NaN fails every comparison.
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    if not 0 <= number <= sys.float_info.max or not (number or may_be_0):
        least = "from" if may_be_0 else "above"
        raise checks.invalid(f"{name} is {checks.shown(value)}; it must be a number {least} 0")
    return number


def _no_such(name: str, what: str, value: str | None) -> None:
    if value:
        raise checks.invalid(f"{what} is given, but {name} has no {what}; leave it out")
