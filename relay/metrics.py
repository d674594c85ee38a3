"""Prometheus metrics. Label sets are bounded: providers are configured, codes are an enum, nothing a client sends."""

import os
import time
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from relay.core.pacer import LATE_BY_S, Pacer
from relay.core.timings import TurnTimings

# From a loopback frame to a polled job.
BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30)
# What the relay adds is measured in microseconds to milliseconds.
RELAY_BUCKETS_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)


class EndedTurn(Protocol):
    """What the metrics read of a turn."""

    pacer: Pacer | None

    @property
    def frames_sent(self) -> int: ...

    @property
    def samples_sent(self) -> int: ...

    @property
    def provider_name(self) -> str: ...

    @property
    def text_chars(self) -> int: ...

    @property
    def sent_ms(self) -> float: ...

    @property
    def timings(self) -> TurnTimings: ...


class Metrics:
    """The process's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        started = Gauge(
            "relay_start_time_seconds",
            "Unix time at which the relay started",
            registry=registry,
            multiprocess_mode="livemin",
        )
        started.set(time.time())
        self._sessions = self._level("relay_sessions", "Open WebSocket sessions")
        self._refused = Counter("relay_sessions_refused", "Handshakes refused", ["code"], registry=registry)
        self._minted = Counter("relay_tokens_minted", "Tokens made", registry=registry)
        self._spent = Counter("relay_tokens_spent", "Tokens that opened a session or spoke a turn", registry=registry)
        self._tokens_refused = Counter("relay_tokens_refused", "Tokens refused", ["reason"], registry=registry)
        self._turns = self._level("relay_turns", "Turns being spoken or waiting")
        self._ended = Counter("relay_turns_ended", "Turns ended, by end", ["provider", "end"], registry=registry)
        self._frames = Counter("relay_frames_sent", "Audio frames sent", registry=registry)
        self._audio = Counter("relay_audio_sent_seconds", "Seconds of audio sent", ["provider"], registry=registry)
        self._chars = Counter("relay_text_characters", "Characters of text given", ["provider"], registry=registry)
        self._ttfa = self._stage("relay_ttfa_seconds", "First text to first frame", BUCKETS_S)
        self._first_byte = self._stage("relay_first_byte_seconds", "First text to the provider's first byte", BUCKETS_S)
        self._added = self._stage("relay_added_seconds", "Provider's first byte to first frame", RELAY_BUCKETS_S)
        self._paced = Counter("relay_frames_paced", "Frames that left by a schedule", registry=registry)
        self._late = Counter(
            "relay_frames_late",
            "Paced frames that left so many ms after they might have",
            ["over_ms"],
            registry=registry,
        )
        self._ran_dry = Counter("relay_ran_dry", "Times a paced listener must have run out of audio", registry=registry)
        self._outbox = Gauge(
            "relay_outbox_peak_ms",
            "Most audio held for one listener, in ms",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._outbox_peak_ms = 0

    def _stage(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, what, ["provider"], buckets=buckets, registry=self._registry)

    def _level(self, name: str, what: str) -> Gauge:
        """A gauge whose value is the sum of all processes that are alive."""
        return Gauge(name, what, registry=self._registry, multiprocess_mode="livesum")

    def session_opened(self) -> None:
        self._sessions.inc()

    def session_closed(self, outbox_peak_ms: int) -> None:
        self._sessions.dec()
        self._outbox_peak_ms = max(self._outbox_peak_ms, outbox_peak_ms)
        self._outbox.set(self._outbox_peak_ms)

    def session_refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    def token_minted(self) -> None:
        self._minted.inc()

    def token_spent(self) -> None:
        self._spent.inc()

    def token_refused(self, reason: str) -> None:
        self._tokens_refused.labels(reason).inc()

    def turn_opened(self) -> None:
        self._turns.inc()

    def turn_ended(self, turn: EndedTurn, end: str) -> None:
        """`end` is done, cancelled, disconnected, or the code of the error that ended the turn."""
        provider, timings = turn.provider_name, turn.timings.report()
        self._turns.dec()
        self._ended.labels(provider, end).inc()
        self._frames.inc(turn.frames_sent)
        self._audio.labels(provider).inc(turn.sent_ms / 1000)
        self._chars.labels(provider).inc(turn.text_chars)
        if turn.pacer is not None:
            self._count_lateness(turn.pacer)
        stages = ((self._ttfa, "ttfa_ms"), (self._first_byte, "first_byte"), (self._added, "relay_ms"))
        for histogram, name in stages:
            value_ms = timings[name]
            if isinstance(value_ms, float):
                histogram.labels(provider).observe(value_ms / 1000)

    def _count_lateness(self, pacer: Pacer) -> None:
        self._ran_dry.inc(pacer.ran_dry)
        late = sum(pacer.lateness)
        self._paced.inc(late)
        for by_s, up_to in zip(LATE_BY_S, pacer.lateness, strict=False):
            late -= up_to
            self._late.labels(f"{by_s * 1000:g}").inc(late)

    def render(self) -> bytes:
        """The text format of Prometheus; of several worker processes the sum, whichever is asked."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
