"""JSON of `relay.v1` -> events, and back: what is ignored, what is refused, what is never quoted."""

import json
from typing import Any

import pytest
from relay_client import (
    AudioStarted,
    SegmentTimings,
    TextSegment,
    TextWords,
    TurnCancelled,
    TurnDone,
    TurnFailover,
    TurnProgress,
    TurnStarted,
    TurnWaiting,
    Word,
)
from relay_client.errors import ProtocolError, ProviderFault
from relay_client.options import Audio, Flow, Pacing, start_fields
from relay_client.wire import ErrorReport, dump, parse, read_error

from tests.clients.scripted import AUDIO, READY, TIMINGS
from tests.covering import each

SEGMENT = {"type": "text.segment", "turn_id": "t", "index": 0, "text": "Hi. ", "start_sample": 0}
DONE: dict[str, Any] = {
    "type": "turn.done",
    "turn_id": "t",
    "frames": 2,
    "samples": 200,
    "padding_samples": 120,
    "duration_ms": 25.0,
    "text_chars": 4,
    "timings": TIMINGS,
    "provider_ids": {"request_id": "r"},
}
CANCELLED: dict[str, Any] = {
    "type": "turn.cancelled",
    "turn_id": "t",
    "frames": 1,
    "samples_sent": 160,
    "text_sent": "Hi",
    "timings": {},
}
STARTED: dict[str, Any] = {
    "type": "turn.started",
    "turn_id": "t",
    "turn_index": 3,
    "provider": "p",
    "voice": "v",
    "audio": AUDIO,
}


def read(message: dict[str, Any]) -> Any:
    return parse(json.dumps(message))


def test_every_message_is_read_with_its_fields() -> None:
    ready = read(READY)
    assert (ready.session_id, ready.limits.max_open_turns, ready.defaults["voice"]) == ("s1", 8, "a")
    started = read(STARTED)
    assert isinstance(started, TurnStarted)
    assert (started.turn_index, started.model, started.audio.frame_bytes) == (3, None, 320)
    assert read({"type": "audio.started", "turn_id": "t", "ttfa_ms": 7}) == AudioStarted(turn_id="t", ttfa_ms=7)
    assert read(SEGMENT) == TextSegment(turn_id="t", index=0, text="Hi. ", start_sample=0)
    words = {"type": "text.words", "turn_id": "t", "words": [{"text": "Hi", "start_sample": 5, "end_sample": 9}]}
    assert read(words) == TextWords(turn_id="t", words=(Word(text="Hi", start_sample=5, end_sample=9),))
    waiting = {"type": "turn.waiting", "turn_id": "t", "provider": "p"}
    assert read(waiting) == TurnWaiting(turn_id="t", provider="p")
    progress = {"type": "turn.progress", "turn_id": "t", "provider": "p", "state": "queued", "waited_ms": 4100}
    assert read(progress) == TurnProgress(turn_id="t", provider="p", state="queued", waited_ms=4100)
    failover = {"type": "turn.failover", "turn_id": "t", "from": "p", "to": "q", "voice": "v", "at_sample": 9}
    assert read({**failover, "code": "provider_cut"}) == TurnFailover(
        turn_id="t", from_provider="p", to_provider="q", voice="v", code="provider_cut", at_sample=9
    )
    done = read(DONE)
    assert isinstance(done, TurnDone)
    assert (done.samples, done.timings.ttfa_ms, done.timings.last_byte, done.provider_ids) == (
        200,
        12.5,
        None,
        {"request_id": "r"},
    )
    assert (done.timings.min_ahead_ms, done.timings.segments) == (None, ()), "a relay of before does not tell them"
    segments = [{"index": 0, "first_byte": 12.0, "audio_ms": 20.0}, {"index": 2, "first_byte": None, "new": 1}]
    told = read({**DONE, "timings": {**TIMINGS, "min_ahead_ms": -3.5, "segments": segments}}).timings
    assert told.min_ahead_ms == -3.5
    assert told.segments == (SegmentTimings(index=0, first_byte=12.0, audio_ms=20.0), SegmentTimings(index=2))
    cancelled = read(CANCELLED)
    assert isinstance(cancelled, TurnCancelled)
    assert (cancelled.samples_sent, cancelled.samples_played) == (160, None)


