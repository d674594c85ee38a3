"""The Deepgram adapter: golden exchanges with invalid twins, and its socket over sequences of messages."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import ClientError, Code, ProviderError
from relay.providers.base.dialogue import TurnOver
from relay.providers.base.http import Refusal
from relay.providers.base.provider import ProviderSettings, SpeechRequest, VoiceQuery
from relay.providers.deepgram.account import account
from relay.providers.deepgram.provider import Deepgram
from relay.providers.deepgram.socket import AuraDialogue
from tests.providers import goldens

KEY = "dg_test_key"
EXCHANGES = goldens.names("deepgram", but=("voices",))


def made(base_url: str | None = None, **settings: Any) -> Deepgram:
    return Deepgram(ProviderSettings(**({"api_key": KEY, "base_url": base_url} | settings)))


@pytest.mark.parametrize("name", EXCHANGES)
async def test_golden_exchange_and_its_invalid_twin(name: str) -> None:
    both = goldens.load("deepgram", name)
    await goldens.play(made, both["valid"], secrets=(KEY,))
    await goldens.play_twin(made, both, secrets=(KEY,))


def test_the_voices_are_the_models_of_speech() -> None:
    both = goldens.load("deepgram", "voices")
    query = made().voices()
    assert isinstance(query, VoiceQuery)
    found, _ = query.parse(json.dumps(both["valid"]["reply"]["json"]).encode())
    assert goldens.told(found) == both["valid"]["voices"]
    with pytest.raises(ProviderError) as caught:
        query.parse(json.dumps(both["invalid"]["json"]).encode())
    goldens.check_error(caught.value, both["invalid"]["error"])


def test_a_server_of_ones_own_needs_no_key() -> None:
    own = made("http://127.0.0.1:8080", api_key=None)
    assert not own.capabilities.needs_key
    assert own.request(own.resolve(SpeechRequest()), "Hi").secret_headers == {}
    with pytest.raises(ClientError, match="set DEEPGRAM_API_KEY"):
        made("https://api.eu.deepgram.com", api_key=None).resolve(SpeechRequest())


# The socket


def dialogue() -> AuraDialogue:
    return AuraDialogue(account("deepgram", "https://api.deepgram.com", KEY))


def say(of: AuraDialogue, kind: str, **fields: Any) -> list[Any]:
    return list(of.receive(json.dumps({"type": kind, **fields})))


def kinds(messages: list[Any]) -> list[str]:
    return [json.loads(message)["type"] for message in messages]


def test_the_address_and_the_key() -> None:
    speech = made().resolve(SpeechRequest(sample_rate_hz=16000, options={"transport": "socket"}))
    request = made().converse(speech)
    address = request.connect(b"")
    query = "model=aura-2-thalia-en&encoding=linear16&sample_rate=16000"
    assert address.url == request.key == f"wss://api.deepgram.com/v1/speak?{query}"
    assert address.secret_headers == {"authorization": f"Token {KEY}"}


def test_a_turn_is_over_when_all_its_flushes_are_answered() -> None:
    of = dialogue()
    assert of.greet() == of.begin("t") == of.give("") == of.flush() == []
    assert say(of, "Metadata", request_id="r1") == []
    assert kinds([*of.give("One. "), *of.flush(), *of.flush(), *of.give("Two."), *of.end_text()]) == (
        ["Speak", "Flush", "Speak", "Flush"]
    )
    assert of.receive(b"ab") == [b"ab"]
    assert say(of, "Flushed", sequence_id=0) == []
    assert say(of, "Warning", code="x") == []
    assert say(of, "Flushed", sequence_id=1) == [TurnOver(ids={"request_id": "r1"})]
    assert of.receive(b"late") == [], "audio of no turn"


def test_where_all_was_spoken_before_the_end_another_flush_ends_the_turn() -> None:
    of = dialogue()
    of.begin("t")
    assert kinds([*of.give("One."), *of.flush()]) == ["Speak", "Flush"]
    assert say(of, "Flushed") == []
    assert kinds(of.end_text()) == ["Flush"]
    assert say(of, "Flushed") == [TurnOver()]


@pytest.mark.parametrize("flushed", [False, True])
def test_a_socket_whose_flush_was_cleared_is_not_used_again(flushed: bool) -> None:
    of = dialogue()
    of.begin("t")
    of.give("One.")
    if flushed:
        of.flush()
    assert kinds(of.cancel()) == ["Clear"]
    assert of.receive(b"stale") == []
    assert say(of, "Cleared") == [TurnOver(reusable=not flushed)]


@given(st.lists(st.sampled_from(["give", "flush", "answer", "audio", "end", "cancel"]), max_size=30))
def test_no_sequence_hears_audio_that_is_not_the_turns_and_none_is_over_twice(steps: list[str]) -> None:
    """The service answers each flush in order, and a Clear at once; the answers of cleared flushes never come."""
    of = dialogue()
    of.begin("t")
    asked: list[str] = []
    ended = cancelled = over = False
    for step in [*steps, "end", *["answer"] * 31]:
        heard: list[Any] = []
        match step:
            case "give" if not ended and not cancelled:
                asked += kinds(of.give("x"))
            case "flush" if not ended and not cancelled:
                asked += kinds(of.flush())
            case "end" if not ended and not cancelled:
                ended = True
                asked += kinds(of.end_text())
            case "cancel" if not over and not cancelled:
                cancelled = True
                asked = kinds(of.cancel())
            case "audio":
                heard = list(of.receive(b"ab"))
                assert heard in ([], [b"ab"])
                assert not heard or not (cancelled or over)
                continue
            case "answer":
                while asked and asked[0] == "Speak":
                    asked.pop(0)
                if asked:
                    heard = say(of, {"Flush": "Flushed", "Clear": "Cleared"}[asked.pop(0)])
        assert not (heard and over), "over twice"
        over |= bool(heard)
    spoke = "give" in steps[: next((at for at, step in enumerate(steps) if step in ("end", "cancel")), len(steps))]
    assert over == spoke, "a turn with text is over in the end, and one without asks nothing"


@pytest.mark.parametrize(
    ("code", "ours", "retryable"),
    [
        ("DATA-0000", Code.PROVIDER_REJECTED, False),
        ("BIG-0001", Code.TEXT_TOO_LONG, False),
        ("NET-0001", Code.PROVIDER_TIMEOUT, True),
        ("ODD", Code.PROVIDER_UNAVAILABLE, True),
    ],
)
def test_an_error_on_the_socket_ends_the_turn(code: str, ours: Code, retryable: bool) -> None:
    of = dialogue()
    of.begin("t")
    of.give("A private sentence.")
    with pytest.raises(ProviderError) as caught:
        say(of, "Error", code=code, description=f"{KEY} may not say A private sentence.")
    error = caught.value
    assert (error.code, error.retryable, error.provider.code) == (ours, retryable, code)
    assert "may not say" in error.message
    assert "private sentence" not in f"{error.message} {error.provider}"
    assert KEY not in f"{error.message} {error.provider}"
    with pytest.raises(ProviderError, match="no JSON object"):
        of.receive("half")


def test_a_refused_handshake_is_told_by_its_header() -> None:
    request = made().converse(made().resolve(SpeechRequest(options={"transport": "socket"})))
    headers = {"dg-error": "Invalid model: aura-9", "dg-request-id": "r1"}
    error = request.refuse(Refusal(status=400, headers=headers, body=b""))
    assert (error.code, error.provider.request_id) == (Code.VOICE_NOT_FOUND, "r1")
    assert "Invalid model: aura-9" in error.message
