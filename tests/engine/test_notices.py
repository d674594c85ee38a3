"""How far a provider's job is, told while somebody waits for it: at every change, and not too often."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config import Config, HttpConfig, ProviderConfig, ServerConfig
from relay.core.events import Progress, TurnProgressed
from relay.core.record import TurnRecord
from relay.core.timings import Stage, Timings
from relay.engine.notices import REPEAT_S, Notices
from relay.engine.one_shot import OneShot
from relay.providers.base.poll import PollRequest
from relay.providers.base.provider import Speech
from relay.providers.breeze import jobs as breeze_jobs
from relay.providers.playai import job as playai_job
from relay.providers.sauti import job as sauti_job
from relay.testing.audio import speech_like, wav
from relay.testing.fake_provider import FakeProvider, FakeRequest, in_turn
from relay.testing.script import Script, Send, Stall, Status
from tests.engine import fakes
from tests.engine.stage import one_shot, settings
from tests.server.harness import client, serving

STATES = st.sampled_from(list(Progress))


class Told:
    """A speaker of one turn, which keeps what it is told."""

    def __init__(self) -> None:
        self.states: list[Progress] = []
        self.now_s = 100.0
        self.notices = Notices(TurnRecord(turn_id="t", index=0), self, clock=lambda: self.now_s)  # type: ignore[arg-type]

    def is_current(self, turn_id: str) -> bool:
        return True

    def mark(self, turn_id: str, event: TurnProgressed) -> None:
        self.states.append(event.state)


def test_a_change_is_told_at_once_and_the_same_again_after_a_while() -> None:
    told = Told()
    for state, at_s in (
        (Progress.QUEUED, 0.0),
        (Progress.QUEUED, REPEAT_S - 0.1),
        (Progress.RUNNING, REPEAT_S - 0.1),
        (Progress.RUNNING, REPEAT_S),
        (Progress.RUNNING, 2 * REPEAT_S),
        (Progress.DOWNLOADING, 2 * REPEAT_S),
    ):
        told.now_s = 100.0 + at_s
        told.notices.progress(state, at_s)
    assert told.states == [Progress.QUEUED, Progress.RUNNING, Progress.RUNNING, Progress.DOWNLOADING]


@given(st.lists(st.tuples(STATES, st.floats(0, 3))))
def test_no_state_is_lost_and_none_is_repeated_within_the_time(steps: list[tuple[Progress, float]]) -> None:
    listener, told = Told(), list[tuple[Progress, float]]()
    for state, later_s in steps:
        listener.now_s += later_s
        listener.notices.progress(state, 0.0)
        if len(listener.states) > len(told):
            told.append((state, listener.now_s))
        assert told[-1][0] is state, "what was told last is the present state"
    for (one, one_s), (two, two_s) in pairwise(told):
        assert one is not two or two_s >= one_s + REPEAT_S


# Of several segments


class JobProvider(fakes.FakeProvider):
    def request(self, speech: Speech, text: str) -> PollRequest:  # type: ignore[override]
        return PollRequest(provider=text, job=lambda: None, timeout_s=1.0)  # type: ignore[arg-type, return-value]


class JobDriver:
    """Tells a job's states as it is asked to, then has its audio."""

    def __init__(self) -> None:
        self.told: dict[str, Callable[[Progress, float], None]] = {}
        self.may_come = {text: asyncio.Event() for text in SENTENCES}

    @asynccontextmanager
    async def open(self, upstream: Any, timings: Timings) -> AsyncIterator[fakes.FakeReply]:
        self.told[upstream.provider] = upstream.on_progress
        await self.may_come[upstream.provider].wait()
        timings.mark(Stage.FIRST_BYTE, 0.0)
        yield fakes.FakeReply([b"\0\0"])


SENTENCES = ["This is the first sentence, long enough. ", "This is the second sentence, long enough. "]


async def test_only_the_segment_that_is_waited_for_is_told_of() -> None:
    driver = JobDriver()
    of = settings(driver, JobProvider(), tail="short")
    heard: list[tuple[Progress, int]] = []

    async def listen(turn: OneShot) -> None:
        async for item in turn.contents():
            heard.extend([(item.state, item.waited_ms)] if isinstance(item, TurnProgressed) else [])

    async with asyncio.timeout(10), one_shot(of) as turn, asyncio.TaskGroup() as tasks:
        tasks.create_task(listen(turn))
        turn.append("".join(SENTENCES))
        turn.end_input()
        while len(driver.told) < 2:
            await asyncio.sleep(0)
        one, two = (driver.told[text] for text in SENTENCES)
        one(Progress.RUNNING, 1.0)
        two(Progress.QUEUED, 1.0)
        while not heard:
            await asyncio.sleep(0)
        assert heard == [(Progress.RUNNING, 1000)], "the second one is not waited for yet"
        driver.may_come[SENTENCES[0]].set()
        while not heard[1:]:
            two(Progress.DOWNLOADING, 2.0)
            await asyncio.sleep(0)
        assert heard[1:] == [(Progress.DOWNLOADING, 2000)]
        driver.may_come[SENTENCES[1]].set()


