"""Turns through a relay, as a client hears them: from the message with the text to the first frame that was read."""

import asyncio
import time
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import relay_client
from relay_client import Audio, RelayClientError, Session, TurnError

from relay.bench.plan import Connection, Shot
from relay.bench.spoken import TIMEOUT_CODE, Spoken

__all__ = ["Through"]

# What a session that broke or could not be had counts as, where the relay gave no code of its own.
NO_SESSION_CODE = "no_session"


class Through:
    """Speaks through the relay at `url`. Warm turns share a session, which is opened before it is needed and anew after
    a failure of its own; a cold one opens its own, and the handshake counts."""

    def __init__(self, url: str, key: str | None, audio: Audio, *, timeout_s: float) -> None:
        self._url = url
        self._key = key
        self._audio = audio
        self._timeout_s = timeout_s
        self._kept = AsyncExitStack()
        self._session: Session | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._kept.aclose()

    async def speak(self, shot: Shot) -> Spoken:
        spoken = Spoken(start_s=time.monotonic())
        try:
            async with asyncio.timeout(self._timeout_s):
                if shot.case.connection is Connection.WARM:
                    session = await self._kept_session()
                    spoken.start_s = time.monotonic()
                    await self._turn(session, shot, spoken)
                else:
                    async with relay_client.connect(self._url, key=self._key) as session:
                        spoken.connected_ms = spoken.since_start_ms(time.monotonic())
                        await self._turn(session, shot, spoken)
        except TurnError as error:
            spoken.code = error.code
            return spoken
        except RelayClientError as error:
            spoken.code = error.code or NO_SESSION_CODE
        except TimeoutError:
            spoken.code = TIMEOUT_CODE
        if spoken.code is not None:
            self._session = None
            await self._kept.aclose()
        return spoken

    async def _kept_session(self) -> Session:
        if self._session is None:
            connecting = relay_client.connect(self._url, key=self._key)
            self._session = await self._kept.enter_async_context(connecting)
        return self._session

    async def _turn(self, session: Session, shot: Shot, spoken: Spoken) -> None:
        target = shot.case.target
        named = {"voice": target.voice, "model": target.model, "language": shot.language}
        turn = await session.speak(
            shot.text,
            provider=target.provider,
            audio=self._audio,
            pacing="fast",
            **{name: value for name, value in named.items() if value is not None},  # type: ignore[arg-type]
        )
        async for _ in turn:
            if spoken.ttfa_ms is None:
                spoken.ttfa_ms = spoken.since_start_ms(time.monotonic())
        done = turn.summary
        spoken.total_ms = spoken.since_start_ms(time.monotonic())
        spoken.audio_ms = done.duration_ms
        # The relay's clock begins when the text reaches it: after the handshake of a cold turn.
        before_ms, told = spoken.connected_ms or 0.0, done.timings
        spoken.text_ready_ms = _later(told.text_ready, before_ms)
        spoken.place_given_ms = _later(told.place_given, before_ms)
        spoken.request_sent_ms = _later(told.request_sent, before_ms)
        spoken.ttfb_ms = _later(told.first_byte, before_ms)
        spoken.first_sample_ms = _later(told.first_sample, before_ms)
        spoken.leading_silence_ms = told.leading_silence_ms
        spoken.relay_ms = told.relay_ms
        spoken.connection_reused = told.connection_reused
        spoken.cost_usd = _dollars(done.provider_ids.get("cost_usd"))
        if turn.started is not None:
            spoken.spoken_by = turn.started.voice


def _later(ms: float | None, before_ms: float) -> float | None:
    return None if ms is None else round(ms + before_ms, 3)


def _dollars(told: str | None) -> float | None:
    try:
        return None if told is None else float(told)
    except ValueError:
        return None
