"""Errors that a provider documents, at every request it may answer so: code, `retryable` and `retry_after_s` of
what the client is told, in the provider's words, but for the key and the text in them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from relay.engine.closure import Closure
from relay.errors import Code
from relay.providers.bland import errors as bland_errors
from relay.providers.breeze import api as breeze_api
from relay.providers.deepgram import account as deepgram_account
from relay.providers.openai import presets as openai_presets
from relay.providers.playai import job as playai_job
from relay.providers.sauti import job as sauti_job
from relay.testing.fake_socket import Link
from relay.testing.script import Script
from tests.covering import each, firsts
from tests.e2e.faults import CHOSEN, PLACES, Faulty, Place, relay_to_faulty, soon, text_of
from tests.e2e.products import (
    KEY,
    USER,
    House,
    Product,
    Service,
    answer,
    error_kind,
    greet,
    relay_to,
    told_text,
)
from tests.providers.documented_errors import (
    BLAND_FATAL,
    BLAND_STATUSES,
    BREEZE,
    CARTESIA,
    DEEPGRAM,
    ELEVENLABS,
    OPENAI,
    PLAYAI,
    SAUTI,
    bland_shapes,
    breeze_body,
    cartesia_body,
    deepgram_shapes,
    elevenlabs_body,
    openai_shapes,
    playai_body,
    sauti_body,
)
from tests.server.harness import Client, client

# What a file's host says is of the host; `test_provider_faults` has it.
ASKED = tuple(place for place in PLACES if place.step != "file")
THOROUGH = firsts(ASKED, lambda place: place.product.provider)
SOCKETS = tuple(product for product in CHOSEN if product.delivery == "socket")
WAIT_S = 7
TEXT = text_of("it")
STYLE = "Whisper as if nobody should hear."


def words_at(place: Place) -> str:
    """With all that the provider was sent: before a socket is open no text, to one a user's id, to another a style."""
    sent = [KEY, {"playai": USER, "breeze": STYLE}.get(place.product.provider, ""), "may not say"]
    return " ".join([*sent, "" if place.step in ("mint", "handshake") else TEXT])


class Told(NamedTuple):
    """An error as the provider tells it, and as the client is to hear it."""

    status: int
    body: bytes
    vendor_code: str | None
    code: Code
    retryable: bool


def errors_at(place: Place) -> Iterator[Told]:
    words = words_at(place)
    match place.product.provider:
        case "breeze":
            for status, code, ours, retryable in BREEZE:
                yield Told(status, breeze_body(code, words), code, ours, retryable)
        case "bland":
            for code, ours in BLAND_FATAL:
                for body in bland_shapes(code, words):
                    yield Told(400, body, code, ours, False)
            for status, ours, retryable in BLAND_STATUSES:
                for body in bland_shapes("never_heard_of", words):
                    yield Told(status, body, "never_heard_of", ours, retryable)
        case "sauti":
            for status, code, ours, retryable in SAUTI:
                yield Told(status, sauti_body(code, words), code, ours, retryable)
        case "deepgram":
            for status, code, ours, retryable in DEEPGRAM:
                for body in deepgram_shapes(code, words):
                    yield Told(status, body, code, ours, retryable)
        case "cartesia":
            for status, code, ours, retryable in CARTESIA:
                yield Told(status, cartesia_body(code, words), code, ours, retryable)
        case "elevenlabs":
            for status, code, ours, retryable in ELEVENLABS:
                yield Told(status, elevenlabs_body(code, words), code, ours, retryable)
        case "openai":
            # Each in one of the shapes, which `providers/base/test_problems.py` has one by one.
            for number, (status, code, ours, retryable) in enumerate(OPENAI):
                shapes = openai_shapes(code, words)
                yield Told(status, shapes[number % len(shapes)], code, ours, retryable)
        case _:
            for status, error_id, ours, retryable in PLAYAI:
                yield Told(status, playai_body(error_id, words), error_id, ours, retryable)


def here(told: Told, place: Place) -> Told:
    """What it means at this step: what is missing is not always the voice."""
    if told.code is not Code.VOICE_NOT_FOUND:
        return told
    match place.product.provider, place.step:
        # The path is that of a job, or of nothing that the client named.
        case ("breeze", "poll") | ("bland", "handshake") | ("sauti", "make"):
            return told._replace(code=Code.PROVIDER_REJECTED)
        case ("sauti", "poll"):
            return told._replace(code=Code.PROVIDER_UNAVAILABLE, retryable=True)
    return told


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    soon(monkeypatch)


