"""The driver of polled work against a provider whose jobs take their time, fail, stall, and are given up in between."""

import asyncio
import gc
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from relay.core.events import Progress
from relay.core.formats import Container, SourceFormat
from relay.core.timings import Stage, Timings
from relay.drivers.http import attempt as http_attempt
from relay.drivers.http.driver import HttpDriver, HttpSettings
from relay.drivers.poll import driver as poll
from relay.drivers.poll.driver import PollDriver
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base import faults
from relay.providers.base.http import HttpRequest, Refusal, ReplyFacts
from relay.providers.base.poll import Answer, Arrived, Ask, Fetch, PollRequest
from relay.testing.audio import noise
from relay.testing.fake_provider import FakeProvider, FakeRequest, in_turn
from relay.testing.script import Cut, Repeat, Script, Send, Stall, Status

KEY = "sk_5f0c9f5e7a"
CLIP = noise(0.05)
SOURCE = SourceFormat(container=Container.WAV)
# Short enough to wait for, long enough not to be met by a busy machine while bytes are flowing on loopback.
QUICK = HttpSettings(first_byte_timeout_s=0.3, stall_timeout_s=0.15, open_timeout_s=2.0, retries=0)
PATIENT_S = 5.0


@pytest.fixture(autouse=True)
def _nothing_left_open() -> Iterator[None]:
    """What was not closed warns when it is collected, and a warning fails the test."""
    yield
    gc.collect()


def answer(status: int, body: Any = None, **headers: str) -> Script:
    data = b"" if body is None else json.dumps(body).encode()
    told = Status(status, {name.replace("_", "-"): value for name, value in headers.items()}, len(data))
    return (told, Send(data)) if data else (told,)


AUDIO: Script = (Status(200, {"content-type": "audio/wav"}), Send(CLIP[:500]), Send(CLIP[500:]))
MADE, WORKING, DONE = answer(202, {"id": "j1"}), answer(200, {"state": "running"}), answer(200, {"state": "done"})
STALL: Script = (Stall(),)


@dataclass
class Scenes:
    """What the fake plays, by the request's kind: one script after the other, the last one again and again."""

    make: tuple[Script, ...] = (MADE,)
    ask: tuple[Script, ...] = (DONE,)
    fetch: tuple[Script, ...] = (AUDIO,)
    withdraw: tuple[Script, ...] = (answer(204),)
    choosers: dict[str, Callable[[FakeRequest], Script]] = field(init=False)

    def __post_init__(self) -> None:
        scenes = {
            "POST /jobs": self.make,
            "GET /jobs/j1": self.ask,
            "GET /jobs/j1/audio": self.fetch,
            "DELETE /jobs/j1": self.withdraw,
        }
        self.choosers = {kind: in_turn(*scripts) for kind, scripts in scenes.items()}

    def __call__(self, request: FakeRequest) -> Script:
        return self.choosers[f"{request.method} {request.path}"](request)


class Job:
    """A small job API: 202 makes it, 409 and 425 are `not yet`, `done` is to be fetched, a 200 with audio is there."""

    def __init__(self, address: str, *, after_s: float = 0.001, files: str | None = None) -> None:
        self.address = address
        self.files = files or address
        self.after_s = after_s
        self.id: str | None = None

    def request(self, method: str, path: str, address: str | None = None) -> HttpRequest:
        return HttpRequest(
            provider="fake",
            method=method,
            url=f"{address or self.address}{path}?token={KEY}",
            headers={},
            secret_headers={"x-key": KEY} if address is None else {},
            body=b"{}" if method == "POST" else None,
            accept=lambda _headers: ReplyFacts(source=SOURCE, ids={"job_id": self.id or ""}),
            refuse=lambda refusal: faults.refused("fake", refusal),
        )

    def start(self) -> Ask:
        return Ask(request=self.request("POST", "/jobs"))

    def receive(self, answer: Answer) -> Ask | Fetch | Arrived:
        body = faults.json_object(answer.body)
        if "audio" in body:
            return Arrived(facts=ReplyFacts(source=SOURCE), pieces=(bytes.fromhex(body["audio"]),))
        if answer.status not in (200, 202, 409, 425, 429):
            raise faults.refused("fake", Refusal(status=answer.status, headers=answer.headers, body=answer.body))
        if body.get("state") == "failed":
            self.id = None
            raise ProviderError(Code.PROVIDER_UNAVAILABLE, "failed", provider=ProviderFault(name="fake"))
        if body.get("state") == "done":
            return Fetch(request=self.request("GET", "/jobs/j1/audio", self.files))
        self.id = "j1"
        wait_s = faults.retry_after_s(answer.headers)
        return Ask(
            request=self.request("GET", "/jobs/j1"),
            after_s=self.after_s if wait_s is None else wait_s,
            progress=Progress.RUNNING if body.get("state") == "running" else None,
        )

    def withdraw(self) -> HttpRequest | None:
        return self.request("DELETE", "/jobs/j1") if self.id else None


