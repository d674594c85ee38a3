"""The faults of providers, by name: each turns a clip of audio into a script.

FakeProvider(scenario("stall_mid_stream"))
FakeProvider(in_turn(scenario("status_503"), scenario("ok", Clip(mp3, "audio/mpeg"))))
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from relay.core.formats import AudioFormat, Encoding
from relay.testing.audio import UNKNOWN_SIZE, riff_chunk, speech_like, wav
from relay.testing.script import Cut, Drip, Framing, Pause, Raw, Repeat, Script, Send, Stall, Status, pieces


@dataclass(frozen=True, slots=True)
class Clip:
    """The audio that a well-behaved provider would send."""

    data: bytes
    content_type: str


Scenario: TypeAlias = Callable[[Clip], Script]

# A quarter of a second: 12,000 bytes of 24 kHz mono s16.
PCM_CLIP = Clip(speech_like(0.25), "audio/pcm")
# Sent in pieces as a provider does: about 40 ms each, never a whole number of samples.
PIECE_BYTES = 1921

# What Breeze says with each status (its error envelope; the codes are in the vendor's error table).
ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("BAD_REQUEST", "The request is malformed."),
    401: ("AUTH_REQUIRED", "An API key is required."),
    402: ("BILLING_INSUFFICIENT_CREDITS", "Not enough credits."),
    403: ("FORBIDDEN", "This key may not do that."),
    404: ("RESOURCE_NOT_FOUND", "Voice not found."),
    422: ("VALIDATION_ERROR", "model_id: unknown model."),
    425: ("GENERATION_NOT_READY", "The generation is still active."),
    429: ("GENERATION_CONCURRENCY_EXCEEDED", "Too many generations at once."),
    500: ("INTERNAL_ERROR", "Something went wrong."),
    502: ("UPSTREAM_GENERATION_ERROR", "The speech model failed."),
    503: ("GENERATION_CAPACITY_EXCEEDED", "No capacity left."),
    504: ("UPSTREAM_TIMEOUT", "The speech model took too long."),
}
HTML = b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body><h1>nginx</h1></body></html>"


def error_body(status: int) -> bytes:
    """Breeze's error envelope."""
    code, detail = ERRORS[status]
    return json.dumps({"ok": False, "code": code, "detail": detail, "error": detail}).encode()


def error_reply(status: int, *, retry_after: str | None = None, date: str | None = None) -> Script:
    """A whole refusal in Breeze's words."""
    body = error_body(status)
    headers = {"content-type": "application/json"}
    if retry_after is not None:
        headers["retry-after"] = retry_after
    if date is not None:
        headers["date"] = date
    return (Status(status, headers, len(body)), Send(body))


def whole(clip: Clip, framing: Framing = "chunked") -> Script:
    """The clip, sent in pieces and ended properly."""
    return (_ok(clip, framing), *_sent(clip.data))


def _ok(clip: Clip, framing: Framing = "chunked") -> Status:
    return Status(200, {"content-type": clip.content_type}, framing)


def _sent(data: bytes, size: int = PIECE_BYTES) -> Script:
    return tuple(Send(piece) for piece in pieces(data, size))


def _half(clip: Clip) -> bytes:
    # Odd on purpose: a cut rarely falls between two samples.
    return clip.data[: len(clip.data) // 2 | 1]


def _body(status: int, content_type: str, body: bytes) -> Script:
    return (Status(status, {"content-type": content_type}, len(body)), Send(body))


def _refusal(status: int) -> Scenario:
    return lambda _clip: error_reply(status)


def _wrong_rate(clip: Clip) -> bytes:
    audio = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=8000)
    return wav(clip.data, audio, size=UNKNOWN_SIZE, after_data=riff_chunk(b"LIST", b"INFOthe end"))


