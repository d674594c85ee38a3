"""A turn without sockets: order, look-ahead, errors, and a cancel at every await."""

import asyncio
from typing import Any

import pytest

from relay.core.events import FlushDone, SegmentStarted, TurnStarted, WordsTimed
from relay.core.playout import HIGH_WATER_MS, Run
from relay.engine.one_shot import ROOM_BYTES
from relay.engine.segments import OPEN_SEGMENTS
from relay.engine.turn import TurnSettings
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base.http import WordTime
from relay.providers.base.provider import LocalRequest, Speech
from relay.testing.audio import speech_like
from tests.engine.fakes import PCM, FakeDriver, FakeProvider, FakeReply
from tests.engine.stage import Accounts, listen, one_shot, settings, spoken

CLIP = speech_like(0.05)
CUT = ProviderError(Code.PROVIDER_CUT, "cut", provider=ProviderFault(name="fake"))
SENTENCES = [f"This is sentence number {number}, long enough. " for number in range(6)]


def make(driver: FakeDriver, *providers: FakeProvider, **audio: Any) -> TurnSettings:
    return settings(driver, *(providers or (FakeProvider(),)), **audio)


async def test_segments_are_spoken_in_order_however_late_the_first_one_is() -> None:
    """The second segment's audio is all there before the first one's begins."""
    first_may_speak = asyncio.Event()

    def choose(text: str) -> FakeReply:
        return FakeReply([first_may_speak.wait, CLIP] if text == SENTENCES[0] else [CLIP])

    driver = FakeDriver(choose)
    of = make(driver, tail="short")
    speaking = asyncio.create_task(spoken(of, "".join(SENTENCES)))
    while len(driver.opened) < OPEN_SEGMENTS:
        await asyncio.sleep(0)
    first_may_speak.set()
    heard = await speaking
    texts = heard.texts
    assert "".join(texts) == "".join(SENTENCES)
    assert driver.opened == texts
    assert heard.audio == CLIP * len(texts)
    assert driver.most_open == OPEN_SEGMENTS
    assert driver.open_now == 0


async def test_a_later_segments_failure_waits_for_the_audio_before_it() -> None:
    driver = FakeDriver(lambda text: FakeReply([CLIP] if text == SENTENCES[0] else [CUT]))
    of = make(driver, tail="short")
    heard = await spoken(of, "".join(SENTENCES))
    assert heard.error is CUT
    assert heard.audio == CLIP
    assert driver.open_now == 0


async def test_a_failure_in_the_middle_keeps_what_was_good() -> None:
    driver = FakeDriver(lambda _: FakeReply([CLIP[:1001], CUT]))
    of = make(driver, tail="short")
    heard = await spoken(of, SENTENCES[0])
    assert heard.error is CUT
    assert heard.audio == CLIP[:1000], "whole samples only"


async def test_a_bug_is_an_internal_error_and_its_text_stays_here() -> None:
    driver = FakeDriver(lambda _: FakeReply([RuntimeError("a secret")]))
    of = make(driver)
    heard = await spoken(of, SENTENCES[0])
    assert heard.error is not None
    assert heard.error.code is Code.INTERNAL
    assert "secret" not in heard.error.message


