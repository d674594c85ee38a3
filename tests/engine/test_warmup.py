"""What a relay has ready before its first turn."""

from relay.providers.espeak.provider import WORKER_MODULE
from tests.providers.fake_requests import until
from tests.server.harness import config, serving


async def test_the_workers_of_the_built_in_voice_wait_for_the_first_turn() -> None:
    async with serving(config(), ahead=True) as server:
        pools = server.engine.drivers.local._pools
        await until(lambda: WORKER_MODULE in pools and len(pools[WORKER_MODULE]._idle) == 2)