@each("place", ASKED)
async def test_every_documented_error_at_every_request(place: Place) -> None:
    telling: list[Told] = []

    def reply(_name: str) -> Script:
        return answer(telling[0].status, telling[0].body, retry_after=str(WAIT_S))

    async with relay_to_faulty(place, reply, queue_timeout_s=0.2) as (faulty, house):
        async with client(house.server) as caller:
            # A provider's own table is whole in the tests of its adapter, and at one place here.
            told_here = errors_at(place)
            if place not in THOROUGH:
                told_here = iter(firsts(told_here, lambda told: (told.code, told.retryable)))
            for told in told_here:
                telling[:] = [told]
                await check(caller, house, faulty, here(told, place))


async def check(caller: Client, house: House, faulty: Faulty, told: Told) -> None:
    asked = len(house.api.exchanges)
    own: dict[str, Any] = {"breeze": {"voice": "it", "instructions": STYLE}}.get(faulty.place.product.provider, {})
    heard = await caller.speak(TEXT, options=faulty.place.product.options, **own)
    error = heard.end
    assert error["type"] == "error", error
    assert (error["code"], error["retryable"], error.get("retry_after_s")) == (told.code, told.retryable, WAIT_S), told
    assert error["provider"]["name"] == faulty.place.product.provider
    assert error["provider"].get("status") == told.status
    assert error["provider"].get("code") == told.vendor_code
    check_private(error)
    assert len(house.api.exchanges) > asked, "it was asked"
    reopen(house)


def reopen(house: House) -> None:
    """Who is told to wait makes all others wait too; here the next one is not to."""
    for budget in house.server.engine.limiters.values():
        budget._closure = Closure()


def check_private(error: dict[str, Any]) -> None:
    for secret in (KEY, USER, TEXT, STYLE):
        assert secret not in str(error)
    assert "may not say" in error["message"], "its words are passed on"


@pytest.mark.parametrize("product", SOCKETS, ids=str)
async def test_every_documented_error_on_a_socket(product: Product) -> None:
    """It comes after the text; there is no status, so a code that nobody knows is a failure of the moment."""
    vendor_code = ""

    async def scene(link: Link) -> None:
        await greet(link, product)
        _, turn = await told_text(link)
        meta = {"retry_after_seconds": WAIT_S}
        await link.say(
            type=error_kind(product),
            code=vendor_code,
            message=f"{KEY} may not say {TEXT}",
            turn_id=turn,
            context_id=turn,
            meta=meta,
        )

    if product.provider == "breeze":
        table = [(code, ours, retryable) for status, code, ours, retryable in BREEZE if code != "TEAPOT"]
        table += [("TEAPOT", Code.PROVIDER_UNAVAILABLE, True), ("SESSION_EXPIRED", Code.PROVIDER_CUT, True)]
        table += [("IDLE_TIMEOUT", Code.PROVIDER_CUT, True)]
    elif product.provider == "deepgram":
        table = [(code.upper(), ours, ours.retryable) for code, ours in deepgram_account.CODES.items()]
        table += [("ODD", Code.PROVIDER_UNAVAILABLE, True)]
    else:
        table = [(code, ours, False) for code, ours in BLAND_FATAL]
        table += [("never_heard_of", Code.PROVIDER_UNAVAILABLE, True), ("idle_timeout", Code.PROVIDER_CUT, True)]
        table += [("concurrency_exceeded", Code.PROVIDER_RATE_LIMITED, True)]
    service = Service(product)
    async with relay_to(product, service, scene=scene, queue_timeout_s=0.2) as house, client(house.server) as caller:
        for vendor_code, ours, retryable in table:
            error = (await caller.speak(TEXT, options=product.options)).end
            assert (error["type"], error["code"], error["retryable"]) == ("error", ours, retryable), error
            assert error.get("retry_after_s") == (WAIT_S if product.provider == "breeze" else None)
            assert error["provider"]["code"] == vendor_code
            check_private(error)
            for link in house.sockets.links if house.sockets else []:
                await link.close()
            reopen(house)


def test_no_code_of_a_table_is_left_out() -> None:
    """Those that an adapter knows, and those that are documented."""
    of_sessions = {"SESSION_EXPIRED", "IDLE_TIMEOUT"}
    assert set(breeze_api._CODES) - of_sessions <= {code for _, code, _, _ in BREEZE}
    assert set(bland_errors._CODES) - {"idle_timeout"} == {code.lower() for code, _ in BLAND_FATAL}
    assert set(sauti_job._CODES) <= {code for _, code, _, _ in SAUTI}
    assert set(playai_job._CODES) <= {code for _, code, _, _ in PLAYAI}
    assert set(openai_presets.CODES) <= {code for _, code, _, _ in OPENAI}