@dataclass
class Bench:
    """A driver, the fake it speaks to, and what it waited for between questions."""

    fake: FakeProvider
    driver: PollDriver
    waits: list[float]
    timings: Timings = field(default_factory=Timings)

    def upstream(self, timeout_s: float = PATIENT_S, **job: Any) -> PollRequest:
        return PollRequest(provider="fake", job=lambda: Job(self.fake.url, **job), timeout_s=timeout_s)

    async def read(self, upstream: PollRequest | None = None) -> bytes:
        async with self.driver.open(upstream or self.upstream(), self.timings) as reply:
            return b"".join([piece async for piece in reply if isinstance(piece, bytes)])

    async def refusal(self, upstream: PollRequest | None = None) -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            await self.read(upstream)
        assert KEY not in f"{caught.value.message} {caught.value.provider}"
        return caught.value

    @property
    def sent(self) -> list[str]:
        return [f"{each.request.method} {each.request.path}" for each in self.fake.exchanges]

    async def withdrawn(self) -> None:
        await asyncio.gather(*self.driver._withdrawals)


@asynccontextmanager
async def bench(scenes: Scenes, settings: HttpSettings = QUICK) -> AsyncIterator[Bench]:
    http, waits = HttpDriver(settings, draw=lambda: 1.0), []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(min(seconds, 10.0))

    driver = PollDriver(http, sleep=sleep)
    async with FakeProvider(scenes) as fake:
        await http.start()
        await driver.start()
        try:
            yield Bench(fake, driver, waits)
        finally:
            await driver.close()
            await http.close()


# From the making to the audio


async def test_a_job_is_made_asked_about_and_fetched() -> None:
    scenes = Scenes(ask=(answer(202), answer(409), answer(425), WORKING, DONE))
    async with bench(scenes) as at:
        assert await at.read() == CLIP
        assert at.sent == ["POST /jobs", *["GET /jobs/j1"] * 5, "GET /jobs/j1/audio"]
        assert at.waits == [0.001] * 5
        assert at.fake.connections_opened == 1, "one connection serves the whole job"
        assert not at.driver._withdrawals, "what was received to its end is not withdrawn"


async def test_the_marks_are_of_the_first_request_and_of_the_audio() -> None:
    async with bench(Scenes(ask=(WORKING, DONE))) as at:
        loop_s = asyncio.get_running_loop().time
        seen: list[float] = []
        scenes = at.fake._choose

        def choose(request: FakeRequest) -> Script:
            seen.append(loop_s())
            return scenes(request)

        at.fake._house.choose = choose
        async with at.driver.open(at.upstream(), at.timings) as reply:
            assert reply.facts.ids == {"job_id": "j1"}
            assert reply.content_type == "audio/wav"
        marks = at.timings.instants_s
        # Both clocks are monotonic's; the fake sees a request after it was sent.
        assert marks[Stage.REQUEST_SENT] <= seen[0]
        assert seen[-1] < marks[Stage.RESPONSE_HEADERS] <= marks[Stage.FIRST_BYTE]
        assert at.timings.connection_reused is False


async def test_audio_in_the_answer_itself() -> None:
    async with bench(Scenes(make=(answer(200, {"audio": CLIP.hex()}),))) as at:
        async with at.driver.open(at.upstream(), at.timings) as reply:
            assert [piece async for piece in reply] == [CLIP]
            assert reply.facts.source == SOURCE
            error = reply.refuse(b"<title>Not audio</title>")
        assert error is not None
        assert (error.code, error.provider.status) == (Code.BAD_AUDIO, 200)
        assert at.sent == ["POST /jobs"]
        marks = at.timings.instants_s
        assert marks[Stage.REQUEST_SENT] <= marks[Stage.RESPONSE_HEADERS] <= marks[Stage.FIRST_BYTE]


async def test_the_audio_is_streamed_as_it_comes() -> None:
    async with bench(Scenes(fetch=((Status(200), Send(CLIP[:100]), Stall(), Send(CLIP[100:])),))) as at:
        async with at.driver.open(at.upstream(), at.timings) as reply:
            pieces = aiter(reply)
            assert await anext(pieces) == CLIP[:100]
            at.fake.release()
            assert b"".join([piece async for piece in pieces if isinstance(piece, bytes)]) == CLIP[100:]


