"""A provider that sends `relay.testing.known` and writes down when it did each step, for `bench.timings`.

Run: `python -m bench.known KIND`. `GET /instants` gives `{text: {scheduled ms: instant}}`, in seconds of the monotonic
clock; 0 is when the request was there.
"""

import asyncio
import json
import signal
import sys
import time
from typing import cast

import uvloop

from bench.processes import keep_punctual
from relay.testing.known import Kind, known
from relay.testing.script import Pause, Send, Status, Step, end_of_body, framed, head

# As long as a sentence may be of which the relay holds all that its listener may not have yet: of a longer one it reads
# the last byte when there is room.
SPEECH_MS = 1000


def wire(kind: Kind) -> list[tuple[int, int]]:
    """The script's steps as a reader of the socket sees them: milliseconds after the request, bytes there by then."""
    steps: list[tuple[int, int]] = []
    passed_s, there_bytes = 0.0, 0
    for step in known(kind, SPEECH_MS).script:
        if isinstance(step, Pause):
            passed_s += step.seconds
            continue
        there_bytes += len(_on_the_wire(step))
        steps.append((round(passed_s * 1000), there_bytes))
    last_ms, _ = steps[-1]
    return [*steps, (last_ms, there_bytes + len(end_of_body("chunked")))]


def _on_the_wire(step: Step) -> bytes:
    return head(step) if isinstance(step, Status) else framed(cast("Send", step).data, "chunked")


class Known:
    """Answers every POST with the script, at its instants."""

    def __init__(self, kind: Kind) -> None:
        self._script = known(kind, SPEECH_MS).script
        self._instants: dict[str, dict[int, float]] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                if request.startswith(b"GET"):
                    body = json.dumps(self._instants).encode()
                    writer.write(head(Status(200, {"content-type": "application/json"}, len(body))) + body)
                    continue
                [size] = [
                    int(line[15:]) for line in request.lower().split(b"\r\n") if line.startswith(b"content-length:")
                ]
                text = json.loads(await reader.readexactly(size))["text"]
                self._instants[text] = {0: time.monotonic()}
                await self._play(self._instants[text], writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _play(self, instants: dict[int, float], writer: asyncio.StreamWriter) -> None:
        passed_s = 0.0
        for step in self._script:
            if isinstance(step, Pause):
                passed_s += step.seconds
                await asyncio.sleep(max(0.0, instants[0] + passed_s - time.monotonic()))
                continue
            # Before the write: the relay may have read it when the write returns.
            instants[round(passed_s * 1000)] = time.monotonic()
            writer.write(_on_the_wire(step))
        writer.write(end_of_body("chunked"))


async def main(kind: str) -> None:
    keep_punctual()
    server = await asyncio.start_server(Known(cast("Kind", kind)).serve, "127.0.0.1", 0)
    print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", file=sys.stderr, flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
