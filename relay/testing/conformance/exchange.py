"""Golden exchanges: what one segment sends and is answered, played against a provider's description without I/O.

    check_exchange(MyProvider, ProviderSettings(api_key="test"), json.loads(golden)["valid"], secrets=("test",))

An exchange is JSON::

    wanted, settings    of the client and of the operator: fields of `SpeechRequest` and `ProviderSettings`
    text, times         what is spoken, so many times over
    request, reply      method, path, query, headers, body (JSON); status, headers, and json, text or hex
    exchanges           or several of {request, reply}, in order
    retries             how often a reply that says to try again is
    facts               container, pcm, ids: what the reply says of its audio, or
    error, body_error   code, retryable, says: what it raises, or what its body means that is no audio, or
    refused             words of the ClientError that a wish gets before anything is sent

"""

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.errors import ClientError, ProviderError
from relay.providers.base.http import HttpRequest, Refusal, ReplyFacts
from relay.providers.base.poll import Answer, Arrived, Ask, Fetch, PollJob, PollRequest
from relay.providers.base.provider import Provider, ProviderSettings, SpeechRequest

Exchange = Mapping[str, Any]


def check_exchange(
    make: Callable[[ProviderSettings], Provider],
    settings: ProviderSettings,
    exchange: Exchange,
    *,
    secrets: tuple[str, ...] = (),
) -> None:
    """`settings` are those that every exchange has; its own replace them. `secrets` and the text are in no error."""
    own = replace(settings, **exchange.get("settings", {}))
    if "refused" in exchange:
        _check_refused(make, own, exchange)
        return
    text = exchange["text"] * exchange.get("times", 1)
    provider = make(own)
    upstream = provider.request(provider.resolve(SpeechRequest(**exchange["wanted"])), text)
    steps = deque(exchange.get("exchanges") or [{"request": exchange["request"], "reply": exchange["reply"]}])
    try:
        facts, body_error = _played(upstream, steps, exchange.get("retries", 0))
    except ProviderError as error:
        assert "error" in exchange, f"it fails: {error.message}"
        _check_error(error, exchange["error"], (*secrets, text))
        return
    assert "error" not in exchange, "it does not fail"
    assert not steps, f"{len(steps)} requests were never sent"
    if "facts" in exchange:
        assert facts == _facts(exchange["facts"]), f"the reply says {facts}"
    if expected := exchange.get("body_error"):
        _check_error(body_error, expected, (*secrets, text))


def _check_refused(
    make: Callable[[ProviderSettings], Provider], settings: ProviderSettings, exchange: Exchange
) -> None:
    try:
        make(settings).resolve(SpeechRequest(**exchange["wanted"]))
    except ClientError as error:
        for words in exchange["refused"]:
            assert words in error.message, f"{words!r} is not in: {error.message}"
        return
    raise AssertionError("the wish is not refused")


def _played(upstream: object, steps: deque[Any], retries: int) -> tuple[ReplyFacts, ProviderError]:
    """The facts of the last reply, and the error that its body would stand for if it is no audio."""
    if isinstance(upstream, PollRequest):
        return _polled(upstream.job(), steps, retries)
    assert isinstance(upstream, HttpRequest)
    return _replied(upstream, steps, retries)


def _polled(job: PollJob, steps: deque[Any], retries: int) -> tuple[ReplyFacts, ProviderError]:
    step: Ask | Fetch | Arrived = job.start()
    while isinstance(step, Ask):
        request, reply = step.request, _next_reply(step.request, steps)
        if reply["status"] >= 500:
            raise request.refuse(_refusal(reply))
        assert step.after_s >= 0
        step = job.receive(Answer(status=reply["status"], headers=reply.get("headers", {}), body=_body(reply)))
        last = request.refuse(_refusal(reply))
    return _replied(step.request, steps, retries) if isinstance(step, Fetch) else (step.facts, last)


def _replied(request: HttpRequest, steps: deque[Any], retries: int) -> tuple[ReplyFacts, ProviderError]:
    reply = _next_reply(request, steps)
    refused = request.refuse(_refusal(reply))
    if 200 <= reply["status"] < 300:
        facts = request.accept(reply.get("headers", {}))
        if request.unwrap is not None:
            unwrap = request.unwrap()
            unwrap.feed(_body(reply))
            unwrap.flush()
        return facts, refused
    if refused.retryable and retries:
        return _replied(request, steps, retries - 1)
    raise refused


def _next_reply(request: HttpRequest, steps: deque[Any]) -> Exchange:
    assert steps, f"{request.method} {request.url} is one request too many"
    step: Exchange = steps.popleft()
    expected, parts = step["request"], urlsplit(request.url)
    assert (request.method, parts.path) == (expected["method"], expected["path"])
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    assert query == expected.get("query", {}), f"the query is {query}"
    sent = {**request.headers, **request.secret_headers}
    for name, value in expected["headers"].items():
        assert sent.get(name) == value, f"the header {name} differs"
    body = json.loads(request.body) if request.body else None
    assert body == expected.get("body"), f"the fields of the body are {body}"
    reply: Exchange = step["reply"]
    return reply


def _refusal(reply: Exchange) -> Refusal:
    return Refusal(status=reply["status"], headers=reply.get("headers", {}), body=_body(reply))


def _body(reply: Exchange) -> bytes:
    if "json" in reply:
        return json.dumps(reply["json"]).encode()
    return bytes.fromhex(reply["hex"]) if "hex" in reply else reply.get("text", "").encode()


def _facts(expected: Exchange) -> ReplyFacts:
    pcm = expected["pcm"]
    shape = AudioFormat(**{**pcm, "encoding": Encoding(pcm["encoding"])}) if pcm else None
    return ReplyFacts(source=SourceFormat(container=Container(expected["container"]), pcm=shape), ids=expected["ids"])


def _check_error(error: ProviderError, expected: Exchange, private: tuple[str, ...]) -> None:
    assert (error.code, error.retryable) == (expected["code"], expected["retryable"]), f"it fails with {error.code}"
    assert error.retry_after_s == expected.get("retry_after_s")
    for words in expected["says"]:
        assert words in error.message, f"{words!r} is not in: {error.message}"
    for secret in private:
        assert secret not in f"{error.message} {error.provider}", "an error passes on a secret or the text"
