"""What a request of v2 and a session on its WebSocket have in common: who speaks, how, and in which format."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from relay.core.events import TurnRequest
from relay.protocols.bland import api
from relay.protocols.door import Door

ENCODINGS = ("pcm_s16le", "mulaw")
RATES_HZ = (8000, 16000, 24000, 44100, 48000)
DEFAULT_RATE_HZ, MULAW_RATE_HZ = 48000, 8000
CONTAINERS = ("raw", "wav")

_Level = Annotated[float, Meta(ge=0, le=1)]


class Audio(Struct, forbid_unknown_fields=True):
    encoding: str | None = None
    sample_rate: int | None = None
    container: str | None = None


class Controls(Struct, forbid_unknown_fields=True):
    expressiveness: _Level | None = None
    stability: _Level | None = None


class Manner(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a request and a session have in common: who speaks, how, and in which format."""

    voice: Annotated[str, Meta(min_length=1)]
    audio: Audio | None = None
    controls: Controls | None = None
    auto_formatting: bool | None = None

    @property
    def container(self) -> str:
        """Raises ClientError, as `form` does."""
        asked = (self.audio.container if self.audio else None) or CONTAINERS[0]
        return str(_one_of("container", "invalid_request", asked, CONTAINERS))

    def form(self) -> dict[str, Any]:
        """Encoding and rate. Raises ClientError."""
        audio = self.audio or Audio()
        encoding = _one_of("encoding", "unsupported_encoding", audio.encoding or ENCODINGS[0], ENCODINGS)
        rates = (MULAW_RATE_HZ,) if encoding == "mulaw" else RATES_HZ
        default = MULAW_RATE_HZ if encoding == "mulaw" else DEFAULT_RATE_HZ
        rate = default if audio.sample_rate is None else audio.sample_rate
        return {"encoding": encoding, "sample_rate": _one_of("sample_rate", "unsupported_sample_rate", rate, rates)}

    def request(self, door: Door) -> TurnRequest:
        """Controls go to a provider of this API as they are; others have none. Raises ClientError."""
        speaker = door.speaker(self.voice)
        own: dict[str, Any] = {}
        if self.controls is not None:
            own["controls"] = {
                name: level for name, level in msgspec.structs.asdict(self.controls).items() if level is not None
            }
        if self.auto_formatting is not None:
            own["auto_formatting"] = self.auto_formatting
        return TurnRequest(
            **speaker,
            audio={"channels": 1, "tail": "short", **self.form()},
            options=own if door.adapter(speaker) == "bland" else {},
        )


NESTED: Mapping[str, type[Struct]] = {"audio": Audio, "controls": Controls}


def _one_of(name: str, error: str, value: Any, valid: tuple[Any, ...]) -> Any:
    if value not in valid:
        shown = str(value)[:40]
        raise api.NamedError(error, f"audio.{name} is {shown}; it must be one of {', '.join(map(str, valid))}")
    return value