async def test_a_file_on_another_host_is_fetched_without_the_key() -> None:
    async with FakeProvider(AUDIO) as files, bench(Scenes()) as at:
        assert await at.read(at.upstream(files=files.url)) == CLIP
        (fetched,) = files.exchanges
        assert "x-key" not in fetched.request.headers
        assert [each.request.headers["x-key"] for each in at.fake.exchanges] == [KEY, KEY]


async def test_a_cut_download_fails_after_its_good_bytes() -> None:
    async with bench(Scenes(fetch=((Status(200), Send(CLIP[:500]), Cut()),))) as at:
        received = b""
        with pytest.raises(ProviderError) as caught:
            async with at.driver.open(at.upstream(), at.timings) as reply:
                async for piece in reply:
                    assert isinstance(piece, bytes)
                    received += piece
        assert (caught.value.code, received) == (Code.PROVIDER_CUT, CLIP[:500])


# Progress


async def test_the_states_of_a_job_are_told_and_what_was_not_said_is_not() -> None:
    told: list[tuple[Progress, float]] = []
    async with bench(Scenes(ask=(answer(202), WORKING, WORKING, answer(429), DONE))) as at:
        upstream = replace(at.upstream(), on_progress=lambda state, waited_s: told.append((state, waited_s)))
        assert await at.read(upstream) == CLIP
    assert [state for state, _ in told] == [Progress.RUNNING, Progress.RUNNING, Progress.DOWNLOADING]
    waits = [waited_s for _, waited_s in told]
    assert waits == sorted(waits)
    assert waits[0] > 0


async def test_audio_in_the_answer_is_no_progress() -> None:
    told: list[Progress] = []
    async with bench(Scenes(make=(answer(200, {"audio": CLIP.hex()}),))) as at:
        await at.read(replace(at.upstream(), on_progress=lambda state, _: told.append(state)))
    assert told == []


