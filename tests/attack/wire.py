"""A provider on a bare socket, and a request to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from relay.core.formats import Container, SourceFormat
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base.http import HttpRequest, ReplyFacts

Answer = Callable[[asyncio.StreamWriter, int], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: audio/pcm\r\nContent-Length: 100\r\n\r\n"


@asynccontextmanager
async def provider(answer: Answer) -> AsyncIterator[str]:
    """`answer` is given each request's number; a connection stays open until the other side closes it."""
    requests = 0
    open_now: set[asyncio.StreamWriter] = set()
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        open_now.add(writer)
        gone.clear()
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                requests += 1
                await answer(writer, requests)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        open_now.discard(writer)
        if not open_now:
            gone.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in open_now:
            writer.transport.abort()
        if open_now:
            await asyncio.wait_for(gone.wait(), 10)


def request(url: str, named_by: str | None = None) -> HttpRequest:
    return HttpRequest(
        provider="fake",
        method="GET",
        url=url,
        headers={},
        secret_headers={},
        body=None,
        accept=lambda _: ReplyFacts(source=SourceFormat(container=Container.RAW)),
        refuse=lambda refusal: ProviderError(
            Code.PROVIDER_UNAVAILABLE, f"answered {refusal.status}", provider=ProviderFault(name="fake")
        ),
        named_by=named_by,
    )
