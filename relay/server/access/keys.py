"""Who may connect: long-lived keys for servers, and which pages a browser may connect from."""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from relay.config_access import hash_of
from relay.errors import ClientError, Code

# A Host header's value: a name, or an address in the way of addresses (RFC 3986, 3.2.2), and a port.
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?")
# What browsers say of who asks (https://www.w3.org/TR/fetch-metadata/): a page of another site. One that asks without
# CORS names no origin.
_FOREIGN = frozenset({"cross-site", "same-site"})


class Auth:
    """Checks credentials. Keys are held as SHA-256 only and compared in constant time.

    A key is a random secret of many bits, so a plain hash is enough: there is nothing to guess as with a password.
    """

    def __init__(self, keys: Sequence[str], allowed_origins: Sequence[str]) -> None:
        # Two spellings of one key are one client.
        self._digests = list(dict.fromkeys(_digest(key) for key in keys))
        self._origins = frozenset(origin.rstrip("/").lower() for origin in allowed_origins)
        self._hosts = frozenset(urlsplit(origin).netloc for origin in self._origins)

    @property
    def required(self) -> bool:
        return bool(self._digests)

    @property
    def clients(self) -> list[str]:
        """The names of the clients that have a key."""
        return [_client(digest) for digest in self._digests]

    def client(self, key: str | None, address: str, hint: str) -> str:
        """The name by which a client's limits are kept: its key's fingerprint, or its address. `hint` says how a key
        is shown. Raises ClientError."""
        if not self._digests:
            return address
        if not key:
            raise ClientError(Code.UNAUTHORIZED, f"no credential; {hint}")
        digest = hashlib.sha256(key.encode()).digest()
        # All are compared, whichever matches, so that the time tells nothing.
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(matches):
            raise ClientError(Code.UNAUTHORIZED, "the key is not one of this relay's keys")
        return _client(digest)

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Browsers name the page that connects; other clients name none and are not asked. Raises ClientError."""
        origin = headers.get("origin")
        if origin is None:
            if not self.required and headers.get("sec-fetch-site") in _FOREIGN and _is_embedded(headers):
                raise ClientError(Code.FORBIDDEN, "pages of other sites may not use a relay without keys")
            return
        if not self.allows(origin, headers.get("host", "")):
            raise ClientError(
                Code.FORBIDDEN, "pages of this origin may not connect; add it to server.allowed_origins to let them"
            )

    def allows(self, origin: str, host: str) -> bool:
        """May pages of `origin` connect to this server, which they know as `host`?"""
        return _own_page(origin, host) or origin.rstrip("/").lower() in self._origins

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Without keys, the name by which this server is called has to be one that cannot be made up: a page of a name
        that was pointed here (DNS rebinding) reads with GET as its own, and names no origin. Raises ClientError."""
        host = headers.get("host", "").lower()
        known = _HOST.fullmatch(host) and (_unforgeable(f"//{host}") or host in self._hosts)
        if not self.required and not known:
            raise ClientError(
                Code.FORBIDDEN,
                "a relay without keys answers to addresses and localhost only; set server.keys, or add the origin of"
                " this name to server.allowed_origins",
            )


def _is_embedded(headers: Mapping[str, str]) -> bool:
    """Whether a page asks for it, and not a person who follows a link."""
    return headers.get("sec-fetch-mode") != "navigate"


def _own_page(origin: str, host: str) -> bool:
    """Is it a page of this server? Believed of addresses and localhost only: any other name can be made to point here
    by whoever owns it (DNS rebinding), so such an origin has to be listed."""
    _, _, netloc = origin.lower().partition("://")
    return netloc == host.lower() and _unforgeable(origin)


def _unforgeable(url: str) -> bool:
    try:
        name = urlsplit(url).hostname
        return name == "localhost" or bool(ip_address(name or ""))
    except ValueError:
        return False


def _client(digest: bytes) -> str:
    return digest.hex()[:16]


def _digest(key: str) -> bytes:
    hashed = hash_of(key)
    return bytes.fromhex(hashed) if hashed else hashlib.sha256(key.encode()).digest()
