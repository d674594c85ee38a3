"""The socket that a relay listens on."""

import socket
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
        raise ConfigError(
            f"cannot listen on {host} port {port}: {error.strerror}; is another relay running? "
            "choose a port with --port or server.port"
        ) from error
    return listener


def is_loopback(host: str) -> bool:
    """Can only this machine reach it?"""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
