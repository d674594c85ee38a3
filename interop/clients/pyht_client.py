"""PlayHT's own Python library, both of its clients: every format over HTTP, and over its WebSocket what has no codec.

It speaks the API of play.ht, which the door has beside that of play.ai. What it cannot be pointed at is left out: gRPC,
and PlayDialog-turbo, whose address is fixed.
"""

import asyncio
import sys
from pathlib import Path

from pyht.async_client import AsyncClient
from pyht.client import Client, Format, TTSOptions
from pyht.inference_coordinates import InferenceCoordinatesOptions

url, key, text, folder = sys.argv[1:]
out = Path(folder)
VOICE = "s3://voice-cloning-zero-shot/v/manifest.json"
FORMATS = {"pcm": "pcm", "wav": "wav", "mp3": "mp3", "ogg": "ogg", "flac": "flac"}
BASE = f"{url}/playai/api"


def options(form: str) -> TTSOptions:
    return TTSOptions(voice=VOICE, format=Format[f"FORMAT_{form.upper()}"])


def advanced(kind: type) -> object:
    """Leases are for gRPC."""
    coordinates = InferenceCoordinatesOptions(api_url=f"{BASE}/v4")
    return kind.AdvancedOptions(  # type: ignore[attr-defined]
        api_url=BASE, inference_coordinates_options=coordinates, auto_refresh_lease=False
    )


def plain() -> None:
    client = Client("a-user", key, auto_connect=False, advanced=advanced(Client))
    for form, suffix in FORMATS.items():
        for engine in ("PlayDialog", "Play3.0-mini"):
            heard = b"".join(client.tts(text, options(form), voice_engine=engine, protocol="http"))
            (out / f"{engine}-{form}.{suffix}").write_bytes(heard)
    heard = b"".join(client.tts(text, options("pcm"), voice_engine="PlayDialog", protocol="http", streaming=False))
    (out / "whole.pcm").write_bytes(heard)
    for number, form in enumerate(("pcm", "wav", "pcm")):  # one connection for all of them
        heard = b"".join(client.tts(text, options(form), voice_engine="PlayDialog", protocol="ws"))
        (out / f"socket-{number}.{form}").write_bytes(heard)
    try:
        b"".join(client.tts(text, TTSOptions(voice=VOICE, top_p=0.5), voice_engine="PlayDialog", protocol="http"))
    except Exception as error:  # the library raises no other class
        assert error.args[1] == 400 and "INVALID_PARAMETERS" in error.args[0], error
    else:
        raise AssertionError("an option that the voice does not have was taken")
    client.close()
    try:
        Client("a-user", "wrong", auto_connect=False, advanced=advanced(Client)).ensure_inference_coordinates()
    except RuntimeError as error:
        assert "401" in str(error), error
    else:
        raise AssertionError("a wrong key was taken")


async def at_once() -> None:
    client = AsyncClient("a-user", key, auto_connect=False, advanced=advanced(AsyncClient))

    async def speak(number: int) -> None:
        pieces = [piece async for piece in client.tts(text, options("pcm"), voice_engine="PlayDialog", protocol="http")]
        (out / f"at-once-{number}.pcm").write_bytes(b"".join(pieces))

    # One after the other: they share an address, which is good for one request.
    for number in range(2):
        await speak(number)
    await client.close()


plain()
asyncio.run(at_once())
