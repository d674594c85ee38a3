"""Every stage of a turn, against a provider of which every instant is known: in virtual time, over real sockets."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.formats import AudioRequest
from relay.core.timings import TurnTimings
from relay.drivers.http import attempt as http_attempt
from relay.drivers.http.driver import HttpDriver
from relay.engine.candidates import Candidate
from relay.engine.concurrency import ConcurrencyLimiter
from relay.engine.turn import TurnSettings
from relay.providers.base.provider import ProviderSettings, SpeechRequest
from relay.providers.breeze.provider import Breeze
from relay.testing.audio import noise
from relay.testing.clock import run, virtual_loop
from relay.testing.fake_provider import FakeProvider
from relay.testing.known import KINDS, Kind, known
from relay.testing.script import Pause, Script, Send, Status
from tests.engine.stage import Accounts, Drivers, spoken

# What the kernel gets to deliver what was sent; it is the slower the busier the machine.
GRACE_S = 0.003
# Virtual time passes by a nanosecond at every turn of the loop.
EXACT_MS = 0.05
FRAME_BYTES = 960


@pytest.fixture(autouse=True)
def _the_driver_reads_the_loops_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_attempt, "monotonic", lambda: virtual_loop().time())


async def turns(script: Script, count: int) -> list[TurnTimings]:
    """So many turns at a time, each to a listener that takes every frame at once."""
    driver = HttpDriver()
    await driver.start()
    try:
        async with FakeProvider(script) as fake:
            provider = Breeze(ProviderSettings(api_key="key", base_url=fake.url, voice="v"))
            candidate = Candidate(
                provider=provider,
                speech=provider.resolve(SpeechRequest()),
                limiter=ConcurrencyLimiter("breeze", clock=_now_s),
            )
            return await asyncio.gather(*(_turn(candidate, driver) for _ in range(count)))
    finally:
        await driver.close()


async def _turn(candidate: Candidate, driver: HttpDriver) -> TurnTimings:
    accounts = Accounts(_now_s)
    of = TurnSettings(audio=AudioRequest(), candidates=(candidate,), drivers=Drivers(driver))  # type: ignore[arg-type]
    heard = await spoken(of, "Hello there.", clock=_now_s, accounts=accounts)
    assert heard.error is None
    accounts.ticker.close()
    return heard.record.timings


def _now_s() -> float:
    return virtual_loop().time()


@pytest.mark.parametrize("count", [1, 50])
@pytest.mark.parametrize("kind", KINDS)
def test_every_stage_is_right(kind: Kind, count: int) -> None:
    reply = known(kind)
    for timings in run(turns(reply.script, count), grace_s=GRACE_S):
        report = timings.report()
        for stage, expected_ms in reply.stages.items():
            assert report[stage] == pytest.approx(expected_ms, abs=EXACT_MS), stage
        assert timings.ttfa_ms == report["first_frame"]
        assert timings.leading_silence_ms == pytest.approx(reply.leading_silence_ms, abs=reply.silence_within_ms)
        assert timings.ttfs_ms == pytest.approx((timings.ttfa_ms or 0) + (timings.leading_silence_ms or 0))
        assert timings.relay_ms == pytest.approx(0, abs=EXACT_MS), "a wait for the provider's bytes is not the relay's"
        assert report["first_frame_complete"] == pytest.approx(reply.stages["first_frame"], abs=EXACT_MS)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 1500)), min_size=1, max_size=6),
    st.integers(0, 300),
)
def test_the_first_audio_is_never_earlier_than_it_can_be(cuts: list[tuple[int, int]], headers_ms: int) -> None:
    """And never later: the frame leaves with the byte that fills it, wherever the reply is cut."""
    pcm = noise(0.2)
    sizes = [size for _, size in cuts]
    pieces = [pcm[sum(sizes[:number]) :][:size] for number, size in enumerate(sizes)]
    waits_ms, rest = [wait for wait, _ in cuts], pcm[sum(sizes) :]
    script: list[Any] = [Pause(headers_ms / 1000), Status(200, {"content-type": "audio/pcm"})]
    at_ms, there, full_ms = float(headers_ms), 0, None
    for wait_ms, piece in [*zip(waits_ms, pieces, strict=True), (100, rest)]:
        script += [Pause(wait_ms / 1000), Send(piece)]
        at_ms, there = at_ms + wait_ms, there + len(piece)
        if full_ms is None and there >= FRAME_BYTES:
            full_ms = at_ms
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_attempt, "monotonic", _now_s)
        [timings] = run(turns(tuple(script), 1), grace_s=GRACE_S)
    report = timings.report()
    assert report["response_headers"] == pytest.approx(headers_ms, abs=EXACT_MS)
    assert report["first_byte"] == pytest.approx(headers_ms + waits_ms[0], abs=EXACT_MS)
    assert timings.ttfa_ms == pytest.approx(full_ms, abs=EXACT_MS)
    assert report["last_byte"] == pytest.approx(at_ms, abs=EXACT_MS)
    assert timings.leading_silence_ms == 0
    assert timings.relay_ms == pytest.approx(0, abs=EXACT_MS)
