"""OpenTelemetry: one span for each turn, and in it one for each request to a provider. The extra `otel`; without it, or
not switched on, nothing of this is imported.

A span is made when its turn has ended, from the instants that the turn keeps anyway: until then tracing costs nothing.
No text, key or token is in it.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from relay.config import ConfigError
from relay.core.formats import FrameFormat
from relay.core.record import TurnRecord
from relay.core.timings import Stage, Timings
from relay.core.traceparent import parent_of

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

# Ends of turns that are nobody's failure.
GOOD_ENDS = frozenset({"done", "cancelled", "disconnected"})


class Tracing:
    """Gives spans to `provider`, which its owner has built and `close` shuts down."""

    def __init__(self, provider: "TracerProvider") -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("relay")

    def turn_ended(self, turn: TurnRecord, end: str, session: str | None) -> None:
        """Tells of a turn that ends now; of one without text there is nothing to tell."""
        from opentelemetry.trace import SpanKind

        timings = turn.timings
        if timings.text_s is None:
            return
        clock = _Clock()
        span = self._tracer.start_span(
            "relay.turn",
            context=_context(turn.traceparent),
            kind=SpanKind.SERVER,
            start_time=clock.ns(timings.text_s),
            attributes=_present(
                {
                    "relay.turn_id": turn.turn_id,
                    "relay.session_id": session,
                    "relay.provider": turn.provider,
                    "relay.model": turn.model,
                    "relay.format": _format(turn.frame_format),
                    "relay.end": end,
                    "relay.text_chars": turn.text_chars,
                    "relay.frames": turn.sent.frames,
                    "relay.audio_ms": turn.frame_format.duration_ms(turn.sent.samples) if turn.frame_format else 0.0,
                    "relay.ttfa_ms": timings.ttfa_ms,
                    "relay.ttfs_ms": timings.ttfs_ms,
                    "relay.added_ms": timings.relay_ms,
                    "relay.min_ahead_ms": timings.margin.least_s and timings.margin.least_s * 1000,
                }
            ),
        )
        for name, instant_s in (("first_frame", timings.first_frame_s), ("last_frame", turn.sent.last_frame_s)):
            if instant_s is not None:
                span.add_event(name, timestamp=clock.ns(instant_s))
        for request in timings.requests:
            self._request(span, request, clock)
        _finish(span, end, clock.now_ns)

    def _request(self, turn: "Span", request: Timings, clock: "_Clock") -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context

        at_s = request.instants_s
        span = self._tracer.start_span(
            "relay.request",
            context=set_span_in_context(turn),
            kind=SpanKind.CLIENT,
            start_time=clock.ns(at_s[Stage.TEXT_READY]),
            attributes=_present(
                {
                    "relay.provider": request.provider,
                    "relay.segment": request.index,
                    "relay.audio_ms": request.audio_ms,
                    "relay.connection_reused": request.connection_reused,
                }
            ),
        )
        for stage, instant_s in at_s.items():
            if stage is not Stage.TEXT_READY:
                span.add_event(stage.value, timestamp=clock.ns(instant_s))
        last_s = at_s.get(Stage.LAST_BYTE)
        span.end(clock.now_ns if last_s is None else clock.ns(last_s))

    def close(self) -> None:
        """Sends what waits to be sent. May take as long as the exporter's timeout: call it in a thread."""
        self._provider.shutdown()


class _Clock:
    """Instants of the monotonic clock -> the time of day, as of now: a clock that was set meanwhile moves all alike."""

    def __init__(self) -> None:
        self.now_ns = time.time_ns()
        self._offset_ns = self.now_ns - time.monotonic_ns()

    def ns(self, instant_s: float) -> int:
        return round(instant_s * 1e9) + self._offset_ns


def otlp() -> Tracing:
    """Spans go out by OTLP over HTTP, in the background, as the OTEL_* variables say. Raises ConfigError without the
    extra."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigError("tracing.enabled needs OpenTelemetry: pip install 'speech-relay[otel]'") from None
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win. The processor holds 2,048 spans and drops what is more.
    resource = Resource.create({"service.name": "relay"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


def _format(frame_format: FrameFormat | None) -> str | None:
    return None if frame_format is None else f"{frame_format.audio.encoding}_{frame_format.audio.sample_rate_hz}"


def _context(traceparent: str | None) -> "Context | None":
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    parent = parent_of(traceparent)
    if parent is None:
        return None
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    context = SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(context))


def _finish(span: "Span", end: str, now_ns: int) -> None:
    from opentelemetry.trace import StatusCode

    if end not in GOOD_ENDS:
        span.set_status(StatusCode.ERROR, end)
    span.end(now_ns)


def _present(attributes: Mapping[str, str | int | float | None]) -> dict[str, str | int | float]:
    return {name: value for name, value in attributes.items() if value is not None}
