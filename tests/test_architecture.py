"""A file's folder says what it may import; this keeps it true. Reads the source and imports none of it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"relay": ROOT / "relay", "relay_client": ROOT / "clients" / "python" / "relay_client"}


@dataclass(frozen=True)
class Rule:
    """What files of a folder (or one file) may import of ours, by prefix, and which outside modules never."""

    ours: tuple[str, ...]
    never: tuple[str, ...] = ()


IO = ("asyncio", "aiohttp", "socket", "ssl", "subprocess", "threading", "websockets", "urllib.request", "http")
CLOCKS = ("time", "random", "secrets")
PURE = (*IO, *CLOCKS, "os", "tempfile")

# The longest prefix that fits a module counts. A module may always import from its own package: see `family`.
RULES: dict[str, Rule] = {
    "relay/__init__": Rule((), PURE),
    "relay/errors": Rule((), PURE),
    "relay/config": Rule(("relay.core.formats",), IO),
    "relay/config_checks": Rule((), PURE),
    "relay/config_access": Rule(("relay.config_checks",), PURE),
    "relay/log": Rule((), tuple(name for name in IO if name != "threading")),
    "relay/metrics": Rule(("relay.core", "relay.log", "relay.metrics_labels", "relay.metrics_times"), IO),
    "relay/metrics_labels": Rule(("relay.core",), PURE),
    "relay/metrics_times": Rule(("relay.core", "relay.metrics_labels"), PURE),
    "relay/tracing": Rule(("relay.core", "relay.config"), ("asyncio", "aiohttp", "socket")),
    "relay/core": Rule(("relay.core", "relay.errors"), (*PURE, "numpy", "msgspec")),
    "relay/codecs": Rule(("relay.core", "relay.errors", "relay.codecs"), PURE),
    "relay/protocols": Rule(
        ("relay.core", "relay.errors", *(f"relay.protocols.{name}" for name in ("base", "answer", "body", "door"))),
        (*PURE, "numpy"),
    ),
    # Its second API has OpenAI's as a part.
    "relay/protocols/bland": Rule(
        ("relay.core", "relay.errors", *(f"relay.protocols.{name}" for name in ("base", "body", "door", "openai"))),
        (*PURE, "numpy"),
    ),
    # Which protocols there are.
    "relay/protocols/table": Rule(("relay.protocols",), PURE),
    "relay/providers": Rule(("relay.core", "relay.errors", "relay.providers.base"), (*IO, *CLOCKS, "ctypes")),
    # Which providers there are.
    "relay/providers/catalog": Rule(("relay.providers",), PURE),
    "relay/providers/table": Rule(("relay.providers.base", "relay.providers.catalog"), PURE),
    # Runs in a process of its own.
    "relay/providers/espeak/worker": Rule(
        ("relay.drivers.local.wire", "relay.drivers.local.worker", "relay.providers.espeak"), ("aiohttp",)
    ),
    "relay/providers/hibari/worker": Rule(("relay.drivers.local.worker", "relay.providers.hibari"), ("aiohttp",)),
    "relay/providers/hibari/voice": Rule(("relay.providers.hibari",), ("aiohttp",)),
    "relay/drivers": Rule(
        ("relay.core", "relay.errors", "relay.providers.base", "relay.drivers", "relay.__version__"), ("numpy",)
    ),
    "relay/store": Rule(
        ("relay.core", "relay.errors", "relay.store.base", "relay.store.job_rules", "relay.store.sqlite_file"),
        ("aiohttp", "numpy", *CLOCKS),
    ),
    # Waits for a lock, in its thread.
    "relay/store/sqlite_file": Rule(("relay.store.base",), ("aiohttp", "numpy")),
    # Which stores there are.
    "relay/store/__init__": Rule(("relay.errors", "relay.store"), PURE),
    "relay/engine": Rule(
        (
            *("relay.core", "relay.codecs", "relay.providers.base", "relay.drivers", "relay.errors", "relay.engine"),
            *("relay.config", "relay.metrics", "relay.tracing"),
        ),
        ("aiohttp", "websockets", "socket", "ssl", "subprocess"),
    ),
    # Configuration -> what an engine is made of; it alone knows the tables.
    "relay/engine/setup": Rule(
        (
            "relay.core",
            "relay.errors",
            "relay.config",
            "relay.providers",
            "relay.store",
            "relay.drivers",
            "relay.engine",
        ),
        IO,
    ),
    # Long text without a listener: the engine's work, kept. No sockets, no wire protocol.
    "relay/jobs": Rule(
        (
            *("relay.core", "relay.codecs", "relay.engine", "relay.errors", "relay.config", "relay.store"),
            *("relay.jobs", "relay.drivers.http.webhook"),
        ),
        ("aiohttp", "socket", "ssl", "subprocess"),
    ),
    # Turns that are kept after they ended. No sockets, no wire protocol.
    "relay/history": Rule(
        ("relay.core", "relay.codecs", "relay.errors", "relay.config", "relay.store", "relay.history"),
        ("aiohttp", "socket", "ssl", "subprocess"),
    ),
    "relay/server": Rule(
        (
            *("relay.core", "relay.codecs", "relay.protocols", "relay.providers.base", "relay.drivers", "relay.engine"),
            *("relay.errors", "relay.config", "relay.metrics", "relay.tracing", "relay.server", "relay.store.base"),
            *("relay.jobs", "relay.history"),
        ),
    ),
    "relay/testing": Rule(
        (
            *("relay.core", "relay.codecs", "relay.protocols", "relay.providers", "relay.drivers", "relay.engine"),
            *("relay.server", "relay.testing", "relay.errors", "relay.config", "relay.metrics", "relay.store"),
        )
    ),
    # What is measured, and what is made of it: pure but for the ways that a turn takes and the processes of a load.
    "relay/bench": Rule(("relay.bench",), (*IO, "time", "secrets", "os", "tempfile")),
    "relay/bench/listeners": Rule(("relay.bench",)),
    "relay/bench/processes": Rule(("relay.bench",), CLOCKS),
    "relay/bench/load_client": Rule(("relay.bench",), ("aiohttp", "random", "secrets")),
    "relay/bench/load_source": Rule(("relay.bench", "relay.testing"), CLOCKS),
    "relay/bench/load_run": Rule(("relay.bench",), ("aiohttp", "random", "secrets")),
    "relay/bench/machine": Rule(("relay.bench", "relay.__version__"), IO),
    "relay/bench/run": Rule(("relay.bench",), CLOCKS),
    "relay/bench/through": Rule(("relay.bench", "relay_client")),
    "relay/bench/direct": Rule(
        (
            *("relay.bench", "relay.core", "relay.codecs", "relay.errors", "relay.providers.base"),
            *("relay.drivers", "relay.engine.audio", "relay.engine.voices"),
        ),
        ("aiohttp", "numpy"),
    ),
    "relay/cli": Rule(("relay", "relay_client")),
    "relay/__main__": Rule(("relay.cli",), PURE),
    "relay_client": Rule(("relay_client",), ("relay", "numpy", "aiohttp")),
}


def sources() -> list[str]:
    """Every module as a path below its package, such as `relay/core/frames`."""
    found = [
        f"{name}/{path.relative_to(folder).with_suffix('')}"
        for name, folder in PACKAGES.items()
        for path in folder.rglob("*.py")
    ]
    assert len(found) > 80
    return sorted(found)


def path_of(module: str) -> Path:
    package, _, rest = module.partition("/")
    return PACKAGES[package] / f"{rest}.py"


def imports(module: str) -> Iterator[str]:
    """The full names of what a module imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path_of(module).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rule_of(module: str) -> Rule:
    return RULES[max((prefix for prefix in RULES if module == prefix or module.startswith(f"{prefix}/")), key=len)]


