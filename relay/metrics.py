"""Prometheus metrics. Label sets are bounded: providers are configured, codes are an enum, models and formats are those
of `metrics_labels`; nothing that a client sends becomes a label.

A turn is counted once, when it ends, and levels are looked at once a second: a frame costs nothing here.
"""

import os
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from relay.core.playout import Playout
from relay.core.record import TurnRecord
from relay.core.sent import LATE_BY_S, SentAudio
from relay.log import dropped_lines
from relay.metrics_labels import LabelSets
from relay.metrics_times import TurnTimes

# The ends of turns whose times are counted: a turn that failed, or that nobody waited for, is not a fast one. Who
# interrupts may have heard its first audio; if it had not come yet, there is no time, and the turn counts as unheard.
TIMED_ENDS = frozenset({"done", "cancelled"})


class ProviderSlots(Protocol):
    """The slots at one provider."""

    provider: str
    limit: int | None
    in_use: int

    @property
    def waiting(self) -> int: ...

    @property
    def peak_waiting(self) -> int: ...


class Metrics:
    """The process's metrics, in a registry of their own. `models` are those that each provider is known to have."""

    def __init__(self, models: Mapping[str, Collection[str]] | None = None) -> None:
        self._registry = registry = CollectorRegistry()
        self._times = TurnTimes(registry)
        self._labels = LabelSets(models or {})
        # The turns that have not ended, and the schedules that hold their audio.
        self._live: dict[int, tuple[TurnRecord, Playout]] = {}
        self._outbox_peak_ms = 0.0
        self._pending_peak_chars = 0

        started = Gauge(
            "relay_start_time_seconds",
            "Unix time at which the relay started",
            registry=registry,
            multiprocess_mode="livemin",
        )
        started.set(time.time())
        self._sessions = self._level("relay_sessions", "Open WebSocket sessions")
        self._sessions_limit = self._level("relay_sessions_limit", "Sessions that may be open")
        self._opened = self._count("relay_sessions_opened", "WebSocket sessions opened")
        self._refused = self._count("relay_sessions_refused", "Handshakes refused", "code")
        self._connections = self._level("relay_connections", "Open connections of clients")
        self._ended_connections = self._count("relay_connections_ended", "Connections ended by the relay", "reason")
        self._no_files = self._count("relay_out_of_files_seconds", "Seconds in which no file could be opened")
        self._errors = self._count("relay_errors", "Errors told to clients", "code")
        self._minted = self._count("relay_tokens_minted", "Tokens made")
        self._spent = self._count("relay_tokens_spent", "Tokens that opened a session or spoke a turn")
        self._tokens_refused = self._count("relay_tokens_refused", "Tokens refused", "reason")

        self._dropped_lines = self._level("relay_log_lines_dropped", "Lines of the log that were dropped")

        self._turns = self._level("relay_turns", "Turns being spoken or waiting")
        self._ended = self._count("relay_turns_ended", "Turns ended, by end", "provider", "end")
        self._unheard = self._count("relay_turns_unheard", "Turns ended without audio", "provider", "end")
        self._frames = self._count("relay_frames_sent", "Audio frames sent")
        self._audio = self._count("relay_audio_sent_seconds", "Seconds of audio sent", "provider")
        self._bytes = self._count("relay_audio_sent_bytes", "Bytes of audio sent", "provider")
        self._chars = self._count("relay_text_characters", "Characters of text given", "provider")

        self._retries = self._count("relay_provider_retries", "Requests tried again", "provider")
        self._received = self._count("relay_provider_received_bytes", "Bytes of audio received", "provider")
        self._damaged = self._count(
            "relay_audio_damaged_seconds", "Seconds of audio that could not be decoded", "provider"
        )
        self._implausible = self._count(
            "relay_audio_implausible", "Replies whose samples would sound like audio in another encoding", "provider"
        )
        self._failovers = self._count(
            "relay_failovers", "Turns taken over by another provider", "from_provider", "to_provider", "code"
        )
        self._slots = self._level("relay_provider_places", "Requests under way at a provider", "provider")
        self._slots_limit = self._level("relay_provider_places_limit", "Concurrency limit at the provider", "provider")
        self._queue = self._level("relay_provider_queue", "Requests waiting for a place", "provider")
        self._queue_peak = self._peak("relay_provider_queue_peak", "Most that ever waited", "provider")

        self._paced = self._count("relay_frames_paced", "Frames that left by a schedule")
        self._late = self._count(
            "relay_frames_late", "Paced frames that left so many ms after their listener needed them", "over_ms"
        )
        self._ran_dry = self._count("relay_ran_dry", "Times a paced listener must have run out of audio")
        self._underruns = self._count("relay_underruns", "Times that listeners say they had nothing to play")
        self._underrun_s = self._count("relay_underrun_seconds", "And for how long, in s")
        self._held = self._level("relay_outbox_held_ms", "Audio that waits to be sent, in ms")
        self._outbox = self._peak("relay_outbox_peak_ms", "Most audio held for one listener, in ms")
        self._pending = self._level("relay_text_pending_characters", "Text that waits to be spoken")
        self._pending_peak = self._peak("relay_text_pending_peak_characters", "Most text that waited in one turn")

    def _count(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, registry=self._registry)

    def _level(self, name: str, what: str, *labels: str) -> Gauge:
        """A gauge whose value is the sum of all processes that are alive."""
        return Gauge(name, what, labels, registry=self._registry, multiprocess_mode="livesum")

    def _peak(self, name: str, what: str, *labels: str) -> Gauge:
        """A gauge whose value is the highest of all processes that are alive."""
        return Gauge(name, what, labels, registry=self._registry, multiprocess_mode="livemax")

    def session_opened(self) -> None:
        self._sessions.inc()
        self._opened.inc()

    def session_closed(self, outbox_peak_ms: float) -> None:
        self._sessions.dec()
        self._note_outbox(outbox_peak_ms)

    def session_refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    def connection_opened(self) -> None:
        self._connections.inc()

    def connection_closed(self) -> None:
        self._connections.dec()

    def connection_ended(self, reason: str) -> None:
        """`reason`: a value of `connections.State`, `shed` or `refused`."""
        self._ended_connections.labels(reason).inc()

    def out_of_files(self) -> None:
        """Found at one of the looks that are taken each second."""
        self._no_files.inc()

    def token_minted(self) -> None:
        self._minted.inc()

    def token_spent(self) -> None:
        self._spent.inc()

    def token_refused(self, reason: str) -> None:
        self._tokens_refused.labels(reason).inc()

    def error_told(self, code: str) -> None:
        """A client was told of an error, whether it ended a turn or not."""
        self._errors.labels(code).inc()

    def turn_opened(self, turn: TurnRecord, playout: Playout) -> None:
        self._turns.inc()
        self._live[id(turn)] = (turn, playout)

    def turn_ended(self, turn: TurnRecord, end: str) -> None:
        """`end` is done, cancelled, disconnected, or the code of the error that ended the turn."""
        provider, sent, frame_format = turn.provider, turn.sent, turn.frame_format
        self._turns.dec()
        self._live.pop(id(turn), None)
        self._ended.labels(provider, end).inc()
        self._frames.inc(sent.frames)
        self._chars.labels(provider).inc(turn.text_chars)
        if frame_format is not None:
            self._audio.labels(provider).inc(frame_format.duration_ms(sent.samples) / 1000)
            self._bytes.labels(provider).inc((sent.samples + sent.padding_samples) * frame_format.audio.block_align)
        self._count_lateness(sent)
        for name, tally in turn.timings.tallies.items():
            self._retries.labels(name).inc(tally.retries)
            self._received.labels(name).inc(tally.received_bytes)
            self._damaged.labels(name).inc(tally.damaged_ms / 1000)
            self._implausible.labels(name).inc(tally.implausible_replies)
        for told in turn.failovers:
            self._failovers.labels(told.from_provider, told.to_provider, told.code).inc()
        if not sent.frames and turn.text_chars:
            self._unheard.labels(provider, end).inc()
        if end in TIMED_ENDS:
            self._times.observe(self._labels.of(provider, turn.model, frame_format), turn.timings)

    def sample_gauges(self, *, sessions_limit: int, slots: Iterable[ProviderSlots]) -> None:
        """Sets the levels to what they are now. Called about once a second."""
        playouts = {id(playout): playout for _, playout in self._live.values()}.values()
        pending = [turn.pending_chars for turn, _ in self._live.values()]
        self._sessions_limit.set(sessions_limit)
        self._dropped_lines.set(dropped_lines())
        self._held.set(sum(playout.held_ms for playout in playouts))
        self._note_outbox(max((playout.peak_ms for playout in playouts), default=0))
        self._pending.set(sum(pending))
        self._pending_peak_chars = max(self._pending_peak_chars, *pending, 0)
        self._pending_peak.set(self._pending_peak_chars)
        for each in slots:
            self._slots.labels(each.provider).set(each.in_use)
            if each.limit is not None:
                self._slots_limit.labels(each.provider).set(each.limit)
            self._queue.labels(each.provider).set(each.waiting)
            self._queue_peak.labels(each.provider).set(each.peak_waiting)

    def underran(self, count: int, ms: float) -> None:
        """A listener says that it had nothing to play: so many times more, so much longer."""
        self._underruns.inc(count)
        self._underrun_s.inc(ms / 1000)

    def render(self) -> bytes:
        """The text format of Prometheus; of several worker processes the sum, whichever is asked."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    def _note_outbox(self, peak_ms: float) -> None:
        self._outbox_peak_ms = max(self._outbox_peak_ms, peak_ms)
        self._outbox.set(self._outbox_peak_ms)

    def _count_lateness(self, sent: SentAudio) -> None:
        self._ran_dry.inc(sent.ran_dry)
        late = sum(sent.lateness)
        self._paced.inc(late)
        for by_s, up_to in zip(LATE_BY_S, sent.lateness, strict=False):
            late -= up_to
            self._late.labels(f"{by_s * 1000:g}").inc(late)
