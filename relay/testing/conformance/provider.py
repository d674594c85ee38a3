"""A provider's description: what it asks for, what it gives away, and what it makes of any answer. Nothing is opened.

    case = ProviderCase(make=MyProvider, settings=ProviderSettings(api_key=KEY, voice="v"), wanted=(SpeechRequest(),))
    for check in CHECKS:
        check(case)

`wanted` is one wish for each way that the provider can be asked to speak. Golden exchanges: see `exchange`.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from relay.core.transform import Transform
from relay.errors import ClientError, Code, ProviderError
from relay.providers.base.dialogue import DialogueRequest, takes_text_as_typed
from relay.providers.base.http import HttpRequest, Refusal
from relay.providers.base.poll import Answer, Ask, PollRequest
from relay.providers.base.provider import (
    LocalRequest,
    Origin,
    Probe,
    Provider,
    ProviderSettings,
    Speech,
    SpeechRequest,
    Upstream,
    Voice,
    VoiceQuery,
    Worker,
)
from relay.testing.conformance.odd_answers import TEXT, odd_bodies, odd_refusals

# Longest message of an error: it is one line of a log.
MESSAGE_CHARS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCase:
    """A provider, and how it can be spoken with. `settings` hold every secret that the provider needs."""

    make: Callable[[ProviderSettings], Provider]
    settings: ProviderSettings
    wanted: tuple[SpeechRequest, ...] = (SpeechRequest(),)

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(secret for secret in (self.settings.api_key, self.settings.user_id) if secret)

    def provider(self) -> Provider:
        return self.make(self.settings)

    def speeches(self) -> Iterator[tuple[Provider, Speech]]:
        for wanted in self.wanted:
            provider = self.provider()
            yield provider, provider.resolve(wanted)


def check_settings(case: ProviderCase) -> None:
    """Options are refused by name, with those there are; a missing key by the variable that would hold it."""
    provider = case.provider()
    for wanted in case.wanted:
        odd = replace(wanted, options={**wanted.options, "no_such_option": 1})
        error = _refused("an unknown option", provider.resolve, odd)
        assert "no_such_option" in error.message, "the error does not name the option that is unknown"
        named = [name for name in provider.capabilities.options if name in error.message]
        assert named or not provider.capabilities.options, "the error does not name the options there are"
    unknown = replace(case.settings, options={"no_such_option": 1})
    _refused("the operator's unknown option", case.make, unknown)
    if provider.capabilities.needs_key:
        keyless = case.make(replace(case.settings, api_key=None))
        error = _refused("a missing key", keyless.resolve, case.wanted[0])
        assert f"{provider.name.upper()}_API_KEY" in error.message, "the error does not say where a key goes"
        error = _refused("a key with a space", case.make, replace(case.settings, api_key="hunter 2"))
        assert "hunter 2" not in error.message, "the error quotes the key"
    for secret in case.secrets:
        assert secret not in repr(case.settings), "settings show a secret"


def check_requests(case: ProviderCase) -> None:
    """Keys travel in secret headers alone, the text whole and in the body, to the operator's own address."""
    base_url = "http://gateway.internal:8080/there"
    for wanted in case.wanted:
        provider = case.make(replace(case.settings, base_url=base_url)) if _is_remote(case) else case.provider()
        speech = provider.resolve(wanted)
        upstream = provider.request(speech, TEXT)
        for secret in case.secrets:
            assert secret not in repr(speech), "the checked settings show a secret"
        if isinstance(upstream, LocalRequest):
            assert TEXT in json.loads(json.dumps(upstream.job)).values(), "the job does not hold the text as it is"
            continue
        request = _first_request(upstream)
        _check_request(request, provider, case.secrets)
        assert request.url.startswith(f"{base_url}/"), "the operator's address is not used"
        assert request.body is not None and TEXT in _strings(json.loads(request.body)), "the text is not sent as it is"
        if provider.capabilities.needs_key:
            assert (case.settings.api_key or "") in " ".join(request.secret_headers.values()), "the key is not sent"


