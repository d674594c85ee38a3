"""The smallest relay there can be on the same libraries: the yardstick for what the relay's own work costs.

One PCM provider, no text splitting, no errors, no cancel, no decoding, no metrics: bytes are cut into frames of 20 ms
and leave in `realtime` on one ticker, in groups of half the lead, as the relay's do by default: a group in one write.
What a turn costs here is the price of aiohttp, uvloop and the kernel on this machine. Serves what `bench.load` asks:
`/v1/stream` and `/metrics`. A frame is late here, as there, if it leaves after its listener needed it.
"""

import asyncio
import os
import sys
import time
from bisect import bisect_left

import aiohttp
import uvloop
from aiohttp import WSMsgType, web

from relay.core.sent import LATE_BY_S
from relay.server.socket import ws_message

FRAME_BYTES, FRAME_S, LEAD_S, BURST_S, TICK_S = 960, 0.02, 0.2, 0.1, 0.005
HIGH_FRAMES = 50


class Stream:
    """Frames of one turn, waiting for their instants."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self.transport, self.sent = transport, 0
        self.frames: list[bytes] = []
        self.room, self.ended, self.over = asyncio.Event(), False, asyncio.Event()
        self.start_s = time.monotonic()


streams: dict[Stream, None] = {}
late = [0] * (len(LATE_BY_S) + 1)


async def tick() -> None:
    """Sends what is due, of all turns."""
    at_s = time.monotonic()
    while True:
        at_s = max(at_s + TICK_S, time.monotonic())
        await asyncio.sleep(at_s - time.monotonic())
        now_s = time.monotonic()
        for stream in [*streams]:
            lead_s = stream.start_s + stream.sent * FRAME_S - now_s
            if stream.sent and lead_s > LEAD_S - BURST_S:
                continue
            if frames := stream.frames[: round((LEAD_S - lead_s) / FRAME_S)]:
                for index in range(len(frames)):
                    late[bisect_left(LATE_BY_S, -lead_s - index * FRAME_S)] += 1
                stream.transport.write(b"".join([ws_message(WSMsgType.BINARY, frame) for frame in frames]))
                del stream.frames[: len(frames)]
                stream.sent += len(frames)
                if len(stream.frames) < HIGH_FRAMES:
                    stream.room.set()
            elif stream.ended and not stream.frames:
                del streams[stream]
                stream.over.set()


async def speak(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    assert request.transport is not None
    async for _ in socket:
        begin_s = time.monotonic()
        stream: Stream | None = None
        client: aiohttp.ClientSession = request.app["client"]
        async with client.post(os.environ["BREEZE_BASE_URL"] + "/", data=b"{}") as reply:
            carry = bytearray()
            async for piece in reply.content.iter_any():
                if stream is None:
                    stream = Stream(request.transport)
                    first_s = stream.start_s
                    streams[stream] = None
                carry += piece
                whole = len(carry) // FRAME_BYTES * FRAME_BYTES
                stream.frames += [bytes(carry[at : at + FRAME_BYTES]) for at in range(0, whole, FRAME_BYTES)]
                del carry[:whole]
                while len(stream.frames) > HIGH_FRAMES:
                    stream.room.clear()
                    await stream.room.wait()
            assert stream is not None
            stream.ended = True
            await stream.over.wait()
        timings = {"ttfa_ms": (first_s - begin_s) * 1000, "relay_ms": 0.0}
        await socket.send_json({"type": "turn.done", "timings": timings})
    return socket


async def metrics(_: web.Request) -> web.Response:
    lines = [f"relay_frames_paced_total {sum(late)}", "relay_ran_dry_total 0"]
    lines += [
        f'relay_frames_late_total{{over_ms="{by_s * 1000:g}"}} {sum(late[index + 1 :])}'
        for index, by_s in enumerate(LATE_BY_S)
    ]
    return web.Response(text="\n".join(lines))


async def main() -> None:
    app = web.Application()
    app.add_routes([web.get("/v1/stream", speak), web.get("/metrics", metrics)])
    app["client"] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}", file=sys.stderr, flush=True)
    await tick()


if __name__ == "__main__":
    uvloop.run(main())
