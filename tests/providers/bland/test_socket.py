"""Bland's WebSocket as a conversation without a socket: what is said, and what each answer means."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base.dialogue import Dialogue, DialogueRequest, Ready, TurnOver, takes_text_as_typed
from relay.providers.base.http import Refusal, ReplyFacts
from relay.providers.base.provider import ProviderSettings, SpeechRequest
from relay.providers.bland.provider import Bland

KEY = "org_test_key"
VALENTINE = "2f29fdbb-c55e-4add-9c7c-93437ebf379d"
AUDIO = b"\x00\x01\xff\x7f\x00"  # of odd length: the service cuts where it likes
READY = {"type": "ready", "session_id": "ses_1", "encoding": "pcm_s16le", "sample_rate": 16000}


def request_of(base_url: str | None = None, key: str = KEY, **wanted: Any) -> DialogueRequest:
    provider = Bland(ProviderSettings(api_key=key, base_url=base_url, options={"api": "socket"}))
    defaults: dict[str, Any] = {"voice": VALENTINE, "sample_rate_hz": 16000}
    speech = provider.resolve(SpeechRequest(**(defaults | wanted)))
    assert takes_text_as_typed(provider, speech)
    return provider.converse(speech)


def told(kind: str, **fields: Any) -> str:
    return json.dumps({"type": kind, **fields})


def said(messages: list[str | bytes]) -> list[dict[str, Any]]:
    return [json.loads(message) for message in messages]


def source(rate_hz: int, encoding: Encoding = Encoding.PCM_S16LE) -> SourceFormat:
    return SourceFormat(container=Container.RAW, pcm=AudioFormat(encoding=encoding, sample_rate_hz=rate_hz))


def greeted(**wanted: Any) -> Dialogue:
    dialogue = request_of(**wanted).dialogue()
    dialogue.greet()
    dialogue.receive(json.dumps(READY))
    return dialogue


def speaking(text: str = "Hello ") -> tuple[Dialogue, str]:
    """A dialogue whose turn has some text, and the turn's context."""
    dialogue = greeted()
    assert dialogue.begin("t") == []
    return dialogue, said(dialogue.give(text))[0]["context_id"]


def end(context: str | None, reason: str | None = "complete", **fields: Any) -> str:
    return told("utterance_end", context_id=context, reason=reason, **fields)


# The socket


def test_where_and_how_it_is_opened() -> None:
    request = request_of()
    address = request.connect(b"")
    assert address.url == "wss://api.bland.ai/v2/tts/ws"
    assert address.secret_headers == {"authorization": f"Bearer {KEY}"}
    assert (address.headers, address.subprotocols) == ({}, ())
    assert (request.provider, request.mint, request.idle_close_s) == ("bland", None, 60)
    assert request.source == source(16000)
    assert request_of("http://127.0.0.1:9/bland/").connect(b"").url == "ws://127.0.0.1:9/bland/v2/tts/ws"


def test_a_socket_serves_turns_of_one_voice_and_format_only() -> None:
    key = request_of().key
    assert key == request_of().key
    others = [
        request_of(voice="29158307-9893-4149-8a75-bc9ce313d64e"),
        request_of(sample_rate_hz=24000),
        request_of(options={"audio": {"encoding": "mulaw"}}),
        request_of(options={"controls": {"stability": 0.5}}),
        request_of(options={"auto_formatting": False}),
        request_of(base_url="http://127.0.0.1:9"),
    ]
    assert len({key, *(other.key for other in others)}) == len(others) + 1
    assert KEY not in key


@pytest.mark.parametrize(
    ("status", "body", "code", "retryable"),
    [
        (401, b"", Code.PROVIDER_AUTH, False),
        (402, b'{"error": {"code": "insufficient_credits", "message": "Add credits."}}', Code.PROVIDER_AUTH, False),
        (404, b'{"error": {"code": "nope", "message": "No such route."}}', Code.PROVIDER_REJECTED, False),
        (429, b"", Code.PROVIDER_RATE_LIMITED, True),
        (500, b"not enabled", Code.PROVIDER_UNAVAILABLE, True),
    ],
)
def test_a_handshake_that_is_refused(status: int, body: bytes, code: Code, retryable: bool) -> None:
    error = request_of().refuse(Refusal(status=status, headers={"x-request-id": "r-1"}, body=body))
    assert (error.code, error.retryable) == (code, retryable)
    assert (error.provider.status, error.provider.request_id) == (status, "r-1")


