"""Turns past the relay: the same adapter and driver, the same decoder, and nothing behind it.

This is what the relay is measured against. The first byte of such a turn is what a plain HTTP client would see; its
first audio is its first decoded sample, so of a text of one sentence the difference to a turn through the relay is
framing, the outbox, two sockets and a client. A longer text is sent whole, where the relay sends its first segment.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from types import TracebackType
from typing import Self

from relay.bench.plan import Connection, Shot, Target
from relay.bench.spoken import TIMEOUT_CODE, Spoken
from relay.codecs.onset import OnsetDetector
from relay.core.timings import Stage, Timings
from relay.drivers.dispatch import Drivers
from relay.engine.audio import decoded
from relay.engine.voices import VoiceChoice
from relay.errors import ClientError, Code, RelayError
from relay.providers.base.dialogue import takes_text_as_typed
from relay.providers.base.http import HttpRequest, WordTime
from relay.providers.base.provider import Provider, Reply, Speech, SpeechRequest

__all__ = ["Direct", "resolved"]


class Direct:
    """Speaks by the providers themselves. Warm turns share the drivers, and so their connections; a cold one has
    drivers of its own, and the connection (name, TCP, TLS, a worker's start) counts."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        voices: VoiceChoice,
        drivers: Callable[[], Drivers],
        *,
        sample_rate_hz: int | None,
        timeout_s: float,
    ) -> None:
        self._providers = providers
        self._voices = voices
        self._new_drivers = drivers
        self._sample_rate_hz = sample_rate_hz
        self._timeout_s = timeout_s
        self._drivers = drivers()
        self._kept = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._kept.enter_async_context(self._drivers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._kept.aclose()

    async def speak(self, shot: Shot) -> Spoken:
        spoken, timings = Spoken(start_s=time.monotonic()), Timings()
        try:
            async with asyncio.timeout(self._timeout_s):
                speech = resolved(self._providers, self._voices, shot.case.target, self._sample_rate_hz, shot.language)
                spoken.spoken_by = speech.voice
                if shot.case.connection is Connection.WARM:
                    await self._turn(self._drivers, speech, shot, spoken, timings)
                else:
                    async with self._new_drivers() as drivers:
                        await self._turn(drivers, speech, shot, spoken, timings)
        except RelayError as error:
            spoken.code = error.code.value
        except TimeoutError:
            spoken.code = TIMEOUT_CODE
        at_s = timings.instants_s
        if Stage.REQUEST_SENT in at_s:
            spoken.request_sent_ms = spoken.since_start_ms(at_s[Stage.REQUEST_SENT])
        if Stage.FIRST_BYTE in at_s:
            spoken.ttfb_ms = spoken.since_start_ms(at_s[Stage.FIRST_BYTE])
        spoken.connection_reused = timings.connection_reused
        return spoken

    async def _turn(self, drivers: Drivers, speech: Speech, shot: Shot, spoken: Spoken, timings: Timings) -> None:
        provider = self._providers[shot.case.target.provider]
        if shot.case.connection is Connection.WARM:
            await self._warm(drivers, provider, speech, shot.text)
        onset, audio_s = OnsetDetector(), 0.0
        spoken.start_s = time.monotonic()
        async with (
            _opened(drivers, provider, speech, shot.text, timings) as reply,
            aclosing(decoded(reply, provider.name)) as pieces,
        ):
            async for blocks in pieces:
                if isinstance(blocks, WordTime) or not blocks:
                    continue
                if spoken.ttfa_ms is None:
                    spoken.ttfa_ms = spoken.first_sample_ms = spoken.since_start_ms(time.monotonic())
                for block in blocks:
                    onset.feed(block)
                    audio_s += len(block.samples) / block.sample_rate_hz
            spoken.total_ms = spoken.since_start_ms(time.monotonic())
            spoken.cost_usd = _dollars(reply)
        spoken.audio_ms = round(audio_s * 1000, 3)
        spoken.leading_silence_ms = onset.leading_silence_ms

    async def _warm(self, drivers: Drivers, provider: Provider, speech: Speech, text: str) -> None:
        """An open connection for a warm turn, should the last one have been closed meanwhile."""
        if takes_text_as_typed(provider, speech) or _too_long(provider, text):
            return
        upstream = provider.request(speech, text)
        if isinstance(upstream, HttpRequest):
            await drivers.http.warm({provider.name: upstream.url})


def resolved(
    providers: Mapping[str, Provider],
    voices: VoiceChoice,
    target: Target,
    sample_rate_hz: int | None,
    language: str | None = None,
) -> Speech:
    """The settings that a target is spoken with, as a relay resolves them. Raises ClientError for what its provider
    does not take."""
    provider = providers.get(target.provider)
    if provider is None:
        usable = ", ".join(providers)
        raise ClientError(
            Code.INVALID_CONFIG, f"provider {target.provider!r} is not configured here; usable are: {usable}"
        )
    voice = target.voice or voices.default_at(target.provider)
    wanted = SpeechRequest(voice=voice, model=target.model, language=language, sample_rate_hz=sample_rate_hz)
    return voices.resolved(provider, wanted)


@asynccontextmanager
async def _opened(
    drivers: Drivers, provider: Provider, speech: Speech, text: str, timings: Timings
) -> AsyncIterator[Reply]:
    if takes_text_as_typed(provider, speech):
        async with drivers.converse(provider.converse(speech), timings) as conversation:
            await conversation.give(text)
            await conversation.end_text()
            yield conversation
        return
    if _too_long(provider, text):
        raise ClientError(
            Code.TEXT_TOO_LONG, f"{provider.name} takes {provider.capabilities.max_segment_chars} characters at a time"
        )
    async with drivers.open(provider.request(speech, text), timings) as reply:
        yield reply


def _too_long(provider: Provider, text: str) -> bool:
    limit = provider.capabilities.max_segment_chars
    return limit is not None and len(text) > limit


def _dollars(reply: Reply) -> float | None:
    try:
        return float(reply.facts.ids["cost_usd"])
    except (KeyError, ValueError):
        return None
