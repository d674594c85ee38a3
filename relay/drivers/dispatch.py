"""Which driver does the I/O of which kind of upstream: the only place that knows all drivers."""

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Self

from relay.core.timings import Timings
from relay.drivers.http.driver import HttpDriver
from relay.drivers.http.settings import HttpSettings
from relay.drivers.local.driver import LocalDriver
from relay.drivers.poll.driver import PollDriver
from relay.drivers.ws.driver import WsDriver
from relay.drivers.ws.settings import WsSettings
from relay.providers.base.dialogue import Conversation, DialogueRequest
from relay.providers.base.http import HttpRequest
from relay.providers.base.poll import PollRequest
from relay.providers.base.provider import LocalRequest, Reply, Upstream


class Drivers:
    """All drivers as one. Entering starts them, leaving ends every request, connection and worker they have."""

    def __init__(self, http: HttpSettings, ws: WsSettings) -> None:
        self.http = HttpDriver(http)
        self.local = LocalDriver()
        # Started last and closed first: what it still has to say goes through the HTTP driver.
        self.poll = PollDriver(self.http)
        # It mints its credentials there.
        self.ws = WsDriver(self.http, ws)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for driver in (self.http, self.local, self.poll, self.ws):
            self._stack.push_async_callback(driver.close)
            await driver.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def open(self, upstream: Upstream, timings: Timings) -> AbstractAsyncContextManager[Reply]:
        """See `base.Driver.open`."""
        match upstream:
            case HttpRequest():
                return self.http.open(upstream, timings)
            case LocalRequest():
                return self.local.open(upstream, timings)
            case PollRequest():
                return self.poll.open(upstream, timings)

    def converse(self, request: DialogueRequest, timings: Timings) -> AbstractAsyncContextManager[Conversation]:
        """See `base_dialogue.DialogueDriver.converse`."""
        return self.ws.converse(request, timings)