# What we say, as livekit-plugins-bland 1.8.9 says it to a loopback server (2026-11-20)


def test_the_greeting() -> None:
    dialogue = request_of(options={"controls": {"expressiveness": 0.4}}).dialogue()
    assert said(dialogue.greet()) == [
        {
            "type": "init",
            "voice": VALENTINE,
            "audio": {"encoding": "pcm_s16le", "sample_rate": 16000},
            "controls": {"expressiveness": 0.4},
        }
    ]
    dialogue = request_of(options={"audio": {"encoding": "mulaw"}, "auto_formatting": True}).dialogue()
    assert said(dialogue.greet()) == [
        {
            "type": "init",
            "voice": VALENTINE,
            "audio": {"encoding": "mulaw", "sample_rate": 8000},
            "auto_formatting": True,
        }
    ]


def test_a_turn_is_its_text_verbatim_and_its_end() -> None:
    dialogue = greeted()
    assert dialogue.begin("5ea4") == []
    pieces = ["Hello ", "\n", "wor", "ld. \ud800 مرحبا"]
    spoken = [message for piece in pieces for message in said(dialogue.give(piece))]
    context = spoken[0]["context_id"]
    assert spoken == [{"type": "speak", "context_id": context, "text": piece} for piece in pieces]
    assert dialogue.flush() == []
    assert dialogue.keep_alive() == []
    assert said(dialogue.end_text()) == [{"type": "end_of_turn", "context_id": context}]


def test_a_turn_without_text_is_no_turn_to_the_service() -> None:
    dialogue = greeted()
    dialogue.begin("t")
    assert dialogue.give("") == []
    assert dialogue.end_text() == []
    assert dialogue.cancel() == []


def test_a_turn_without_text_after_one_with_text_is_none_either() -> None:
    dialogue, context = speaking()
    dialogue.end_text()
    dialogue.receive(end(context))
    dialogue.begin("t")
    assert dialogue.end_text() == []


def test_text_after_the_end_is_our_mistake() -> None:
    dialogue, _ = speaking()
    dialogue.end_text()
    with pytest.raises(AssertionError, match="no text follows"):
        dialogue.give("more")


def test_two_clients_turns_of_one_name_have_two_contexts() -> None:
    dialogue, first = speaking()
    dialogue.end_text()
    dialogue.receive(end(first))
    dialogue.begin("t")
    second = said(dialogue.give("Again."))[0]["context_id"]
    assert first != second


# What the service says


@pytest.mark.parametrize(
    ("ready", "expected"),
    [
        (READY, source(16000)),
        ({"type": "ready", "session_id": "ses_1"}, source(16000)),
        (READY | {"sample_rate": 48000}, source(48000)),
        (READY | {"encoding": "mulaw", "sample_rate": 8000}, source(8000, Encoding.MULAW)),
        ({"type": "ready", "session_id": "ses_1", "audio": {"sample_rate": 24000}}, source(24000)),
        (READY | {"audio": {"encoding": "mulaw", "sample_rate": 8000}}, source(8000, Encoding.MULAW)),
    ],
)
def test_the_greeting_is_answered_with_the_format_that_comes(ready: dict[str, Any], expected: SourceFormat) -> None:
    dialogue = request_of().dialogue()
    dialogue.greet()
    assert dialogue.receive(json.dumps(ready)) == [
        Ready(facts=ReplyFacts(source=expected, ids={"session_id": "ses_1"}))
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"encoding": "mp3"},
        {"encoding": 3},
        {"encoding": ["pcm_s16le"]},
        {"sample_rate": 0},
        {"sample_rate": 96000},
        {"sample_rate": "16000"},
        {"sample_rate": {"hz": 1}},
    ],
)
def test_a_format_that_nobody_asked_for_is_no_audio(wrong: dict[str, Any]) -> None:
    dialogue = request_of().dialogue()
    with pytest.raises(ProviderError, match="nobody asked for") as caught:
        dialogue.receive(json.dumps(READY | wrong))
    assert (caught.value.code, caught.value.retryable) == (Code.BAD_AUDIO, False)


