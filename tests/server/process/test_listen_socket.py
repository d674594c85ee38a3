"""The port of a relay: one relay has it."""

import socket

import pytest

from relay.config import ConfigError
from relay.server.process.listen_socket import SharedPort, bind


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_shared_port_has_so_many_sockets_and_is_free_afterwards(host: str) -> None:
    try:
        shared = SharedPort(host, 0, 3)
    except ConfigError:
        pytest.skip("this machine has no IPv6")
    assert {listener.getsockname()[1] for listener in shared.listeners} == {shared.port}
    with socket.create_connection((host, shared.port)):
        pass
    shared.close()
    again = SharedPort(host, shared.port, 2)
    again.close()


def test_no_other_relay_can_join_a_shared_port() -> None:
    first = SharedPort("127.0.0.1", 0, 2)
    for join in (
        lambda: SharedPort("127.0.0.1", first.port, 2),
        lambda: SharedPort("0.0.0.0", first.port, 2),
        lambda: bind("127.0.0.1", first.port),
    ):
        with pytest.raises(ConfigError, match=f"port {first.port}: .*; is another relay running"):
            join()
    first.close()


def test_a_port_that_a_single_relay_has_is_refused() -> None:
    with bind("127.0.0.1", 0) as single:
        single.listen()
        port = single.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}"):
            SharedPort("127.0.0.1", port, 2)


def test_two_relays_that_start_at_the_same_instant_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One stands between having had the port alone and sharing it."""
    with bind("127.0.0.1", 0) as alone:
        port = alone.getsockname()[1]
    first = SharedPort("127.0.0.1", port, 1)
    for listener in first.listeners:
        listener.close()
    with pytest.raises(ConfigError, match="in use"):
        SharedPort("127.0.0.1", port, 1)
    first.close()
    SharedPort("127.0.0.1", port, 1).close()
