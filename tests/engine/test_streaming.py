"""A turn whose text is passed on as it comes, where a provider fails: before it was heard, and after."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as tuned
from hypothesis import strategies as st

from relay.core.events import FlushDone
from relay.core.timings import Timings
from relay.engine.concurrency import ConcurrencyLimiter
from relay.engine.one_shot import OneShot
from relay.engine.text import Mark
from relay.errors import Code, ProviderError, ProviderFault, RelayError
from relay.providers.base.http import ReplyFacts
from relay.providers.base.provider import Speech, SpeechRequest
from tests.engine.fakes import PCM, FakeDriver, FakeProvider, FakeReply
from tests.engine.stage import Heard, listen, one_shot, settings

CUT = ProviderError(Code.PROVIDER_CUT, "cut", provider=ProviderFault(name="fake"))
BUSY = ProviderError(Code.PROVIDER_RATE_LIMITED, "busy", provider=ProviderFault(name="fake"))


def clip(provider: str, text: str) -> bytes:
    """A sample a character, another one for every provider."""
    return b"".join((ord(provider[0]) * 256 + ord(character) % 256).to_bytes(2, "little") for character in text)


class Typist(FakeProvider):
    """Takes text as it comes."""

    def __init__(self, name: str) -> None:
        self.name = name

    def resolve(self, wanted: SpeechRequest) -> Speech:
        return Speech(voice=f"voice of {self.name}", streaming_text=True)

    def converse(self, speech: Speech) -> Any:
        return self.name


class Cutter(FakeProvider):
    """Takes segments."""

    name = "segments"


@dataclass
class Fault:
    """What a provider does wrong: cannot be opened, or fails at its call number `at`, where it writes or reads; having
    spoken so far `heard` samples of what it was given."""

    at: int | None = None
    where: str = "read"
    heard: int = 0
    error: ProviderError = CUT
    once: bool = False


class Conversation:
    content_type: str | None = "audio/pcm"

    def __init__(self, name: str, fault: Fault | None) -> None:
        self.facts = ReplyFacts(source=PCM)
        self.said: list[str | Mark] = []
        self._name = name
        self._fault = fault
        self._calls = 0
        self._failed = False
        self._settled = asyncio.Event()

    async def give(self, text: str) -> None:
        await self._called(text)

    async def flush(self) -> None:
        await self._called(Mark.FLUSH)

    async def end_text(self) -> None:
        await self._called(Mark.END)
        self._settled.set()

    async def _called(self, said: str | Mark) -> None:
        await asyncio.sleep(0)
        if self._fault and self._fault.at == self._calls:
            if self._fault.where == "write":
                raise self._fault.error
            self._failed = True
            self._settled.set()
            await asyncio.Event().wait()
        self._calls += 1
        self.said.append(said)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        await self._settled.wait()
        if self._fault and self._failed:
            if heard := clip(self._name, self.text)[: 2 * self._fault.heard]:
                yield heard
            raise self._fault.error
        yield clip(self._name, self.text)

    @property
    def text(self) -> str:
        return "".join(piece for piece in self.said if isinstance(piece, str))

    def refuse(self, body: bytes) -> None:
        return None


@dataclass
class Dialogues:
    """Fails as `faults` say, by the provider's name."""

    faults: dict[str, Fault]
    conversations: list[tuple[str, Conversation]] = field(default_factory=list)
    open_now: int = 0

    @asynccontextmanager
    async def converse(self, request: Any, timings: Timings) -> AsyncIterator[Conversation]:
        fault = self.faults.get(request)
        if fault and fault.once:
            del self.faults[request]
        if fault and fault.at is None:
            raise fault.error
        conversation = Conversation(request, fault)
        self.conversations.append((request, conversation))
        self.open_now += 1
        try:
            yield conversation
        finally:
            self.open_now -= 1