def test_a_whole_turn_and_the_next_on_the_same_socket() -> None:
    dialogue, context = speaking()
    assert dialogue.receive(told("utterance_start", context_id=context)) == []
    assert dialogue.receive(AUDIO) == [AUDIO]
    dialogue.give("world.")
    dialogue.end_text()
    assert dialogue.receive(AUDIO[:1]) == [AUDIO[:1]]
    assert dialogue.receive(b"") == []
    assert dialogue.receive(end(context, frames=2, duration_ms=1)) == [TurnOver(ids={"context_id": context})]
    assert dialogue.receive(AUDIO) == [], "it belongs to no turn"
    dialogue.begin("next")
    following = said(dialogue.give("Again."))[0]["context_id"]
    dialogue.end_text()
    assert dialogue.receive(told("utterance_start", context_id=following)) == []
    assert dialogue.receive(AUDIO) == [AUDIO]
    assert dialogue.receive(end(following)) == [TurnOver(ids={"context_id": following})]


def test_an_end_that_names_no_turn_is_this_turns() -> None:
    dialogue, context = speaking()
    dialogue.end_text()
    assert dialogue.receive(end(None)) == [TurnOver(ids={"context_id": context})]
    assert dialogue.receive(end(None)) == [], "and only once"


def test_audio_of_another_turn_is_not_this_turns() -> None:
    dialogue, context = speaking()
    dialogue.receive(told("utterance_start", context_id="an older one"))
    assert dialogue.receive(AUDIO) == []
    assert dialogue.receive(end("an older one", "preempted")) == []
    dialogue.receive(told("utterance_start", context_id=context))
    assert dialogue.receive(AUDIO) == [AUDIO]


def test_audio_whose_start_was_not_announced_is_nobodys() -> None:
    """It may be the rest of a turn that is over; a listener must never hear that in the next one."""
    dialogue, _ = speaking()
    assert dialogue.receive(AUDIO) == []


@pytest.mark.parametrize(
    ("reason", "reusable"), [("cancelled", True), ("complete", True), ("failed", False), (None, False)]
)
def test_nothing_is_heard_after_a_cancel(reason: str | None, reusable: bool) -> None:
    dialogue, context = speaking()
    dialogue.receive(told("utterance_start", context_id=context))
    assert said(dialogue.cancel()) == [{"type": "cancel", "context_id": context}]
    assert dialogue.receive(AUDIO) == []
    dialogue.receive(told("utterance_start", context_id=context))
    assert dialogue.receive(AUDIO) == []
    over = TurnOver(ids={"context_id": context}, reusable=reusable)
    assert dialogue.receive(end(context, reason)) == [over]


@pytest.mark.parametrize(
    ("reason", "ended", "code", "says"),
    [
        ("failed", True, Code.PROVIDER_UNAVAILABLE, "bland failed to speak the turn"),
        ("cancelled", True, Code.PROVIDER_CUT, "bland ended the turn early: cancelled"),
        ("preempted", True, Code.PROVIDER_CUT, "bland ended the turn early: preempted"),
        (None, True, Code.PROVIDER_CUT, "bland ended the turn early: no reason"),
        ("complete", False, Code.PROVIDER_CUT, "bland ended the turn before its text had ended"),
        (f"because of {KEY}", True, Code.PROVIDER_CUT, "bland ended the turn early: because of [redacted]"),
    ],
)
def test_any_other_end_is_a_failure(reason: str | None, ended: bool, code: Code, says: str) -> None:
    dialogue, context = speaking()
    dialogue.receive(AUDIO)
    if ended:
        dialogue.end_text()
    with pytest.raises(ProviderError) as caught:
        dialogue.receive(end(context, reason))
    assert (caught.value.code, caught.value.retryable, caught.value.message) == (code, True, says)


