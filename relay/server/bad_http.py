"""What is logged of requests that are not HTTP: that they came. aiohttp would quote them, and with them their keys."""

import logging

from aiohttp.http_exceptions import HttpProcessingError

log = logging.getLogger(__name__)


class _Unquoted(logging.Filter):
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
