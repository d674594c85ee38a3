"""What a test of the player works with: the page, the network before it, and the words for both."""

import asyncio
import base64
import re
from typing import Any

import numpy as np
from playwright.async_api import Page

from relay.testing.fake_provider import FakeRequest
from relay.testing.script import Cut, Script, Send, Status
from tests.clients.browser.capture import RATE_HZ, Gap, Part, Samples, clip
from tests.clients.browser.proxy import PATIENCE_S, Network


def script(request: FakeRequest) -> Script:
    """A provider that speaks the clip for `clip NUMBER MS`, and cuts the connection after it for `cut NUMBER MS`."""
    asked = re.fullmatch(r"(clip|cut) (\d+) (\d+)", request.json()["text"].strip())
    assert asked, "the tests ask for nothing else"
    sound = (Status(200, {"content-type": "audio/pcm"}), Send(clip(int(asked[2]), samples(int(asked[3]))).tobytes()))
    return (*sound, Cut(reset=True)) if asked[1] == "cut" else sound


def samples(ms: int) -> int:
    return ms * RATE_HZ // 1000


def spoken(number: int, ms: int, *gaps: Gap, cancelled: bool = False) -> Part:
    """What should be found of that turn."""
    return Part(clip(number, samples(ms)), gaps, cancelled)


class Stage:
    """All a test needs; fresh per test but for the browser and the relay."""

    def __init__(self, page: Page, network: Network, page_url: str, relay_url: str) -> None:
        self.page = page
        self.network = network
        self.page_url = page_url
        self.relay_url = relay_url
        self.stream_url = page_url.replace("http", "ws", 1) + "/stream"

    async def kit(self, call: str, *arguments: Any) -> Any:
        """`kit.call(...arguments)` in the page, awaited."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.page.evaluate(f"(given) => kit.{call}(...given)", list(arguments))

    async def look(self, expression: str) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            return await self.page.evaluate(expression)

    async def until(self, condition: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.page.evaluate(f"kit.until(() => {condition})")

    async def open(self, **options: Any) -> None:
        await self.kit("open", self.stream_url, options)

    async def speak(self, number: int, ms: int, **options: Any) -> str:
        """Asks for a turn and returns its id, without waiting for it."""
        await self.kit("speak", f"t{number}", f"clip {number} {ms}", options)
        return f"t{number}"

    async def captured(self) -> Samples:
        return np.frombuffer(base64.b64decode(await self.kit("captured")), dtype="<f4")

    async def heard(self, *turns: str) -> list[dict[str, Any]]:
        """How the turns ended, each as `value` or `error`."""
        return [await self.kit("done", turn) for turn in turns]

    async def gaps(self, turn_id: str) -> list[Gap]:
        """The underruns that were reported of a turn."""
        return [
            Gap(event["atSample"], round(event["ms"] * RATE_HZ / 1000))
            for event in await self.events("underrun")
            if event["turn"] == turn_id
        ]

    async def events(self, kind: str) -> list[dict[str, Any]]:
        """What the page was told of that kind, in order."""
        found: list[dict[str, Any]] = await self.look(f"kit.events.filter(({{ type }}) => type === '{kind}')")
        return found
