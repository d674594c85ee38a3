"""Flux's socket over sequences of messages."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import Code, ProviderError
from relay.providers.base.dialogue import TurnOver
from relay.providers.base.provider import ProviderSettings, SpeechRequest
from relay.providers.deepgram.account import account
from relay.providers.deepgram.flux import FluxDialogue
from relay.providers.deepgram.provider import Deepgram

KEY = "dg_test_key"


def dialogue() -> FluxDialogue:
    of = FluxDialogue(account("deepgram", "https://api.deepgram.com", KEY))
    of.begin("t")
    return of


def say(of: FluxDialogue, kind: str, **fields: Any) -> list[Any]:
    return list(of.receive(json.dumps({"type": kind, **fields})))


def kinds(messages: list[Any]) -> list[str]:
    return [json.loads(message)["type"] for message in messages]


def test_the_address() -> None:
    provider = Deepgram(ProviderSettings(api_key=KEY))
    speech = provider.resolve(SpeechRequest(voice="flux-x-en", options={"transport": "socket", "sample_rate": 44100}))
    request = provider.converse(speech)
    assert request.key == "wss://api.deepgram.com/v2/speak?model=flux-x-en&encoding=linear16&sample_rate=44100"
    assert isinstance(request.dialogue(), FluxDialogue)


def test_a_turn_is_over_when_all_its_speeches_are() -> None:
    of = dialogue()
    assert say(of, "Connected", request_id="r1", model_name="x") == []
    assert kinds([*of.give("One. "), *of.flush(), *of.flush(), *of.give("Two."), *of.end_text()]) == (
        ["Speak", "Flush", "Speak", "Flush"]
    )
    assert say(of, "SpeechStarted", speech_id="a") == []
    assert of.receive(b"ab") == [b"ab"]
    assert say(of, "Flushed", speech_id="a") == say(of, "SpeechMetadata", speech_id="a") == []
    assert say(of, "Warning", code="NO_SYNTHESIZABLE_TEXT", description="") == []
    assert say(of, "SpeechMetadata", speech_id="b") == [TurnOver(ids={"request_id": "r1"})]
    assert of.receive(b"late") == [], "audio of no turn"


def test_where_all_was_spoken_before_the_end_the_warning_ends_the_turn() -> None:
    of = dialogue()
    assert kinds([*of.give("One."), *of.flush()]) == ["Speak", "Flush"]
    assert say(of, "SpeechMetadata", speech_id="a") == []
    assert kinds(of.end_text()) == ["Flush"]
    assert say(of, "Warning", code="NO_ACTIVE_SPEECH", description="") == [TurnOver()]


@pytest.mark.parametrize(
    ("ended", "answer", "reusable"),
    [
        (True, {"type": "SpeechInterrupted", "audio_played_ms": 7, "metadata": {"speech_id": "a"}}, True),
        (False, {"type": "SpeechInterrupted", "audio_played_ms": 7, "metadata": {"speech_id": "a"}}, False),
        (True, {"type": "Warning", "code": "NO_AUDIO_GENERATED", "description": ""}, False),
        (True, {"type": "Warning", "code": "INTERRUPT_IN_PROGRESS", "description": ""}, False),
    ],
)
def test_a_cancel_is_confirmed_and_an_ignored_one_costs_the_socket(
    ended: bool, answer: dict[str, Any], reusable: bool
) -> None:
    of = dialogue()
    of.give("One.")
    if ended:
        of.end_text()
    assert kinds(of.cancel()) == ["Interrupt"]
    assert of.receive(b"stale") == []
    assert of.receive(json.dumps(answer)) == [TurnOver(reusable=reusable)]
    assert of.receive(b"stale") == say(of, "SpeechMetadata", speech_id="a") == []
    of.begin("t2")
    assert kinds([*of.give("Two."), *of.end_text()]) == ["Speak", "Flush"]
    if reusable:
        assert say(of, "SpeechMetadata", speech_id="a") == [], "of the speech that was interrupted"
        assert say(of, "SpeechMetadata", speech_id="b") == [TurnOver()]


@given(st.lists(st.sampled_from(["give", "flush", "answer", "audio", "end", "cancel"]), max_size=30))
def test_no_sequence_hears_audio_that_is_not_the_turns_and_none_is_over_twice(steps: list[str]) -> None:
    """The service speaks what was flushed, in order, warns of a flush of nothing, and answers an Interrupt at once."""
    of = dialogue()
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
                assert not heard or not (cancelled or over)
                continue
            case "answer" if asked:
                spoken = asked[0] == "Speak"
                while asked and asked[0] == "Speak":
                    asked.pop(0)
                match asked.pop(0) if asked else None:
                    case "Flush" if spoken:
                        heard = say(of, "SpeechMetadata", speech_id="a")
                    case "Flush":
                        heard = say(of, "Warning", code="NO_ACTIVE_SPEECH", description="")
                    case "Interrupt":
                        heard = say(of, "SpeechInterrupted", audio_played_ms=1, metadata={})
                    case None:
                        asked = ["Speak"]  # not flushed yet
        assert not (heard and over), "over twice"
        over |= bool(heard)
    spoke = "give" in steps[: next((at for at, step in enumerate(steps) if step in ("end", "cancel")), len(steps))]
    assert over == spoke, "a turn with text is over in the end, and one without asks nothing"


def test_an_error_ends_the_turn() -> None:
    of = dialogue()
    of.give("A private sentence.")
    with pytest.raises(ProviderError) as caught:
        say(of, "Error", code="DATA-0002", description=f"{KEY} may not say A private sentence.")
    assert (caught.value.code, caught.value.retryable) == (Code.PROVIDER_REJECTED, False)
    assert "may not say" in caught.value.message
    assert "private sentence" not in caught.value.message
    with pytest.raises(ProviderError, match="no JSON object"):
        of.receive("half")
