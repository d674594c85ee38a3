"""The relay without its sockets: providers, drivers, limits, metrics. `relay say` uses it as the server does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import msgspec

from relay.config import Config, ConfigError, ProviderConfig
from relay.core.events import Pacing, SessionDefaults, SessionLimits
from relay.core.formats import NATIVE, AudioRequest, Encoding
from relay.core.session import OpenTurn
from relay.core.timings import Timings
from relay.errors import ClientError, Code, ProviderError, ProviderFault, RelayError
from relay.metrics import Metrics
from relay.providers.base import Provider, ProviderSettings, Voice, VoiceQuery, Wanted
from relay.providers.catalog import PROVIDERS
from relay.providers.drivers.dispatch import Drivers
from relay.providers.http_settings import HttpSettings
from relay.server.limits import Limits, Places
from relay.server.ticker import Ticker
from relay.server.turn import TurnSettings

# More than this is a provider gone wrong, not a list of voices.
MAX_VOICE_PAGES = 50
MAX_VOICE_BYTES = 8 * 1024 * 1024


class Relay:
    """Everything that the turns of all sessions share. Raises ConfigError where the configuration names what is not."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.draining = False
        self.ticker = Ticker()
        self.metrics = Metrics()
        self.limits = _limits(config)
        self.places = Places(self.limits)
        self.defaults = _defaults(config)
        self.providers = _usable(config)
        self.drivers = Drivers(_patience(config))
        if self.defaults.provider not in self.providers:
            raise ConfigError(
                f"defaults.provider is {self.defaults.provider!r}; "
                f"configured and usable are: {', '.join(self.providers) or 'none'}"
            )

    @property
    def provider_names(self) -> frozenset[str]:
        return frozenset(self.providers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Starts the drivers; leaving ends every request, connection and worker they have."""
        async with self.drivers:
            try:
                yield
            finally:
                self.ticker.close()

    def settings(self, opened: OpenTurn) -> TurnSettings:
        """What a turn was asked to be -> all that is needed to speak it. Raises ClientError."""
        request, provider = opened.request, self.providers[opened.provider]
        rate = opened.audio.sample_rate
        speech = provider.resolve(
            Wanted(
                voice=request.voice,
                model=request.model,
                language=request.language,
                instructions=request.instructions,
                sample_rate_hz=None if rate == NATIVE else rate,
                options=request.options,
            )
        )
        return TurnSettings(
            turn_id=opened.turn_id,
            index=opened.turn_index,
            audio=opened.audio,
            pacing=opened.pacing,
            window_ms=request.window_ms,
            provider=provider,
            driver=self.drivers,
            dialogues=self.drivers,
            speech=speech,
        )

    async def voices(self, provider: str | None = None, language: str | None = None) -> dict[str, list[Voice]]:
        """The voices of one provider or of all, by provider. Raises RelayError; of all, those that answer."""
        if provider is not None:
            if provider not in self.providers:
                raise ClientError(
                    Code.INVALID_CONFIG,
                    f"provider is {provider!r}; it must be one of {', '.join(sorted(self.providers))}",
                )
            return {provider: _speaking(await self._voices_of(self.providers[provider]), language)}
        found = {}
        for name, each in self.providers.items():
            try:
                found[name] = _speaking(await self._voices_of(each), language)
            except RelayError:
                continue
        return found

    async def _voices_of(self, provider: Provider) -> list[Voice]:
        answer = provider.voices()
        voices: list[Voice] = []
        for _ in range(MAX_VOICE_PAGES):
            if not isinstance(answer, VoiceQuery):
                return voices + answer
            page, following = answer.parse(await self._whole_reply(provider, answer))
            voices += page
            if following is None:
                return voices
            answer = following
        return voices

    async def _whole_reply(self, provider: Provider, query: VoiceQuery) -> bytes:
        body = bytearray()
        async with self.drivers.open(query.request, Timings()) as reply:
            async for piece in reply:
                body += piece if isinstance(piece, bytes) else b""
                if len(body) > MAX_VOICE_BYTES:
                    raise ProviderError(
                        Code.PROVIDER_UNAVAILABLE,
                        f"{provider.name}'s list of voices is longer than {MAX_VOICE_BYTES} bytes",
                        provider=ProviderFault(name=provider.name),
                    )
        return bytes(body)


def unusable(config: Config) -> dict[str, str]:
    """The known providers that cannot be used, with what is missing."""
    missing = {}
    for name, build in PROVIDERS.items():
        settings = _settings(config.providers.get(name, ProviderConfig()))
        facts = build(settings).capabilities
        needs = (
            ("key", "api_key", facts.needs_key),
            ("user id", "user_id", facts.needs_user_id),
            ("address of a server", "base_url", facts.needs_base_url),
        )
        lacks = [
            f"no {what}: set {name.upper()}_{field.upper()}, or providers.{name}.{field} in the configuration"
            for what, field, needed in needs
            if needed and not getattr(settings, field)
        ]
        if lacks:
            missing[name] = "; ".join(lacks)
    return missing


def _usable(config: Config) -> dict[str, Provider]:
    without_key = unusable(config)
    built = {}
    for name, build in PROVIDERS.items():
        if name in without_key:
            continue
        try:
            built[name] = build(_settings(config.providers.get(name, ProviderConfig())))
        except RelayError as error:
            raise ConfigError(f"providers.{name}: {error.message}") from error
    return built


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


def _patience(config: Config) -> HttpSettings:
    try:
        return HttpSettings(**msgspec.structs.asdict(config.http))
    except ValueError as error:
        raise ConfigError(f"http.{error}") from error


def _limits(config: Config) -> Limits:
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


def _defaults(config: Config) -> SessionDefaults:
    defaults, audio = config.defaults, config.defaults.audio
    own = config.providers.get(defaults.provider, ProviderConfig())
    try:
        return SessionDefaults(
            provider=defaults.provider,
            voice=own.voice,
            audio=AudioRequest(
                encoding=cast("Encoding", audio.encoding),  # checked there
                sample_rate=audio.sample_rate,
                channels=audio.channels,
                frame_ms=audio.frame_ms,
                tail=audio.tail,
            ),
            pacing=Pacing(mode=defaults.pacing.mode, lead_ms=defaults.pacing.lead_ms),
        )
    except RelayError as error:
        raise ConfigError(f"defaults.{error.message}") from error


def _speaking(voices: list[Voice], language: str | None) -> list[Voice]:
    """Voices for a language tag: `en` also finds `en-GB`."""
    if language is None:
        return voices
    wanted = language.lower()
    return [
        voice
        for voice in voices
        if any(tag.lower() == wanted or tag.lower().startswith(f"{wanted}-") for tag in voice.languages)
    ]
