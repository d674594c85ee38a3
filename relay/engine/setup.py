"""The configuration -> what a relay is made of. Pure; raises ConfigError naming the key that is wrong."""

import importlib.util
from collections.abc import Mapping
from contextlib import suppress
from typing import cast

import msgspec

from relay.config import Config, ConfigError, ProviderConfig, VoiceConfig, WrongProvider
from relay.core.allowance import Rate
from relay.core.events import Pacing, SessionDefaults, SessionLimits
from relay.core.formats import AudioFormat, AudioRequest, Encoding
from relay.core.text.filters import parse_filters
from relay.core.text.lexicon import Lexicon
from relay.drivers.http.settings import HttpSettings
from relay.drivers.ws.settings import WsSettings
from relay.engine.concurrency import ConcurrencyLimiter
from relay.engine.limits import Limits
from relay.engine.read_ahead import ReadAheadBudget
from relay.engine.rewritten import Rewriting
from relay.engine.voices import VoiceChoice, spoken_as, voice_at
from relay.errors import RelayError
from relay.providers.base import checks
from relay.providers.base.provider import Provider, ProviderSettings, SpeechRequest
from relay.providers.catalog import BUILT_IN, PROVIDERS
from relay.store import spent_tokens
from relay.store.base import SpentTokens

# Of one session on a relay with keys: more than anyone can hear, less than a program that goes round in circles does.
TURNS_PER_S = 5.0


def build_providers(config: Config) -> tuple[dict[str, Provider], dict[str, str]]:
    """The instances that can be used, and why the others cannot: one for each adapter under its own name, and those
    that are configured under another. What is wrong with one does not concern the others."""
    usable, missing = {}, {}
    for name in (*PROVIDERS, *(name for name in config.providers if name not in PROVIDERS)):
        own = config.providers.get(name, ProviderConfig())
        if isinstance(own, WrongProvider):
            missing[name] = f"wrong settings: {own.reason}"
            continue
        try:
            settings = _settings(name, own, config.voices)
            provider = PROVIDERS[adapter_of(config, name)](settings)
        except RelayError as error:
            missing[name] = f"wrong settings: {error.message}"
            continue
        if own.preset is not None and own.preset not in provider.capabilities.presets:
            missing[name] = (
                f"wrong settings: {name}.preset is {own.preset!r}; {adapter_of(config, name)} has no presets"
            )
        elif lacks := _lacks(name, adapter_of(config, name), provider, own):
            missing[name] = lacks
        else:
            usable[name] = provider
    return usable, missing


def is_mistake(config: Config, name: str, reason: str) -> bool:
    """Whether somebody should put right that an instance cannot be used, for that reason. An adapter that merely has no
    key is none, unless turns are to fail over to it: most relays use one or two of the catalog."""
    without_key = reason.startswith("no ") and adapter_of(config, name) == name
    return not without_key or name in config.defaults.fallbacks


def build_listable(config: Config, name: str) -> Provider | None:
    """An instance that cannot be used, as far as its voices can be listed: with its address and key alone."""
    own = config.providers.get(name, ProviderConfig())
    if isinstance(own, WrongProvider):
        return None
    bare = ProviderSettings(
        name=name, api_key=own.api_key, base_url=own.base_url, user_id=own.user_id, preset=own.preset
    )
    adapter = adapter_of(config, name)
    try:
        provider = PROVIDERS[adapter](bare)
    except RelayError:
        return None
    return None if _lacks(name, adapter, provider, own) else provider


def adapter_of(config: Config, name: str) -> str:
    """The adapter of an instance. Raises ConfigError for one that is none: the configuration was not loaded by
    `config.load`, which checks that."""
    own = config.providers.get(name)
    adapter = (own.adapter if own is not None else None) or name
    if adapter not in PROVIDERS:
        raise ConfigError(f"providers.{name}: {adapter} is no provider; there are {', '.join(PROVIDERS)}")
    return adapter


def models_of(config: Config, providers: Mapping[str, Provider]) -> dict[str, frozenset[str]]:
    """The models that each instance is known to have: those it lists, and those that are configured."""
    known = {}
    for name, provider in providers.items():
        own = config.providers.get(name, ProviderConfig()).model
        of_voices = [voice_at(config.voices, voice, name).model for voice, at in config.voices.items() if name in at]
        known[name] = frozenset(model for model in (*provider.capabilities.models, own, *of_voices) if model)
    return known


