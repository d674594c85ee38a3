"""Where a provider can go wrong: each request that a product makes, and a relay whose provider does so there.

A turn's text names the scenario that its provider plays, so that all of them can be played side by side.
"""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pytest

from relay.config import HttpConfig
from relay.drivers.http import attempt as http_attempt
from relay.drivers.http import reply as http_reply
from relay.drivers.http.settings import HttpSettings
from relay.drivers.ws.settings import WsSettings
from relay.providers.bland import v1 as bland_v1
from relay.providers.breeze import jobs as breeze_jobs
from relay.providers.breeze import provider as breeze
from relay.providers.playai import provider as playai
from relay.providers.sauti import job as sauti_job
from relay.providers.sauti import provider as sauti
from relay.testing.fake_provider import FakeRequest
from relay.testing.scenarios import Clip, scenario
from relay.testing.script import Script
from tests.e2e.products import (
    PRODUCTS,
    House,
    Product,
    answer,
    at_once,
    audio_events,
    job_done,
    job_made,
    json_clip,
    media_type,
    relay_to,
    text_in,
    timed_lines,
)

# `speech`: the request that is answered with audio; the others are the steps of a job and of a socket.
Step: TypeAlias = Literal["speech", "make", "poll", "file", "mint", "handshake"]
STEPS: Mapping[str, tuple[Step, ...]] = {
    "body": ("speech",),
    "lines": ("speech",),
    "events": ("speech",),
    "json": ("speech",),
    "job": ("make", "poll", "file"),
}
# So long that nothing which comes at all comes too late.
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Place:
    """A step of a product, at which a scenario is played."""

    product: Product
    step: Step

    def __str__(self) -> str:
        return f"{self.product}: {self.step}"

    @property
    def is_nameless(self) -> bool:
        """Whether nothing in the request tells which turn it is for: a handshake without a credential of its own."""
        return self.step == "handshake" and self.product.provider != "breeze"

    @property
    def clip(self) -> Clip:
        """What the step is answered with when all is well, if that is audio."""
        data, told = self.product.clip("Good."), media_type(self.product)
        match self.product.delivery:
            case "json":
                return Clip(json_clip(data), "application/json")
            case "lines":
                return Clip(timed_lines(data), "application/x-ndjson")
            case "events":
                return Clip(audio_events(data, self.product), "text/event-stream")
        return Clip(data, told)


# One product for each way to get audio; its other packings take the same way.
_CHOSEN = (
    *("breeze-body-bare-pcm_s16le-24k-stream-pcm", "breeze-lines-bare-pcm_s16le-24k-timestamps-pcm"),
    *("breeze-body-wav-pcm_s16le-24k-sync", "breeze-job-wav-pcm_s16le-24k-elsewhere"),
    *("breeze-socket-bare-pcm_s16le-24k-realtime-pcm", "bland-body-unsized wav-pcm_s16le-44k-v1-pcm_44100"),
    *("bland-body-wav-pcm_s16le-24k-v1-pcm_24000", "bland-body-bare-pcm_s16le-48k-v2"),
    *("bland-socket-bare-pcm_s16le-24k", "sauti-json-wav-pcm_s16le-16k", "sauti-job-wav-pcm_s16le-16k"),
    *("playai-body-mp3-pcm_s16le-24k", "playai-body-bare-pcm_f32le-24k-raw"),
    *("playai-job-wav-pcm_s16le-24k-elsewhere", "openai-body-bare-pcm_s16le-24k-pcm"),
    "openai-events-bare-pcm_s16le-24k-pcm-sse",
    *("deepgram-body-bare-pcm_s16le-24k-http-linear16", "deepgram-socket-bare-pcm_s16le-16k-linear16"),
    "deepgram-socket-bare-pcm_s16le-44k-linear16",
    "cartesia-body-bare-pcm_s16le-24k-http",
    "cartesia-events-bare-pcm_s16le-24k",
    *("elevenlabs-body-bare-pcm_s16le-24k-http-pcm_24000", "elevenlabs-lines-bare-pcm_s16le-24k-timestamps-pcm_24000"),
)
CHOSEN = tuple(product for product in PRODUCTS if str(product) in _CHOSEN)
assert len(CHOSEN) == len(_CHOSEN)


def places() -> Iterator[Place]:
    for product in CHOSEN:
        if product.delivery == "socket":
            steps: tuple[Step, ...] = ("mint", "handshake") if product.provider == "breeze" else ("handshake",)
        else:
            steps = STEPS[product.delivery]
        yield from (Place(product, step) for step in steps)


