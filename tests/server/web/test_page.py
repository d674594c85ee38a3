"""The page's files: what is sent, with which headers, and that nothing else can be had."""

import asyncio
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from hatchling.builders.wheel import WheelBuilder

from relay.config import ServerConfig
from relay.server.app import Server
from relay.server.web.page import CONTENT_TYPES, FOLDERS, HEADERS, Page, browser_folder
from tests.server.harness import config, serving

ROOT = Path(__file__).parents[3]
BROWSER = ROOT / "clients" / "browser"
# Where each path's file lies.
FILES = {
    f"{name}/{path.name}": path
    for name, folder in FOLDERS.items()
    for path in sorted((BROWSER / folder).glob("*"))
    if path.suffix in CONTENT_TYPES
}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving(config()) as running:
        yield running


def url(server: Server, path: str) -> str:
    return f"http://127.0.0.1:{server.port}{path}"


async def raw(server: Server, request: bytes) -> tuple[int, bytes, bytes]:
    """What a client gets that sends exactly this: status, head, body. Real clients tidy a path before they send it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


async def test_the_page_is_at_the_root_for_anyone(http: aiohttp.ClientSession) -> None:
    async with serving(config(server=ServerConfig(port=0, keys=["a key of the relay"]))) as guarded:
        async with http.get(url(guarded, "/")) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/html; charset=utf-8"
            assert await response.read() == (BROWSER / "page" / "index.html").read_bytes()


@pytest.mark.parametrize("path", sorted(FILES.keys() - {"page/index.html"}))
async def test_a_file_comes_as_it_is_and_as_what_it_is(http: aiohttp.ClientSession, server: Server, path: str) -> None:
    async with http.get(url(server, f"/{path}")) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == CONTENT_TYPES[Path(path).suffix]
        assert await response.read() == FILES[path].read_bytes()


@pytest.mark.parametrize("path", ["/", "/page/page.js", "/player/relay-player.js"])
async def test_every_answer_carries_the_policy(http: aiohttp.ClientSession, server: Server, path: str) -> None:
    async with http.get(url(server, path)) as first:
        etag = first.headers["ETag"]
    async with http.get(url(server, path), headers={"If-None-Match": etag}) as again:
        assert again.status == 304
    for answer in (first, again):
        for name, value in HEADERS.items():
            assert answer.headers[name] == value


def test_the_policy_lets_nothing_in_from_elsewhere_and_nothing_inline() -> None:
    policy = dict(rule.split(" ", 1) for rule in HEADERS["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    allowed = {source for rule, sources in policy.items() for source in sources.split() if rule.endswith("-src")}
    assert allowed == {"'none'", "'self'", "data:", "blob:"}
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"


async def test_a_file_that_is_known_is_not_sent_again(http: aiohttp.ClientSession, server: Server) -> None:
    async with http.get(url(server, "/")) as first:
        body, etag = await first.read(), first.headers["ETag"]
    assert etag == f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    for known in (etag, f"W/{etag}", f'"another", {etag}', "*"):
        async with http.get(url(server, "/"), headers={"If-None-Match": known}) as again:
            assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", etag), known
    async with http.get(url(server, "/"), headers={"If-None-Match": '"another"'}) as changed:
        assert (changed.status, await changed.read()) == (200, body)


async def test_head_is_get_without_the_body(server: Server) -> None:
    status, head, body = await raw(server, b"HEAD /")
    assert (status, body) == (200, b"")
    length = (BROWSER / "page" / "index.html").stat().st_size
    assert f"content-length: {length}".encode() in head.lower()


@pytest.mark.parametrize(
    "path",
    [
        *("/page", "/page/", "/player/", "/page/absent.js", "/favicon.ico", "/page/index.html", "/pages/index.html"),
        *("/page/../../../pyproject.toml", "/page/..%2f..%2f..%2fpyproject.toml", "/page/%2e%2e/%2e%2e/README.md"),
        *("/page//etc/passwd", "/page/%2fetc%2fpasswd", "/page/index.html%00", "/page/..\\..\\README.md"),
        *("/player/../page/index.html", "//page/index.html", "/page/%"),
    ],
)
async def test_nothing_else_can_be_had(server: Server, path: str) -> None:
    status, _, body = await raw(server, b"GET " + path.encode())
    assert status in (400, 404), body
    assert b"<html" not in body
    assert b"[project]" not in body
    assert b"root:" not in body


async def test_a_file_put_beside_later_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("a page")
    (tmp_path / "page" / "notes.txt").write_text("not to be served")
    (tmp_path / "page" / "folder.js").mkdir()
    page = Page(tmp_path)
    (tmp_path / "page" / "late.js").write_text("late")
    assert page.paths == {"page/index.html"}


async def test_other_methods_are_refused(http: aiohttp.ClientSession, server: Server) -> None:
    async with http.post(url(server, "/"), data=b"x") as response:
        assert response.status == 405


async def test_without_the_files_all_but_the_page_is_served(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("relay.server.web.page.browser_folder", lambda: tmp_path / "left out")
    async with serving(config()) as server:
        async with http.get(url(server, "/")) as page, http.get(url(server, "/healthz")) as health:
            assert (page.status, health.status) == (404, 200)


def test_a_checkout_serves_what_was_written_there() -> None:
    assert browser_folder() == BROWSER


def test_a_wheel_has_every_file_and_the_server_in_it_finds_them(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    program = "from relay.server.web.page import Page; print(*sorted(Page().paths), sep='\\n')"
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == sorted(FILES)
    for path, source in FILES.items():
        assert (installed / "relay" / "browser" / source.relative_to(BROWSER)).read_bytes() == source.read_bytes(), path
    assert not (installed / "relay" / "browser" / "test").exists(), "what tests the player is no part of it"
