"""Breeze Blue's Python library of today: every format, word times, jobs, realtime turns and cancels, its exceptions."""

import asyncio
import base64
import sys
import time
from collections.abc import Callable
from pathlib import Path

import breeze_blue
from breeze_blue import BreezeBlue

FORMATS = {"mp3": "mp3", "opus": "ogg", "aac": "aac", "flac": "flac", "wav": "wav", "pcm": "pcm"}
VOICE = "voc_1"
url, key, text, folder = sys.argv[1:]
out = Path(folder)


def whole_and_streamed(client: BreezeBlue) -> None:
    speech = client.text_to_speech
    for form, suffix in FORMATS.items():
        audio = speech.convert(VOICE, text=text, output_format=form)
        assert audio.history_item_id, audio
        audio.save(out / f"{form}.{suffix}")
    assert speech.convert(VOICE, text=text).content_type == "audio/mpeg"
    assert speech.convert(VOICE, text=text, output_format="wav_48000").content_type == "audio/wav"
    speech.stream(VOICE, text=text, voice_settings={"guidance_scale": 1.2}).save(out / "stream.pcm")
    for form in ("mp3", "pcm", "wav"):
        speech.stream(VOICE, text=text, output_format=form).save(out / f"stream-{form}.{form}")
    with client.audio_stream_request(
        "POST", f"/v1/text-to-speech/{VOICE}/stream", params={"output_format": "pcm"}, json={"text": text}
    ) as pieces:
        assert pieces.audio_format["sample_rate"] == 24_000, pieces.audio_format
        pieces.save(out / "pieces.pcm")


def timed(client: BreezeBlue) -> None:
    whole = client.text_to_speech.convert_with_timestamps(VOICE, text=text, output_format="pcm")
    (out / "timed.pcm").write_bytes(base64.b64decode(whole["audio_base64"]))
    audio, words = b"", []
    for chunk in client.text_to_speech.stream_with_timestamps(VOICE, text=text, output_format="pcm"):
        audio += base64.b64decode(chunk["audio_base64"])
        words += chunk["word_timestamps"]
    (out / "timed-stream.pcm").write_bytes(audio)
    assert words == whole["word_timestamps"], (words, whole["word_timestamps"])
    assert [word["word"] for word in words][:2] == text.split()[:2], words
    assert words[-1]["end"] <= len(audio) / 48_000, words[-1]


def jobs(client: BreezeBlue) -> None:
    job = client.text_to_speech.create_job(VOICE, text=text, output_format="wav")
    told = client.generation_jobs.get(job["generation_job_id"])
    while told["status"] == "active":
        try:
            client.generation_jobs.download_audio(job["generation_job_id"])
        except breeze_blue.GenerationNotReadyError as error:
            time.sleep(min(error.retry_after or 1, 0.1))
        told = client.generation_jobs.get(job["generation_job_id"])
    assert told["status"] == "ready", told
    client.generation_jobs.download_audio(job["generation_job_id"]).save(out / "job.wav")
    client.history.download_audio(job["history_item_id"]).save(out / "history.wav")
    assert client.history.get(job["history_item_id"])["text"] == text


def lists_and_errors(client: BreezeBlue) -> None:
    assert client.voices.search(search="heart")["voices"][0]["voice_id"] == "heart"
    assert client.voices.get(VOICE)["voice_id"] == VOICE
    assert client.voices.random()["voice_id"]
    assert isinstance(client.models.list(), list)
    stranger = BreezeBlue(api_key="wrong", base_url=client.base_url)
    fails(breeze_blue.NotFoundError, lambda: client.text_to_speech.convert("hibari:nobody", text=text))
    fails(breeze_blue.ValidationError, lambda: client.text_to_speech.convert(VOICE, text=text, odd=1))
    fails(breeze_blue.BadRequestError, lambda: client.text_to_speech.stream(VOICE, text=text, output_format="flac"))
    fails(breeze_blue.AuthenticationError, stranger.models.list)
    fails(breeze_blue.NotFoundError, lambda: client.history.get("hist_none"))
    fails(breeze_blue.NotFoundError, lambda: client.generation_jobs.get("job_none"))


def fails(kind: type[Exception], call: Callable[[], object]) -> None:
    try:
        call()
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")


async def realtime(client: BreezeBlue) -> None:
    # Within the first sentence: elsewhere it would be spoken before the relay knows of the second.
    pieces = (text[:3], text[3:])
    async with client.text_to_speech.connect_realtime(VOICE) as session:
        for name in ("one", "two"):
            await session.start_turn(name)
            for piece in pieces:
                await session.append_text(piece)
            await session.end_turn()
            (out / f"realtime-{name}.pcm").write_bytes(await heard(session, "turn.done", name))
        await session.start_turn("long")
        await session.append_text(text * 20)
        await session.flush()
        async for event in session:
            if event["type"] == "audio":
                break
        await session.cancel_turn()
        await heard(session, "turn.cancelled", "long")
        await session.ping()
        assert await heard(session, "pong") == b"", "audio after a cancel"
    async with client.text_to_speech.connect_managed(VOICE) as managed:
        await managed.start_turn()
        await managed.append_text(text)
        await managed.end_turn()
        (out / "managed.pcm").write_bytes(await heard(managed, "turn.done"))


async def heard(session: object, end: str, turn_id: str | None = None) -> bytes:
    """The audio up to an event."""
    audio = b""
    async for event in session:  # type: ignore[attr-defined]
        assert event["type"] != "error", event
        if event["type"] == "audio":
            audio += event["audio"]
        if event["type"] == end:
            assert turn_id in (None, event.get("turn_id")), event
            return audio
    raise AssertionError(f"no {end}")


with BreezeBlue(api_key=key, base_url=f"{url}/breeze") as breeze:
    whole_and_streamed(breeze)
    timed(breeze)
    jobs(breeze)
    lists_and_errors(breeze)
    asyncio.run(realtime(breeze))
