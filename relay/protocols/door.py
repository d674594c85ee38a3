"""What a protocol that is not the relay's own needs to know of this relay: whose voices its clients' names stand for.

Pure. The server makes one `Door` for each such protocol from `[doors.NAME]` in the configuration.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The operator's settings for one protocol, checked.

    `voices`: a client's name for a voice -> `provider:voice`, `provider:` for that provider's default voice, or a name
    of `[voices]`. `default_voice` is what other names stand for; None: they are asked for as they are. `models`: a
    client's name for a model -> a provider's. `providers` are those that can be named in front of a colon;
    `known_models` those that some provider here has: a client's name that is neither one of them nor in `models` is
    ignored. `adapters`: a provider -> which API it speaks.
    """

    name: str
    voices: Mapping[str, str] = field(default_factory=dict)
    default_voice: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    providers: Collection[str] = ()
    known_models: Collection[str] = ()
    adapters: Mapping[str, str] = field(default_factory=dict)
    default_provider: str = ""

    def speaker(self, voice: str | None, model: str | None = None) -> dict[str, Any]:
        """Fields of a `TurnRequest`: who speaks, with which voice and model. None: the relay's defaults."""
        meant = self.meant(voice)
        provider, colon, own = (meant or "").partition(":")
        fields: dict[str, Any] = {"model": self.models.get(model or "", model if model in self.known_models else None)}
        if colon and provider in self.providers:
            return fields | {"provider": provider, "voice": own or None}
        return fields | {"voice": meant}

    def adapter(self, speaker: Mapping[str, Any]) -> str | None:
        """Which API the provider of such fields speaks: a client's settings may be its own."""
        return self.adapters.get(speaker.get("provider") or self.default_provider)

    def meant(self, voice: str | None) -> str | None:
        """What a client's name for a voice stands for; None: the relay's default."""
        if not voice:
            return self.default_voice
        if voice in self.voices:
            return self.voices[voice]
        return self.default_voice or voice

    def unknown_voice_hint(self) -> str:
        """What an operator does about a voice that no provider here has; for the end of a refusal."""
        return (
            f'; on this relay, names of voices can be given a meaning by [doors.{self.name}.voices] "name" = '
            f'"provider:voice", and all others by [doors.{self.name}] default_voice'
        )
