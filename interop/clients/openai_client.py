"""OpenAI's own Python library, both of its clients: every format, events, errors, an early leave and a second turn."""

import asyncio
import base64
import json
import sys
from pathlib import Path

import openai

FORMATS = {"mp3": "mp3", "opus": "ogg", "aac": "aac", "flac": "flac", "wav": "wav", "pcm": "pcm"}
url, key, text, folder = sys.argv[1:]
out = Path(folder)


def plain() -> None:
    # The three ways in which people write the base URL.
    for number, base in enumerate(("/v1", "/openai/v1", "/openai")):
        with openai.OpenAI(base_url=url + base, api_key=key, max_retries=0) as client:
            speech = client.audio.speech.create(model="tts-1", voice="alloy", input=text, response_format="pcm")
            (out / f"base-{number}.pcm").write_bytes(speech.read())
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        for form, suffix in FORMATS.items():
            with client.audio.speech.with_streaming_response.create(
                model="tts-1",
                voice="alloy",
                input=text,
                response_format=form,  # type: ignore[arg-type]
            ) as streamed:
                streamed.stream_to_file(out / f"{form}.{suffix}")
        with client.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts", voice="alloy", input=text, response_format="pcm", stream_format="sse"
        ) as streamed:
            events = [json.loads(line[6:]) for line in streamed.iter_lines() if line.startswith("data: ")]
        (out / "events.pcm").write_bytes(b"".join(base64.b64decode(event.get("audio", "")) for event in events))
        assert events[-1]["type"] == "speech.audio.done", events[-1]
        # Who leaves early leaves nothing behind for the next turn.
        with client.audio.speech.with_streaming_response.create(
            model="tts-1", voice="alloy", input=text * 10, response_format="pcm"
        ) as streamed:
            next(streamed.iter_bytes(480))
        speech = client.audio.speech.create(model="tts-1", voice="alloy", input=text, response_format="pcm")
        (out / "after-leaving.pcm").write_bytes(speech.read())
        assert client.models.list().object == "list"
        errors(client)


def errors(client: openai.OpenAI) -> None:
    try:
        client.audio.speech.create(model="tts-1", voice="nobody", input=text)
    except openai.BadRequestError as error:
        assert (error.param, error.code) == ("voice", "voice_not_found"), error
    else:
        raise AssertionError("a voice that nobody has was spoken")
    try:
        client.with_options(api_key="wrong").audio.speech.create(model="tts-1", voice="alloy", input=text)
    except openai.AuthenticationError as error:
        assert error.code == "invalid_api_key", error
    else:
        raise AssertionError("a wrong key was taken")


async def at_once() -> None:
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        spoken = [
            client.audio.speech.create(model="tts-1", voice="alloy", input=text, response_format="pcm")
            for _ in range(2)
        ]
        for number, speech in enumerate(await asyncio.gather(*spoken)):
            (out / f"at-once-{number}.pcm").write_bytes(await speech.aread())


plain()
asyncio.run(at_once())
