"""Which stores there are."""

import pytest

from relay.errors import ClientError
from relay.store import SPENT_TOKENS, spent_tokens


@pytest.mark.parametrize("kind", SPENT_TOKENS)
def test_an_address_names_a_store(kind: str) -> None:
    assert type(spent_tokens(f"{kind}:place")) is SPENT_TOKENS[kind]


@pytest.mark.parametrize("address", ["", "memory", "redis://localhost", "/var/lib/relay", "sqlite"])
def test_another_address_is_told_what_there_is(address: str) -> None:
    with pytest.raises(ClientError, match="memory:, sqlite:"):
        spent_tokens(address)
