"""The native protocol against its goldens, and against nonsense."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import events
from relay.core.formats import AudioRequest, Encoding
from relay.core.frames import unpack_header
from relay.core.playout import Run
from relay.errors import ClientError, Code, InternalError, LimitError, ProviderError, ProviderFault
from relay.protocols import native
from relay.protocols.base import Binary, Frames, Handshake, Text
from relay.protocols.native import NativeSession, read
from relay.protocols.native_http import Native

GOLDEN = Path(__file__).parent.parent / "golden" / "native"


def lines(name: str) -> list[Any]:
    return [json.loads(line) for line in (GOLDEN / name).read_text().splitlines()]


CLIENT = lines("client.jsonl")
VALID = [line for line in CLIENT if "message" in line]
INVALID = [line for line in CLIENT if "says" in line]
EVENTS: list[events.Event] = [
    events.SessionReady(
        session_id="s-1", limits=events.SessionLimits(), defaults=events.SessionDefaults(provider="espeak")
    ),
    events.TurnStarted(
        turn_id="a",
        turn_index=2,
        provider="breeze",
        voice="v",
        model="m",
        frame_format=AudioRequest(encoding=Encoding.MULAW, sample_rate=8000, tail="short", header=True).resolve(8000),
    ),
    events.TurnStarted(
        turn_id="a", turn_index=0, provider="espeak", voice="v", model=None, frame_format=AudioRequest().resolve(24000)
    ),
    events.TurnWaiting(turn_id="a", provider="breeze"),
    events.TurnProgressed(turn_id="a", provider="sauti", state=events.Progress.RUNNING, waited_ms=4100),
    events.TurnFailedOver(
        turn_id="a", from_provider="breeze", to_provider="bland", voice="v", code=Code.PROVIDER_CUT, at_sample=4800
    ),
    events.AudioStarted(turn_id="a", ttfa_ms=12.5, timings={"ttfa_ms": 12.5}),
    events.SegmentStarted(turn_id="a", index=1, text="Hello. ", start_sample=4800),
    events.WordsTimed(turn_id="a", words=(events.Word("Hello", 0, 900),)),
    events.FlushDone(turn_id="a", flush_id="f1", end_sample=4800),
    events.FlushDone(turn_id="a", flush_id=None, end_sample=0),
    events.TextPaused(turn_id="a", pending_chars=2001),
    events.TextResumed(turn_id="a", pending_chars=900),
    events.TurnDone(
        turn_id="a",
        frames=2,
        samples=700,
        padding_samples=260,
        duration_ms=29.167,
        text_chars=5,
        timings={"ttfa_ms": 1.5, "relay_ms": None},
        provider_ids={"history_item_id": "h"},
        damaged_ms=2.5,
    ),
    events.TurnCancelled(
        turn_id="a", frames=1, samples_sent=480, samples_played=240, text_sent="Hello.", text_played="Hel", timings={}
    ),
    events.TurnCancelled(
        turn_id="a", frames=0, samples_sent=0, samples_played=None, text_sent="", text_played=None, timings={}
    ),
    events.Failed(error=ClientError(Code.INVALID_CONFIG, "no")),
    events.Failed(
        turn_id="a",
        error=ProviderError(
            Code.PROVIDER_RATE_LIMITED,
            "busy",
            retry_after_s=2.5,
            provider=ProviderFault(name="breeze", status=429, code="RATE_LIMITED", message="slow down", request_id="r"),
        ),
    ),
    events.Failed(turn_id="a", error=ProviderError(Code.PROVIDER_CUT, "cut", provider=ProviderFault(name="breeze"))),
    events.Pong(id=3),
    events.Pong(),
    events.SessionEnded(error=LimitError(Code.SHUTTING_DOWN, "the relay is shutting down")),
]


@pytest.mark.parametrize("line", VALID, ids=lambda line: json.dumps(line["message"])[:60])
def test_what_a_client_may_say(line: dict[str, Any]) -> None:
    command = read(json.dumps(line["message"]))
    assert type(command).__name__ == line["command"]
    fields = {name: value for name, value in line["message"].items() if name != "type"}
    target: Any = getattr(command, "request", command)
    for name in set(fields) - {"audio", "pacing", "flow", "options", "providers"}:
        assert getattr(target if hasattr(target, name) else command, name) == fields[name]
    for name in {"audio", "pacing", "options"} & set(fields):
        assert getattr(target, name) == (fields[name] or {})
    if fields.get("providers"):
        named = [each if isinstance(each, dict) else {"provider": each} for each in fields["providers"]]
        assert target.providers == tuple(events.ProviderChoice(**each) for each in named)
    if fields.get("flow"):
        assert target.window_ms == fields["flow"]["window_ms"]


@pytest.mark.parametrize("line", INVALID, ids=lambda line: json.dumps(line.get("twin", line.get("text")))[:60])
def test_what_a_client_may_not_say(line: dict[str, Any]) -> None:
    command = read(line["text"] if "text" in line else json.dumps(line["twin"]))
    assert isinstance(command, events.Unreadable)
    assert command.error.code is Code.INVALID_MESSAGE
    for words in line["says"]:
        assert words in command.error.message


def test_an_unreadable_start_is_known_by_its_turn_id() -> None:
    command = read('{"type":"speak","turn_id":"a","text":5}')
    assert isinstance(command, events.Unreadable)
    assert (command.opens_turn, command.turn_id) == (True, "a")
    other = read('{"type":"text.append","turn_id":"a","text":5}')
    assert isinstance(other, events.Unreadable)
    assert (other.opens_turn, other.turn_id) == (False, None)


@pytest.mark.parametrize(("event", "golden"), list(zip(EVENTS, lines("server.jsonl"), strict=True)))
def test_what_the_relay_says(event: events.Event, golden: dict[str, Any]) -> None:
    [message] = NativeSession().send(event)
    assert isinstance(message, Text)
    assert json.loads(message.payload) == golden


def test_every_event_has_a_golden() -> None:
    assert {type(event) for event in EVENTS} == set(events.Event.__args__)


@given(st.binary(max_size=200))
def test_no_bytes_can_break_it(data: bytes) -> None:
    native.NativeSession().receive(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "a"]), inner),
        max_leaves=8,
    )
)
def test_no_json_can_break_it(value: Any) -> None:
    read(json.dumps(value))
    read(json.dumps({"type": "speak", "text": value, "audio": value}))


@pytest.mark.parametrize("wrong", ["", '"turn_id":5,', '"text":5,', '"type":"speak","text":5,"turn_id":"a",'])
@pytest.mark.parametrize("depth", [500, 1_000, 10_000, 100_000])
def test_deep_nesting_is_an_error_of_the_message(wrong: str, depth: int) -> None:
    for inner in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth, "[" * depth):
        assert isinstance(read(inner), events.Unreadable)
        assert isinstance(read(f'{{{wrong}"options":{inner}}}'), events.Unreadable)


def test_a_session_that_ends_as_asked_says_nothing_more() -> None:
    assert NativeSession().send(events.SessionEnded()) == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, 1000),
        (LimitError(Code.SHUTTING_DOWN, "so"), 1001),
        (ClientError(Code.INVALID_MESSAGE, "so"), 1003),
        (LimitError(Code.IDLE_TIMEOUT, "so"), 1008),
        (LimitError(Code.SLOW_CLIENT, "so"), 1008),
        (ClientError(Code.UNAUTHORIZED, "so"), 1008),
        (InternalError(), 1011),
    ],
)
def test_close_codes(error: Any, code: int) -> None:
    assert NativeSession().close_code(error) == code


def test_a_binary_message_ends_the_session() -> None:
    [command] = NativeSession().receive(b"\x00")
    assert isinstance(command, events.Unreadable)
    assert command.fatal
    assert command.error.code is Code.INVALID_MESSAGE


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.booleans(), st.integers(0, 479))
def test_each_frame_has_its_own_header(cut: list[int], padded: bool, padding: int) -> None:
    frame_format = AudioRequest(header=True).resolve(24000)
    session, at = NativeSession(), 0
    session.send(
        events.TurnStarted(turn_id="a", turn_index=7, provider="p", voice="v", model=None, frame_format=frame_format)
    )
    headers = []
    for number, frames in enumerate(cut):
        last = number == len(cut) - 1
        tail = padding if padded and last else 0
        run = Run("a", frame_format, at * 480, frames, frames * 480 - tail, tail, last, bytes(frames * 960))
        for message in session.send(run):
            assert isinstance(message, Binary)
            assert len(message.payload) == 976
            headers.append(unpack_header(message.payload))
        at += frames
    assert [header.pts for header in headers] == [480 * index for index in range(sum(cut))]
    assert [header.last for header in headers] == [False] * (sum(cut) - 1) + [True]
    assert [header.padding for header in headers[:-1]] == [0] * (sum(cut) - 1)
    assert headers[-1].padding == (padding if padded else 0)
    assert {header.turn_index for header in headers} == {7}


def test_without_headers_a_run_is_one_piece() -> None:
    frame_format = AudioRequest().resolve(24000)
    run = Run("a", frame_format, 0, 2, 960, 0, False, bytes(1920))
    assert NativeSession().send(run) == [Frames(bytes(1920), 960)]


@pytest.mark.parametrize(
    ("headers", "query", "shown"),
    [
        ({}, {}, None),
        ({"authorization": "Bearer k"}, {}, ("k", False)),
        ({"authorization": "bearer  k "}, {}, ("k", False)),
        ({"authorization": "Basic k"}, {}, None),
        ({"authorization": "Bearer "}, {}, None),
        ({}, {"token": "t"}, ("t", True)),
        ({"sec-websocket-protocol": "relay.v1, relay-token.t"}, {}, ("t", True)),
        ({"authorization": "Bearer k"}, {"token": "t"}, ("t", True)),
        ({"authorization": "Bearer rt1.x.y"}, {"token": "t"}, ("rt1.x.y", False)),
    ],
)
def test_where_a_credential_is_shown(headers: dict[str, str], query: dict[str, str], shown: Any) -> None:
    assert Native().credential(Handshake(headers=headers, query=query)) == shown


def test_a_token_among_the_subprotocols_needs_ours_beside_it() -> None:
    with pytest.raises(ClientError, match=r"relay\.v1"):
        Native().credential(Handshake(headers={"sec-websocket-protocol": "relay-token.t"}))


def test_an_error_never_quotes_the_text() -> None:
    command = read('{"type":"speak","text":["a secret"],"voice":"v"}')
    assert isinstance(command, events.Unreadable)
    assert "secret" not in command.error.message


def test_the_speech_body_is_a_speak_with_a_container() -> None:
    body = native.receive_speech(b'{"text":"Hi","container":"wav","voice":"v","audio":{"frame_ms":40}}')
    assert (body.text, body.container, body.request().voice) == ("Hi", "wav", "v")
    assert body.request().audio == {"frame_ms": 40}
    assert native.receive_speech(b'{"text":"Hi"}').container == "raw"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b'{"text":"\xff"}', "not JSON"),
        (b"{}", "text"),
        (b'{"text":"a","container":"zip"}', "container"),
        (b'{"text":"a","contaner":"wav"}', "container"),
    ],
)
def test_bad_speech_bodies(body: bytes, says: str) -> None:
    with pytest.raises(ClientError, match=says) as caught:
        native.receive_speech(body)
    assert caught.value.code is Code.INVALID_MESSAGE


def test_the_error_body_over_http() -> None:
    body = json.loads(native.http_error(ClientError(Code.UNAUTHORIZED, "no key")))
    assert body == {"error": {"code": "unauthorized", "message": "no key", "retryable": False}}
