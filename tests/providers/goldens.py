"""Golden exchanges: what one segment of speech sends and is answered, in order, played against a fake provider.

A file is `{origin, valid, invalid}`; `invalid` replaces keys of `valid`, says in `differs` how, and ends in an error.

::

    settings     of the operator                 exchanges   [{request, reply}], the requests in the order they come;
                                                             of a single one: request, reply
    wanted       of the client                   waits       seconds between polls
    text         spoken `times` times over       facts, hex  what the driver gives, or
    refused      words of the ClientError        error, body_error   what it raises, what a reply that is no audio means

`{text}`, `{files}` and `{long}` in a string stand for the text, the address of a second host (whose exchanges say
`"host": "files"`), and 5,000 characters.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.core.timings import Timings
from relay.drivers.http.driver import HttpDriver, HttpSettings
from relay.drivers.poll.driver import PollDriver
from relay.errors import ClientError, Code, ProviderError, ProviderFault
from relay.providers.base.http import HttpRequest, ReplyFacts
from relay.providers.base.poll import PollRequest
from relay.providers.base.provider import Provider, SpeechRequest, Voice
from relay.testing.fake_provider import FakeProvider, FakeRequest
from relay.testing.script import Script, Send, Status

Golden = dict[str, Any]
# Makes the provider: its base URL, and the operator's settings.
Build = Callable[..., Provider]
ROOT = Path(__file__).parent.parent / "golden"


def names(provider: str, *, but: tuple[str, ...] = ()) -> list[str]:
    return sorted(path.stem for path in (ROOT / provider).glob("*.json") if path.stem not in but)


def load(provider: str, name: str) -> Golden:
    both = cast("Golden", json.loads((ROOT / provider / f"{name}.json").read_text("utf-8")))
    assert both["origin"]
    assert both["invalid"].pop("differs")
    return both


def twin(both: Golden) -> Golden:
    """The invalid case; it says how it ends, and nothing of the valid one's end is left."""
    invalid: Golden = both["invalid"]
    assert {"error", "body_error", "refused"} & set(invalid), "a twin ends in an error"
    # A reply that turns out to be no audio is told apart only when its facts have been read.
    ends = ("hex", "error", "body_error", *(() if "body_error" in invalid else ("facts",)))
    return {key: value for key, value in both["valid"].items() if key not in ends} | invalid


def check_refused(build: Build, case: Golden) -> None:
    """The client's wish, or the operator's, is refused before anything is sent."""
    with pytest.raises(ClientError) as caught:
        build("http://127.0.0.1:9", **case.get("settings", {})).resolve(SpeechRequest(**case["wanted"]))
    assert caught.value.code is Code.INVALID_CONFIG
    for said in case["refused"]:
        assert said in caught.value.message, caught.value.message


async def play_twin(build: Build, both: Golden, *, secrets: tuple[str, ...]) -> None:
    """The invalid case, which is refused here or at the provider."""
    case = twin(both)
    if "refused" in case:
        check_refused(build, case)
    else:
        await play(build, case, secrets=secrets)


def told(voices: Iterable[Voice]) -> list[Golden]:
    """A list of voices as the golden files hold it."""
    return [
        {
            "id": voice.id,
            "name": voice.name,
            "languages": list(voice.languages),
            "gender": voice.gender,
            "description": voice.description,
        }
        for voice in voices
    ]


