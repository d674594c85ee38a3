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
from relay.core.events import Progress
from relay.core.timings import Timings, TurnTimings
from relay.engine.concurrency import ConcurrencyLimiter
from relay.engine.progress import REPEAT_S, Reports
from relay.engine.segments import SegmentHooks, Segments
from relay.engine.upstream import Candidate, Candidates
from relay.providers.base.poll import PollRequest
from relay.providers.base.provider import Speech, SpeechRequest
from relay.providers.breeze import jobs as breeze_jobs
from relay.providers.playai import job as playai_job
from relay.providers.sauti import job as sauti_job
from relay.testing.audio import speech_like, wav
from relay.testing.fake_provider import FakeProvider, FakeRequest, in_turn
from relay.testing.script import Script, Send, Stall, Status
from tests.server import fakes
from tests.server.harness import client, serving

STATES = st.sampled_from(list(Progress))


def test_a_change_is_told_at_once_and_the_same_again_after_a_while() -> None:
    reports = Reports()
    told = [
        reports.due(Progress.QUEUED, 0.0),
        reports.due(Progress.QUEUED, REPEAT_S - 0.1),
        reports.due(Progress.RUNNING, REPEAT_S - 0.1),
        reports.due(Progress.RUNNING, REPEAT_S),
        reports.due(Progress.RUNNING, 2 * REPEAT_S),
        reports.due(Progress.DOWNLOADING, 2 * REPEAT_S),
    ]
    assert told == [True, False, True, False, True, True]


@given(st.lists(st.tuples(STATES, st.floats(0, 3))))
def test_no_state_is_lost_and_none_is_repeated_within_the_time(steps: list[tuple[Progress, float]]) -> None:
    reports, now_s = Reports(), 100.0
    told: list[tuple[Progress, float]] = []
    for state, later_s in steps:
        now_s += later_s
        if reports.due(state, now_s):
            told.append((state, now_s))
        assert told[-1][0] is state, "who was told last knows the present state"
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
        yield fakes.FakeReply([b"\0\0"])


SENTENCES = ["This is the first sentence, long enough. ", "This is the second sentence, long enough. "]


async def test_only_the_segment_that_is_waited_for_is_told_of() -> None:
    driver, states = JobDriver(), []
    carried = asyncio.Semaphore(0)

    async def carry(*_: Any) -> None:
        await carried.acquire()

    async def nothing(*_: Any) -> None: ...

    hooks = SegmentHooks(
        carry=carry,
        pass_over=nothing,
        on_wait=lambda: None,
        on_progress=lambda state, waited_s: states.append((state, waited_s)),
        on_failover=lambda *_: None,
    )
    provider = JobProvider()
    speaker = Candidate(provider=provider, speech=provider.resolve(SpeechRequest()), budget=ConcurrencyLimiter("fake"))
    given = asyncio.Queue[str | None]()
    for text in (*SENTENCES, None):
        given.put_nowait(text)

    class Given:
        next = given.get

    segments = Segments(Candidates((speaker,)), driver, hooks)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(segments.speak(Given(), TurnTimings()))  # type: ignore[arg-type]
        while len(driver.told) < 2:
            await asyncio.sleep(0)
        one, two = (driver.told[text] for text in SENTENCES)
        one(Progress.RUNNING, 1.0)
        two(Progress.QUEUED, 1.0)
        assert states == [(Progress.RUNNING, 1.0)], "nobody waits for the second one yet"
        driver.may_come[SENTENCES[0]].set()
        carried.release()
        while not states[1:]:
            two(Progress.RUNNING, 2.0)
            await asyncio.sleep(0)
        assert states[1:] == [(Progress.RUNNING, 2.0)]
        driver.may_come[SENTENCES[1]].set()
        carried.release()


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