@dataclass
class Spoken:
    heard: Heard
    dialogues: Dialogues
    segments: list[str]
    taken: int

    @property
    def audio(self) -> bytes:
        return self.heard.audio

    @property
    def texts(self) -> list[str]:
        return self.heard.texts

    @property
    def failovers(self) -> list[tuple[str, str, Code]]:
        return [(each.from_provider, each.to_provider, each.code) for each in self.heard.failovers]

    @property
    def error(self) -> RelayError | None:
        return self.heard.error


async def spoken(pieces: list[str | Mark], providers: list[FakeProvider], faults: dict[str, Fault]) -> Spoken:
    """A turn that is given `pieces`, a few turns of the loop apart."""
    dialogues = Dialogues(faults)
    driver = FakeDriver(lambda text: FakeReply([clip("segments", text)]))
    of = settings(driver, *providers, dialogues=dialogues, sample_rate=24000, tail="short")

    async def write(turn: OneShot) -> None:
        for piece in pieces:
            turn.flush() if isinstance(piece, Mark) else turn.append(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        turn.end_input()

    async with asyncio.timeout(10), one_shot(of) as turn, asyncio.TaskGroup() as tasks:
        tasks.create_task(write(turn))
        heard = await listen(turn)
    record = turn.record
    assert record.pending_chars == 0 or heard.error is not None
    assert dialogues.open_now == 0
    assert driver.open_now == 0
    assert record.text_chars == sum(len(piece) for piece in pieces if isinstance(piece, str))
    flushes = sum(isinstance(piece, Mark) for piece in pieces)
    if heard.error is None:
        assert sum(isinstance(item, FlushDone) for item in heard.contents) == flushes, "every flush is answered"
    return Spoken(heard, dialogues, driver.opened, record.text_chars - record.pending_chars)


def parts(said: list[str | Mark]) -> list[str]:
    """The text between flushes: where the pieces of it were cut is nobody's business."""
    texts = [""]
    for each in said:
        if isinstance(each, str):
            texts[-1] += each
        elif texts[-1].strip():
            texts.append("")
    return texts


WORDS = st.sampled_from(["Hello ", "th", "ere, you. ", "x", " ", "And more? "])
PIECES = st.lists(st.one_of(WORDS, st.just(Mark.FLUSH)))
FAULTS = st.one_of(
    st.just(Fault(error=BUSY)),
    st.builds(Fault, at=st.integers(0, 6), where=st.sampled_from(["read", "write"])),
)


@tuned(deadline=None)
@given(PIECES, FAULTS, FAULTS, st.sampled_from(["typist", "segments"]))
@example(["th", Mark.FLUSH, " ", Mark.FLUSH, "Hello "], Fault(error=BUSY), Fault(error=BUSY), "segments")
def test_before_the_first_audio_another_provider_has_all_the_text(
    pieces: list[str | Mark], one: Fault, two: Fault, last: str
) -> None:
    """However the text comes, wherever two providers fail: one whole turn is heard, of one voice."""
    pieces = ["First. ", *pieces]
    third: FakeProvider = Typist("three") if last == "typist" else Cutter()
    heard = asyncio.run(spoken(pieces, [Typist("one"), Typist("two"), third], {"one": one, "two": two}))
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    assert heard.error is None
    assert "".join(heard.texts) == text
    assert heard.taken == len(text), "told once, though given to several"
    failed = [name for name, _, _ in heard.failovers]
    speaker = ["one", "two", third.name][len(failed)]
    assert failed == ["one", "two"][: len(failed)]
    if speaker == "segments":
        assert "".join("".join(heard.segments).split()) == "".join(text.split()), "all but what cannot be spoken"
        assert heard.audio == b"".join(clip("segments", each) for each in heard.segments)
    else:
        name, conversation = heard.dialogues.conversations[-1]
        assert (name, conversation.said[-1]) == (speaker, Mark.END)
        assert "".join(parts(conversation.said)) == text
        assert heard.audio == clip(speaker, text)


async def test_flushes_are_given_again_where_they_stood() -> None:
    pieces: list[str | Mark] = ["One. ", Mark.FLUSH, "Two. ", Mark.FLUSH, "Three."]
    heard = await spoken(pieces, [Typist("one"), Typist("two")], {"one": Fault(at=4)})
    said = heard.dialogues.conversations[-1][1].said
    assert parts(said) == ["One. ", "Two. ", "Three.", ""]
    assert heard.error is None
    assert heard.failovers == [("one", "two", Code.PROVIDER_CUT)]


@pytest.mark.parametrize("heard_samples", [1, 6, 12])
async def test_after_the_first_audio_nobody_goes_on_and_the_turn_is_not_done(heard_samples: int) -> None:
    """Nobody can tell which of the text it was given the provider has spoken."""
    fault = Fault(at=1, heard=heard_samples)
    heard = await spoken(["Hello there. ", "And more."], [Typist("one"), Typist("two"), Cutter()], {"one": fault})
    assert heard.error is CUT
    assert heard.failovers == []
    text = heard.dialogues.conversations[0][1].text
    assert heard.audio == clip("one", text)[: 2 * heard_samples], "what was good is heard"
    assert [name for name, _ in heard.dialogues.conversations] == ["one"]
    assert heard.segments == []


async def test_when_the_last_provider_fails_its_error_ends_the_turn() -> None:
    faults = {"one": Fault(error=BUSY), "two": Fault(at=0)}
    heard = await spoken(["Hello."], [Typist("one"), Typist("two")], faults)
    assert heard.error is CUT
    assert heard.failovers == [("one", "two", Code.PROVIDER_RATE_LIMITED)]
    assert heard.audio == b""


@pytest.mark.parametrize("at", [None, 0, 1])
async def test_one_that_is_busy_for_a_moment_is_asked_again(at: int | None) -> None:
    """Whether it says so at the door or when it has been given some text."""
    soon = ProviderError(Code.PROVIDER_RATE_LIMITED, "busy", provider=ProviderFault(name="fake"), retry_after_s=0.01)
    fault = Fault(at=at, error=soon, once=True)
    heard = await spoken(["Hello ", "there."], [Typist("one"), Typist("two")], {"one": fault})
    assert heard.error is None
    assert heard.failovers == []
    assert heard.audio == clip("one", "Hello there.")
    assert heard.taken == len("Hello there.")


async def test_one_that_is_busy_for_longer_than_anyone_waits_is_replaced() -> None:
    long = ProviderError(Code.PROVIDER_RATE_LIMITED, "busy", provider=ProviderFault(name="fake"), retry_after_s=3600)
    heard = await spoken(["Hello."], [Typist("one"), Typist("two")], {"one": Fault(error=long)})
    assert heard.failovers == [("one", "two", Code.PROVIDER_RATE_LIMITED)]
    assert heard.audio == clip("two", "Hello.")


async def test_nothing_to_say_asks_nobody() -> None:
    heard = await spoken([" ", Mark.FLUSH, "\n"], [Typist("one"), Cutter()], {})
    assert heard.error is None
    assert "".join(heard.texts) == " \n"
    assert heard.dialogues.conversations == []
    assert heard.taken == 2


async def test_the_wait_for_a_slot_is_counted_from_the_text_and_not_from_the_start_of_the_turn() -> None:
    now_s = [0.0]
    limiter = ConcurrencyLimiter("one", 1, timeout_s=10.0, clock=lambda: now_s[0])
    of = settings(FakeDriver(lambda text: FakeReply([])), Typist("one"), dialogues=Dialogues({}), tail="short")
    [candidate] = of.candidates
    of = replace(of, candidates=(replace(candidate, limiter=limiter),))
    taken = limiter.take()
    assert taken is not None
    async with asyncio.timeout(10), one_shot(of, clock=lambda: now_s[0]) as turn, asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(listen(turn, clock=lambda: now_s[0]))
        await asyncio.sleep(0)
        now_s[0] = 15.0
        turn.append("Late. ")
        turn.end_input()
        while not limiter.waiting and not listening.done():
            await asyncio.sleep(0)
        taken.release()
    assert listening.result().error is None
    assert listening.result().audio == clip("one", "Late. ")
