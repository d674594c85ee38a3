"""Sessions as context managers, and trying again with a bound."""

import random
import ssl as ssl_module
from asyncio import sleep
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TypedDict, Unpack

from relay_client.errors import RelayClientError
from relay_client.handshake import DEFAULT_URL, OPEN_TIMEOUT_S, open_session
from relay_client.hold import HELD_AUDIO_MS
from relay_client.session import Session

__all__ = ["ConnectOptions", "backoff", "connect", "connect_with_retries"]

# With the delays below: at least 3.9 s, at most 7.8 s, between the first attempt and the last.
ATTEMPTS = 6
FIRST_DELAY_S, MAX_DELAY_S = 0.25, 8.0
# A relay that asks to wait longer than this is asked again by a person, not by a loop.
MAX_RETRY_AFTER_S = 60.0


class ConnectOptions(TypedDict, total=False):
    """The keyword arguments of `connect`."""

    key: str | None
    token: str | None
    ssl: ssl_module.SSLContext | None
    open_timeout_s: float
    held_audio_ms: int


@asynccontextmanager
async def connect(
    url: str = DEFAULT_URL,
    *,
    key: str | None = None,
    token: str | None = None,
    ssl: ssl_module.SSLContext | None = None,
    open_timeout_s: float = OPEN_TIMEOUT_S,
    held_audio_ms: int = HELD_AUDIO_MS,
) -> AsyncIterator[Session]:
    """A session with the relay at `url`; leaving the block closes it and cancels what has not ended.

    `key` is a long-lived key, `token` a short-lived one from `POST /v1/tokens`. `held_audio_ms` bounds the audio kept
    for a caller that does not take it; then the socket is not read and the relay waits. Raises ConnectError,
    HandshakeError, ConnectionLostError or ProtocolError if there is no session within `open_timeout_s`.
    """
    session = await open_session(
        url, key=key, token=token, ssl=ssl, open_timeout_s=open_timeout_s, held_audio_ms=held_audio_ms
    )
    try:
        yield session
    finally:
        await session.aclose()


@asynccontextmanager
async def connect_with_retries(
    url: str = DEFAULT_URL,
    *,
    attempts: int = ATTEMPTS,
    first_delay_s: float = FIRST_DELAY_S,
    max_delay_s: float = MAX_DELAY_S,
    **options: Unpack[ConnectOptions],
) -> AsyncIterator[Session]:
    """As `connect`, but a retryable failure is tried again after `backoff`, or after what the relay asked for if that
    is longer. The last failure is raised.

    Only opening is tried again; how to go on with a turn that a lost connection cut short, `Turn.unspoken_text` says.
    A token may be good for one attempt only.
    """
    delays = backoff(attempts=attempts, first_delay_s=first_delay_s, max_delay_s=max_delay_s)
    while True:
        try:
            session = await open_session(url, **options)
            break
        except RelayClientError as error:
            delay_s, asked_s = next(delays, None), error.retry_after_s or 0.0
            if not error.retryable or delay_s is None or asked_s > MAX_RETRY_AFTER_S:
                raise
        await sleep(max(delay_s, asked_s))
    try:
        yield session
    finally:
        await session.aclose()


def backoff(
    *,
    attempts: int = ATTEMPTS,
    first_delay_s: float = FIRST_DELAY_S,
    max_delay_s: float = MAX_DELAY_S,
    jitter: Callable[[], float] = random.random,
) -> Iterator[float]:
    """The delays before the second, third ... of `attempts` attempts, in seconds: doubling, bounded, and each between
    a half and the whole of its step, so that clients cut off together do not come back together."""
    for step in range(attempts - 1):
        whole_s = min(max_delay_s, first_delay_s * 2**step)
        yield whole_s / 2 + jitter() * whole_s / 2
