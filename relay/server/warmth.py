"""What would otherwise make the first turn wait: filters, decoders, workers, connections to providers."""

import asyncio
import logging

from relay.codecs import warm_up as warm_decoder
from relay.codecs.resample import warm_up as warm_filters
from relay.errors import ProviderError
from relay.providers.base import HttpRequest, LocalRequest, Provider, VoiceQuery
from relay.providers.drivers.dispatch import Drivers
from relay.providers.drivers.http_settings import HttpSettings

log = logging.getLogger(__name__)

# The built-in voice, and what most providers send; to what a browser, a bot and a phone line ask for.
USUAL_RATES_HZ = [(source, target) for source in (22050, 24000) for target in (8000, 16000, 24000, 48000)]
# A connection is opened anew well before the pool would let it go.
RENEW_AFTER = 0.8


def warm_codecs() -> None:
    """Pays the one-time costs of decoding and resampling: about 50 ms."""
    warm_decoder()
    warm_filters(USUAL_RATES_HZ)


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