async def test_word_times_become_samples_of_the_turn() -> None:
    words = [WordTime(text="This", start_s=0.0, end_s=0.01), WordTime(text="is", start_s=0.01, end_s=0.02)]
    driver = FakeDriver(lambda _: FakeReply([words[0], CLIP[:960], words[1], CLIP[960:]]))
    of = make(driver, tail="short")
    heard = await spoken(of, SENTENCES[0] + SENTENCES[1])
    timed = [word for content in heard.contents if isinstance(content, WordsTimed) for word in content.words]
    starts = [content.start_sample for content in heard.contents if isinstance(content, SegmentStarted)]
    assert starts == [0, len(CLIP) // 2]
    assert [(word.start_sample, word.end_sample) for word in timed] == [
        (start + at, start + at + 240) for start in starts for at in (0, 240)
    ]
    first_words = next(index for index, content in enumerate(heard.contents) if isinstance(content, WordsTimed))
    first_frame = next(index for index, content in enumerate(heard.contents) if isinstance(content, Run))
    assert first_words < first_frame, "words are told before the frame that holds them"


async def test_native_turns_are_announced_with_the_rate_that_the_audio_has() -> None:
    driver = FakeDriver(lambda _: FakeReply([CLIP]))
    of = make(driver, sample_rate="native")
    heard = await spoken(of, SENTENCES[0])
    assert isinstance(heard.contents[0], TurnStarted)
    assert heard.contents[0].frame_format.audio.sample_rate_hz == 24000


async def test_a_listener_that_does_not_read_stops_the_provider() -> None:
    """What a turn holds is bounded, whatever the provider has."""
    taken = 0

    async def count() -> None:
        nonlocal taken
        taken += 1

    driver = FakeDriver(lambda _: FakeReply([count, speech_like(0.1)] * 1000))
    async with one_shot(make(driver)) as turn:
        turn.append(SENTENCES[0])
        turn.end_input()
        for _ in range(2000):
            await asyncio.sleep(0)
        held_ms = turn._live.session.playout.held_ms
        assert held_ms <= HIGH_WATER_MS + 100
        # What the outlet took counts too.
        assert taken <= (HIGH_WATER_MS + ROOM_BYTES / 48) / 100 + 2
    assert driver.open_now == 0


@pytest.mark.parametrize("steps", range(40))
async def test_a_cancel_at_any_instant_closes_everything(steps: int) -> None:
    """Whatever the turn awaits after `steps` turns of the loop: the provider's side is closed and no task is left."""

    async def breathe() -> None:
        await asyncio.sleep(0)

    driver, accounts = FakeDriver(lambda _: FakeReply([breathe, CLIP, breathe, CLIP] * 3)), Accounts()
    before = asyncio.all_tasks()
    async with one_shot(make(driver), accounts=accounts) as turn:
        turn.append("".join(SENTENCES))
        turn.end_input()
        for _ in range(steps):
            await asyncio.sleep(0)
    assert driver.open_now == 0
    assert asyncio.all_tasks() == before
    assert len(accounts.ended) + len(accounts.abandoned) == 1


async def test_a_flush_is_answered_where_its_text_ends() -> None:
    driver = FakeDriver(lambda _: FakeReply([CLIP]))
    async with one_shot(make(driver, tail="short")) as turn:
        turn.append("One. ")
        turn.flush("a")
        turn.append("Two. ")
        turn.flush("b")
        turn.flush()
        turn.append("Three.")
        turn.end_input()
        heard = await listen(turn)
    told = [item for item in heard.contents if isinstance(item, FlushDone)]
    samples = len(CLIP) // 2
    assert [(each.flush_id, each.end_sample) for each in told] == [
        ("a", samples),
        ("b", 2 * samples),
        (None, 2 * samples),
    ]
    sent = 0
    for item in heard.contents:
        if isinstance(item, Run):
            sent += item.samples
        elif isinstance(item, FlushDone):
            assert sent >= item.end_sample, "the last frame that holds its text has been sent"


async def test_a_flush_is_answered_though_its_last_frame_is_not_full() -> None:
    """A client may wait for the answer before it goes on."""
    driver = FakeDriver(lambda _: FakeReply([CLIP[:1200]]))
    async with one_shot(make(driver, tail="short")) as turn, asyncio.timeout(5):
        turn.append("One. ")
        turn.flush("a")
        contents = turn.contents()
        while not isinstance(item := await anext(contents), FlushDone):
            pass
        assert (item.flush_id, item.end_sample) == ("a", 600)
        turn.flush("b")
        while not isinstance(item := await anext(contents), FlushDone):
            pass
        assert (item.flush_id, item.end_sample) == ("b", 600)
        turn.append("Two.")
        turn.end_input()
        rest = [each async for each in contents]
        assert sum(each.samples for each in rest if isinstance(each, Run)) == 1200 - 480


class Other(FakeProvider):
    name = "other"

    def request(self, speech: Speech, text: str) -> LocalRequest:
        return LocalRequest(module="none", job={"text": f"other: {text}"}, source=PCM)


async def test_a_failure_before_the_audio_is_another_providers_turn() -> None:
    """The listener hears one whole turn; the client is told who spoke it."""
    second = speech_like(0.05, seed=2)
    driver = FakeDriver(lambda text: FakeReply([second] if text.startswith("other: ") else [CUT]))
    of = make(driver, FakeProvider(), Other(), tail="short")
    heard = await spoken(of, SENTENCES[0] + SENTENCES[1])
    assert heard.error is None
    assert heard.audio == second * 2
    [told] = heard.failovers
    assert (told.from_provider, told.to_provider, told.code, told.at_sample) == ("fake", "other", "provider_cut", 0)
    texts = heard.texts
    assert texts == SENTENCES[:2], "each text is told of once"
    assert heard.record.provider == "other"


async def test_a_failure_in_the_audio_goes_on_with_the_next_segment_and_is_never_done() -> None:
    second = speech_like(0.05, seed=2)

    def choose(text: str) -> FakeReply:
        return FakeReply([second] if text.startswith("other: ") else [CLIP[:960], CUT])

    driver = FakeDriver(choose)
    of = make(driver, FakeProvider(), Other(), tail="short")
    heard = await spoken(of, "".join(SENTENCES[:3]))
    assert heard.error is CUT
    [told] = heard.failovers
    assert told.at_sample == 480
    # The second segment's request was under way when the first one failed.
    assert heard.audio in (CLIP[:960] + second * 2, CLIP[:960] * 2 + second)


async def test_when_the_last_provider_fails_the_turn_does() -> None:
    driver = FakeDriver(lambda _: FakeReply([CUT]))
    of = make(driver, FakeProvider(), Other())
    heard = await spoken(of, SENTENCES[0])
    assert heard.error is CUT
    assert len(heard.failovers) == 1
    assert len(driver.opened) == 2
    assert driver.open_now == 0
