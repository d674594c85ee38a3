"""Sauti's API (Finiflow Labs): whole clips as JSON with a WAV in base64, and jobs for long texts.

What the relay makes of each field, and what it does not honour, is told in docs/reference/door-sauti.md.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

from relay.core.events import Event, TurnDone, TurnRequest
from relay.core.job import Job, JobRequest, JobStatus
from relay.core.record import TurnRecord
from relay.errors import ClientError, Code, RelayError
from relay.protocols.answer import Base64Text, json_answer, rfc3339
from relay.protocols.base import Credential, Handshake, HttpAnswer, Known, KnownVoice, SpeechCall
from relay.protocols.body import decode
from relay.protocols.door import Door

# A longer text is a job; a text of a clip is refused beyond the second.
CLIP_CHARS, MAX_CLIP_CHARS = 2000, 5000
_VOICES = "/sauti/v1/voices"
_JOBS = "/sauti/v1/tts/jobs"
_PROBLEM = "https://sauti.finiflowlabs.com/errors/"


class VoiceSettings(Struct, forbid_unknown_fields=True):
    """What stands here by default asks for nothing."""

    speaking_rate: Annotated[float, Meta(gt=0)] | None = 1.0
    noise_scale: Annotated[float, Meta(ge=0)] | None = 0.667
    noise_scale_duration: Annotated[float, Meta(ge=0)] | None = 0.8


class ClipBody(Struct, forbid_unknown_fields=True):
    """The body for a clip, whose voice is in the path."""

    text: Annotated[str, Meta(min_length=1)]
    voice_settings: VoiceSettings | None = None


class JobBody(Struct, forbid_unknown_fields=True):
    text: Annotated[str, Meta(min_length=1)]
    voice_id: Annotated[str, Meta(min_length=1)]
    voice_settings: VoiceSettings | None = None


_CLIP_DECODER, _JOB_DECODER = msgspec.json.Decoder(ClipBody), msgspec.json.Decoder(JobBody)
_NESTED: Mapping[str, type[Struct]] = {"voice_settings": VoiceSettings}


class _Problem(NamedTuple):
    """The last segment of a problem's `type`, and its title."""

    name: str
    title: str


# By status, as far as the vendor's error page has it; 403, 404 and 503 are ours.
_PROBLEMS: Mapping[int, _Problem] = {
    400: _Problem("invalid_request", "Invalid request"),
    401: _Problem("unauthorized", "Unauthorized"),
    403: _Problem("forbidden", "Forbidden"),
    404: _Problem("not_found", "Not found"),
    409: _Problem("job_not_complete", "Job not complete"),
    413: _Problem("payload_too_large", "Payload too large"),
    422: _Problem("unprocessable_content", "Unprocessable content"),
    429: _Problem("rate_limit_exceeded", "Rate limit exceeded"),
    500: _Problem("internal_error", "Internal error"),
    503: _Problem("service_unavailable", "Service unavailable"),
}
# A text that is too long and a voice that is not there are both "unprocessable" here.
_STATUSES = {Code.TEXT_TOO_LONG: 422, Code.VOICE_NOT_FOUND: 422}
_JOB_STATES = {JobStatus.CANCELLED: "failed"}


