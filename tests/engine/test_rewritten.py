"""Text of which not all is spoken as it was given: what the provider gets, what the client is told, what is counted."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.events import FlushDone, SegmentStarted, WordsTimed
from relay.core.text.chunker import TextChunker, speakable
from relay.core.text.filters import TextFilter
from relay.core.text.lexicon import Lexicon
from relay.core.text.spoken import FEED_CHARS, Phonemes
from relay.engine.rewritten import Rewriting, cut_text, streamed_text
from relay.engine.text import Mark, StreamedText, TurnText
from relay.errors import ClientError, Code, ProviderError, ProviderFault
from relay.providers.base.http import WordTime
from relay.providers.base.provider import LocalRequest, Speech
from relay.testing.audio import speech_like
from tests.engine.fakes import FakeDriver, FakeProvider, FakeReply
from tests.engine.stage import Counted, listen, one_shot, settings, taken
from tests.engine.test_streaming import CUT, Dialogues, Fault, Typist

CLIP = speech_like(0.05)
BUSY = ProviderFault(name="pronouncing")
LEXICON = Lexicon.parse({"sql": "my sequel", "Nginx": "engine x", "bold": {"ipa": "x"}})
ALL = Rewriting(tuple(TextFilter), LEXICON)


class Pronouncing(FakeProvider):
    name = "pronouncing"
    capabilities = replace(FakeProvider.capabilities, phonemes=True)

    def __init__(self) -> None:
        self.asked: list[Sequence[Phonemes]] = []

    def pronounce(self, speech: Speech, text: str, phonemes: Sequence[Phonemes]) -> LocalRequest:
        self.asked.append(phonemes)
        return self.request(speech, text)


FRAGMENTS = [
    *("**bold** ", "SQL ", "is", " here", ". ", "😀", " 👋 ", "`code` ", "see https://www.example.com/a?b ", "\n\n"),
    *("```\nx = 1\n```\n", "Hello there, you. ", "[docs](https://example.com) ", "Ngi", "nx", "*", "3", "."),
]
TEXTS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.just(Mark.FLUSH)), max_size=25)


async def say(pieces: Sequence[str | Mark], *, rewriting: Rewriting | None = ALL, streams: bool = False, **how: Any):  # type: ignore[no-untyped-def]
    """A turn that is given `pieces`, a few turns of the loop apart: what was heard, and what providers were given."""
    driver = FakeDriver(how.pop("choose", None) or (lambda text: FakeReply([CLIP])))
    dialogues = Dialogues(how.pop("faults", {}))
    providers = how.pop("providers", [Typist("a")] if streams else [FakeProvider()])
    of = replace(settings(driver, *providers, dialogues=dialogues, tail="short"), rewriting=rewriting)
    async with asyncio.timeout(20), one_shot(of) as turn, asyncio.TaskGroup() as tasks:

        async def write() -> None:
            for piece in pieces:
                turn.flush() if isinstance(piece, Mark) else turn.append(piece)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            turn.end_input()

        tasks.create_task(write())
        heard = await listen(turn)
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    if heard.error is None:
        assert "".join(heard.texts) == text
        flushes = sum(isinstance(piece, Mark) for piece in pieces)
        assert sum(isinstance(item, FlushDone) for item in heard.contents) == flushes, "every flush is answered"
        assert turn.record.pending_chars == 0
    assert turn.record.text_chars == len(text)
    return heard, driver, dialogues


async def whole(text: str) -> str:
    """What is spoken of a text that comes at once."""
    spoken = ALL.begin()
    return spoken.feed(text) + spoken.flush()


@given(TEXTS)
def test_what_is_told_is_what_was_given_and_no_request_has_nothing_to_speak(pieces: list[str | Mark]) -> None:
    async def main() -> None:
        _, driver, _ = await say(pieces)
        assert all(map(speakable, driver.opened))
        assert not any(mark in "".join(driver.opened) for mark in ("😀", "👋"))

    asyncio.run(main())


@given(TEXTS)
def test_the_same_where_text_is_passed_on_as_it_is_typed(pieces: list[str | Mark]) -> None:
    async def main() -> None:
        _, _, dialogues = await say(pieces, streams=True)
        said = "".join(conversation.text for _, conversation in dialogues.conversations)
        assert not any(mark in said for mark in ("😀", "👋"))
        assert speakable(said) == bool(dialogues.conversations)

    asyncio.run(main())


@given(TEXTS.map(lambda pieces: [piece for piece in pieces if isinstance(piece, str)]), st.booleans())
def test_any_cuts_give_the_provider_the_same(pieces: list[str], streams: bool) -> None:
    async def main() -> None:
        spoken = await whole("".join(pieces))
        _, driver, dialogues = await say(pieces, streams=streams)
        if not streams:
            # Without the white space and the marks that no request was made for.
            assert "".join(filter(str.isalnum, "".join(driver.opened))) == "".join(filter(str.isalnum, spoken))
        elif speakable(spoken):
            assert dialogues.conversations[0][1].text == spoken

    asyncio.run(main())


@given(TEXTS, st.integers(0, 6), st.sampled_from(["read", "write"]), st.booleans())
def test_who_steps_in_is_given_the_whole_text_again(
    pieces: list[str | Mark], at: int, where: str, segments: bool
) -> None:
    async def main() -> None:
        providers = [Typist("a"), FakeProvider() if segments else Typist("b")]
        alone, _driver, dialogues = await say(
            pieces, streams=True, providers=providers, faults={"a": Fault(at=at, where=where)}
        )
        assert alone.error is None
        if not (segments or Mark.FLUSH in pieces) and dialogues.conversations:
            assert dialogues.conversations[-1][1].text == await whole("".join(map(str, pieces)))
        assert dialogues.open_now == 0

    asyncio.run(main())


async def test_words_are_told_as_they_were_given() -> None:
    times = [
        WordTime(text=word, start_s=at / 100, end_s=(at + 1) / 100) for at, word in enumerate(["my", "sequel", "is"])
    ]
    heard, driver, _ = await say(["**SQL** is"], choose=lambda text: FakeReply([*times, CLIP]))
    assert driver.opened == ["my sequel is"]
    [timed] = [item for item in heard.contents if isinstance(item, WordsTimed)]
    assert [(word.text, word.start_sample, word.end_sample) for word in timed.words] == [
        ("SQL", 0, 480),
        ("is", 480, 720),
    ]


def fail_or_reply(failures: list[ProviderError]) -> FakeReply:
    if failures:
        raise failures.pop()
    return FakeReply([CLIP])


async def test_ipa_goes_to_who_takes_it_and_a_respelling_to_who_does_not() -> None:
    lexicon = Lexicon.parse({"bob": {"ipa": "b"}, "sql": {"alias": "my sequel", "ipa": "s"}})
    pronouncing = Pronouncing()
    for providers, wanted in (([pronouncing], 1), ([FakeProvider()], 0), ([pronouncing, FakeProvider()], 1)):
        pronouncing.asked.clear()
        failures = [ProviderError(Code.PROVIDER_UNAVAILABLE, "no", provider=BUSY)] * (len(providers) - 1)
        heard, driver, _ = await say(
            ["Say **Bob** and SQL."],
            rewriting=replace(ALL, lexicon=lexicon),
            providers=providers,
            choose=lambda _text, failures=failures: fail_or_reply(failures),
        )
        assert heard.texts == ["Say **Bob** and SQL."]
        assert driver.opened == ["Say Bob and my sequel."] * len(providers)
        assert pronouncing.asked == [(Phonemes(4, 7, "b"), Phonemes(12, 21, "s"))] * wanted


async def test_a_flush_is_answered_though_what_is_left_out_is_last() -> None:
    """The client waits for the answer before it says more."""
    of = replace(settings(FakeDriver(lambda _: FakeReply([CLIP])), FakeProvider()), rewriting=ALL)
    async with asyncio.timeout(20), one_shot(of) as turn:
        turn.append("Hello there 😀")
        turn.flush("one")
        contents = turn.contents()
        told = [item async for item in until_answered(contents, "one")]
        turn.append(" 👋 ")
        turn.flush("two")
        told += [item async for item in until_answered(contents, "two")]
        assert "".join(item.text for item in told if isinstance(item, SegmentStarted)) == "Hello there 😀 👋 "
        await contents.aclose()


async def until_answered(contents: Any, flush_id: str) -> Any:
    async for item in contents:
        yield item
        if isinstance(item, FlushDone) and item.flush_id == flush_id:
            return


async def test_what_a_filter_holds_back_is_spoken_when_no_more_comes() -> None:
    now_s = 100.0
    text = cut_text(TextChunker(), taken(), ALL, clock=lambda: now_s)
    text.append("Please look at [the docs of it")
    waiting = asyncio.create_task(text.next())
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiting.done()
    now_s += 0.5
    async with asyncio.timeout(5):
        segment = await waiting
    assert segment is not None and not isinstance(segment, str)
    assert segment.spoken == "Please look at [the docs of "


@pytest.mark.parametrize("streams", [False, True])
async def test_long_text_leaves_the_loop_to_others(streams: bool) -> None:
    """No more than FEED_CHARS are rewritten in a row."""
    counted = Counted()
    given = "**Nginx** and SQL are here. " * 400
    text: Any = streamed_text(taken(counted), ALL) if streams else cut_text(TextChunker(), taken(counted), ALL)
    text.append(given)
    text.end_input()
    told, turns, done = "", 0, False

    async def count() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    while (piece := await text.next()) not in (None, Mark.END):
        told += piece.given
        if streams:
            text.took(len(piece.given))
    done = True
    await counting
    assert told == given
    assert counted.chars == len(given)
    assert turns >= len(given) // FEED_CHARS - 1


def test_without_filters_and_words_nothing_stands_in_between() -> None:
    assert Rewriting().over(None, None) is Rewriting().over([], {}) is None
    assert type(cut_text(TextChunker(), taken(), None)) is TurnText
    assert type(streamed_text(taken(), None)) is StreamedText


def test_a_turns_own_words_are_laid_over_the_configured_ones() -> None:
    configured = Rewriting((TextFilter.EMOJI,), LEXICON)
    own = configured.over(["urls"], {"SQL": "squeal"})
    assert own is not None and own.lexicon is not None
    assert own.filters == (TextFilter.URLS,)
    spoken = own.begin()
    assert spoken.feed("SQL, sql, Nginx 😀") + spoken.flush() == "squeal, my sequel, engine x 😀"
    kept = configured.over(None, None)
    assert kept == configured


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"text_filter": ["html"]}, ["text_filter", "html", "markdown"]),
        ({"lexicon": {"sql": 3}}, ["lexicon", "entry 1"]),
        ({"lexicon": {f"w{at}": "x" for at in range(201)}}, ["lexicon", "201", "200"]),
    ],
)
def test_what_is_wrong_is_refused_by_the_name_of_its_field(asked: dict[str, Any], says: list[str]) -> None:
    with pytest.raises(ClientError) as caught:
        ALL.over(asked.get("text_filter"), asked.get("lexicon"))
    assert caught.value.code is Code.INVALID_CONFIG
    assert all(word in caught.value.message for word in says)


async def test_a_failed_segment_is_told_once() -> None:
    fail = True

    def choose(text: str) -> FakeReply:
        nonlocal fail
        pieces, fail = ([CUT] if fail else [CLIP]), False
        return FakeReply(pieces)

    heard, driver, _dialogues = await say(
        ["**Hello** there."], choose=choose, providers=[FakeProvider(), FakeProvider()]
    )
    assert driver.opened == ["Hello there."] * 2
    assert heard.texts == ["**Hello** there."]
