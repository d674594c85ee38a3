"""Checks of settings: what passes unchanged, and what is refused in words that help."""

from typing import Any

import pytest

from relay.errors import ClientError, Code
from relay.providers.base import checks


def refusal(check: Any, *args: Any) -> str:
    with pytest.raises(ClientError) as caught:
        check(*args)
    assert caught.value.code is Code.INVALID_CONFIG
    return caught.value.message


def test_number() -> None:
    assert checks.number("speed", 1, 0.5, 2) == 1
    assert isinstance(checks.number("speed", 1, 0.5, 2), int)
    assert checks.number("speed", 0.5, 0.5, 2) == 0.5
    assert refusal(checks.number, "speed", 3, 0.5, 2) == "speed is 3; it must be a number from 0.5 to 2"
    for wrong in (True, "1", None, float("nan"), float("-inf"), 10**30):
        assert refusal(checks.number, "speed", wrong, 0.5, 2).startswith("speed is ")


def test_boolean_and_choice() -> None:
    assert checks.boolean("boost", False) is False
    assert refusal(checks.boolean, "boost", 0) == "boost is 0; it must be true or false"
    assert checks.one_of("format", "mp3", ("pcm", "mp3")) == "mp3"
    assert refusal(checks.one_of, "format", "opus", ("pcm", "mp3")) == "format is 'opus'; it must be one of pcm, mp3"
    assert refusal(checks.one_of, "format", ["mp3"], ("pcm", "mp3")).startswith("format is ['mp3']")


def test_known_and_mapping() -> None:
    checks.known("options", {"a": 1}, ("a", "b"))
    assert refusal(checks.known, "options", {"c": 1}, ("a", "b")) == "options has no field 'c'; it has a, b"
    assert len(refusal(checks.known, "options", {"c" * 10_000: 1}, ("a", "b"))) < 120
    assert checks.mapping("options", {"a": 1}) == {"a": 1}
    assert refusal(checks.mapping, "options", "a") == "options is 'a'; it must be an object"


def test_text_is_never_quoted() -> None:
    assert checks.text("instructions", "calm", 4) == "calm"
    assert refusal(checks.text, "instructions", "calmly", 4) == "instructions has 6 characters; it must have 1 to 4"
    assert refusal(checks.text, "instructions", "", 4) == "instructions has 0 characters; it must have 1 to 4"
    assert refusal(checks.text, "instructions", 5, 4) == "instructions is not a string"


def test_path_segment() -> None:
    assert checks.path_segment("voice", "a/b?") == "a/b?"
    for wrong in (".", "..", "", "v" * 201):
        assert refusal(checks.path_segment, "voice", wrong).startswith("voice ")


def test_api_key() -> None:
    assert checks.api_key("breeze.api_key", None) is None
    assert checks.api_key("breeze.api_key", "brz_1") == "brz_1"
    for wrong in ("", "two words", "line\n", "tab\t", "schlüssel"):
        message = refusal(checks.api_key, "breeze.api_key", wrong)
        assert message.startswith("breeze.api_key ")
        assert not wrong or wrong not in message


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.breeze.blue", "https://api.breeze.blue"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("https://gateway.example/breeze//", "https://gateway.example/breeze"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_base_url(given: str, kept: str) -> None:
    assert checks.base_url("breeze.base_url", given) == kept


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "api.breeze.blue",
        "ftp://host",
        "https://",
        "https:///path",
        "https://host?x=1",
        "https://host#x",
        "https://user:pass@host",
        "https://host:port",
        "https://host:99999",
        "https://[::1",
        "https://ho st",
        "https://höst",
    ],
)
def test_no_base_url(wrong: str) -> None:
    message = refusal(checks.base_url, "breeze.base_url", wrong)
    assert message.startswith("breeze.base_url ")
    assert "pass" not in message


def test_the_variable_is_for_the_instance_that_has_its_adapters_name() -> None:
    assert (
        checks.place("breeze", "breeze", "api_key")
        == "BREEZE_API_KEY, or providers.breeze.api_key in the configuration"
    )
    assert checks.place("blue", "breeze", "api_key") == "providers.blue.api_key in the configuration"
    assert checks.variable("some-cloud.v2", "base_url") == "SOME_CLOUD_V2_BASE_URL"
    assert checks.no_key("breeze", "breeze").message.startswith("breeze has no API key; set BREEZE_API_KEY")
    assert "BREEZE" not in checks.no_key("blue", "breeze").message
    assert "--provider blue" in checks.no_voice("blue", "a voice_id").message
