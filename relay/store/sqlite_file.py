"""A SQLite file that processes of one machine share: one thread has its one connection, so that the loop never waits
for a lock or the disk."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from relay.store.base import StoreError

T = TypeVar("T")

LOCK_LOOK_S = 0.01


class SqliteFile:
    """The file at the path `place`, with the tables of `schema`; `pragmas` are set for this connection.

    A writer waits `lock_timeout_s` for the others. `open`, `run` and `close` raise StoreError, with the path and what
    SQLite said; `connection` and `writing` are for the work that `run` is given.
    """

    def __init__(
        self, place: str, schema: str, *, thread_name: str, lock_timeout_s: float, pragmas: tuple[str, ...]
    ) -> None:
        self._place = place
        self._schema = schema
        self._thread_name = thread_name
        self._lock_timeout_s = lock_timeout_s
        self._pragmas = pragmas
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._thread_name)
        try:
            await self.run(self._open)
        except BaseException:
            await self.close()
            raise

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, done in the thread."""
        assert self._thread is not None, "it was opened"
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise StoreError(f"{self._place}: {error}") from error

    async def close(self) -> None:
        if self._thread is not None:
            await self.run(self._close)
            self._thread.shutdown()
            self._thread = None

    # All below runs in the thread.

    @property
    def connection(self) -> sqlite3.Connection:
        assert self._connection is not None, "it was opened"
        return self._connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which holds the write lock from its start, so that no other process writes in between.

        It is rolled back if the work or the commit fails, so the next one can begin.
        """
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _open(self) -> None:
        self._connection = sqlite3.connect(self._place, timeout=self._lock_timeout_s, isolation_level=None)
        self._write_ahead()
        for pragma in self._pragmas:
            self._connection.execute(f"PRAGMA {pragma}")
        with self.writing() as connection:
            for statement in self._schema.split(";"):
                connection.execute(statement)

    def _write_ahead(self) -> None:
        """Readers do not wait for writers. SQLite does not wait for the lock that this takes, so it is tried again."""
        deadline_s = time.monotonic() + self._lock_timeout_s
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                    raise
                time.sleep(LOCK_LOOK_S)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
