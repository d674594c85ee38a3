"""The Cartesia adapter: golden exchanges with invalid twins, and its socket over sequences of messages."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import ClientError, Code, ProviderError
from relay.providers.base.dialogue import TurnOver
from relay.providers.base.http import HttpRequest, WordTime
from relay.providers.base.provider import ProviderSettings, SpeechRequest, VoiceQuery
from relay.providers.cartesia.provider import Cartesia
from relay.testing.cuts import CUTS, Cut
from tests.providers import goldens

KEY = "ca_test_key"
EXCHANGES = goldens.names("cartesia", but=("voices",))


def made(base_url: str | None = None, **settings: Any) -> Cartesia:
    return Cartesia(ProviderSettings(**({"api_key": KEY, "base_url": base_url} | settings)))


@pytest.mark.parametrize("name", EXCHANGES)
async def test_golden_exchange_and_its_invalid_twin(name: str) -> None:
    both = goldens.load("cartesia", name)
    await goldens.play(made, both["valid"], secrets=(KEY,))
    await goldens.play_twin(made, both, secrets=(KEY,))


def test_the_voices_come_a_page_at_a_time() -> None:
    both = goldens.load("cartesia", "voices")
    first, second = both["valid"]["pages"]
    query = made().voices()
    found, following = query.parse(json.dumps(first).encode())
    assert isinstance(following, VoiceQuery)
    assert isinstance(following.request, HttpRequest)
    assert following.request.url == "https://api.cartesia.ai/voices?limit=100&starting_after=v1"
    more, end = following.parse(json.dumps(second).encode())
    assert ([voice.id for voice in found + more], end) == (["v1", "v2"], None)
    assert following.parse(json.dumps(first).encode())[1] is None, "the same page again is the end"
    with pytest.raises(ProviderError) as caught:
        query.parse(json.dumps(both["invalid"]["json"]).encode())
    goldens.check_error(caught.value, both["invalid"]["error"])


@pytest.mark.parametrize("cut", CUTS)
def test_events_cut_anywhere_give_the_same_words_and_audio(cut: Cut) -> None:
    body = goldens.load("cartesia", "events")["valid"]["reply"]["text"].encode()
    of = made()
    request = of.request(of.resolve(SpeechRequest(options={"transport": "events"})), "Hi")
    assert request.unwrap is not None
    events = request.unwrap()
    pieces = [each for piece in cut(body) for each in events.feed(piece)] + list(events.flush())
    assert [each for each in pieces if isinstance(each, WordTime)] == [WordTime(text="Hi", start_s=0.0, end_s=0.2)]
    assert b"".join(each for each in pieces if isinstance(each, bytes)).hex() == "0001ff7f00803412"


@pytest.mark.parametrize(
    "options",
    [
        {"transport": "socket", "container": "wav"},
        {"container": "mp3", "encoding": "pcm_s16le"},
        {"bit_rate": 64000},
        {"sample_rate": 11025},
    ],
)
def test_what_does_not_go_together_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ClientError, match="options"):
        made().resolve(SpeechRequest(options=options))


# The socket


def dialogue() -> Any:
    of = made()
    speech = of.resolve(SpeechRequest(options={"transport": "socket", "sample_rate": 8000, "speed": 0.9}))
    talk = of.converse(speech).dialogue()
    assert talk.begin("t") == []
    return talk


def told(messages: list[Any]) -> list[Any]:
    return [json.loads(message) for message in messages]


def say(of: Any, kind: str, context_id: str | None = "t", **fields: Any) -> list[Any]:
    named = {} if context_id is None else {"context_id": context_id}
    return list(of.receive(json.dumps({"type": kind, **named, **fields})))


AUDIO: dict[str, Any] = {"data": base64.b64encode(b"ab" * 800).decode(), "done": False, "status_code": 206}
FIELDS: dict[str, Any] = {
    "model_id": "sonic-latest",
    "voice": {"id": "6ccbfb76-1fc6-48f7-b71d-91ac6298247b"},
    "output_format": {"container": "raw", "sample_rate": 8000, "encoding": "pcm_s16le"},
    "generation_config": {"speed": 0.9},
    "add_timestamps": True,
    "max_buffer_delay_ms": 3000,
}


def test_the_address_the_version_and_the_key() -> None:
    request = made().converse(made().resolve(SpeechRequest(options={"transport": "socket"})))
    address = request.connect(b"")
    assert address.url == "wss://api.cartesia.ai/tts/websocket"
    assert address.headers == {"cartesia-version": "2026-08-14"}
    assert address.secret_headers == {"authorization": f"Bearer {KEY}"}


def test_a_turn_is_a_context_and_text_after_its_done_another() -> None:
    of = dialogue()
    assert of.give("") == of.flush() == of.keep_alive() == []
    assert told([*of.give("Hi "), *of.flush()]) == [
        {"context_id": "t", **FIELDS, "transcript": "Hi ", "continue": True},
        {"context_id": "t", **FIELDS, "transcript": "", "continue": True, "flush": True},
    ]
    assert say(of, "chunk", **AUDIO) == [b"ab" * 800]
    assert say(of, "chunk", "stale", **AUDIO) == say(of, "flush_done") == say(of, "odd") == []
    assert say(of, "done") == [], "it has run dry before the text did"
    assert told([*of.give("yo"), *of.end_text()]) == [
        {"context_id": "t.2", **FIELDS, "transcript": "yo", "continue": True},
        {"context_id": "t.2", **FIELDS, "transcript": "", "continue": False},
    ]
    times = {"words": ["yo", 3], "start": [0.05, 0], "end": [0.1, 0]}
    (word,) = say(of, "timestamps", "t.2", word_timestamps=times)
    assert (word.text, word.start_s, word.end_s) == ("yo", pytest.approx(0.15), pytest.approx(0.2))
    assert say(of, "done", "t.2") == [TurnOver()]
    assert say(of, "chunk", "t.2", **AUDIO) == [], "audio of no turn"


@pytest.mark.parametrize("answer", ["done", "error"])
def test_an_end_after_all_was_spoken_is_the_end_whatever_is_answered(answer: str) -> None:
    of = dialogue()
    of.give("Hi")
    assert say(of, "done") == []
    assert [message["context_id"] for message in told(of.end_text())] == ["t.2"]
    assert say(of, answer, "t.2", status_code=400, message="no text") == [TurnOver()]


@given(st.lists(st.sampled_from(["give", "flush", "audio", "done", "end", "cancel"]), max_size=20))
def test_no_sequence_hears_audio_that_is_not_the_turns_and_none_is_over_twice(steps: list[str]) -> None:
    of = dialogue()
    for name in ("t", "t2"):
        if name != "t":
            of.begin(name)
        context: str | None = None
        stopped = cancelled = over = given_any = False
        for step in [*steps, "end", "done"]:
            heard: list[Any] = []
            if step == "audio":
                heard = say(of, "chunk", context or name, **AUDIO)
                assert bool(heard) == (context is not None and not cancelled)
                assert say(of, "chunk", "stale", **AUDIO) == []
                continue
            if step == "done":
                if context is not None:
                    heard, context = say(of, "done", context), None
                    assert heard == ([TurnOver()] if stopped else [])
            elif not stopped:
                call = {"give": lambda: of.give("x"), "flush": of.flush, "end": of.end_text, "cancel": of.cancel}[step]
                sent = told(call())
                given_any |= step == "give"
                context = sent[-1]["context_id"] if sent else context
                stopped, cancelled = step in ("end", "cancel"), step == "cancel"
                over |= stopped and context is None
            assert not (heard and over), "over twice"
            over |= bool(heard)
        assert over, "a turn is over, or asks nothing"


@pytest.mark.parametrize(
    ("status", "name", "ours", "retryable"),
    [
        (429, "concurrency_limited", Code.PROVIDER_RATE_LIMITED, True),
        (402, "odd", Code.PROVIDER_AUTH, False),
        (404, "voice_not_found", Code.VOICE_NOT_FOUND, False),
        (None, "odd", Code.PROVIDER_UNAVAILABLE, True),
    ],
)
def test_an_error_on_the_socket_ends_the_turn_of_its_context(
    status: int | None, name: str, ours: Code, retryable: bool
) -> None:
    words = f"{KEY} may not say A private sentence."
    error = {"status_code": status, "error_code": name, "title": "A problem", "message": words, "done": True}
    for context in ("t", None):
        of = dialogue()
        of.give("A private sentence.")
        assert say(of, "error", "another", **error) == []
        with pytest.raises(ProviderError) as caught:
            say(of, "error", context, **error)
        raised = caught.value
        assert (raised.code, raised.retryable, raised.provider.code) == (ours, retryable, name)
        assert "private sentence" not in f"{raised.message} {raised.provider}"
        assert KEY not in f"{raised.message} {raised.provider}"
        with pytest.raises(ProviderError, match="no JSON object"):
            of.receive("half")
