"""Text that is passed on as it comes: what waits, what is told of it, and how far a listener came."""

import asyncio
import json
from base64 import b64encode

import pytest

from relay.core.events import Word
from relay.core.transcript import MOST_BEHIND_SAMPLES, Transcript
from relay.engine.text import Mark, PassedText, StreamedText
from relay.testing.audio import speech_like
from relay.testing.script import Send, Status
from tests.engine.stage import taken
from tests.server.harness import client, relay_to

# Text on its way.


def streamed(*given: str) -> StreamedText:
    text = StreamedText(taken())
    for piece in given:
        text.append(piece)
    return text


async def test_what_has_come_is_one_piece_up_to_a_mark() -> None:
    text = streamed("Hel", "lo ")
    text.flush()
    text.flush()
    text.append("world")
    text.end_input()
    given = [await text.next() for _ in range(4)]
    assert given == ["Hello ", Mark.FLUSH, "world", Mark.END]
    assert text.chars == len("Hello world")


async def test_text_wakes_who_waits_for_it() -> None:
    text = streamed()
    waiting = asyncio.create_task(text.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    text.append("Now")
    assert await waiting == "Now"


async def test_marks_without_text_between_them_do_not_pile_up() -> None:
    text = streamed("a")
    for _ in range(1000):
        text.flush()
    assert await text.next() == "a"
    assert await text.next() is Mark.FLUSH
    text.append("b")
    assert await text.next() == "b"


async def test_nothing_begins_before_there_is_something_to_be_said() -> None:
    text = streamed(" ", "\n")
    beginning = asyncio.create_task(text.beginning())
    text.flush()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not beginning.done()
    text.append("Hi")
    assert await beginning is True
    assert await text.next() == " \nHi", "white space is not lost, a flush of it is"


@pytest.mark.parametrize("given", [(), (" ",), ("...", "\n")])
async def test_text_that_cannot_be_spoken_begins_nothing(given: tuple[str, ...]) -> None:
    text = streamed(*given)
    text.end_input()
    assert await text.beginning() is False
    if given:
        assert await text.next() == "".join(given)
    assert await text.next() is Mark.END


def test_segments_are_all_before_the_first_audio_and_then_each_piece() -> None:
    passed = PassedText()
    passed.add("One ")
    passed.add("two ")
    assert passed.audio_came() == ["One two "]
    assert passed.audio_came() == []
    passed.add("three ")
    passed.add("four ")
    assert passed.audio_came() == ["three ", "four "]
    passed.add("five")
    assert passed.rest() == ["five"]
    assert PassedText("whole").audio_came() == ["whole"]


# How far a listener came.


def test_a_segment_without_word_times_is_heard_whole() -> None:
    spoken = Transcript()
    spoken.begin("One. ", 0, 0)
    spoken.begin("Two.", 100, 0)
    assert [spoken.until(sample) for sample in (0, 1, 100, 101)] == ["", "One. ", "One. ", "One. Two."]


def test_with_word_times_it_is_heard_to_the_word_also_while_more_will_come() -> None:
    spoken = Transcript()
    spoken.begin("One two three.", 0, 0)
    spoken.time((Word("One", 0, 50), Word("two", 60, 90)))
    assert spoken.until(55) == "One"
    assert spoken.until(95) == "One two", "the times of `three` are not there yet"
    spoken.time((Word("three", 120, 200),))
    assert spoken.until(121) == "One two three"
    spoken.complete()
    assert spoken.until(121) == "One two three."


def test_words_of_what_was_sent_long_ago_are_forgotten_and_its_text_is_not() -> None:
    spoken = Transcript()
    for number in range(3):
        spoken.begin(f"{number} ", number * 100, samples_sent=MOST_BEHIND_SAMPLES + number * 100)
        spoken.time((Word(f"{number}", number * 100, number * 100 + 50),))
        spoken.complete()
    assert [len(segment.words) for segment in spoken._segments] == [0, 0, 1]
    assert spoken.until(201) == "0 1 2 "


# Word times from a provider, end to end.


@pytest.mark.parametrize("media_type", ["application/x-ndjson", "application/json"])
async def test_words_of_a_stream_are_samples_of_the_turn(media_type: str) -> None:
    audio = speech_like(1.0)
    words = [("Hello", 0.0, 0.4), ("there", 0.5, 0.9)]
    lines = b""
    for index, (word, start, end) in enumerate(words):
        part = audio[index * len(audio) // 2 : (index + 1) * len(audio) // 2]
        timed = [{"index": index, "word": word, "start": start, "end": end}]
        lines += json.dumps({"audio_base64": b64encode(part).decode(), "word_timestamps": timed}).encode() + b"\n"
    async with relay_to((Status(200, {"content-type": media_type}), Send(lines))) as (server, fake):
        async with client(server) as caller:
            short = {"tail": "short", "sample_rate": 8000}
            heard = await caller.speak("Hello there.", options={"transport": "timestamps"}, audio=short)
        assert fake.exchanges[0].request.path.endswith("/stream/with-timestamps")
    assert heard.end["type"] == "turn.done", heard.end
    assert heard.end["samples"] == 8000
    timed = [word for event in heard.of("text.words") for word in event["words"]]
    assert [(word["text"], word["start_sample"], word["end_sample"]) for word in timed] == [
        ("Hello", 0, 3200),
        ("there", 4000, 7200),
    ]
