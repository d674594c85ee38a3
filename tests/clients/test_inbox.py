"""What no exchange with a relay can time: a turn that ends while its text source is being attached."""

import asyncio

import pytest
from relay_client.errors import ConnectionLostError
from relay_client.hold import Hold
from relay_client.inbox import Inbox


@pytest.mark.parametrize("ends", ["failed", "discarded"])
async def test_a_text_source_that_comes_after_the_end_is_stopped(ends: str) -> None:
    inbox = Inbox("t", Hold())
    if ends == "failed":
        inbox.fail(ConnectionLostError("lost"))
    else:
        inbox.discard()
    feeder = asyncio.create_task(asyncio.Event().wait())
    inbox.fed_by(feeder)  # type: ignore[arg-type]
    await asyncio.wait([feeder], timeout=1)
    assert feeder.cancelled()


def test_a_hold_must_hold_something() -> None:
    with pytest.raises(ValueError, match="more than 0"):
        Hold(0)


async def test_room_comes_at_half_of_what_was_too_much() -> None:
    hold = Hold(100)
    hold.add_audio(100)
    waiting = asyncio.create_task(hold.room())
    await asyncio.sleep(0)
    hold.release_audio(40)
    await asyncio.sleep(0)
    still_waiting = not waiting.done()
    hold.release_audio(10)
    await asyncio.wait([waiting], timeout=1)
    assert (still_waiting, waiting.done()) == (True, True)
