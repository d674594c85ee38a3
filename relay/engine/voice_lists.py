"""Lists of voices, kept for a while: whoever asks often costs the providers one request a minute."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

from relay.providers.base.provider import Voice

# A voice that was just made is waited for so long.
KEPT_S = 60.0


class VoiceLists:
    """The list of each provider, asked for once at a time. A failure is not kept. Belongs to one event loop."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # One of each for each configured provider.
        self._kept: dict[str, tuple[float, Sequence[Voice]]] = {}
        self._asking: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, provider: str, ask: Callable[[], Awaitable[Sequence[Voice]]]) -> Sequence[Voice]:
        """What `ask` gives, or gave less than KEPT_S ago. Raises what it raises."""
        async with self._asking[provider]:
            asked_s, listed = self._kept.get(provider, (float("-inf"), ()))
            if self._clock() - asked_s < KEPT_S:
                return listed
            listed = await ask()
            self._kept[provider] = (self._clock(), listed)
            return listed
