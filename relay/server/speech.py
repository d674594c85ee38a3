"""One turn over HTTP: the same turn as on a WebSocket, with a streamed body for a listener."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from aiohttp import web

from relay.codecs.containers import CONTAINERS, ContainerEncoder
from relay.core.events import Event, TurnDone
from relay.core.playout import Run
from relay.engine.codec_warmup import container_loaded
from relay.engine.engine import Engine
from relay.engine.live_session import Tap
from relay.engine.one_shot import OneShot
from relay.errors import Code, LimitError, RelayError
from relay.protocols.base import Handshake, SpeechCall, SpeechProtocol, SpeechReply
from relay.server.access.scope import TokenScope
from relay.server.open_requests import cut
from relay.server.whole_speech import whole_body


async def speak(
    engine: Engine,
    protocol: SpeechProtocol,
    handshake: Handshake,
    call: SpeechCall,
    request: web.Request,
    scope: TokenScope,
    client: str,
    tap: Tap | None = None,
) -> web.StreamResponse:
    """Speaks the call's text. The status line waits for the first audio, and a failure after it cuts the connection;
    that of a whole reply waits for all of it. The turn has the request's id unless it was given one."""
    one_shot = OneShot(
        engine,
        call.request if call.request.turn_id is not None else replace(call.request, turn_id=handshake.id),
        defaults=scope.defaults(engine.defaults),
        limits=engine.limits.session,
        check=scope.settings(engine.settings),
        max_chars=scope.max_chars,
        spend=engine.spending.of(client),
        traceparent=handshake.headers.get("traceparent"),
        tap=tap,
    )
    async with one_shot:
        one_shot.append(call.text)
        one_shot.end_input()
        async with aclosing(one_shot.contents()) as contents:
            before, first = await _until_audio(contents)  # a failure before the first audio is raised here
            record, reply = one_shot.record, protocol.reply(call)
            assert record.frame_format is not None, "a turn that has ended, or has audio, has its format"
            await container_loaded(call.container)
            container = CONTAINERS[call.container](record.frame_format.audio)
            if call.whole:
                chunks = await whole_body(reply, container, before, first, contents)
                return await _send_whole(engine, request, reply.headers(record, container.media_type), chunks)
            response = web.StreamResponse(headers=reply.headers(record, container.media_type))
            await response.prepare(request)
            begun = reply.audio(container.begin(_whole_bytes(first)))
            try:
                await _write(engine, response, b"".join([*map(reply.event, before), begun]))
                if first is not None:
                    await _write_audio(engine, response, reply, container, first.payload)
                async for item in contents:
                    if isinstance(item, Run):
                        await _write_audio(engine, response, reply, container, item.payload)
                        continue
                    rest = reply.audio(container.flush()) if isinstance(item, TurnDone) else b""
                    await _write(engine, response, rest + reply.event(item))
            except (RelayError, asyncio.CancelledError):
                # The status was sent: only a cut connection can still say that this is not the end.
                cut(request)
                raise
        await response.write_eof()
        return response


async def _send_whole(
    engine: Engine, request: web.Request, headers: Mapping[str, str], chunks: Sequence[bytes]
) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    response.content_length = sum(map(len, chunks))
    await response.prepare(request)
    try:
        for chunk in chunks:
            await _write(engine, response, chunk)
    except (RelayError, asyncio.CancelledError):
        cut(request)
        raise
    await response.write_eof()
    return response


async def _until_audio(contents: AsyncIterator[Run | Event]) -> tuple[list[Event], Run | None]:
    """What comes before the first audio, and that; None where the turn ends without."""
    before: list[Event] = []
    async for item in contents:
        if isinstance(item, Run):
            return before, item
        before.append(item)
    return before, None


def _whole_bytes(first: Run | None) -> int | None:
    """How much audio the turn has, where all of it is there with the first; else None."""
    if first is None:
        return 0
    return len(first.payload) if first.last else None


async def _write_audio(
    engine: Engine, response: web.StreamResponse, reply: SpeechReply, container: ContainerEncoder, pcm: bytes
) -> None:
    """In the container's own slices, with the loop's other work in between."""
    slice_bytes = container.slice_bytes or len(pcm)
    for at in range(0, len(pcm), slice_bytes):
        if at:
            await asyncio.sleep(0)
        if data := container.feed(pcm[at : at + slice_bytes]):
            await _write(engine, response, reply.audio(data))


async def _write(engine: Engine, response: web.StreamResponse, data: bytes) -> None:
    if not data:
        return
    try:
        async with asyncio.timeout(engine.limits.slow_client_timeout_s):
            await response.write(data)
    except TimeoutError:
        raise LimitError(Code.SLOW_CLIENT, "the client has stopped reading") from None
