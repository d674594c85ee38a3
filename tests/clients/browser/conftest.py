"""A page with a player in a real browser, a relay with a scripted provider, and a network between them."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Error, Page, async_playwright

from relay.config import ServerConfig
from tests.clients.browser.proxy import Network
from tests.clients.browser.stage import Stage, script
from tests.server.harness import relay_to

HERE = Path(__file__).parent
PLAYER = HERE.parents[2] / "clients" / "browser"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required"),
)
# What a strict site sends.
POLICY = "default-src 'none'; script-src 'self'; connect-src 'self' ws: wss:"


def chromium() -> str:
    """Where it is. Without one the tests are skipped."""
    named = os.environ.get("RELAY_TEST_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return found or without_browser("no Chromium is installed (RELAY_TEST_CHROMIUM may name one)")


def without_browser(reason: str) -> NoReturn:
    """Skips, or fails where RELAY_REQUIRE_BROWSER is 1."""
    if os.environ.get("RELAY_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(f"{reason}; the player goes untested in a browser")


async def page_server(network: Network) -> tuple[web.AppRunner, str]:
    app = web.Application()
    app.router.add_static("/player", PLAYER)
    app.router.add_static("/page", HERE / "page")
    app.router.add_get("/stream", network.serve)

    async def strict(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Content-Security-Policy"] = POLICY

    app.on_response_prepare.append(strict)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    executable = chromium()
    async with async_playwright() as playwright:
        try:
            running = await playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        except Error as error:
            without_browser(f"{executable} does not start: {error.message.splitlines()[0]}")
        yield running
        await running.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(browser: Browser) -> AsyncIterator[tuple[Network, str, str]]:
    network = Network()
    runner, page_url = await page_server(network)
    async with relay_to(script, server=ServerConfig(port=0, allowed_origins=[page_url])) as (server, _):
        network.relay_url = f"http://127.0.0.1:{server.port}/v1/stream"
        yield network, page_url, f"ws://127.0.0.1:{server.port}/v1/stream"
        network.cut()
        await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tab(browser: Browser) -> AsyncIterator[Page]:
    """What the tests of a module that need nobody new load their page into, one after the other: a page of its own is
    a process of its own, half a second of a core."""
    async with await browser.new_context() as context:
        yield await context.new_page()


@pytest_asyncio.fixture(loop_scope="module")
async def stage(tab: Page, site: tuple[Network, str, str]) -> AsyncIterator[Stage]:
    network, page_url, relay_url = site
    network.calm()
    errors: list[str] = []

    def keep(error: Error) -> None:
        errors.append(str(error))

    tab.on("pageerror", keep)
    await tab.goto(f"{page_url}/page/index.html")
    await tab.wait_for_function("window.kit !== undefined")
    yield Stage(tab, network, page_url, relay_url)
    tab.remove_listener("pageerror", keep)
    await tab.goto("about:blank")
    assert not errors, errors
