"""Which stores there are."""

import pytest

from relay.errors import ClientError
from relay.store import SPENT_TOKENS, spent_tokens
from relay.store.memory import MemorySpentTokens
from relay.store.sqlite import SqliteSpentTokens


def test_an_address_names_a_store() -> None:
    kinds = {"memory": MemorySpentTokens, "sqlite": SqliteSpentTokens}
    assert {kind: type(spent_tokens(f"{kind}:place")) for kind in SPENT_TOKENS} == kinds


@pytest.mark.parametrize("address", ["", "memory", "redis://localhost", "/var/lib/relay", "sqlite"])
def test_another_address_is_told_what_there_is(address: str) -> None:
    with pytest.raises(ClientError, match="memory:, sqlite:"):
        spent_tokens(address)