def family(module: str) -> str:
    """A module's own package where that is one part among several: `relay/providers/breeze/jobs` is a part of `breeze`,
    as `relay/protocols/breeze/realtime` is,
    `relay/codecs/mp3_frames` one of the codec `mp3`, `relay/protocols/native_events` one of `native`."""
    folder, _, name = module.replace("/", ".").rpartition(".")
    return folder if folder.startswith(("relay.providers.", "relay.protocols.")) else f"{folder}.{name.split('_')[0]}"


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith((f"{prefix}.", f"{prefix}_"))


@pytest.mark.parametrize("module", sources())
def test_a_module_imports_only_what_its_folder_may(module: str) -> None:
    rule = rule_of(module)
    for name in imports(module):
        if within(name, "relay") or within(name, "relay_client"):
            allowed = any(within(name, prefix) for prefix in (*rule.ours, family(module)))
            assert allowed, f"{module} imports {name}; it may import {', '.join(rule.ours) or 'nothing of ours'}"
        for banned in rule.never:
            assert not (name == banned or name.startswith(f"{banned}.")), f"{module} may not import {banned}"


def test_no_provider_is_named_where_all_are_served() -> None:
    """Only the catalog knows which there are: `if provider ==` in the server would be the end of that."""
    names = ("hibari", "espeak", "breeze", "bland", "sauti", "playai", "openai", "deepgram", "elevenlabs", "cartesia")
    for module in sources():
        if not module.startswith(("relay/server", "relay/engine", "relay/core", "relay/codecs", "relay/drivers")):
            continue
        for node in ast.walk(ast.parse(path_of(module).read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in names:
                raise AssertionError(f"{module}:{node.lineno} names the provider {node.value}")


def test_no_protocol_is_named_where_all_are_served() -> None:
    """Only the table knows which there are."""
    for module in sources():
        if module.startswith(("relay/server", "relay/engine", "relay/core")):
            for name in imports(module):
                assert (
                    not name.startswith("relay.protocols")
                    or within(name, "relay.protocols.base")
                    or within(name, "relay.protocols.table")
                ), f"{module} imports {name}"


def test_the_server_knows_the_tables_and_no_member_of_them() -> None:
    for module in sources():
        if module.startswith(("relay/server", "relay/engine")) and module != "relay/engine/setup":
            for name in imports(module):
                assert not within(name, "relay.providers.catalog"), module
