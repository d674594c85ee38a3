"""Requests that never become one: what is logged of them, and the answer to one that does not come to its end."""

import logging
from http import HTTPStatus

from aiohttp.http_exceptions import HttpProcessingError

from relay.protocols.base import HttpAnswer

log = logging.getLogger(__name__)


class _Unquoted(logging.Filter):
    """Logs that such a request came. aiohttp would quote it, and with it its key."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        # The sender's mistake, and told to the sender.
        log.debug("a request is not HTTP", extra={"reason": type(error).__name__})
        return False


def server_log() -> logging.Logger:
    """For aiohttp's server to log to."""
    logger = logging.getLogger("relay.server.http")
    if not logger.filters:
        logger.addFilter(_Unquoted())
    return logger


def closing_response(answer: HttpAnswer) -> bytes:
    """The whole of an HTTP/1.1 response after which the connection is closed."""
    fields = {**answer.headers, "Content-Length": str(len(answer.body)), "Connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    status = f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n"
    return f"{status}{head}\r\n".encode() + answer.body
