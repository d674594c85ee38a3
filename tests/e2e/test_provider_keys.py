"""A provider's key goes to the provider: not to where its files are, nor to where it points."""

from typing import Any

import pytest

from relay.testing.fake_provider import FakeRequest
from relay.testing.script import Script, Status
from tests.covering import each
from tests.e2e.faults import CHOSEN, PLACES, Place, be_patient, relay_to_faulty, soon, text_of
from tests.e2e.products import (
    KEY,
    PRODUCTS,
    USER,
    Product,
    Service,
    answer,
    relay_to,
    relay_to_service,
)
from tests.server.harness import client

ELSEWHERE = tuple(product for product in PRODUCTS if product.elsewhere)
SOCKETS = tuple(product for product in CHOSEN if product.delivery == "socket")
TEXT = text_of("it")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    soon(monkeypatch)


def holds_credentials(request: FakeRequest) -> bool:
    return any(secret in f"{request.target} {request.headers} {request.body!r}" for secret in (KEY, USER))


def test_every_provider_whose_files_may_be_elsewhere_is_here() -> None:
    """Sauti's are at its own address alone, and Bland has no files."""
    assert {product.provider for product in ELSEWHERE} == {"breeze", "playai"}


@pytest.mark.parametrize("product", ELSEWHERE, ids=str)
async def test_a_file_on_another_host_is_fetched_without_it(product: Product) -> None:
    async with relay_to_service(product) as (_, house, caller):
        heard = await caller.speak(TEXT, options=product.options)
        assert heard.end["type"] == "turn.done", heard.end
        assert all(holds_credentials(exchange.request) for exchange in house.api.exchanges)
        (fetched,) = house.files.exchanges
        assert not holds_credentials(fetched.request)


async def test_a_file_at_the_apis_own_address_is_fetched_with_it() -> None:
    """Breeze names that address as it would any other, and wants the key there."""
    (product,) = (product for product in ELSEWHERE if product.provider == "breeze")
    service = Service(product)
    async with relay_to(product, service) as house, client(house.server) as caller:
        service.files_url = house.api.url
        heard = await caller.speak(TEXT, options=product.options)
        assert heard.end["type"] == "turn.done", heard.end
        paths = [exchange.request.path for exchange in house.api.exchanges]
        assert paths[-1] == "/0.wav"
        assert all(holds_credentials(exchange.request) for exchange in house.api.exchanges)
        assert not house.files.connections_opened


async def test_sauti_cannot_name_another_host() -> None:
    (product,) = (product for product in PRODUCTS if (product.provider, product.delivery) == ("sauti", "job"))

    class Naming(Service):
        def __call__(self, request: FakeRequest) -> Script:
            if not request.path.endswith("/0"):
                return super().__call__(request)
            url = f"{self.files_url}/0.wav"
            named: dict[str, Any] = dict.fromkeys(("url", "audio_url", "download_url", "location"), url)
            return answer(200, {"job_id": "0", "status": "succeeded", **named}, location=url)

    async with relay_to(product, Naming(product)) as house, client(house.server) as caller:
        heard = await caller.speak(TEXT, options=product.options)
        assert heard.end["type"] == "turn.done", heard.end
        assert not house.files.connections_opened


@each("status", [301, 302, 303, 307, 308])
@each("place", PLACES)
async def test_no_redirect_is_followed(place: Place, status: int) -> None:
    def redirect(_name: str) -> Script:
        to = house.api if place.step == "file" and place.product.elsewhere else house.files
        return (Status(status, {"location": f"{to.url}/stolen"}, 0),)

    async with relay_to_faulty(place, redirect) as (_, house), client(house.server) as caller:
        be_patient(house)
        own: dict[str, Any] = {"voice": "it"} if place.product.provider == "breeze" else {}
        error = (await caller.speak(TEXT, options=place.product.options, **own)).end
        assert (error["type"], error["code"], error["provider"]["status"]) == ("error", "provider_unavailable", status)
        assert "stolen" not in str(error)
        asked = [exchange.request.path for fake in (house.api, house.files) for exchange in fake.exchanges]
        assert "/stolen" not in asked
        if place.step != "file":
            assert not house.files.connections_opened


@pytest.mark.parametrize("product", SOCKETS, ids=str)
async def test_a_socket_is_opened_with_what_it_is_opened_for(product: Product) -> None:
    """Breeze mints a credential for each session, whose socket may be anywhere; others' are at their address."""
    async with relay_to_service(product) as (_, house, caller):
        heard = await caller.speak(TEXT, options=product.options)
        assert heard.end["type"] == "turn.done", heard.end
        assert house.sockets is not None
        (link,) = house.sockets.links
        assert (KEY in f"{link.path} {link.headers}") == (product.provider != "breeze")
        assert USER not in f"{link.path} {link.headers}"
