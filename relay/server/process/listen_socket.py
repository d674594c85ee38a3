"""The socket that a relay listens on."""

import socket
import sys
from contextlib import ExitStack
from ipaddress import ip_address

from relay.config import ConfigError

# Connections that may wait to be accepted: a burst of callers, while the loop is busy for some milliseconds.
BACKLOG = 1024


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Binds; port 0 takes a free one. `shared`: several sockets may bind the same port (SO_REUSEPORT), and the kernel
    spreads connections over them. Raises ConfigError with what to do about it."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigError(f"server.host is {host!r}, which is no address of this machine: {error.strerror}") from error
    # The protocol is named so that asyncio knows TCP when it sees it, and sets TCP_NODELAY on what it accepts.
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _in_use(host, port, error) from error
    return listener


class SharedPort:
    """`count` sockets that listen on one port, which no other relay has. Raises ConfigError when it is in use.

    The kernel lets every process of the same user join a port that is shared, so that two relays would answer half of
    the callers each. Hence the port is first bound alone; and the name that is held from then on, on Linux, keeps two
    relays that start at the same instant from both doing so.
    """

    def __init__(self, host: str, port: int, count: int) -> None:
        with ExitStack() as stack:
            with bind(host, port) as alone:
                address = alone.getsockname()
                self.port: int = address[1]
                stack.enter_context(_claim(address))
            self.listeners = [stack.enter_context(bind(host, self.port, shared=True)) for _ in range(count)]
            for listener in self.listeners:
                listener.listen(BACKLOG)
            self.close = stack.pop_all().close


def _claim(address: tuple[str, int]) -> socket.socket:
    """A name for the port, held by the process that has the socket. It goes with the process, however that ends."""
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if sys.platform == "linux":
        host, port = address[:2]
        try:
            claim.bind(f"\0relay-port-{host}-{port}")
        except OSError as error:
            claim.close()
            raise _in_use(host, port, error) from error
    return claim


def is_loopback(host: str) -> bool:
    """Can only this machine reach it?"""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _in_use(host: str, port: int, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot listen on {host} port {port}: {error.strerror}; is another relay running? "
        "choose a port with --port or server.port"
    )
