"""The one-time costs of decoding and resampling, paid after the port is open and away from the loop."""

import asyncio
import logging
from collections.abc import Iterable

from relay.codecs import is_loaded, load_compressed, must_load
from relay.codecs.containers import PLAIN
from relay.codecs.resample import warm_up as warm_filters
from relay.core.formats import Container, SourceFormat
from relay.drivers.trust import load_trust
from relay.errors import RelayError
from relay.providers.base.provider import LocalRequest, Provider, SpeechRequest

log = logging.getLogger(__name__)

# The built-in voice, and what most providers send; to what a browser, a bot and a phone line ask for. The default
# format comes first: until its filter is there, a turn makes it for itself, in at most 10 ms.
USUAL_RATES_HZ = [(source, target) for target in (24000, 8000, 16000, 48000) for source in (22050, 24000)]


async def warm_codecs(providers: Iterable[Provider]) -> None:
    """Makes the usual filters. Unless every provider speaks on this machine, reads the certificates that its service is
    to be trusted by, and loads PyAV: 18 MiB that are saved else.

    All in a thread, which takes turns with the loop. Cancelled, the thread still finishes what it does.
    """
    await asyncio.to_thread(warm_filters, USUAL_RATES_HZ)
    if not all(map(_sends_plain_samples, providers)):
        await load_trust()
        try:
            await asyncio.to_thread(load_compressed)
        except ImportError as error:
            log.error("compressed audio cannot be decoded: %s", error)


async def decoder_loaded(source: SourceFormat, content_type: str | None) -> None:
    """Returns when a reply of this format can be decoded without loading anything; mostly at once.

    To be awaited before `open_decoder`: the import would hold the loop for 40 to 100 ms, and a process that has just
    started may not be done with it. Safe to cancel. Raises ImportError where PyAV is broken.
    """
    if must_load(source, content_type):
        await asyncio.to_thread(load_compressed)


async def container_loaded(name: str) -> None:
    """The same for a container that audio leaves in, by its name in `codecs.containers`."""
    if name not in PLAIN and not is_loaded():
        await asyncio.to_thread(load_compressed)


def _sends_plain_samples(provider: Provider) -> bool:
    """Whether the provider works on this machine and sends headerless samples; services may send anything."""
    try:
        upstream = provider.request(provider.resolve(SpeechRequest()), "a")
    except RelayError:
        return False
    return isinstance(upstream, LocalRequest) and upstream.source.container is Container.RAW
