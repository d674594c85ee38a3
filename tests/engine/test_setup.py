"""The configuration -> what a relay is made of."""

from typing import Any

import msgspec
import pytest

from relay.config import Config, ConfigError, HttpConfig, WebSocketConfig
from relay.drivers.http.settings import HttpSettings
from relay.drivers.ws.settings import WsSettings
from relay.engine.setup import dialogue_patience, patience


def test_the_drivers_wait_as_long_as_was_configured() -> None:
    assert patience(Config(http=HttpConfig(retries=0, open_timeout_s=1.0))) == HttpSettings(
        retries=0, open_timeout_s=1.0
    )
    own = WebSocketConfig(first_audio_timeout_s=1.5, idle_sockets=4)
    assert dialogue_patience(Config(websocket=own)) == WsSettings(first_audio_timeout_s=1.5, idle_sockets=4)


def test_what_is_not_configured_is_the_drivers_own() -> None:
    assert patience(Config()) == HttpSettings()
    assert dialogue_patience(Config()) == WsSettings()


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
@pytest.mark.parametrize("key", WebSocketConfig.__struct_fields__)
def test_an_impossible_patience_is_named(key: str, value: Any) -> None:
    config = Config(websocket=msgspec.structs.replace(WebSocketConfig(), **{key: value}))
    with pytest.raises(ConfigError, match=rf"^websocket\.{key} is "):
        dialogue_patience(config)