def limiters_of(config: Config, providers: Mapping[str, Provider]) -> dict[str, ConcurrencyLimiter]:
    """How many requests may run at each provider: as configured, or as the provider documents for everyone."""
    limiters = {}
    for name, provider in providers.items():
        own = config.providers.get(name, ProviderConfig())
        limit = own.max_concurrent or provider.capabilities.max_concurrent
        limiters[name] = ConcurrencyLimiter(
            name, limit, timeout_s=own.queue_timeout_s, longest_closure_s=config.engine.longest_closure_s
        )
    return limiters


def shapes_of(config: Config) -> dict[str, AudioFormat]:
    """The shape of headerless audio, of the instances whose operator says it."""
    return {
        name: AudioFormat(encoding=audio.encoding, sample_rate_hz=audio.sample_rate, channels=audio.channels)
        for name, own in config.providers.items()
        if (audio := own.audio) is not None
    }


def read_ahead_of(config: Config) -> ReadAheadBudget:
    """How much may be read ahead of listeners while others wait for a slot."""
    engine = config.engine
    return ReadAheadBudget(turn_bytes=engine.read_ahead_bytes, total_bytes=engine.read_ahead_total_bytes)


def unusable(name: str, providers: Mapping[str, Provider], missing: Mapping[str, str]) -> str:
    """Why an instance cannot be used, and which can."""
    valid = f"usable are: {', '.join(sorted(providers)) or 'none'}"
    if name in missing:
        return f"{name} cannot be used ({missing[name]}); {valid}"
    without = [each for each, reason in missing.items() if reason.startswith("no ")]
    also = f"; not configured are: {', '.join(without)}" if without else ""
    return f"there is no provider {name!r}; {valid}{also}"


def _lacks(name: str, adapter: str, provider: Provider, own: ProviderConfig) -> str:
    """What an instance still needs, and where to set it."""
    facts = provider.capabilities
    needs = (
        ("key", "api_key", facts.needs_key),
        ("user id", "user_id", facts.needs_user_id),
        ("address of a server", "base_url", facts.needs_base_url),
    )
    reasons = []
    for what, key, needed in needs:
        if needed and not getattr(own, key):
            where = checks.place(name, adapter, key, own.preset)
            if key == "api_key" and own.api_key_env:
                where = f"{own.api_key_env}, which providers.{name}.api_key_env names"
            reasons.append(f"no {what}: set {where}")
    reasons += [
        f"no package {package.module}: pip install 'speech-relay[{package.extra}]'"
        for package in facts.needs_packages
        if importlib.util.find_spec(package.module) is None
    ]
    return "; ".join(reasons)


def _settings(
    name: str, own: ProviderConfig, voices: Mapping[str, Mapping[str, str | VoiceConfig]]
) -> ProviderSettings:
    """Raises ClientError for a default voice that is a name of `[voices]` without a voice for this instance."""
    voice, model, language, options = own.voice, own.model, own.language, own.options
    if voice is not None and voice in voices:
        meant = voice_at(voices, voice, name)
        voice, model, language = meant.voice, model or meant.model, language or meant.language
        options = {**meant.options, **options}
    return ProviderSettings(
        name=name,
        api_key=own.api_key,
        base_url=own.base_url,
        user_id=own.user_id,
        voice=voice,
        model=model,
        language=language,
        preset=own.preset,
        options=options,
    )


def patience(config: Config) -> HttpSettings:
    try:
        own = msgspec.structs.asdict(config.http)
        return HttpSettings(**{**own, "download_hosts": tuple(config.http.download_hosts)})
    except ValueError as error:
        raise ConfigError(f"http.{error}") from error


def dialogue_patience(config: Config) -> WsSettings:
    try:
        return WsSettings(**msgspec.structs.asdict(config.websocket))
    except ValueError as error:
        raise ConfigError(f"websocket.{error}") from error


