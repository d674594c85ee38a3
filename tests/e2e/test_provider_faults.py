"""Whatever a provider does wrong, at whichever of its requests: the end that it stands for, and nothing left behind.

Scenarios of `relay.testing` are played at every step of every provider: where audio is sent, where a job is made, asked
about and fetched, where a session is minted and a socket opened. No key, no user and no text shows in an error, a
log or a metric.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import aiohttp
import pytest

from relay.errors import Code
from relay.testing.fake_socket import Link
from relay.testing.scenarios import SCENARIOS
from tests.covering import firsts
from tests.e2e.faults import CHOSEN, PATIENCE_S, PLACES, Faulty, Place, be_patient, relay_to_faulty, soon, text_of
from tests.e2e.products import (
    KEY,
    LOSSY,
    USER,
    House,
    Product,
    Service,
    ended,
    error_kind,
    greet,
    relay_to,
    started,
    told_text,
)
from tests.server.harness import Heard, client
from tests.server.held import nothing_left

# The client and the fakes of these tests say all that they send, in ten lines a message.
OTHERS = "websockets"
DONE, CANCELLED = "turn.done", "turn.cancelled"
REJECTED, AUTH, MISSING = Code.PROVIDER_REJECTED, Code.PROVIDER_AUTH, Code.VOICE_NOT_FOUND
LIMITED, DOWN, LATE, CUT, NO_AUDIO = (
    Code.PROVIDER_RATE_LIMITED,
    Code.PROVIDER_UNAVAILABLE,
    Code.PROVIDER_TIMEOUT,
    Code.PROVIDER_CUT,
    Code.BAD_AUDIO,
)
Ends: TypeAlias = Mapping[str, str]

GOOD = ("ok", "ok_length", "ok_until_close", "one_byte_chunks", "odd_bytes", "slow_drip")
CUTS = (
    *("cut_chunked_fin", "cut_chunked_rst", "cut_length_fin", "cut_length_rst", "cut_until_close_rst"),
    *("cut_inside_chunk", "cut_after_headers"),
)
STALLS = ("stall_before_headers", "stall_before_first_byte", "stall_mid_stream", "stall_in_error", "broken_chunk_size")
EMPTY = ("empty_200", "empty_200_length", "no_content_204")
ENDLESS = ("endless_body", "endless_error")
# These make everyone wait, so they are played last.
BUSY = ("status_503_retry_after", "status_429_retry_after")
# More is sent than the clip, or the clip as something else.
OTHER_BYTES = ("wav_wrong_rate", "endless_body", "cut_inside_chunk")


def all_of(names: tuple[str, ...], end: str) -> dict[str, str]:
    return dict.fromkeys(names, end)


SOCKETS = tuple(product for product in CHOSEN if product.delivery == "socket")
# What a refusal means does not depend on what was asked for.
REFUSALS: Ends = {
    "status_400": REJECTED,
    **all_of(("status_401", "status_402", "status_403"), AUTH),
    "status_404": MISSING,
    "status_422": REJECTED,
    **all_of(("status_429", "status_429_retry_after"), LIMITED),
    **all_of(("status_425", "status_500", "status_502", "status_503", "status_503_retry_after"), DOWN),
    "status_504": LATE,
    **all_of(("html_502", "redirect", "endless_error", "stall_in_error", "early_close_with_error"), DOWN),
    **all_of(("early_close", "early_reset", "huge_headers", "many_headers", "not_http"), DOWN),
}
# Where audio is expected, bytes that can be played are.
AUDIO: Ends = {
    **all_of((*GOOD, "wrong_content_type", "wav_wrong_rate"), DONE),
    **all_of((*CUTS, "broken_chunk_size"), CUT),
    **all_of(("stall_before_headers", "stall_before_first_byte", "stall_mid_stream"), LATE),
    **all_of((*EMPTY, "html_200", "json_200", "gzip_200"), NO_AUDIO),
    "endless_body": CANCELLED,
}
# Where JSON is, everything else is as good as no audio.
ANSWER: Ends = {
    **AUDIO,
    **all_of((*GOOD, *EMPTY, "wrong_content_type", "wav_wrong_rate", "html_200", "json_200"), NO_AUDIO),
    "broken_chunk_size": LATE,
    "endless_body": NO_AUDIO,
}
# Where a WebSocket is, a 200 is none, whatever follows it.
HANDSHAKE: Ends = {
    **all_of(tuple(AUDIO), NO_AUDIO),
    "stall_before_headers": DOWN,
    # It was asked for by nobody who could tell 404s apart.
    "status_404": REJECTED,
}
KINDS = {"make": ANSWER, "poll": ANSWER, "mint": ANSWER, "handshake": HANDSHAKE}
# What is special about a provider: its reading of a status, and of a message in a 200.
Where: TypeAlias = tuple[str, Literal["body", "lines", "events", "json", "job", "socket"], str]
SPECIAL: Mapping[Where, Ends] = {
    ("breeze", "body", "speech"): {"json_200": DOWN},
    ("breeze", "lines", "speech"): {"json_200": DOWN, "wav_wrong_rate": NO_AUDIO},
    # A server that knows no jobs answers with the audio.
    ("breeze", "job", "make"): {**all_of((*GOOD, "wav_wrong_rate"), DONE), "json_200": DOWN},
    ("breeze", "job", "poll"): {"status_404": REJECTED, "json_200": DOWN},
    # The address of a file has expired; its host knows no key.
    ("breeze", "job", "file"): {"json_200": DOWN, **all_of(("status_401", "status_403", "status_404"), DOWN)},
    ("breeze", "socket", "mint"): {"json_200": DOWN, "broken_chunk_size": CUT, "endless_body": DOWN},
    ("breeze", "socket", "handshake"): {"json_200": DOWN, "status_404": MISSING},
    ("sauti", "json", "speech"): {**ANSWER, **all_of((*GOOD[:-2], "slow_drip", "wrong_content_type"), DONE)},
    ("sauti", "job", "make"): {"status_404": REJECTED},
    ("sauti", "job", "poll"): {"status_404": DOWN},
    ("sauti", "job", "file"): {"status_404": DOWN},
    ("playai", "body", "speech"): {"status_404": REJECTED},
    ("elevenlabs", "lines", "speech"): {"wav_wrong_rate": NO_AUDIO},
    ("deepgram", "body", "speech"): {"status_404": MISSING, "status_422": MISSING},
    ("deepgram", "socket", "handshake"): {"status_404": MISSING, "status_422": MISSING},
    ("playai", "job", "make"): {"status_404": REJECTED},
    ("playai", "job", "poll"): {"status_404": DOWN},
    # Somebody else's host: none of its refusals is about us.
    ("playai", "job", "file"): all_of(tuple(name for name in REFUSALS if name.startswith("status_")), DOWN),
}


def special_of(place: Place) -> Ends:
    return SPECIAL.get((place.product.provider, place.product.delivery, place.step), {})


def ends_of(place: Place) -> dict[str, str]:
    # What another host says is not the provider's word.
    elsewhere = {"json_200": NO_AUDIO} if place.step == "file" and place.product.elsewhere else {}
    return {**REFUSALS, **KINDS.get(place.step, AUDIO), **special_of(place), **elsewhere}


# All scenarios are played at one place of each kind. Everywhere else: one scenario of each kind, and those that the
# provider reads in a way of its own.
THOROUGH = firsts(PLACES, lambda place: (place.product.delivery, place.step))
ONE_OF_EACH_KIND = (
    *("ok", "one_byte_chunks", "cut_chunked_rst", "cut_after_headers", "stall_before_headers", "stall_mid_stream"),
    *("empty_200", "html_200", "json_200", "gzip_200", "wrong_content_type", "wav_wrong_rate", "endless_error"),
    *("status_401", "status_404", "status_429_retry_after", "status_500", "redirect", "early_reset", "not_http"),
)
assert set(ONE_OF_EACH_KIND) <= set(SCENARIOS)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    soon(monkeypatch)


@pytest.mark.parametrize("place", PLACES, ids=str)
async def test_every_fault_has_its_end_and_leaves_nothing(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    expected = ends_of(place)
    assert set(expected) == set(SCENARIOS)
    if place not in THOROUGH:
        played = {*ONE_OF_EACH_KIND, *special_of(place)}
        expected = {name: end for name, end in expected.items() if name in played}
    one_by_one = [name for name in (*ENDLESS, *BUSY) if name in expected]
    stalls = [name for name in STALLS if name in expected]
    side_by_side = [name for name in expected if name not in (*one_by_one, *stalls)]
    ends: dict[str, str] = {}
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.INFO, OTHERS):
        async with relay_to_faulty(place, queue_timeout_s=0.2) as (faulty, house):
            async with nothing_left():
                await play(faulty, house, side_by_side, ends)
                be_patient(house, 0.3)
                await play(faulty, house, stalls, ends)
                be_patient(house)
                for name in one_by_one:
                    await play(faulty, house, (name,), ends)
                for fake in (house.api, house.files):
                    await fake.idle()
                    fake.drop_connections()
                    await fake.connected(0)
            assert not house.server.engine.session_limiter.taken
            assert not any(budget.in_use or budget.waiting for budget in house.server.engine.limiters.values())
            metrics = await metrics_of(house)
    assert ends == {name: str(end) for name, end in expected.items()}
    assert "turn failed" in logged(caplog)
    assert f'provider="{place.product.provider}"' in metrics
    for told in (logged(caplog), metrics):
        check_private(told)


async def play(faulty: Faulty, house: House, names: tuple[str, ...] | list[str], ends: dict[str, str]) -> None:
    if faulty.place.is_nameless:
        for name in names:
            faulty.current = name
            ends[name] = await end_of(faulty.place, house, name)
    else:
        ends.update(
            zip(names, await asyncio.gather(*(end_of(faulty.place, house, name) for name in names)), strict=True)
        )


async def end_of(place: Place, house: House, name: str) -> str:
    """How a turn ends whose provider plays the scenario; all else that is said of it is checked."""
    product = place.product
    voice: dict[str, Any] = {"voice": name} if place.product.provider == "breeze" else {}
    async with client(house.server) as caller:
        audio = {"sample_rate": "native", "tail": "short"}
        await caller.send(type="speak", text=text_of(name), turn_id="t", options=product.options, audio=audio, **voice)
        heard = Heard()
        if name == "endless_body":
            first = await caller.event("audio.started", "error")
            if first["type"] == "error":
                return str(first["code"])
            await caller.send(type="turn.cancel")
        heard = await caller.turn("t")
        await caller.send(type="ping")
        assert await caller.event() == {"type": "pong"}, "the session lives"
    if heard.end["type"] == "error":
        assert heard.end["provider"]["name"] == product.provider
        check_private(str(heard.end))
    if product.packing not in LOSSY and name not in OTHER_BYTES:
        good = product.samples("Good.").tobytes()
        assert good.startswith(heard.audio), "what was good is delivered, and nothing else"
        assert heard.end["type"] != DONE or len(good) - len(heard.audio) <= 2
    return str(heard.end.get("code", heard.end["type"]))


# WebSockets


async def greeted(link: Link, product: Product) -> str:
    """A turn whose text has ended; its name."""
    await greet(link, product)
    return (await told_text(link))[1]


async def half_spoken(link: Link, product: Product) -> str:
    turn = await greeted(link, product)
    await link.say(**started(product, turn))
    data = product.clip("Good.")
    await link.audio(data[: len(data) // 2 | 1])
    return turn


class Scenes:
    """What a socket does wrong, by name. `stall` in the name: it does nothing more."""

    async def stall_at_once(self, link: Link, product: Product) -> None:
        await link.stall()

    async def cut_at_once(self, link: Link, product: Product) -> None:
        link.cut()

    async def closed_at_once(self, link: Link, product: Product) -> None:
        await link.close(1013, KEY)

    async def refused_at_once(self, link: Link, product: Product) -> None:
        await link.close(1008, KEY)

    async def garbage_at_once(self, link: Link, product: Product) -> None:
        await link.garble()

    async def error_at_once(self, link: Link, product: Product) -> None:
        await link.say(type=error_kind(product), code="BAD_REQUEST", message=f"No: {KEY}")

    async def stall_before_audio(self, link: Link, product: Product) -> None:
        await greeted(link, product)
        await link.stall()

    async def cut_before_audio(self, link: Link, product: Product) -> None:
        await greeted(link, product)
        link.cut()

    async def nothing_spoken(self, link: Link, product: Product) -> None:
        turn = await greeted(link, product)
        await link.say(**ended(product, turn))
        await link.close()  # it would be kept for the next turn

    async def stall_in_audio(self, link: Link, product: Product) -> None:
        await half_spoken(link, product)
        await link.stall()

    async def cut_in_audio(self, link: Link, product: Product) -> None:
        await half_spoken(link, product)
        link.cut()

    async def closed_in_audio(self, link: Link, product: Product) -> None:
        await half_spoken(link, product)
        await link.close(1000)

    async def garbage_in_audio(self, link: Link, product: Product) -> None:
        await half_spoken(link, product)
        await link.garble()

    async def error_in_audio(self, link: Link, product: Product) -> None:
        turn = await half_spoken(link, product)
        told = f"{KEY}: {text_of('error_in_audio')}"
        await link.say(type=error_kind(product), code="odd", message=told, turn_id=turn, context_id=turn)


SCENES: Ends = {
    "stall_at_once": LATE,
    **all_of(("cut_at_once", "closed_at_once", "garbage_at_once", "error_at_once"), DOWN),
    "refused_at_once": REJECTED,
    "stall_before_audio": LATE,
    "cut_before_audio": CUT,
    "nothing_spoken": NO_AUDIO,
    "stall_in_audio": LATE,
    **all_of(("cut_in_audio", "closed_in_audio"), CUT),
    **all_of(("garbage_in_audio", "error_in_audio"), DOWN),
}
SPECIAL_SCENES: Mapping[str, Ends] = {
    "breeze": {"error_at_once": REJECTED},
    "bland": {},
    # No greeting is waited for: a turn is on from the first.
    "deepgram": all_of(("cut_at_once", "closed_at_once", "refused_at_once"), CUT),
}


@pytest.mark.parametrize("product", SOCKETS, ids=str)
async def test_every_fault_of_a_socket_too(product: Product, caplog: pytest.LogCaptureFixture) -> None:
    service = Service(product)
    place = Place(product, "handshake")
    ends: dict[str, str] = {}
    name = ""

    async def play_scene(link: Link) -> None:
        await getattr(Scenes(), name)(link, product)

    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.INFO, OTHERS):
        async with relay_to(product, service, scene=play_scene) as house:
            async with nothing_left():
                for name in SCENES:
                    be_patient(house, 0.2 if "stall" in name else PATIENCE_S)
                    ends[name] = await end_of(place, house, name)
                house.api.drop_connections()
                await house.api.connected(0)
            metrics = await metrics_of(house)
    assert ends == {name: str(end) for name, end in {**SCENES, **SPECIAL_SCENES[product.provider]}.items()}
    for told in (logged(caplog), metrics):
        check_private(told)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    return "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records if ours(record))


def ours(record: logging.LogRecord) -> bool:
    return not record.name.startswith(OTHERS)


def check_private(told: str) -> None:
    for secret in (KEY, USER, "Kindly play"):
        assert secret not in told


async def metrics_of(house: House) -> str:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{house.server.port}/metrics") as response:
            return await response.text()