# Stopping


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What holds a job there: the scripts, how many requests it takes to get there, whether the job exists by then."""

    make: tuple[Script, ...] = (MADE,)
    ask: tuple[Script, ...] = (DONE,)
    fetch: tuple[Script, ...] = (AUDIO,)
    requests: int
    made: bool = True

    def scenes(self) -> Scenes:
        return Scenes(make=self.make, ask=self.ask, fetch=self.fetch)


PHASES = {
    "making": Phase(make=(STALL,), requests=1, made=False),
    "polling": Phase(ask=(WORKING, STALL), requests=3),
    "fetching": Phase(fetch=(STALL,), requests=3),
    "downloading": Phase(fetch=((Status(200), Send(CLIP[:100]), Stall()),), requests=3),
}


@pytest.mark.parametrize("phase", PHASES)
async def test_a_cancel_in_any_phase_leaves_no_request_running(phase: str) -> None:
    held = PHASES[phase]
    async with bench(held.scenes(), HttpSettings(retries=0)) as at:
        task = asyncio.create_task(at.read())
        running = await at.fake.exchange(held.requests - 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await running.left()
        await at.withdrawn()
        assert at.sent[held.requests :] == (["DELETE /jobs/j1"] if held.made else [])


async def test_a_cancel_between_two_questions_asks_no_more() -> None:
    async with bench(Scenes(ask=(WORKING,))) as at:
        task = asyncio.create_task(at.read(at.upstream(after_s=0.05)))
        while not at.waits:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await at.withdrawn()
        # Longer than the wait that was broken off.
        await asyncio.sleep(0.1)
        assert at.sent == ["POST /jobs", "DELETE /jobs/j1"]


async def test_a_listener_who_leaves_early_ends_the_download_and_the_job() -> None:
    async with bench(Scenes(fetch=((Status(200), Repeat(CLIP)),))) as at:
        async with at.driver.open(at.upstream(), at.timings) as reply:
            assert await anext(aiter(reply))
        await at.fake.exchanges[2].left()
        await at.withdrawn()
        assert at.sent[3:] == ["DELETE /jobs/j1"]


async def test_a_cancel_at_every_turn_of_the_loop_leaves_nothing() -> None:
    """However far it has come: after the cancel no request is under way but the withdrawal."""
    stopped = 0
    async with bench(Scenes(ask=(WORKING, DONE)), HttpSettings(retries=0)) as at:
        for turns in range(0, 400, 7):
            task = asyncio.create_task(at.read())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            try:
                assert await task == CLIP
            except asyncio.CancelledError:
                stopped += 1
            await at.withdrawn()
            assert not at.driver._http._running_session.connector._acquired  # type: ignore[union-attr]
    assert stopped > 5


async def test_a_failed_job_is_the_jobs_error() -> None:
    async with bench(Scenes(ask=(answer(200, {"state": "failed"}),))) as at:
        error = await at.refusal()
        assert (error.code, error.message) == (Code.PROVIDER_UNAVAILABLE, "failed")
        await at.withdrawn()
        assert at.sent == ["POST /jobs", "GET /jobs/j1"], "this job said that there was nothing to withdraw"


async def test_a_refused_download_is_its_error() -> None:
    async with bench(Scenes(fetch=(answer(404),))) as at:
        error = await at.refusal()
        assert (error.code, error.provider.status) == (Code.PROVIDER_REJECTED, 404)
        await at.withdrawn()
        assert at.sent[-1] == "DELETE /jobs/j1"


# Time


@pytest.mark.parametrize("phase", ["making", "polling", "fetching"])
async def test_the_whole_job_has_a_timeout(phase: str) -> None:
    held = PHASES[phase]
    async with bench(held.scenes(), HttpSettings(retries=0)) as at:
        error = await at.refusal(at.upstream(timeout_s=0.1))
        host = at.fake.url.removeprefix("http://")
        assert (error.code, error.retryable) == (Code.PROVIDER_TIMEOUT, True)
        assert error.message == f"fake ({host}) did not have the audio ready within 0.1 s"
        await at.fake.exchanges[held.requests - 1].left()
        await at.withdrawn()
        assert at.sent[held.requests :] == (["DELETE /jobs/j1"] if held.made else [])


async def test_a_wait_that_ends_in_a_timeout_is_not_begun() -> None:
    async with bench(Scenes(ask=(WORKING,))) as at:
        error = await at.refusal(at.upstream(timeout_s=10.0, after_s=11.0))
        assert error.code is Code.PROVIDER_TIMEOUT
        assert at.waits == []


async def test_a_job_that_is_never_done_ends_in_time() -> None:
    async with bench(Scenes(ask=(WORKING,))) as at:
        error = await at.refusal(at.upstream(timeout_s=0.2, after_s=0.03))
        assert error.code is Code.PROVIDER_TIMEOUT
        assert 2 <= len(at.waits) <= 7


async def test_retry_after_is_waited_for_while_polling() -> None:
    async with bench(Scenes(ask=(answer(429, retry_after="0.02"), DONE))) as at:
        assert await at.read() == CLIP
        assert at.waits == [0.001, 0.02]


async def test_a_retry_after_beyond_the_timeout_is_told_at_once() -> None:
    async with bench(Scenes(ask=(answer(429, retry_after="60"),))) as at:
        error = await at.refusal()
        assert (error.code, error.retry_after_s) == (Code.PROVIDER_RATE_LIMITED, 60.0)
        assert at.waits == [0.001]


async def test_an_answer_that_stalls_or_is_cut() -> None:
    half = (Status(200, {}, 100), Send(b'{"state":'))
    async with bench(Scenes(ask=((*half, Stall()), (*half, Cut())))) as at:
        stalled = await at.refusal()
        assert stalled.code is Code.PROVIDER_TIMEOUT
        assert stalled.message.endswith("sent no more of its answer for 0.15 s")
        assert (await at.refusal()).code is Code.PROVIDER_CUT
    async with bench(Scenes(make=((Status(200, {}, "close"), Send(b'{"audio": "0102"}'), Cut(reset=True)),))) as at:
        assert (await at.refusal()).code is Code.PROVIDER_CUT, "whole as it looks, its connection was reset"
    async with bench(Scenes(ask=(STALL,))) as at:
        late = await at.refusal()
        assert late.message.endswith("did not send a first byte within 0.3 s")


# Asking again


BAD_ENDS: dict[str, Script] = {
    "closed": (Cut(),),
    "reset": (Cut(reset=True),),
    "unwell": answer(503, {"detail": "busy"}),
    "late": STALL,
    "cut": (Status(200, {}, 10), Send(b"{"), Cut()),
}
AGAIN = HttpSettings(first_byte_timeout_s=0.1, stall_timeout_s=0.1, open_timeout_s=3.0, retries=2, backoff_s=0.001)


@pytest.mark.parametrize("end", BAD_ENDS)
async def test_a_job_is_not_made_twice(end: str) -> None:
    async with bench(Scenes(make=(BAD_ENDS[end], MADE)), AGAIN) as at:
        assert (await at.refusal()).retryable
        assert at.sent == ["POST /jobs"]


async def test_a_job_is_not_made_twice_over_a_connection_that_died() -> None:
    async with bench(Scenes(make=(MADE, (Cut(reset=True),), MADE)), AGAIN) as at:
        assert await at.read() == CLIP
        error = await at.refusal()
        assert (error.code, error.retryable) == (Code.PROVIDER_UNAVAILABLE, True)
        assert at.sent.count("POST /jobs") == 2
        assert at.fake.connections_opened == 1


@pytest.mark.parametrize("end", BAD_ENDS)
async def test_a_question_is_asked_again(end: str) -> None:
    async with bench(Scenes(ask=(BAD_ENDS[end], BAD_ENDS[end], DONE)), AGAIN) as at:
        assert await at.read() == CLIP
        # A reused connection that dies before it answers is replaced at once and not counted.
        assert at.sent == ["POST /jobs", *["GET /jobs/j1"] * 3, "GET /jobs/j1/audio"]


async def test_a_question_is_not_asked_for_ever() -> None:
    async with bench(Scenes(ask=(answer(503, {"detail": "busy"}),)), AGAIN) as at:
        error = await at.refusal()
        assert (error.code, error.message) == (Code.PROVIDER_UNAVAILABLE, 'fake answered 503: {"detail": "busy"}')
        assert at.sent[:4] == ["POST /jobs", *["GET /jobs/j1"] * 3]


async def test_a_connection_that_was_not_made_is_tried_again() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async with FakeProvider(MADE) as gone:
        address = gone.url
    http = HttpDriver(AGAIN, draw=lambda: 1.0, sleep=sleep)
    await http.start()
    try:
        with pytest.raises(ProviderError) as caught:
            await http.ask(Job(address).start().request, Timings())
    finally:
        await http.close()
    assert caught.value.code is Code.PROVIDER_UNAVAILABLE
    assert waits == [0.001, 0.002]


# Bounds


async def test_an_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_attempt, "ANSWER_BYTES", 5000)
    async with bench(Scenes(make=((Status(200), Repeat(b"x" * 100)),)), AGAIN) as at:
        error = await at.refusal()
        assert (error.code, error.retryable) == (Code.BAD_AUDIO, False)
        assert error.message.endswith("answered with more than 5000 bytes")
        await at.fake.exchanges[0].left()
        assert len(at.fake.exchanges) == 1


async def test_an_endless_refusal_is_read_as_far_as_it_may_be() -> None:
    async with bench(Scenes(make=((Status(400), Repeat(b"no " * 1000)),))) as at:
        error = await at.refusal()
        assert error.code is Code.PROVIDER_REJECTED
        assert error.message.startswith("fake answered 400: no no no")
        await at.fake.exchanges[0].left()


async def test_a_compressed_answer_is_refused() -> None:
    async with bench(Scenes(make=(answer(200, {"state": "done"}, content_encoding="gzip"),))) as at:
        assert (await at.refusal()).code is Code.BAD_AUDIO


async def test_withdrawals_are_bounded_and_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(poll, "MAX_WITHDRAWALS", 2)
    monkeypatch.setattr(poll, "CLOSING_S", 0.05)
    async with bench(Scenes(ask=(answer(400),), withdraw=(STALL,)), HttpSettings(retries=0)) as at:
        for _ in range(3):
            assert (await at.refusal()).code is Code.PROVIDER_REJECTED
        assert len(at.driver._withdrawals) == 2
        assert "too many others are" in caplog.text
        deletes = [each for each in at.fake.exchanges if each.request.method == "DELETE"]
        while len(deletes) < 2:
            deletes.append(await at.fake.exchange(len(at.fake.exchanges)))
        await at.driver.close()
        for each in deletes:
            await each.left()
        assert all(task.done() for task in at.driver._withdrawals)
        await at.driver.close()


@pytest.mark.parametrize(
    ("script", "says"),
    [(answer(500), "provider_unavailable"), (answer(404), "it answered 404"), (STALL, "no answer within 0.05 s")],
)
async def test_a_withdrawal_that_fails_is_only_noted(
    script: Script, says: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(poll, "WITHDRAWAL_TIMEOUT_S", 0.05)
    with caplog.at_level(logging.DEBUG, logger="relay"):
        async with bench(Scenes(ask=(answer(400),), withdraw=(script,))) as at:
            await at.refusal()
            await at.withdrawn()
    assert f"a job could not be withdrawn: {says}" in caplog.text
    assert KEY not in caplog.text
