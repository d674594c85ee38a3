"""The contracts. What keeps them passes `relay.testing.conformance.store`.

A store knows neither tokens nor clients, and has no clock: instants are arguments, in seconds since the Unix epoch.
"""

from typing import Protocol

# Tokens spent and not yet expired. At the default life of a minute that is 3,000 sessions a second; at some 200 bytes
# each, 40 MB. Whoever has more is told to come again, because forgetting one would let it be spent twice.
MAX_SPENT = 200_000


class SpentTokens(Protocol):
    """Remembers which tokens were spent, for as long as each would otherwise be good."""

    async def open(self) -> None:
        """Called once, before anything else. Raises StoreError where the place cannot be used."""

    async def spend(self, token_id: str, *, expires_at_s: float, now_s: float) -> bool:
        """True for the first who spends `token_id`, False for everyone after, whichever process or task they are in.

        An id is forgotten once `now_s` has reached its `expires_at_s`: by then the token is refused for its age. Safe
        to call concurrently; cancelled, the token may or may not have been spent. Raises LimitError where MAX_SPENT
        are remembered, StoreError where the place no longer answers; the token is then not accepted.
        """
        ...

    async def close(self) -> None:
        """Releases what `open` took. Idempotent."""


class StoreError(Exception):
    """The store cannot be reached, or refuses. The message names the place and what it said."""
