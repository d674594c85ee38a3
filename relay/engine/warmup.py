"""What would otherwise make the first turn wait: workers of local providers, and connections to the others."""

import asyncio
import logging
from collections.abc import Mapping

from relay.drivers.dispatch import Drivers
from relay.drivers.http.settings import HttpSettings
from relay.engine.concurrency import ConcurrencyLimiter
from relay.errors import ProviderError
from relay.providers.base.http import HttpRequest
from relay.providers.base.provider import KnowsItsLimits, LocalRequest, Provider, VoiceQuery

log = logging.getLogger(__name__)

# A connection is opened anew well before the pool would let it go.
RENEW_AFTER = 0.8


async def learn_limits(drivers: Drivers, providers: list[Provider], budgets: Mapping[str, ConcurrencyLimiter]) -> None:
    """Asks providers how many requests the operator's plan lets run at a time, where nothing else has said so."""
    for provider in providers:
        budget = budgets[provider.name]
        if budget.limit is not None or not isinstance(provider, KnowsItsLimits):
            continue
        query = provider.limits()
        if query is None:
            continue
        try:
            budget.limit = query.parse(await drivers.http.fetch(query.request))
        except ProviderError as error:
            # Not known is not zero: the provider's own 429 still counts.
            log.info("no limits known: %s", error.message, extra={"provider": provider.name, "code": error.code})


async def keep_warm(drivers: Drivers, providers: list[Provider], http: HttpSettings) -> None:
    """Starts the workers of local providers, and keeps a connection open to the others. Runs until cancelled."""
    urls: dict[str, str] = {}
    for provider in providers:
        query = provider.voices()
        if not isinstance(query, VoiceQuery):
            continue
        if isinstance(query.request, LocalRequest):
            drivers.local.warm(query.request.module)
        elif isinstance(query.request, HttpRequest):
            urls[provider.name] = query.request.url
    unreachable: dict[str, ProviderError] = {}
    while urls:
        failed = await drivers.http.warm(urls)
        for name in failed.keys() - unreachable.keys():
            log.warning("provider cannot be reached: %s", failed[name], extra={"provider": name})
        unreachable = failed
        await asyncio.sleep(http.keepalive_s * RENEW_AFTER)
