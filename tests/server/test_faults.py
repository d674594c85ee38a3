"""What a provider does wrong is a typed error after the good audio, never a turn that looks done."""

import logging
from pathlib import Path

import pytest

from relay.config import HttpConfig
from relay.errors import Code
from relay.testing.fake_provider import in_turn
from relay.testing.scenarios import PCM_CLIP, Clip, scenario
from relay.testing.script import Cut, Send, Status
from tests.server.harness import KEY, breeze, client, config, relay_to, serving

HALF = PCM_CLIP.data[: len(PCM_CLIP.data) // 2]
FRAME = 960
MP3 = (Path(__file__).parent.parent / "golden" / "mp3" / "bare_24k.mp3").read_bytes()
PATIENCE = HttpConfig(retries=0, first_byte_timeout_s=0.2, stall_timeout_s=0.2, connect_timeout_s=1)

# scenario -> code, and whether half of the clip was good.
FAULTS: dict[str, tuple[Code, bool]] = {
    "cut_chunked_fin": (Code.PROVIDER_CUT, True),
    "cut_chunked_rst": (Code.PROVIDER_CUT, True),
    "cut_length_fin": (Code.PROVIDER_CUT, True),
    "cut_length_rst": (Code.PROVIDER_CUT, True),
    "cut_inside_chunk": (Code.PROVIDER_CUT, True),
    "stall_mid_stream": (Code.PROVIDER_TIMEOUT, True),
    "stall_before_headers": (Code.PROVIDER_TIMEOUT, False),
    "stall_before_first_byte": (Code.PROVIDER_TIMEOUT, False),
    "cut_after_headers": (Code.PROVIDER_CUT, False),
    "early_close": (Code.PROVIDER_UNAVAILABLE, False),
    "early_reset": (Code.PROVIDER_UNAVAILABLE, False),
    "empty_200": (Code.BAD_AUDIO, False),
    "empty_200_length": (Code.BAD_AUDIO, False),
    "html_200": (Code.BAD_AUDIO, False),
    "html_502": (Code.PROVIDER_UNAVAILABLE, False),
    "status_400": (Code.PROVIDER_REJECTED, False),
    "status_401": (Code.PROVIDER_AUTH, False),
    "status_402": (Code.PROVIDER_AUTH, False),
    "status_403": (Code.PROVIDER_AUTH, False),
    "status_404": (Code.VOICE_NOT_FOUND, False),
    "status_422": (Code.PROVIDER_REJECTED, False),
    "status_429": (Code.PROVIDER_RATE_LIMITED, False),
    "status_500": (Code.PROVIDER_UNAVAILABLE, False),
    "status_502": (Code.PROVIDER_UNAVAILABLE, False),
    "status_503": (Code.PROVIDER_UNAVAILABLE, False),
    "status_504": (Code.PROVIDER_TIMEOUT, False),
    "json_200": (Code.PROVIDER_UNAVAILABLE, False),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_ends_the_turn_with_its_code_after_the_good_audio(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    code, half = FAULTS[name]
    with caplog.at_level(logging.DEBUG):
        async with relay_to(scenario(name), http=PATIENCE) as (server, _), client(server) as caller:
            heard = await caller.speak("A secret text.", turn_id="t")
            await caller.send(type="ping")
            assert await caller.event() == {"type": "pong"}, "the session lives"
    error = heard.end
    assert (error["type"], error["code"], error["turn_id"]) == ("error", code, "t"), error
    assert error["retryable"] == code.retryable
    assert error["provider"]["name"] == "breeze"
    assert not heard.of("turn.done")
    good = heard.audio
    if half:
        whole = len(good) // FRAME - 1
        assert whole > 0
        assert good[: whole * FRAME] == PCM_CLIP.data[: whole * FRAME]
        assert PCM_CLIP.data.startswith(good[: len(HALF) & ~1])
    else:
        assert good == b""
    ours = "".join(record.getMessage() for record in caplog.records if not record.name.startswith("websockets"))
    for told in (str(error), ours):
        assert KEY not in told
        assert "secret text" not in told


async def test_a_wrong_content_type_does_not_matter_when_the_bytes_are_audio() -> None:
    async with relay_to(scenario("wrong_content_type")) as (server, _), client(server) as caller:
        heard = await caller.speak(audio={"sample_rate": "native", "tail": "short"})
    assert heard.audio == PCM_CLIP.data


async def test_mp3_that_was_not_asked_for_is_played_all_the_same() -> None:
    async with relay_to(scenario("ok", Clip(MP3, "audio/mpeg"))) as (server, _), client(server) as caller:
        heard = await caller.speak(options={"output_format": "pcm"})
    assert heard.end["type"] == "turn.done"
    assert heard.end["samples"] > 24000 / 4


async def test_a_retryable_refusal_is_tried_again_before_any_audio() -> None:
    scripts = in_turn(scenario("status_503"), scenario("early_close"), scenario("ok"))
    async with relay_to(scripts, http=HttpConfig(retries=2)) as (server, fake), client(server) as caller:
        heard = await caller.speak()
        assert len(fake.exchanges) == 3
    assert heard.end["type"] == "turn.done"
    assert heard.audio[: len(PCM_CLIP.data)] == PCM_CLIP.data


@pytest.mark.parametrize("name", ["status_401", "status_422", "cut_chunked_fin"])
async def test_what_cannot_be_retried_is_not(name: str) -> None:
    async with relay_to(scenario(name), http=HttpConfig(retries=2)) as (server, fake), client(server) as caller:
        heard = await caller.speak()
        assert heard.end["type"] == "error"
        assert len(fake.exchanges) == 1


async def test_retry_after_reaches_the_client() -> None:
    async with relay_to(scenario("status_503_retry_after")) as (server, _), client(server) as caller:
        heard = await caller.speak()
    assert (heard.end["retryable"], heard.end["retry_after_s"]) == (True, 120)


async def test_a_fault_in_the_second_segment_comes_after_the_first_one_whole() -> None:
    text = "Here is one sentence that is long enough to stand alone. " * 8
    scripts = in_turn(scenario("ok"), scenario("status_422"))
    async with relay_to(scripts) as (server, _), client(server) as caller:
        heard = await caller.speak(text)
    assert heard.end["code"] == Code.PROVIDER_REJECTED
    assert heard.audio[: len(PCM_CLIP.data)] == PCM_CLIP.data
    assert len(heard.of("text.segment")) == 1


async def test_a_provider_that_is_not_there_is_unavailable() -> None:
    async with serving(config("http://127.0.0.1:9")) as server, client(server) as caller:
        heard = await caller.speak()
    assert heard.end["code"] == Code.PROVIDER_UNAVAILABLE


async def test_a_neighbour_hears_nothing_of_a_fault() -> None:
    def choose(request):  # type: ignore[no-untyped-def]
        cut = (Status(200, {"content-type": "audio/pcm"}), Send(HALF), Cut(reset=True))
        return cut if "cut" in request.json()["text"] else scenario("ok")

    async with relay_to(choose) as (server, _), client(server) as good, client(server) as bad:
        await bad.send(type="speak", text="cut me.")
        heard = await good.speak("whole.")
        assert (await bad.turn()).end["code"] == Code.PROVIDER_CUT
    assert heard.end["type"] == "turn.done"
    assert heard.audio[: len(PCM_CLIP.data)] == PCM_CLIP.data


async def test_two_turns_in_a_session_the_first_fails_the_second_is_spoken() -> None:
    scripts = in_turn(scenario("status_422"), scenario("ok"))
    async with relay_to(scripts) as (server, _), client(server) as caller:
        await caller.send(type="speak", text="One.", turn_id="a")
        assert (await caller.turn("a")).end["type"] == "error"
        heard = await caller.speak("Two.", turn_id="b")
    assert heard.end["type"] == "turn.done"


async def test_a_native_rate_that_no_frame_fits_is_a_clear_error() -> None:
    clip = Clip(scenario_wav(11025), "audio/wav")
    async with relay_to(scenario("ok", clip)) as (server, _), client(server) as caller:
        heard = await caller.speak(audio={"sample_rate": "native", "frame_ms": 20})
    assert heard.end["code"] == Code.INVALID_CONFIG
    assert "multiples of 40 ms" in heard.end["message"]
    assert not heard.frames


def scenario_wav(rate_hz: int) -> bytes:
    from relay.core.formats import AudioFormat, Encoding
    from relay.testing.audio import speech_like, wav

    audio = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=rate_hz)
    return wav(speech_like(0.1, rate_hz=rate_hz), audio)


async def test_a_provider_without_its_key_cannot_be_asked_for() -> None:
    settings = config(providers={"breeze": breeze("http://127.0.0.1:9")})
    async with serving(settings) as server, client(server) as caller:
        heard = await caller.speak(provider="nobody")
    assert heard.end["code"] == Code.INVALID_CONFIG
    assert "breeze" in heard.end["message"]
