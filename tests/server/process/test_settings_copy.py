"""The settings that workers are started with."""

from pathlib import Path

import pytest

from relay.config import Config, ConfigError
from relay.server.process.settings_copy import SettingsCopies


def wrong() -> Config:
    raise ConfigError("relay.toml: it is wrong")


def test_a_copy_is_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    copies = SettingsCopies(tmp_path, str(file), Config)
    for generation in range(3):
        file.write_text(f"# {generation}")
        assert copies.add(generation) == Config()
    assert [copies.path(generation).read_text() for generation in range(3)] == ["# 0", "# 1", "# 2"]
    copies.keep({1})
    assert [path.name for path in tmp_path.glob("settings-*")] == [copies.path(1).name]


def test_wrong_settings_are_not_copied(tmp_path: Path) -> None:
    copies = SettingsCopies(tmp_path, str(tmp_path / "mine.toml"), wrong)
    with pytest.raises(ConfigError, match="it is wrong"):
        copies.add(0)
    assert not list(tmp_path.iterdir())


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml"):
        SettingsCopies(tmp_path, str(tmp_path / "gone.toml"), Config).add(0)


def test_without_a_file_the_copy_is_empty_until_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RELAY_CONFIG", raising=False)
    copies = SettingsCopies(tmp_path, None, Config)
    copies.add(0)
    (tmp_path / "relay.toml").write_text("# here")
    copies.add(1)
    assert [copies.path(generation).read_text() for generation in (0, 1)] == ["", "# here"]


def test_the_file_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.toml").write_text("# other")
    monkeypatch.setenv("RELAY_CONFIG", str(tmp_path / "other.toml"))
    copies = SettingsCopies(tmp_path, None, Config)
    copies.add(0)
    assert copies.path(0).read_text() == "# other"
