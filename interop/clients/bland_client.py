"""Bland's plugin for LiveKit, over HTTP and the WebSocket with an interruption; and OpenAI's library at its address."""

import asyncio
import sys
from pathlib import Path

import aiohttp
import openai
from livekit.agents import APIConnectOptions, APIError, APIStatusError
from livekit.plugins.bland import TTS

RATE_HZ = 24_000
ONCE = APIConnectOptions(max_retry=0)
url, key, text, folder = sys.argv[1:]
out = Path(folder)


async def livekit(http: aiohttp.ClientSession) -> None:
    base = f"{url}/bland/v2"
    tts = TTS(voice_id="Karen", api_key=key, base_url=base, http_session=http, sample_rate=RATE_HZ, expressiveness=0.4)
    frame = await tts.synthesize(text, conn_options=ONCE).collect()
    assert frame.sample_rate == RATE_HZ, frame
    (out / "http.pcm").write_bytes(unpadded(frame.data.tobytes()))
    (out / "socket.pcm").write_bytes(unpadded(await typed(tts)))
    # Who is interrupted leaves nothing behind for the next turn of the same socket.
    stream = tts.stream(conn_options=ONCE)
    stream.push_text(text * 20)
    stream.flush()
    async for _ in stream:
        break
    await stream.aclose()
    (out / "after-interruption.pcm").write_bytes(unpadded(await typed(tts)))
    await tts.aclose()
    for voice, shown, status in (("hibari:nobody", key, 404), ("Karen", "wrong", 401)):
        wrong = TTS(voice_id=voice, api_key=shown, base_url=base, http_session=http)
        try:
            await wrong.synthesize(text, conn_options=ONCE).collect()
        except APIStatusError as error:
            assert (error.status_code, error.retryable) == (status, False), error
        else:
            raise AssertionError(f"no {status}")
        try:
            await typed(wrong)
        except APIError as error:
            assert not error.retryable, error
        else:
            raise AssertionError("no error")
        await wrong.aclose()


async def typed(tts: TTS) -> bytes:
    """What is heard of the text, given in two pieces: cut behind its first sentence, that would be spoken alone."""
    stream = tts.stream(conn_options=ONCE)
    try:
        for piece in (text[:3], text[3:]):
            stream.push_text(piece)
        stream.end_input()
        return b"".join([event.frame.data.tobytes() async for event in stream])
    finally:
        await stream.aclose()


def unpadded(audio: bytes) -> bytes:
    """Without the silence that the plugin puts behind the last of its frames."""
    return audio[: len(audio) - 480] if not any(audio[-480:]) else audio


async def main() -> None:
    async with aiohttp.ClientSession() as http:
        await livekit(http)


asyncio.run(main())
with openai.OpenAI(base_url=f"{url}/bland/v2", api_key=key, max_retries=0) as client:
    speech = client.audio.speech.create(model="btts-3", voice="Karen", input=text, response_format="pcm")
    (out / "openai.pcm").write_bytes(speech.read())
