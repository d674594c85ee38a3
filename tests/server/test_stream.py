"""The WebSocket end to end: exact frames, order, cancel, credit, backpressure."""

import asyncio
import io
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from relay.core.formats import FRAME_MS_MAX, OUTPUT_CHANNELS, OUTPUT_ENCODINGS, OUTPUT_RATES_HZ
from relay.core.frames import unpack_header
from relay.testing.audio import RATE_HZ, speech_like, wav
from relay.testing.fake_provider import FakeRequest
from relay.testing.scenarios import PCM_CLIP, Clip, scenario, whole
from relay.testing.script import Drip, Script, Send, Stall, Status
from tests.server.harness import Client, Heard, client, relay_to

MP3 = Path(__file__).parent.parent / "golden" / "mp3" / "bare_24k.mp3"
NATIVE: dict[str, Any] = {"audio": {"sample_rate": "native"}}
WORDS = ["Hello", "brave", "new", "world", "And", "goodbye", "to", "the", "old", "one"]
OK = Status(200, {"content-type": "audio/pcm"})


def check_frames(heard: Heard) -> None:
    """Every promise about frames that holds for any turn that was spoken whole."""
    [started] = heard.of("turn.started")
    done, audio = heard.end, started["audio"]
    assert done["type"] == "turn.done", done
    sizes = [len(frame) for frame in heard.frames]
    assert all(size == audio["frame_bytes"] for size in sizes[:-1])
    assert audio["frame_bytes"] == audio["frame_samples"] * len(silent_sample(audio))
    assert done["frames"] == len(sizes)
    assert done["samples"] + done["padding_samples"] == sum(sizes) // len(silent_sample(audio))
    if audio["tail"] == "pad":
        assert sizes[-1] == audio["frame_bytes"]
        padding = done["padding_samples"] * len(silent_sample(audio))
        assert heard.audio[len(heard.audio) - padding :] == silent_sample(audio) * done["padding_samples"]
    else:
        assert done["padding_samples"] == 0
    assert done["duration_ms"] == pytest.approx(done["samples"] * 1000 / audio["sample_rate"], abs=0.001)


def silent_sample(audio: dict[str, Any]) -> bytes:
    one = {"pcm_s16le": b"\0\0", "pcm_f32le": b"\0\0\0\0", "mulaw": b"\xff", "alaw": b"\xd5"}[audio["encoding"]]
    return bytes(one * audio["channels"])


def spoken(heard: Heard) -> bytes:
    """The audio without its padding."""
    [started] = heard.of("turn.started")
    return heard.audio[: heard.end["samples"] * len(silent_sample(started["audio"]))]


async def test_a_turn_from_the_first_message_to_the_last() -> None:
    async with relay_to(scenario("ok")) as (server, fake), client(server) as caller:
        assert caller.ready["type"] == "session.ready"
        assert caller.ready["protocol"] == "relay.v1"
        assert caller.ready["defaults"]["provider"] == "breeze"
        assert caller.ready["defaults"]["voice"] == "voc_1"
        heard = await caller.speak("Hello there.", turn_id="t1")
    assert [event["type"] for event in heard.events] == ["turn.started", "text.segment", "audio.started", "turn.done"]
    started, segment, audio, done = heard.events
    assert {event["turn_id"] for event in heard.events} == {"t1"}
    assert started["audio"] == {
        "encoding": "pcm_s16le",
        "sample_rate": 24000,
        "channels": 1,
        "frame_ms": 20,
        "frame_samples": 480,
        "frame_bytes": 960,
        "tail": "pad",
        "header": False,
    }
    assert (started["provider"], started["voice"], started["turn_index"]) == ("breeze", "voc_1", 0)
    assert (segment["index"], segment["text"], segment["start_sample"]) == (0, "Hello there.", 0)
    check_frames(heard)
    assert spoken(heard) == PCM_CLIP.data
    assert isinstance(heard.said[heard.said.index(audio) + 1], bytes), (
        "audio.started stands right before the first frame"
    )
    timings = done["timings"]
    stages = ["request_sent", "response_headers", "first_byte", "first_frame_complete", "first_frame"]
    assert [timings[stage] for stage in stages] == sorted(timings[stage] for stage in stages)
    assert timings["ttfa_ms"] == timings["first_frame"] == audio["ttfa_ms"]
    assert timings["relay_ms"] == pytest.approx(timings["first_frame"] - timings["first_frame_complete"], abs=0.01)
    assert timings["last_frame"] >= timings["last_byte"] >= timings["first_byte"]
    assert timings["leading_silence_ms"] is not None
    assert done["text_chars"] == 12
    [exchange] = fake.exchanges
    assert exchange.request.json()["text"] == "Hello there."


