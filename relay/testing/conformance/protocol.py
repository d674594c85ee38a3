"""A wire protocol: it reads any message without raising, tells every event, and keeps the user's text to itself.

    check_protocol(native, valid=['{"type": "ping"}'])

A protocol is whatever has `receive` and `send`: a module, or one session's object. This file does not know its words.
"""

import dataclasses
import json
import random
import types
from collections.abc import Iterator, Mapping, Sequence
from enum import EnumType
from typing import Any, Protocol, Union, get_args, get_origin, get_type_hints

from relay.core import events
from relay.core.events import Command, Event, SessionDefaults, SessionLimits, Word
from relay.core.formats import AudioFormat, Encoding, FrameFormat
from relay.errors import ClientError, Code, InternalError, LimitError, ProviderError, ProviderFault, RelayError

# What no error may quote, and the longest message of one.
TEXT = "My number is 4111 1111 1111 1111."
MESSAGE_CHARS = 1000

_FORM = FrameFormat(audio=AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000), frame_samples=480)
_FAULT = ProviderFault(name="p", status=503, code="BUSY", message="no places", request_id="r")

# Values of every type that a field of an event has, the odd ones too.
_VALUES: Mapping[Any, tuple[Any, ...]] = {
    str: ("a", 'Żółw 😀 "\\\u2028\n', ""),
    int: (0, 2**40),
    float: (0.0, 12.5),
    bool: (False, True),
    type(None): (None,),
    FrameFormat: (_FORM,),
    SessionLimits: (SessionLimits(),),
    SessionDefaults: (SessionDefaults(provider="p"), SessionDefaults(provider="p", voice="v")),
    tuple[Word, ...]: ((Word("one", 0, 2**40),), ()),
    Mapping[str, object]: (
        {"first_byte": 1.5, "ttfa_ms": None, "connection_reused": True, "segments": [{"index": 0}]},
        {},
    ),
    Mapping[str, str]: ({"request_id": "r"}, {}),
    RelayError: (
        ClientError(Code.INVALID_CONFIG, "audio.channels is 3"),
        LimitError(Code.RATE_LIMITED, "too many", retry_after_s=2.5),
        InternalError(),
        ProviderError(Code.PROVIDER_UNAVAILABLE, "busy", provider=_FAULT, retry_after_s=0.0),
        ProviderError(Code.PROVIDER_CUT, "cut", provider=ProviderFault(name="p")),
    ),
}


class WireProtocol(Protocol):
    """`receive` gives a Command for any message at all; `send` the text of an event, as UTF-8."""

    def receive(self, message: str | bytes, /) -> Command: ...

    def send(self, event: Event, /) -> bytes: ...


def every_event() -> Iterator[Event]:
    """Events of every kind there is, so many that each field has each of its values."""
    for kind in get_args(Event):
        hints = get_type_hints(kind)
        values = {field.name: _values(hints[field.name]) for field in dataclasses.fields(kind)}
        for turn in range(max(map(len, values.values()))):
            yield kind(**{name: of[turn % len(of)] for name, of in values.items()})


def _values(hint: Any) -> tuple[Any, ...]:
    if hint in _VALUES:
        return _VALUES[hint]
    if isinstance(hint, EnumType):
        return tuple(hint)
    assert get_origin(hint) in (Union, types.UnionType), f"this suite has no values of {hint}"
    return tuple(value for each in get_args(hint) for value in _values(each))


def check_protocol(wire: WireProtocol, *, valid: Sequence[str] = ()) -> None:
    """`valid` are messages that the protocol reads; they are also what is spoilt."""
    check_sends(wire)
    check_reads(wire, valid)
    check_keeps_text(wire, valid)


def check_sends(wire: WireProtocol) -> None:
    """Every event has its own message: UTF-8, JSON, the same each time, and of one kind an event."""
    kinds: dict[str, type] = {}
    for event in every_event():
        message = wire.send(event)
        assert message == wire.send(event), f"{type(event).__name__} is told differently each time"
        assert b"\n" not in message, "a message is one line"
        fields = json.loads(message.decode("utf-8"))
        assert isinstance(fields, dict), f"{type(event).__name__} is told as {type(fields).__name__}"
        name = json.dumps(fields.get("type", sorted(fields)))
        assert kinds.setdefault(name, type(event)) is type(event), f"{name} tells two kinds of event"


def check_reads(wire: WireProtocol, valid: Sequence[str] = ()) -> None:
    """Valid messages are read; nothing raises; what cannot be read is `Unreadable` with an error of the client's."""
    for message in valid:
        command = wire.receive(message)
        assert not isinstance(command, events.Unreadable), f"it cannot read {message[:100]}"
        assert wire.receive(message.encode()) == command, "bytes are read differently from text"
    for wrong in _spoilt(valid):
        command = wire.receive(wrong)
        assert isinstance(command, get_args(Command)), f"{wrong[:60]!r} became {type(command).__name__}"
        if isinstance(command, events.Unreadable):
            _check_error(command)


def check_keeps_text(wire: WireProtocol, valid: Sequence[str]) -> None:
    """An error about a message never quotes the text in it, nor does a command's representation show it."""
    for message in valid:
        fields = json.loads(message)
        if not isinstance(fields.get("text"), str):
            continue
        fields["text"] = TEXT
        assert TEXT not in repr(wire.receive(json.dumps(fields))), "a command shows its text"
        for wrong in (fields | {"no_such_field": 1}, fields | {"text": [TEXT]}, fields | {"turn_id": 7}):
            command = wire.receive(json.dumps(wrong))
            if isinstance(command, events.Unreadable):
                _check_error(command)
        command = wire.receive(json.dumps(fields)[:-1])
        assert isinstance(command, events.Unreadable), "half a message is read"
        _check_error(command)


def _check_error(command: events.Unreadable) -> None:
    error = command.error
    assert isinstance(error, ClientError), f"{type(error).__name__} is not the client's fault"
    assert not error.retryable, "the same message will fail again"
    assert error.message and len(error.message) <= MESSAGE_CHARS, "an error says what is wrong, in a line"
    assert TEXT not in error.message, "an error quotes the text"


def _spoilt(valid: Sequence[str]) -> Iterator[str | bytes]:
    """Noise, every kind of JSON, and valid messages with a byte changed, cut off, or a field of another type."""
    source = random.Random(24)
    yield from (
        "",
        " ",
        "\x00",
        "{",
        "}",
        "null",
        "[]",
        "7",
        '""',
        "{}",
        "[" * 100_000,
        '{"type":' * 5000,
        "1e999",
        "NaN",
    )
    yield from (b"\xff", b"\xef\xbb\xbf{}", b"\xed\xa0\x80", '{"type": "\\ud800"}', '{"type": {"type": 1}}')
    yield from (source.randbytes(source.randrange(1, 300)) for _ in range(200))
    others: tuple[Any, ...] = (None, True, -1, 2**70, 1.5, "", "x" * 10_000, [], [[]], {}, {"a": {}})
    for message in valid:
        data = bytearray(message.encode())
        yield bytes(data[: source.randrange(len(data))])
        for _ in range(20):
            spoilt = bytearray(data)
            spoilt[source.randrange(len(data))] = source.randrange(256)
            yield bytes(spoilt)
        fields = json.loads(message)
        for name in fields:
            yield from (json.dumps(fields | {name: other}) for other in others)
