"""Turns past the relay."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from relay.bench.direct import Direct, resolved
from relay.bench.plan import Connection, Path, Target
from relay.config import Config, DefaultsConfig, HttpConfig, ProviderConfig, VoiceConfig
from relay.core.command_checks import opening
from relay.core.events import TurnRequest
from relay.drivers.dispatch import Drivers
from relay.engine.engine import Engine
from relay.engine.setup import build_providers, dialogue_patience, patience, voice_choice_of
from relay.engine.voices import VoiceChoice
from relay.errors import ClientError
from relay.testing.audio import speech_like
from relay.testing.fake_provider import Chooser, FakeProvider, in_turn
from relay.testing.fake_socket import FakeSocket, Link
from relay.testing.scenarios import scenario
from relay.testing.script import Script
from tests.bench.ways import FAULTS, PATIENT_S, TIMEOUT_S, check_good, ok, shot
from tests.covering import each
from tests.server.harness import KEY, breeze, config
from tests.server.test_bland_socket import KAREN, greet, speak

NO_NAMES = VoiceChoice(names={}, default_provider="breeze")


@asynccontextmanager
async def direct_to(
    script: Script | Chooser, timeout_s: float = PATIENT_S
) -> AsyncIterator[tuple[Direct, FakeProvider]]:
    async with FakeProvider(script) as fake:
        settings = config(fake.url, http=HttpConfig(retries=0))
        providers, _ = build_providers(settings)
        drivers = partial(Drivers, patience(settings), dialogue_patience(settings))
        async with Direct(providers, NO_NAMES, drivers, sample_rate_hz=24000, timeout_s=timeout_s) as way:
            yield way, fake


async def test_a_turn_has_all_its_times() -> None:
    async with direct_to(ok()) as (way, fake):
        spoken = await way.speak(shot(Path.DIRECT))
        check_good(spoken)
        assert spoken.relay_ms is None
        assert spoken.ttfa_ms == spoken.first_sample_ms
        assert spoken.spoken_by == "voc_1"
        assert (await fake.exchange(0)).request.json()["text"] == shot(Path.DIRECT).text


async def test_warm_turns_find_a_connection_and_cold_ones_open_theirs() -> None:
    async with direct_to(ok()) as (way, fake):
        reused = []
        for connection in (Connection.WARM, Connection.WARM, Connection.COLD, Connection.COLD, Connection.WARM):
            spoken = await way.speak(shot(Path.DIRECT, connection))
            check_good(spoken)
            reused.append(spoken.connection_reused)
        assert reused == [True, True, False, False, True]
        assert fake.connections_opened == 3


@each("fault", FAULTS)
async def test_what_fails_has_its_code_and_the_next_turn_is_spoken(fault: str) -> None:
    async with direct_to(in_turn(scenario(fault), ok()), TIMEOUT_S if "stall" in fault else PATIENT_S) as (way, _):
        assert (await way.speak(shot(Path.DIRECT))).code == FAULTS[fault]
        way._timeout_s = PATIENT_S
        check_good(await way.speak(shot(Path.DIRECT, round_=1)))


def test_a_target_that_cannot_be_spoken_with_is_told_before() -> None:
    providers, _ = build_providers(config())
    assert resolved(providers, NO_NAMES, Target(provider="breeze", voice="voc_9"), 24000).voice == "voc_9"
    with pytest.raises(ClientError, match="bland"):
        resolved(providers, NO_NAMES, Target(provider="bland"), None)


async def test_voices_are_what_they_are_at_a_relay() -> None:
    settings = Config(
        providers={"blue": ProviderConfig(adapter="breeze", api_key=KEY), "breeze": breeze("http://127.0.0.1:9")},
        voices={"anna": {"blue": "voc_a", "breeze": VoiceConfig(voice="voc_b", model="m2")}, "ben": {"blue": "voc_c"}},
        defaults=DefaultsConfig(provider="blue", voice="anna"),
    )
    engine = Engine(settings)
    voices = voice_choice_of(settings, engine.defaults)
    for target in (
        *(Target(provider=name, voice=voice) for name in ("blue", "breeze") for voice in ("anna", None, "voc_9")),
        *(Target(provider="breeze", voice="anna", model="m3"), Target(provider="blue", voice="ben")),
    ):
        request = TurnRequest(provider=target.provider, voice=target.voice, model=target.model)
        [spoken] = engine.settings(opening(engine.defaults, "t", 0, request)).candidates
        assert resolved(engine.providers, voices, target, 24000) == spoken.speech
    with pytest.raises(ClientError, match="ben"):
        resolved(engine.providers, voices, Target(provider="breeze", voice="ben"), 24000)


async def test_a_provider_that_takes_text_as_it_is_typed_is_given_it_at_once() -> None:
    """Over its WebSocket: warm turns share a socket, a cold one opens its own."""
    pcm = speech_like(0.25)

    async def scene(link: Link) -> None:
        await greet(link)
        while True:
            await speak(link, pcm)

    async with FakeSocket(scene) as fake:
        bland = ProviderConfig(
            api_key=KEY, base_url=fake.url.replace("ws", "http", 1), voice=KAREN, options={"api": "socket"}
        )
        settings = config(providers={"breeze": breeze("http://127.0.0.1:9"), "bland": bland})
        providers, _ = build_providers(settings)
        drivers = partial(Drivers, patience(settings), dialogue_patience(settings))
        async with Direct(providers, NO_NAMES, drivers, sample_rate_hz=24000, timeout_s=PATIENT_S) as way:
            reused = []
            for connection in (Connection.WARM, Connection.WARM, Connection.COLD):
                spoken = await way.speak(shot(Path.DIRECT, connection, provider="bland"))
                check_good(spoken)
                reused.append(spoken.connection_reused)
        told = [message for message in fake.links[0].told if message["type"] == "speak"]
    assert reused == [False, True, False]
    assert [message["text"] for message in told] == [shot(Path.DIRECT).text] * 2
