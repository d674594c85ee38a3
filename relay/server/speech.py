"""`POST /v1/speech`: one turn over HTTP. The same turn as on the WebSocket, with a streamed body for a listener."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from aiohttp import web

from relay.codecs.wav import wav_header
from relay.core.events import TurnRequest
from relay.core.formats import AudioFormat, Encoding
from relay.core.frames import Frame
from relay.engine.engine import Engine
from relay.engine.one_shot import OneShot
from relay.engine.turn import Turn
from relay.errors import ClientError, Code, LimitError, RelayError
from relay.protocols import native
from relay.server.access.scope import TokenScope


async def speech(relay: Engine, request: web.Request, permit: TokenScope) -> web.StreamResponse:
    """Speaks the body's text. The status line waits for the first audio; a failure after it cuts the connection."""
    body = native.receive_speech(await request.read())
    single = OneShot(relay, _wanted(body.request()), permit)
    single.turn.traceparent = single.turn.traceparent or request.headers.get("traceparent")
    single.append(body.text)
    single.end_input()
    async with single, aclosing(_frames(single)) as frames:
        first = await anext(frames, None)  # a provider's failure before the first audio is raised here
        response = web.StreamResponse(headers=_headers(single.turn, body.container))
        await response.prepare(request)
        try:
            if body.container == "wav":
                assert single.turn.form is not None, "a turn that has ended, or has a frame, has its format"
                await response.write(wav_header(single.turn.form.audio, None))
            if first is not None:
                await _write(relay, response, first)
            async for frame in frames:
                await _write(relay, response, frame)
        except RelayError:
            # The status was sent: only a cut connection can still say that this is not the end.
            if request.transport is not None:
                request.transport.abort()
            raise
        await response.write_eof()
        return response


async def _frames(single: OneShot) -> AsyncGenerator[Frame, None]:
    async for content in single.contents():
        if isinstance(content, Frame):
            yield content


async def _write(relay: Engine, response: web.StreamResponse, frame: Frame) -> None:
    try:
        async with asyncio.timeout(relay.limits.slow_client_timeout_s):
            await response.write(frame.payload)
    except TimeoutError:
        raise LimitError(Code.SLOW_CLIENT, "the client has stopped reading") from None


def _wanted(request: TurnRequest) -> TurnRequest:
    """The last frame is short unless asked otherwise: a body has no place to report padding."""
    if request.audio.get("header"):
        raise ClientError(Code.INVALID_CONFIG, "audio.header is for WebSocket frames; a body over HTTP has none")
    if request.window_ms is not None:
        raise ClientError(
            Code.INVALID_CONFIG, "flow is for WebSocket turns; over HTTP the reading of the body is credit"
        )
    return replace(request, audio={"tail": "short", **request.audio})


def _headers(turn: Turn, container: str) -> dict[str, str]:
    assert turn.form is not None
    started, timings = turn.started(turn.form), turn.report()
    stages = [f"{name};dur={value}" for name, value in timings.items() if name in ("first_byte", "ttfa_ms") and value]
    return {
        "Content-Type": "audio/wav" if container == "wav" else content_type(turn.form.audio),
        "X-Relay-Provider": started.provider,
        "X-Relay-Voice": started.voice,
        **({"Server-Timing": ", ".join(stages)} if stages else {}),
        # Proxies that buffer would hold back the first audio.
        "X-Accel-Buffering": "no",
        "Cache-Control": "no-store",
    }


def content_type(audio: AudioFormat) -> str:
    """The MIME type of headerless audio: `audio/basic` is 8 kHz mono mulaw by definition, all else says what it is."""
    if audio == AudioFormat(encoding=Encoding.MULAW, sample_rate_hz=8000):
        return "audio/basic"
    parameters = f"rate={audio.sample_rate_hz};channels={audio.channels}"
    if audio.encoding is not Encoding.PCM_S16LE:
        parameters += f";encoding={audio.encoding}"
    return f"audio/pcm;{parameters}"
