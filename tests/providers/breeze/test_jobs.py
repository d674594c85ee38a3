"""Breeze's jobs, step by step: goldens with their invalid twins, and the whole way over the wire."""

import json

import pytest

from relay.core.formats import Container
from relay.core.timings import Timings
from relay.drivers.http.driver import HttpDriver
from relay.drivers.poll.driver import PollDriver
from relay.errors import Code, ProviderError
from relay.providers.base.http import HttpRequest, Refusal
from relay.providers.base.poll import Answer, Arrived, Ask, Fetch, PollJob, PollRequest
from relay.providers.base.provider import SpeechRequest
from relay.providers.breeze.jobs import TIMEOUT_S
from relay.testing.fake_provider import FakeProvider, FakeRequest
from relay.testing.script import Script, Send, Status
from tests.providers.breeze.goldens import KEY, Golden, breeze, case, cases, check_error

TEXT = "Hello"
BASE = "https://api.breeze.blue"


def poll(base_url: str | None = None, **options: object) -> PollRequest:
    provider = breeze(base_url)
    wanted = SpeechRequest(voice="voc_1", options={"transport": "job", "output_format": "mp3", **options})
    request = provider.request(provider.resolve(wanted), TEXT)
    assert isinstance(request, PollRequest)
    return request


def answer(golden: Golden) -> Answer:
    if "json" in golden:
        body = json.dumps(golden["json"]).encode()
    else:
        body = bytes.fromhex(golden["hex"]) if "hex" in golden else golden["text"].encode()
    return Answer(status=golden["status"], headers=golden.get("headers", {}), body=body)


def check_get(request: HttpRequest, url: str, *, key: bool) -> None:
    assert (request.method, request.body) == ("GET", None)
    assert request.url == (url if "://" in url else BASE + url)
    assert request.secret_headers == ({"xi-api-key": KEY} if key else {})
    assert KEY not in f"{request.url} {request.headers}"


def stepped(golden: Golden) -> PollJob:
    """The job after all steps but the last."""
    job = poll().job()
    first = job.start()
    assert first.after_s == 0
    assert (first.request.method, first.request.url) == (
        "POST",
        f"{BASE}/v1/text-to-speech/voc_1?output_format=mp3&delivery=async",
    )
    assert json.loads(first.request.body or b"") == {"text": TEXT}
    for step in golden["steps"]:
        ask = job.receive(answer(step["answer"]))
        assert isinstance(ask, Ask)
        expected = step["ask"]
        assert ask.after_s == expected["after_s"]
        check_get(ask.request, expected["url"], key=expected["key"])
    return job


@pytest.mark.parametrize(("name", "twin"), cases("jobs"))
def test_goldens(name: str, twin: str) -> None:
    golden = case("jobs", name, twin)
    job = stepped(golden)
    if expected := golden.get("error"):
        with pytest.raises(ProviderError) as caught:
            job.receive(answer(golden["last"]))
        check_error(caught.value, expected)
        return
    last = job.receive(answer(golden["last"]))
    if "arrived" in golden:
        assert isinstance(last, Arrived)
        assert [piece.hex() for piece in last.pieces if isinstance(piece, bytes)] == [golden["arrived"]]
        assert last.facts.source.container is Container.MP3
        return
    assert isinstance(last, Fetch)
    check_get(last.request, golden["fetch"]["url"], key=golden["fetch"]["key"])
    assert last.request.accept({"content-type": "audio/wav"}).source.container is Container.WAV
    assert job.withdraw() is None, "the API cannot cancel a job"


def test_an_id_is_escaped_and_cannot_climb() -> None:
    job = poll().job()
    job.start()
    ask = job.receive(answer({"status": 202, "json": {"generation_job_id": "a/b?c"}}))
    assert isinstance(ask, Ask)
    assert ask.request.url == f"{BASE}/v1/generation-jobs/a%2Fb%3Fc"
    for bad in ("..", "", None, 7):
        job = poll().job()
        job.start()
        with pytest.raises(ProviderError, match="without an id"):
            job.receive(answer({"status": 202, "json": {"generation_job_id": bad}}))


def test_an_address_that_has_expired_is_not_the_keys_fault() -> None:
    golden = case("jobs", "elsewhere", "valid")
    fetch = stepped(golden).receive(answer(golden["last"]))
    assert isinstance(fetch, Fetch)
    error = fetch.request.refuse(Refusal(status=403, headers={}, body=b"<Error>s3cret</Error>"))
    assert (error.code, error.retryable) == (Code.PROVIDER_UNAVAILABLE, True)
    assert "s3cret" not in error.message
    assert fetch.request.refuse(Refusal(status=429, headers={}, body=b"")).code is Code.PROVIDER_RATE_LIMITED


def test_each_request_is_a_job_of_its_own() -> None:
    request = poll()
    assert request.job() is not request.job()
    assert (request.provider, request.timeout_s) == ("breeze", TIMEOUT_S)


async def test_the_whole_way_with_audio_on_another_host() -> None:
    async def soon(_seconds: float) -> None:
        waits.append(_seconds)

    def reply(status: int, kind: str, body: bytes) -> Script:
        return Status(status, {"content-type": kind, "history-item-id": "hist_1"}, len(body)), Send(body)

    waits: list[float] = []
    clip = b"\xff\xf3\x50\xc4" * 100
    states = iter(("active", "active", "ready"))

    async with FakeProvider(reply(200, "audio/mpeg", clip)) as storage:

        def api(request: FakeRequest) -> Script:
            if request.method == "POST":
                made = {"generation_job_id": "job_1", "history_item_id": "hist_1", "status": "active"}
                return reply(202, "application/json", json.dumps(made).encode())
            job = {"generation_job_id": "job_1", "status": next(states), "download_url": f"{storage.url}/clip"}
            return reply(200, "application/json", json.dumps(job).encode())

        async with FakeProvider(api) as fake:
            http = HttpDriver()
            driver = PollDriver(http, sleep=soon)
            await http.start()
            await driver.start()
            try:
                async with driver.open(poll(fake.url), Timings()) as got:
                    audio = b"".join([piece async for piece in got if isinstance(piece, bytes)])
                    assert got.facts.ids["history_item_id"] == "hist_1"
            finally:
                await driver.close()
                await http.close()
            assert [exchange.request.headers["xi-api-key"] for exchange in fake.exchanges] == [KEY] * 4
        assert "xi-api-key" not in storage.exchanges[0].request.headers
    assert audio == clip
    assert waits == [0.5, 1.0, 2.0]
