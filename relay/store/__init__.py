"""What outlives a request, behind one contract each; which store keeps it is an address in the settings."""

from collections.abc import Callable

from relay.errors import ClientError, Code
from relay.store.base import SpentTokens
from relay.store.memory import MemorySpentTokens


def _sqlite(path: str) -> SpentTokens:
    from relay.store.sqlite import SqliteSpentTokens

    return SqliteSpentTokens(path)


# By the part of the address before the first colon; each is given the part after it.
SPENT_TOKENS: dict[str, Callable[[str], SpentTokens]] = {
    "memory": MemorySpentTokens,
    "sqlite": _sqlite,
}


def spent_tokens(address: str) -> SpentTokens:
    """The store at `address`, such as `memory:` or `sqlite:/var/lib/relay/tokens.sqlite3`. Nothing is opened yet.

    Raises ClientError for an address that names no store.
    """
    kind, colon, place = address.partition(":")
    if not colon or kind not in SPENT_TOKENS:
        kinds = ", ".join(f"{name}:" for name in SPENT_TOKENS)
        raise ClientError(Code.INVALID_CONFIG, f"{address!r} names no store; it must begin with one of {kinds}")
    return SPENT_TOKENS[kind](place)
