"""What an adapter costs: the first decoded audio through it, beside the first byte that a bare client of the same
transport gets for the same request, in alternate turns of the same run.

Run: `python -m bench.adapters [TURNS]`. The provider is a process of its own on loopback. A row is one way to ask.
"""

import sys
import time
from collections.abc import Mapping
from contextlib import aclosing

import aiohttp
import uvloop

from bench.processes import provider
from bench.relay_ms import row
from relay.bench.stats import difference_of_medians
from relay.core.timings import Timings
from relay.drivers.http.driver import HttpDriver
from relay.engine.audio import decoded
from relay.providers.base.http import HttpRequest
from relay.providers.base.provider import ProviderSettings, SpeechRequest
from relay.providers.catalog import PROVIDERS

TURNS = 500
SECONDS = 0.5
# How much later than a bare client the first audio may be through an adapter.
LATER_BY_MS = 1.0
# Row -> adapter, preset, voice, options; each is answered with headerless PCM.
ROWS: Mapping[str, tuple[str, str | None, str, Mapping[str, object]]] = {
    "openai pcm": ("openai", "openai", "alloy", {}),
    "deepgram http": ("deepgram", None, "aura-2-thalia-en", {}),
    "bland v2": ("bland", None, "29158307-9893-4149-8a75-bc9ce313d64e", {"audio": {"sample_rate": 24000}}),
    "breeze stream": ("breeze", None, "voc_1", {"transport": "stream", "output_format": "pcm"}),
}


def request_of(name: str, url: str) -> HttpRequest:
    adapter, preset, voice, options = ROWS[name]
    settings = ProviderSettings(api_key="bench", base_url=url, voice=voice, preset=preset)
    speaker = PROVIDERS[adapter](settings)
    upstream = speaker.request(speaker.resolve(SpeechRequest(options=options)), "Hello.")
    assert isinstance(upstream, HttpRequest)
    return upstream


async def bare(session: aiohttp.ClientSession, request: HttpRequest) -> float:
    """Request to first bytes of the body, in ms."""
    start_s = time.perf_counter()
    headers = {**request.headers, **request.secret_headers}
    async with session.request(request.method, request.url, headers=headers, data=request.body) as response:
        await response.content.readany()
        first_ms = (time.perf_counter() - start_s) * 1000
        await response.read()
    return first_ms


async def through(http: HttpDriver, request: HttpRequest) -> float:
    """Request to the first decoded samples, in ms."""
    start_s, first_ms = time.perf_counter(), 0.0
    async with http.open(request, Timings()) as reply, aclosing(decoded(reply, request.provider)) as pieces:
        async for _ in pieces:
            first_ms = first_ms or (time.perf_counter() - start_s) * 1000
    return first_ms


async def measure(name: str, turns: int) -> tuple[list[float], list[float]]:
    directly: list[float] = []
    by_adapter: list[float] = []
    http = HttpDriver()
    async with provider(str(SECONDS), "pcm") as source, aiohttp.ClientSession() as session:
        await http.start()
        request = request_of(name, source.url)
        for turn in range(turns + 20):
            pair = (await bare(session, request), await through(http, request))
            if turn >= 20:  # after connections are open and code is warm
                directly.append(pair[0])
                by_adapter.append(pair[1])
        await http.close()
    return directly, by_adapter


def main(turns: int = TURNS) -> None:
    print(f"{turns} requests, one at a time, ms     {'p50':>4} {'p90':>8} {'p99':>8} {'max':>8}")
    for name in ROWS:
        directly, by_adapter = uvloop.run(measure(name, turns))
        print(row(f"{name} bare", directly))
        print(row(f"{name} adapter", by_adapter))
        apart = difference_of_medians(directly, by_adapter)
        assert apart is not None, "there were requests"
        within = f"95 %: {apart.interval.low:.3f} to {apart.interval.high:.3f}; to reach {LATER_BY_MS:.2f}"
        print(f"{name + ' later by':22} {apart.of_medians:8.3f} {within}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
