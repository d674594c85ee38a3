"""A wire protocol: it reads any message without raising, tells events, carries every sample, and shows no users' text.

    check_protocol(NativeSession, valid=['{"type": "ping"}'])

`open_session` makes a new session's object, a `protocols.base.SessionProtocol`. This file does not know its words.
"""

import dataclasses
import json
import random
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import EnumType
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from relay.core import events
from relay.core.events import Command, Event, SessionDefaults, SessionLimits, Word
from relay.core.formats import AudioFormat, AudioRequest, Encoding, FrameFormat
from relay.core.playout import Run
from relay.errors import ClientError, Code, InternalError, LimitError, ProviderError, ProviderFault, RelayError
from relay.protocols.base import Binary, Frames, Message, SessionProtocol, Text

# What no error may quote, and the longest message of one.
TEXT = "My number is 4111 1111 1111 1111."
MESSAGE_CHARS = 1000

_FORM = FrameFormat(audio=AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000), frame_samples=480)
_FORMATS = (
    _FORM,
    AudioRequest(encoding=Encoding.MULAW, sample_rate=8000).resolve(8000),
    AudioRequest(frame_ms=5, header=True, tail="short", channels=2).resolve(24000),
)
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
    Mapping[str, int]: ({"implausible_audio": 1}, {}),
    RelayError: (
        ClientError(Code.INVALID_CONFIG, "audio.channels is 3"),
        LimitError(Code.RATE_LIMITED, "too many", retry_after_s=2.5),
        InternalError(),
        ProviderError(Code.PROVIDER_UNAVAILABLE, "busy", provider=_FAULT, retry_after_s=0.0),
        ProviderError(Code.PROVIDER_CUT, "cut", provider=ProviderFault(name="p")),
    ),
}


OpenSession: TypeAlias = Callable[[], SessionProtocol]


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


def check_protocol(open_session: OpenSession, *, valid: Sequence[str] = ()) -> None:
    """`valid` are messages that the protocol reads, each as the first of a session; they are also what is spoilt."""
    check_sends(open_session)
    check_carries(open_session)
    check_reads(open_session, valid)
    check_keeps_text(open_session, valid)


def check_sends(open_session: OpenSession) -> None:
    """Every event is told, or is none of the protocol's: whole messages of UTF-8, each in one line, and one session's
    words are another's."""
    for event in every_event():
        if isinstance(event, events.SessionEnded):
            assert 1000 <= open_session().close_code(event.error) < 5000, "a close code is one of RFC 6455"
        messages = open_session().send(event)
        assert messages == open_session().send(event), f"{type(event).__name__} is told differently each time"
        for message in messages:
            assert isinstance(message, Text | Binary | Frames), f"{type(message).__name__} is no message"
            if isinstance(message, Text):
                assert b"\n" not in message.payload, "a message is one line"
                message.payload.decode("utf-8")


def check_carries(open_session: OpenSession) -> None:
    """Joined, what carries a turn's runs has every byte of them, in order, whatever the cut; and besides nothing but a
    header of fixed size for each frame."""
    for frame_format in _FORMATS:
        size, step = frame_format.frame_bytes, frame_format.frame_samples
        audio = bytes(range(256)) * (size * 7 // 256 + 1)
        carried = []
        for cut in ((7,), (1,) * 7, (2, 5), (6, 1)):
            session, at = open_session(), 0
            session.send(_started(frame_format))
            pieces = b""
            for frames in cut:
                payload = audio[at * size : (at + frames) * size]
                last = at + frames == 7
                run = Run("a", frame_format, at * step, frames, frames * step, 0, last, payload)
                pieces += b"".join(bytes(piece) for message in session.send(run) for piece in _binaries(message))
                at += frames
            carried.append(pieces)
        assert carried[1:] == carried[:-1], "how frames are grouped shows on the wire"
        extra, odd = divmod(len(carried[0]) - 7 * size, 7)
        assert extra >= 0 and not odd, "a frame's header has another size than the others'"
        whole = [carried[0][index * (size + extra) + extra : (index + 1) * (size + extra)] for index in range(7)]
        assert b"".join(whole) == audio[: 7 * size], "samples are lost or changed"


def check_reads(open_session: OpenSession, valid: Sequence[str] = ()) -> None:
    """Valid messages are read; nothing raises; what cannot be read is `Unreadable` with an error of the client's."""
    for message in valid:
        for command in open_session().receive(message):
            assert not isinstance(command, events.Unreadable), f"it cannot read {message[:100]}"
    session = open_session()
    for wrong in _spoilt(valid):
        for command in session.receive(wrong):
            assert isinstance(command, get_args(Command)), f"{wrong[:60]!r} became {type(command).__name__}"
            if isinstance(command, events.Unreadable):
                _check_error(command)


def check_keeps_text(open_session: OpenSession, valid: Sequence[str]) -> None:
    """An error about a message never quotes the text in it, nor does a command's representation show it."""
    for message in valid:
        fields = json.loads(message)
        if not isinstance(fields.get("text"), str):
            continue
        fields["text"] = TEXT
        assert TEXT not in repr(open_session().receive(json.dumps(fields))), "a command shows its text"
        for wrong in (fields | {"no_such_field": 1}, fields | {"text": [TEXT]}, fields | {"turn_id": 7}):
            for command in open_session().receive(json.dumps(wrong)):
                if isinstance(command, events.Unreadable):
                    _check_error(command)
        [command] = open_session().receive(json.dumps(fields)[:-1])
        assert isinstance(command, events.Unreadable), "half a message is read"
        _check_error(command)


def _started(frame_format: FrameFormat) -> events.TurnStarted:
    return events.TurnStarted(turn_id="a", turn_index=0, provider="p", voice="v", model=None, frame_format=frame_format)


def _binaries(message: Message) -> Iterator[bytes]:
    if isinstance(message, Frames | Binary):
        yield message.payload


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
