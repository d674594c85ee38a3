"""The relay without its sockets: providers, drivers, limits, metrics. `relay say` uses it as the server does."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from relay.config import Config, ProviderConfig
from relay.core.effects import OpenTurn
from relay.core.events import ProviderChoice, TurnCancelled, TurnRequest
from relay.core.formats import NATIVE
from relay.core.playout import Playout
from relay.core.record import TurnEnded, TurnRecord
from relay.core.traceparent import EXAMPLE, parent_of
from relay.drivers.dispatch import Drivers
from relay.engine.candidates import Candidate
from relay.engine.check import every_voice
from relay.engine.limits import SessionLimiter
from relay.engine.setup import (
    build_listable,
    build_providers,
    chosen_here,
    defaults_of,
    dialogue_patience,
    idle,
    is_mistake,
    limiters_of,
    limits_of,
    models_of,
    patience,
    read_ahead_of,
    rewriting_of,
    shapes_of,
    unusable,
    voice_choice_of,
)
from relay.engine.spending import Spending, shares_of
from relay.engine.ticker import Ticker
from relay.engine.too_long import AudioBound
from relay.engine.turn import TurnSettings
from relay.engine.voice_lists import VoiceLists
from relay.engine.voices import named_voices, speaking, spoken_as
from relay.engine.warmup import Warmup, keep_warm, learn_limits
from relay.errors import ClientError, Code, ProviderError, RelayError
from relay.metrics import Metrics
from relay.providers.base.provider import Provider, Speech, SpeechRequest, Voice
from relay.tracing import otlp

log = logging.getLogger(__name__)


class Engine:
    """Everything that the turns of all sessions share. Raises ConfigError where the configuration names what is not."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.draining = False
        self.ticker = Ticker()
        self.limits = limits_of(config)
        self.session_limiter = SessionLimiter(self.limits)
        self.spending = Spending(shares_of(config.limits.chars_per_minute, config.limits.chars_per_day))
        self.providers, self.missing = build_providers(config)
        self.defaults = defaults_of(config, self.providers, self.missing)
        self._voice_choice = voice_choice_of(config, self.defaults)
        self.limiters = limiters_of(config, self.providers)
        self._read_ahead = read_ahead_of(config)
        self._shapes = shapes_of(config)
        self._audio_bound = AudioBound(base_s=config.engine.audio_base_s, s_per_char=config.engine.audio_s_per_char)
        self._voice_lists = VoiceLists()
        self._rewriting = rewriting_of(config)
        self.metrics = Metrics(models_of(config, self.providers))
        self.tracing = otlp() if config.tracing.enabled else None
        self.drivers = Drivers(patience(config), dialogue_patience(config))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Starts the drivers; leaving ends every request, connection and worker they have."""
        for name, reason in self.missing.items():
            if is_mistake(self.config, name, reason):
                log.warning("provider %s cannot be used: %s", name, reason, extra={"provider": name})
        async with self.drivers:
            providers = list(self.providers.values())
            warming = keep_warm(self.drivers, list(self._warmups()), patience(self.config))
            background = [
                asyncio.create_task(warming, name="keep warm"),
                asyncio.create_task(learn_limits(self.drivers, providers, self.limiters), name="learn limits"),
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

    def _warmups(self) -> Iterator[Warmup]:
        """What to have open ahead of turns. A voice on this machine that nobody asks for takes no memory."""
        unused = idle(self.config, self.defaults)
        for name, provider in self.providers.items():
            if name not in unused:
                yield Warmup(
                    provider=provider,
                    wanted=self._wanted_by_default(name),
                    sockets=self.config.providers.get(name, ProviderConfig()).open_ahead,
                )

    def settings(self, opened: OpenTurn) -> TurnSettings:
        """What a turn was asked to be -> all that is needed to speak it. Raises ClientError."""
        request, rate = opened.request, opened.audio.sample_rate
        _check_traceparent(request.traceparent)
        rate_hz = None if rate == NATIVE else rate
        first, *others = self._choices(request)
        # A model, instructions and options of the turn are one provider's own: those of the first one. A voice is too,
        # unless it is a name that stands for one at each.
        general = SpeechRequest(language=request.language, sample_rate_hz=rate_hz)
        wanted = replace(
            general,
            voice=first.voice or request.voice,
            model=first.model or request.model,
            instructions=request.instructions,
            options={**request.options, **first.options},
        )
        if not (request.provider or request.providers):
            first, *others = self._fitting([first, *others], wanted)
        if wanted.voice is None:
            wanted = replace(wanted, voice=self._voice_choice.default_at(first.provider))
        return TurnSettings(
            audio=opened.audio,
            candidates=(
                self._candidate(first.provider, wanted),
                *(self._fallback(each, general, wanted.voice) for each in others),
            ),
            drivers=self.drivers,
            rewriting=self._rewriting.over(request.text_filter, request.lexicon),
            audio_bound=self._audio_bound,
        )

    def _choices(self, request: TurnRequest) -> Sequence[ProviderChoice]:
        """Who speaks, and who goes on if that one fails."""
        if request.providers:
            return request.providers
        if request.provider is not None:
            return [ProviderChoice(provider=request.provider)]
        return [ProviderChoice(provider=name) for name in (self.defaults.provider, *self.defaults.fallbacks)]

    def _fitting(self, choices: Sequence[ProviderChoice], wanted: SpeechRequest) -> Sequence[ProviderChoice]:
        """The voices on this machine, from the first that takes what is wanted: each speaks other languages. Providers
        that the operator chose stay as they are: what one refuses is the client's mistake."""
        for at, choice in enumerate(choices):
            if choice.provider not in chosen_here(self.config):
                break
            with suppress(ClientError):
                self.resolve(choice.provider, wanted)
                return choices[at:]
        return choices

    def _fallback(self, choice: ProviderChoice, general: SpeechRequest, voice: str | None) -> Candidate:
        """`voice` is that of the turn: a name is used where it stands for a voice of this provider too, else the
        provider speaks with its default."""
        if choice.voice is not None:
            voice = choice.voice
        elif choice.provider not in self.config.voices.get(voice or "", {}):
            voice = None
        return self._candidate(
            choice.provider, replace(general, voice=voice, model=choice.model, options=choice.options)
        )

    def _candidate(self, name: str, wanted: SpeechRequest) -> Candidate:
        return Candidate(
            provider=self.provider(name),
            speech=self.resolve(name, wanted),
            limiter=self.limiters[name],
            ahead=self._read_ahead,
            shape=self._shapes.get(name),
        )

    def resolve(self, name: str, wanted: SpeechRequest) -> Speech:
        """What is wanted of a provider, checked and with every default filled in; the voice may be a name of
        `[voices]`. Raises ClientError."""
        return self._voice_choice.resolved(self.provider(name), wanted)

    def _wanted_by_default(self, name: str) -> SpeechRequest:
        """What a turn that asks for nothing wants of a provider."""
        rate = self.defaults.audio.sample_rate
        voice = self._voice_choice.default_at(name)
        wanted = SpeechRequest(voice=voice, sample_rate_hz=None if rate == NATIVE else rate)
        return spoken_as(self.config.voices, name, wanted)

    def sample_gauges(self) -> None:
        """Tells the metrics how full everything is."""
        self.metrics.sample_gauges(sessions_limit=self.limits.max_sessions, slots=self.limiters.values())

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
            return {provider: speaking(await self._voices_of(self._listable(provider)), language)}, []
        found: dict[str, list[Voice]] = {}
        failed: list[RelayError] = []
        for name, each in self.providers.items():
            try:
                found[name] = speaking(await self._voices_of(each), language)
            except RelayError as error:
                failed.append(error)
        return found, failed

    def provider(self, name: str) -> Provider:
        """Raises ClientError for one that cannot be used."""
        if name in self.providers:
            return self.providers[name]
        raise ClientError(Code.INVALID_CONFIG, f"provider: {unusable(name, self.providers, self.missing)}")

    def _listable(self, name: str) -> Provider:
        """One that can be used, or whose voices can be listed all the same: a wrong voice is put right by the list."""
        if name not in self.providers and name in self.missing and (found := build_listable(self.config, name)):
            return found
        return self.provider(name)

    async def _voices_of(self, provider: Provider) -> list[Voice]:
        listed = await self._voice_lists.of(provider.name, lambda: every_voice(self.drivers, provider))
        return [*named_voices(self.config.voices, provider, listed), *listed]


def _check_traceparent(given: str | None) -> None:
    if given is not None and parent_of(given) is None:
        raise ClientError(
            Code.INVALID_CONFIG, f"traceparent has {len(given)} characters and is no W3C traceparent, such as {EXAMPLE}"
        )
