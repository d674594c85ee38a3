"""Runs a ramp: provider, relay and listeners in processes of their own, level after level until the knee is known."""

import asyncio
import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from relay.bench.load_plan import Level, histogram_quantile, merged, next_level
from relay.bench.load_wire import Orders, Outcome
from relay.bench.processes import Running, listening
from relay.bench.stats import quantile
from relay.bench.texts import BUILT_IN

__all__ = ["Load", "ramp"]

# Listener processes: as many as there are cores beside the relay's, and no more than this.
MAX_CLIENTS = 4
# From the orders to `ready`, and from the word to go to the outcome, beyond what the turns take.
OPEN_TIMEOUT_S = 60.0
OUTCOME_TIMEOUT_S = 30.0
# A line of a process: the outcome of a thousand turns has some 20 KB.
LINE_BYTES = 4 * 1024 * 1024
OPEN_FILES = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is put on the relay. `url` None: a relay of one process is started for it, with a fake provider."""

    url: str | None = None
    key: str | None = None
    provider: str | None = None
    seconds: float = 8.0
    spread_s: float = 2.0
    frame_ms: int = 20
    lead_ms: int = 200
    max_turns: int = 1000

    @property
    def clients(self) -> int:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, min(MAX_CLIENTS, cores - 1))


async def ramp(load: Load, *, on_level: Callable[[Level], None], on_next: Callable[[int], None]) -> None:
    """Hands over each level when it is over. Being cancelled loses the one that is being measured, and ends every
    process. Raises OSError or RuntimeError where a process cannot be started."""
    _allow_many_files()
    levels: list[Level] = []
    async with AsyncExitStack() as stack:
        url, relay = load.url, None
        if url is None:
            relay = await stack.enter_async_context(_own_relay(load))
            url = f"ws://127.0.0.1:{relay.port}/v1/stream"
        while (turns := next_level(levels, load.max_turns)) is not None:
            on_next(turns)
            level = await _level(load, url, relay, turns)
            levels.append(level)
            on_level(level)


@asynccontextmanager
async def _own_relay(load: Load) -> AsyncIterator[Running]:
    source = ("-m", "relay.bench.load_source", str(load.seconds))
    async with listening(*source, environment=dict(os.environ)) as provider:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "BREEZE_"))}
        environment = {
            **kept,
            "BREEZE_API_KEY": "any",
            "BREEZE_BASE_URL": provider.url,
            "BREEZE_VOICE": "any",
            "BREEZE_MAX_CONCURRENT": str(2 * load.max_turns),
            # What its users have set must not decide: no file, and places for all.
            "RELAY_CONFIG": os.devnull,
            "RELAY_DEFAULTS_PROVIDER": "breeze",
            "RELAY_LIMITS_MAX_SESSIONS": str(2 * load.max_turns),
            "RELAY_LIMITS_MAX_SESSIONS_PER_CLIENT": str(2 * load.max_turns),
            "OPENBLAS_NUM_THREADS": "1",
        }
        async with listening("-m", "relay", "serve", "--port", "0", environment=environment) as relay:
            yield relay


async def _level(load: Load, url: str, relay: Running | None, turns: int) -> Level:
    clients = min(load.clients, turns)
    async with AsyncExitStack() as stack:
        ready = [
            await stack.enter_async_context(_client(_orders(load, url, turns, n, clients))) for n in range(clients)
        ]
        cpu_s, start_s = _cpu_s(relay), time.monotonic()
        for process in ready:
            _say(process, b"go\n")
        async with asyncio.timeout(load.spread_s + load.seconds + OUTCOME_TIMEOUT_S):
            lines = await asyncio.gather(*(_line(process) for process in ready))
        used_s, end_s = _cpu_s(relay), time.monotonic()
    outcomes = [msgspec.json.decode(line, type=Outcome) for line in lines]
    cpu = None if cpu_s is None or used_s is None else round((used_s - cpu_s) / (end_s - start_s), 3)
    return _summed(turns, outcomes, cpu)


def _summed(turns: int, outcomes: list[Outcome], relay_cpu: float | None) -> Level:
    ttfa_ms = [value for outcome in outcomes for value in outcome.ttfa_ms]
    late = merged([outcome.late for outcome in outcomes])
    codes: Counter[str] = Counter()
    for outcome in outcomes:
        codes.update(outcome.codes)
    return Level(
        turns=turns,
        failed=codes.total(),
        codes=dict(codes.most_common()),
        ttfa_p50_ms=quantile(ttfa_ms, 0.5) if ttfa_ms else None,
        ttfa_p99_ms=quantile(ttfa_ms, 0.99) if ttfa_ms else None,
        late_p50_ms=histogram_quantile(late, 0.5),
        late_p99_ms=histogram_quantile(late, 0.99),
        underruns=sum(outcome.underruns for outcome in outcomes),
        frames=sum(outcome.frames for outcome in outcomes),
        relay_cpu=relay_cpu,
        client_cpu=max(outcome.cpu for outcome in outcomes),
    )


def _orders(load: Load, url: str, turns: int, number: int, clients: int) -> Orders:
    parts = urlsplit(url)
    tls = parts.scheme == "wss"
    return Orders(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or (443 if tls else 80),
        path=parts.path or "/v1/stream",
        tls=tls,
        key=load.key,
        provider=load.provider,
        # The fake provider speaks for `seconds` at each request, so one request a turn; a real one as long as it takes.
        text=BUILT_IN["one-sentence" if load.url is None else "paragraph"].said(turns),
        turns=turns,
        first=number,
        step=clients,
        spread_s=load.spread_s,
        seconds=load.seconds,
        frame_ms=load.frame_ms,
        lead_ms=load.lead_ms,
    )


@asynccontextmanager
async def _client(orders: Orders) -> AsyncIterator[asyncio.subprocess.Process]:
    """A listener process whose sessions are open."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "relay.bench.load_client"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
        start_new_session=True,
    )
    try:
        _say(process, msgspec.json.encode(orders) + b"\n")
        async with asyncio.timeout(OPEN_TIMEOUT_S):
            await _line(process)
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.communicate()


def _say(process: asyncio.subprocess.Process, line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)


async def _line(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    if not (line := await process.stdout.readline()):
        raise RuntimeError("a process of listeners has ended early")
    return line


def _cpu_s(relay: Running | None) -> float | None:
    """None for a relay that is not ours, and where there is no /proc."""
    try:
        return relay.cpu_s() if relay else None
    except OSError:
        return None


def _allow_many_files() -> None:
    """A turn is a file here, and two in the relay, which inherits the limit."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
