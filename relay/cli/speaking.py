"""A relay to speak through."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_urlsafe

from relay.cli.settings import load_config

__all__ = ["relay_at", "relay_process"]


@asynccontextmanager
async def relay_at(url: str | None, key: str | None, config_path: str | None) -> AsyncIterator[tuple[str, str | None]]:
    """The relay to speak through: the one at `url`, or one in this process that only this process can use."""
    if url is not None:
        yield url, key
        return
    import msgspec

    from relay import log
    from relay.server.app import Server

    config = load_config(config_path)
    log.configure("warning", "text")
    own_key = token_urlsafe(32)
    private = msgspec.structs.replace(config.server, host="127.0.0.1", port=0, keys=[own_key])
    server = Server(msgspec.structs.replace(config, server=private))
    async with server.serving():
        yield f"ws://127.0.0.1:{server.port}/v1/stream", own_key


@asynccontextmanager
async def relay_process(config_path: str | None) -> AsyncIterator[tuple[str, str]]:
    """A relay in a process of its own that only this one can use: what it does takes no time from who measures it."""
    from relay.bench.processes import listening

    own_key = token_urlsafe(32)
    environment = {
        **os.environ,
        "RELAY_SERVER_HOST": "127.0.0.1",
        "RELAY_SERVER_KEYS": own_key,
        # Turns that fail are counted and told by who measures.
        "RELAY_LOG_LEVEL": "error",
        "RELAY_LOG_FORMAT": "text",
    }
    chosen = ("--config", config_path) if config_path else ()
    async with listening("-m", "relay", "serve", "--port", "0", *chosen, environment=environment) as relay:
        yield f"ws://127.0.0.1:{relay.port}/v1/stream", own_key
