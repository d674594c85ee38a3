"""Keys and origins."""

import hashlib

import pytest

from relay.errors import ClientError, Code
from relay.server.access.keys import Auth

KEY = "k" * 32
HASHED = "sha256:" + hashlib.sha256(KEY.encode()).hexdigest()


HINT = "show a key"


@pytest.mark.parametrize("stored", [KEY, HASHED])
def test_a_key_is_known_however_it_is_stored(stored: str) -> None:
    auth = Auth(["another", stored], [])
    assert auth.required
    client = auth.client(KEY, "10.0.0.1", HINT)
    assert client != "10.0.0.1"
    assert KEY not in client


@pytest.mark.parametrize("value", [None, "", "wrong", HASHED])
def test_anything_else_is_refused_without_being_quoted(value: str | None) -> None:
    with pytest.raises(ClientError) as caught:
        Auth([KEY], []).client(value, "10.0.0.1", HINT)
    assert caught.value.code is Code.UNAUTHORIZED
    assert KEY not in caught.value.message
    assert "wrong" not in caught.value.message
    assert value or HINT in caught.value.message


def test_without_keys_a_client_is_its_address() -> None:
    assert not Auth([], []).required
    assert Auth([], []).client(None, "10.0.0.1", HINT) == "10.0.0.1"


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "relay.example", True),
        ("http://127.0.0.1:8765", "127.0.0.1:8765", True),
        ("http://localhost:8765", "localhost:8765", True),
        ("http://[::1]:8765", "[::1]:8765", True),
        ("https://app.example", "relay.example", True),
        ("https://APP.example/", "relay.example", True),
        ("https://evil.example", "relay.example", False),
        ("http://localhost:3000", "localhost:8765", False),
        # A name that its owner made to point at this machine.
        ("http://evil.example:8765", "evil.example:8765", False),
        ("null", "127.0.0.1:8765", False),
        ("http://[", "[", False),
        ("http://localhost:8765/", "localhost:8765", False),
        ("", "", False),
    ],
)
def test_origins(origin: str | None, host: str, allowed: bool) -> None:
    headers = {"host": host} | ({} if origin is None else {"origin": origin})
    auth = Auth([], ["https://app.example"])
    if allowed:
        auth.check_origin(headers)
    else:
        with pytest.raises(ClientError) as caught:
            auth.check_origin(headers)
        assert caught.value.code is Code.FORBIDDEN


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("127.0.0.1:8765", True),
        ("localhost", True),
        ("LocalHost:8765", True),
        ("[::1]:8765", True),
        ("relay.home.example:8765", True),
        ("relay.home.example", False),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:8765", False),
        ("evil-localhost", False),
        ("[", False),
        ("", False),
    ],
)
def test_without_keys_only_names_that_cannot_be_made_up_are_answered_to(host: str, answered: bool) -> None:
    auth = Auth([], ["http://relay.home.example:8765"])
    if answered:
        auth.check_host({"host": host})
    else:
        with pytest.raises(ClientError) as caught:
            auth.check_host({"host": host})
        assert caught.value.code is Code.FORBIDDEN
    Auth([KEY], []).check_host({"host": host})


def test_clients_are_named_as_their_keys_are() -> None:
    auth = Auth([KEY, "another"], [])
    assert auth.client(KEY, "10.0.0.1", HINT) == auth.clients[0]
    assert len(set(auth.clients)) == 2
