"""`relay check`."""

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from relay.cli.outcome import fail, run
from relay.cli.settings import config_option, load_config

if TYPE_CHECKING:
    from relay.config import Config
    from relay.engine.check import Reached


@click.command()
@click.option("--provider", "only", metavar="NAME", help="Reach this provider only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@config_option
def check(config_path: str | None, only: str | None, as_json: bool) -> None:
    """Validate the configuration and reach each provider. Speaks nothing, costs nothing.

    Prints a line for each provider: whether it can be reached, takes the key, and knows the voices that are configured.
    Exit status 1 if the configuration or a provider that is configured is wrong.
    """
    report = run(_report(load_config(config_path), only))
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        _print(report)
    if not report["ok"]:
        sys.exit(1)


async def _report(config: "Config", only: str | None) -> dict[str, Any]:
    """What is printed: `ok`, `configuration`, and `providers` in the order of `relay providers`."""
    from relay.config import ConfigError
    from relay.drivers.dispatch import Drivers
    from relay.engine.check import reach
    from relay.engine.setup import adapter_of, build_providers, dialogue_patience, is_mistake, patience, unusable
    from relay.server.app import Server

    usable, missing = build_providers(config)
    if only is not None and only not in usable and only not in missing:
        fail(unusable(only, usable, missing))
    problem = None
    try:
        # A relay is made, and thrown away.
        Server(config)
    except ConfigError as error:
        problem = str(error)
    chosen = [name for name in usable if only in (None, name)]
    async with Drivers(patience(config), dialogue_patience(config)) as drivers:
        reached = await asyncio.gather(
            *(reach(drivers, usable[name], config.voices, has_default=_has_default(config, name)) for name in chosen)
        )
    providers = [_reached(adapter_of(config, each.name), each) for each in reached]
    for name, reason in missing.items():
        if only in (None, name):
            wrong = only is not None or is_mistake(config, name, reason)
            providers.append(
                {"name": name, "adapter": adapter_of(config, name), "status": "wrong" if wrong else "not configured"}
                | {"message": reason}
            )
    wrong_ones = [each for each in providers if each["status"] == "wrong"]
    return {
        "ok": problem is None and not wrong_ones,
        "configuration": {"ok": problem is None, **({"message": problem} if problem else {})},
        "providers": providers,
    }


def _reached(adapter: str, found: "Reached") -> dict[str, Any]:
    return {
        "name": found.name,
        "adapter": adapter,
        "status": "ok" if found.ok else "wrong",
        "message": "; ".join((*found.wrong, *(found.known if not found.wrong else ()))),
        **({"code": found.code} if found.code else {}),
        **({"voices": found.voices} if found.voices is not None else {}),
        "took_ms": round(found.took_ms, 1),
    }


def _has_default(config: "Config", name: str) -> bool:
    own = config.providers.get(name)
    return own is not None and own.voice is not None


def _print(report: dict[str, Any]) -> None:
    configuration = report["configuration"]
    rows = [("configuration", "ok" if configuration["ok"] else "wrong", configuration.get("message", ""))]
    rows += [(each["name"], each["status"], _line(each)) for each in report["providers"]]
    for name, status, message in rows:
        shown = click.style(status, fg={"ok": "green", "wrong": "red"}.get(status))
        click.echo(f"{name}: {shown}, {message}" if message else f"{name}: {shown}")


def _line(provider: dict[str, Any]) -> str:
    parts = [f"{provider['code']}: " if "code" in provider else "", provider["message"]]
    if provider["adapter"] != provider["name"]:
        parts.append(f" (adapter {provider['adapter']})")
    return "".join(parts)
