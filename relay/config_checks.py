"""What is wrong with a setting, in a sentence that names it and what is valid. Reads no file and no environment."""

import re
from collections.abc import Collection, Mapping
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

__all__ = ["ConfigError", "check_spelling", "convert"]

# How alike a variable and a known one are where one is taken for a misspelling of the other: a letter or two.
_ALIKE = 0.9
# What Kubernetes sets in each container for a service that is called relay or relay-server.
_OF_KUBERNETES = re.compile(r"RELAY_(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_.*)?)")

T = TypeVar("T")


class ConfigError(Exception):
    """A setting is wrong. The message names the file or variable, the key, and what is valid."""


def convert(values: object, kind: type[T], source: str) -> T:
    """`values` as settings of that type. Raises ConfigError that names `source`, the key, and what is valid there."""
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        key = place.rstrip("`").lstrip(".")
        holder, field = _found(kind, key)
        if "unknown field" in reason and holder is not None:
            reason += f"; valid here: {', '.join(holder.__struct_fields__)}"
        elif "enum value" in reason and holder is not None and (choices := _choices(holder, field)):
            reason += f"; it must be one of {', '.join(choices)}"
        raise ConfigError(f"{source}: {key + ': ' if key else ''}{reason}") from None


def check_spelling(environ: Mapping[str, str], sections: Collection[str], known: Collection[str]) -> None:
    """Raises ConfigError for a variable that means a setting and is none: of a section there is, or all but for a
    letter one of `known`. Other variables that begin with RELAY_ are not looked at."""
    for name in environ:
        if not name.startswith("RELAY_") or name in known or _OF_KUBERNETES.fullmatch(name):
            continue
        meant = _alike(name, known)
        section = next((each for each in sections if name.startswith(f"RELAY_{each}_".upper())), None)
        if not meant and section is None:
            continue
        if not meant:
            meant = [each for each in known if each.startswith(f"RELAY_{section}_".upper())]
        raise ConfigError(f"the environment: {name} is no setting; there is {', '.join(meant)}")


def _alike(name: str, known: Collection[str]) -> list[str]:
    import difflib  # rarely needed

    return difflib.get_close_matches(name, known, 1, _ALIKE)


def _found(kind: Any, key: str) -> tuple[type[Struct] | None, str]:
    """The struct that a key such as `defaults.audio.tail` or `voices[...]` leads to, and the field of it that is meant
    (empty: the struct itself)."""
    holder, field = _struct_in(kind), ""
    for part in re.split(r"[.\[]", key.replace("]", "")):
        if holder is None or part not in holder.__struct_fields__:
            continue
        inner = _struct_in(get_type_hints(holder)[part])
        holder, field = (inner, "") if inner is not None else (holder, part)
    return holder, field


def _struct_in(kind: Any) -> type[Struct] | None:
    """The struct that a type is, or is made with."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return kind
    return next((found for each in get_args(kind) if (found := _struct_in(each)) is not None), None)


def _choices(holder: type[Struct], field: str) -> list[str]:
    kind = get_type_hints(holder).get(field)
    members = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return [str(value) for each in members if get_origin(each) is Literal for value in get_args(each)]
