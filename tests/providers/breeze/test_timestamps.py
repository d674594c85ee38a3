"""Breeze's lines of audio and words: goldens with their invalid twins, cut anywhere."""

import base64
import json
import time
from typing import Any

import pytest

from relay.core.timings import Timings
from relay.drivers.http.driver import HttpDriver
from relay.errors import Code, ProviderError
from relay.providers.base.http import HttpRequest, Piece, WordTime
from relay.providers.base.provider import SpeechRequest
from relay.providers.breeze.timestamps import MAX_LINE_BYTES, TimedLines
from relay.testing.fake_provider import FakeProvider
from relay.testing.script import Drip, Status
from tests.cuts import CUTS
from tests.providers.breeze.goldens import Golden, breeze, case, cases, check_error

TEXT = "Hello world again"


def request(base_url: str | None = None) -> HttpRequest:
    provider = breeze(base_url)
    made = provider.request(provider.resolve(SpeechRequest(voice="voc_1", options={"transport": "timestamps"})), TEXT)
    assert isinstance(made, HttpRequest)
    return made


def lines() -> TimedLines:
    made = request().unwrap
    assert made is not None
    transform = made()
    assert isinstance(transform, TimedLines)
    return transform


def run(cut: list[bytes]) -> tuple[list[Piece], ProviderError | None]:
    """What comes out, and what ends it."""
    transform, pieces = lines(), list[Piece]()
    try:
        for data in cut:
            pieces += transform.feed(data)
        pieces += transform.flush()
    except ProviderError as error:
        return pieces, error
    return pieces, None


def shown(pieces: list[Piece]) -> list[Any]:
    """Pieces as the goldens have them, pieces of audio in a row as one."""
    out: list[Any] = []
    for piece in pieces:
        if isinstance(piece, WordTime):
            out.append([piece.text, piece.start_s, piece.end_s])
        else:
            out.append(piece.hex())
    return out


def check(got: tuple[list[Piece], ProviderError | None], golden: Golden) -> None:
    pieces, error = got
    assert shown(pieces) == golden["pieces"]
    if expected := golden.get("error"):
        assert error is not None
        check_error(error, expected)
    else:
        assert error is None


@pytest.mark.parametrize("end", ["\n", ""])
@pytest.mark.parametrize(("name", "twin"), cases("timestamps"))
def test_goldens_cut_anywhere(name: str, twin: str, end: str) -> None:
    golden = case("timestamps", name, twin)
    body = ("\n".join(golden["lines"]) + end).encode()
    for cut in CUTS:
        check(run(list(cut(body))), golden)


async def test_over_the_wire_words_come_before_the_audio_they_are_in() -> None:
    golden = case("timestamps", "words", "valid")
    body = "\n".join(golden["lines"]).encode()
    driver = HttpDriver()
    await driver.start()
    try:
        async with FakeProvider((Status(200, {"content-type": "application/x-ndjson"}), Drip(body, 30))) as fake:
            async with driver.open(request(fake.url), Timings()) as reply:
                assert shown([piece async for piece in reply]) == golden["pieces"]
            assert fake.exchanges[0].request.json() == {"text": TEXT, "timestamp_mode": "chunk"}
    finally:
        await driver.close()


def test_a_line_without_end_is_given_up() -> None:
    transform = lines()
    assert transform.feed(b'{"audio_base64":"' + b"A" * (MAX_LINE_BYTES - 17)) == []
    with pytest.raises(ProviderError, match="4194304 bytes") as caught:
        transform.feed(b"A")
    assert caught.value.code is Code.BAD_AUDIO


def test_the_longest_line_is_read_in_linear_time() -> None:
    """In pieces of 64 bytes, which takes 30 ms; a search from the start each time would look at 125 gigabytes."""
    audio = bytes(3_000_000)
    body = json.dumps({"audio_base64": base64.b64encode(audio).decode(), "word_timestamps": []}).encode() + b"\n"
    assert len(body) < MAX_LINE_BYTES
    cut = [body[at : at + 64] for at in range(0, len(body), 64)]
    began_s = time.process_time()
    assert run(cut) == ([audio], None)
    assert time.process_time() - began_s < 1


def test_a_vendor_error_is_raised_after_the_pieces_before_it_in_the_same_read() -> None:
    good = b'{"audio_base64":"AAE=","word_timestamps":[]}\n'
    transform = lines()
    assert transform.feed(good + b'{"error":{"code":"RATE_LIMITED","detail":"Slow down."}}\n' + good) == [b"\x00\x01"]
    for again in range(2):
        with pytest.raises(ProviderError, match="RATE_LIMITED") as caught:
            transform.feed(good) if again else transform.flush()
        assert (caught.value.code, caught.value.retryable) == (Code.PROVIDER_RATE_LIMITED, True)
