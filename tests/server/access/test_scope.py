"""What a permit leaves of a request. Whole sessions under one are in `test_http_tokens.py`."""

from typing import Any

import pytest

from relay.config import Config, ProviderConfig
from relay.core.effects import OpenTurn
from relay.core.events import Failed, ProviderChoice, SessionLimits, StartTurn, TurnRequest
from relay.core.session import Session
from relay.engine.engine import Engine
from relay.errors import ClientError, Code
from relay.server.access.scope import EVERYTHING, TokenScope

BREEZE = ProviderConfig(api_key="brz_key", voice="voc_1")


def relay(**defaults: Any) -> Engine:
    built = Config(providers={"breeze": BREEZE})
    return Engine(Config(providers={"breeze": BREEZE}, defaults=type(built.defaults)(**defaults)))


def spoken_by(permit: TokenScope, of: Engine, **request: Any) -> list[tuple[str, str]]:
    """Providers and voices that may speak a turn of a session under `permit`. Raises what the session answers."""
    session = Session(permit.defaults(of.defaults), SessionLimits(), permit.settings(of.settings))
    effects = session.receive(StartTurn(request=TurnRequest(**request)), 0.0)
    for told in session.due(0.0, 1):
        if isinstance(told, Failed):
            raise told.error
    [effect] = effects
    assert isinstance(effect, OpenTurn)
    return [(candidate.provider.name, candidate.speech.voice) for candidate in effect.checked.candidates]


def test_everything_changes_nothing() -> None:
    of = relay(fallbacks=["breeze"])
    assert EVERYTHING.defaults(of.defaults) is of.defaults
    assert EVERYTHING.settings(of.settings) == of.settings
    assert [name for name, _ in spoken_by(EVERYTHING, of)] == ["hibari", "espeak", "breeze"]


def test_a_provider_is_the_default_and_nobody_steps_in() -> None:
    of = relay(fallbacks=["breeze"])
    permit = TokenScope(provider="espeak")
    assert permit.defaults(of.defaults).fallbacks == ()
    assert [name for name, _ in spoken_by(permit, of)] == ["espeak"]
    assert [name for name, _ in spoken_by(TokenScope(provider="breeze"), of)] == ["breeze"]


def test_the_defaults_name_no_voice_of_another_provider() -> None:
    of = relay()
    assert TokenScope(provider="hibari").defaults(of.defaults).voice == of.defaults.voice
    assert TokenScope(provider="breeze").defaults(of.defaults).voice is None
    assert TokenScope(provider="breeze", voice="voc_2").defaults(of.defaults).voice == "voc_2"


@pytest.mark.parametrize(
    "request_",
    [
        {"provider": "breeze"},
        {"providers": (ProviderChoice(provider="espeak"), ProviderChoice(provider="breeze"))},
        {"providers": (ProviderChoice(provider="espeak", voice="de"),)},
        {"voice": "en-us"},
        {"voice": "de", "language": "en"},
    ],
)
def test_more_is_forbidden(request_: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as caught:
        spoken_by(TokenScope(provider="espeak", voice="fr"), relay(), **request_)
    assert caught.value.code is Code.FORBIDDEN


def test_a_voice_is_filled_in() -> None:
    permit = TokenScope(provider="espeak", voice="de")
    assert spoken_by(permit, relay()) == [("espeak", "de")]
    assert spoken_by(permit, relay(), voice="de") == [("espeak", "de")]


def test_no_option_brings_in_another_voice() -> None:
    """PlayAI's second speaker, for one."""
    of = Engine(Config(providers={"playai": ProviderConfig(api_key="k", user_id="u", voice="v1", base_url="http://x")}))
    permit = TokenScope(provider="playai", voice="v1")
    assert spoken_by(permit, of) == [("playai", "v1")]
    with pytest.raises(ClientError, match=r"options\.voice2") as caught:
        spoken_by(permit, of, model="PlayDialog", options={"voice2": "v2"})
    assert caught.value.code is Code.FORBIDDEN
    second = ProviderChoice(provider="playai", model="PlayDialog", options={"voice2": "v2"})
    with pytest.raises(ClientError, match=r"options\.voice2") as caught:
        spoken_by(permit, of, providers=(second,))
    assert caught.value.code is Code.FORBIDDEN
