"""The pages say what the code does: every setting, code and option is in them, and their programs run."""

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

from relay import config
from relay.cli import main
from relay.config import Config, ServerConfig, load
from relay.core import events
from relay.errors import Code
from relay.metrics import Metrics
from relay.protocols import native
from relay.providers.base.provider import ProviderSettings
from relay.providers.catalog import PROVIDERS
from relay.providers.table import table
from relay.server.app import Server
from tests.server.harness import client, serving

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
PAGES = [*ROOT.glob("*.md"), *sorted(DOCS.rglob("*.md"))]

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# A file of ours as the pages name it, from the checkout, from `relay/` or from `tests/`.
SOURCE = re.compile(r"`((?:[a-z_]+/)+[a-z_0-9]+\.py)`")
ADDRESS = "127.0.0.1:8765"


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def rows(page: Path) -> Iterator[list[str]]:
    """The cells of every row of every table."""
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def row_of(page: Path, name: str) -> list[str]:
    found = [cells for cells in rows(page) if cells[0] == f"`{name}`"]
    assert found, f"{page.name} has no row that begins with `{name}`"
    return found[0]


def named(page: Path) -> str:
    return page.read_text("utf-8")


def ids(value: object) -> str:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else str(value)


# Nothing is missing.


def test_every_setting_has_its_row_with_its_variable_and_its_default() -> None:
    page = REFERENCE / "configuration.md"
    sections = {
        "server",
        "limits",
        "defaults",
        "engine",
        "http",
        "websocket",
        "tokens",
        "jobs",
        "history",
        "log",
        "tracing",
    }
    for section in sections:
        kind = type(getattr(Config(), section))
        assert f"[{section}]" in named(page)
        for key in kind.__struct_fields__:
            if key in ("audio", "pacing"):
                continue
            variable = f"`RELAY_{section}_{key}`".upper()
            # Two sections may have a key of one name; a variable is one setting's.
            [cells] = [cells for cells in rows(page) if cells[1] == variable]
            assert cells[0] == f"`{key}`", variable
            assert cells[2] == f"`{json.dumps(getattr(kind(), key))}`", key
    for kind in (config.AudioConfig, config.PacingConfig):
        for key in kind.__struct_fields__:
            assert row_of(page, key)[1] == f"`{json.dumps(getattr(kind(), key))}`", key
    for key in config.ProviderConfig.__struct_fields__:
        row_of(page, key)
    for key in config.DoorConfig.__struct_fields__:
        default = f"`{json.dumps(getattr(config.DoorConfig(), key))}`"
        assert any(cells[:2] == [f"`{key}`", default] for cells in rows(page)), key
    for key in config.VoiceConfig.__struct_fields__:
        assert f"`{key}`" in named(page), key
    assert sections | {"providers", "voices", "lexicon", "doors"} == set(Config.__struct_fields__), (
        "a new section needs a part of the page"
    )


def test_every_code_has_its_row_with_its_status_and_whether_to_try_again() -> None:
    page = REFERENCE / "errors.md"
    for code in Code:
        cells = row_of(page, code)
        assert cells[1] == str(code.http_status), code
        # "mostly": the error at hand may say no.
        assert cells[2] in (("yes", "mostly") if code.retryable else ("no",)), code


def test_every_command_and_option_is_there() -> None:
    text = named(REFERENCE / "command-line.md")
    for name, command in commands("", main):
        assert f"## `relay{name}" in text
        options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
        for option in options:
            for spelling in option.opts:
                assert f"`{spelling}" in text, f"{name} {spelling}"


def commands(name: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """All below a group, with what is written to run each."""
    context = click.Context(group)
    for each in group.list_commands(context):
        command = group.get_command(context, each)
        assert command is not None, each
        yield f"{name} {each}", command
        if isinstance(command, click.Group):
            yield from commands(f"{name} {each}", command)


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_provider_and_option_is_there(name: str) -> None:
    page = REFERENCE / f"provider-{name}.md"
    assert named(page).startswith(f"# {name}")
    for option in PROVIDERS[name](ProviderSettings(api_key="key")).capabilities.options:
        row_of(page, option)


def test_the_table_of_providers_is_what_the_code_says() -> None:
    assert table() in (REFERENCE / "providers.md").read_text("utf-8"), "python -m relay.providers.table"


def test_every_message_and_field_is_there() -> None:
    text = named(REFERENCE / "protocol.md")
    for kind in native.ClientMessage.__args__:
        assert f"`{kind.__struct_config__.tag}`" in text
        for field in kind.__struct_fields__:
            assert f"`{field}`" in text, f"{kind.__name__} {field}"
    for fields in (native.AudioFields, native.PacingFields, native.FlowFields):
        for field in fields.__struct_fields__:
            assert re.search(rf"\b{field}\b", text), field


def test_every_bound_of_a_token_is_there() -> None:
    for field in native.TokenBody.__struct_fields__:
        row_of(DOCS / "how-to" / "tokens.md", field)
        assert re.search(rf"\b{field}\?", named(REFERENCE / "protocol.md")), field


def test_every_event_is_there() -> None:
    text = named(REFERENCE / "protocol.md")
    said = (ROOT / "tests" / "golden" / "native" / "server.jsonl").read_text("utf-8").splitlines()
    kinds = {json.loads(line)["type"] for line in said if line.startswith('{"type"')}
    assert len(kinds) >= len(events.Event.__args__) - 1, "the goldens hold one of each event"
    for kind in kinds:
        assert f"`{kind}`" in text, kind


def test_every_metric_is_there() -> None:
    text = named(DOCS / "how-to" / "operate.md")
    rendered = Metrics().render().decode()
    for name in set(re.findall(r"^# HELP (relay_\w+)", rendered, re.MULTILINE)):
        if not name.endswith("_created"):
            assert name in text, name


# What is there is so.


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(named(page)):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        assert (page.parent / path).exists() or not path, f"{page.name} -> {target}"
        assert not anchor, "links go to pages; headings change"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_files_that_are_named_exist(page: Path) -> None:
    for name in SOURCE.findall(named(page)):
        assert any((base / name).exists() for base in (ROOT, ROOT / "relay", ROOT / "tests")), f"{page.name}: {name}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "toml")], ids=ids)
def test_settings_are_valid(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(page, "toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(block, "utf-8")
        load(str(file), environ={}, providers=tuple(PROVIDERS))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "(?:json|text)")], ids=ids)
