"""The body of a request, whole, within a time and a size."""

import asyncio

from aiohttp import web
from aiohttp.http_exceptions import PayloadEncodingError
from aiohttp.web_protocol import RequestPayloadError

from relay.errors import ClientError, Code, LimitError


async def read_body(request: web.BaseRequest, timeout_s: float, max_bytes: int) -> bytes:
    """Reads the whole body. Call it before taking anything that others need: a client may send half of it and wait.

    Holds at most `max_bytes` and what one read adds. A Content-Length of more is refused before anything is read.

    Raises LimitError `slow_client` if the end has not come within `timeout_s`, however much has; web's
    HTTPRequestEntityTooLarge for more than `max_bytes` (after decompression); ClientError `invalid_message` for a body
    that breaks its own encoding. After each of them aiohttp closes the connection once it has sent the response.
    Cancelled when the client hangs up. A body is read once: later calls return nothing.
    """
    if request.content_length is not None and request.content_length > max_bytes:
        raise _too_large(max_bytes, request.content_length)
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            while piece := await request.content.readany():
                body += piece
                if len(body) > max_bytes:
                    raise _too_large(max_bytes, len(body))
    except TimeoutError:
        raise LimitError(
            Code.SLOW_CLIENT, f"the request's body was not complete after {timeout_s:g} s; {len(body)} bytes had come"
        ) from None
    except (PayloadEncodingError, RequestPayloadError) as error:
        raise ClientError(Code.INVALID_MESSAGE, f"the request's body cannot be read: {_reason(error)}") from None
    return bytes(body)


def _too_large(max_bytes: int, size_bytes: int) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(max_size=max_bytes, actual_size=size_bytes)


def _reason(error: Exception) -> str:
    """What is wrong with the encoding. The library's own words quote the body, which may be private."""
    return "its compression or chunked encoding is broken" if isinstance(error, PayloadEncodingError) else "it was cut"
