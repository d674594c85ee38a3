"""Turns through a relay, as a client hears them."""

from relay_client import Audio

from relay.bench.plan import Connection, Path
from relay.bench.through import Through
from relay.testing.fake_provider import in_turn
from relay.testing.scenarios import scenario
from tests.bench.ways import FAULTS, PATIENT_S, TIMEOUT_S, check_good, ok, shot
from tests.covering import each
from tests.server.harness import relay_to


def url(port: int) -> str:
    return f"ws://127.0.0.1:{port}/v1/stream"


async def test_a_turn_has_all_its_times() -> None:
    async with relay_to(ok()) as (server, fake), Through(url(server.port), None, Audio(), timeout_s=PATIENT_S) as way:
        spoken = await way.speak(shot(Path.RELAY))
        check_good(spoken)
        assert spoken.relay_ms is not None
        assert spoken.connected_ms is None
        assert spoken.spoken_by == "voc_1"
        assert (await fake.exchange(0)).request.json()["text"] == shot(Path.RELAY).text


async def test_a_cold_turn_counts_its_handshake() -> None:
    async with relay_to(ok()) as (server, _), Through(url(server.port), None, Audio(), timeout_s=PATIENT_S) as way:
        spoken = await way.speak(shot(Path.RELAY, Connection.COLD))
        check_good(spoken)
        assert spoken.connected_ms
        assert spoken.request_sent_ms is not None
        assert spoken.request_sent_ms >= spoken.connected_ms


@each("fault", FAULTS)
async def test_what_fails_has_its_code_and_the_next_turn_is_spoken(fault: str) -> None:
    async with (
        relay_to(in_turn(scenario(fault), ok())) as (server, _),
        Through(url(server.port), None, Audio(), timeout_s=TIMEOUT_S if "stall" in fault else PATIENT_S) as way,
    ):
        assert (await way.speak(shot(Path.RELAY))).code == FAULTS[fault]
        way._timeout_s = PATIENT_S
        check_good(await way.speak(shot(Path.RELAY, round_=1)))


async def test_no_relay_is_a_failure_of_each_turn() -> None:
    async with Through("ws://127.0.0.1:9/v1/stream", None, Audio(), timeout_s=PATIENT_S) as way:
        for connection in Connection:
            assert (await way.speak(shot(Path.RELAY, connection))).code == "no_session"


async def test_a_relay_that_goes_away_is_found_again_when_it_is_back() -> None:
    async with relay_to(ok()) as (server, _), Through(url(server.port), None, Audio(), timeout_s=PATIENT_S) as way:
        check_good(await way.speak(shot(Path.RELAY)))
        assert way._session is not None
        await way._session.aclose()
        assert (await way.speak(shot(Path.RELAY))).code is not None
        check_good(await way.speak(shot(Path.RELAY)))
