"""Kept turns in a SQLite file: shared by the processes of one machine, and kept when they end."""

from dataclasses import replace

import msgspec

from relay.core.history import KeptTurn
from relay.store.base import TurnPage
from relay.store.job_rules import position
from relay.store.sqlite_file import SqliteFile

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
    """See `base.TurnStore`. `place` is the path of the file."""

    def __init__(self, place: str) -> None:
        self._file = SqliteFile(
            place,
            SCHEMA,
            thread_name="history",
            lock_timeout_s=LOCK_TIMEOUT_S,
            # A turn was heard already: losing its record with the power costs nobody a turn.
            pragmas=("synchronous = NORMAL",),
        )

    async def open(self) -> None:
        await self._file.open()

    async def add(self, turn: KeptTurn) -> None:
        await self._file.run(lambda: self._add(turn))

    async def get(self, kept_id: str, owner: str) -> KeptTurn | None:
        return await self._file.run(lambda: self._get(kept_id, owner))

    async def page(self, owner: str, *, limit: int, cursor: str | None) -> TurnPage:
        before = position(cursor)
        return await self._file.run(lambda: self._page(owner, limit, before))

    async def remove(self, kept_id: str, owner: str | None) -> bool:
        return await self._file.run(lambda: self._remove(kept_id, owner))

    async def oldest(self, limit: int) -> tuple[KeptTurn, ...]:
        return await self._file.run(lambda: self._oldest(limit))

    async def audio_bytes(self) -> int:
        return await self._file.run(self._audio_bytes)

    async def close(self) -> None:
        await self._file.close()

    # All below runs in the file's thread.

    def _add(self, turn: KeptTurn) -> None:
        size = turn.audio.bytes if turn.audio is not None else 0
        blob = msgspec.json.encode(replace(turn, text=""))
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO turns (id, owner, bytes, turn, text) VALUES (?, ?, ?, ?, ?)",
                (turn.id, turn.owner, size, blob, turn.text),
            )
            connection.execute("UPDATE taken SET bytes = bytes + ?", (size,))

    def _get(self, kept_id: str, owner: str) -> KeptTurn | None:
        row = self._file.connection.execute(
            "SELECT turn, text FROM turns WHERE id = ? AND owner = ?", (kept_id, owner)
        ).fetchone()
        return replace(_DECODER.decode(row[0]), text=row[1]) if row else None

    def _page(self, owner: str, limit: int, before: int | None) -> TurnPage:
        rows = self._file.connection.execute(
            "SELECT seq, turn FROM turns WHERE owner = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
            (owner, 2**63 - 1 if before is None else before, limit + 1),
        ).fetchall()
        more = len(rows) > limit
        return TurnPage(
            turns=tuple(_DECODER.decode(blob) for _, blob in rows[:limit]),
            next_cursor=str(rows[limit - 1][0]) if more else None,
        )

    def _remove(self, kept_id: str, owner: str | None) -> bool:
        with self._file.writing() as connection:
            row = connection.execute(
                "DELETE FROM turns WHERE id = ? AND (? IS NULL OR owner = ?) RETURNING bytes", (kept_id, owner, owner)
            ).fetchone()
            if row is not None:
                connection.execute("UPDATE taken SET bytes = bytes - ?", (row[0],))
        return row is not None

    def _oldest(self, limit: int) -> tuple[KeptTurn, ...]:
        rows = self._file.connection.execute("SELECT turn FROM turns ORDER BY seq LIMIT ?", (limit,)).fetchall()
        return tuple(_DECODER.decode(blob) for (blob,) in rows)

    def _audio_bytes(self) -> int:
        return int(self._file.connection.execute("SELECT bytes FROM taken").fetchone()[0])


_DECODER = msgspec.json.Decoder(KeptTurn)
