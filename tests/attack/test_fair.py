"""Queues serve callers in turn."""

import asyncio
import heapq

from relay.drivers.fair import CALLER, FairOrder
from relay.engine.concurrency import ConcurrencyLimiter


def test_one_request_waits_for_one_of_each_other_caller() -> None:
    order = FairOrder()
    waiting = [(order.turn("alice"), "alice") for _ in range(100)]
    served = []
    heapq.heapify(waiting)
    for step in range(100):
        if step == 10:
            heapq.heappush(waiting, (order.turn("bob"), "bob"))
            heapq.heappush(waiting, (order.turn("carol"), "carol"))
        turn, caller = heapq.heappop(waiting)
        order.served(turn)
        served.append(caller)
    assert set(served[10:14]) >= {"bob", "carol"}
    assert served.count("alice") == 98


def test_one_caller_alone_is_served_in_order_and_nobody_is_remembered_for_long() -> None:
    order = FairOrder()
    turns = [order.turn("a") for _ in range(10)]
    assert turns == sorted(turns)
    for number in range(5000):
        turn = order.turn(str(number))
        order.served((turn[0] + 1, 0))
    assert len(order._last) <= 1025


async def test_slots_at_a_provider_go_round() -> None:
    limiter, served = ConcurrencyLimiter("p", 1), []

    async def speak(caller: str) -> None:
        CALLER.set(caller)
        async with limiter.slot():
            served.append(caller)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(speak("alice")) for _ in range(20)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(speak("bob")))
    await asyncio.gather(*tasks)
    assert served.index("bob") <= 3
