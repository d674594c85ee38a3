"""Settings from file and environment, and messages that name the key."""

from pathlib import Path

import pytest

from relay.config import Config, ConfigError, load

PROVIDERS = ("espeak", "breeze")


def read(tmp_path: Path, text: str, **environ: str) -> Config:
    file = tmp_path / "relay.toml"
    file.write_text(text)
    return load(str(file), environ=environ, providers=PROVIDERS)


def test_without_a_file_there_are_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(environ={}, providers=PROVIDERS)
    assert config == Config()
    assert (config.server.host, config.server.port, config.defaults.provider) == ("127.0.0.1", 8765, "espeak")


def test_a_relay_toml_here_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("relay.toml").write_text("[server]\nport = 1234\n")
    assert load(environ={}).server.port == 1234


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "[server]\nport = 1\n[providers.breeze]\napi_key = 'file'\nvoice = 'v'\n",
        RELAY_SERVER_PORT="2",
        RELAY_SERVER_KEYS="a, b,",
        RELAY_LIMITS_IDLE_TIMEOUT_S="1.5",
        RELAY_WEBSOCKET_IDLE_PER_KEY="3",
        BREEZE_API_KEY="environment",
        BREEZE_BASE_URL="http://127.0.0.1:9",
    )
    assert config.server.port == 2
    assert config.server.keys == ["a", "b"]
    assert config.limits.idle_timeout_s == 1.5
    assert config.websocket.idle_per_key == 3
    breeze = config.providers["breeze"]
    assert (breeze.api_key, breeze.voice, breeze.base_url) == ("environment", "v", "http://127.0.0.1:9")


def test_the_path_may_come_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text("[log]\nlevel = 'debug'\n")
    assert load(environ={"RELAY_CONFIG": str(file)}).log.level == "debug"


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    config = read(tmp_path, "[providers.breeze]\napi_key = 'brz_secret'\n")
    assert "brz_secret" not in repr(config)


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    secret = "a secret of thirty-two characters or more"
    assert secret not in repr(read(tmp_path, f"[tokens]\nsecret = '{secret}'\n"))
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "[tokens]\nsecret = 'too short'\n")
    assert "tokens.secret" in str(caught.value)
    assert "32" in str(caught.value)
    assert "too short" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "environ", "says"),
    [
        ("[server]\nport = 'x'\n", {}, ["relay.toml", "server.port", "int"]),
        ("[server]\nprot = 1\n", {}, ["relay.toml", "prot", "port", "drain_timeout_s"]),
        ("[servers]\n", {}, ["servers", "server", "limits", "providers"]),
        ("[defaults.audio]\nrate = 1\n", {}, ["defaults.audio", "rate", "sample_rate"]),
        ("[log]\nlevel = 'loud'\n", {}, ["log.level", "loud"]),
        ("[providers.nobody]\n", {}, ["providers.nobody", "espeak, breeze"]),
        ("not toml", {}, ["relay.toml", "not TOML"]),
        ("", {"RELAY_SERVER_PORT": "x"}, ["RELAY_SERVER_PORT", "server.port", "int"]),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, environ: dict[str, str], says: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, **environ)
    for words in says:
        assert words in str(caught.value)


def test_a_file_that_was_named_must_exist() -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load("/nowhere/relay.toml", environ={})
