"""The configuration -> what a relay is made of. Pure; raises ConfigError naming the key that is wrong."""

from collections.abc import Mapping
from typing import cast

import msgspec

from relay.config import Config, ConfigError, ProviderConfig
from relay.core.events import Pacing, SessionDefaults, SessionLimits
from relay.core.formats import AudioRequest, Encoding
from relay.drivers.http.settings import HttpSettings
from relay.drivers.ws.settings import WsSettings
from relay.engine.concurrency import ConcurrencyLimiter
from relay.engine.limits import Limits
from relay.errors import RelayError
from relay.providers.base.provider import Provider, ProviderSettings, SpeechRequest
from relay.providers.catalog import PROVIDERS
from relay.store import spent_tokens
from relay.store.base import SpentTokens


def build_providers(config: Config) -> tuple[dict[str, Provider], dict[str, str]]:
    """The providers that can be used, and what the others lack. Raises ConfigError for settings a provider refuses."""
    usable, missing = {}, {}
    for name, build in PROVIDERS.items():
        settings = _settings(config.providers.get(name, ProviderConfig()))
        try:
            provider = build(settings)
        except RelayError as error:
            raise ConfigError(f"providers.{name}: {error.message}") from error
        if lacks := _lacks(name, provider, settings):
            missing[name] = lacks
        else:
            usable[name] = provider
    return usable, missing


def models_of(config: Config, providers: Mapping[str, Provider]) -> dict[str, frozenset[str]]:
    """The models that each provider is known to have: those it lists, and the one that is configured."""
    known = {}
    for name, provider in providers.items():
        own = config.providers.get(name, ProviderConfig()).model
        known[name] = frozenset((*provider.capabilities.models, *([own] if own else [])))
    return known


def budgets_of(config: Config, providers: Mapping[str, Provider]) -> dict[str, ConcurrencyLimiter]:
    """How many requests may run at each provider: as configured, or as the provider documents for everyone."""
    budgets = {}
    for name, provider in providers.items():
        own = config.providers.get(name, ProviderConfig())
        limit = own.max_concurrent or provider.capabilities.max_concurrent
        budgets[name] = ConcurrencyLimiter(name, limit, timeout_s=own.queue_timeout_s)
    return budgets


def _lacks(name: str, provider: Provider, settings: ProviderSettings) -> str:
    facts = provider.capabilities
    needs = (
        ("key", "api_key", facts.needs_key),
        ("user id", "user_id", facts.needs_user_id),
        ("address of a server", "base_url", facts.needs_base_url),
    )
    return "; ".join(
        f"no {what}: set {name.upper()}_{field.upper()}, or providers.{name}.{field} in the configuration"
        for what, field, needed in needs
        if needed and not getattr(settings, field)
    )


def _settings(config: ProviderConfig) -> ProviderSettings:
    return ProviderSettings(
        api_key=config.api_key,
        base_url=config.base_url,
        user_id=config.user_id,
        voice=config.voice,
        model=config.model,
        language=config.language,
        options=config.options,
    )


def patience(config: Config) -> HttpSettings:
    try:
        return HttpSettings(**msgspec.structs.asdict(config.http))
    except ValueError as error:
        raise ConfigError(f"http.{error}") from error


def dialogue_patience(config: Config) -> WsSettings:
    try:
        return WsSettings(**msgspec.structs.asdict(config.websocket))
    except ValueError as error:
        raise ConfigError(f"websocket.{error}") from error


def spent_tokens_of(config: Config, shared: str) -> SpentTokens:
    """Where spent tokens are remembered; `shared` is the address that processes of one relay share, if they do."""
    try:
        return spent_tokens(config.tokens.store or shared or "memory:")
    except RelayError as error:
        raise ConfigError(f"tokens.store: {error.message}") from error


def limits_of(config: Config) -> Limits:
    limits = config.limits
    return Limits(
        max_sessions=limits.max_sessions,
        max_sessions_per_client=limits.max_sessions_per_client,
        slow_client_timeout_s=limits.slow_client_timeout_s,
        session=SessionLimits(
            max_message_bytes=limits.max_message_bytes,
            max_turn_chars=limits.max_turn_chars,
            max_open_turns=limits.max_open_turns,
            idle_timeout_s=limits.idle_timeout_s,
            text_high_water_chars=limits.text_high_water_chars,
            text_low_water_chars=limits.text_low_water_chars,
        ),
    )


def defaults_of(config: Config, providers: Mapping[str, Provider]) -> SessionDefaults:
    """What a turn gets that asks for nothing; the voice is the provider's own default, where it has one."""
    defaults, audio = config.defaults, config.defaults.audio
    if defaults.provider not in providers:
        raise ConfigError(
            f"defaults.provider is {defaults.provider!r}; configured and usable are: {', '.join(providers) or 'none'}"
        )
    for name in defaults.fallbacks:
        if name not in providers:
            raise ConfigError(f"defaults.fallbacks names {name!r}; configured and usable are: {', '.join(providers)}")
    try:
        voice: str | None = providers[defaults.provider].resolve(SpeechRequest()).voice
    except RelayError:
        voice = None
    try:
        return SessionDefaults(
            provider=defaults.provider,
            fallbacks=tuple(defaults.fallbacks),
            voice=voice,
            audio=AudioRequest(
                encoding=cast("Encoding", audio.encoding),  # checked there
                sample_rate=audio.sample_rate,
                channels=audio.channels,
                frame_ms=audio.frame_ms,
                tail=audio.tail,
            ),
            pacing=Pacing(
                mode=defaults.pacing.mode, lead_ms=defaults.pacing.lead_ms, burst_ms=defaults.pacing.burst_ms
            ),
        )
    except RelayError as error:
        raise ConfigError(f"defaults.{error.message}") from error
