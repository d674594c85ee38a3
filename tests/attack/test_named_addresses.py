"""Addresses that a provider's reply names: which are asked, and that no other is connected to."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from relay.core.timings import Timings
from relay.drivers.http import elsewhere
from relay.drivers.http.driver import HttpDriver, HttpSettings
from relay.drivers.http.elsewhere import ForbiddenAddressError, Kind, guarded, kind_of
from relay.errors import ProviderError
from relay.providers.base.addresses import address_in
from tests.attack.wire import OK, provider, request

PUBLIC = ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"]
PRIVATE = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd00::1"]
FORBIDDEN = [
    *("0.0.0.0", "169.254.169.254", "100.64.0.1", "192.0.2.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "x"),
    *("::", "fe80::1%eth0", "ff02::1", "::ffff:127.0.0.1", "::ffff:93.184.216.34", "::7f00:1", "64:ff9b::7f00:1"),
    *("2002:7f00:1::", "2001:0:4136:e378::1", "fec0::1", "100::1", ""),
]


def test_every_address_has_a_kind() -> None:
    assert {kind_of(each) for each in PUBLIC} == {Kind.PUBLIC}
    assert {each: kind_of(each) for each in PRIVATE} == dict.fromkeys(PRIVATE, Kind.PRIVATE)
    assert {kind_of(each) for each in ("127.0.0.1", "127.9.9.9", "::1")} == {Kind.LOOPBACK}
    assert {each: kind_of(each) for each in FORBIDDEN} == dict.fromkeys(FORBIDDEN, Kind.FORBIDDEN)


@pytest.mark.parametrize("host", [*PRIVATE, *FORBIDDEN, "127.0.0.1", "::1"])
def test_no_socket_is_made_for_what_is_not_public(host: str) -> None:
    def never(_: object) -> socket.socket:
        raise AssertionError("a socket was made")

    make: Any = guarded(never, frozenset({Kind.PUBLIC}))
    with pytest.raises(ForbiddenAddressError):
        make((socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, 80)))


GOOD = [
    "https://cdn.example.com/a?b=c%20d",
    "https://93.184.216.34:8443/x",
    "https://[2606:2800:220:1::1]/",
    "https://a/",
]
BAD = [
    *("http://cdn.example.com/", "ftp://a.example/", "file:///etc/passwd", "//a.example/x", "https://", "https:///x"),
    *("https://user@a.example/", "https://127.1/", "https://0x7f000001/", "https://2130706433/", "https://0177.0.0.1/"),
    *("https://a.0x1/", "https://[::ffff:127.0.0.1]/", "https://a.example:99999/", "https://a b/", "https://a\r\nb/"),
    *(
        "https://exämple.com/",
        "https://a.example\\@b/",
        "https://[x]/",
        "https://a/" + "x" * 9000,
        "https://-a/",
        "gopher://a/",
    ),
]


def test_how_an_address_has_to_be_written() -> None:
    assert [address_in(url, "https://api.example.com") for url in GOOD] == GOOD
    assert [url for url in BAD if address_in(url, "https://api.example.com") is not None] == []
    assert [address_in(each, "https://a") for each in (None, 7, ["https://a/"])] == [None] * 3
    assert address_in("http://cdn.example.com/", "http://api.example.com")


async def outcome(url: str, named_by: str, hosts: Sequence[str] = ()) -> str:
    driver = HttpDriver(HttpSettings(retries=0, download_hosts=hosts))
    await driver.start()
    try:
        async with driver.open(request(url, named_by), Timings()) as reply:
            return f"{sum([len(piece) async for piece in reply if isinstance(piece, bytes)]) > 0}"
    except ProviderError as error:
        return error.message
    finally:
        await driver.close()


class Asked:
    """Counts requests, and answers each."""

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self, writer: asyncio.StreamWriter, number: int) -> None:
        self.count = number
        writer.write(OK + bytes(100))


async def test_loopback_is_reached_for_a_provider_on_loopback_or_by_the_operator_only() -> None:
    asked = Asked()
    async with provider(asked) as url:
        port = url.rpartition(":")[2]
        assert await outcome(url, "http://127.0.0.1:9") == "True"
        assert await outcome(f"http://localhost:{port}", "http://127.0.0.1:9") == "True"
        assert asked.count == 2
        refused = await outcome(url, "http://93.184.216.34")
        assert "is not public" in refused and port not in refused
        assert asked.count == 2
        assert await outcome(url, "http://93.184.216.34", ["127.0.0.1"]) == "True"


async def test_a_name_that_resolves_anew_is_judged_where_it_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async def public(_host: str, _port: int) -> frozenset[Kind]:
        return frozenset({Kind.PUBLIC})

    asked = Asked()
    async with provider(asked) as url:
        # The first look finds a public address; the connection would go to this machine.
        monkeypatch.setattr("relay.drivers.http.driver.kinds_of", public)
        assert "cannot be reached" in await outcome(url.replace("127.0.0.1", "localhost"), "http://api.example")
    assert asked.count == 0
    assert await elsewhere.kinds_of("no-such-name.invalid", 80) == frozenset()
