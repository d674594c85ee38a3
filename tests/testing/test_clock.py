"""Virtual time: it jumps, exact to a microsecond, can be stalled, and it says so when nothing will ever happen."""

import asyncio
import socket
import time

import pytest

from relay.testing import clock
from relay.testing.clock import run, virtual_loop


def test_an_hour_is_over_at_once_and_exact() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return virtual_loop().time()

    began_s = time.monotonic()
    assert run(main()) == pytest.approx(3600, abs=1e-6)
    assert time.monotonic() - began_s < 1


def test_timers_fire_in_order_at_their_instants() -> None:
    fired: list[tuple[str, float]] = []

    async def wait(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        fired.append((name, virtual_loop().time()))

    async def main() -> None:
        await asyncio.gather(wait("c", 0.3), wait("a", 0.1), wait("b", 0.2))

    run(main())
    assert [name for name, _ in fired] == ["a", "b", "c"]
    assert [at for _, at in fired] == pytest.approx([0.1, 0.2, 0.3], abs=1e-6)


def test_time_stands_still_while_something_can_run() -> None:
    async def main() -> float:
        asyncio.get_running_loop().call_later(1, lambda: None)
        for _ in range(1000):
            await asyncio.sleep(0)
        return virtual_loop().time()

    assert run(main()) < 1e-4


def test_a_deadline_passes() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        return virtual_loop().time()

    assert run(main()) == pytest.approx(30, abs=1e-6)


def test_a_stall_makes_timers_late() -> None:
    async def main() -> float:
        loop = virtual_loop()
        loop.call_later(0.01, loop.advance, 0.5)
        await asyncio.sleep(0.02)
        return loop.time()

    assert run(main()) == pytest.approx(0.51)


def test_a_timer_that_fires_too_early_may_wait_again() -> None:
    """Otherwise it would wait for ever, at one instant."""

    async def main() -> float:
        loop = virtual_loop()
        await asyncio.sleep(0.1)
        until_s = loop.time() + 1e-12
        while loop.time() < until_s:
            await asyncio.sleep(until_s - loop.time())
        return loop.time()

    assert run(main()) == pytest.approx(0.1, abs=1e-6)


def test_a_thread_may_wake_it() -> None:
    async def main() -> int:
        return await asyncio.to_thread(lambda: 7)

    assert run(main()) == 7


def test_a_wait_without_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "PATIENCE_S", 0.01)

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nobody will do"):
        run(main())


def test_what_was_sent_over_loopback_arrives_before_time_jumps() -> None:
    async def main() -> list[float]:
        loop, arrived = virtual_loop(), []
        near, far = socket.socketpair()
        with near, far:
            for end in (near, far):
                end.setblocking(False)
            for _ in range(20):
                waiting = loop.create_task(loop.sock_recv(far, 1))
                await asyncio.sleep(0.1)
                await loop.sock_sendall(near, b"x")
                await waiting
                arrived.append(loop.time())
        return arrived

    assert run(main(), grace_s=0.002) == pytest.approx([0.1 * (number + 1) for number in range(20)], abs=1e-4)
