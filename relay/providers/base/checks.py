"""Checks of what an operator or a client wants of a provider: shared by every adapter. Pure.

Each raises ClientError `invalid_config` that names the field, the value and what would be right.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from relay.errors import ClientError, Code

# A value quoted in an error: enough to recognise it.
_SHOWN_CHARS = 60

# Gives the value of an option as it is sent, or raises ClientError; it is given the option's name and value.
Check: TypeAlias = Callable[[str, object], Any]


def invalid(message: str) -> ClientError:
    return ClientError(Code.INVALID_CONFIG, message)


def variable(adapter: str, key: str) -> str:
    """The environment variable of a setting of the instance that has its adapter's name."""
    return re.sub("[^A-Z0-9]", "_", f"{adapter}_{key}".upper())


def place(name: str, adapter: str, key: str, preset: str | None = None) -> str:
    """Where an operator sets `key` of an instance. The environment is for the instance that has its adapter's name, and
    under the name of a preset for those that have it."""
    in_file = f"providers.{name}.{key} in the configuration"
    named = preset or (adapter if name == adapter else None)
    return f"{variable(named, key)}, or {in_file}" if named else in_file


def no_key(name: str, adapter: str, preset: str | None = None) -> ClientError:
    return invalid(f"{name} has no API key; set {place(name, adapter, 'api_key', preset)}")


def no_voice(name: str, example: str) -> ClientError:
    """For an instance that has no default voice; `example` is like "a voice_id, like voc_1"."""
    return invalid(
        f"voice is missing and {name} has no default one; give {example}: "
        f"`relay voices --provider {name}` and GET /v1/voices?provider={name} list them"
    )


def shown(value: object) -> str:
    """A value as an error quotes it, bounded."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


def known(name: str, given: Mapping[str, Any], valid: Collection[str], hint: str = "") -> None:
    """Every key of `given` is one of `valid`."""
    for key in given:
        if key not in valid:
            raise invalid(f"{name} has no field {shown(key)}; it has {', '.join(valid)}{hint}")


def options(name: str, given: Mapping[str, Any], valid: Mapping[str, Check], hint: str = "") -> dict[str, Any]:
    """The options that were given, each checked by its own check, under the name `name.option`; null is as good as
    absent."""
    known(name, given, valid, hint)
    return {key: valid[key](f"{name}.{key}", value) for key, value in given.items() if value is not None}


def mapping(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise invalid(f"{name} is {shown(value)}; it must be an object")
    return value


def number(name: str, value: object, low: float, high: float) -> float:
    """An int or float within low..high, both included; given back as it came, so that 1 is not sent as 1.0."""
    # A bool is an int to Python, not to the person who wrote it; NaN fails every comparison.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise invalid(f"{name} is {shown(value)}; it must be a number from {low:g} to {high:g}")
    assert math.isfinite(value)
    return value


def whole(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise invalid(f"{name} is {shown(value)}; it must be a whole number from {low} to {high}")
    return value


def boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise invalid(f"{name} is {shown(value)}; it must be true or false")
    return value


def one_of(name: str, value: object, valid: Collection[str]) -> str:
    if not isinstance(value, str) or value not in valid:
        raise invalid(f"{name} is {shown(value)}; it must be one of {', '.join(valid)}")
    return value


def text(name: str, value: object, longest: int) -> str:
    """A string of 1 to `longest` characters. The value is not quoted: it may be private."""
    if not isinstance(value, str):
        raise invalid(f"{name} is not a string")
    if not 1 <= len(value) <= longest:
        raise invalid(f"{name} has {len(value)} characters; it must have 1 to {longest}")
    return value


def path_segment(name: str, value: object, longest: int = 200) -> str:
    """A string that becomes one segment of a path. Escaping cannot save `.` and `..`: servers resolve them."""
    segment = text(name, value, longest)
    if segment in (".", ".."):
        raise invalid(f"{name} is {shown(segment)}, which is not a name")
    return segment


def api_key(name: str, value: str | None) -> str | None:
    """A key as it can stand in a header: visible ASCII. The value is never quoted."""
    if value is not None and not (value and value.isascii() and value.isprintable() and " " not in value):
        raise invalid(f"{name} is empty or holds characters that no key has (a space, a line break, a quote mark?)")
    return value


def base_url(name: str, value: str) -> str:
    """An http or https address without query, fragment or user, and without a slash at its end."""
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise invalid(f"{name} is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise invalid(f"{name} is {shown(value)}; it must be like https://api.example.com")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise invalid(f"{name} must not hold a query, a fragment or a user name")
    if not value.isascii() or any(character.isspace() for character in value):
        raise invalid(f"{name} is {shown(value)}; it must be plain ASCII without spaces")
    return value.rstrip("/")
