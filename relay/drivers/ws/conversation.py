"""One turn over a socket: text in, pieces out, and a watch for silence where an answer is owed.

This file does not know where the socket came from, nor what becomes of it.
"""

import asyncio
import math
from collections import deque
from time import monotonic
from typing import Self

from relay.core.timings import Stage, Timings
from relay.drivers.http.errors import Meaning
from relay.drivers.patience import Patience
from relay.drivers.ws.settings import WsSettings
from relay.drivers.ws.socket import Socket
from relay.errors import Code, ProviderError
from relay.providers.base.dialogue import Heard, Message, Ready, TurnOver
from relay.providers.base.http import Piece, ReplyFacts


class WsConversation:
    """See `base.Conversation`. Iterate once, by one task; give text by one other.

    A provider that is silent is waited for as long as text may still come, for it may want more of it; after a flush
    until the next audio, and after the end of the text, its silence is bounded. `facts.ids` is complete at the end.
    `over` is how the provider ended the turn; `failed` that something went wrong; `cancelled` that the provider has
    been asked to stop and may yet confirm that: none of them, and the turn goes on.
    """

    content_type: str | None = None

    def __init__(self, socket: Socket, timings: Timings, settings: WsSettings) -> None:
        self.over: TurnOver | None = None
        self.failed = False
        self.cancelled = False
        self.piece_came_s: float | None = None
        self._ids = dict(socket.facts.ids)
        self.facts = ReplyFacts(source=socket.facts.source, ids=self._ids)
        self._socket = socket
        self._timings = timings
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._text_since_flush = False
        self._owed = False
        self._ended = False
        self._heard_audio = False
        # What the message read last means, and was not taken yet; bounded by `WsSettings.message_bytes`.
        self._meanings: deque[Heard] = deque()
        # The instant from which a silence counts: the last time we began to wait, or asked for an answer.
        self._silent_since_s = 0.0
        self._patience: Patience | None = None

    @property
    def complete(self) -> bool:
        """The provider has ended the turn."""
        return self.over is not None or any(isinstance(heard, TurnOver) for heard in self._meanings)

    async def give(self, text: str) -> None:
        assert not self._ended, "the text has ended"
        if self.cancelled:
            return
        self._text_since_flush = True
        await self._say(self._socket.dialogue.give(text))

    async def flush(self) -> None:
        if self.cancelled:
            return
        messages = self._socket.dialogue.flush()
        await self._say(messages)
        if self._text_since_flush and messages:
            self._text_since_flush = False
            self._owe()

    async def end_text(self) -> None:
        self._ended = True
        if self.cancelled:
            return
        await self._say(self._socket.dialogue.end_text())
        self._owe()

    def abort(self) -> None:
        """Asks the provider to stop, or drops the socket where it cannot be asked. No-op for a turn that is over."""
        if self.over is not None or self.failed or self.cancelled:
            return
        self._meanings.clear()
        self.cancelled = True
        messages = self._socket.dialogue.cancel()
        if messages:
            self._socket.send_now(messages)
        else:
            self._socket.drop()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        while True:
            while self._meanings:
                heard = self._meanings.popleft()
                if isinstance(heard, TurnOver):
                    self._end(heard)
                elif not isinstance(heard, bytes):
                    assert not isinstance(heard, Ready), "a dialogue is greeted once"
                    return heard
                elif heard:
                    self._mark_audio()
                    return heard
            if self.over is not None:
                raise StopAsyncIteration
            self._meanings += await self._next()
            if not self._heard_audio:
                self._socket.acknowledge()

    def refuse(self, body: bytes) -> ProviderError | None:
        """A dialogue reads its own errors: what is left is bad audio."""
        return None

    def _end(self, over: TurnOver) -> None:
        self._ids.update(over.ids)
        if not (self._ended or self.cancelled):
            self.failed = True
            early = Meaning(Code.PROVIDER_CUT, "ended the turn before its text did")
            raise self._socket.error(early)
        self.over = over
        self._meanings.clear()

    def _mark_audio(self) -> None:
        if not self._heard_audio:
            self._heard_audio = True
            assert self.piece_came_s is not None, "a piece has come by then"
            self._timings.mark(Stage.FIRST_BYTE, self.piece_came_s)
        self._owed = False

    async def _say(self, messages: list[Message]) -> None:
        try:
            await self._socket.send(messages)
        except ProviderError:
            self.failed = True
            raise

    def _owe(self) -> None:
        """From now on the provider's silence counts."""
        self._owed = True
        self._silent_since_s = self._loop.time()
        if self._patience is not None:
            self._patience.move(self._until_s())

    async def _next(self) -> list[Heard]:
        # A listener that holds us back is no stall of the provider's.
        self._silent_since_s = self._loop.time()
        try:
            while True:
                try:
                    with Patience(self._until_s()) as self._patience:
                        heard = await self._socket.receive()
                        self.piece_came_s = monotonic()
                        return heard
                except TimeoutError:
                    pass
                finally:
                    self._patience = None
                await self._wait_is_up()
        except ProviderError:
            self.failed = True
            raise

    async def _wait_is_up(self) -> None:
        now_s = self._loop.time()
        if now_s >= self._silence_end_s():
            kind, allowed_s = ("sent nothing for", self._settings.stall_timeout_s)
            if not self._heard_audio:
                kind, allowed_s = ("sent no audio within", self._settings.first_audio_timeout_s)
            raise self._socket.error(Meaning(Code.PROVIDER_TIMEOUT, f"{kind} {allowed_s:g} s"))
        if now_s >= self._keep_alive_s():
            await self._socket.send(self._socket.dialogue.keep_alive())

    def _until_s(self) -> float:
        """When to look up from waiting for a message."""
        return min(self._silence_end_s(), self._keep_alive_s())

    def _silence_end_s(self) -> float:
        """When the provider has been silent for too long; never while it may wait for more text."""
        if not (self._owed or self._ended):
            return math.inf
        settings = self._settings
        allowed_s = settings.stall_timeout_s if self._heard_audio else settings.first_audio_timeout_s
        return self._silent_since_s + allowed_s

    def _keep_alive_s(self) -> float:
        """When the provider wants to hear from us, if only that we are there; never where it does not."""
        idle_close_s = self._socket.request.idle_close_s
        if idle_close_s is None or not self._socket.dialogue.keep_alive():
            return math.inf
        return self._socket.quiet_since_s + idle_close_s / 2
