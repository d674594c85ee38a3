"""What would otherwise make the first turn wait: workers of local providers, and connections to the others."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from relay.drivers.dispatch import Drivers
from relay.drivers.http.driver import HttpDriver
from relay.drivers.http.settings import HttpSettings
from relay.drivers.ws.driver import WsDriver
from relay.engine.concurrency import ConcurrencyLimiter
from relay.errors import ProviderError
from relay.providers.base.dialogue import DialogueRequest
from relay.providers.base.provider import KnowsItsLimits, Origin, Provider, SpeechRequest, Worker

log = logging.getLogger(__name__)

# A connection is opened anew well before the pool would let it go.
RENEW_AFTER = 0.8
# However short the pool is told to keep one.
RENEW_AT_MOST_EVERY_S = 1.0
# A provider that refuses sockets is not asked for one more often: a wrong key must not look like an attack.
TRY_AGAIN_AFTER_S = 60.0


async def learn_limits(drivers: Drivers, providers: list[Provider], limiters: Mapping[str, ConcurrencyLimiter]) -> None:
    """Asks providers how many requests the operator's plan lets run at a time, where nothing else has said so."""
    for provider in providers:
        limiter = limiters[provider.name]
        if limiter.limit is not None or not isinstance(provider, KnowsItsLimits):
            continue
        query = provider.limits()
        if query is None:
            continue
        try:
            limiter.limit = query.parse(await drivers.http.fetch(query.request))
        except ProviderError as error:
            # Not known is not zero: the provider's own 429 still counts.
            log.info("no limits known: %s", error.message, extra={"provider": provider.name, "code": error.code})


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmup:
    """What one provider is to have open ahead of a turn that asks for `wanted`. `sockets`: how many conversations, None
    where the operator did not say."""

    provider: Provider
    wanted: SpeechRequest
    sockets: int | None = None


async def keep_warm(drivers: Drivers, wanted: Sequence[Warmup], http: HttpSettings) -> None:
    """Starts the workers of local providers, and keeps a connection, and sockets where they are wanted, open to the
    others. Runs until cancelled."""
    # The instances at each address: one connection serves all of them.
    origins: dict[str, list[str]] = {}
    async with asyncio.TaskGroup() as tasks:
        for each in wanted:
            for ahead in each.provider.warm(each.wanted):
                match ahead:
                    case Worker():
                        drivers.local.warm(ahead.module, processes=ahead.processes)
                    case Origin():
                        origins.setdefault(_origin(ahead.url), []).append(each.provider.name)
                    case DialogueRequest():
                        sockets = int(ahead.idle_is_free) if each.sockets is None else each.sockets
                        if sockets:
                            tasks.create_task(_keep_sockets(drivers.ws, ahead, sockets))
        if origins:
            tasks.create_task(_keep_connections(drivers.http, origins, http))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


async def _keep_connections(driver: HttpDriver, origins: Mapping[str, Sequence[str]], http: HttpSettings) -> None:
    unreachable: set[str] = set()
    while True:
        failures = await asyncio.gather(*(driver.warm({names[0]: url}) for url, names in origins.items()))
        failed = {url: error for url, failure in zip(origins, failures, strict=True) for error in failure.values()}
        for url in failed.keys() - unreachable:
            for name in origins[url]:
                log.warning("provider %s cannot be reached: %s", name, failed[url], extra={"provider": name})
        unreachable = set(failed)
        await asyncio.sleep(max(http.keepalive_s * RENEW_AFTER, RENEW_AT_MOST_EVERY_S))


async def _keep_sockets(driver: WsDriver, request: DialogueRequest, sockets: int) -> None:
    # Looked at three times in a socket's life, and replaced in the second half of it: at each look there is still
    # time for another one.
    life_s = driver.idle_life_s(request)
    failing = False
    while True:
        try:
            await driver.warm(request, sockets, for_s=life_s / 2)
            failing = False
        except ProviderError as error:
            if not failing:
                log.warning(
                    "no socket could be opened ahead: %s",
                    error.message,
                    extra={"provider": request.provider, "code": error.code},
                )
            failing = True
        await asyncio.sleep(TRY_AGAIN_AFTER_S if failing else life_s / 3)
