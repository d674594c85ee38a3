"""SessionLimiter for sessions."""

import pytest

from relay.engine.limits import Limits, SessionLimiter
from relay.errors import Code, LimitError


def make() -> SessionLimiter:
    return SessionLimiter(Limits(max_sessions=3, max_sessions_per_client=2, slow_client_timeout_s=1))


def test_one_client_cannot_take_every_place() -> None:
    places = make()
    places.take("a")
    places.take("a")
    with pytest.raises(LimitError) as caught:
        places.take("a")
    assert caught.value.code is Code.RATE_LIMITED
    assert caught.value.retry_after_s
    places.take("b")


def test_a_full_relay_says_so_and_a_place_given_back_can_be_taken() -> None:
    places = make()
    for client in "abc":
        places.take(client)
    with pytest.raises(LimitError) as caught:
        places.take("d")
    assert (caught.value.code, caught.value.retryable) == (Code.OVER_CAPACITY, True)
    places.give_back("b")
    places.take("d")
    assert places.taken == 3


def test_clients_that_left_are_forgotten() -> None:
    places = make()
    places.take("a")
    places.give_back("a")
    assert places._by_client == {}
