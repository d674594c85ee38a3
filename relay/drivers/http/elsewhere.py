"""Addresses that a provider's reply has named: which of them may be connected to.

A provider that is hostile, or was broken into, could name services inside of the operator's network. So an address that
is named by a reply is connected to only where it is public, or of the same kind as the provider's own configured one (a
server on this machine may name another file on this machine). What counts is the IP address that the connection goes
to: a name may resolve to another one at each look.
"""

import asyncio
import socket
from collections.abc import Callable
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import aiohttp

# Where names resolve that have IPv4 only, as seen from a network that has IPv6 only (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")
# All that is routed on the Internet (RFC 4291, 2.4). Outside of it Python calls some addresses global.
_ROUTED = IPv6Network("2000::/3")
_6TO4, _TEREDO = IPv6Network("2002::/16"), IPv6Network("2001::/32")


class Kind(StrEnum):
    """Where an address leads. FORBIDDEN (link-local, multicast, IPv4 within IPv6, reserved) is connected to never."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    FORBIDDEN = "forbidden"


class ForbiddenAddressError(OSError):
    """The connection was not begun."""


def kind_of(host: str) -> Kind:
    """The kind of an IP address, as a socket has it."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return Kind.FORBIDDEN
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return (
                Kind.PUBLIC if _kind_of_v4(IPv4Address(int(address) & 0xFFFF_FFFF)) is Kind.PUBLIC else Kind.FORBIDDEN
            )
        if address.is_loopback:
            return Kind.LOOPBACK
        if address in _ROUTED and address.is_global and address not in _6TO4 and address not in _TEREDO:
            return Kind.PUBLIC
        return Kind.PRIVATE if address in IPv6Network("fc00::/7") else Kind.FORBIDDEN
    return _kind_of_v4(address)


def _kind_of_v4(address: IPv4Address) -> Kind:
    if address.is_loopback:
        return Kind.LOOPBACK
    if address.is_multicast or address.is_link_local or address.is_reserved or address.is_unspecified:
        return Kind.FORBIDDEN
    if address.is_global:
        return Kind.PUBLIC
    in_private = address.packed[0] == 10 or address.packed[:2] == b"\xc0\xa8" or int(address) >> 20 == 0xAC1
    return Kind.PRIVATE if in_private else Kind.FORBIDDEN


async def kinds_of(host: str, port: int) -> frozenset[Kind]:
    """The kinds of the addresses that a host has now; none for one that does not resolve."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return frozenset()
    return frozenset(kind_of(str(address[0])) for *_, address in found)


def guarded(
    make: Callable[[aiohttp.AddrInfoType], socket.socket], allowed: frozenset[Kind]
) -> Callable[[aiohttp.AddrInfoType], socket.socket]:
    """A factory of sockets that makes none for an address of another kind. It is called right before connecting."""

    def checked(address: aiohttp.AddrInfoType) -> socket.socket:
        if kind_of(str(address[4][0])) not in allowed:
            raise ForbiddenAddressError("an address of this kind is not connected to")
        return make(address)

    return checked
