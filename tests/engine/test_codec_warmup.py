"""What is loaded when: nothing that no provider can need, and nothing on the loop."""

import subprocess
import sys

import pytest

from relay.codecs import must_load
from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat

PCM = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000)

# In a process of its own: what is imported cannot be taken back.
AT_REST = """
import asyncio, sys
from relay.cli.settings import read_config
from relay.drivers.trust import SYSTEM_TRUST, import_aiohttp
import_aiohttp()
from relay.server.app import Server
HEAVY = ("av", "sqlite3", "websockets", "relay_client", "rich", "soundfile", "opentelemetry", "tomllib")
def heavy():
    return {name for name in HEAVY if name in sys.modules}
async def main():
    server = Server(read_config(None, RELAY_SERVER_PORT=0, **OVERRIDES))
    async with server.serving():
        assert not heavy(), heavy()
        for task in asyncio.all_tasks():
            if task.get_name() == "warm codecs":
                await task
    print(sorted(heavy()), SYSTEM_TRUST._loaded)
asyncio.run(main())
"""

# A turn that comes before all is loaded waits for it, and the loop does not.
EARLY = """
import asyncio, sys, threading
from relay.codecs import must_load
from relay.core.formats import Container, SourceFormat
from relay.engine.codec_warmup import decoder_loaded
MP3 = SourceFormat(container=Container.MP3)
async def main():
    assert "av" not in sys.modules
    assert must_load(MP3, None)
    waiting = [asyncio.create_task(decoder_loaded(MP3, None)) for _ in range(20)]
    turns = 0
    while not all(task.done() for task in waiting):
        await asyncio.sleep(0)
        turns += 1
    for task in waiting:
        task.result()
    assert turns > 10, "the loop went on"
    assert not must_load(MP3, None)
    await decoder_loaded(MP3, None)
asyncio.run(main())
"""


def python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_relay_that_speaks_by_itself_never_loads_what_services_need() -> None:
    assert python(AT_REST.replace("OVERRIDES", "{}")) == "[] False"


def test_a_relay_that_speaks_by_services_loads_pyav_and_certificates_after_it_is_ready() -> None:
    overrides = "dict(BREEZE_API_KEY='brz_test', BREEZE_BASE_URL='http://127.0.0.1:9', BREEZE_VOICE='v')"
    assert python(AT_REST.replace("OVERRIDES", overrides)) == "['av'] True"


def test_a_reply_that_comes_first_waits_for_its_decoder_and_the_loop_does_not() -> None:
    python(EARLY)


FRESH = """
from relay.codecs import must_load
from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
pcm = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000)
raw, wav = SourceFormat(container=Container.RAW, pcm=pcm), SourceFormat(container=Container.WAV)
assert not must_load(raw, None)
assert not must_load(raw, "audio/pcm")
assert not must_load(wav, "audio/wav")
assert must_load(raw, "audio/mpeg"), "said of the reply"
assert must_load(SourceFormat(container=Container.MP3), "application/octet-stream"), "asked for"
"""


def test_only_what_may_be_compressed_waits() -> None:
    python(FRESH)


@pytest.mark.parametrize("content_type", [None, "audio/pcm", "nonsense"])
def test_plain_samples_never_wait(content_type: str | None) -> None:
    assert not must_load(SourceFormat(container=Container.RAW, pcm=PCM), content_type)