class Sauti:
    """A `base.SpeechProtocol`, `base.JobProtocol` and `base.ListProtocol`, under `/sauti`."""

    name = "sauti"
    prefix = "/sauti/"
    credential_hint = "send the header xi-api-key: KEY"
    speech_paths: tuple[str, ...] = ("/sauti/v1/text-to-speech/{voice_id}",)

    def __init__(self, door: Door) -> None:
        self._door = door
        self.submissions: Mapping[str, Callable[[Handshake, bytes], JobRequest]] = {_JOBS: self._submit}
        self.job_states: Mapping[str, Callable[[Handshake, Job], HttpAnswer]] = {_JOBS + "/{job}": self._state}
        self.job_audio: tuple[str, ...] = (_JOBS + "/{job}/audio",)
        self.open_job_audio: tuple[str, ...] = ()
        self.lists: Mapping[str, Callable[[Handshake, Known], HttpAnswer]] = {
            _VOICES: self._voices,
            _VOICES + "/{voice_id}": self._voice,
        }

    def credential(self, handshake: Handshake) -> Credential | None:
        """The header alone: this API takes no key in an address."""
        shown = handshake.headers.get("xi-api-key", "").strip()
        return Credential(shown) if shown else None

    def refusal(self, error: RelayError, status: int | None = None) -> HttpAnswer:
        """`application/problem+json` (RFC 9457), with the relay's own code besides."""
        status = status or _STATUSES.get(error.code, error.code.http_status)
        detail = error.message
        if error.code is Code.VOICE_NOT_FOUND:
            detail += self._door.unknown_voice_hint()
        headers = {} if error.retry_after_s is None else {"Retry-After": str(max(1, round(error.retry_after_s)))}
        return _problem(status, detail, str(error.code), headers)

    def parse(self, handshake: Handshake, body: bytes) -> SpeechCall | JobRequest:
        asked = decode(_CLIP_DECODER, body, _NESTED)
        voice = handshake.path.get("voice_id", "")
        if len(asked.text) > MAX_CLIP_CHARS:
            raise ClientError(
                Code.TEXT_TOO_LONG,
                f"text has {len(asked.text)} characters; {MAX_CLIP_CHARS} is the most here; longer ones go to"
                " POST /v1/tts/jobs",
            )
        request = self._request(voice, asked.voice_settings)
        if len(asked.text) > CLIP_CHARS:
            return JobRequest(turn=request, text=asked.text, container="wav")
        return SpeechCall(request=request, text=asked.text, container="wav", whole=True, own=(voice, len(asked.text)))

    def reply(self, call: SpeechCall) -> "ClipReply":
        voice, characters = call.own
        return ClipReply(voice, characters)

    def created(self, handshake: Handshake, job: Job) -> HttpAnswer:
        return json_answer(_job(job), status=202)

    def job_id(self, shown: str) -> str:
        return shown

    def _submit(self, handshake: Handshake, body: bytes) -> JobRequest:
        asked = decode(_JOB_DECODER, body, _NESTED)
        return JobRequest(turn=self._request(asked.voice_id, asked.voice_settings), text=asked.text, container="wav")

    def _request(self, voice: str, settings: VoiceSettings | None) -> TurnRequest:
        speaker = self._door.speaker(voice)
        return TurnRequest(
            **speaker,
            # The WAV says its rate: what the provider made is not resampled. 40 ms are whole samples at every rate.
            audio={"encoding": "pcm_s16le", "sample_rate": "native", "channels": 1, "frame_ms": 40, "tail": "short"},
            options=_options(settings, own=self._door.adapter(speaker) == self.name),
        )

    def _state(self, handshake: Handshake, job: Job) -> HttpAnswer:
        return json_answer(_job(job))

    def _voices(self, handshake: Handshake, known: Known) -> HttpAnswer:
        language = handshake.query.get("language", "").lower()
        listed = [
            voice
            for voice in self._described(known)
            if not language or language in (voice["language_code"].lower(), voice["locale"].lower())
        ]
        return json_answer({"voices": listed})

    def _voice(self, handshake: Handshake, known: Known) -> HttpAnswer:
        wanted = handshake.path.get("voice_id", "")
        for voice in self._described(known):
            if voice["voice_id"] == wanted:
                return json_answer(voice)
        return _problem(404, "there is no such voice; GET /v1/voices lists them", str(Code.VOICE_NOT_FOUND), {})

    def _described(self, known: Known) -> list[dict[str, str]]:
        """The operator's names first: each is described as the voice that it stands for."""
        by_id = {name: voice for voice in known.voices for name in (f"{voice.provider}:{voice.id}", voice.id)}
        given = [
            _described(by_id.get(target, KnownVoice(id=name, name=name, provider="")), name)
            for name, target in self._door.voices.items()
        ]
        return [*given, *(_described(voice, voice.id) for voice in known.voices if voice.id not in self._door.voices)]


class ClipReply:
    """One JSON object, with a WAV in base64."""

    def __init__(self, voice: str, characters: int) -> None:
        self._voice = voice
        self._characters = characters
        self._base64 = Base64Text()
        self._is_begun = False

    def headers(self, record: TurnRecord, media_type: str) -> Mapping[str, str]:
        return {"Content-Type": "application/json", "Cache-Control": "no-store"}

    def audio(self, data: bytes) -> bytes:
        if not data:
            return b""
        return self._begin() + self._base64.feed(data)

    def event(self, event: Event) -> bytes:
        if not isinstance(event, TurnDone):
            return b""
        rest = {
            "content_type": "audio/wav",
            "duration_seconds": round(event.duration_ms / 1000, 3),
            "characters_synthesized": self._characters,
            "voice_id": self._voice,
        }
        return self._begin() + self._base64.flush() + b'",' + msgspec.json.encode(rest)[1:]

    def _begin(self) -> bytes:
        begun, self._is_begun = self._is_begun, True
        return b"" if begun else b'{"audio_base64":"'


def _options(settings: VoiceSettings | None, *, own: bool) -> dict[str, Any]:
    """What is not the API's default is given to the provider: under its own names where it is Sauti itself."""
    standard = VoiceSettings()
    asked = {
        name: value
        for name in VoiceSettings.__struct_fields__
        if settings is not None and (value := getattr(settings, name)) not in (None, getattr(standard, name))
    }
    if not asked:
        return {}
    if own:
        return {"voice_settings": asked}
    speed = asked.pop("speaking_rate", None)
    return ({} if speed is None else {"speed": speed}) | ({"voice_settings": asked} if asked else {})


def _job(job: Job) -> dict[str, Any]:
    fields = {
        "job_id": job.id,
        "status": _JOB_STATES.get(job.status, str(job.status)),
        "created_at": rfc3339(job.created_at_s),
    }
    if job.completed_at_s is not None:
        fields["completed_at"] = rfc3339(job.completed_at_s)
    if job.failure is not None:
        fields["error"] = job.failure.message
    return fields


def _described(voice: KnownVoice, name: str) -> dict[str, str]:
    locale = voice.languages[0] if voice.languages else ""
    return {
        "voice_id": name,
        "name": voice.name,
        "language_code": locale.partition("-")[0],
        "locale": locale,
        "gender": voice.gender or "",
        "description": voice.description or "",
        "status": "active",
    }


def _problem(status: int, detail: str, code: str, headers: Mapping[str, str]) -> HttpAnswer:
    problem = _PROBLEMS.get(status) or _PROBLEMS[500 if status >= 500 else 400]
    fields = {
        "type": _PROBLEM + problem.name,
        "title": problem.title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return json_answer(fields, status=status, media_type="application/problem+json", headers=headers)
