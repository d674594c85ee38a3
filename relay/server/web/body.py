"""The body of a request, whole, within a time and a size."""

import asyncio
import zlib

from aiohttp import web
from aiohttp.http_exceptions import PayloadEncodingError
from aiohttp.web_protocol import RequestPayloadError

from relay.errors import ClientError, Code, LimitError

IDENTITY = "identity"
CODINGS = (IDENTITY, "gzip", "x-gzip", "deflate")
GZIP = b"\x1f\x8b"

_UNREADABLE = "the request's body cannot be read: its compression is broken"


async def read_body(request: web.BaseRequest, timeout_s: float, max_bytes: int) -> bytes:
    """Reads the whole body. Call it before taking anything that others need: a client may send half of it and wait.

    Holds at most `max_bytes` and what one read adds. A Content-Length of more is refused before anything is read.

    Raises LimitError `slow_client` if the end has not come within `timeout_s`, however much has; web's
    HTTPRequestEntityTooLarge for more than `max_bytes`, before or after decompression; its HTTPUnsupportedMediaType for
    a Content-Encoding that is not read; ClientError `invalid_message` for a body that breaks its own encoding. After
    each of them aiohttp closes the connection once it has sent the response.
    Cancelled when the client hangs up. A body is read once: later calls return nothing.
    """
    coding = request.headers.get("Content-Encoding", IDENTITY).strip().lower()
    if coding not in CODINGS:
        raise web.HTTPUnsupportedMediaType(reason=f"Content-Encoding must be one of {', '.join(CODINGS)}")
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
    return bytes(body) if coding == IDENTITY else _inflated(bytes(body), max_bytes)


def _inflated(body: bytes, max_bytes: int) -> bytes:
    """What gzip or zlib has packed; of the rest of a body that unpacks to more than `max_bytes` nothing is unpacked."""
    # RFC 9110, 8.4.1.2: deflate is zlib's format; some send it without zlib's head.
    bare = body[:1] and body[0] & 0x0F != zlib.DEFLATED and not body.startswith(GZIP)
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | 32)
    try:
        unpacked = unpacking.decompress(body, max_bytes + 1)
    except zlib.error:
        raise ClientError(Code.INVALID_MESSAGE, _UNREADABLE) from None
    if len(unpacked) > max_bytes:
        raise _too_large(max_bytes, len(unpacked))
    if body and (not unpacking.eof or unpacking.unused_data):
        raise ClientError(Code.INVALID_MESSAGE, _UNREADABLE)
    return unpacked


def _too_large(max_bytes: int, size_bytes: int) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(max_size=max_bytes, actual_size=size_bytes)


def _reason(error: Exception) -> str:
    """What is wrong with the encoding. The library's own words quote the body, which may be private."""
    return "its chunked encoding is broken" if isinstance(error, PayloadEncodingError) else "it was cut"
