"""Addresses in a provider's reply: which of them may be asked at all, by how they are written. Pure.

What they lead to is judged by the driver, when it connects (`HttpRequest.named_by`).
"""

import re
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

# Signed addresses of storages are some 1,500 characters long.
MAX_URL_CHARS = 8192
_PORTS = {"https": 443, "http": 80}
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


def origin_of(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None for what is no address, or holds a user."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or "@" in parts.netloc:
        return None
    return parts.scheme, parts.hostname, port or _PORTS.get(parts.scheme)


def address_in(url: object, base_url: str) -> str | None:
    """`url`, if it is an http or https address that may be asked; None where it is not. After `base_url` of https it
    has to be https too. A host is a name, or an address as it is usually written: other spellings of numbers
    (`0x7f000001`, `127.1`, IPv4 within IPv6) have no honest use."""
    if not isinstance(url, str) or len(url) > MAX_URL_CHARS or not url.isascii():
        return None
    if not url.isprintable() or " " in url or "\\" in url:
        return None
    origin = origin_of(url)
    if origin is None or origin[0] not in (("https",) if base_url.startswith("https:") else ("https", "http")):
        return None
    return url if _is_host(origin[1]) else None


def _is_host(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        # The last part of a name is never a number (RFC 3696, 2); of the odd spellings of an address it is.
        last = host.rstrip(".").rpartition(".")[2]
        return _NAME.fullmatch(host) is not None and not re.fullmatch(r"[0-9]+|0x[0-9a-f]*", last)
    return not isinstance(address, IPv6Address) or address.ipv4_mapped is None
