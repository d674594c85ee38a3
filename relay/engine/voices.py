"""Names for voices: what `[voices]` says a name stands for at a provider, and the voices that providers list.

This file does not know which providers there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from relay.config import VoiceConfig
from relay.errors import ClientError, Code
from relay.providers.base.provider import NamesItsVoices, Provider, Speech, SpeechRequest, Voice

# A name -> instance -> its voice there.
VoiceNames: TypeAlias = Mapping[str, Mapping[str, str | VoiceConfig]]


def voice_at(names: VoiceNames, voice: str, provider: str) -> VoiceConfig:
    """What a name stands for at a provider. Raises ClientError `voice_not_found` where it stands for nothing there."""
    meant = names[voice].get(provider)
    if meant is None:
        known = ", ".join(names[voice]) or "none"
        raise ClientError(
            Code.VOICE_NOT_FOUND,
            f"voice is {voice!r}, which [voices] does not give for {provider}; it does for {known}",
        )
    return VoiceConfig(voice=meant) if isinstance(meant, str) else meant


def spoken_as(names: VoiceNames, provider: str, wanted: SpeechRequest) -> SpeechRequest:
    """What is asked of a provider where the voice may be a name: the name's own model, language and options are laid
    under those of the wish. Raises ClientError."""
    if wanted.voice is None or wanted.voice not in names:
        return wanted
    meant = voice_at(names, wanted.voice, provider)
    return replace(
        wanted,
        voice=meant.voice,
        model=wanted.model or meant.model,
        language=wanted.language or meant.language,
        options={**meant.options, **wanted.options},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceChoice:
    """Which voice a turn gets at each provider: by a name of `[voices]`, by the provider's own id, or by default."""

    names: VoiceNames
    default_provider: str
    default_voice: str | None = None

    def default_at(self, provider: str) -> str | None:
        """The voice of a turn that names none: `defaults.voice` where that stands for a voice of this provider, or is
        the default provider's own; else None, for the provider's default."""
        voice = self.default_voice
        if voice is not None and voice in self.names:
            return voice if provider in self.names[voice] else None
        return voice if provider == self.default_provider else None

    def resolved(self, provider: Provider, wanted: SpeechRequest) -> Speech:
        """What is wanted of a provider, checked and with every default filled in; without a voice the provider's own
        default. Raises ClientError."""
        speech = provider.resolve(spoken_as(self.names, provider.name, wanted))
        return replace(speech, voice_name=wanted.voice) if wanted.voice in self.names else speech


def is_named(provider: Provider, voice: str, listed: Voice) -> bool:
    """Whether `voice` asks for a voice that the provider lists."""
    if isinstance(provider, NamesItsVoices):
        return provider.is_named(voice, listed)
    return voice in (listed.id, listed.name)


def named_voices(names: VoiceNames, provider: Provider, listed: Sequence[Voice]) -> list[Voice]:
    """The names that stand for a voice of a provider, as voices: what is known of the voice itself is told of them."""
    found = []
    for name, providers in names.items():
        if provider.name not in providers:
            continue
        meant = voice_at(names, name, provider.name)
        known = next((voice for voice in listed if is_named(provider, meant.voice, voice)), None)
        languages = (meant.language,) if meant.language else known.languages if known else ()
        found.append(
            Voice(
                id=name,
                name=name,
                languages=languages,
                gender=known.gender if known else None,
                description=known.description if known else None,
                stands_for=meant.voice,
            )
        )
    return found


def speaking(voices: Sequence[Voice], language: str | None) -> list[Voice]:
    """Voices for a language tag: `en` also finds `en-GB`."""
    if language is None:
        return list(voices)
    wanted = language.lower()
    return [
        voice
        for voice in voices
        if any(tag.lower() == wanted or tag.lower().startswith(f"{wanted}-") for tag in voice.languages)
    ]