PLACES = tuple(places())


def text_of(name: str) -> str:
    return f"Kindly play {name} to them."


class Faulty:
    """The provider's side: the step `place` is answered by `reply`, which is given a name, others as they should be.

    Without `reply` the name is that of a scenario.
    """

    def __init__(self, place: Place, reply: Callable[[str], Script] | None = None) -> None:
        self.place = place
        self._reply = reply or (lambda name: scenario(name, place.clip))
        self.files_url = self.api_url = ""
        # Of what names no scenario: the handshake of a socket that says nothing before.
        self.current = ""

    def __call__(self, request: FakeRequest) -> Script:
        step, name = self._asked(request)
        if step == self.place.step:
            return self._reply(name)
        match step:
            case "mint":
                url = f"{self.api_url.replace('http', 'ws', 1)}/sockets/{name}"
                return answer(200, {"websocket_url": url})
            case "make":
                made = json.dumps(job_made(self.place.product, 0)).replace('"0"', f'"{name}"')
                return answer(202, made.encode())
            case "poll":
                done = json.dumps(job_done(self.place.product, 0, self.files_url))
                return answer(200, re.sub(r'"0"', f'"{name}"', done).replace("/0.wav", f"/{name}.wav").encode())
        raise AssertionError(f"nothing fails at {request.path}")

    def _asked(self, request: FakeRequest) -> tuple[Step, str]:
        path = request.path
        if request.method == "POST" and path.endswith("/realtime-sessions"):
            return "mint", path.split("/")[-2]
        if request.method == "POST":
            said = re.search(r"play (\w+) to", text_in(request))
            assert said
            return "make" if self.place.product.delivery == "job" else "speech", said[1]
        if "upgrade" in request.headers:
            return "handshake", path.rpartition("/")[2] if "/sockets/" in path else self.current
        if path.endswith((".wav", "/audio")):
            return "file", path.removesuffix("/audio").removesuffix(".wav").rpartition("/")[2]
        return "poll", path.rpartition("/")[2]


@asynccontextmanager
async def relay_to_faulty(
    place: Place, reply: Callable[[str], Script] | None = None, **provider: Any
) -> AsyncIterator[tuple[Faulty, House]]:
    faulty = Faulty(place, reply)
    async with relay_to(place.product, faulty, files=faulty, http=HttpConfig(retries=0), **provider) as house:
        faulty.files_url, faulty.api_url = house.files.url, house.api.url
        be_patient(house)
        yield faulty, house


def be_patient(house: House, seconds: float = PATIENCE_S) -> None:
    """From now on the relay waits so long for whatever a provider has to do."""
    drivers = house.server.engine.drivers
    drivers.http._settings = HttpSettings(
        retries=0, first_byte_timeout_s=seconds, stall_timeout_s=seconds, connect_timeout_s=seconds
    )
    drivers.ws._settings = WsSettings(
        connect_timeout_s=seconds,
        greeting_timeout_s=seconds,
        first_audio_timeout_s=seconds,
        stall_timeout_s=seconds,
        confirm_timeout_s=0.1,
        close_timeout_s=0.1,
    )


def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `at_once`; and jobs, whole clips and refusals are waited for as long as everything else, or less."""
    at_once(monkeypatch)
    # Jobs and whole clips are waited for as long as everything else here.
    for module in (breeze_jobs, sauti, playai):
        monkeypatch.setattr(module, "TIMEOUT_S", 5.0)
    monkeypatch.setattr(sauti_job, "TIMEOUT_S", None)
    monkeypatch.setattr(breeze, "WHOLE_CLIP_TIMEOUT_S", None)
    monkeypatch.setattr(bland_v1, "WHOLE_CLIP_S", None)
    monkeypatch.setattr(sauti_job, "LONGEST_MAKE_WAIT_S", 0.0)
    # Sauti refuses a poll for want of budget, and its job is asked about again, but not beyond its time.
    monkeypatch.setattr(sauti_job, "_pause_s", lambda answer: 60.0 if answer.status == 429 else 0.0)
    monkeypatch.setattr(http_attempt, "ANSWER_BYTES", 1_000_000)
    monkeypatch.setattr(http_reply, "WATCH_S", 0.05)
    monkeypatch.setattr(http_attempt, "REFUSAL_TIMEOUT_S", 0.1)
