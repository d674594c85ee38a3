"""Settings from file and environment, and messages that name the key."""

from pathlib import Path

import pytest

from relay.config import Config, ConfigError, VoiceConfig, WrongProvider, load

PROVIDERS = ("espeak", "breeze")


def read(tmp_path: Path, text: str, **environ: str) -> Config:
    file = tmp_path / "relay.toml"
    file.write_text(text)
    return load(str(file), environ=environ, providers=PROVIDERS)


def test_without_a_file_there_are_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(environ={}, providers=PROVIDERS)
    assert config == Config()
    assert (config.server.host, config.server.port, config.defaults.provider) == ("127.0.0.1", 8765, None)


def test_a_relay_toml_here_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("relay.toml").write_text("[server]\nport = 1234\n")
    assert load(environ={}).server.port == 1234


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "[server]\nport = 1\n[providers.breeze]\napi_key = 'file'\nvoice = 'v'\n",
        RELAY_SERVER_PORT="2",
        RELAY_SERVER_KEYS="a-long-key, b-long-key,",
        RELAY_LIMITS_IDLE_TIMEOUT_S="1.5",
        RELAY_WEBSOCKET_IDLE_PER_KEY="3",
        BREEZE_API_KEY="environment",
        BREEZE_BASE_URL="http://127.0.0.1:9",
    )
    assert config.server.port == 2
    assert config.server.keys == ["a-long-key", "b-long-key"]
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


# Instances of providers.


def test_an_instance_has_a_name_and_an_adapter(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "[providers.blue]\nadapter = 'breeze'\napi_key = 'file'\nopen_ahead = 1\n[providers.breeze]\nvoice = 'v'\n",
        BREEZE_API_KEY="environment",
    )
    assert (config.providers["blue"].adapter, config.providers["blue"].api_key) == ("breeze", "file")
    assert config.providers["blue"].open_ahead == 1
    assert (config.providers["breeze"].adapter, config.providers["breeze"].api_key) == (None, "environment")


def test_the_key_of_an_instance_may_be_in_a_variable_of_its_own(tmp_path: Path) -> None:
    text = "[providers.blue]\nadapter = 'breeze'\napi_key_env = 'BLUE_KEY'\n"
    assert read(tmp_path, text, BLUE_KEY="k", BREEZE_API_KEY="other").providers["blue"].api_key == "k"
    assert read(tmp_path, text, BREEZE_API_KEY="other").providers["blue"].api_key is None
    own = read(tmp_path, "[providers.breeze]\napi_key_env = 'BLUE_KEY'\n", BLUE_KEY="k", BREEZE_API_KEY="other")
    assert own.providers["breeze"].api_key == "k"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[providers.nobody]\n", ["providers.nobody", "espeak, breeze", "adapter"]),
        ("[providers.blue]\nadapter = 'breze'\n", ["providers.blue.adapter", "breze", "espeak, breeze"]),
        ("[providers.blue]\nadapter = 5\n", ["providers.blue.adapter", "5"]),
        ("[providers]\nbreeze = 'x'\n", ["providers.breeze", "table"]),
        ("providers = 'x'\n", ["providers", "table"]),
        ("[providers.'a b']\nadapter = 'breeze'\n", ["providers.'a b'", "letters"]),
        ("[providers.'a:b']\nadapter = 'breeze'\n", ["a:b"]),
        (f"[providers.{'a' * 65}]\nadapter = 'breeze'\n", ["1 to 64"]),
    ],
)
def test_what_no_instance_can_be_made_of_stops_the_start(tmp_path: Path, text: str, says: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    for words in ("relay.toml", *says):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "environ", "says"),
    [
        ("[providers.breeze]\nkey = 'x'\n", {}, ["relay.toml: providers.breeze", "key", "api_key"]),
        ("[providers.breeze]\nmax_concurrent = 0\n", {}, ["relay.toml: providers.breeze: max_concurrent", ">= 1"]),
        ("[providers.breeze]\nopen_ahead = 9\n", {}, ["open_ahead", "<= 8"]),
        ("[providers.breeze]\noptions = 1\n", {}, ["options"]),
        ("", {"BREEZE_MAX_CONCURRENT": "many"}, ["BREEZE_MAX_CONCURRENT", "max_concurrent", "int"]),
        ("[providers.breeze]\nadapter = 'espeak'\n", {}, ["adapter", "another name"]),
        ("[providers.breeze]\napi_key = 'secret'\napi_key_env = 'X'\n", {}, ["api_key", "api_key_env"]),
    ],
)
def test_a_wrong_setting_of_one_instance_makes_that_one_unusable(
    tmp_path: Path, text: str, environ: dict[str, str], says: list[str]
) -> None:
    config = read(tmp_path, text + "[providers.other]\nadapter = 'breeze'\n", **environ)
    wrong = config.providers["breeze"]
    assert isinstance(wrong, WrongProvider)
    for words in says:
        assert words in wrong.reason
    assert "secret" not in f"{wrong.reason} {wrong!r}"
    assert not isinstance(config.providers["other"], WrongProvider)


