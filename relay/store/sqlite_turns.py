"""Kept turns in a SQLite file: shared by the processes of one machine, and kept when they end."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import msgspec

from relay.core.history import KeptTurn
from relay.store.base import StoreError, TurnPage
from relay.store.job_rules import position

T = TypeVar("T")

# Writers take turns, and a turn is a row; who waits longer than this waits for a process that hangs.
LOCK_TIMEOUT_S = 5.0
# `seq` is the order in which turns were added, and where a page begins. A turn is one blob of JSON, without its text,
# and the columns that are asked by.
SCHEMA = """
CREATE TABLE IF NOT EXISTS turns (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  turn BLOB NOT NULL,
  text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS turns_by_owner ON turns (owner, seq);
CREATE TABLE IF NOT EXISTS taken (one INTEGER PRIMARY KEY CHECK (one = 1), bytes INTEGER NOT NULL);
INSERT OR IGNORE INTO taken VALUES (1, 0);
"""


class SqliteTurns:
    """See `base.TurnStore`. One thread has the one connection; `place` is the path of the file."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._thread: ThreadPoolExecutor | None = None
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        try:
            await self._in_thread(self._open)
        except BaseException:
            await self.close()
            raise

    async def add(self, turn: KeptTurn) -> None:
        await self._in_thread(lambda: self._add(turn))

    async def get(self, kept_id: str, owner: str) -> KeptTurn | None:
        return await self._in_thread(lambda: self._get(kept_id, owner))

    async def page(self, owner: str, *, limit: int, cursor: str | None) -> TurnPage:
        before = position(cursor)
        return await self._in_thread(lambda: self._page(owner, limit, before))

    async def remove(self, kept_id: str, owner: str | None) -> bool:
        return await self._in_thread(lambda: self._remove(kept_id, owner))

    async def oldest(self, limit: int) -> tuple[KeptTurn, ...]:
        return await self._in_thread(lambda: self._oldest(limit))

    async def audio_bytes(self) -> int:
        return await self._in_thread(self._audio_bytes)

    async def close(self) -> None:
        if self._thread is not None:
            await self._in_thread(self._close)
            self._thread.shutdown()
            self._thread = None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        assert self._thread is not None, "it was opened"
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise StoreError(f"{self._place}: {error}") from error

    # All below runs in the thread.

    def _open(self) -> None:
        self._connection = connection = sqlite3.connect(self._place, timeout=LOCK_TIMEOUT_S, isolation_level=None)
        # A turn was heard already: what the power takes of its record costs nobody a turn.
        connection.execute("PRAGMA synchronous = NORMAL")
        with _Transaction(connection):
            for statement in SCHEMA.split(";"):
                connection.execute(statement)

    def _add(self, turn: KeptTurn) -> None:
        size = turn.audio.bytes if turn.audio is not None else 0
        blob = msgspec.json.encode(replace(turn, text=""))
        with _Transaction(self._opened) as connection:
            connection.execute(
                "INSERT INTO turns (id, owner, bytes, turn, text) VALUES (?, ?, ?, ?, ?)",
                (turn.id, turn.owner, size, blob, turn.text),
            )
            connection.execute("UPDATE taken SET bytes = bytes + ?", (size,))

    def _get(self, kept_id: str, owner: str) -> KeptTurn | None:
        row = self._opened.execute(
            "SELECT turn, text FROM turns WHERE id = ? AND owner = ?", (kept_id, owner)
        ).fetchone()
        return replace(_DECODER.decode(row[0]), text=row[1]) if row else None

    def _page(self, owner: str, limit: int, before: int | None) -> TurnPage:
        rows = self._opened.execute(
            "SELECT seq, turn FROM turns WHERE owner = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
            (owner, 2**63 - 1 if before is None else before, limit + 1),
        ).fetchall()
        more = len(rows) > limit
        return TurnPage(
            turns=tuple(_DECODER.decode(blob) for _, blob in rows[:limit]),
            next_cursor=str(rows[limit - 1][0]) if more else None,
        )

    def _remove(self, kept_id: str, owner: str | None) -> bool:
        with _Transaction(self._opened) as connection:
            row = connection.execute(
                "DELETE FROM turns WHERE id = ? AND (? IS NULL OR owner = ?) RETURNING bytes", (kept_id, owner, owner)
            ).fetchone()
            if row is not None:
                connection.execute("UPDATE taken SET bytes = bytes - ?", (row[0],))
        return row is not None

    def _oldest(self, limit: int) -> tuple[KeptTurn, ...]:
        rows = self._opened.execute("SELECT turn FROM turns ORDER BY seq LIMIT ?", (limit,)).fetchall()
        return tuple(_DECODER.decode(blob) for (blob,) in rows)

    def _audio_bytes(self) -> int:
        return int(self._opened.execute("SELECT bytes FROM taken").fetchone()[0])

    @property
    def _opened(self) -> sqlite3.Connection:
        assert self._connection is not None, "it was opened"
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Transaction:
    """A writer's from its start, so that no other process can come between."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> sqlite3.Connection:
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._connection.execute("COMMIT" if kind is None else "ROLLBACK")


_DECODER = msgspec.json.Decoder(KeptTurn)
