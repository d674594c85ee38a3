"""The client libraries, a line each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CLIENTS = Path(__file__).parent / "clients"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program in `clients/NAME.py`, or for Node in `clients/NAME.mjs`, run with the packages of `pins` alone.

    It is called with the relay's address (`http://127.0.0.1:PORT`), a key, a text and a folder. It speaks the text in
    every way that its library has, and writes what it heard into files of the folder, whose names end with what they
    are: `.pcm` (16-bit mono at `sample_rate_hz`), `.wav`, `.flac`, `.mp3`, `.ogg` or `.aac`. What else has to be so, it
    asserts. It makes at least `files` of them.
    """

    name: str
    pins: tuple[str, ...]
    files: int
    sample_rate_hz: int = 24_000
    runtime: Literal["python", "node"] = "python"

    @property
    def program(self) -> Path:
        return CLIENTS / f"{self.name}{'.py' if self.runtime == 'python' else '.mjs'}"


TABLE = (
    Client(name="openai_client", pins=("openai==3.57.0",), files=13),
    Client(name="breeze_client", pins=("breeze-blue==0.21.1",), files=18),
    Client(name="breeze_old_client", pins=("breeze-blue==0.3.0",), files=4),
    Client(name="breeze_js_client", pins=("@breeze.blue/sdk@0.3.1",), files=3, runtime="node"),
    Client(name="bland_client", pins=("livekit-plugins-bland==1.8.9", "openai==3.57.0"), files=4),
    Client(name="bland_js_client", pins=("bland-tts@0.3.0",), files=2, runtime="node"),
    Client(name="pyht_client", pins=("pyht==0.1.14",), files=16),
)