SCENARIOS: Mapping[str, Scenario] = {
    # Good replies in every framing and cut.
    "ok": whole,
    "ok_length": lambda clip: whole(clip, len(clip.data)),
    "ok_until_close": lambda clip: whole(clip, "close"),
    "one_byte_chunks": lambda clip: (_ok(clip), Drip(clip.data, 1)),
    "odd_bytes": lambda clip: (_ok(clip), *_sent(clip.data[:-1], 333)),
    "slow_drip": lambda clip: (_ok(clip), Drip(clip.data, 960, 0.02)),
    # Streams that do not end as they should.
    "cut_chunked_fin": lambda clip: (_ok(clip), *_sent(_half(clip)), Cut()),
    "cut_chunked_rst": lambda clip: (_ok(clip), *_sent(_half(clip)), Cut(reset=True)),
    "cut_length_fin": lambda clip: (_ok(clip, len(clip.data)), *_sent(_half(clip)), Cut()),
    "cut_length_rst": lambda clip: (_ok(clip, len(clip.data)), *_sent(_half(clip)), Cut(reset=True)),
    "cut_until_close_rst": lambda clip: (_ok(clip, "close"), *_sent(_half(clip)), Cut(reset=True)),
    "cut_inside_chunk": lambda clip: (_ok(clip), Send(_half(clip)), Raw(b"100\r\nshort"), Cut()),
    "broken_chunk_size": lambda clip: (_ok(clip), Send(_half(clip)), Pause(0.05), Raw(b"no size\r\n"), Stall()),
    "cut_after_headers": lambda clip: (_ok(clip), Cut()),
    "early_close": lambda _clip: (Cut(),),
    "early_reset": lambda _clip: (Cut(reset=True),),
    "early_close_with_error": lambda _clip: (
        Status(500, {"content-type": "application/json"}, 4000),
        Send(b'{"ok": false, "code": "INTERNAL_ERROR", "detail'),
        Cut(),
    ),
    # Silence on the wire.
    "stall_before_headers": lambda clip: (Stall(), *whole(clip)),
    "stall_before_first_byte": lambda clip: (_ok(clip), Stall(), *_sent(clip.data)),
    "stall_mid_stream": lambda clip: (_ok(clip), Send(_half(clip)), Stall(), Send(clip.data[len(_half(clip)) :])),
    "stall_in_error": lambda _clip: (Status(503, {"content-type": "text/plain"}), Send(b"busy"), Stall()),
    # 200, but not what was asked for.
    "empty_200": lambda clip: (_ok(clip),),
    "empty_200_length": lambda clip: (_ok(clip, 0),),
    "no_content_204": lambda _clip: (Status(204, {}, 0),),
    "html_200": lambda _clip: _body(200, "text/html", HTML),
    "json_200": lambda _clip: _body(200, "application/json", error_body(502)),
    "wrong_content_type": lambda clip: whole(Clip(clip.data, "text/plain; charset=utf-8")),
    "wav_wrong_rate": lambda clip: whole(Clip(_wrong_rate(clip), "audio/wav")),
    "gzip_200": lambda clip: (Status(200, {"content-type": clip.content_type, "content-encoding": "gzip"}), Send(HTML)),
    "endless_body": lambda clip: (_ok(clip), Repeat(clip.data)),
    # Refusals.
    **{f"status_{status}": _refusal(status) for status in ERRORS},
    "status_429_retry_after": lambda _clip: error_reply(429, retry_after="1"),
    "status_503_retry_after": lambda _clip: error_reply(503, retry_after="120"),
    "html_502": lambda _clip: _body(502, "text/html", HTML),
    "redirect": lambda _clip: (Status(307, {"location": "http://127.0.0.1:9/elsewhere?key=1"}, 0),),
    "endless_error": lambda _clip: (Status(500, {"content-type": "text/plain"}), Repeat(b"no " * 1000)),
    # Not HTTP as agreed.
    "huge_headers": lambda clip: (Status(200, {"x-large": "x" * 100_000}), *_sent(clip.data)),
    "many_headers": lambda clip: (Status(200, {f"x-{n}": "x" for n in range(2000)}), *_sent(clip.data)),
    "not_http": lambda _clip: (Raw(b"SSH-2.0-OpenSSH_9.9\r\n"), Stall()),
}


def scenario(name: str, clip: Clip = PCM_CLIP) -> Script:
    """The script of that name. Raises KeyError listing the names there are."""
    if name not in SCENARIOS:
        raise KeyError(f"no scenario {name!r}; there are {', '.join(sorted(SCENARIOS))}")
    return SCENARIOS[name](clip)
