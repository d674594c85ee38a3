"""What strings of a client may hold where they are not text to be spoken, and how many of them it may give. Pure.

They become parts of addresses, headers, logs and messages at providers, so they are checked before anything is sent.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from relay.core.events import TurnRequest
from relay.errors import ClientError, Code

# Longer than any provider's names of voices and models.
MAX_NAME_CHARS = 256
# A page of how to speak.
MAX_INSTRUCTIONS_CHARS = 8192
# Every provider that there is, and some twice under other names: more are no plan for failures.
MAX_PROVIDERS = 16
# A ping's, which is sent back: as long as a turn's.
MAX_PING_CHARS = 64

# C0, DEL, C1, and halves of surrogate pairs.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# The same without line breaks and tabs, for what may have several lines.
_CONTROL_IN_LINES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def check_strings(request: TurnRequest) -> None:
    """Raises ClientError that names the field and quotes nothing of it."""
    for name in ("provider", "voice", "model", "language"):
        _check_name(name, getattr(request, name))
    if (instructions := request.instructions) is not None:
        if len(instructions) > MAX_INSTRUCTIONS_CHARS:
            raise _wrong(
                "instructions", f"has {len(instructions)} characters; at most {MAX_INSTRUCTIONS_CHARS} may be given"
            )
        if _CONTROL_IN_LINES.search(instructions):
            raise _wrong("instructions", "holds a control character or half of a surrogate pair")
    _check_values("options", request.options)
    if len(request.providers) > MAX_PROVIDERS:
        raise _wrong("providers", f"has {len(request.providers)} entries; at most {MAX_PROVIDERS} may be given")
    seen = set()
    for at, choice in enumerate(request.providers):
        place = f"providers[{at}]"
        _check_name(place, choice.provider)
        _check_name(f"{place}.voice", choice.voice)
        _check_name(f"{place}.model", choice.model)
        _check_values(f"{place}.options", choice.options)
        if choice.provider in seen:
            raise _wrong(place, "is named before; one that has failed is not tried again in the same turn")
        seen.add(choice.provider)


def check_ping(ping_id: str | int | None) -> None:
    """Raises ClientError for an id that is not to be sent back."""
    if isinstance(ping_id, str) and (len(ping_id) > MAX_PING_CHARS or _CONTROL.search(ping_id)):
        raise ClientError(
            Code.INVALID_MESSAGE, f"ping id must have at most {MAX_PING_CHARS} characters, without control characters"
        )
    if isinstance(ping_id, int) and not -(1 << 63) <= ping_id < 1 << 64:
        raise ClientError(Code.INVALID_MESSAGE, "ping id must be a number of at most 64 bits")


def _check_name(field: str, value: str | None) -> None:
    if value is None:
        return
    if len(value) > MAX_NAME_CHARS:
        raise _wrong(field, f"has {len(value)} characters; at most {MAX_NAME_CHARS} may be given")
    if _CONTROL.search(value):
        raise _wrong(field, "holds a control character or half of a surrogate pair")


def _check_values(field: str, options: Mapping[str, Any]) -> None:
    """Every key and every string in options. They are no deeper than the decoder of the message allows."""
    left: list[Any] = [options]
    while left:
        value = left.pop()
        if isinstance(value, Mapping):
            if any(len(key) > MAX_NAME_CHARS or _CONTROL.search(key) for key in map(str, value)):
                raise _wrong(field, f"has a key of more than {MAX_NAME_CHARS} characters, or with a control character")
            left.extend(value.values())
        elif isinstance(value, str):
            if _CONTROL_IN_LINES.search(value):
                raise _wrong(field, "has a value that holds a control character or half of a surrogate pair")
        elif isinstance(value, Sequence):
            left.extend(value)


def _wrong(field: str, what: str) -> ClientError:
    return ClientError(Code.INVALID_CONFIG, f"{field} {what}")
