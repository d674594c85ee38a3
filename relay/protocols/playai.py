"""PlayAI's API (formerly PlayHT): speech as it is made, and jobs whose files are fetched by their addresses.

What the relay makes of each field, and what it does not honour, is told in docs/reference/door-playai.md.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from relay.core.events import Event, TurnRequest
from relay.core.formats import OUTPUT_RATES_HZ
from relay.core.job import Job, JobRequest, JobStatus
from relay.core.languages import ENGLISH_NAMES
from relay.core.record import TurnRecord
from relay.errors import ClientError, Code, RelayError
from relay.protocols.answer import json_answer, rfc3339
from relay.protocols.base import Credential, Handshake, HttpAnswer, SpeechCall
from relay.protocols.body import decode
from relay.protocols.door import Door

# The longest text, by model.
TEXT_CHARS: Mapping[str, int] = {"PlayDialog": 50_000, "Play3.0-mini": 20_000, "PlayDialog-turbo": 20_000}
_TURBO = "PlayDialog-turbo"
# `outputFormat` -> a name of `codecs.containers`, and an encoding. `raw` is float32 in the vendor's only words about it
# (the comments of its SDK's protocol).
FORMATS: Mapping[str, tuple[str, str]] = {
    "mp3": ("mp3", "pcm_s16le"),
    "wav": ("wav", "pcm_s16le"),
    "raw": ("raw", "pcm_f32le"),
    "pcm": ("raw", "pcm_s16le"),
    "mulaw": ("raw", "mulaw"),
    "ogg": ("ogg", "pcm_s16le"),
    "flac": ("flac", "pcm_s16le"),
}
# No default is stated: the models' own rate, and the telephone's.
_RATE_HZ, _MULAW_RATE_HZ = 24_000, 8000
_TTS, _AUDIO = "/playai/api/v1/tts", "/playai/audio/{job}"
_LANGUAGES = {name: tag for tag, name in ENGLISH_NAMES.items()}
# What a job's id has in front of the UUID's digits.
_JOB = "job_"

_Text = Annotated[str, Meta(min_length=1)]
Voice = Annotated[str, Meta(min_length=1, max_length=1000)]
Amount = Annotated[float, Meta(ge=0)] | None


class SpeechBody(Struct, forbid_unknown_fields=True, rename="camel"):
    """The body of both requests for speech; `webHookUrl` is for jobs alone."""

    model: Literal["PlayDialog", "Play3.0-mini", "PlayDialog-turbo"]
    text: _Text
    voice: Voice
    output_format: Literal["mp3", "mulaw", "raw", "wav", "ogg", "flac"] | None = None
    sample_rate: int | None = None
    speed: Annotated[float, Meta(ge=0.1, le=5.0)] | None = None
    seed: Annotated[int, Meta(ge=0)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    quality: Literal["draft", "low", "medium", "high", "premium"] | None = None
    language: str | None = None
    voice2: Voice | None = None
    turn_prefix: str | None = None
    turn_prefix2: str | None = None
    prompt: str | None = None
    prompt2: str | None = None
    voice_conditioning_seconds: Amount = None
    voice_conditioning_seconds2: Amount = None
    voice_guidance: Amount = None
    style_guidance: Amount = None
    text_guidance: Amount = None
    web_hook_url: str | None = None


_DECODER = msgspec.json.Decoder(SpeechBody)
# Of one provider's own, by their names here.
_OPTIONS = (
    *("speed", "seed", "temperature", "quality", "voice2", "turnPrefix", "turnPrefix2", "prompt", "prompt2"),
    *("voiceConditioningSeconds", "voiceConditioningSeconds2", "voiceGuidance", "styleGuidance", "textGuidance"),
)
# Values that ask for what the API does anyhow.
_STANDARD: Mapping[str, Any] = {"speed": 1, "voiceConditioningSeconds": 20, "voiceConditioningSeconds2": 20}

# `errorId` by status; 404 is ours.
_ERROR_IDS: Mapping[int, str] = {
    400: "INVALID_PARAMETERS",
    401: "UNAUTHORIZED",
    403: "UNSUPPORTED_PLAN",
    404: "NOT_FOUND",
    500: "UNEXPECTED_ERROR",
}
# This API knows no other statuses for what is wrong with a request.
_STATUSES = dict.fromkeys((Code.TEXT_TOO_LONG, Code.VOICE_NOT_FOUND, Code.PROVIDER_REJECTED), 400)


class PlayAI:
    """A `base.SpeechProtocol` and `base.JobProtocol`, under `/playai`."""

    name = "playai"
    prefix = "/playai/"
    credential_hint = "the authorization header must be provided in the format 'Bearer <YOUR-API-KEY>'"
    speech_paths: tuple[str, ...] = (f"{_TTS}/stream",)

    def __init__(self, door: Door) -> None:
        self._door = door
        self.submissions: Mapping[str, Callable[[Handshake, bytes], JobRequest]] = {_TTS: self._submit}
        self.job_states: Mapping[str, Callable[[Handshake, Job], HttpAnswer]] = {_TTS + "/{job}": self._state}
        self.job_audio: tuple[str, ...] = ()
        self.open_job_audio: tuple[str, ...] = (_AUDIO,)

    def credential(self, handshake: Handshake) -> Credential | None:
        """The bearer. This API wants a user besides, and so does the relay, which has none: any will do."""
        scheme, _, bearer = handshake.headers.get("authorization", "").partition(" ")
        shown = bearer.strip() if scheme.lower() == "bearer" else ""
        if not shown:
            return None
        if not handshake.headers.get("x-user-id", "").strip():
            raise ClientError(Code.UNAUTHORIZED, "the header X-USER-ID must be provided too; here any value will do")
        return Credential(shown)

    def refusal(self, error: RelayError, status: int | None = None) -> HttpAnswer:
        """`{errorMessage, errorId}`; that of 429 is a string."""
        status = status or _STATUSES.get(error.code, error.code.http_status)
        headers = {} if error.retry_after_s is None else {"Retry-After": str(max(1, round(error.retry_after_s)))}
        message = error.message
        if error.code is Code.VOICE_NOT_FOUND:
            message += self._door.unknown_voice_hint()
        if status == 429:
            words = f"Rate limit exceeded. Please wait a few moments and try again: {message}"
            return json_answer(words, status=status, headers=headers)
        error_id = _ERROR_IDS.get(status) or _ERROR_IDS[500 if status >= 500 else 400]
        return json_answer({"errorMessage": message, "errorId": error_id}, status=status, headers=headers)

    def parse(self, handshake: Handshake, body: bytes) -> SpeechCall:
        asked = decode(_DECODER, body)
        if asked.web_hook_url is not None:
            raise ClientError(Code.INVALID_MESSAGE, "webHookUrl is a field of jobs; POST /api/v1/tts makes one")
        container, turn = self._turn(asked)
        return SpeechCall(request=turn, text=asked.text, container=container)

    def reply(self, call: SpeechCall) -> "StreamReply":
        return StreamReply()

    def created(self, handshake: Handshake, job: Job) -> HttpAnswer:
        return json_answer(_job(handshake, job), status=201)

    def job_id(self, shown: str) -> str:
        try:
            return f"{_JOB}{UUID(shown).hex}"
        except ValueError:
            raise ClientError(Code.UNKNOWN_JOB, "asyncTtsJobId must be a UUID; there is no such job") from None

    def _submit(self, handshake: Handshake, body: bytes) -> JobRequest:
        asked = decode(_DECODER, body)
        container, turn = self._turn(asked)
        given = {name: value for name, value in msgspec.to_builtins(asked).items() if value is not None}
        del given["text"]
        return JobRequest(
            turn=turn, text=asked.text, container=container, own={"input": given}, webhook=asked.web_hook_url
        )

    def _turn(self, asked: SpeechBody) -> tuple[str, TurnRequest]:
        """A container, and the turn. Raises ClientError."""
        if len(asked.text) > TEXT_CHARS[asked.model]:
            raise ClientError(
                Code.TEXT_TOO_LONG,
                f"text has {len(asked.text)} characters; {asked.model} takes {TEXT_CHARS[asked.model]}",
            )
        chosen = asked.output_format or ("wav" if asked.model == _TURBO else "mp3")
        if asked.model == _TURBO and chosen != "wav":
            raise ClientError(Code.INVALID_MESSAGE, f"outputFormat is {chosen!r}; {_TURBO} makes wav only")
        fields = msgspec.to_builtins(asked)
        return turn_of(
            self._door,
            voice=asked.voice,
            model=asked.model,
            output_format=chosen,
            sample_rate_hz=asked.sample_rate,
            language=asked.language,
            options={name: value for name in _OPTIONS if (value := fields[name]) is not None},
        )

    def _state(self, handshake: Handshake, job: Job) -> HttpAnswer:
        return json_answer(_job(handshake, job))


def turn_of(
    door: Door,
    *,
    voice: str,
    model: str | None,
    output_format: str,
    sample_rate_hz: int | None,
    language: str | None,
    options: Mapping[str, Any],
) -> tuple[str, TurnRequest]:
    """A container, and the turn. Raises ClientError."""
    container, encoding = FORMATS[output_format]
    rate_hz = sample_rate_hz or (_MULAW_RATE_HZ if output_format == "mulaw" else _RATE_HZ)
    if rate_hz not in OUTPUT_RATES_HZ:
        rates = ", ".join(map(str, OUTPUT_RATES_HZ))
        raise ClientError(Code.INVALID_MESSAGE, f"the sample rate is {rate_hz}; here it must be one of {rates}")
    speaker = door.speaker(voice, model)
    is_own = door.adapter(speaker) == PlayAI.name
    if is_own and speaker["model"] is None:
        speaker["model"] = model
    turn = TurnRequest(
        **speaker,
        language=_language(language),
        # 40 ms are whole samples at every rate.
        audio={"encoding": encoding, "sample_rate": rate_hz, "channels": 1, "frame_ms": 40, "tail": "short"},
        options={name: value for name, value in options.items() if is_own or value != _STANDARD.get(name)},
    )
    return container, turn


class StreamReply:
    """The audio alone."""

    def headers(self, record: TurnRecord, media_type: str) -> Mapping[str, str]:
        return {"Content-Type": media_type, "X-Accel-Buffering": "no", "Cache-Control": "no-store"}

    def audio(self, data: bytes) -> bytes:
        return data

    def event(self, event: Event) -> bytes:
        return b""


def _language(name: str | None) -> str | None:
    """A tag; None for English, which is what this API speaks if nothing is asked for."""
    if name is None or (tag := _LANGUAGES.get(name.lower())) == "en":
        return None
    if tag is None:
        raise ClientError(Code.INVALID_MESSAGE, f"language must be one of {', '.join(_LANGUAGES)}")
    return tag


def _job(handshake: Handshake, job: Job) -> dict[str, Any]:
    return {
        "id": _shown(job),
        "createdAt": rfc3339(job.created_at_s),
        "input": {**job.request.own.get("input", {}), "text": job.request.text},
        "completedAt": None if job.completed_at_s is None else rfc3339(job.completed_at_s),
        "output": _output(handshake, job),
    }


def _output(handshake: Handshake, job: Job) -> dict[str, Any]:
    if not job.status.ended:
        return {"status": "IN_PROGRESS"}
    if job.status is not JobStatus.SUCCEEDED or job.audio is None:
        return {"status": "FAILED"}
    scheme = "https" if handshake.secure else "http"
    return {
        "status": "COMPLETED",
        "url": f"{scheme}://{handshake.headers.get('host', '')}{_AUDIO.format(job=_shown(job))}",
        "contentType": job.audio.media_type,
        "fileSize": job.audio.bytes,
        "duration": round(job.audio.duration_ms / 1000, 3),
    }


def _shown(job: Job) -> str:
    """A UUID, as this API's ids are."""
    return str(UUID(hex=job.id.removeprefix(_JOB)))
