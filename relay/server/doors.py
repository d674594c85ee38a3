"""`[doors.NAME]` in the configuration -> the protocols that are served beside the relay's own."""

from collections.abc import Mapping, Sequence

from relay.config import Config, ConfigError, DoorConfig
from relay.engine.engine import Engine
from relay.engine.setup import adapter_of
from relay.protocols.base import HttpProtocol, Known, KnownVoice
from relay.protocols.table import DOORS, OWN, Door
from relay.providers.base.provider import Voice


def protocols_of(config: Config, engine: Engine) -> list[HttpProtocol]:
    """The relay's own, and each door that is not switched off. Raises ConfigError for a door there is none of, and for
    a voice of a provider there is none of."""
    for name in config.doors:
        if name not in DOORS:
            raise ConfigError(f"doors.{name}: there is no such door; there are {', '.join(DOORS)}")
    made: list[HttpProtocol] = [OWN]
    for name, protocols in DOORS.items():
        settings = config.doors.get(name, DoorConfig())
        if settings.enabled:
            door = _door(name, settings, config, engine)
            made += [make(door) for make in protocols]
    return made


def _door(name: str, settings: DoorConfig, config: Config, engine: Engine) -> Door:
    providers = (*engine.providers, *engine.missing)
    for key, target in ((f"voices.{voice}", target) for voice, target in settings.voices.items()):
        _check(f"doors.{name}.{key}", target, providers, config)
    if settings.default_voice is not None:
        _check(f"doors.{name}.default_voice", settings.default_voice, providers, config)
    return Door(
        name=name,
        voices=settings.voices,
        default_voice=settings.default_voice,
        models=settings.models,
        providers=frozenset(providers),
        known_models=_models(engine),
        adapters={provider: adapter_of(config, provider) for provider in providers},
        default_provider=engine.defaults.provider,
    )


def _models(engine: Engine) -> frozenset[str]:
    return frozenset(model for provider in engine.providers.values() for model in provider.capabilities.models)


def _check(key: str, target: str, providers: tuple[str, ...], config: Config) -> None:
    provider, colon, _ = target.partition(":")
    if target in config.voices or (colon and provider in providers):
        return
    names = f", or a name of [voices]: {', '.join(config.voices)}" if config.voices else ""
    raise ConfigError(
        f'{key} is {target!r}; it must be "provider:voice" with one of {", ".join(providers)} in front{names}'
    )


def known_of(engine: Engine, found: Mapping[str, Sequence[Voice]]) -> Known:
    """What a client of any protocol can choose from, as it has to name it: a voice of the default provider and a name
    of `[voices]` by itself, others with their provider in front."""
    voices = [
        KnownVoice(
            id=voice.id if provider == engine.defaults.provider else f"{provider}:{voice.id}",
            name=voice.name,
            provider=provider,
            languages=voice.languages,
            gender=voice.gender,
            description=voice.description,
        )
        for provider, listed in found.items()
        for voice in listed
    ]
    return Known(voices=voices, models=sorted(_models(engine)))
