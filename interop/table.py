"""The client libraries, a line each."""

from dataclasses import dataclass
from pathlib import Path

CLIENTS = Path(__file__).parent / "clients"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program in `clients/NAME.py`, run with the packages of `pins` alone.

    It is called with the relay's address (`http://127.0.0.1:PORT`), a key, a text and a folder. It speaks the text in
    every way that its library has, and writes what it heard into files of the folder, whose names end with what they
    are: `.pcm` (16-bit mono at `sample_rate_hz`), `.wav`, `.flac`, `.mp3`, `.ogg` or `.aac`. What else has to be so, it
    asserts. It makes at least `files` of them.
    """

    name: str
    pins: tuple[str, ...]
    files: int
    sample_rate_hz: int = 24_000

    @property
    def program(self) -> Path:
        return CLIENTS / f"{self.name}.py"


TABLE = (Client(name="openai_client", pins=("openai==3.57.0",), files=13),)
