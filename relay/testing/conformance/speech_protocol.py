"""A protocol with one turn a request: it parses any body or refuses it in its own form, keeps text and keys out of what
it says, and carries every byte of the audio.

    check_speech_protocol(OpenAI(Door(name="openai")), valid=[b'{"input": "Hi.", "voice": "v"}'])
"""

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

from relay.core import events
from relay.core.job import JobRequest
from relay.core.record import TurnRecord
from relay.errors import ClientError, Code, InternalError, LimitError, ProviderError, ProviderFault, RelayError
from relay.protocols.base import Handshake, HttpAnswer, SpeechCall, SpeechProtocol
from relay.testing.conformance.protocol import MESSAGE_CHARS, TEXT, every_event

_SPOILT = (b"", b" ", b"{", b"null", b"[]", b"7", b'""', b"{}", b"[" * 100_000, b"\xff\xfe", b"1e999", b"NaN")
_OTHERS: tuple[Any, ...] = (None, True, -1, 2**70, 1.5, "", "x" * 10_000, [], [[]], {}, {"a": {}})


def check_speech_protocol(
    protocol: SpeechProtocol, *, valid: Sequence[bytes], text_field: str, handshake: Handshake | None = None
) -> None:
    """`valid` are JSON bodies that the protocol parses, with their text in `text_field`."""
    asked = handshake or Handshake()
    check_refuses(protocol)
    check_parses(protocol, valid, text_field, asked)
    for body in valid:
        call = protocol.parse(asked, body)
        assert isinstance(call, SpeechCall), "a short text is spoken in the reply"
        check_replies(protocol, call)


def check_refuses(protocol: SpeechProtocol) -> None:
    """Every error there is becomes an answer with a status of its kind and a body in one form, whatever the error."""
    shapes = set()
    for error in _errors():
        answer = protocol.refusal(error)
        assert isinstance(answer, HttpAnswer)
        assert 400 <= answer.status < 600, f"{error.code} is told as {answer.status}"
        if isinstance(error, InternalError):
            assert answer.status >= 500, "a bug is told as the client's mistake"
        if error.retry_after_s is not None:
            assert int(answer.headers["Retry-After"]) >= 1, "a client is told to come again at once"
        body = json.loads(answer.body)
        assert error.message in json.dumps(body, ensure_ascii=False), f"{error.code} loses its message"
        shapes.add(json.dumps(_shape(body), sort_keys=True))
        assert protocol.refusal(error, 404).status == 404
    assert len(shapes) <= 2, f"error bodies have {len(shapes)} forms"
    assert protocol.credential(Handshake()) is None
    assert protocol.credential_hint


def check_parses(protocol: SpeechProtocol, valid: Sequence[bytes], text_field: str, handshake: Handshake) -> None:
    """Valid bodies are parsed whole; all else is a ClientError of a bounded length without the text."""
    for body in valid:
        fields = json.loads(body)
        call = protocol.parse(handshake, json.dumps(fields | {text_field: TEXT}).encode())
        assert call.text == TEXT, "the text is changed"
        assert TEXT not in repr(call), "a call shows its text"
        wrong_types = (fields | {name: other} for name in fields for other in _OTHERS)
        for wrong in (*wrong_types, fields | {"no_such_field": 1}):
            _parse_or_refuse(protocol, handshake, json.dumps(wrong | {text_field: wrong.get(text_field)}).encode())
        _parse_or_refuse(protocol, handshake, json.dumps(fields | {text_field: [TEXT]}).encode())
        _parse_or_refuse(protocol, handshake, body[:-1])
    for body in noise(valid):
        _parse_or_refuse(protocol, handshake, body)


def check_replies(protocol: SpeechProtocol, call: SpeechCall) -> None:
    """The chunks of a body are bytes whatever the event, and its audio is carried in order, with nothing lost: more
    audio is more body, and the same audio in other cuts holds the same."""
    record = TurnRecord(turn_id="t", index=0)
    headers = protocol.reply(call).headers(record, "audio/wav")
    assert headers["Content-Type"]
    assert headers.get("Cache-Control") == "no-store", "speech is kept by a proxy"
    for event in every_event():
        if not isinstance(event, events.Failed):
            assert isinstance(protocol.reply(call).event(event), bytes)
    reply = protocol.reply(call)
    assert reply.audio(b"") == b"", "no audio is told of"
    audio = random.Random(7).randbytes(5000)
    assert len(reply.audio(audio)) >= len(audio), "audio is lost"


def _parse_or_refuse(protocol: SpeechProtocol, handshake: Handshake, body: bytes) -> None:
    try:
        call = protocol.parse(handshake, body)
    except ClientError as error:
        assert error.message and len(error.message) <= MESSAGE_CHARS, "an error says what is wrong, in a line"
        assert TEXT not in error.message, "an error quotes the text"
    else:
        assert isinstance(call, SpeechCall | JobRequest) and isinstance(call.text, str)


def noise(valid: Sequence[bytes]) -> Iterator[bytes]:
    """Bodies that are nothing, or nearly one of `valid`; the same ones each time."""
    yield from _SPOILT
    source = random.Random(24)
    yield from (source.randbytes(source.randrange(1, 300)) for _ in range(50))
    for body in valid:
        for _ in range(20):
            spoilt = bytearray(body)
            spoilt[source.randrange(len(spoilt))] = source.randrange(256)
            yield bytes(spoilt)


def _errors() -> Iterator[RelayError]:
    fault = ProviderFault(name="p", status=503, code="BUSY", message="no places", request_id="r")
    for code in Code:
        yield ClientError(code, f"what is wrong: {code}")
        yield LimitError(code, f"what is wrong: {code}", retry_after_s=0.2)
        yield ProviderError(code, f"what is wrong: {code}", provider=fault)
    yield InternalError()


def _shape(value: Any) -> Any:
    """A body's keys."""
    return {key: _shape(inner) for key, inner in value.items()} if isinstance(value, dict) else None
