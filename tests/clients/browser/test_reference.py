"""The player's types, its reference and what it makes agree; and its files keep to what they are for."""

import re
from pathlib import Path

import pytest

from tests.covering import each

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


PURE = ("ring-buffer.js", "jitter-buffer.js", "playhead.js", "wire.js", "wav.js", "errors.js")
# What a browser or a clock gives.
NAMES = "document|navigator|WebSocket|AudioContext|fetch|setTimeout|setInterval|performance|Date"
OUTSIDE = rf"\b({NAMES})\b|\bwindow\.|Math\.random"
SOURCES = sorted(PLAYER.glob("*.js"))


def code(path: Path) -> str:
    """Without its comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text("utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("name", PURE)
def test_pure_files_know_no_browser_and_no_clock(name: str) -> None:
    assert not re.search(OUTSIDE, code(PLAYER / name))


@each("path", SOURCES)
def test_files_import_their_neighbours_alone_and_make_no_code(path: Path) -> None:
    for target in re.findall(r'(?:from|import)\s*\(?"([^"]+)"', code(path)):
        assert (PLAYER / target).parent == PLAYER, target
        assert target.startswith("./"), target
    assert not re.search(r"\beval\b|new Function|innerHTML|createObjectURL|document\.write", code(path))


@pytest.mark.parametrize("name", ["player.js", "worklet.js", "jitter-buffer.js", "playhead.js"])
def test_no_timer_stands_in_the_way_of_audio(name: str) -> None:
    """A page in the background has its timers slowed down."""
    assert not re.search(r"setTimeout|setInterval|requestAnimationFrame", code(PLAYER / name))
