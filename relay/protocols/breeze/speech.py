"""One turn a request: whole, as it is made, and either with the times of its words."""

import base64
import re
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from relay.core.events import Event, TurnDone, WordsTimed
from relay.core.formats import OUTPUT_RATES_HZ
from relay.core.job import JobRequest
from relay.core.record import TurnRecord
from relay.errors import ClientError, Code
from relay.protocols.answer import Base64Text
from relay.protocols.base import Handshake, SpeechCall
from relay.protocols.body import decode
from relay.protocols.breeze.api import SAMPLE_RATE_HZ, Manner, VoiceSettings, key_headers
from relay.protocols.breeze.jobs import submitted
from relay.protocols.door import Door

# `output_format` -> a name of `codecs.containers`, and the media type that this API gives it.
FORMATS: Mapping[str, tuple[str, str]] = {
    "mp3": ("mp3", "audio/mpeg"),
    "wav": ("wav", "audio/wav"),
    "flac": ("flac", "audio/flac"),
    "pcm": ("raw", "audio/pcm"),
    "aac": ("aac", "audio/aac"),
    "opus": ("ogg", "audio/opus"),
}
STREAM_FORMATS = ("mp3", "pcm", "wav")
_RATED = re.compile(rf"({'|'.join(FORMATS)})_(\d{{4,6}})")
# Clients since then leave the format of a stream to a server whose default is `pcm`; for older ones it is `mp3`.
_PCM_SINCE = re.compile(r"breeze-blue-python/(?:0\.(?:[5-9]|[1-9]\d)\b|[1-9])")


class SpeechBody(Manner, kw_only=True):
    """The body of a request."""

    text: Annotated[str, Meta(min_length=1)]


class TimedBody(SpeechBody, kw_only=True):
    """That of a stream with timestamps."""

    timestamp_mode: Literal["chunk"] | None = None


_SPEECH = msgspec.json.Decoder(SpeechBody)
_TIMED = msgspec.json.Decoder(TimedBody)
_NESTED: Mapping[str, type[Struct]] = {"voice_settings": VoiceSettings}


class Packing(NamedTuple):
    """How a reply is packed: a whole one or not, with times or not."""

    whole: bool
    timed: bool
    media_type: str
    rate_hz: int
    is_pcm: bool
    key_id: str | None


class Format(NamedTuple):
    container: str
    media_type: str
    rate_hz: int


def parse(door: Door, handshake: Handshake, body: bytes, *, whole: bool, timed: bool) -> SpeechCall | JobRequest:
    """Raises ClientError."""
    is_job = _is_job(handshake, whole=whole, timed=timed)
    form = _format(handshake, whole=whole)
    decoder: msgspec.json.Decoder[SpeechBody] = _TIMED if timed and not whole else _SPEECH  # type: ignore[assignment]
    asked = decode(decoder, body, _NESTED)
    request = asked.request(door, handshake.path.get("voice", ""), {"sample_rate": form.rate_hz})
    own = Packing(whole, timed, form.media_type, form.rate_hz, form.container == "raw", handshake.key_id)
    call = SpeechCall(request=request, text=asked.text, container=form.container, whole=whole, own=own)
    return submitted(call, handshake.path.get("voice", ""), asked.model_id, form.media_type) if is_job else call


def reply(call: SpeechCall) -> "AudioReply | TimedReply | TimedLines":
    packing: Packing = call.own
    if not packing.timed:
        return AudioReply(packing)
    return TimedReply(packing) if packing.whole else TimedLines(packing)


def _is_job(handshake: Handshake, *, whole: bool, timed: bool) -> bool:
    """Raises ClientError."""
    delivery = handshake.query.get("delivery", "sync")
    if delivery == "sync" or (delivery == "async" and whole and not timed):
        return delivery == "async"
    only = "sync only here: a job keeps no times of words" if delivery == "async" else "sync or async"
    raise ClientError(Code.INVALID_CONFIG, f"delivery is {delivery[:20]!r}; it must be {only}")


