"""Server-sent events: the standard's examples in every cut, and the audio in them."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import Code, ProviderError
from relay.providers.base import problems, sse
from relay.providers.base.http import Refusal
from relay.providers.base.sse import AudioEvents, EventAudio, EventLines, ServerEvent
from tests.cuts import CUTS, Cut, cuts_of, run

SHAPE = AudioEvents(audio=("audio", "delta"), done=("done",))


def events(*found: tuple[str, bytes]) -> list[ServerEvent]:
    return [ServerEvent(kind, data) for kind, data in found]


# Body -> its events: those of WHATWG HTML, 9.2.6, each of its line ends, and what servers make of it.
BODIES = [
    (b"data: YHOO\ndata: +2\ndata: 10\n\n", events(("message", b"YHOO\n+2\n10"))),
    (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        events(("message", b"first event"), ("message", b"second event"), ("message", b" third event")),
    ),
    (b"data\n\ndata\ndata\n\ndata:", events(("message", b""), ("message", b"\n"), ("message", b""))),
    (
        b"event: add\r\ndata: 7\r\n\r\nevent: odd\rdata: 8\r\rdata: 9\n\n",
        events(("add", b"7"), ("odd", b"8"), ("message", b"9")),
    ),
    (b"data: one\r\ndata: event\r\n\r\n", events(("message", b"one\nevent"))),
    (b"\xef\xbb\xbfdata: after a mark\n\n", events(("message", b"after a mark"))),
    (b"data: no blank line", events(("message", b"no blank line"))),
    (b"event: nothing\n\n: ping\n\nretry: 3\n\n", []),
    (b"", []),
    (b"\xef\xbb", []),
]


@pytest.mark.parametrize(("body", "expected"), BODIES, ids=lambda value: str(value)[:20])
@pytest.mark.parametrize("cut", CUTS)
def test_events_are_the_same_in_every_cut(body: bytes, expected: list[ServerEvent], cut: Cut) -> None:
    assert run(EventLines(), cut(body)) == expected


@given(st.data(), st.lists(st.sampled_from([b"data: a", b"data:", b"event: e", b": c", b"", b"\r", b"\n", b"\r\n"])))
def test_any_lines_are_the_same_in_any_cut(data: st.DataObject, lines: list[bytes]) -> None:
    body = b"".join(line + data.draw(st.sampled_from([b"\n", b"\r", b"\r\n"])) for line in lines)
    assert run(EventLines(), data.draw(cuts_of(body))) == run(EventLines(), [body])


def test_nothing_between_the_halves_of_a_line_end() -> None:
    assert run(EventLines(), [b"data: one\r", b"", b"\ndata: event\r", b"", b"\n\r\n"]) == BODIES[4][1]


def refuse(refusal: Refusal) -> ProviderError:
    return problems.refused("it", refusal, {"gone": Code.PROVIDER_UNAVAILABLE})


def audio(*pieces: bytes) -> bytes:
    said: list[dict[str, Any]] = [{"type": "delta", "audio": base64.b64encode(piece).decode()} for piece in pieces]
    return b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in said)


DONE = b'data: {"type": "done"}\n\n'


@given(
    st.data(),
    st.lists(st.binary(max_size=9)),
    st.sampled_from([DONE, b'event: done\ndata: {"a": 1}\n\n', b"data: [DONE]"]),
)
def test_audio_is_whole_in_any_cut_whatever_follows_the_end(
    data: st.DataObject, pieces: list[bytes], end: bytes
) -> None:
    after = data.draw(st.sampled_from([b"", b"\n\n" + audio(b"no more"), b'\n\ndata: {"error": 1}\n\n']))
    body = audio(*pieces) + b': ping\n\nevent: done-ish\ndata: {"type": "info"}\n\n' + end + after
    assert b"".join(run(EventAudio("it", SHAPE, refuse), data.draw(cuts_of(body)))) == b"".join(pieces)


ERROR = b'data: {"type": "e", "error": {"message": "No.", "code": %b}}\n\n'
FAULTS = [
    (audio(b"good"), b"good", Code.PROVIDER_CUT),
    (audio(b"good") + b'data: {"type": "del', b"good", Code.PROVIDER_CUT),
    (audio(b"good") + b"data: {half\n\n", b"good", Code.BAD_AUDIO),
    (audio(b"good") + b'data: {"audio": "a*=="}\n\n', b"good", Code.BAD_AUDIO),
    (audio(b"good") + ERROR % b"500", b"good", Code.PROVIDER_UNAVAILABLE),
    (audio(b"good") + ERROR % b'"odd"', b"good", Code.PROVIDER_UNAVAILABLE),
    (ERROR % b"429", b"", Code.PROVIDER_RATE_LIMITED),
    (ERROR % b'"odd"', b"", Code.BAD_AUDIO),
    (ERROR % b'"gone"', b"", Code.PROVIDER_UNAVAILABLE),
    (b"<html><title>Sign in</title>", b"", Code.BAD_AUDIO),
    (b"RIFF at first, and " + audio(b"bad") + DONE, b"", Code.BAD_AUDIO),
    (b"plain text " * 2000, b"", Code.BAD_AUDIO),
    (b'{"error": {"message": "No.", "code": "gone"}}', b"", Code.PROVIDER_UNAVAILABLE),
]


@pytest.mark.parametrize(("body", "good", "code"), FAULTS, ids=range(len(FAULTS)))
@pytest.mark.parametrize("cut", CUTS)
def test_a_fault_comes_after_what_was_good(body: bytes, good: bytes, code: Code, cut: Cut) -> None:
    reader, heard = EventAudio("it", SHAPE, refuse), b""
    with pytest.raises(ProviderError) as caught:
        for piece in cut(body):
            heard += b"".join(each for each in reader.feed(piece) if isinstance(each, bytes))
        reader.flush()
    assert (heard, caught.value.code) == (good, code)
    with pytest.raises(ProviderError):
        reader.flush()


@pytest.mark.parametrize(
    "body",
    [b"RIFF\x24\x00\x00\x00WAVEfmt " + DONE, b"\xff\xfb\x90\x64" + DONE, b"OggS\x00\x02", b"data\x00\x01", bytes(99)],
    ids=range(5),
)
@pytest.mark.parametrize("cut", CUTS)
def test_a_server_that_knows_no_events_is_heard_all_the_same(body: bytes, cut: Cut) -> None:
    assert b"".join(run(EventAudio("it", SHAPE, refuse), cut(body))) == body


def test_an_event_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 100)
    for body in (b"data:" + b"x" * 101, b"data: xxxx\n" * 30):
        reader = EventAudio("it", SHAPE, refuse)
        with pytest.raises(ProviderError, match="more than 100 bytes") as caught:
            for at in range(0, len(body), 10):
                reader.feed(body[at : at + 10])
        assert caught.value.code is Code.BAD_AUDIO
