"""A turn without sockets: order, look-ahead, errors, and a cancel at every await."""

import asyncio
from typing import Any

import pytest

from relay.core.events import Pacing, SegmentStarted, TurnFailedOver, TurnStarted, WordsTimed
from relay.core.formats import AudioRequest
from relay.core.frames import Frame
from relay.engine.concurrency import ConcurrencyLimiter
from relay.engine.outbox import HIGH_WATER_MS, Content, End, PulledOutbox
from relay.engine.segments import OPEN_SEGMENTS
from relay.engine.ticker import Ticker
from relay.engine.turn import Turn, TurnSettings
from relay.engine.upstream import Candidate
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base.http import WordTime
from relay.providers.base.provider import LocalRequest, Speech, SpeechRequest
from relay.testing.audio import speech_like
from tests.server.fakes import PCM, FakeDriver, FakeProvider, FakeReply

CLIP = speech_like(0.05)
CUT = ProviderError(Code.PROVIDER_CUT, "cut", provider=ProviderFault(name="fake"))
SENTENCES = [f"This is sentence number {number}, long enough. " for number in range(6)]


def make(driver: FakeDriver, *providers: FakeProvider, **audio: Any) -> tuple[Turn, PulledOutbox]:
    outbox, providers = PulledOutbox(Ticker()), providers or (FakeProvider(),)
    settings = TurnSettings(
        turn_id="t",
        index=0,
        audio=AudioRequest(**audio),
        pacing=Pacing(),
        window_ms=None,
        candidates=tuple(
            Candidate(provider=each, speech=each.resolve(SpeechRequest()), budget=ConcurrencyLimiter(each.name))
            for each in providers
        ),
        driver=driver,
    )
    return Turn(settings, outbox, on_taken=lambda _: None), outbox


async def spoken(turn: Turn, outbox: PulledOutbox, text: str) -> list[Content]:
    """Everything the turn puts, up to its End."""
    turn.go.set()
    turn.append(text)
    turn.end_input()
    contents: list[Content] = []
    async with asyncio.timeout(10):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(turn.run())
            while not contents or not isinstance(contents[-1], End):
                item = await outbox.get()
                assert isinstance(item, tuple)
                contents.append(item[1])
    return contents


def audio_of(contents: list[Content]) -> bytes:
    return b"".join(content.payload for content in contents if isinstance(content, Frame))


async def test_segments_are_spoken_in_order_however_late_the_first_one_is() -> None:
    """The second segment's audio is all there before the first one's begins."""
    first_may_speak = asyncio.Event()

    def choose(text: str) -> FakeReply:
        return FakeReply([first_may_speak.wait, CLIP] if text == SENTENCES[0] else [CLIP])

    driver = FakeDriver(choose)
    turn, outbox = make(driver, tail="short")
    speaking = asyncio.create_task(spoken(turn, outbox, "".join(SENTENCES)))
    while len(driver.opened) < OPEN_SEGMENTS:
        await asyncio.sleep(0)
    first_may_speak.set()
    contents = await speaking
    texts = [content.text for content in contents if isinstance(content, SegmentStarted)]
    assert "".join(texts) == "".join(SENTENCES)
    assert driver.opened == texts
    assert audio_of(contents) == CLIP * len(texts)
    assert driver.most_open == OPEN_SEGMENTS
    assert driver.open_now == 0


async def test_a_later_segments_failure_waits_for_the_audio_before_it() -> None:
    driver = FakeDriver(lambda text: FakeReply([CLIP] if text == SENTENCES[0] else [CUT]))
    turn, outbox = make(driver, tail="short")
    contents = await spoken(turn, outbox, "".join(SENTENCES))
    assert contents[-1] == End(CUT)
    assert audio_of(contents) == CLIP
    assert driver.open_now == 0


async def test_a_failure_in_the_middle_keeps_what_was_good() -> None:
    driver = FakeDriver(lambda _: FakeReply([CLIP[:1001], CUT]))
    turn, outbox = make(driver, tail="short")
    contents = await spoken(turn, outbox, SENTENCES[0])
    assert contents[-1] == End(CUT)
    assert audio_of(contents) == CLIP[:1000], "whole samples only"


async def test_a_bug_is_an_internal_error_and_its_text_stays_here() -> None:
    driver = FakeDriver(lambda _: FakeReply([RuntimeError("a secret")]))
    turn, outbox = make(driver)
    contents = await spoken(turn, outbox, SENTENCES[0])
    end = contents[-1]
    assert isinstance(end, End)
    assert end.error is not None
    assert end.error.code is Code.INTERNAL
    assert "secret" not in end.error.message