def spent_tokens_of(config: Config, shared: str) -> SpentTokens:
    """Where spent tokens are remembered; `shared` is the address that processes of one relay share, if they do."""
    kind, _, place = config.tokens.store.partition(":")
    if shared and config.tokens.store and (kind == "memory" or place.strip() in ("", ":memory:")):
        raise ConfigError(
            f"tokens.store is {config.tokens.store!r}, which each of several workers has for itself, so that a token"
            " would be good once in each; give sqlite:PATH, or leave it out"
        )
    try:
        return spent_tokens(config.tokens.store or shared or "memory:")
    except RelayError as error:
        raise ConfigError(f"tokens.store: {error.message}") from error


def rewriting_of(config: Config) -> Rewriting:
    """What is done to the text of turns that say nothing of it."""
    try:
        filters = parse_filters(config.defaults.text_filter, "defaults.text_filter")
        return Rewriting(filters, Lexicon.parse(config.lexicon) if config.lexicon else None)
    except RelayError as error:
        raise ConfigError(error.message) from error


def _turn_rate(config: Config) -> Rate | None:
    """Without keys nobody but this machine's user calls, whose own programs may do as they like."""
    limits = config.limits
    per_s = limits.turns_per_s
    if per_s is None:
        per_s = TURNS_PER_S if config.server.keys else 0.0
    return Rate(per_s=per_s, burst=limits.turn_burst) if per_s else None


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
            turns=_turn_rate(config),
        ),
    )


def _speakers(config: Config, providers: Mapping[str, Provider], missing: Mapping[str, str]) -> list[str]:
    """Who speaks a turn that names no provider, and who goes on where that one fails, in order; at least one."""
    defaults = config.defaults
    for name in defaults.fallbacks:
        if name not in providers and name not in missing:
            raise ConfigError(f"defaults.fallbacks: {unusable(name, providers, missing)}")
    # One that cannot be used must not keep the default one from speaking; the log names it at the start.
    fallbacks = [name for name in defaults.fallbacks if name in providers]
    if defaults.provider is not None:
        if defaults.provider not in providers:
            raise ConfigError(f"defaults.provider: {unusable(defaults.provider, providers, missing)}")
        return [defaults.provider, *fallbacks]
    built_in = [name for name in BUILT_IN if name in providers]
    if not built_in:
        lacks = "; ".join(f"{name}: {missing[name]}" for name in BUILT_IN)
        raise ConfigError(f"defaults.provider is not set, and no voice on this machine can be used ({lacks})")
    for name in built_in:
        with suppress(RelayError):
            providers[name].resolve(spoken_as(config.voices, name, SpeechRequest(voice=defaults.voice)))
            first = name
            break
    else:
        first = built_in[0]
    return list(dict.fromkeys([first, *built_in, *fallbacks]))


def chosen_here(config: Config) -> tuple[str, ...]:
    """The voices on this machine, where the operator leaves the choice among them to the relay."""
    return BUILT_IN if config.defaults.provider is None else ()


def idle(config: Config, defaults: SessionDefaults) -> set[str]:
    """The voices on this machine that only a turn which names them would use: they take no memory before that."""
    return set(BUILT_IN) - {defaults.provider, *defaults.fallbacks, *config.providers}


def voice_choice_of(config: Config, defaults: SessionDefaults) -> VoiceChoice:
    return VoiceChoice(names=config.voices, default_provider=defaults.provider, default_voice=config.defaults.voice)


def defaults_of(config: Config, providers: Mapping[str, Provider], missing: Mapping[str, str]) -> SessionDefaults:
    """What a turn gets that asks for nothing; the voice is the provider's own default, where it has one."""
    defaults, audio = config.defaults, config.defaults.audio
    provider, *fallbacks = _speakers(config, providers, missing)
    try:
        wanted = spoken_as(config.voices, provider, SpeechRequest(voice=defaults.voice))
        spoken = providers[provider].resolve(wanted)
        voice: str | None = defaults.voice or spoken.voice
    except RelayError as error:
        if defaults.voice is not None:
            raise ConfigError(f"defaults.voice: {error.message}") from error
        voice = None
    try:
        return SessionDefaults(
            provider=provider,
            fallbacks=tuple(fallbacks),
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