def test_messages_are_read_or_were_sent(page: Path) -> None:
    """What the pages show as a client's is understood; what they show as the relay's is JSON."""
    known = {str(kind.__struct_config__.tag) for kind in native.ClientMessage.__args__}
    for block in blocks(page, "json"):
        for message in _objects(block):
            if message.get("type") in known:
                assert not isinstance(native.read(json.dumps(message)), events.Unreadable), message
    for block in blocks(page, "text"):
        for line in block.splitlines():
            if line.startswith("> {"):
                assert not isinstance(native.read(line[2:]), events.Unreadable), line
            elif line.startswith("< {"):
                json.loads(line[2:].replace("{...}", "{}").replace(":...", ":0"))


def _objects(block: str) -> list[dict[str, Any]]:
    """One object, or one a line."""
    try:
        return [json.loads(block)]
    except ValueError:
        return [json.loads(line) for line in block.splitlines()]


PROGRAMS = {
    f"{ids(page)}-{number}": program
    for page in PAGES
    for number, program in enumerate(blocks(page, "python"))
    if ADDRESS in program
}


async def test_programs_run(tmp_path: Path) -> None:
    """All at once: several speak as fast as one listens."""
    assert len(PROGRAMS) > 5
    async with serving(Config(server=ServerConfig(port=0))) as server:
        run = {
            name: run_alone(program, tmp_path / str(at), server) for at, (name, program) in enumerate(PROGRAMS.items())
        }
        outcomes = dict(zip(run, await asyncio.gather(*run.values()), strict=True))
    for name, (status, said, complaint) in outcomes.items():
        assert status == 0, f"{name}: {complaint.decode()}"
        assert said, name


async def run_alone(program: str, folder: Path, server: Server) -> tuple[int | None, bytes, bytes]:
    """A program of a page, in a folder of its own: exit status, standard output, standard error."""
    folder.mkdir()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program.replace(ADDRESS, f"127.0.0.1:{server.port}")),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaint = await process.communicate()
    return process.returncode, said, complaint


async def test_the_back_end_of_the_tokens_page_makes_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    [program] = blocks(DOCS / "how-to" / "tokens.md", "python")
    key = "the-key-of-the-back-end"
    guarded = ServerConfig(port=0, keys=[key], allowed_origins=["https://app.example.com"])
    async with serving(Config(server=guarded)) as server:
        monkeypatch.setenv("RELAY", f"http://127.0.0.1:{server.port}")
        monkeypatch.setenv("RELAY_KEY", key)
        names: dict[str, Any] = {"may_speak": lambda request: "let-me" in request.headers}
        exec(compile(program, "tokens.md", "exec"), names)
        page: TestClient[Any, Any] = TestClient(TestServer(names["app"]))
        async with page:
            assert (await page.post("/speech-token")).status == 403
            made = await page.post("/speech-token", headers={"let-me": "please"})
            token = (await made.json())["token"]
        async with client(server, subprotocols=["relay.v1", f"relay-token.{token}"], origin="https://app.example.com"):
            pass


def test_the_changelog_has_this_version() -> None:
    from relay import __version__

    assert f"## {__version__}" in named(ROOT / "CHANGELOG.md")


def test_defaults_on_the_wire_are_those_of_the_pages() -> None:
    """The tables of the protocol page name the defaults that a relay without a file has."""
    page = REFERENCE / "protocol.md"
    for key, value in msgspec.to_builtins(config.AudioConfig()).items():
        assert row_of(page, key)[-1] == f"`{value}`".replace("`1`", "1").replace("`20`", "20").replace(
            "`24000`", "24000"
        )
