"""A network between page and relay that does as it is told: late, in order, held back, or gone."""

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp import ClientSession, WSMsgType, web

# What a test may wait for a thing to happen. Far more than loopback needs.
PATIENCE_S = 30.0


class Network:
    """Its `serve` is the page's `/stream`. Messages to the page pass one by one and never overtake each other.

    `delay_s` gives the time each one takes, on top of those before it if need be. While `hold` says so of a message,
    it and all behind it wait.
    """

    def __init__(self) -> None:
        self.relay_url = ""
        self.delay_s: Callable[[], float] = lambda: 0.0
        self.sessions = 0
        self.told: list[dict[str, Any]] = []
        self._sockets: set[web.WebSocketResponse] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._hold_after: int | None = None
        self._frames = 0

    def jitter(self, most_s: float, seed: int) -> None:
        """From here on every message takes up to that long."""
        chance = random.Random(seed)
        self.delay_s = lambda: chance.uniform(0, most_s)

    def hold_after(self, frames: int) -> None:
        """Lets that many more frames pass, then nothing until `release`."""
        self._hold_after, self._frames = frames, 0

    def release(self) -> None:
        self._hold_after = None
        self._open.set()

    async def held(self) -> None:
        """Waits until something is held back."""
        async with asyncio.timeout(PATIENCE_S):
            while self._open.is_set():
                await asyncio.sleep(0.005)

    def calm(self) -> None:
        self.release()
        self.delay_s = lambda: 0.0
        self.sessions = 0
        self.told.clear()

    def cut(self) -> None:
        """Every connection ends without a word."""
        for socket in list(self._sockets):
            transport = socket._req.transport if socket._req else None
            if transport is not None:
                transport.abort()

    async def say(self, close: int | None = None, **message: Any) -> None:
        """What the relay might have said, to every page."""
        for socket in list(self._sockets):
            await socket.send_str(json.dumps(message))
            if close is not None:
                await socket.close(code=close, message=message.get("reason", "").encode())

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        page = web.WebSocketResponse(protocols=("relay.v1",), compress=False, max_msg_size=0)
        await page.prepare(request)
        self.sessions += 1
        self._sockets.add(page)
        try:
            async with (
                ClientSession() as session,
                session.ws_connect(self.relay_url, protocols=("relay.v1",), max_msg_size=0) as relay,
                asyncio.TaskGroup() as tasks,
            ):
                line: asyncio.Queue[tuple[float, Any]] = asyncio.Queue()
                delivering = tasks.create_task(self._deliver(page, line))
                arriving = tasks.create_task(self._arrive(relay, line))
                async for message in page:
                    self.told.append(json.loads(message.data))
                    await relay.send_str(message.data)
                delivering.cancel()
                arriving.cancel()
        finally:
            self._sockets.discard(page)
        return page

    async def _arrive(self, relay: Any, line: asyncio.Queue[tuple[float, Any]]) -> None:
        loop = asyncio.get_running_loop()
        async for message in relay:
            line.put_nowait((loop.time() + self.delay_s(), message))
        line.put_nowait((loop.time(), None))

    async def _deliver(self, page: web.WebSocketResponse, line: asyncio.Queue[tuple[float, Any]]) -> None:
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while True:
                due, message = await line.get()
                await asyncio.sleep(due - loop.time())
                if message is None:
                    await page.close()
                    return
                if message.type is WSMsgType.BINARY:
                    if self._hold_after is not None and self._frames >= self._hold_after:
                        self._open.clear()
                    self._frames += 1
                await self._open.wait()
                if message.type is WSMsgType.BINARY:
                    await page.send_bytes(message.data)
                else:
                    await page.send_str(message.data)