async def play(build: Build, case: Golden, *, secrets: tuple[str, ...]) -> None:
    """Speaks the case's text to fakes that give its replies, and checks what either side gets."""
    text: str = case["text"] * case.get("times", 1)
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    http = HttpDriver(HttpSettings(retries=case.get("retries", 0), backoff_s=0.001))
    polls = PollDriver(http, sleep=sleep)
    api, files = _Playing(), _Playing()
    async with FakeProvider(files) as files_fake, FakeProvider(api) as api_fake:
        placed = {"{text}": text, "{files}": files_fake.url, "{long}": "x" * 5000}
        exchanges = _filled(case.get("exchanges") or [{name: case[name] for name in ("request", "reply")}], placed)
        for each in exchanges:
            (files if each.get("host") == "files" else api).scripts.append(script(each["reply"]))
        provider = build(api_fake.url, **case.get("settings", {}))
        upstream = provider.request(provider.resolve(SpeechRequest(**_filled(case["wanted"], placed))), text)
        await http.start()
        await polls.start()
        try:
            assert isinstance(upstream, (HttpRequest, PollRequest))
            opened = (
                http.open(upstream, Timings()) if isinstance(upstream, HttpRequest) else polls.open(upstream, Timings())
            )
            if expected := case.get("error"):
                with pytest.raises(ProviderError) as caught:
                    async with opened:
                        pass
                check_error(caught.value, expected)
                for secret in (*secrets, text):
                    assert secret not in f"{caught.value.message} {caught.value.provider}"
            else:
                async with opened as reply:
                    body = b"".join([piece async for piece in reply if isinstance(piece, bytes)])
                    assert {"facts", "body_error"} & set(case), "a reply is audio, or is refused"
                    if "facts" in case:
                        assert reply.facts == _facts(case["facts"])
                    if expected := case.get("hex") or exchanges[-1]["reply"].get("hex"):
                        assert body.hex() == expected
                    if expected := case.get("body_error"):
                        refused = reply.refuse(body)
                        assert refused is not None
                        check_error(refused, expected)
        finally:
            await polls.close()
            await http.close()
        for host, fake in (("api", api_fake), ("files", files_fake)):
            wanted = [each["request"] for each in exchanges if each.get("host", "api") == host]
            sent = [exchange.request for exchange in fake.exchanges]
            assert [f"{each.method} {each.path}" for each in sent] == [f"{e['method']} {e['path']}" for e in wanted]
            for request, expected in zip(sent, wanted, strict=True):
                check_request(request, expected)
    assert waits == pytest.approx(case.get("waits", []))


def check_request(sent: FakeRequest, expected: Golden) -> None:
    assert (sent.method, sent.path) == (expected["method"], expected["path"])
    assert sent.query == expected.get("query", {})
    assert {name: sent.headers.get(name) for name in expected["headers"]} == expected["headers"]
    if "body" in expected:
        assert sent.json() == expected["body"]
        assert sent.headers["content-type"] == "application/json"
    else:
        assert sent.body == b""


def check_error(error: ProviderError, expected: Golden) -> None:
    assert (error.code, error.retryable) == (expected["code"], expected["retryable"])
    assert error.retry_after_s == expected.get("retry_after_s")
    if expected.get("provider"):
        assert error.provider == ProviderFault(**expected["provider"])
    for said in expected["says"]:
        assert said in error.message


class _Playing:
    """One script after the other; one request too many is answered with what no case expects."""

    def __init__(self) -> None:
        self.scripts: deque[Script] = deque()

    def __call__(self, request: FakeRequest) -> Script:
        assert self.scripts, f"{request.method} {request.path} is one request too many"
        return self.scripts.popleft()


def script(reply: Golden) -> Script:
    if "json" in reply:
        body = json.dumps(reply["json"]).encode()
    else:
        body = bytes.fromhex(reply["hex"]) if "hex" in reply else reply.get("text", "").encode()
    status = Status(reply["status"], reply.get("headers", {}), len(body))
    return (status, Send(body)) if body else (status,)


def _facts(expected: Golden) -> ReplyFacts:
    return ReplyFacts(source=source_of(expected), ids=expected["ids"])


def source_of(expected: Golden) -> SourceFormat:
    pcm = expected["pcm"]
    shape = AudioFormat(**(pcm | {"encoding": Encoding(pcm["encoding"])})) if pcm else None
    return SourceFormat(container=Container(expected["container"]), pcm=shape)


def _filled(value: Any, placed: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, placed) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, placed) for each in value]
    if isinstance(value, str):
        for name, text in placed.items():
            value = value.replace(name, text)
    return value
