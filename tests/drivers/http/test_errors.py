"""The error peer: every class aiohttp can raise has a meaning of its own here."""

import asyncio
import errno
import inspect
import ssl
from typing import Any

import aiohttp
import pytest
from aiohttp import client_exceptions
from aiohttp.client_reqrep import ConnectionKey, RequestInfo
from aiohttp.http import HttpProcessingError
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from relay.drivers.http.errors import MEANINGS, Peer, is_stale_connection, map_errors
from relay.errors import Code, ProviderError, ProviderFault
from tests.covering import each

SECRET = "brz_secret"
PEER = Peer("breeze", "api.breeze.blue")
KEY = ConnectionKey("api.breeze.blue", 443, True, True, None, None, None)
INFO = RequestInfo(
    URL(f"https://api.breeze.blue/v1?key={SECRET}"),
    "POST",
    CIMultiDictProxy(CIMultiDict({"xi-api-key": SECRET})),
    URL("https://api.breeze.blue"),
)
CLASSES = [
    value
    for value in vars(client_exceptions).values()
    if inspect.isclass(value) and issubclass(value, BaseException) and not issubclass(value, Warning)
]


def crossed(error: BaseException) -> ProviderError:
    with pytest.raises(ProviderError) as caught, map_errors(PEER):
        raise error
    return caught.value


def test_every_class_of_aiohttp_has_its_own_meaning() -> None:
    assert len(CLASSES) > 20
    assert [kind.__name__ for kind in CLASSES if kind not in MEANINGS] == []


@each("kind", [*CLASSES, HttpProcessingError, TimeoutError, ssl.SSLError, OSError])
def test_every_class_becomes_a_provider_error(kind: type[BaseException]) -> None:
    # Made without its constructor, whose arguments differ from class to class.
    error = kind.__new__(kind)
    caught = crossed(error)
    assert caught.code in (Code.PROVIDER_UNAVAILABLE, Code.PROVIDER_TIMEOUT, Code.PROVIDER_CUT)
    assert caught.message.startswith("breeze (api.breeze.blue) ")
    assert caught.provider == ProviderFault(name="breeze")


CASES: list[tuple[BaseException, Code, bool, str]] = [
    (
        aiohttp.ClientConnectorError(KEY, OSError(errno.ECONNREFUSED, "x")),
        Code.PROVIDER_UNAVAILABLE,
        True,
        "cannot be reached: Connection refused",
    ),
    (
        aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "Name or service not known")),
        Code.PROVIDER_UNAVAILABLE,
        True,
        "has a name that does not resolve",
    ),
    (
        aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError(1, "self-signed")),
        Code.PROVIDER_UNAVAILABLE,
        False,
        "has no TLS certificate that this machine trusts",
    ),
    (
        aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "wrong version")),
        Code.PROVIDER_UNAVAILABLE,
        False,
        "does not speak TLS as this machine does",
    ),
    (
        aiohttp.ClientOSError(errno.ECONNRESET, "x"),
        Code.PROVIDER_UNAVAILABLE,
        True,
        "closed the connection before it answered: Connection reset by peer",
    ),
    (
        aiohttp.ServerDisconnectedError(),
        Code.PROVIDER_UNAVAILABLE,
        True,
        "closed the connection before it answered",
    ),
    (aiohttp.ClientPayloadError(), Code.PROVIDER_CUT, True, "ended the reply before its end"),
    (
        aiohttp.ClientResponseError(INFO, (), status=400, message=SECRET),
        Code.PROVIDER_UNAVAILABLE,
        False,
        "sent what is not an HTTP reply",
    ),
    (aiohttp.SocketTimeoutError(), Code.PROVIDER_TIMEOUT, True, "did not answer in time"),
    (TimeoutError(), Code.PROVIDER_TIMEOUT, True, "did not answer in time"),
    (
        aiohttp.InvalidURL(f"http://{SECRET}"),
        Code.PROVIDER_UNAVAILABLE,
        False,
        "has an address that cannot be used; check its base_url",
    ),
]


@each(("error", "code", "retryable", "says"), CASES)
def test_meanings(error: BaseException, code: Code, retryable: bool, says: str) -> None:
    caught = crossed(error)
    assert (caught.code, caught.retryable) == (code, retryable)
    assert caught.message == f"breeze (api.breeze.blue) {says}"


def test_a_cause_that_holds_the_request_is_not_shown() -> None:
    assert crossed(aiohttp.ClientResponseError(INFO, (), status=400)).__cause__ is None
    payload = aiohttp.ClientPayloadError()
    assert crossed(payload).__cause__ is payload


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        ZeroDivisionError(),
        ValueError("a bug"),
        ProviderError(Code.BAD_AUDIO, "no", provider=ProviderFault(name="breeze")),
    ],
)
def test_what_is_not_of_the_network_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, map_errors(PEER):
        raise error
    assert caught.value is error


def test_nothing_happens_when_nothing_happens() -> None:
    with map_errors(PEER):
        pass


@pytest.mark.parametrize(
    ("error", "stale"),
    [
        (aiohttp.ServerDisconnectedError(), True),
        (aiohttp.ClientOSError(errno.EPIPE, "x"), True),
        (aiohttp.ClientConnectorError(KEY, OSError(errno.ECONNREFUSED, "x")), False),
        (aiohttp.ClientPayloadError(), False),
        (TimeoutError(), False),
        (None, False),
    ],
)
def test_stale(error: Any, stale: bool) -> None:
    assert is_stale_connection(error) is stale
