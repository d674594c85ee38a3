"""A driver that fetches over HTTP: exact bytes or a typed error in every scenario, and nothing left open.

    for name in SCENARIOS:
        await check_scenario(driver, lambda url: request_to(url), name)

`driver` is started, retries nothing, and has patience for a fraction of a second. `describe` makes an upstream whose
audio is at the address it is given, under any path; what a job asks before that, it has answered by `before`.
"""

import asyncio
from collections.abc import Callable

from relay.core.timings import Stage, Timings
from relay.errors import ProviderError
from relay.providers.base.provider import Driver, Upstream
from relay.testing.fake_provider import Chooser, FakeProvider, FakeRequest
from relay.testing.scenarios import scenario
from relay.testing.script import Drip, Script, Send

# Replies that are whole; those that never end; and those whose bytes a driver passes on for a decoder to judge. Every
# other scenario has to raise.
WHOLE = frozenset({"ok", "ok_length", "ok_until_close", "one_byte_chunks", "odd_bytes", "slow_drip"})
ENDLESS = frozenset({"endless_body"})
FOR_THE_DECODER = frozenset({"wrong_content_type", "wav_wrong_rate", "html_200", "json_200"})
# Longest that any scenario may take, with the driver's own patience spent.
PATIENCE_S = 5.0

Describe = Callable[[str], Upstream]


async def check_scenario(
    driver: Driver, describe: Describe, name: str, *, before: Callable[[FakeRequest], Script | None] = lambda _: None
) -> None:
    """Plays one scenario of `relay.testing.scenarios`. `before` answers the requests that are not for the audio."""
    async with FakeProvider(_chooser(scenario(name), before)) as fake:
        timings, body = Timings(), bytearray()
        try:
            async with asyncio.timeout(PATIENCE_S), driver.open(describe(fake.url), timings) as reply:
                _check_timings(timings)
                async for piece in reply:
                    if isinstance(piece, bytes):
                        assert piece, "a piece is never empty"
                        body += piece
                    if name in ENDLESS:
                        break
        except ProviderError as error:
            assert name not in WHOLE | ENDLESS | FOR_THE_DECODER, f"{name} fails: {error.message}"
            assert error.provider.name, "the error names no provider"
            # A chunk that was cut short holds some bytes more.
            assert bytes(body).startswith(_sent(scenario(name))[: len(body)]), f"{name} gives bytes that were not sent"
        except TimeoutError:
            raise AssertionError(f"{name} is waited for without end") from None
        else:
            assert name in WHOLE | ENDLESS | FOR_THE_DECODER, f"{name} passes for success"
            if name not in ENDLESS:
                assert bytes(body) == _sent(scenario(name)), f"{name} does not give what was sent"
        await _nothing_is_open(fake, name)


async def check_leaving(
    driver: Driver, describe: Describe, *, before: Callable[[FakeRequest], Script | None] = lambda _: None
) -> None:
    """Left or cancelled in the middle, at any point, the provider's work ends."""
    for name in ("endless_body", "stall_mid_stream", "stall_before_first_byte", "stall_before_headers", "slow_drip"):
        async with FakeProvider(_chooser(scenario(name), before)) as fake:

            async def listen(url: str) -> None:
                async with driver.open(describe(url), Timings()) as reply:
                    async for _ in reply:
                        pass

            listening = asyncio.create_task(listen(fake.url))
            await fake.exchange(0)
            listening.cancel()
            assert await asyncio.gather(listening, return_exceptions=True), "it ends"
            assert listening.cancelled(), f"{name}: a cancel is swallowed"
            await _nothing_is_open(fake, name)


def _chooser(script: Script, before: Callable[[FakeRequest], Script | None]) -> Chooser:
    return lambda request: before(request) or script


def _sent(script: Script) -> bytes:
    """The body that a script frames."""
    return b"".join(step.data for step in script if isinstance(step, (Send, Drip)))


def _check_timings(timings: Timings) -> None:
    """What has happened when the first piece is there is marked, in order."""
    stages = (Stage.REQUEST_SENT, Stage.RESPONSE_HEADERS, Stage.FIRST_BYTE)
    assert all(stage in timings.instants_s for stage in stages), f"only {', '.join(timings.instants_s)} is marked"
    instants_s = [timings.instants_s[stage] for stage in stages]
    assert instants_s == sorted(instants_s), "the instants are out of order"
    assert timings.connection_reused is not None, "whether the connection was reused is not said"


async def _nothing_is_open(fake: FakeProvider, name: str) -> None:
    try:
        await fake.idle()
    except TimeoutError:
        raise AssertionError(f"{name}: the provider still works for nobody") from None