async def test_word_times_become_samples_of_the_turn() -> None:
    words = [WordTime(text="This", start_s=0.0, end_s=0.01), WordTime(text="is", start_s=0.01, end_s=0.02)]
    driver = FakeDriver(lambda _: FakeReply([words[0], CLIP[:960], words[1], CLIP[960:]]))
    turn, outbox = make(driver, tail="short")
    contents = await spoken(turn, outbox, SENTENCES[0] + SENTENCES[1])
    timed = [word for content in contents if isinstance(content, WordsTimed) for word in content.words]
    starts = [content.start_sample for content in contents if isinstance(content, SegmentStarted)]
    assert starts == [0, len(CLIP) // 2]
    assert [(word.start_sample, word.end_sample) for word in timed] == [
        (start + at, start + at + 240) for start in starts for at in (0, 240)
    ]
    first_words = next(index for index, content in enumerate(contents) if isinstance(content, WordsTimed))
    first_frame = next(index for index, content in enumerate(contents) if isinstance(content, Frame))
    assert first_words < first_frame, "words are told before the frame that holds them"


async def test_native_turns_are_announced_with_the_rate_that_the_audio_has() -> None:
    driver = FakeDriver(lambda _: FakeReply([CLIP]))
    turn, outbox = make(driver, sample_rate="native")
    assert turn.form is None
    contents = await spoken(turn, outbox, SENTENCES[0])
    assert isinstance(contents[0], TurnStarted)
    assert contents[0].form.audio.sample_rate_hz == 24000


async def test_nobody_reads_so_the_provider_is_not_read() -> None:
    """What a turn holds for a listener that does not read is bounded, whatever the provider has."""
    taken = 0

    async def count() -> None:
        nonlocal taken
        taken += 1

    driver = FakeDriver(lambda _: FakeReply([count, speech_like(0.1)] * 1000))
    turn, outbox = make(driver)
    turn.go.set()
    turn.append(SENTENCES[0])
    turn.end_input()
    task = asyncio.create_task(turn.run())
    for _ in range(2000):
        await asyncio.sleep(0)
    assert outbox.held_ms <= HIGH_WATER_MS + 100
    assert taken <= HIGH_WATER_MS / 100 + 2
    task.cancel()
    await asyncio.wait([task])
    assert driver.open_now == 0


@pytest.mark.parametrize("steps", range(40))
async def test_a_cancel_at_any_instant_closes_everything(steps: int) -> None:
    """Whatever the turn awaits after `steps` turns of the loop: the provider's side is closed and no task is left."""

    async def breathe() -> None:
        await asyncio.sleep(0)

    driver = FakeDriver(lambda _: FakeReply([breathe, CLIP, breathe, CLIP] * 3))
    turn, _ = make(driver)
    turn.append("".join(SENTENCES))
    turn.end_input()
    before = asyncio.all_tasks()
    task = asyncio.create_task(turn.run())
    for step in range(steps):
        if step == 5:
            turn.go.set()
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() or task.done()
    assert driver.open_now == 0
    assert asyncio.all_tasks() == before


class Other(FakeProvider):
    name = "other"

    def request(self, speech: Speech, text: str) -> LocalRequest:
        return LocalRequest(module="none", job={"text": f"other: {text}"}, source=PCM)


def failovers(contents: list[Content]) -> list[TurnFailedOver]:
    return [content for content in contents if isinstance(content, TurnFailedOver)]


async def test_a_failure_before_the_audio_is_another_providers_turn() -> None:
    """The listener hears one whole turn; the client is told who spoke it."""
    second = speech_like(0.05, seed=2)
    driver = FakeDriver(lambda text: FakeReply([second] if text.startswith("other: ") else [CUT]))
    turn, outbox = make(driver, FakeProvider(), Other(), tail="short")
    contents = await spoken(turn, outbox, SENTENCES[0] + SENTENCES[1])
    assert contents[-1] == End()
    assert audio_of(contents) == second * 2
    [told] = failovers(contents)
    assert (told.from_provider, told.to_provider, told.code, told.at_sample) == ("fake", "other", "provider_cut", 0)
    texts = [content.text for content in contents if isinstance(content, SegmentStarted)]
    assert texts == SENTENCES[:2], "each text is told of once"
    assert turn.provider_name == "other"


async def test_a_failure_in_the_audio_goes_on_with_the_next_segment_and_is_never_done() -> None:
    second = speech_like(0.05, seed=2)

    def choose(text: str) -> FakeReply:
        return FakeReply([second] if text.startswith("other: ") else [CLIP[:960], CUT])

    driver = FakeDriver(choose)
    turn, outbox = make(driver, FakeProvider(), Other(), tail="short")
    contents = await spoken(turn, outbox, "".join(SENTENCES[:3]))
    assert contents[-1] == End(CUT)
    [told] = failovers(contents)
    assert told.at_sample == 480
    # The second segment's request was under way when the first one failed.
    assert audio_of(contents) in (CLIP[:960] + second * 2, CLIP[:960] * 2 + second)


async def test_when_the_last_provider_fails_the_turn_does() -> None:
    driver = FakeDriver(lambda _: FakeReply([CUT]))
    turn, outbox = make(driver, FakeProvider(), Other())
    contents = await spoken(turn, outbox, SENTENCES[0])
    assert contents[-1] == End(CUT)
    assert len(failovers(contents)) == 1
    assert len(driver.opened) == 2
    assert driver.open_now == 0