CODES = [
    ("AUTH_FAILED", Code.PROVIDER_AUTH, False),
    ("insufficient_credits", Code.PROVIDER_AUTH, False),
    ("USER_BANNED", Code.PROVIDER_AUTH, False),
    ("init_required", Code.PROVIDER_REJECTED, False),
    ("already_initialized", Code.PROVIDER_REJECTED, False),
    ("unsupported_sample_rate", Code.PROVIDER_REJECTED, False),
    ("voice_not_live", Code.PROVIDER_REJECTED, False),
    ("voice_not_found", Code.VOICE_NOT_FOUND, False),
    ("context_overflow", Code.TEXT_TOO_LONG, False),
    ("idle_timeout", Code.PROVIDER_CUT, True),
    ("concurrency_limit_reached", Code.PROVIDER_RATE_LIMITED, True),
    ("rate_limited", Code.PROVIDER_RATE_LIMITED, True),
    ("synthesis_failed", Code.PROVIDER_UNAVAILABLE, True),
]


@pytest.mark.parametrize(("vendor_code", "code", "retryable"), CODES)
@pytest.mark.parametrize("when", ["greeting", "turn", "between"])
def test_every_error_on_the_socket(when: str, vendor_code: str, code: Code, retryable: bool) -> None:
    fields: dict[str, Any] = {"code": vendor_code, "message": "Because."}
    if when == "turn":
        dialogue, fields["context_id"] = speaking()
    else:
        dialogue = request_of().dialogue() if when == "greeting" else greeted()
    with pytest.raises(ProviderError) as caught:
        dialogue.receive(told("error", **fields))
    assert (caught.value.code, caught.value.retryable) == (code, retryable)
    assert caught.value.provider == ProviderFault(name="bland", code=vendor_code, message="Because.")
    assert caught.value.message == f"bland said on its socket: {vendor_code}: Because."


def test_an_error_of_another_turn_is_not_this_turns() -> None:
    dialogue, context = speaking()
    assert dialogue.receive(told("error", code="context_overflow", message="m", context_id="an older one")) == []
    dialogue.end_text()
    assert dialogue.receive(end(context)) == [TurnOver(ids={"context_id": context})]


def test_an_error_quotes_neither_key_nor_text() -> None:
    dialogue, context = speaking("The patient's ")
    dialogue.give("name is Ada.")
    message = f"cannot speak 'The patient's name is Ada.' with {KEY}, nor 'patient's name'"
    for fields in ({"code": "x", "message": message}, {"code": message}, {"code": 1, "message": [message]}):
        with pytest.raises(ProviderError) as caught:
            dialogue.receive(told("error", context_id=context, **fields))
        for secret in (KEY, "patient's name", "name is Ada"):
            assert secret not in f"{caught.value.message} {caught.value.provider}"
        assert len(caught.value.message) < 600


def test_the_end_of_the_session_ends_the_turn() -> None:
    for dialogue in (speaking()[0], greeted()):
        with pytest.raises(ProviderError, match="bland ended its session") as caught:
            dialogue.receive(told("done", session_id="ses_1"))
        assert caught.value.code is Code.PROVIDER_CUT


@pytest.mark.parametrize("message", ["", "hello", "[1]", "null", '{"kind": "ready"}', '{"type": "re', "[" * 50_000])
def test_what_is_no_message_is_a_failure(message: str) -> None:
    with pytest.raises(ProviderError, match="no JSON object with a type") as caught:
        greeted().receive(message)
    assert (caught.value.code, caught.value.retryable) == (Code.PROVIDER_UNAVAILABLE, False)


@pytest.mark.parametrize("message", [told("warning", text="x"), told("utterance_progress"), '{"type": 7}'])
def test_messages_of_tomorrow_are_passed_over(message: str) -> None:
    dialogue, context = speaking()
    assert dialogue.receive(message) == []
    dialogue.end_text()
    assert dialogue.receive(end(context)) == [TurnOver(ids={"context_id": context})]


@pytest.mark.parametrize("late", [lambda c: end(c), lambda c: end(c, "failed"), lambda c: told("error", context_id=c)])
def test_what_comes_after_a_turns_end_is_over_too(late: Callable[[str], str]) -> None:
    dialogue, context = speaking()
    dialogue.end_text()
    dialogue.receive(end(context))
    assert dialogue.receive(late(context)) == []
    dialogue.begin("t")
    dialogue.give("Again.")
    assert dialogue.receive(late(context)) == []
