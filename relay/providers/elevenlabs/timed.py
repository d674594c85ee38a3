"""The body of `/stream/with-timestamps`: lines of JSON, each with audio in base64 and the times of its characters."""

import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

from relay.core.transform import Transform
from relay.errors import ProviderError
from relay.providers.base import faults
from relay.providers.base.http import Piece, Refusal
from relay.providers.base.json_lines import JsonLines
from relay.providers.elevenlabs.account import tells_error
from relay.providers.elevenlabs.alignment import WordJoiner


def timed_lines(name: str, refuse: Callable[[Refusal], ProviderError]) -> Transform[bytes, Piece]:
    """Words and audio, the words of a line first. `refuse` makes the error of a line that tells one."""
    words = WordJoiner()
    heard_audio = False

    def read(said: Mapping[str, Any]) -> list[Piece]:
        nonlocal heard_audio
        if tells_error(said):
            raise refuse(Refusal(status=500 if heard_audio else 200, headers={}, body=json.dumps(said).encode()))
        encoded = said.get("audio_base64")
        if not isinstance(encoded, str):
            raise faults.unreadable(name, "a line without audio_base64")
        audio = decoded(name, encoded)
        heard_audio |= bool(audio)
        return [*words.feed(said.get("alignment")), *([audio] if audio else [])]

    return JsonLines(name, read, lambda: [*words.flush()])


def decoded(name: str, encoded: str) -> bytes:
    """Audio in base64. Raises ProviderError."""
    try:
        return binascii.a2b_base64(encoded, strict_mode=True) if encoded else b""
    except ValueError:
        raise faults.unreadable(name, "audio that is not base64") from None