# Through a whole relay


def reply(status: int, body: Any) -> Script:
    data = json.dumps(body).encode()
    return (Status(status, {"content-type": "application/json"}, len(data)), Send(data))


SAMPLES = speech_like(2.0)
CLIP = wav(SAMPLES)
# A first part that is long enough for frames, and a wait that only the test ends.
HEAD, REST = CLIP[:9601], CLIP[9601:]
DOWNLOAD: Script = (Status(200, {"content-type": "audio/wav"}, len(CLIP)), Send(HEAD), Stall(), Send(REST))


def sauti(request: FakeRequest, polls: Callable[[FakeRequest], Script]) -> Script:
    if request.method == "POST":
        return reply(202, {"job_id": "j", "status": "queued", "created_at": "2026-01-01T00:00:00Z"})
    return DOWNLOAD if request.path.endswith("/audio") else polls(request)


def silent_sauti(request: FakeRequest, polls: Callable[[FakeRequest], Script]) -> Script:
    return reply(202, {"job_id": "j"}) if request.method == "POST" else sauti(request, polls)


def breeze(request: FakeRequest, polls: Callable[[FakeRequest], Script]) -> Script:
    if request.method == "POST":
        return reply(202, {"generation_job_id": "j", "history_item_id": "h", "status": "active"})
    return DOWNLOAD if request.path.endswith("/audio") else polls(request)


def playai(request: FakeRequest, polls: Callable[[FakeRequest], Script]) -> Script:
    if request.path.endswith("/file.wav"):
        return DOWNLOAD
    host = f"http://{request.headers['host']}"
    body = polls(request)[1]
    assert isinstance(body, Send)
    return reply(200, json.loads(body.data.replace(b"HOST", host.encode())))


def states(*said: str) -> Callable[[FakeRequest], Script]:
    return in_turn(*(reply(200, {"status": state}) for state in said))


def outputs(*said: str) -> Callable[[FakeRequest], Script]:
    url = {"url": "HOST/file.wav"}
    return in_turn(*(reply(200, {"id": "j", "output": {"status": state, **url}}) for state in said))


OPTIONS = {"sauti": {"delivery": "job"}, "breeze": {"transport": "job"}, "playai": {"delivery": "job"}}
JOBS: dict[str, Any] = {
    "sauti": (sauti, states("queued", "running", "running", "succeeded"), ["queued", "running", "downloading"]),
    "sauti, which may say nothing at first": (silent_sauti, states("running", "succeeded"), ["running", "downloading"]),
    "breeze": (breeze, states("active", "active", "ready"), ["running", "downloading"]),
    "breeze, in a state that is not documented": (
        breeze,
        states("warming", "ready"),
        ["running", "downloading"],
    ),
    "playai": (playai, outputs("IN_PROGRESS", "IN_PROGRESS", "COMPLETED"), ["running", "downloading"]),
    "playai, at once": (playai, outputs("COMPLETED"), ["downloading"]),
}


@pytest.mark.parametrize("name", JOBS)
async def test_a_job_tells_what_its_provider_says_and_its_download_is_heard_as_it_comes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, constant in ((sauti_job, "POLL_S"), (playai_job, "POLL_S")):
        monkeypatch.setattr(module, constant, 0.01)
    monkeypatch.setattr(breeze_jobs, "PAUSES_S", (0.01,))
    service, polls, expected = JOBS[name]
    provider = name.partition(",")[0]
    async with FakeProvider(lambda request: service(request, polls)) as fake:
        own = ProviderConfig(
            api_key="k", user_id="u", base_url=fake.url, voice="s3://v/manifest.json", max_concurrent=9
        )
        config = Config(server=ServerConfig(port=0), http=HttpConfig(retries=0), providers={provider: own})
        async with serving(config) as server, client(server) as caller:
            audio = {"sample_rate": "native", "tail": "short"}
            await caller.send(
                type="speak", text="Hello.", turn_id="t", provider=provider, options=OPTIONS[provider], audio=audio
            )
            told: list[dict[str, Any]] = []
            while (event := await caller.event())["type"] != "audio.started":
                told += [event] if event["type"] == "turn.progress" else []
            heard = b""
            while len(heard) < 8000:
                frame = await caller.receive()
                assert isinstance(frame, bytes)
                heard += frame
            fake.release()
            rest = await caller.turn()
    assert rest.end["type"] == "turn.done"
    assert heard + rest.audio == SAMPLES
    assert not rest.of("turn.progress")
    assert list(dict.fromkeys(event["state"] for event in told)) == expected
    assert [set(event) for event in told] == [{"type", "turn_id", "provider", "state", "waited_ms"}] * len(told)
    assert {(event["turn_id"], event["provider"]) for event in told} == {("t", provider)}
    waits = [event["waited_ms"] for event in told]
    assert waits == sorted(waits)
    assert all(isinstance(waited_ms, int) and waited_ms >= 0 for waited_ms in waits)
