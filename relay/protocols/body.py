"""JSON of a client, decoded into a type; what is wrong with it in a sentence that quotes little. Pure."""

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct

from relay.errors import ClientError, Code

# Of a value that is quoted, such as a wrong name in a choice.
QUOTED_CHARS = 40

T = TypeVar("T")


def decode(decoder: "msgspec.json.Decoder[T]", body: bytes, nested: Mapping[str, type[Struct]] | None = None) -> T:
    """The body as the decoder's type. Raises ClientError `invalid_message` that names the field; see `explain`."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise ClientError(Code.INVALID_MESSAGE, explain(decoder.type, error, nested or {})) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ClientError(Code.INVALID_MESSAGE, "the body is not JSON; send one JSON object") from None


def explain(kind: type, error: msgspec.ValidationError, nested: Mapping[str, type[Struct]]) -> str:
    """msgspec's reason, which names the field, with the valid names where the field's own name is the mistake. `nested`
    are the types of objects within the body, by their field."""
    reason = str(error).replace(" - at `$", " at `").replace("`.", "`").removesuffix(" at ``")
    reason = re.sub(rf"'([^']{{{QUOTED_CHARS}}})[^']+'", r"'\1...'", reason, flags=re.DOTALL)
    if "unknown field" in reason:
        place = reason.partition(" at `")[2].removesuffix("`").partition("[")[0]
        fields = [field.encode_name for field in msgspec.structs.fields(nested.get(place, kind))]
        reason = f"{reason}; the fields there are {', '.join(fields)}"
    return reason


def field_of(message: str) -> str | None:
    """The field of the body that such a reason is about; None where it is about the whole."""
    found = re.search(r" at `(\w+)", message)
    return found[1] if found else None
