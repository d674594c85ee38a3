"""Webhooks: signed, sent again until they are taken, kept over a restart, and only to addresses that may be."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from relay.config import ConfigError, JobsConfig, load
from relay.core.events import TurnRequest
from relay.core.job import Job, JobRequest, JobStatus
from relay.core.webhook import signed_headers
from relay.drivers.http.webhook import WebhookSender
from relay.jobs.webhooks import RETRY_AFTER_S, Webhooks
from relay.store.memory_jobs import MemoryJobs
from tests.jobs.spelling import speller
from tests.jobs.test_spelt import PATIENCE_S, relay

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
HOOKS = {"webhook_secret": SECRET, "webhook_hosts": ["127.0.0.1"]}


class Receiver:
    """Answers with `statuses`, then 204, and keeps what it was sent."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = [*statuses]
        self.got: list[tuple[str, Mapping[str, str], bytes]] = []
        self.came = asyncio.Event()
        self.url = ""
        self.port = 0

    async def _take(self, request: web.Request) -> web.Response:
        self.got.append((request.path, request.headers, await request.read()))
        self.came.set()
        status = self._statuses.pop(0) if self._statuses else 204
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Receiver"]:
        app = web.Application()
        app.router.add_route("*", "/{any:.*}", self._take)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}/hook?a=b"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def message(self, number: int) -> dict[str, Any]:
        """The one of that number, once it has come; its signature is checked as Standard Webhooks says."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.got) <= number:
                self.came.clear()
                await self.came.wait()
        _, headers, body = self.got[number]
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{signature}"
        assert headers["Content-Type"] == "application/json"
        return dict(json.loads(body))


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the libraries of Standard Webhooks."""
    body = b'{"test": 2432232314}'
    headers = signed_headers(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_a_client_is_told_once_how_its_job_ended_and_again_until_it_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.jobs.webhooks.RETRY_AFTER_S", (0.01,) * 9)
    monkeypatch.setattr("relay.jobs.webhooks.LOOK_S", 0.02)
    async with (
        Receiver(500, 302, 503).open() as receiver,
        relay(speller([]), tmp_path, jobs=HOOKS) as (_, api),
    ):
        job_id = await api.submit(webhook={"url": receiver.url})
        told = [await receiver.message(number) for number in range(4)]
        job = await api.ended(job_id)
        assert told[0] == {"type": "job.succeeded", "timestamp": job["completed_at"], "data": job}
        assert told == [told[0]] * 4, "a message changes"
        assert {headers["webhook-id"] for _, headers, _ in receiver.got} == {f"msg_{job_id[4:]}"}
        assert {path for path, _, _ in receiver.got} == {"/hook"}, "a redirect is followed"
        wrong = await api.submit(provider="breeze", voice="v", webhook={"url": receiver.url})
        assert (await receiver.message(4))["data"]["id"] == wrong
        assert len(receiver.got) == 5, "a message that was taken comes again"


async def test_what_is_still_to_be_told_survives_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.jobs.webhooks.RETRY_AFTER_S", (0.01,) * 99)
    monkeypatch.setattr("relay.jobs.webhooks.LEASE_S", 0.1)
    monkeypatch.setattr("relay.jobs.webhooks.LOOK_S", 0.02)
    async with Receiver(*[500] * 3).open() as receiver:
        async with relay(speller([]), tmp_path, jobs=HOOKS) as (_, api):
            job_id = await api.submit(webhook={"url": receiver.url})
            await receiver.message(1)
        async with relay(speller([]), tmp_path, jobs=HOOKS):
            assert (await receiver.message(3))["data"]["id"] == job_id


async def test_after_the_last_attempt_nothing_more_is_sent() -> None:
    """A receiver that refuses gets one message more than there are delays, in 16 hours; one that is gone gets one."""

    class Settled(MemoryJobs):
        done = asyncio.Event()

        async def settle_webhook(self, job_id: str, *, again_at_s: float | None) -> None:
            await super().settle_webhook(job_id, again_at_s=again_at_s)
            self.done.set()

    for answer, expected in ((500, len(RETRY_AFTER_S) + 1), ("timeout", len(RETRY_AFTER_S) + 1), (410, 1), (204, 1)):
        sent: list[float] = []
        now = [1e9]

        async def send(
            url: str, headers: Mapping[str, str], body: bytes, *, sent: Any = sent, now: Any = now, answer: Any = answer
        ) -> int | str:
            sent.append(now[0])
            return answer  # type: ignore[no-any-return]

        store = Settled()
        request = JobRequest(turn=TurnRequest(), text="", webhook="https://example.com/")
        job = Job(id="job_1", owner="a", status=JobStatus.QUEUED, created_at_s=now[0], request=request, chars=0)
        await store.add(job, digest="", most_active=1)
        await store.cancel("job_1", "a", now_s=now[0])
        webhooks = Webhooks(SECRET, send, lambda _: b"{}", now_s=lambda now=now: now[0], draw=lambda: 1.0)  # type: ignore[misc]
        running = asyncio.create_task(webhooks.run(store))
        for _ in range(expected):
            async with asyncio.timeout(PATIENCE_S):
                await store.done.wait()
            store.done.clear()
            now[0] += 40_000
            webhooks.wake()
        assert await store.due_webhook(now_s=1e12, until_s=1e12) is None, "it is still due"
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert len(sent) == expected
    assert sum(RETRY_AFTER_S) * 1.1 < 18 * 3600


class To(AbstractResolver):
    """Every name is at one address."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        family = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        return [ResolveResult(hostname=host, host=self._address, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


async def test_nothing_is_sent_to_an_address_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr("relay.drivers.http.webhook._socket", made.append)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    async with Receiver().open() as receiver:
        inside = ["127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "::1", "fe80::1"]
        inside += ["fc00::1", "::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "224.0.0.1"]
        for address in inside:
            sender = WebhookSender(["listed.example"], resolver=To(address))
            outcome = await sender.send(f"https://hook.example:{receiver.port}/", {}, b"{}")
            assert outcome == "forbidden", address
            literal = f"[{address}]" if ":" in address else address
            assert await WebhookSender().send(f"http://{literal}:{receiver.port}/", {}, b"{}") == "forbidden", address
        for alike in ("2130706433", "0x7f.1", "127.1"):
            assert await WebhookSender().send(f"http://{alike}:{receiver.port}/", {}, b"{}") != 204, alike
        assert made == [] and receiver.got == []
        monkeypatch.undo()
        listed = WebhookSender(["LISTED.example"], resolver=To("127.0.0.1"))
        assert await listed.send(f"http://listed.example:{receiver.port}/", {}, b"{}") == 204


async def test_what_can_never_be_sent_is_refused(tmp_path: Path) -> None:
    async with relay(speller([]), tmp_path, jobs=HOOKS) as (_, api):
        for url in (
            *(
                "",
                "example.com",
                "ftp://example.com/",
                "https:///path",
                "https://[::/",
                "https://a:99999/",
                "http://a/",
            ),
            *(
                "https://user:pass@example.com/",
                "https://example.com/#a",
                "https://exa mple.com/",
                "https://ex\nmple.com/",
            ),
            *("https://münchen.example/", f"https://example.com/{'a' * 2048}"),
        ):
            status, error = await api.ask("POST", "", {"text": "a", "webhook": {"url": url}})
            assert (status, error["error"]["code"]) == (400, "invalid_config"), url
            assert "webhook.url must be" in error["error"]["message"]
        for webhook in ({}, {"url": 1}, {"url": "https://a.example", "secret": "s"}, "https://a.example"):
            status, error = await api.ask("POST", "", {"text": "a", "webhook": webhook})
            assert (status, error["error"]["code"]) == (400, "invalid_message")
    async with relay(speller([]), tmp_path) as (_, api):
        status, error = await api.ask("POST", "", {"text": "a", "webhook": {"url": "https://a.example"}})
        assert (status, error["error"]["code"]) == (400, "invalid_config")
        assert "jobs.webhook_secret" in error["error"]["message"]


def test_a_secret_is_one_or_is_refused_and_is_not_shown(tmp_path: Path) -> None:
    assert SECRET not in repr(JobsConfig(webhook_secret=SECRET))
    for wrong in ("secret", "whsec_", "whsec_c2hvcnQ=", SECRET[:-1], SECRET + "!", SECRET.removeprefix("whsec_")):
        with pytest.raises(ConfigError, match="webhook_secret") as refused:
            load(None, environ={"RELAY_JOBS_WEBHOOK_SECRET": wrong}, providers=())
        assert wrong not in str(refused.value).removeprefix("the environment: ") or wrong in ("secret", "whsec_")


def test_the_verification_of_the_page_takes_what_is_sent_and_nothing_else() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "webhooks.md").read_text("utf-8")
    [program] = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(compile(program, "webhooks.md", "exec"), names)
    at_s = int(time.time())
    headers = dict(signed_headers(SECRET, "msg_1", at_s, b"{}"))
    assert names["verified"](SECRET, headers, b"{}")
    assert not names["verified"](SECRET, headers, b"[]")
    assert not names["verified"](SECRET, headers | {"webhook-id": "msg_2"}, b"{}")
    assert not names["verified"](SECRET, dict(signed_headers(SECRET, "msg_1", at_s - 301, b"{}")), b"{}")
