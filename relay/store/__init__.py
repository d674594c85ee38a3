"""What outlives a request, behind one contract each; which store keeps it is an address in the settings."""

from collections.abc import Callable

from relay.errors import ClientError, Code
from relay.store.base import JobStore, SpentTokens, TurnStore
from relay.store.memory import MemorySpentTokens
from relay.store.memory_jobs import MemoryJobs
from relay.store.memory_turns import MemoryTurns


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


def _sqlite_jobs(path: str) -> JobStore:
    from relay.store.sqlite_jobs import SqliteJobs

    return SqliteJobs(path)


# The stores of jobs, by the same names.
JOBS: dict[str, Callable[[str], JobStore]] = {
    "memory": MemoryJobs,
    "sqlite": _sqlite_jobs,
}


def _sqlite_turns(path: str) -> TurnStore:
    from relay.store.sqlite_turns import SqliteTurns

    return SqliteTurns(path)


# The stores of kept turns, by the same names.
TURNS: dict[str, Callable[[str], TurnStore]] = {
    "memory": MemoryTurns,
    "sqlite": _sqlite_turns,
}
