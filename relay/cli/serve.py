"""`relay serve`."""

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import click

from relay.cli.outcome import run
from relay.cli.settings import config_option, load_config, read_config

if TYPE_CHECKING:
    from relay.config import Config

TRY_NEXT = """
Listening on {url}

Hear it in the browser: open {url}/

Or in another terminal:
  relay say "The relay speaks. It streams as it goes." --url {ws}/v1/stream{key} --out hello.wav

Over HTTP:
  curl{header} {url}/v1/speech -d '{{"text":"Hello there.","container":"wav"}}' -o hello.wav

Voices: {url}/v1/voices   Providers: {url}/v1/providers   Metrics: {url}/metrics
Ctrl-C lets what is being spoken finish, then stops.
"""


@click.command()
@click.option("--host", help="Address to listen on. Other than loopback needs server.keys.  [127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.  [8765]")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[info]")
@click.option("--workers", type=click.IntRange(1, 256), default=1, help="Processes that share the port.  [1]")
@click.option("--listen-fd", type=int, hidden=True, help="A worker's listening socket.")
@click.option("--ready-fd", type=int, hidden=True, help="Where a worker says that it is ready.")
@config_option
def serve(
    host: str | None,
    port: int | None,
    log_level: str | None,
    workers: int,
    listen_fd: int | None,
    ready_fd: int | None,
    config_path: str | None,
) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what is being spoken and exit.

    WebSocket at /v1/stream, one turn over HTTP at /v1/speech, /v1/tokens, /v1/voices, /v1/providers,
    /healthz, /readyz, /metrics.
    """
    import socket

    # Products of matrices are kept small enough for one thread; OpenBLAS would start one more for each core.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from relay import log

    overrides = {"RELAY_SERVER_HOST": host, "RELAY_SERVER_PORT": port, "RELAY_LOG_LEVEL": log_level}
    config = load_config(config_path, **overrides)
    log.configure(config.log.level, config.log.format)

    def on_ready(port: int) -> None:
        if ready_fd is not None:
            os.write(ready_fd, b"ready")
            os.close(ready_fd)
            return
        click.echo(_try_next(config, port), err=True)

    if workers > 1:
        sys.exit(run(_several(config, workers, on_ready, config_path, overrides), plain_loop=True))
    from relay.drivers.trust import import_aiohttp

    import_aiohttp()
    from relay.server import app

    listen_socket = socket.socket(fileno=listen_fd) if listen_fd is not None else None
    lifeline_fd = None if ready_fd is None else sys.stdin.fileno()
    sys.exit(run(app.serve(config, on_ready=on_ready, listen_socket=listen_socket, lifeline_fd=lifeline_fd)))


async def _several(
    config: "Config",
    workers: int,
    on_ready: Callable[[int], None],
    config_path: str | None,
    overrides: Mapping[str, object],
) -> int:
    from relay.server.process.supervisor import Supervisor
    from relay.server.process.worker import command

    host, log_level = overrides["RELAY_SERVER_HOST"], overrides["RELAY_LOG_LEVEL"]
    supervisor = Supervisor(
        config,
        command({"--host": host, "--log-level": log_level}),
        workers,
        named=config_path,
        load=lambda: read_config(config_path, **overrides),
    )
    return await supervisor.run(on_ready=on_ready)


def _try_next(config: "Config", port: int) -> str:
    """What to do with a relay that has just started; with keys, how to show one."""
    # Bound to every address, it is found at this machine's own.
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.server.host, config.server.host)
    address = f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
    locked = bool(config.server.keys)
    return TRY_NEXT.format(
        url=f"http://{address}",
        ws=f"ws://{address}",
        key=" --key YOUR_KEY" if locked else "",
        header=" -H 'Authorization: Bearer YOUR_KEY'" if locked else "",
    )
