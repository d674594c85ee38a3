"""What a turn with Breeze Blue can be set to, and what of it goes together."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.providers.base import checks
from relay.providers.breeze.api import FORMATS

MAX_INSTRUCTIONS_CHARS = 1000  # the vendor's guide; its SDK enforces it
MAX_MODEL_CHARS = 120
MAX_LANGUAGE_CHARS = 16

# How speech is asked for: see `breeze`.
TRANSPORTS = ("stream", "realtime", "timestamps", "job", "sync")
OPTIONS = ("transport", "output_format", "enable_logging", "voice_settings")
_VOICE_SETTINGS = {"guidance_scale": (1.0, 10.0), "speed": (0.5, 2.0), "volume": (0.01, 2.0)}
# The vendor's guide (SDK 0.21.1, "HTTP TTS speed").
_NOT_REALTIME = ("speed", "volume")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechSettings:
    """What a request is made of, but for the voice, the model and the text. None and empty are not sent."""

    transport: str = "stream"
    output_format: str = "pcm"
    enable_logging: bool | None = None
    voice_settings: Mapping[str, float | bool] = field(default_factory=dict)
    language_code: str | None = None
    instructions: str | None = None

    @property
    def logging(self) -> str | None:
        """`enable_logging` as a query says it."""
        return None if self.enable_logging is None else str(self.enable_logging).lower()

    def described(self, model: str | None) -> dict[str, Any]:
        """The part of a request's body that says how to speak."""
        return {
            "model_id": model,
            "language_code": self.language_code,
            "instructions": self.instructions,
            "voice_settings": self.voice_settings or None,
        }


def checked(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, checked one by one; null is as good as absent."""
    hint = "; model, language and instructions are fields of their own"
    checks.known(name, given, OPTIONS, hint)
    options: dict[str, Any] = {}
    if (value := given.get("transport")) is not None:
        options["transport"] = checks.one_of(f"{name}.transport", value, TRANSPORTS)
    if (value := given.get("output_format")) is not None:
        options["output_format"] = checks.one_of(f"{name}.output_format", value, FORMATS)
    if (value := given.get("enable_logging")) is not None:
        options["enable_logging"] = checks.boolean(f"{name}.enable_logging", value)
    if (value := given.get("voice_settings")) is not None:
        options["voice_settings"] = _voice_settings(f"{name}.voice_settings", value)
    return options


def merged(defaults: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The client's options over the operator's, voice settings field by field. Raises ClientError for what does not go
    together."""
    voice = {**defaults.get("voice_settings", {}), **wanted.get("voice_settings", {})}
    options = {**defaults, **wanted, "voice_settings": voice}
    if options.get("transport") == "realtime":
        if options.get("output_format", "pcm") != "pcm":
            raise checks.invalid(
                f"options.output_format is {checks.shown(options['output_format'])}; transport realtime sends pcm only"
            )
        for setting in _NOT_REALTIME:
            if setting in voice:
                raise checks.invalid(
                    f"options.voice_settings.{setting} is {checks.shown(voice[setting])}; "
                    "transport realtime has none, the others do"
                )
    return options


def _voice_settings(name: str, given: object) -> dict[str, float | bool]:
    fields = checks.mapping(name, given)
    checks.known(name, fields, ("use_speaker_boost", *_VOICE_SETTINGS))
    found: dict[str, float | bool] = {}
    for setting, value in fields.items():
        if value is None:
            continue
        if setting == "use_speaker_boost":
            found[setting] = checks.boolean(f"{name}.{setting}", value)
        else:
            found[setting] = checks.number(f"{name}.{setting}", value, *_VOICE_SETTINGS[setting])
    return found


def language(tag: str) -> str:
    """The language of a BCP-47 tag. The newer vintage takes two letters only, the older takes them as well."""
    if len(tag) > MAX_LANGUAGE_CHARS or not re.fullmatch(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*", tag):
        raise checks.invalid(f"language is {checks.shown(tag)}; it must be a language tag like en or pt-BR")
    return re.split("[-_]", tag)[0].lower()
