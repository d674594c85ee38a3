"""The ElevenLabs adapter: golden exchanges with invalid twins, word times, its sockets over sequences of messages."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import ClientError, Code, ProviderError
from relay.providers.base.dialogue import TurnOver
from relay.providers.base.http import WordTime
from relay.providers.base.provider import ProviderSettings, SpeechRequest, VoiceQuery
from relay.providers.elevenlabs.provider import ElevenLabs
from relay.testing.cuts import CUTS, Cut
from tests.providers import goldens

KEY = "el_test_key"
EXCHANGES = goldens.names("elevenlabs", but=("voices",))
HI_YO = [WordTime(text="Hi", start_s=0.0, end_s=0.2), WordTime(text="yo", start_s=0.3, end_s=0.5)]


def made(base_url: str | None = None, **settings: Any) -> ElevenLabs:
    return ElevenLabs(ProviderSettings(**({"api_key": KEY, "base_url": base_url} | settings)))


@pytest.mark.parametrize("name", EXCHANGES)
async def test_golden_exchange_and_its_invalid_twin(name: str) -> None:
    both = goldens.load("elevenlabs", name)
    await goldens.play(made, both["valid"], secrets=(KEY,))
    await goldens.play_twin(made, both, secrets=(KEY,))


def test_the_voices_come_a_page_at_a_time() -> None:
    both = goldens.load("elevenlabs", "voices")
    first, second = both["valid"]["pages"]
    query = made().voices()
    found, following = query.parse(json.dumps(first).encode())
    assert isinstance(following, VoiceQuery)
    assert following.request.url.endswith("/v2/voices?page_size=100&next_page_token=p2")  # type: ignore[union-attr]
    more, end = following.parse(json.dumps(second).encode())
    assert ([voice.id for voice in found + more], end) == (["v1", "v2"], None)
    assert following.parse(json.dumps(first).encode())[1] is None, "the same page again is the end"
    with pytest.raises(ProviderError) as caught:
        query.parse(json.dumps(both["invalid"]["json"]).encode())
    goldens.check_error(caught.value, both["invalid"]["error"])


@pytest.mark.parametrize("cut", CUTS)
def test_lines_cut_anywhere_give_the_same_words_and_audio(cut: Cut) -> None:
    body = goldens.load("elevenlabs", "timestamps")["valid"]["reply"]["text"].encode()
    of = made()
    request = of.request(of.resolve(SpeechRequest(options={"transport": "timestamps"})), "Hi yo")
    assert request.unwrap is not None
    lines = request.unwrap()
    pieces = [each for piece in cut(body) for each in lines.feed(piece)] + list(lines.flush())
    assert [each for each in pieces if isinstance(each, WordTime)] == HI_YO
    assert b"".join(each for each in pieces if isinstance(each, bytes)).hex() == "0001ff7f00803412"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"detail":{"status":"system_busy","message":"later"}}', Code.PROVIDER_RATE_LIMITED),
        (b'{"audio_base64":"a"}', Code.BAD_AUDIO),
        (b'{"audio":"AAA="}', Code.BAD_AUDIO),
        (b'{"audio_base64":', Code.BAD_AUDIO),
    ],
)
def test_a_line_that_is_no_audio_ends_the_reply(line: bytes, code: Code) -> None:
    of = made()
    request = of.request(of.resolve(SpeechRequest(options={"transport": "timestamps"})), "Hi")
    assert request.unwrap is not None
    lines = request.unwrap()
    assert lines.feed(b'{"audio_base64":"AAA=","alignment":null}\n') == [b"\0\0"]
    with pytest.raises(ProviderError) as caught:
        lines.feed(line + b"\n")
    assert caught.value.code is code


def test_what_does_not_go_together_is_refused() -> None:
    for options in ({"output_format": "mp3_44100_128", "transport": "multi"}, {"voice_settings": {"stability": 2}}):
        with pytest.raises(ClientError):
            made().resolve(SpeechRequest(options=options))


# The sockets


def dialogue(transport: str = "multi", **options: Any) -> Any:
    of = made()
    asked = {"transport": transport, "output_format": "pcm_8000", **options}
    request = of.converse(of.resolve(SpeechRequest(options=asked)))
    talk = request.dialogue()
    assert talk.begin("t") == []
    return talk


def told(messages: list[Any]) -> list[Any]:
    return [json.loads(message) for message in messages]


def say(of: Any, **fields: Any) -> list[Any]:
    return list(of.receive(json.dumps(fields)))


def chunk(name: str | None = "t", audio: bytes = b"ab" * 800, **fields: Any) -> dict[str, Any]:
    named = {} if name is None else {"contextId": name}
    return {"audio": base64.b64encode(audio).decode(), "isFinal": None, **named, **fields}


def test_the_address_and_the_key() -> None:
    speech = made().resolve(SpeechRequest(options={"transport": "multi"}))
    request = made().converse(speech)
    address = request.connect(b"")
    path = "wss://api.elevenlabs.io/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb/multi-stream-input"
    assert address.url == f"{path}?model_id=eleven_flash_v2_5&output_format=pcm_24000&inactivity_timeout=180"
    assert address.secret_headers == {"xi-api-key": KEY}


def test_a_turn_is_a_context_with_word_times_over_its_chunks() -> None:
    of = dialogue(voice_settings={"speed": 0.9})
    opening = {"generation_config": {"chunk_length_schedule": [50]}, "voice_settings": {"speed": 0.9}}
    assert of.give("") == of.flush() == of.keep_alive() == []
    assert told([*of.give("Hi "), *of.flush(), *of.keep_alive(), *of.give("yo"), *of.end_text()]) == [
        {"text": " ", **opening, "context_id": "t"},
        {"text": "Hi ", "context_id": "t"},
        {"flush": True, "context_id": "t"},
        {"text": "", "context_id": "t"},
        {"text": "yo", "context_id": "t"},
        {"flush": True, "context_id": "t"},
        {"close_context": True, "context_id": "t"},
    ]
    first = {"chars": ["H", "i", " ", "y"], "charStartTimesMs": [0, 50, 70, 80], "charDurationsMs": [50, 20, 10, 20]}
    assert say(of, **chunk(alignment=first)) == [WordTime(text="Hi", start_s=0.0, end_s=0.07), b"ab" * 800]
    assert say(of, **chunk("other")) == []
    second = {"chars": ["o"], "charStartTimesMs": [0], "charDurationsMs": [50]}
    assert say(of, **chunk(alignment=second)) == [b"ab" * 800], "the word goes on, perhaps"
    word, over = say(of, isFinal=True, contextId="t")
    assert (word.text, word.start_s, word.end_s) == ("yo", 0.08, pytest.approx(0.15))
    assert over == TurnOver()
    assert say(of, **chunk()) == [], "audio of no turn"


def test_a_socket_of_one_turn_ends_with_it() -> None:
    of = dialogue("single")
    sent = told([*of.give("Hi"), *of.flush(), *of.keep_alive(), *of.end_text()])
    assert [message["text"] for message in sent] == [" ", "Hi", " ", " ", ""]
    assert say(of, **chunk(None)) == [b"ab" * 800]
    assert say(of, audio=None, isFinal=True) == [TurnOver(reusable=False)]
    other = dialogue("single")
    other.give("Hi")
    assert other.cancel() == []
    assert say(other, **chunk(None)) == []


@given(st.lists(st.sampled_from(["give", "flush", "audio", "end", "cancel"]), max_size=20))
def test_no_sequence_hears_audio_that_is_not_the_turns_and_none_is_over_twice(steps: list[str]) -> None:
    of = dialogue()
    for name in ("t", "t2"):
        if name != "t":
            of.begin(name)
        sent: list[Any] = []
        closed = cancelled = False
        for step in [*steps, "end"]:
            if step == "audio":
                assert not (say(of, **chunk(name)) and cancelled)
                assert say(of, **chunk("stale")) == []
            elif not closed:
                call = {"give": lambda: of.give("x"), "flush": of.flush, "end": of.end_text, "cancel": of.cancel}[step]
                sent += told(call())
                closed, cancelled = step in ("end", "cancel"), step == "cancel"
        assert [message.get("close_context") for message in sent].count(True) == (1 if sent else 0)
        assert {message["context_id"] for message in sent} <= {name}
        if sent:
            assert say(of, isFinal=True, contextId=name) == [TurnOver()]
            assert say(of, isFinal=True, contextId=name) == []


@pytest.mark.parametrize(
    ("name", "ours", "retryable"),
    [
        ("quota_exceeded", Code.PROVIDER_AUTH, False),
        ("max_active_conversations", Code.PROVIDER_RATE_LIMITED, True),
        ("input_timeout_exceeded", Code.PROVIDER_TIMEOUT, True),
        ("odd", Code.PROVIDER_UNAVAILABLE, True),
    ],
)
def test_an_error_on_a_socket_ends_the_turn(name: str, ours: Code, retryable: bool) -> None:
    for transport in ("multi", "single"):
        of = dialogue(transport)
        of.give("A private sentence.")
        with pytest.raises(ProviderError) as caught:
            say(of, error=name, code=1008, message=f"{KEY} may not say A private sentence.")
        error = caught.value
        assert (error.code, error.retryable, error.provider.code) == (ours, retryable, name)
        assert "private sentence" not in f"{error.message} {error.provider}"
        assert KEY not in f"{error.message} {error.provider}"
        with pytest.raises(ProviderError, match="no JSON object"):
            of.receive("half")
