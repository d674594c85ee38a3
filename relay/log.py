"""Structured logs on standard error: one line an event, as text or as JSON. No text to be spoken, no key, no token.

A log call gives facts as `extra`; only the facts named in FIELDS are printed, so that nothing slips in by accident.
"""

import json
import logging
import sys
from typing import Literal

FIELDS = ("session", "client", "turn", "provider", "code", "status", "attempt", "seconds", "address", "reason", "count")


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


def configure(level: str, form: Literal["text", "json"]) -> None:
    """Sets up the root logger of the process. Idempotent."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Every request at info would be most of the log of a busy relay; errors of a connection reach us as exceptions.
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