def _format(handshake: Handshake, *, whole: bool) -> Format:
    """By the query, or by default. Raises ClientError."""
    default = "mp3" if whole or not _PCM_SINCE.match(handshake.headers.get("x-breeze-sdk", "")) else "pcm"
    name = handshake.query.get("output_format", default)
    valid = tuple(FORMATS) if whole else STREAM_FORMATS
    if name in valid:
        return Format(*FORMATS[name], SAMPLE_RATE_HZ)
    rated = _RATED.fullmatch(name) if whole else None
    if rated and int(rated[2]) in OUTPUT_RATES_HZ:
        return Format(*FORMATS[rated[1]], int(rated[2]))
    hint = f", or one of them with a rate behind it, such as wav_48000: {OUTPUT_RATES_HZ}" if whole else ""
    raise ClientError(
        Code.INVALID_CONFIG, f"output_format is {name[:20]!r}; it must be one of {', '.join(valid)}{hint}"
    )


class AudioReply:
    """The audio alone."""

    def __init__(self, packing: Packing) -> None:
        self._packing = packing

    def headers(self, record: TurnRecord, media_type: str) -> Mapping[str, str]:
        packing = self._packing
        shape = {
            "x-breeze-audio-codec": "pcm_s16le",
            "x-breeze-sample-rate": str(packing.rate_hz),
            "x-breeze-channels": "1",
            "x-breeze-sample-width-bytes": "2",
        }
        return _headers(record, packing, packing.media_type) | (shape if packing.is_pcm else {})

    def audio(self, data: bytes) -> bytes:
        return data

    def event(self, event: Event) -> bytes:
        return b""


class TimedReply:
    """One JSON object, whole: `{audio_base64, content_type, word_timestamps}`."""

    def __init__(self, packing: Packing) -> None:
        self._packing = packing
        self._words = _Words(packing.rate_hz)
        self._timed: list[Mapping[str, object]] = []
        self._begun = False
        self._base64 = Base64Text()

    def headers(self, record: TurnRecord, media_type: str) -> Mapping[str, str]:
        return _headers(record, self._packing, "application/json")

    def audio(self, data: bytes) -> bytes:
        return self._begin() + self._base64.feed(data) if data else b""

    def event(self, event: Event) -> bytes:
        if isinstance(event, WordsTimed):
            self._timed += self._words.of(event)
        if not isinstance(event, TurnDone):
            return b""
        rest = {"content_type": self._packing.media_type, "word_timestamps": self._timed}
        return self._begin() + self._base64.flush() + b'",' + msgspec.json.encode(rest)[1:]

    def _begin(self) -> bytes:
        begun, self._begun = self._begun, True
        return b"" if begun else b'{"audio_base64":"'


class TimedLines:
    """A line of JSON for each piece of audio or words: `{audio_base64, word_timestamps}`."""

    def __init__(self, packing: Packing) -> None:
        self._packing = packing
        self._words = _Words(packing.rate_hz)

    def headers(self, record: TurnRecord, media_type: str) -> Mapping[str, str]:
        return _headers(record, self._packing, "application/x-ndjson")

    def audio(self, data: bytes) -> bytes:
        return _line(base64.b64encode(data).decode(), []) if data else b""

    def event(self, event: Event) -> bytes:
        return _line("", self._words.of(event)) if isinstance(event, WordsTimed) and event.words else b""


class _Words:
    """Numbers a turn's words. Times are seconds from the beginning of the reply."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._next = 0

    def of(self, event: WordsTimed) -> list[Mapping[str, object]]:
        first = self._next
        self._next += len(event.words)
        return [
            {
                "index": index,
                "word": word.text,
                "start": round(word.start_sample / self._rate_hz, 4),
                "end": round(word.end_sample / self._rate_hz, 4),
            }
            for index, word in enumerate(event.words, first)
        ]


def _line(audio: str, words: list[Mapping[str, object]]) -> bytes:
    return msgspec.json.encode({"audio_base64": audio, "word_timestamps": words}) + b"\n"


def _headers(record: TurnRecord, packing: Packing, media_type: str) -> dict[str, str]:
    return {
        "Content-Type": media_type,
        "history-item-id": f"hist_{record.turn_id}",
        **key_headers(packing.key_id),
        "X-Accel-Buffering": "no",
        "Cache-Control": "no-store",
    }
