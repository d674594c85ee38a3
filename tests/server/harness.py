"""A real relay on a real socket, a scripted provider behind it, and a client that keeps everything it is told."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as ws_connect
from websockets.exceptions import ConnectionClosed

from relay.config import Config, EngineConfig, HttpConfig, LimitsConfig, ProviderConfig, ServerConfig
from relay.server.app import Server
from relay.testing.fake_provider import Chooser, FakeProvider
from relay.testing.script import Script

KEY = "brz_secret_key_of_the_tests"
PATIENCE_S = 30.0
ENDS = ("turn.done", "turn.cancelled", "error")


def breeze(provider_url: str, **settings: Any) -> ProviderConfig:
    """With a limit that is configured, so that it is not asked for."""
    return ProviderConfig(
        **{"api_key": KEY, "base_url": provider_url, "voice": "voc_1", "max_concurrent": 1000, **settings}
    )


def config(provider_url: str = "http://127.0.0.1:9", **sections: Any) -> Config:
    """A relay on a free port whose default provider is Breeze at `provider_url`; sections of Config replace ours."""
    settings: dict[str, Any] = {
        "server": ServerConfig(port=0),
        "limits": LimitsConfig(),
        "http": HttpConfig(retries=0),
        # The fake's audio is as long as a test wants, whatever the text.
        "engine": EngineConfig(audio_base_s=36_000.0),
        "providers": {"breeze": breeze(provider_url)},
        **sections,
    }
    built = Config(**settings)
    return Config(**{"defaults": type(built.defaults)(provider="breeze"), **settings})


@asynccontextmanager
async def serving(settings: Config, *, ahead: bool = False, **options: Any) -> AsyncIterator[Server]:
    """A relay that is ready. Its local workers start when the first turn wants one, or, as elsewhere, `ahead` of it.

    Two processes for each of hundreds of relays that never let them speak were half of what the tests cost.
    """
    server = Server(settings, **options)
    if not ahead:
        server.engine.drivers.local.warm = _nothing  # type: ignore[method-assign]
    async with server.serving():
        yield server


def _nothing(*modules: str, processes: int = 1) -> None:
    """Warms none of them."""


@asynccontextmanager
async def relay_to(script: Script | Chooser, **sections: Any) -> AsyncIterator[tuple[Server, FakeProvider]]:
    """A relay whose Breeze is a fake that plays `script`."""
    async with FakeProvider(script) as fake, serving(config(fake.url, **sections)) as server:
        yield server, fake


@dataclass
class Heard:
    """All that was said of one turn, in order: events, and binary messages as bytes."""

    said: list[dict[str, Any] | bytes] = field(default_factory=list)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [item for item in self.said if isinstance(item, dict)]

    @property
    def frames(self) -> list[bytes]:
        return [item for item in self.said if isinstance(item, bytes)]

    @property
    def audio(self) -> bytes:
        return b"".join(self.frames)

    @property
    def end(self) -> dict[str, Any]:
        return self.events[-1]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]


class Client:
    """A WebSocket client that knows only the protocol's description."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        self.ready: dict[str, Any] = {}

    async def send(self, **message: Any) -> None:
        await self.websocket.send(json.dumps(message))

    async def receive(self) -> dict[str, Any] | bytes:
        async with asyncio.timeout(PATIENCE_S):
            message = await self.websocket.recv()
        return message if isinstance(message, bytes) else json.loads(message)

    async def event(self, *kinds: str) -> dict[str, Any]:
        """The next event of one of `kinds`; everything before it is skipped."""
        while True:
            message = await self.receive()
            if isinstance(message, dict) and (not kinds or message["type"] in kinds):
                return message

    async def turn(self, turn_id: str | None = None) -> Heard:
        """Everything until a turn's end. With `turn_id`, other turns' events are kept too."""
        heard = Heard()
        while True:
            message = await self.receive()
            heard.said.append(message)
            if isinstance(message, bytes) or message["type"] not in ENDS:
                continue
            if turn_id is None or message.get("turn_id") == turn_id:
                return heard

    async def speak(self, text: str = "Hello there.", **fields: Any) -> Heard:
        await self.send(type="speak", text=text, **fields)
        return await self.turn()

    async def close_code(self) -> tuple[int | None, str]:
        """Reads on until the relay has closed."""
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionClosed):
                while True:
                    await self.websocket.recv()
        return self.websocket.close_code, self.websocket.close_reason or ""

    async def __aenter__(self) -> Self:
        self.ready = await self.event()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.websocket.close()


@asynccontextmanager
async def client(server: Server, path: str = "/v1/stream", **options: Any) -> AsyncIterator[Client]:
    url = f"ws://127.0.0.1:{server.port}{path}"
    options = {"compression": None, "max_size": None, "close_timeout": 1, **options}
    async with ws_connect(url, **options) as websocket, Client(websocket) as connected:
        yield connected
