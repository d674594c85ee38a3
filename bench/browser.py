"""What the page adds: from the first frame to the first sample at the sound card, and from a cancel to silence.

Run: `python -m bench.browser [TURNS] [CHROMIUM]`. The page runs in a headless Chromium, whose sound card is a clock.
`player` is the player's own part, from the first frame to the sound card, as far as the context's clock tells, which
moves in steps of 10 ms here; `heard` is from `speak()` to the first sample at the ear, by the latency that the browser
reports, and `ttfa` the relay's part of it. `silence` is how much sound follows `cancel()`.
"""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.async_api import Page, async_playwright

from bench.figures import percentiles
from bench.processes import provider, relay

TURNS = 50
SECONDS = 0.5
FAST = {"mode": "fast"}
# The prebuffer, and how the relay sends. At real time without a lead the prebuffer fills no faster than it is spoken.
CASES: tuple[tuple[int, dict[str, Any]], ...] = ((40, FAST), (0, FAST), (40, {"mode": "realtime", "lead_ms": 0}))
FLAGS = ("--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required")
PLAYER = Path(__file__).parent.parent / "clients" / "browser"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# Counts the samples since it was asked to, up to the last one that is not silence.
TAP = """
registerProcessor("tap", class extends AudioWorkletProcessor {
  last = 0;
  constructor() {
    super();
    this.port.onmessage = () => this.port.postMessage(this.last);
  }
  process([[input]], [[output]]) {
    if (!input) return true;
    output.set(input);
    for (let i = 0; i < input.length; i += 1) if (input[i] !== 0) this.last = currentFrame + i + 1;
    return true;
  }
});
"""

OPEN = """async ([url, prebufferMs]) => {
  const { connect } = await import("/player/relay-player.js");
  const context = new AudioContext({ latencyHint: "interactive" });
  await context.audioWorklet.addModule("/tap.js");
  const tap = new AudioWorkletNode(context, "tap", { outputChannelCount: [1] });
  tap.connect(context.destination);
  window.tap = tap;
  window.player = await connect(url, { context, destination: tap, prebufferMs });
  await player.unlock();
  return player.stats;
}"""

SPEAK = """async (pacing) => {
  const turn = player.speak("Hello.", { pacing });
  await turn.done;
  return turn.timings;
}"""

# The context's clock tells how much more was rendered after the call that was not silence.
CANCEL = """async () => {
  const turn = player.speak("Hello.");
  await new Promise((resolve) => {
    player.addEventListener("level", function heard() {
      if (turn.heardSamples < 2400) return;
      player.removeEventListener("level", heard);
      resolve();
    });
  });
  const at = player.context.currentTime * player.sampleRate;
  await turn.cancel();
  const last = await new Promise((resolve) => {
    tap.port.onmessage = ({ data }) => resolve(data);
    setTimeout(() => tap.port.postMessage("last"), 100);
  });
  return Math.max(0, last - at) * 1000 / player.sampleRate;
}"""


def row(name: str, values: list[float]) -> str:
    return f"{name:12} " + " ".join(f"{value:8.1f}" for value in (*percentiles(values, 50, 90, 99), max(values)))


@asynccontextmanager
async def pages() -> AsyncIterator[str]:
    """The address of a server of an empty page, the player, and the tap."""

    async def empty(_request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>bench</title>", content_type="text/html")

    async def tap(_request: web.Request) -> web.Response:
        return web.Response(text=TAP, content_type="text/javascript")

    app = web.Application()
    app.add_routes([web.get("/", empty), web.get("/tap.js", tap), web.static("/player", PLAYER)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def measure(page: Page, url: str, turns: int, prebuffer_ms: int, pacing: dict[str, Any]) -> None:
    stats: dict[str, Any] = await page.evaluate(OPEN, [url, prebuffer_ms])
    await page.evaluate(SPEAK, pacing)
    timings = [await page.evaluate(SPEAK, pacing) for _ in range(turns)]
    silence = [await page.evaluate(CANCEL) for _ in range(turns)]
    latency = f"{stats['sampleRate']} Hz, output latency {stats['outputLatencyMs']:.0f} ms"
    print(f"prebuffer {prebuffer_ms} ms, {pacing['mode']}, {latency}")
    for name, values in (
        ("ttfa", [turn["relay"]["ttfa_ms"] for turn in timings]),
        ("first frame", [turn["firstFrameMs"] for turn in timings]),
        ("player", [turn["playerMs"] for turn in timings]),
        ("heard", [turn["firstHeardMs"] for turn in timings]),
        ("silence", silence),
    ):
        print(row(name, values))


async def run(turns: int, executable: str) -> None:
    print(f"{turns} turns, ms   {'p50':>5} {'p90':>8} {'p99':>8} {'max':>8}")
    async with (
        provider(str(SECONDS), "pcm") as source,
        pages() as origin,
        relay(source.url, cpu=None, RELAY_SERVER_ALLOWED_ORIGINS=origin) as server,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        for prebuffer_ms, pacing in CASES:
            page = await browser.new_page()
            await page.goto(origin)
            await measure(page, f"ws://127.0.0.1:{server.port}/v1/stream", turns, prebuffer_ms, pacing)
            await page.close()
        await browser.close()


def main(turns: str = str(TURNS), executable: str = "") -> None:
    found = executable or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        sys.exit("no Chromium is installed; name one: python -m bench.browser TURNS /path/to/chromium")
    asyncio.run(run(int(turns), found))


if __name__ == "__main__":
    main(*sys.argv[1:])