# Names of voices.


def test_a_voice_has_one_name_for_all_providers(tmp_path: Path) -> None:
    text = """
    [voices.anna]
    breeze = "voc_1"
    espeak = { voice = "de", language = "de", options = { rate = 160 } }
    blue = "voc_2"
    [providers.blue]
    adapter = "breeze"
    """
    assert read(tmp_path, text).voices == {
        "anna": {
            "breeze": "voc_1",
            "espeak": VoiceConfig(voice="de", language="de", options={"rate": 160}),
            "blue": "voc_2",
        }
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[voices.anna]\nbreze = 'v'\n", ["voices.anna.breze", "espeak, breeze"]),
        ("[voices.anna]\nbreeze = 5\n", ["voices.anna.breeze", "str"]),
        (
            "[voices.anna]\nbreeze = { vioce = 'v' }\n",
            ["voices.anna.breeze", "vioce", "voice, model, language, options"],
        ),
        ("[voices.anna]\nbreeze = { model = 'm' }\n", ["voices.anna.breeze", "voice"]),
        ("[voices]\nanna = 'v'\n", ["voices.anna", "table"]),
        ("[voices.anna]\n", ["voices.anna"]),
        ("voices = 1\n", ["voices", "table"]),
    ],
)
def test_a_name_that_stands_for_nothing_is_told(tmp_path: Path, text: str, says: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    for words in ("relay.toml", *says):
        assert words in str(caught.value)


# Spelling.


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RELAY_SERVER_PROT", "RELAY_SERVER_PORT"),
        ("RELAY_LOG_FROMAT", "RELAY_LOG_FORMAT"),
        ("RELAY_SERVR_PORT", "RELAY_SERVER_PORT"),
        ("RELAY_SERVER_NOTHING_LIKE_IT", "RELAY_SERVER_HOST, RELAY_SERVER_PORT"),
        ("RELAY_DEFAULTS_AUDIO_ENCODING", "RELAY_DEFAULTS_PROVIDER"),
        ("RELAY_CONFG", "RELAY_CONFIG"),
    ],
)
def test_a_misspelt_variable_stops_the_start(tmp_path: Path, name: str, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "", **{name: "1"})
    assert name in str(caught.value)
    assert meant in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        *("RELAY_KEY", "RELAY_SHARED_FOLDER", "RELAY_TEST_CHROMIUM", "RELAY_VERSION", "RELAYED"),
        # Of Kubernetes, for services that are called relay and relay-server.
        *("RELAY_SERVICE_HOST", "RELAY_SERVICE_PORT", "RELAY_SERVICE_PORT_HTTP", "RELAY_PORT_8765_TCP_ADDR"),
        *("RELAY_SERVER_SERVICE_HOST", "RELAY_SERVER_PORT_80_TCP", "RELAY_PORT"),
    ],
)
def test_other_variables_are_left_alone(tmp_path: Path, name: str) -> None:
    read(tmp_path, "", **{name: "tcp://10.0.0.1:80"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[log]\nlevel = 'loud'\n", "debug, info, warning, error"),
        ("[defaults.audio]\ntail = 'cut'\n", "pad, short"),
        ("[defaults.pacing]\nmode = 'slow'\n", "fast, realtime"),
    ],
)
def test_what_may_stand_there_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert says in str(caught.value)


def test_a_preset_takes_its_key_and_address_from_variables_of_its_name(tmp_path: Path) -> None:
    """What the file says of an instance goes before them, and no other service's key is sent to it."""
    text = """
        [providers.fast]
        adapter = "breeze"
        preset = "groq-eu"
        [providers.own]
        adapter = "breeze"
        preset = "groq-eu"
        api_key = "own"
        base_url = "http://own.test"
        [providers.named]
        adapter = "breeze"
        preset = "groq-eu"
        api_key_env = "MY_KEY"
        [providers.breeze]
        preset = "groq-eu"
        """
    environ = {"GROQ_EU_API_KEY": "k", "GROQ_EU_BASE_URL": "http://groq.test", "GROQ_EU_VOICE": "v"}
    environ |= {"BREEZE_API_KEY": "of another", "MY_KEY": "mine"}
    found = read(tmp_path, text, **environ).providers
    assert {name: (each.api_key, each.base_url, each.voice) for name, each in found.items()} == {
        "fast": ("k", "http://groq.test", None),
        "own": ("own", "http://own.test", None),
        "named": ("mine", "http://groq.test", None),
        "breeze": ("k", "http://groq.test", None),
    }
