"""A protocol with jobs: it reads any submission or refuses it, tells of a job in every state, and knows its ids again.

check_job_protocol(Sauti(door), valid={"/sauti/v1/tts/jobs": b'{"text": "Hi.", "voice_id": "v"}'}, text_field="text")
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from relay.core.job import Job, JobAudio, JobFailure, JobRequest, JobStatus, Progress
from relay.errors import ClientError, Code
from relay.protocols.base import Handshake, HttpAnswer, JobProtocol
from relay.testing.conformance.protocol import MESSAGE_CHARS, TEXT
from relay.testing.conformance.speech_protocol import noise

# As the relay's ids are: a prefix, and the digits of a random UUID.
_ID = "job_0f0e0d0c0b0a49088706050403020100"
_ODD_IDS = ("", "x", "..", _ID + "0", "0" * 10_000, "\x00", "żółw", "job_", "00000000-0000-0000-0000-00000000000g")
_AT = Handshake(headers={"host": "relay.example"})


def check_job_protocol(protocol: JobProtocol, *, valid: Mapping[str, bytes], text_field: str) -> None:
    """`valid` has a JSON body for each path of `submissions`, with its text in `text_field`."""
    assert valid.keys() == protocol.submissions.keys(), "each submission has a body that it takes"
    for path in (*protocol.job_states, *protocol.job_audio, *protocol.open_job_audio):
        assert "{job}" in path, f"{path} does not say which job"
    for path, body in valid.items():
        fields = json.loads(body) | {text_field: TEXT}
        asked = protocol.submissions[path](_AT, json.dumps(fields).encode())
        assert asked.text == TEXT and TEXT not in repr(asked), "the text is changed, or shown"
        assert json.loads(json.dumps(asked.own)) == asked.own, "what is kept with a job is not JSON"
        for wrong in (*noise([body]), json.dumps(fields | {"no_such_field": 1}).encode()):
            _submit_or_refuse(protocol, path, wrong)
        check_tells(protocol, asked)
    for shown in _ODD_IDS:
        try:
            assert isinstance(protocol.job_id(shown), str)
        except ClientError as error:
            assert error.code is Code.UNKNOWN_JOB, "an odd id is told as something else"


def check_tells(protocol: JobProtocol, asked: JobRequest) -> None:
    """Every state has its answer, which is the same each time; and what a client is told holds the job's id."""
    for job in _jobs(asked):
        answers = [protocol.created(_AT, job), *(tell(_AT, job) for tell in protocol.job_states.values())]
        again = [protocol.created(_AT, job), *(tell(_AT, job) for tell in protocol.job_states.values())]
        assert answers == again, "a job is told of differently each time"
        for answer in answers:
            assert isinstance(answer, HttpAnswer) and 200 <= answer.status < 300, f"{job.status}: {answer.status}"
            assert answer.headers.get("Cache-Control") == "no-store", "a job's state is kept by a proxy"
            assert any(_is_id(protocol, value, job.id) for value in _strings(json.loads(answer.body))), "no id is told"


def _jobs(asked: JobRequest) -> Iterator[Job]:
    queued = Job(id=_ID, owner="o", status=JobStatus.QUEUED, created_at_s=1.5, request=asked, chars=len(asked.text))
    running = replace(queued, status=JobStatus.RUNNING, started_at_s=2.0, progress=Progress(segments=1, chars=3))
    ended = replace(running, completed_at_s=1_800_000_000.25)
    audio = JobAudio(media_type="audio/wav", bytes=44, duration_ms=0.0)
    failure = JobFailure(code=Code.PROVIDER_CUT, message="the stream was cut", provider="p")
    yield from (queued, running)
    yield replace(ended, status=JobStatus.SUCCEEDED, audio=audio)
    yield replace(ended, status=JobStatus.FAILED, failure=failure)
    yield replace(ended, status=JobStatus.CANCELLED)


def _submit_or_refuse(protocol: JobProtocol, path: str, body: bytes) -> None:
    try:
        asked = protocol.submissions[path](_AT, body)
    except ClientError as error:
        assert error.message and len(error.message) <= MESSAGE_CHARS, "an error says what is wrong, in a line"
        assert TEXT not in error.message, "an error quotes the text"
    else:
        assert isinstance(asked, JobRequest)


def _is_id(protocol: JobProtocol, shown: str, job_id: str) -> bool:
    try:
        return protocol.job_id(shown) == job_id
    except ClientError:
        return False


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
