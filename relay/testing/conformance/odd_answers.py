"""What a provider may answer that no documentation describes: noise, pages, odd JSON, and echoes of what was sent."""

import json
import random
from collections.abc import Iterator
from typing import Any

from relay.providers.base.http import Refusal

# What is looked for where it must not be. No word of it is a word of the adapter's own.
TEXT = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich."
STATUSES = (200, 204, 301, 307, 400, 401, 402, 403, 404, 409, 413, 415, 422, 425, 429, 500, 501, 502, 503, 504, 529)
JSON_ODDITIES: tuple[Any, ...] = (None, True, 7, "x", [], {}, {"error": 1}, {"error": {}}, {"detail": [{"loc": 1}]})


def odd_bodies(secrets: tuple[str, ...]) -> Iterator[bytes]:
    """What no documentation describes: nothing, noise, pages, odd JSON, and echoes of what was sent."""
    source = random.Random(23)
    said = f"{' '.join(secrets)} {TEXT}"
    yield from (b"", b"\xff\xfe", b"{", b"[" * 5000, b"<html><h1>nope</h1>", source.randbytes(3000), said.encode())
    yield from (json.dumps(each).encode() for each in JSON_ODDITIES)
    for envelope in (
        {"error": said},
        {"error": {"code": "X", "message": said}},
        {"detail": said, "code": said},
        {"detail": [{"loc": ["body"], "msg": said}]},
        {"errors": [{"message": said}]},
        {"type": "error", "message": said, "code": "X"},
        {"message": said, "status": "failed", "error": said, "id": said, "job_id": said},
        {"error": said * 500},
    ):
        yield json.dumps(envelope).encode()


def odd_refusals(secrets: tuple[str, ...]) -> Iterator[Refusal]:
    """Every status with every odd body, and every odd Retry-After."""
    for status in STATUSES:
        for body in odd_bodies(secrets):
            yield Refusal(status=status, headers={"retry-after": "7"}, body=body)
    for odd in ("soon", "-1", "9" * 400, "Wed, 99 Foo"):
        yield Refusal(status=503, headers={"retry-after": odd}, body=b"busy")