@pytest.mark.parametrize("name", ["ok", "ok_length", "ok_until_close", "one_byte_chunks", "odd_bytes"], ids=str)
async def test_every_cut_of_the_providers_bytes_gives_the_same_frames(name: str) -> None:
    clip = Clip(speech_like(0.05) + b"\x01\x02\x03\x04", "audio/pcm")
    async with relay_to(scenario(name, clip)) as (server, _), client(server) as caller:
        heard = await caller.speak(**NATIVE)
    check_frames(heard)
    whole_samples = clip.data if name != "odd_bytes" else clip.data[:-2]
    assert spoken(heard) == whole_samples


async def test_all_encodings_rates_channels_and_frame_lengths_that_fit() -> None:
    """Joined frames have the exact length and, at the provider's own rate, the exact samples."""
    clip = Clip(speech_like(0.06), "audio/pcm")
    source = np.frombuffer(clip.data, np.int16)
    async with relay_to(whole(clip)) as (server, _), client(server) as caller:
        for encoding, rate, channels in product(OUTPUT_ENCODINGS, OUTPUT_RATES_HZ, OUTPUT_CHANNELS):
            fitting = [ms for ms in (5, 10, 20, 30, 40, 60, 100, FRAME_MS_MAX) if rate * ms % 1000 == 0]
            tail = "pad" if channels == 1 else "short"
            for frame_ms in fitting[:2] + fitting[-1:]:
                audio = {
                    "encoding": encoding,
                    "sample_rate": rate,
                    "channels": channels,
                    "frame_ms": frame_ms,
                    "tail": tail,
                }
                heard = await caller.speak(audio=audio)
                check_frames(heard)
                assert heard.end["samples"] == -(-len(source) * rate // RATE_HZ)
                if rate == RATE_HZ and encoding == "pcm_s16le":
                    assert spoken(heard) == np.repeat(source, channels).tobytes()
                elif rate == RATE_HZ and encoding == "pcm_f32le":
                    expected = np.repeat(source.astype(np.float32) / 32768, channels)
                    assert spoken(heard) == expected.astype("<f4").tobytes()


async def test_mp3_is_what_an_independent_decoder_hears() -> None:
    data = MP3.read_bytes()
    expected, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    script: Script = (Status(200, {"content-type": "audio/mpeg"}), Drip(data, 333))
    async with relay_to(script) as (server, _), client(server) as caller:
        heard = await caller.speak(**NATIVE, options={"output_format": "mp3"})
    check_frames(heard)
    assert heard.of("turn.started")[0]["audio"]["sample_rate"] == rate
    got = np.frombuffer(spoken(heard), np.int16)
    assert len(got) == len(expected)
    assert int(np.abs(got.astype(int) - expected.astype(int)).max()) <= 1


async def test_a_wav_is_played_at_its_own_rate_without_what_stands_around_the_audio() -> None:
    async with relay_to(scenario("wav_wrong_rate")) as (server, _), client(server) as caller:
        heard = await caller.speak(**NATIVE)
    started = heard.of("turn.started")[0]
    assert started["audio"]["sample_rate"] == 8000
    assert heard.said.index(started) < heard.said.index(heard.of("text.segment")[0])


async def test_the_first_frame_comes_while_the_provider_still_speaks() -> None:
    """No byte more than the first frame needs."""
    script: Script = (OK, Send(PCM_CLIP.data[:960]), Stall(), Send(PCM_CLIP.data[960:]))
    async with relay_to(script) as (server, fake), client(server) as caller:
        await caller.send(type="speak", text="Hello.")
        await caller.event("audio.started")
        assert await caller.receive() == PCM_CLIP.data[:960]
        fake.release()
        rest = await caller.turn()
    assert PCM_CLIP.data[:960] + rest.audio[: len(PCM_CLIP.data) - 960] == PCM_CLIP.data


async def test_the_first_mp3_frame_is_enough_for_the_first_frame() -> None:
    data = MP3.read_bytes()
    first = 192  # 64 kbit/s at 24 kHz: 72 * 64000 / 24000
    script: Script = (
        Status(200, {"content-type": "audio/mpeg"}),
        Send(data[: first - 1]),
        Stall(),
        Send(data[first - 1 : first]),
        Stall(),
    )
    async with relay_to(script) as (server, fake), client(server) as caller:
        await caller.send(type="speak", text="Hello.", options={"output_format": "mp3"})
        await caller.event("turn.started")
        await fake.exchange(0)
        fake.release()
        await caller.event("audio.started")
        assert len(await caller.receive()) == 960


async def test_headers_number_the_frames_and_mark_the_last() -> None:
    clip = Clip(speech_like(0.1)[: 960 * 3 + 100], "audio/pcm")
    async with relay_to(whole(clip)) as (server, _), client(server) as caller:
        await caller.speak()
        heard = await caller.speak(audio={"header": True})
        exact = await caller.speak(audio={"header": True, "tail": "short"})
    headers = [unpack_header(frame) for frame in heard.frames]
    assert [header.pts for header in headers] == [0, 480, 960, 1440]
    assert [header.last for header in headers] == [False, False, False, True]
    assert [header.padding for header in headers] == [0, 0, 0, 430]
    assert {header.turn_index for header in headers} == {1}
    assert all(len(frame) == 976 for frame in heard.frames)
    assert b"".join(frame[16:] for frame in exact.frames) == clip.data
    assert len(exact.frames[-1]) == 116


async def test_text_is_spoken_as_it_comes_and_segments_join_without_a_gap() -> None:
    """Each segment's samples follow the last one's; the texts joined are the text given."""
    clips: dict[str, bytes] = {}

    def choose(request: FakeRequest) -> Script:
        text = request.json()["text"]
        clips[text] = speech_like(0.07 + len(clips) * 0.013, seed=len(clips))
        return whole(Clip(clips[text], "audio/pcm"))

    text = "The first sentence is here. And now the second one follows it! Is there a third? There is.  "
    async with relay_to(choose) as (server, _), client(server) as caller:
        await caller.send(type="turn.start", turn_id="t")
        for piece in (text[index : index + 3] for index in range(0, len(text), 3)):
            await caller.send(type="text.append", text=piece)
        await caller.send(type="turn.end")
        heard = await caller.turn()
    check_frames(heard)
    segments = heard.of("text.segment")
    assert len(segments) > 1
    assert "".join(segment["text"] for segment in segments) == text
    assert [segment["index"] for segment in segments] == list(range(len(segments)))
    assert spoken(heard) == b"".join(clips.get(segment["text"], b"") for segment in segments)
    position = 0
    for segment in segments:
        assert segment["start_sample"] == position
        position += len(clips.get(segment["text"], b"")) // 2


async def test_speech_begins_before_the_text_ends() -> None:
    async with relay_to(scenario("ok")) as (server, _), client(server) as caller:
        await caller.send(type="turn.start")
        await caller.send(type="text.append", text="This is a whole sentence. And this")
        await caller.event("audio.started")
        await caller.send(type="text.append", text=" is another.")
        await caller.send(type="turn.end")
        heard = await caller.turn()
    assert heard.end["type"] == "turn.done"


async def test_flush_speaks_what_is_there() -> None:
    async with relay_to(scenario("ok")) as (server, fake), client(server) as caller:
        await caller.send(type="turn.start")
        await caller.send(type="text.append", text="no end to this")
        await caller.send(type="text.flush")
        await caller.event("audio.started")
        assert fake.exchanges[0].request.json()["text"].strip() == "no end to this"
        await caller.send(type="turn.end")
        assert (await caller.turn()).end["type"] == "turn.done"


async def test_the_next_segment_is_requested_while_the_last_one_is_spoken() -> None:
    script: Script = (OK, Send(PCM_CLIP.data), Stall())
    text = "Here is one sentence that is long enough to stand alone. " * 8
    async with relay_to(script) as (server, fake), client(server) as caller:
        await caller.send(type="speak", text=text)
        await fake.exchange(1)
        assert not fake.exchanges[0].finished
        fake.release()
        heard = await caller.turn()
    check_frames(heard)


@pytest.mark.parametrize("text", ["", "  \n ", "..."])
async def test_a_turn_without_anything_to_say_is_done_with_no_frames(text: str) -> None:
    async with relay_to(scenario("ok")) as (server, fake), client(server) as caller:
        heard = await caller.speak(text)
        native = await caller.speak(text, **NATIVE)
        assert fake.exchanges == []
    for each in (heard, native):
        assert each.end["type"] == "turn.done"
        assert (each.end["frames"], each.end["samples"], each.frames) == (0, 0, [])
        assert "".join(segment["text"] for segment in each.of("text.segment")) == text
        assert each.end["timings"]["ttfa_ms"] is None


async def test_turns_are_spoken_one_after_the_other_in_order() -> None:
    def choose(request: FakeRequest) -> Script:
        seed = int(request.json()["text"].strip(". "))
        return whole(Clip(speech_like(0.1, seed=seed), "audio/pcm"))

    async with relay_to(choose) as (server, _), client(server) as caller:
        for seed in range(5):
            await caller.send(type="speak", text=f"{seed}.", turn_id=f"t{seed}")
        audio: dict[str, bytes] = {}
        current = ""
        ended: list[str] = []
        while len(ended) < 5:
            message = await caller.receive()
            if isinstance(message, bytes):
                audio[current] += message
            elif message["type"] == "audio.started":
                current = message["turn_id"]
                audio[current] = b""
            elif message["type"] == "turn.done":
                assert message["turn_id"] == current
                ended.append(current)
    assert ended == [f"t{seed}" for seed in range(5)]
    for seed in range(5):
        assert audio[f"t{seed}"][: 2400 * 2] == speech_like(0.1, seed=seed)


async def test_sessions_do_not_disturb_each_other() -> None:
    def choose(request: FakeRequest) -> Script:
        return whole(Clip(speech_like(0.3, seed=int(request.json()["text"].strip("."))), "audio/pcm"))

    async with relay_to(choose) as (server, _):

        async def one(seed: int) -> bool:
            async with client(server) as caller:
                heard = await caller.speak(f"{seed}.")
                check_frames(heard)
                return spoken(heard) == speech_like(0.3, seed=seed)

        assert all(await asyncio.gather(*(one(seed) for seed in range(20))))


async def cancelled(caller: Client, turn_id: str) -> Heard:
    """Everything until the end of a cancelled turn."""
    return await caller.turn(turn_id)


@pytest.mark.parametrize("frames_before", [0, 1, 2, 7])
async def test_after_turn_cancelled_there_is_not_one_frame_of_that_turn(frames_before: int) -> None:
    script: Script = (OK, Send(PCM_CLIP.data[: frames_before * 960]), Stall()) if frames_before else (Stall(),)
    async with (
        relay_to(lambda request: script if "long" in request.json()["text"] else scenario("ok")) as (
            server,
            fake,
        ),
        client(server) as caller,
    ):
        await caller.send(type="speak", text="A long story.", turn_id="a")
        exchange = await fake.exchange(0)
        seen = 0
        while seen < frames_before:
            seen += isinstance(await caller.receive(), bytes)
        await caller.send(type="turn.cancel", turn_id="a", played_samples=5)
        end = (await caller.turn("a")).end
        assert (end["type"], end["frames"], end["samples_sent"]) == (
            "turn.cancelled",
            frames_before,
            frames_before * 480,
        )
        assert end["samples_played"] == (5 if frames_before else 0), "no more than was sent"
        assert end["text_sent"] == ("A long story." if frames_before else "")
        await exchange.left()  # the provider was told to stop
        after = await caller.speak("Again.", turn_id="b")
        assert {event["turn_id"] for event in after.events} == {"b"}
        check_frames(after)
        assert spoken(after) == PCM_CLIP.data


async def test_a_fast_turn_is_cancelled_at_many_instants() -> None:
    """The provider has more than the listener takes, so the turn waits for room when the cancel comes."""
    script: Script = (OK, *[Send(speech_like(0.5))] * 100)
    async with relay_to(script) as (server, _), client(server) as caller:
        for number in range(60):
            turn_id = f"t{number}"
            await caller.send(type="speak", text="A long story.", turn_id=turn_id)
            received = 0
            while received < number * 3:
                received += isinstance(await caller.receive(), bytes)
            await caller.send(type="turn.cancel")
            heard = await caller.turn(turn_id)
            assert heard.end["frames"] == received + len(heard.frames)
            await caller.send(type="ping", id=number)
            assert await caller.receive() == {"type": "pong", "id": number}, "nothing of the turn comes after its end"


async def test_cancel_of_one_turn_leaves_the_others() -> None:
    async with (
        relay_to(
            lambda request: (OK, Send(PCM_CLIP.data), Stall()) if "stall" in request.json()["text"] else scenario("ok")
        ) as (server, _),
        client(server) as caller,
    ):
        await caller.send(type="speak", text="First, stall.", turn_id="a")
        await caller.send(type="speak", text="Second.", turn_id="b")
        await caller.send(type="speak", text="Third.", turn_id="c")
        await caller.event("audio.started")
        await caller.send(type="turn.cancel", turn_id="b")
        assert (await caller.turn("b")).end["type"] == "turn.cancelled", "a queued turn is cancelled at once"
        await caller.send(type="turn.cancel", turn_id="a")
        heard = await caller.turn("c")
        ends = [event for event in heard.events if event["type"] in ("turn.cancelled", "turn.done")]
        assert [(end["turn_id"], end["type"]) for end in ends] == [("a", "turn.cancelled"), ("c", "turn.done")]
        third = heard.said[heard.said.index(ends[0]) :]
        assert b"".join(item for item in third if isinstance(item, bytes))[: len(PCM_CLIP.data)] == PCM_CLIP.data


async def test_cancel_without_an_id_ends_every_turn() -> None:
    async with relay_to((Stall(),)) as (server, fake), client(server) as caller:
        for turn_id in "abc":
            await caller.send(type="speak", text="Hello.", turn_id=turn_id)
        await fake.exchange(0)
        await caller.send(type="turn.cancel")
        ends = [await caller.event("turn.cancelled") for _ in range(3)]
        assert [end["turn_id"] for end in ends] == ["a", "b", "c"]
        await fake.connected(0)


async def test_cancel_of_a_turn_that_is_over_has_no_effect() -> None:
    async with relay_to(scenario("ok")) as (server, _), client(server) as caller:
        await caller.speak(turn_id="a")
        await caller.send(type="turn.cancel", turn_id="a")
        await caller.send(type="turn.cancel", turn_id="never")
        await caller.send(type="ping", id=1)
        assert await caller.receive() == {"type": "pong", "id": 1}


async def test_credit_bounds_what_is_sent_and_grants_let_the_rest_follow() -> None:
    async with relay_to(scenario("ok")) as (server, _), client(server) as caller:
        await caller.send(type="speak", text="Hello.", turn_id="a", flow={"window_ms": 60})
        first = [await caller.receive() for _ in range(6)]
        assert sum(isinstance(item, bytes) for item in first) == 3
        await caller.send(type="ping", id=1)
        assert await caller.receive() == {"type": "pong", "id": 1}, "no frame beyond the credit"
        await caller.send(type="flow.grant", ms=20)
        assert isinstance(await caller.receive(), bytes)
        await caller.send(type="ping", id=2)
        assert await caller.receive() == {"type": "pong", "id": 2}
        await caller.send(type="flow.grant", turn_id="a", ms=10_000)
        rest = await caller.turn()
    assert rest.end["type"] == "turn.done"
    assert len(rest.frames) == 13 - 4


async def test_a_turn_waiting_for_credit_is_cancelled_at_once() -> None:
    async with relay_to(scenario("ok")) as (server, _), client(server) as caller:
        await caller.send(type="speak", text="Hello.", turn_id="a", flow={"window_ms": 20})
        await caller.event("audio.started")
        await caller.receive()
        await caller.send(type="turn.cancel")
        assert (await caller.turn("a")).end["samples_sent"] == 480


async def test_realtime_frames_are_the_same_frames() -> None:
    async with relay_to(scenario("ok")) as (server, _), client(server) as caller:
        heard = await caller.speak(pacing={"mode": "realtime", "lead_ms": 200})
    check_frames(heard)
    assert spoken(heard) == PCM_CLIP.data
    timings = heard.end["timings"]
    assert timings["last_frame"] - timings["first_frame"] >= 12 * 20 - 200, "the last frame is not early"


async def test_a_listener_that_stops_reading_stops_the_provider() -> None:
    """From the provider's side: what it could send is bounded, though it has much more; then every sample arrives."""
    piece = speech_like(1.0)
    total = 300
    script: Script = (OK, *[Send(piece)] * total)
    async with relay_to(script) as (server, fake), client(server, max_queue=1) as caller:
        await caller.send(type="speak", text="A very long story.")
        exchange = await fake.exchange(0)
        await caller.event("audio.started")
        level = -1
        while exchange.sent_bytes != level:  # until nothing moves any more
            level = exchange.sent_bytes
            await asyncio.sleep(0.3)
        assert level < total * len(piece) / 2, "the rest waits at the provider"
        held = server.engine.metrics.render().decode()
        assert "relay_turns 1.0" in held
        heard = await caller.turn()
    assert heard.end["samples"] == total * len(piece) // 2
    assert heard.audio == piece * total


async def test_words_come_on_the_turns_clock() -> None:
    async with relay_to(scenario("ok")) as (server, _), client(server) as caller:
        heard = await caller.speak("Hello brave new world. And goodbye to the old one.", provider="espeak")
    check_frames(heard)
    words = [word for event in heard.of("text.words") for word in event["words"]]
    assert [word["text"].strip(".") for word in words] == WORDS
    starts = [word["start_sample"] for word in words]
    assert starts == sorted(starts)
    assert all(0 <= word["start_sample"] <= word["end_sample"] <= heard.end["samples"] + 480 for word in words)
    assert heard.end["samples"] > 24000


async def test_a_cancelled_turn_tells_how_far_its_text_came() -> None:
    text = "One two three four five six seven eight nine ten eleven twelve."
    async with relay_to(scenario("ok")) as (server, _), client(server) as caller:
        await caller.send(type="speak", text=text, turn_id="a", provider="espeak", flow={"window_ms": 1000})
        while not isinstance(await caller.receive(), bytes):
            pass
        for _ in range(49):
            await caller.receive()
        await caller.send(type="turn.cancel")
        end = (await caller.turn("a")).end
    assert end["samples_sent"] == 24000
    assert text.startswith(end["text_sent"])
    assert "Two" in end["text_sent"].title()
    assert "eleven" not in end["text_sent"]


async def test_wav_from_the_provider_matches_an_independent_reader() -> None:
    data = wav(speech_like(0.2))
    expected, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    async with relay_to(whole(Clip(data, "audio/wav"))) as (server, _), client(server) as caller:
        heard = await caller.speak(**NATIVE)
    assert heard.of("turn.started")[0]["audio"]["sample_rate"] == rate
    assert spoken(heard) == expected.tobytes()


async def test_gaps_that_a_listener_heard_are_counted() -> None:
    async with relay_to(whole(PCM_CLIP)) as (server, _), client(server) as caller:
        heard = await caller.speak("Hello there.", turn_id="t")
        assert heard.end["type"] == "turn.done"
        await caller.send(type="playback.report", turn_id="t", samples=100, underruns=2, underrun_ms=30.5)
        await caller.send(type="ping")
        assert await caller.event() == {"type": "pong"}
        found = server.engine.metrics.render().decode()
    assert "relay_underruns_total 2.0" in found
    assert "relay_underrun_seconds_total 0.0305" in found
