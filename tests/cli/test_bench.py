"""`relay bench` before it measures: what it is asked, what it would cost, and what it refuses."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from relay.cli import main
from tests.bench.records import failed, record, turn, typical


def relay(*arguments: str, **settings: str) -> tuple[int, str]:
    outcome = CliRunner(env=settings).invoke(main, ["bench", *arguments])
    assert outcome.exception is None or isinstance(outcome.exception, SystemExit), outcome.exception
    return outcome.exit_code, outcome.output


def test_texts_are_listed() -> None:
    status, out = relay("--list-texts")
    assert status == 0
    assert "swahili" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--text", "klingon"), "klingon"),
        (("--text", "short", "--text-file", __file__), "exclude"),
        (("--provider", "a,b", "--voice", "v"), "a=ID"),
        (("--price", "espeak=cheap"), "PROVIDER=USD"),
        (("--price", "nobody=5"), "hibari"),
        (("--format", "mulaw/many"), "ENCODING/HZ"),
        (("--no-relay", "--url", "ws://127.0.0.1:9"), "--no-relay"),
        (("-n", "0"), "-n"),
        (("--out", "/nowhere/at/all"), "/nowhere/at"),
        (("load", "--provider", "breeze"), "--url"),
        (("--cold", "compare", "a", "b"), "compare"),
        (("nonsense",), "nonsense"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    status, out = relay(*arguments)
    assert (status, says in out) == (2, True), out


def test_a_file_without_text_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("# none\n")
    assert relay("--text-file", str(tmp_path / "texts"))[0] == 2


def test_much_text_for_money_is_asked_about_before_anything_is_sent() -> None:
    key = {"BREEZE_API_KEY": "brz_key", "BREEZE_VOICE": "v", "BREEZE_BASE_URL": "http://127.0.0.1:9"}
    asked = ("--provider", "breeze", "-n", "1000", "--price", "breeze=10")
    status, out = relay(*asked, **key)
    assert status == 1
    assert "--yes" in out
    assert "breeze will be sent 70,070 characters ($0.70, given)" in out
    assert "brz_key" not in out


def test_a_voice_or_format_that_cannot_be_is_told_before_anything_is_sent() -> None:
    key = {"BREEZE_API_KEY": "brz_key", "BREEZE_BASE_URL": "http://127.0.0.1:9"}
    status, out = relay("--provider", "breeze", "--no-relay", "-n", "1", **key)
    assert (status, "voice" in out) == (1, True)
    status, out = relay("--provider", "nobody")
    assert (status, "usable are: hibari, espeak" in out) == (1, True)
    status, out = relay("--format", "opus/24000")
    assert (status, "pcm_s16le" in out) == (1, True)


def test_a_running_relay_is_not_loaded_unasked() -> None:
    status, out = relay("load", "--url", "ws://127.0.0.1:9/v1/stream")
    assert (status, "--yes" in out) == (1, True)


def test_a_relay_that_is_not_there_is_one_clear_line() -> None:
    status, out = relay("--url", "ws://127.0.0.1:9/v1/stream")
    assert status == 1
    assert out.startswith("relay: ")
    assert out.count("\n") == 1


def test_two_records_are_compared(tmp_path: Path) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_bytes(record([turn(ttfa_ms=100.0 + n) for n in range(40)]).to_json())
    after.write_bytes(record([turn(ttfa_ms=150.0 + n) for n in range(40)]).to_json())
    status, out = relay("compare", str(before), str(after))
    assert (status, "slower, and more than noise" in out) == (0, True)
    assert relay("compare", str(before), str(after), "--fail-above", "10")[0] == 1
    assert relay("compare", str(before), str(after), "--fail-above", "100")[0] == 0
    assert relay("compare", str(after), str(before), "--fail-above", "10")[0] == 0


def test_records_that_cannot_be_compared(tmp_path: Path) -> None:
    ours, others = tmp_path / "ours.json", tmp_path / "others.json"
    ours.write_bytes(typical(1).to_json())
    others.write_bytes(record([failed(provider="two")]).to_json())
    status, out = relay("compare", str(ours), str(others))
    assert (status, "no case in common" in out) == (1, True)
    others.write_text("{}")
    status, out = relay("compare", str(ours), str(others))
    assert (status, "others.json: it is no record" in out) == (1, True)
    assert relay("compare", str(ours), str(tmp_path / "nowhere.json"))[0] == 2