def check_longest_segment(case: ProviderCase) -> None:
    """Text as long as `max_segment_chars` and `max_segment_bytes` allow is sent whole, of any width of characters."""
    for provider, speech in case.speeches():
        facts = provider.capabilities
        for character in ("a", "é", "語", "😀"):
            longest = facts.max_segment_chars or 10_000
            if facts.max_segment_bytes is not None:
                longest = min(longest, facts.max_segment_bytes // len(character.encode()))
            text = character * longest
            upstream = provider.request(speech, text)
            if isinstance(upstream, LocalRequest):
                assert text in upstream.job.values()
                continue
            body = _first_request(upstream).body
            assert body is not None and text in _strings(json.loads(body)), f"{longest} characters are not sent whole"


def check_errors(case: ProviderCase) -> None:
    """Any refusal becomes a typed error that keeps keys and text to itself."""
    for provider, speech in case.speeches():
        upstream = provider.request(speech, TEXT)
        if isinstance(upstream, LocalRequest):
            continue
        request = _first_request(upstream)
        for refusal in odd_refusals(case.secrets):
            error = request.refuse(refusal)
            _check_error(error, provider, (*case.secrets, TEXT))
            if refusal.status == 401 and not refusal.body:
                assert (error.code, error.retryable) == (Code.PROVIDER_AUTH, False), (
                    "401 without a body is about the key"
                )
            if refusal.status == 429 and not refusal.body:
                assert (error.code, error.retryable) == (Code.PROVIDER_RATE_LIMITED, True)
                assert error.retry_after_s == 7, "Retry-After is not passed on"
        for headers in ({}, {"content-type": "text/html"}, {"content-type": "\x00"}, {"x-sample-rate": "fast"}):
            _reads(provider, (*case.secrets, TEXT), request.accept, headers)


def check_odd_answers(case: ProviderCase) -> None:
    """No bytes at all break what reads a provider's messages: jobs, wrapped audio, lists of voices, sockets."""
    for provider, speech in case.speeches():
        upstream = provider.request(speech, TEXT)
        for body in odd_bodies(case.secrets):
            if isinstance(upstream, PollRequest):
                job = upstream.job()
                job.start()
                answer = Answer(status=200, headers={}, body=body)
                _reads(provider, (*case.secrets, TEXT), job.receive, answer)
            if isinstance(upstream, HttpRequest) and upstream.unwrap:
                _reads(provider, (*case.secrets, TEXT), _unwrapped, upstream.unwrap(), body)
            if takes_text_as_typed(provider, speech):
                _check_dialogue_reads(provider, (*case.secrets, TEXT), provider.converse(speech), body)


def check_dialogue(case: ProviderCase) -> None:
    """Where text is taken as it is typed: every message is text or bytes, all of the text is in them, and no secret
    shows."""
    streamed = False
    for provider, speech in case.speeches():
        if not takes_text_as_typed(provider, speech):
            continue
        streamed = True
        request = provider.converse(speech)
        for secret in case.secrets:
            assert secret not in request.key, "the key of the pool holds a secret"
        if request.mint:
            _check_request(request.mint, provider, case.secrets)
        dialogue = request.dialogue()
        messages = [*dialogue.greet(), *dialogue.begin("turn-1")]
        assert dialogue.give("") == [], "no text is no message"
        for word in (f"{word} " for word in TEXT.split(" ")):
            given = dialogue.give(word)
            assert any(_holds(message, word) for message in given), "text is changed"
            messages += given
        messages += [*dialogue.flush(), *dialogue.end_text(), *dialogue.keep_alive()]
        for message in messages:
            assert isinstance(message, str | bytes), "a message is text or bytes"
            for secret in case.secrets:
                assert secret.encode() not in _as_bytes(message), "a message holds a secret"
    assert streamed or not case.provider().capabilities.streaming_text, "no wish of `wanted` lets text be typed"


def check_voices(case: ProviderCase, pages: tuple[bytes, ...] = ()) -> None:
    """The voices, from `pages` (golden bodies, in order) where the provider is asked: each once, with id and name."""
    provider = case.provider()
    listed = provider.voices()
    if isinstance(listed, VoiceQuery):
        if isinstance(listed.request, HttpRequest):
            _check_request(listed.request, provider, case.secrets)
            for body in odd_bodies(case.secrets):
                _reads(provider, case.secrets, listed.parse, body)
        assert pages, "there is a list of voices to ask for, and no golden of it"
        voices: list[Voice] = []
        query_or_end: VoiceQuery | None = listed
        for page in pages:
            assert query_or_end is not None, "there are more pages than are asked for"
            found, query_or_end = query_or_end.parse(page)
            voices += found
        assert voices, "the golden holds no voice"
        listed = voices
    ids = [voice.id for voice in listed]
    assert len(ids) == len(set(ids)), "a voice is listed twice"
    assert all(voice.id and voice.name for voice in listed), "a voice has no id or no name"


def check_instance(case: ProviderCase) -> None:
    """An instance under another name is called by that name: in its requests, its errors, and what it says is wrong."""
    named = replace(case.settings, name="another-name")
    adapter = case.provider().name
    assert case.make(named).name == "another-name", "the instance has another name"
    for wanted in case.wanted:
        provider = case.make(named)
        odd = replace(wanted, options={**wanted.options, "no_such_option": 1})
        _refused("an unknown option", provider.resolve, odd)
        speech = provider.resolve(wanted)
        upstream = provider.request(speech, TEXT)
        assert upstream.provider == "another-name", "a request names another provider"
        if takes_text_as_typed(provider, speech):
            dialogue = provider.converse(speech)
            assert dialogue.provider == "another-name", "a conversation names another provider"
            _check_error(dialogue.refuse(Refusal(status=401, headers={}, body=b"")), provider, case.secrets)
        if isinstance(upstream, LocalRequest):
            continue
        for refusal in odd_refusals(case.secrets):
            error = _first_request(upstream).refuse(refusal)
            _check_error(error, provider, case.secrets)
            assert error.message.startswith("another-name"), f"{adapter}: an error does not begin with the name"
    if case.provider().capabilities.needs_key:
        keyless = _refused("a missing key", case.make(replace(named, api_key=None)).resolve, case.wanted[0])
        assert "providers.another-name.api_key" in keyless.message, "the error does not say where the key goes"
        assert "_API_KEY" not in keyless.message, "the variable is that of another instance"
    check_odd_answers(replace(case, settings=named))


def check_ahead(case: ProviderCase) -> None:
    """What is opened ahead of a turn and what shows that the service is there are described, and need no voice."""
    for settings in (case.settings, replace(case.settings, voice=None)):
        provider = case.make(settings)
        for wanted in (SpeechRequest(), *case.wanted):
            for ahead in provider.warm(wanted):
                if isinstance(ahead, DialogueRequest):
                    assert ahead.provider == provider.name
                else:
                    assert isinstance(ahead, Origin | Worker), f"{type(ahead).__name__} cannot be opened ahead"
        check = provider.check()
        if isinstance(check, Probe):
            _check_request(check.request, provider, case.secrets)
            for body in odd_bodies(case.secrets):
                for status in (200, 401, 404):
                    answer = Answer(status=status, headers={}, body=body)
                    _reads(provider, case.secrets, check.read, answer)
            try:
                check.read(Answer(status=401, headers={}, body=b""))
            except ProviderError as error:
                assert error.code is Code.PROVIDER_AUTH, "401 is about the key"
            else:
                raise AssertionError("a check takes 401 for a good answer")
        elif isinstance(check, VoiceQuery) and isinstance(check.request, HttpRequest):
            _check_request(check.request, provider, case.secrets)
    for wanted in case.wanted:
        provider = case.provider()
        speech = provider.resolve(wanted)
        if takes_text_as_typed(provider, speech):
            keys = [each.key for each in provider.warm(wanted) if isinstance(each, DialogueRequest)]
            assert keys == [provider.converse(speech).key], "what is opened ahead is not what a turn would open"


def check_pages_in_place_of_audio(case: ProviderCase) -> None:
    """A good status with a page, a text, an error of no known code, or nothing: `bad_audio`, which is not retried."""
    for provider, speech in case.speeches():
        upstream = provider.request(speech, TEXT)
        for body in (b"<html><title>Sign in</title></html>", b"busy, try later", b'{"error":{"message":"odd"}}', b""):
            error: ProviderError | None = None
            if isinstance(upstream, PollRequest):
                job = upstream.job()
                job.start()
                error = _raised(job.receive, Answer(status=200, headers={}, body=body))
            elif isinstance(upstream, HttpRequest):
                error = upstream.refuse(Refusal(status=200, headers={}, body=body))
                if upstream.unwrap and body:
                    unwrapped = _raised(_unwrapped, upstream.unwrap(), body)
                    assert unwrapped is not None and unwrapped.code is Code.BAD_AUDIO, "unwrapped, it is another fault"
            if error is not None:
                assert (error.code, error.retryable) == (Code.BAD_AUDIO, False), f"{body!r} is {error.code}"
            else:
                assert isinstance(upstream, LocalRequest), f"{body!r} is taken for audio"
            if takes_text_as_typed(provider, speech):
                request = provider.converse(speech)
                if request.mint is not None:
                    minted = _raised(request.connect, body)
                    assert minted is not None and minted.code is Code.BAD_AUDIO, f"{body!r} mints a session"
                refused = request.refuse(Refusal(status=200, headers={}, body=body))
                assert refused.code is Code.BAD_AUDIO, f"{body!r} at the handshake is {refused.code}"


CHECKS: tuple[Callable[[ProviderCase], None], ...] = (
    check_settings,
    check_requests,
    check_longest_segment,
    check_errors,
    check_odd_answers,
    check_dialogue,
    check_instance,
    check_ahead,
    check_pages_in_place_of_audio,
)


def _refused(what: str, work: Callable[..., object], *arguments: object) -> ClientError:
    try:
        work(*arguments)
    except ClientError as error:
        return error
    raise AssertionError(f"{what} is not refused")


def _raised(work: Callable[..., object], *arguments: object) -> ProviderError | None:
    try:
        work(*arguments)
    except ProviderError as error:
        return error
    return None


def _is_remote(case: ProviderCase) -> bool:
    provider = case.provider()
    return not isinstance(provider.request(provider.resolve(case.wanted[0]), TEXT), LocalRequest)


def _first_request(upstream: Upstream) -> HttpRequest:
    if isinstance(upstream, PollRequest):
        step = upstream.job().start()
        assert isinstance(step, Ask)
        return step.request
    assert isinstance(upstream, HttpRequest)
    return upstream


def _check_request(request: HttpRequest, provider: Provider, secrets: tuple[str, ...]) -> None:
    assert request.provider == provider.name, "the request names another provider"
    assert request.url.isascii() and " " not in request.url, "the URL is not escaped"
    open_parts = f"{request.method} {request.url} {request.headers} {request.body!r}"
    for secret in secrets:
        assert secret not in open_parts, "a secret stands outside the secret headers"
    for name in (*request.headers, *request.secret_headers):
        assert name == name.lower(), f"header names are lower-case; {name} is not"


def _holds(message: str | bytes, word: str) -> bool:
    """Whether a word is in a message as it is: as a string of its JSON, or in bytes of another kind."""
    try:
        return word in _strings(json.loads(message))
    except ValueError:
        return word.encode() in _as_bytes(message)


def _as_bytes(message: str | bytes) -> bytes:
    return message.encode("utf-8", "surrogatepass") if isinstance(message, str) else message


def _strings(value: Any) -> list[str]:
    """Every string in a JSON value."""
    if isinstance(value, dict):
        return [text for each in value.values() for text in _strings(each)]
    if isinstance(value, list):
        return [text for each in value for text in _strings(each)]
    return [value] if isinstance(value, str) else []


def _check_error(error: ProviderError, provider: Provider, private: tuple[str, ...]) -> None:
    assert isinstance(error, ProviderError), f"{type(error).__name__} is no ProviderError"
    assert error.provider.name == provider.name, "the error names another provider"
    assert error.message and len(error.message) <= MESSAGE_CHARS, "an error says what is wrong, in a line"
    assert error.retry_after_s is None or 0 <= error.retry_after_s < float("inf"), "a wait that cannot be waited"
    said = f"{error.message} {error.provider}"
    for text in private:
        assert text not in said, "an error passes on a secret or the text"


def _reads(provider: Provider, private: tuple[str, ...], read: Callable[..., object], *arguments: object) -> None:
    """`read` understands its arguments or raises a ProviderError that keeps `private` to itself, and nothing else."""
    try:
        read(*arguments)
    except ProviderError as error:
        _check_error(error, provider, private)


def _unwrapped(unwrap: Transform[bytes, Any], body: bytes) -> None:
    unwrap.feed(body)
    unwrap.flush()


def _check_dialogue_reads(provider: Provider, private: tuple[str, ...], request: DialogueRequest, body: bytes) -> None:
    _reads(provider, private, request.connect, body)
    for message in (body, body.decode("utf-8", "replace")):
        dialogue = request.dialogue()
        dialogue.greet()
        dialogue.begin("turn-1")
        dialogue.give(TEXT)
        _reads(provider, private, dialogue.receive, message)
