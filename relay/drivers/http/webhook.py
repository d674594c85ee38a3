"""Sends webhooks to addresses that clients have named: to public ones, and to hosts that the operator lists.

What counts is the IP address that the connection goes to, after the name was resolved. No redirect is followed, no
proxy is used, and nothing of the answer is read but its status.
"""

import socket
from collections.abc import Collection, Mapping

import aiohttp
from aiohttp.abc import AbstractResolver

from relay import __version__
from relay.core.webhook import is_listed
from relay.drivers.http.elsewhere import ForbiddenAddressError, Kind, guarded
from relay.drivers.trust import SYSTEM_TRUST

__all__ = ["WebhookSender"]

# From the look for the host's address to the head of the answer; Standard Webhooks recommends 15 to 30 s.
TIMEOUT_S = 15.0


class WebhookSender:
    """`hosts`: those that may be at any address. Safe to call concurrently."""

    def __init__(self, hosts: Collection[str] = (), *, resolver: AbstractResolver | None = None) -> None:
        self._hosts = hosts
        self._resolver = resolver

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> int | str:
        """The status of the answer, or why there was none: `forbidden`, `timeout` or `unreachable`."""
        factory = _socket if is_listed(url, self._hosts) else guarded(_socket, frozenset({Kind.PUBLIC}))
        # A connection for each: a webhook is rare, and one that is kept was judged some time ago.
        connector = aiohttp.TCPConnector(
            socket_factory=factory, resolver=self._resolver, use_dns_cache=False, force_close=True, ssl=SYSTEM_TRUST
        )
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    headers={"User-Agent": f"speech-relay/{__version__}", "Content-Type": "application/json"},
                    auto_decompress=False,
                    trust_env=False,
                    timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                ) as session,
                session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                return answer.status
        except aiohttp.ClientConnectorError as error:
            return "forbidden" if isinstance(error.os_error, ForbiddenAddressError) else "unreachable"
        except TimeoutError:
            return "timeout"
        except (aiohttp.ClientError, OSError, ValueError):
            return "unreachable"


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    return socket.socket(family=family, type=kind, proto=protocol)
