"""Every provider of the catalog keeps what those of others have to keep."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.providers.base.provider import ProviderSettings, SpeechRequest
from relay.providers.catalog import PROVIDERS
from relay.testing.conformance.exchange import check_exchange
from relay.testing.conformance.provider import CHECKS, ProviderCase, check_voices
from tests.covering import each

GOLDEN = Path(__file__).parent.parent / "golden"
KEY, USER = "key_4f9d2c71b8e6a035", "user_93b1d7c2e8f4"
KAREN = "29158307-9893-4149-8a75-bc9ce313d64e"

# One wish for each way to speak with a provider; a new provider speaks in one way until it says more here.
WANTED = {
    "breeze": (
        SpeechRequest(),
        *(SpeechRequest(options={"transport": each}) for each in ("timestamps", "sync", "job", "realtime")),
    ),
    "bland": tuple(SpeechRequest(options={"api": api}) for api in ("v1", "v2", "socket")),
    "sauti": (SpeechRequest(), SpeechRequest(options={"delivery": "job"})),
    "playai": (SpeechRequest(), SpeechRequest(options={"delivery": "job"})),
    "openai": (SpeechRequest(), SpeechRequest(options={"stream_format": "sse"}, instructions="Calm.")),
    "deepgram": (SpeechRequest(), SpeechRequest(options={"transport": "socket"})),
    "elevenlabs": tuple(
        SpeechRequest(options={"transport": each}) for each in ("http", "timestamps", "multi", "single")
    ),
    "cartesia": tuple(SpeechRequest(options={"transport": each}) for each in ("http", "events", "socket")),
}
VOICES = {"bland": KAREN, "espeak": "en", "hibari": "heart"}
# The accounts that the goldens were written with.
TEST_ACCOUNTS = {
    "breeze": (ProviderSettings(api_key="brz_test"), ("brz_test",)),
    "bland": (ProviderSettings(api_key="org_test_key"), ("org_test_key",)),
    "sauti": (ProviderSettings(api_key="sau_test"), ("sau_test",)),
    "playai": (
        ProviderSettings(api_key="pk_test", user_id="user_test", base_url="http://playai.test"),
        ("pk_test", "user_test"),
    ),
    "openai": (ProviderSettings(api_key="sk-test_key", base_url="http://openai.test"), ("sk-test_key",)),
    "deepgram": (ProviderSettings(api_key="dg_test_key"), ("dg_test_key",)),
    "elevenlabs": (ProviderSettings(api_key="el_test_key"), ("el_test_key",)),
    "cartesia": (ProviderSettings(api_key="ca_test_key"), ("ca_test_key",)),
}


def case_of(name: str) -> ProviderCase:
    facts = PROVIDERS[name](ProviderSettings(api_key=KEY)).capabilities
    settings = ProviderSettings(
        api_key=KEY if facts.needs_key else None,
        user_id=USER if facts.needs_user_id else None,
        base_url="http://127.0.0.1:9" if facts.needs_base_url else None,
        voice=VOICES.get(name, "voc_1"),
    )
    return ProviderCase(make=PROVIDERS[name], settings=settings, wanted=WANTED.get(name, (SpeechRequest(),)))


@each("check", CHECKS)
@each("name", PROVIDERS)
def test_provider(name: str, check: Callable[[ProviderCase], None]) -> None:
    check(case_of(name))


@pytest.mark.parametrize("name", PROVIDERS)
def test_voices(name: str) -> None:
    check_voices(case_of(name), golden_pages(name))


def golden_pages(name: str) -> tuple[bytes, ...]:
    if name == "espeak":
        return (json.dumps([{"id": "en", "name": "English", "languages": [[5, "en"]], "gender": "male"}]).encode(),)
    if not (path := GOLDEN / name / "voices.json").exists():
        return ()
    valid = json.loads(path.read_text("utf-8"))["valid"]
    pages = valid["pages"] if "pages" in valid else [valid["reply"].get("json", valid["reply"])]
    return tuple(json.dumps(page).encode() for page in pages)


# Twins that end in what a driver finds: no audio at all, a wait beyond the job's time.
FOUND_BY_DRIVERS = ("breeze-reply_in_another_format", "playai-poll_rate_limited", "sauti-poll_rate_limited")


def exchanges() -> Iterator[Any]:
    """Every golden segment of every provider, and its invalid twin."""
    for path in sorted(path for name in PROVIDERS for path in (GOLDEN / name).glob("*.json")):
        both = json.loads(path.read_text("utf-8"))
        if "text" not in both["valid"]:
            continue
        name, valid = path.parent.name, both["valid"]
        kept = {key: value for key, value in valid.items() if key not in ("facts", "error", "body_error")}
        yield pytest.param(name, valid, id=f"{name}-{path.stem}")
        if f"{name}-{path.stem}" not in FOUND_BY_DRIVERS:
            yield pytest.param(name, kept | both["invalid"], id=f"{name}-{path.stem}-invalid")


@each(("name", "exchange"), [*exchanges()])
def test_golden_exchange(name: str, exchange: dict[str, Any]) -> None:
    settings, secrets = TEST_ACCOUNTS[name]
    text = exchange["text"] * exchange.get("times", 1)
    check_exchange(PROVIDERS[name], settings, filled(exchange, text), secrets=secrets)


def filled(value: Any, text: str) -> Any:
    """The places that a golden leaves open: the text, a second host, a long string."""
    if isinstance(value, dict):
        return {key: filled(each, text) for key, each in value.items()}
    if isinstance(value, list):
        return [filled(each, text) for each in value]
    if isinstance(value, str):
        return value.replace("{text}", text).replace("{files}", "http://files.test").replace("{long}", "x" * 5000)
    return value
