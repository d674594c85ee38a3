"""`relay check`: a line for each provider, and a status that a script can go by."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from relay.cli import main
from relay.providers.catalog import PROVIDERS

NOBODY = "http://127.0.0.1:9"
KEY = "key_4f9d2c71b8e6a035"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file and no retries."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELAY_HTTP_RETRIES", "0")


def relay(*arguments: str, **settings: str) -> tuple[int, str]:
    outcome = CliRunner(env=settings).invoke(main, arguments)
    assert outcome.exception is None or isinstance(outcome.exception, SystemExit), outcome.exception
    assert KEY not in outcome.output
    return outcome.exit_code, outcome.output


def lines(output: str) -> dict[str, str]:
    """What is said of whom."""
    return {line.partition(": ")[0]: line.partition(": ")[2] for line in output.splitlines()}


def test_what_is_not_configured_is_no_mistake() -> None:
    status, out = relay("check")
    said = lines(out)
    assert (status, said["configuration"], said["espeak"].startswith("ok, 138 voices")) == (0, "ok", True)
    assert said["breeze"].startswith("not configured, no key: set BREEZE_API_KEY")
    assert list(said) == ["configuration", *PROVIDERS]


# Each run over all providers starts the neural voice, a second of a core: there are few of them.
WRONG = {
    "BREEZE_API_KEY": KEY,
    "BREEZE_BASE_URL": NOBODY,
    "BLAND_API_KEY": KEY,
    "BLAND_VOICE": "any",
    "PLAYAI_API_KEY": KEY,
    "PLAYAI_USER_ID": "u",
    "PLAYAI_BASE_URL": NOBODY,
}


def test_each_provider_has_one_line_and_a_wrong_one_is_status_1(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text(
        "[providers.blue]\nadapter = 'breeze'\n[defaults]\nfallbacks = ['sauti']\n"
        "[providers.green]\nadapter = 'breeze'\napi_key = 'k'\nbase_url = 'http://127.0.0.1:9'\n"
        "[providers.low]\nadapter = 'espeak'\nvoice = 'anna'\n[voices.anna]\nlow = 'de'\n"
    )
    status, out = relay("check", **WRONG)
    said = lines(out)
    assert (status, len(said)) == (1, 1 + len(PROVIDERS) + 3)
    assert said["espeak"].startswith("ok")
    assert said["breeze"].startswith("wrong, provider_unavailable: breeze (127.0.0.1:9) cannot be reached")
    assert said["playai"].startswith("wrong, provider_unavailable: playai (127.0.0.1:9) cannot be reached")
    assert said["bland"].startswith("wrong, wrong settings: bland.voice is 'any'")
    # What is meant to be used and lacks its key is wrong.
    assert said["blue"].startswith("wrong, no key: set providers.blue.api_key in the configuration")
    assert said["sauti"].startswith("wrong, no key")
    # Instances are asked by their names.
    assert said["green"].endswith("Connection refused (adapter breeze)")
    assert said["low"].startswith("ok, 138 voices")


def test_as_json_it_says_the_same() -> None:
    status, out = relay("check", "--json", SAUTI_VOICE="v", **WRONG)
    report: dict[str, Any] = json.loads(out)
    assert (status, report["ok"], report["configuration"]) == (1, False, {"ok": True})
    by_name = {each["name"]: each for each in report["providers"]}
    assert set(by_name) == {*PROVIDERS}
    espeak, breeze = by_name["espeak"], by_name["breeze"]
    assert (espeak["status"], espeak["adapter"], espeak["voices"] > 100) == ("ok", "espeak", True)
    assert (breeze["status"], breeze["code"]) == ("wrong", "provider_unavailable")
    assert by_name["sauti"]["status"] == "not configured", "it has a voice and no key"
    status, out = relay("check", "--json", "--provider", "espeak")
    assert (status, json.loads(out)["ok"]) == (0, True)


def test_one_may_be_asked_alone() -> None:
    wrong = {"BREEZE_API_KEY": KEY, "BREEZE_BASE_URL": NOBODY}
    status, out = relay("check", "--provider", "espeak", **wrong)
    assert (status, list(lines(out))) == (0, ["configuration", "espeak"])
    status, out = relay("check", "--provider", "breeze", **wrong)
    assert (status, list(lines(out))) == (1, ["configuration", "breeze"])
    status, out = relay("check", "--provider", "sauti")
    assert (status, lines(out)["sauti"].startswith("wrong, no key")) == (1, True), "it was asked about"
    status, out = relay("check", "--provider", "nobody")
    assert (status, "usable are: espeak" in out) == (1, True)


def test_a_wrong_default_is_told_and_the_others_are_asked_all_the_same() -> None:
    status, out = relay("check", "--provider", "espeak", RELAY_DEFAULTS_PROVIDER="breeze")
    said = lines(out)
    assert status == 1
    assert said["configuration"].startswith("wrong, defaults.provider: breeze cannot be used")
    assert said["espeak"].startswith("ok")


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text("[server]\nprot = 1\n")
    status, out = relay("check")
    assert (status, out.count("\n"), out.startswith("relay: relay.toml: server: ")) == (1, 1, True)


@pytest.mark.parametrize("command", [("providers",), ("voices", "--provider", "espeak")])
def test_a_wrong_setting_of_a_provider_that_is_not_used_stops_no_command(command: tuple[str, ...]) -> None:
    status, out = relay(*command, BLAND_API_KEY=KEY, BLAND_VOICE="any", SAUTI_MAX_CONCURRENT="many")
    assert (status, "espeak" in out) == (0, True), out


def test_what_cannot_be_used_is_said_in_full() -> None:
    status, out = relay("providers", BLAND_API_KEY=KEY, BLAND_VOICE="any")
    assert status == 0
    assert "bland cannot be used: wrong settings: bland.voice is 'any'; v2 of Bland takes the voice's UUID" in out
    assert "breeze cannot be used: no key: set BREEZE_API_KEY, or providers.breeze.api_key in the configuration" in out


def test_the_list_that_puts_a_wrong_voice_right_is_asked_for_all_the_same() -> None:
    """It is the list that its error points to."""
    status, out = relay("voices", "--provider", "bland", BLAND_API_KEY=KEY, BLAND_VOICE="any", BLAND_BASE_URL=NOBODY)
    assert (status, "bland (127.0.0.1:9) cannot be reached" in out) == (1, True), out
