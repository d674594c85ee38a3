"""A good status with something that is no audio: one code at every provider, whichever request of a turn it answers."""

import asyncio
from typing import Any

import pytest

from relay.testing.script import Script, Send, Status
from tests.covering import each
from tests.e2e.faults import PLACES, Place, be_patient, relay_to_faulty, soon, text_of
from tests.server.harness import client

# Name -> media type and body. None of them is what any of the providers documents.
BODIES = {
    "page": ("text/html; charset=utf-8", b"<!doctype html><html><title>Sign in to the network</title></html>"),
    "bare_page": ("audio/pcm", b"<html><body>" + b"<p>maintenance</p>" * 500 + b"</body></html>"),
    "text": ("text/plain", b"busy, try again later"),
    "error": ("application/json", b'{"error":{"message":"something odd","code":"odd"}}'),
    "errors": ("application/json", b'{"errors":["odd"],"status":"error"}'),
    "detail": ("application/problem+json", b'{"detail":"odd","title":"Odd","type":"about:blank"}'),
    "list": ("application/json", b"[]"),
    "nothing": ("text/html", b""),
    "no_type": ("", b"{}"),
}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    soon(monkeypatch)


def answer(name: str) -> Script:
    media_type, body = BODIES[name]
    headers = {"content-type": media_type} if media_type else {}
    return (Status(200, headers, len(body)), Send(body))


@each("place", PLACES)
async def test_it_is_bad_audio_everywhere(place: Place) -> None:
    async with relay_to_faulty(place, answer) as (faulty, house):
        be_patient(house)

        async def end_of(name: str) -> dict[str, Any]:
            own: dict[str, Any] = {"voice": name} if place.product.provider == "breeze" else {}
            async with client(house.server) as caller:
                return (await caller.speak(text_of(name), options=place.product.options, **own)).end

        ends = {}
        if place.is_nameless:
            for name in BODIES:
                faulty.current = name
                ends[name] = await end_of(name)
        else:
            ends = dict(zip(BODIES, await asyncio.gather(*map(end_of, BODIES)), strict=True))
    assert {name: (end.get("code"), end.get("retryable")) for name, end in ends.items()} == dict.fromkeys(
        BODIES, ("bad_audio", False)
    )
