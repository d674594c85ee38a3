"""Spans of turns: their place, their times, their ends, and no text."""

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from relay import tracing
from relay.config import Config, ConfigError, TracingConfig
from relay.core.traceparent import EXAMPLE, parent_of
from relay.engine.engine import Engine
from relay.server.app import Server
from relay.testing.fake_provider import Chooser
from relay.testing.scenarios import PCM_CLIP, scenario, whole
from relay.testing.script import Script, Send, Stall, Status
from relay.tracing import Tracing
from tests.server.harness import client, relay_to

PARENT = parent_of(EXAMPLE)
SECRET = "A secret sentence."


@asynccontextmanager
async def traced(script: Script | Chooser) -> AsyncIterator[tuple[Server, InMemorySpanExporter]]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with relay_to(script) as (server, _):
        server.engine.tracing = Tracing(provider)
        yield server, exporter


def named(spans: Sequence[ReadableSpan], name: str) -> list[ReadableSpan]:
    return [span for span in spans if span.name == name]


def events(span: ReadableSpan) -> dict[str, int]:
    return {event.name: event.timestamp for event in span.events}


async def test_a_turn_is_a_span_with_its_requests_in_it() -> None:
    began_ns = time.time_ns()
    async with traced(whole(PCM_CLIP)) as (server, exporter), client(server) as session:
        heard = await session.speak(SECRET)
    spans = exporter.get_finished_spans()
    [turn], [request] = named(spans, "relay.turn"), named(spans, "relay.request")
    timings = heard.end["timings"]
    assert turn.parent is None
    assert request.parent is not None and turn.context is not None
    assert request.parent.span_id == turn.context.span_id
    assert (turn.kind, request.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert turn.status.status_code is StatusCode.UNSET
    assert turn.attributes is not None and request.attributes is not None
    assert turn.attributes["relay.turn_id"] == heard.end["turn_id"]
    assert turn.attributes["relay.session_id"] == session.ready["session_id"]
    assert turn.attributes["relay.end"] == "done"
    assert turn.attributes["relay.format"] == "pcm_s16le_24000"
    assert turn.attributes["relay.ttfa_ms"] == timings["ttfa_ms"]
    assert (request.attributes["relay.provider"], request.attributes["relay.segment"]) == ("breeze", 0)
    assert turn.start_time is not None and turn.end_time is not None and request.end_time is not None
    assert began_ns - 10**9 < turn.start_time <= request.end_time <= turn.end_time <= time.time_ns() + 10**9
    for span, names in ((turn, ("first_frame", "last_frame")), (request, ("request_sent", "first_byte", "last_byte"))):
        for name in names:
            assert (events(span)[name] - turn.start_time) / 1e6 == pytest.approx(timings[name], abs=0.01), name
    assert all("secret" not in span.to_json() for span in spans)


async def test_a_turn_is_part_of_its_callers_trace() -> None:
    async with traced(whole(PCM_CLIP)) as (server, exporter):
        async with client(server, additional_headers={"traceparent": EXAMPLE}) as session:
            await session.speak()
            await session.speak(traceparent=f"00-{'5' * 32}-{'6' * 16}-01")
            await session.speak(traceparent=f"00-{'7' * 32}-{'8' * 16}-00")
        url = f"http://127.0.0.1:{server.port}/v1/speech"
        async with aiohttp.ClientSession() as http:
            async with http.post(url, json={"text": "Hello."}, headers={"traceparent": EXAMPLE}) as reply:
                await reply.read()
    turns = named(exporter.get_finished_spans(), "relay.turn")
    parents = [(turn.parent.trace_id, turn.parent.span_id) for turn in turns if turn.parent]
    assert PARENT is not None
    mine = (PARENT.trace_id, PARENT.span_id)
    assert parents == [mine, (int("5" * 32, 16), int("6" * 16, 16)), mine], "who does not record gets no span"


async def test_a_traceparent_that_says_nothing() -> None:
    async with traced(whole(PCM_CLIP)) as (server, exporter):
        async with client(server, additional_headers={"traceparent": "nonsense"}) as session:
            assert (await session.speak()).end["type"] == "turn.done", "of a header it is ignored, as W3C wants it"
            error = (await session.speak(traceparent="nonsense")).end
    assert (error["code"], "traceparent has 8 characters" in error["message"]) == ("invalid_config", True)
    assert [turn.parent for turn in named(exporter.get_finished_spans(), "relay.turn")] == [None]


async def test_a_turn_that_fails_has_the_code() -> None:
    async with traced(scenario("status_503")) as (server, exporter), client(server) as session:
        await session.speak(SECRET)
    spans = exporter.get_finished_spans()
    [turn], [request] = named(spans, "relay.turn"), named(spans, "relay.request")
    assert (turn.status.status_code, turn.status.description) == (StatusCode.ERROR, "provider_unavailable")
    assert "first_frame" not in events(turn)
    assert request.end_time == turn.end_time
    assert all("secret" not in span.to_json() for span in spans)


async def test_a_turn_that_is_cancelled_did_not_fail() -> None:
    script = (Status(200, {"content-type": "audio/pcm"}), Send(PCM_CLIP.data), Stall())
    async with traced(script) as (server, exporter), client(server) as session:
        await session.send(type="speak", text=SECRET)
        await session.event("audio.started")
        await session.send(type="turn.cancel")
        await session.turn()
    [turn] = named(exporter.get_finished_spans(), "relay.turn")
    assert turn.status.status_code is StatusCode.UNSET
    assert turn.attributes is not None
    assert turn.attributes["relay.end"] == "cancelled"


async def test_without_text_there_is_nothing_to_tell() -> None:
    async with traced(whole(PCM_CLIP)) as (server, exporter), client(server) as session:
        await session.send(type="turn.start")
        await session.send(type="turn.end")
        await session.turn()
    assert exporter.get_finished_spans() == ()


async def test_what_waits_is_sent_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    class Recorder:
        def close(self) -> None:
            closed.append("closed")

    monkeypatch.setattr("relay.engine.engine.otlp", Recorder)
    relay = Engine(Config(tracing=TracingConfig(enabled=True)))
    async with relay.running():
        assert not closed
    assert closed == ["closed"]


def test_the_exporter_is_one_that_the_variables_describe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment=test")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    made = tracing.otlp()
    resource: Any = made._provider.resource.attributes
    made.close()
    assert (resource["service.name"], resource["deployment"]) == ("relay", "test")


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match=r"pip install 'speech-relay\[otel\]'"):
        tracing.otlp()


def test_nothing_of_it_is_imported_unless_it_is_switched_on() -> None:
    program = (
        "import sys\n"
        "from relay.config import Config\n"
        "from relay.server.app import Server\n"
        "assert Server(Config()).engine.tracing is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
