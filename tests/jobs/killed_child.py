"""A process that runs what is in a folder of jobs, once for each line on its standard input, in a child that the test
kills. It forks, so that a child is there at once: `python -m` would import for longer than a job takes."""

import asyncio
import os
import sys
import time

from relay.config import Config, DefaultsConfig, HttpConfig, JobsConfig, ProviderConfig
from relay.engine.engine import Engine
from relay.jobs.place import jobs_of
from relay.protocols.table import webhook_body

# Each child comes after the leases of the one before it have run out.
LATER_S = 1000.0
# Progress is kept each 20 ms, so that there is something to go on from.
LEASE_S = 0.6


async def run(folder: str, provider_url: str, number: int) -> None:
    breeze = ProviderConfig(api_key="k", base_url=provider_url, voice="voc_1", max_concurrent=100)
    config = Config(
        defaults=DefaultsConfig(provider="breeze"),
        http=HttpConfig(retries=0),
        providers={"breeze": breeze},
        jobs=JobsConfig(folder=folder, max_running=20, lease_s=LEASE_S),
    )
    engine = Engine(config)
    engine.drivers.local.warm = lambda *modules, processes=1: None  # type: ignore[method-assign]
    async with engine.running():
        jobs = jobs_of(config.jobs, engine, webhook_body, wall_clock_s=lambda: time.time() + number * LATER_S)
        await jobs.start()
        say("running")
        await asyncio.Event().wait()


def say(line: str) -> None:
    os.write(sys.stdout.fileno(), f"{line}\n".encode())


def main(folder: str, provider_url: str) -> None:
    for number, _ in enumerate(sys.stdin, 1):
        pid = os.fork()
        if not pid:
            asyncio.run(run(folder, provider_url, number))
        say(str(pid))
        os.waitpid(pid, 0)
        say("ended")


main(*sys.argv[1:])
