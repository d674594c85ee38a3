"""The history of one process: turns in, on the disk, listed and forgotten. Its trouble is never a turn's."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from relay.config import HistoryConfig
from relay.core.formats import AudioFormat
from relay.core.history import KeptTurn
from relay.errors import ClientError, Code, LimitError
from relay.history.files import HistoryFiles, exists
from relay.history.tap import SessionTap
from relay.store.base import StoreError, TurnPage, TurnStore

log = logging.getLogger(__name__)

# Audio that waits for the disk, of all turns: some 3 minutes of 24 kHz. Beyond it turns lose their audio, not time.
MAX_HELD_BYTES = 8 * 1024 * 1024
# Turns that wait to be written, at some KiB of text each. Beyond it turns are not kept.
MAX_WAITING = 10_000
# How often old turns are looked for, and how many at a time.
SWEEP_S = 60.0
SWEPT_AT_ONCE = 100
# At the end of the process, what still waits has so long.
CLOSE_S = 5.0
# Between two lines of the log about a disk in trouble.
TROUBLE_S = 60.0


class History:
    """Entered with `start`, it keeps turns. `make_store`: called once."""

    def __init__(
        self,
        settings: HistoryConfig,
        make_store: Callable[[], TurnStore],
        folder: Path,
        *,
        wall_clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._make_store = make_store
        self._files = HistoryFiles(folder)
        self._now_s = wall_clock_s
        self._store: TurnStore | None = None
        self._opening = asyncio.Lock()
        self._waiting: asyncio.Queue[Callable[[], Awaitable[None]] | None] = asyncio.Queue()
        self._held_bytes = 0
        # Turns whose audio could not be kept, until they end.
        self._lost: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._trouble_at_s = -TROUBLE_S

    async def start(self) -> None:
        """Opens the place; one that cannot be used is tried again with each turn."""
        if not self._settings.enabled:
            return
        with suppress(StoreError, OSError):
            await self._opened()
        self._tasks = [
            asyncio.create_task(self._keep(), name="keep history"),
            asyncio.create_task(self._sweep(), name="forget old turns"),
        ]

    async def close(self) -> None:
        """Writes what waits, as far as it can in CLOSE_S. Idempotent."""
        if self._tasks:
            self._waiting.put_nowait(None)
            await asyncio.wait(self._tasks[:1], timeout=CLOSE_S)
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
            self._tasks = []
        if self._store is not None:
            store, self._store = self._store, None
            await store.close()

    # What sessions give.

    def tap(self, owner: str) -> SessionTap | None:
        """What sees a session's turns; None where none is kept."""
        return SessionTap(self, owner, self._now_s) if self._settings.enabled else None

    def append(self, kept_id: str, data: bytes) -> None:
        """More audio of a turn. Never waits; beyond MAX_HELD_BYTES the turn's audio is lost."""
        if kept_id in self._lost:
            return
        if self._held_bytes + len(data) > MAX_HELD_BYTES:
            self._lost.add(kept_id)
            self._trouble("the disk does not keep up")
            return
        self._held_bytes += len(data)

        async def write() -> None:
            try:
                if kept_id not in self._lost:
                    await asyncio.to_thread(self._files.append, kept_id, data)
            except OSError as error:
                self._lost.add(kept_id)
                self._trouble(str(error))
            finally:
                self._held_bytes -= len(data)

        self._waiting.put_nowait(write)

    def finish(self, turn: KeptTurn, audio: AudioFormat | None) -> None:
        """The turn has ended; `audio`: the format of what was appended."""
        if self._waiting.qsize() >= MAX_WAITING:
            self._lost.discard(turn.id)
            self._trouble("the disk does not keep up")
            return
        self._waiting.put_nowait(lambda: self._finish(turn, audio))

    async def _finish(self, turn: KeptTurn, audio: AudioFormat | None) -> None:
        try:
            store = await self._opened()
            if audio is not None and turn.id not in self._lost:
                turn = replace(turn, audio=await asyncio.to_thread(self._files.pack, turn.id, audio))
            await store.add(turn)
            if turn.audio is not None:
                await asyncio.to_thread(self._files.publish, turn.id)
            else:
                await self._remove_files(turn.id)
        except (StoreError, OSError) as error:
            self._trouble(str(error))
            await self._remove_files(turn.id)
        finally:
            self._lost.discard(turn.id)

    async def _keep(self) -> None:
        while (work := await self._waiting.get()) is not None:
            try:
                await work()
            except Exception:  # one turn's trouble must not end the history of others
                log.exception("a turn could not be kept")

    async def _opened(self) -> TurnStore:
        async with self._opening:
            if self._store is None:
                await asyncio.to_thread(self._files.make_folder)
                store = self._make_store()
                await store.open()
                self._store = store
        return self._store

    def _trouble(self, reason: str) -> None:
        now_s = time.monotonic()
        if now_s - self._trouble_at_s >= TROUBLE_S:
            self._trouble_at_s = now_s
            log.error("history cannot be kept: %s", reason)

    # What clients ask.

    async def get(self, kept_id: str, owner: str) -> KeptTurn:
        """Raises ClientError where the client has no such turn."""
        store = await self._asked()
        with _reachable():
            turn = await store.get(kept_id, owner)
        if turn is None:
            raise _no_such_turn()
        return turn

    async def page(self, owner: str, *, limit: int, cursor: str | None) -> TurnPage:
        store = await self._asked()
        with _reachable():
            return await store.page(owner, limit=limit, cursor=cursor)

    async def audio(self, turn: KeptTurn) -> Path:
        """The file of a turn. Raises ClientError where it has none."""
        path = self._files.result(turn.id)
        if turn.audio is None or not await asyncio.to_thread(exists, path):
            raise ClientError(Code.UNKNOWN_HISTORY, "the turn has no audio: there was none, or it could not be kept")
        return path

    async def remove(self, kept_id: str, owner: str) -> None:
        """Forgets a turn and its audio. Raises ClientError where the client has no such turn."""
        store = await self._asked()
        with _reachable():
            removed = await store.remove(kept_id, owner)
        if not removed:
            raise _no_such_turn()
        await self._remove_files(kept_id)

    async def _asked(self) -> TurnStore:
        if not self._settings.enabled:
            raise ClientError(Code.FORBIDDEN, "no history is kept on this relay (history.enabled)")
        with _reachable():
            return await self._opened()

    # Forgetting.

    async def _sweep(self) -> None:
        """Forgets turns that ended long ago, and the oldest where all take too much room."""
        while True:
            try:
                await self._forget(await self._opened())
                await asyncio.to_thread(self._files.remove_dead)
            except (StoreError, OSError) as error:
                self._trouble(str(error))
            await asyncio.sleep(SWEEP_S)

    async def _forget(self, store: TurnStore) -> None:
        kept_bytes = await store.audio_bytes()
        while turns := await store.oldest(SWEPT_AT_ONCE):
            for turn in turns:
                old = turn.created_at_s <= self._now_s() - self._settings.retention_s
                if not old and kept_bytes <= self._settings.max_bytes:
                    return
                kept_bytes -= turn.audio.bytes if turn.audio else 0
                await store.remove(turn.id, None)
                await self._remove_files(turn.id)

    async def _remove_files(self, kept_id: str) -> None:
        with suppress(OSError):
            await asyncio.to_thread(self._files.remove, kept_id)


@contextmanager
def _reachable() -> Iterator[None]:
    """What is wrong with the place is for the operator: the client is told to come again."""
    try:
        yield
    except (StoreError, OSError) as error:
        log.error("history cannot be read: %s", error)
        raise LimitError(
            Code.OVER_CAPACITY, "this relay cannot read its history at the moment; its log says why", retry_after_s=5
        ) from error


def _no_such_turn() -> ClientError:
    return ClientError(Code.UNKNOWN_HISTORY, "there is no such turn; it may have been forgotten (history.retention_s)")
