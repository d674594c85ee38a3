"""The cheap listener hears the same however the network cuts what the relay sends."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.bench.listeners import Ears, Listener, client_frame, handshake
from relay.testing.scenarios import scenario
from tests.cuts import CUTS, Cut, cuts_of
from tests.server.harness import relay_to

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def frame(opcode: int, payload: bytes) -> bytes:
    """As a server sends it: unmasked, in the shortest form of its length."""
    length = len(payload)
    if length < 126:
        return bytes([0x80 | opcode, length]) + payload
    if length < 2**16:
        return bytes([0x80 | opcode, 126]) + length.to_bytes(2) + payload
    return bytes([0x80 | opcode, 127]) + length.to_bytes(8) + payload


AUDIO = [bytes([number]) * size for number, size in enumerate((0, 1, 125, 126, 960, 65_535, 65_536))]
SAID = HEAD + b"".join(
    frame(1, json.dumps({"type": "x", "n": number}).encode()) + frame(9, b"ping") + frame(2, audio)
    for number, audio in enumerate(AUDIO)
)


def heard(pieces: list[bytes]) -> tuple[list[Any], list[bytes], int]:
    events: list[Any] = []
    audio: list[bytes] = []
    ears = Ears(lambda _, event: events.append(event["n"]), lambda _, data: audio.append(data))
    for piece in pieces:
        ears.hear(piece, 1.0)
    assert len(ears.arrivals_s) == len(audio)
    return events, audio, ears.audio_bytes


@pytest.mark.parametrize("cut", CUTS)
def test_every_cut_is_heard_alike(cut: Cut) -> None:
    small = HEAD + SAID[len(HEAD) :][:3000]
    assert heard(cut(small)) == heard([small])
    assert heard([SAID]) == (list(range(7)), AUDIO, sum(map(len, AUDIO)))


@given(cuts_of(SAID))
def test_random_cuts_are_heard_alike(pieces: list[bytes]) -> None:
    assert heard(pieces) == heard([SAID])


@given(st.binary(max_size=300))
def test_what_is_sent_is_masked_with_nothing(payload: bytes) -> None:
    sent = client_frame(1, payload)
    assert sent.endswith(bytes(4) + payload)
    assert sent[1] & 0x80


def test_a_key_goes_into_the_handshake_and_nowhere_else() -> None:
    assert b"Authorization: Bearer k1\r\n" in handshake(80, key="k1")
    assert b"Authorization" not in handshake(80)
    assert handshake(80, host="h", path="/p").startswith(b"GET /p HTTP/1.1\r\nHost: h:80\r\n")


async def test_a_relay_is_heard() -> None:
    events: list[str] = []
    over = asyncio.Event()

    def on_event(_: Ears, event: dict[str, Any]) -> None:
        events.append(event["type"])
        if event["type"] == "turn.done":
            over.set()

    async with relay_to(scenario("ok")) as (server, _):
        listener = await Listener.connect(server.port, on_event)
        listener.ears.send(type="speak", text="Hello.")
        async with asyncio.timeout(30):
            await over.wait()
        listener.transport.abort()
    assert len(listener.ears.arrivals_s) == 13
    assert events[0] == "session.ready"


async def test_a_session_that_is_refused_says_how() -> None:
    async with relay_to(scenario("ok")) as (server, _):
        with pytest.raises(ConnectionError, match=r"HTTP/1.1 404"):
            await Listener.connect(server.port, lambda *_: None, path="/nowhere")
