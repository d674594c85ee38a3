"""The relay without its sockets: providers, drivers, limits, metrics. `relay say` uses it as the server does."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from relay.config import Config
from relay.core.effects import OpenTurn
from relay.core.events import ProviderChoice, TurnCancelled, TurnRequest
from relay.core.formats import NATIVE
from relay.core.playout import Playout
from relay.core.record import TurnEnded, TurnRecord
from relay.core.timings import Timings
from relay.core.traceparent import EXAMPLE, parent_of
from relay.drivers.dispatch import Drivers
from relay.engine.candidates import Candidate
from relay.engine.limits import SessionLimiter
from relay.engine.setup import (
    budgets_of,
    build_providers,
    defaults_of,
    dialogue_patience,
    limits_of,
    models_of,
    patience,
)
from relay.engine.ticker import Ticker
from relay.engine.turn import TurnSettings
from relay.engine.warmup import keep_warm, learn_limits
from relay.errors import ClientError, Code, ProviderError, ProviderFault, RelayError
from relay.metrics import Metrics
from relay.providers.base.provider import Provider, SpeechRequest, Voice, VoiceQuery
from relay.tracing import otlp

log = logging.getLogger(__name__)

# More than this is a provider gone wrong, not a list of voices.
MAX_VOICE_PAGES = 50
MAX_VOICE_BYTES = 8 * 1024 * 1024


class Engine:
    """Everything that the turns of all sessions share. Raises ConfigError where the configuration names what is not."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.draining = False
        self.ticker = Ticker()
        self.limits = limits_of(config)
        self.places = SessionLimiter(self.limits)
        self.providers, self.missing = build_providers(config)
        self.defaults = defaults_of(config, self.providers)
        self.budgets = budgets_of(config, self.providers)
        self.metrics = Metrics(models_of(config, self.providers))
        self.tracing = otlp() if config.tracing.enabled else None
        self.drivers = Drivers(patience(config), dialogue_patience(config))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Starts the drivers; leaving ends every request, connection and worker they have."""
        async with self.drivers:
            providers = list(self.providers.values())
            background = [
                asyncio.create_task(keep_warm(self.drivers, providers, patience(self.config)), name="keep warm"),
                asyncio.create_task(learn_limits(self.drivers, providers, self.budgets), name="learn limits"),
            ]
            try:
                yield
            finally:
                for task in background:
                    task.cancel()
                await asyncio.wait(background)
                self.ticker.close()
                if self.tracing is not None:
                    await asyncio.to_thread(self.tracing.close)

    def settings(self, opened: OpenTurn) -> TurnSettings:
        """What a turn was asked to be -> all that is needed to speak it. Raises ClientError."""
        request, rate = opened.request, opened.audio.sample_rate
        _check_traceparent(request.traceparent)
        rate_hz = None if rate == NATIVE else rate
        # A voice, a model and options are one provider's own: what the turn says of them is for the first one.
        first, *others = self._choices(request)
        general = SpeechRequest(language=request.language, sample_rate_hz=rate_hz)
        wanted = replace(
            general,
            voice=first.voice or request.voice,
            model=first.model or request.model,
            instructions=request.instructions,
            options={**request.options, **first.options},
        )
        return TurnSettings(
            audio=opened.audio,
            candidates=(
                self._candidate(opened.provider, wanted),
                *(
                    self._candidate(
                        each.provider, replace(general, voice=each.voice, model=each.model, options=each.options)
                    )
                    for each in others
                ),
            ),
            drivers=self.drivers,
        )

    def _choices(self, request: TurnRequest) -> Sequence[ProviderChoice]:
        """Who speaks, and who goes on if that one fails."""
        if request.providers:
            return request.providers
        if request.provider is not None:
            return [ProviderChoice(provider=request.provider)]
        return [ProviderChoice(provider=name) for name in (self.defaults.provider, *self.defaults.fallbacks)]

    def _candidate(self, name: str, wanted: SpeechRequest) -> Candidate:
        provider = self.provider(name)
        return Candidate(provider=provider, speech=provider.resolve(wanted), limiter=self.budgets[name])

    def sample_gauges(self) -> None:
        """Tells the metrics how full everything is."""
        self.metrics.sample_gauges(sessions_limit=self.limits.max_sessions, places=self.budgets.values())

    def turn_opened(self, record: TurnRecord, playout: Playout) -> None:
        self.metrics.turn_opened(record, playout)

    def turn_ended(self, ended: TurnEnded, session_id: str | None) -> None:
        """Counts and traces a turn; one that an error has ended is logged too."""
        record, error = ended.record, ended.error
        if error is None:
            self._count(record, "cancelled" if isinstance(ended.event, TurnCancelled) else "done", session_id)
            return
        self._count(record, error.code, session_id)
        facts = {"session": session_id, "provider": record.provider, "code": error.code}
        if isinstance(error, ProviderError):
            facts["status"] = str(error.provider.status) if error.provider.status else None
        log.warning("turn failed: %s", error.message, extra=facts)

    def turn_abandoned(self, record: TurnRecord, session_id: str | None) -> None:
        """The client went away."""
        self._count(record, "disconnected", session_id)

    def error_told(self, error: RelayError) -> None:
        self.metrics.error_told(error.code)

    def underran(self, count: int, ms: float) -> None:
        self.metrics.underran(count, ms)

    def _count(self, record: TurnRecord, end: str, session_id: str | None) -> None:
        self.metrics.turn_ended(record, end)
        if self.tracing is not None:
            self.tracing.turn_ended(record, end, session_id)

    async def voices(
        self, provider: str | None = None, language: str | None = None
    ) -> tuple[dict[str, list[Voice]], list[RelayError]]:
        """The voices of one provider or of all, by provider, and what went wrong with those that did not answer.

        Raises RelayError where one provider was asked for.
        """
        if provider is not None:
            return {provider: _speaking(await self._voices_of(self.provider(provider)), language)}, []
        found: dict[str, list[Voice]] = {}
        failed: list[RelayError] = []
        for name, each in self.providers.items():
            try:
                found[name] = _speaking(await self._voices_of(each), language)
            except RelayError as error:
                failed.append(error)
        return found, failed

    def provider(self, name: str) -> Provider:
        """Raises ClientError for one that cannot be used."""
        if name in self.providers:
            return self.providers[name]
        if name in self.missing:
            raise ClientError(Code.INVALID_CONFIG, f"provider {name!r} is not configured: {self.missing[name]}")
        raise ClientError(
            Code.INVALID_CONFIG, f"provider is {name!r}; it must be one of {', '.join(sorted(self.providers))}"
        )

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


def _check_traceparent(given: str | None) -> None:
    if given is not None and parent_of(given) is None:
        raise ClientError(
            Code.INVALID_CONFIG, f"traceparent has {len(given)} characters and is no W3C traceparent, such as {EXAMPLE}"
        )


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