def test_an_error_carries_what_the_provider_said() -> None:
    provider = {"name": "p", "status": 503, "message": "busy", "new": 1}
    error = {"type": "error", "code": "provider_unavailable", "message": "m", "retryable": True, "provider": provider}
    assert read({**error, "retry_after_s": 2, "turn_id": "t"}) == ErrorReport(
        code="provider_unavailable",
        message="m",
        retryable=True,
        retry_after_s=2,
        turn_id="t",
        provider=ProviderFault(name="p", status=503, message="busy"),
    )


def test_what_is_not_known_is_ignored() -> None:
    assert read({"type": "turn.applauded", "turn_id": 7}) is None
    assert read({**SEGMENT, "mood": {"glad": True}}) == read(SEGMENT)


@each(
    ("message", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "without a type"),
        ('{"type": 3}', "without a type"),
        (json.dumps({**DONE, "frames": "2"}), "frames is str, it must be int"),
        (json.dumps({**DONE, "frames": True}), "frames is bool, it must be int"),
        (json.dumps({**DONE, "samples": -1}), "negative"),
        (json.dumps({**DONE, "turn_id": None}), "turn_id is NoneType"),
        (json.dumps({**DONE, "timings": []}), "timings is list"),
        (json.dumps({**STARTED, "audio": {**AUDIO, "header": False}}), "header is false"),
        (json.dumps({**READY, "protocol": "relay.v9"}), "relay.v9"),
        (json.dumps({"type": "text.words", "turn_id": "t", "words": [3]}), "an item is int"),
    ],
)
def test_what_breaks_the_contract_is_refused(message: str, reason: str) -> None:
    with pytest.raises(ProtocolError, match=reason):
        parse(message)


def test_errors_and_reprs_do_not_quote_text() -> None:
    with pytest.raises(ProtocolError) as caught:
        read({**SEGMENT, "start_sample": "a secret"})
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(read({**SEGMENT, "text": "a secret"}))
    assert "secret" not in repr(read({**CANCELLED, "text_sent": "a secret"}))


def test_half_a_character_is_refused_without_quoting_it() -> None:
    with pytest.raises(ValueError, match="lone surrogate") as caught:
        dump({"type": "text.append", "text": "secret \ud800"})
    assert "secret" not in str(caught.value)
    assert json.loads(dump({"text": "héllo 🎉"})) == {"text": "héllo 🎉"}


@pytest.mark.parametrize("body", [None, 3, {}, {"error": 3}, {"error": {"code": 3}}, {"error": {"code": "x"}}])
def test_an_http_body_that_is_not_the_relays_is_no_error_report(body: object) -> None:
    assert read_error(body) is None


def test_what_was_left_out_is_not_sent() -> None:
    assert start_fields({}) == {"audio": {"header": True}}
    assert start_fields(
        {
            "voice": "v",
            "audio": Audio(encoding="mulaw", sample_rate=8000, frame_ms=20),
            "pacing": Pacing("realtime", lead_ms=60),
            "flow": Flow(window_ms=400),
            "options": {"speed": 1.1},
        }
    ) == {
        "voice": "v",
        "audio": {"encoding": "mulaw", "sample_rate": 8000, "frame_ms": 20, "header": True},
        "pacing": {"mode": "realtime", "lead_ms": 60},
        "flow": {"window_ms": 400},
        "options": {"speed": 1.1},
    }
    assert start_fields({"pacing": "realtime"})["pacing"] == {"mode": "realtime"}


def test_a_window_must_be_positive() -> None:
    with pytest.raises(ValueError, match="window_ms is 0"):
        Flow(window_ms=0)
