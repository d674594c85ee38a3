"""Structured logs on standard error: one line an event, as text or as JSON. No text to be spoken, no key, no token.

A log call gives facts as `extra`; only the facts named in FIELDS are printed, so that nothing slips in by accident.
"""

import atexit
import json
import logging
import queue
import sys
import threading
from typing import Literal, TextIO

FIELDS = ("session", "client", "turn", "provider", "code", "status", "attempt", "seconds", "address", "reason", "count")


# Lines that may wait to be written, some 200 KB; and of one line, a traceback mostly.
MAX_LINES = 1000
MAX_LINE_CHARS = 16_384
# How long the end of the process waits for its last lines.
FLUSH_S = 1.0


class _Formatter(logging.Formatter):
    def facts(self, record: logging.LogRecord) -> dict[str, object]:
        return {name: value for name in FIELDS if (value := record.__dict__.get(name)) is not None}


class TextFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{name}={value}" for name, value in self.facts(record).items())
        line = (
            f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7} {record.getMessage()} {facts}".rstrip()
        )
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self.facts(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class QueuedHandler(logging.Handler):
    """Writes lines in a thread of its own, so that nobody who logs waits for who reads the log.

    MAX_LINES may wait; `dropped_lines` counts those that came on top, and a line says so when writing goes on.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: queue.Queue[str | threading.Event] = queue.Queue(MAX_LINES)
        self._unsaid = 0
        threading.Thread(target=self._write, name="log", daemon=True).start()
        atexit.register(self.flush)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        try:
            self._lines.put_nowait(line if len(line) <= MAX_LINE_CHARS else f"{line[:MAX_LINE_CHARS]}...")
        except queue.Full:
            global _dropped
            _dropped += 1
            self._unsaid += 1

    def flush(self) -> None:
        """Waits until what was logged before is written, FLUSH_S at most."""
        written = threading.Event()
        try:
            self._lines.put_nowait(written)
        except queue.Full:
            return
        written.wait(FLUSH_S)

    def _write(self) -> None:
        while True:
            item = self._lines.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            try:
                if unsaid := self._unsaid:
                    self._unsaid -= unsaid
                    item = f"{unsaid} lines of the log were dropped: they were not read in time\n{item}"
                self._stream.write(f"{item}\n")
                self._stream.flush()
            except (OSError, ValueError):
                pass  # who reads the log has gone


_dropped = 0


def dropped_lines() -> int:
    """Lines of this process's log that were dropped."""
    return _dropped


def configure(level: str, form: Literal["text", "json"]) -> None:
    """Sets up the root logger of the process. Idempotent."""
    handler = QueuedHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Every request at info would be most of the log of a busy relay; errors of a connection reach us as exceptions.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
