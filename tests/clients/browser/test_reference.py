"""The player's types, its reference and what it makes agree."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PLAYER = ROOT / "clients" / "browser"
TYPES = (PLAYER / "relay-player.d.ts").read_text("utf-8")
REFERENCE = (ROOT / "docs" / "reference" / "browser.md").read_text("utf-8")

DESCRIBED = ["ConnectOptions", "TurnOptions", "PlayerStats", "Player", "PlayerEvents", "Turn", "TurnTimings"]


def members(interface: str) -> set[str]:
    """The names of an interface's own members."""
    found = re.search(rf"^export interface {interface}\b[^\n]*\{{\n(.*?)^\}}", TYPES, re.DOTALL | re.MULTILINE)
    assert found, interface
    names = set(re.findall(r"^  (?:readonly )?(\w+)\??[:(<]", found[1], re.MULTILINE))
    assert names
    return names - {"addEventListener", "removeEventListener"}


@pytest.mark.parametrize("interface", DESCRIBED)
def test_the_reference_names_every_member(interface: str) -> None:
    for name in members(interface):
        assert re.search(rf"`{name}\b", REFERENCE), f"{interface}.{name}"


def test_the_reference_names_every_state() -> None:
    [states] = re.findall(r"export type PlayerState = (.*);", TYPES)
    for state in re.findall(r'"(\w+)"', states):
        assert f"| `{state}` |" in REFERENCE


def test_the_reference_names_every_error_of_the_player() -> None:
    sources = "".join(path.read_text("utf-8") for path in PLAYER.glob("*.js"))
    codes = set(re.findall(r'new RelayError\(\s*"(\w+)"', sources))
    assert len(codes) > 4
    for code in codes:
        assert f"| `{code}` |" in REFERENCE
        assert f"`{code}`" in TYPES


def test_options_that_are_taken_are_those_described() -> None:
    player = (PLAYER / "player.js").read_text("utf-8")
    [listed] = re.findall(r"const OPTIONS = new Set\(\[(.*?)\]\);", player, re.DOTALL)
    assert set(re.findall(r'"(\w+)"', listed)) == members("ConnectOptions")
    wire = (PLAYER / "wire.js").read_text("utf-8")
    lists = re.findall(r"^const (?:OWN_)?FIELDS = \[(.*?)\];", wire, re.MULTILINE)
    assert set(re.findall(r'"(\w+)"', "".join(lists))) == members("TurnOptions")


def test_events_that_are_told_are_those_described() -> None:
    sources = "".join((PLAYER / name).read_text("utf-8") for name in ("player.js", "turn.js"))
    assert set(re.findall(r'tell\("(\w+)"', sources)) == members("PlayerEvents")


def test_statistics_and_timings_are_those_described() -> None:
    player, turn = ((PLAYER / name).read_text("utf-8") for name in ("player.js", "turn.js"))
    [stats] = re.findall(r"get stats\(\) \{.*?return \{(.*?)\};", player, re.DOTALL)
    assert set(re.findall(r"^\s+(\w+):", stats, re.MULTILINE)) == members("PlayerStats")
    [timings] = re.findall(r"this\.timings = \{(.*?)\};", turn, re.DOTALL)
    assert set(re.findall(r"^\s+(\w+):", timings, re.MULTILINE)) == members("TurnTimings")
