"""The errors that providers document, and what each means: for the tests of adapters and for those through a relay."""

import json
from typing import Any

from relay.errors import Code

# Of its pages and its SDK: status, code, ours, whether another try may help.
BREEZE = [
    (400, "BAD_REQUEST", Code.PROVIDER_REJECTED, False),
    (401, "AUTH_REQUIRED", Code.PROVIDER_AUTH, False),
    (401, "AUTH_INVALID_SESSION", Code.PROVIDER_AUTH, False),
    (401, "AUTH_SESSION_EXPIRED", Code.PROVIDER_AUTH, False),
    (401, "AUTH_USER_UNAVAILABLE", Code.PROVIDER_AUTH, False),
    (500, "AUTH_CONFIG_MISSING", Code.PROVIDER_AUTH, False),
    (403, "AUTH_ADMIN_REQUIRED", Code.PROVIDER_AUTH, False),
    (402, "BILLING_INSUFFICIENT_CREDITS", Code.PROVIDER_AUTH, False),
    (403, "FORBIDDEN", Code.PROVIDER_AUTH, False),
    (404, "RESOURCE_NOT_FOUND", Code.VOICE_NOT_FOUND, False),
    (409, "CONFLICT", Code.PROVIDER_REJECTED, False),
    (422, "VALIDATION_ERROR", Code.PROVIDER_REJECTED, False),
    (425, "GENERATION_NOT_READY", Code.PROVIDER_UNAVAILABLE, True),
    (429, "GENERATION_CONCURRENCY_EXCEEDED", Code.PROVIDER_RATE_LIMITED, True),
    (429, "RATE_LIMITED", Code.PROVIDER_RATE_LIMITED, True),
    (502, "UPSTREAM_GENERATION_ERROR", Code.PROVIDER_UNAVAILABLE, True),
    (503, "GENERATION_CAPACITY_EXCEEDED", Code.PROVIDER_UNAVAILABLE, True),
    (504, "UPSTREAM_TIMEOUT", Code.PROVIDER_TIMEOUT, True),
    (502, "GENERATION_FAILED", Code.PROVIDER_UNAVAILABLE, True),
    (502, "GENERATION_TIMEOUT", Code.PROVIDER_TIMEOUT, True),
    (502, "GENERATION_INVALID_RESPONSE", Code.PROVIDER_UNAVAILABLE, True),
    (502, "UPSTREAM_BILLING_ERROR", Code.PROVIDER_UNAVAILABLE, False),
    (502, "UPSTREAM_GENERATION_SERVICE_ERROR", Code.PROVIDER_UNAVAILABLE, True),
    (502, "UPSTREAM_ASSET_STORAGE_ERROR", Code.PROVIDER_UNAVAILABLE, True),
    (503, "LLM_CONFIG_NOT_FOUND", Code.PROVIDER_UNAVAILABLE, False),
    (500, "INTERNAL_ERROR", Code.PROVIDER_UNAVAILABLE, True),
    (504, "DISPATCH_TIMEOUT", Code.PROVIDER_TIMEOUT, True),
    (500, "GENERATION_INTERRUPTED", Code.PROVIDER_UNAVAILABLE, True),
    # What nobody has documented goes by its status.
    (418, "TEAPOT", Code.PROVIDER_REJECTED, False),
    (500, "TEAPOT", Code.PROVIDER_UNAVAILABLE, True),
]

# The codes that its plugin lists as beyond a retry: code, ours.
BLAND_FATAL = [
    ("AUTH_FAILED", Code.PROVIDER_AUTH),
    ("INSUFFICIENT_CREDITS", Code.PROVIDER_AUTH),
    ("ORG_DELETED", Code.PROVIDER_AUTH),
    ("ORG_STRIPE_OVERDUE", Code.PROVIDER_AUTH),
    ("ORG_SUSPENDED", Code.PROVIDER_AUTH),
    ("USER_BANNED", Code.PROVIDER_AUTH),
    ("already_initialized", Code.PROVIDER_REJECTED),
    ("context_overflow", Code.TEXT_TOO_LONG),
    ("init_required", Code.PROVIDER_REJECTED),
    ("insufficient_credits", Code.PROVIDER_AUTH),
    ("invalid_message", Code.PROVIDER_REJECTED),
    ("invalid_request", Code.PROVIDER_REJECTED),
    ("unsupported_encoding", Code.PROVIDER_REJECTED),
    ("unsupported_sample_rate", Code.PROVIDER_REJECTED),
    ("unsupported_voice", Code.PROVIDER_REJECTED),
    ("voice_not_found", Code.VOICE_NOT_FOUND),
    ("voice_not_live", Code.PROVIDER_REJECTED),
]
# What a status means when the code says nothing.
BLAND_STATUSES = [
    (400, Code.PROVIDER_REJECTED, False),
    (401, Code.PROVIDER_AUTH, False),
    (402, Code.PROVIDER_AUTH, False),
    (403, Code.PROVIDER_AUTH, False),
    (404, Code.VOICE_NOT_FOUND, False),
    (413, Code.TEXT_TOO_LONG, False),
    (422, Code.PROVIDER_REJECTED, False),
    (429, Code.PROVIDER_RATE_LIMITED, True),
    (500, Code.PROVIDER_UNAVAILABLE, True),
    (502, Code.PROVIDER_UNAVAILABLE, True),
    (503, Code.PROVIDER_UNAVAILABLE, True),
    (504, Code.PROVIDER_TIMEOUT, True),
    (200, Code.BAD_AUDIO, False),
]
# The last part of a problem's type: status, type, ours, whether another try may help.
SAUTI = [
    (400, "invalid_request", Code.PROVIDER_REJECTED, False),
    (401, "unauthorized", Code.PROVIDER_AUTH, False),
    (409, "job_not_complete", Code.PROVIDER_UNAVAILABLE, True),
    (413, "payload_too_large", Code.TEXT_TOO_LONG, False),
    (422, "unprocessable_content", Code.PROVIDER_REJECTED, False),
    (429, "rate_limit_exceeded", Code.PROVIDER_RATE_LIMITED, True),
    (500, "internal_error", Code.PROVIDER_UNAVAILABLE, True),
    # Not in the table of its pages; the voice is what a path names.
    (404, "not_found", Code.VOICE_NOT_FOUND, False),
]
# Status, `errorId`, ours, whether another try may help.
PLAYAI = [
    (400, "INVALID_PARAMETERS", Code.PROVIDER_REJECTED, False),
    (401, "UNAUTHORIZED", Code.PROVIDER_AUTH, False),
    (403, "UNSUPPORTED_PLAN", Code.PROVIDER_AUTH, False),
    # The body is a string, and bare.
    (429, None, Code.PROVIDER_RATE_LIMITED, True),
    (500, "0815", Code.PROVIDER_UNAVAILABLE, True),
]
# Status, the name that the error goes by, ours, whether another try may help.
OPENAI = [
    (400, "invalid_value", Code.PROVIDER_REJECTED, False),
    (400, "string_above_max_length", Code.TEXT_TOO_LONG, False),
    (422, "string_too_long", Code.TEXT_TOO_LONG, False),
    (400, "context_length_exceeded", Code.TEXT_TOO_LONG, False),
    (400, "voice_not_found", Code.VOICE_NOT_FOUND, False),
    (400, "invalid_model", Code.PROVIDER_REJECTED, False),
    (404, "model_not_found", Code.PROVIDER_REJECTED, False),
    (401, "invalid_api_key", Code.PROVIDER_AUTH, False),
    (401, "invalid_organization", Code.PROVIDER_AUTH, False),
    (403, "unsupported_country_region_territory", Code.PROVIDER_AUTH, False),
    (403, "permission_denied", Code.PROVIDER_AUTH, False),
    (429, "insufficient_quota", Code.PROVIDER_AUTH, False),
    (400, "billing_hard_limit_reached", Code.PROVIDER_AUTH, False),
    (429, "rate_limit_exceeded", Code.PROVIDER_RATE_LIMITED, True),
    (500, "server_error", Code.PROVIDER_UNAVAILABLE, True),
    (500, "processing_error", Code.PROVIDER_UNAVAILABLE, True),
    (503, "engine_overloaded", Code.PROVIDER_UNAVAILABLE, True),
    # What has no name that is known goes by its status.
    (409, "conflict", Code.PROVIDER_REJECTED, False),
    (503, "odd", Code.PROVIDER_UNAVAILABLE, True),
    (504, "odd", Code.PROVIDER_TIMEOUT, True),
]


# Status, `err_code` or `category`, ours, whether another try may help.
DEEPGRAM = [
    (400, "Bad Request", Code.PROVIDER_REJECTED, False),
    (401, "INVALID_AUTH", Code.PROVIDER_AUTH, False),
    (403, "INSUFFICIENT_PERMISSIONS", Code.PROVIDER_AUTH, False),
    (402, "ASR_PAYMENT_REQUIRED", Code.PROVIDER_AUTH, False),
    (413, "PAYLOAD_ERROR", Code.TEXT_TOO_LONG, False),
    (429, "TOO_MANY_REQUESTS", Code.PROVIDER_RATE_LIMITED, True),
    (500, "INTERNAL_SERVER_ERROR", Code.PROVIDER_UNAVAILABLE, True),
    (503, "ODD", Code.PROVIDER_UNAVAILABLE, True),
]


# Status, `detail.status`, ours, whether another try may help.
ELEVENLABS = [
    (401, "invalid_api_key", Code.PROVIDER_AUTH, False),
    (401, "detected_unusual_activity", Code.PROVIDER_AUTH, False),
    (401, "quota_exceeded", Code.PROVIDER_AUTH, False),
    (400, "quota_exceeded", Code.PROVIDER_AUTH, False),
    (403, "only_for_creator+", Code.PROVIDER_AUTH, False),
    (401, "max_character_limit_exceeded", Code.TEXT_TOO_LONG, False),
    (401, "voice_not_found", Code.VOICE_NOT_FOUND, False),
    (404, "voice_not_found", Code.VOICE_NOT_FOUND, False),
    (400, "odd", Code.PROVIDER_REJECTED, False),
    (401, "odd", Code.PROVIDER_AUTH, False),
    (429, "too_many_concurrent_requests", Code.PROVIDER_RATE_LIMITED, True),
    (429, "system_busy", Code.PROVIDER_RATE_LIMITED, True),
    (503, "odd", Code.PROVIDER_UNAVAILABLE, True),
]


# Status, `error_code`, ours, whether another try may help.
CARTESIA = [
    (400, "odd", Code.PROVIDER_REJECTED, False),
    (401, "odd", Code.PROVIDER_AUTH, False),
    (402, "odd", Code.PROVIDER_AUTH, False),
    (403, "odd", Code.PROVIDER_AUTH, False),
    (404, "voice_not_found", Code.VOICE_NOT_FOUND, False),
    (422, "odd", Code.PROVIDER_REJECTED, False),
    (429, "concurrency_limited", Code.PROVIDER_RATE_LIMITED, True),
    (500, "odd", Code.PROVIDER_UNAVAILABLE, True),
]


def cartesia_body(code: str, message: str) -> bytes:
    said = {"error_code": code, "title": "A problem", "message": message, "request_id": "r1"}
    return json.dumps(said).encode()


def elevenlabs_body(code: str, message: str) -> bytes:
    return json.dumps({"detail": {"status": code, "message": message}}).encode()


def deepgram_shapes(code: str, message: str) -> list[bytes]:
    told: list[Any] = [
        {"err_code": code, "err_msg": message, "request_id": "r1"},
        {"category": code, "message": message, "details": "More.", "request_id": "r1"},
    ]
    return [json.dumps(body).encode() for body in told]


def openai_shapes(code: str, message: str) -> list[bytes]:
    """An error in each of the shapes that the servers of this API send."""
    told: list[Any] = [
        {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}},
        {"error": {"message": message, "type": code, "param": None, "code": None}},
        {"error": {"message": message, "type": code, "param": None, "code": 500}},
        {"detail": {"error": code, "message": message, "type": "invalid_request_error"}},
        {"detail": [{"loc": ["body", "speed"], "msg": message, "type": code}]},
        {"code": code, "error": message},
    ]
    return [json.dumps(body).encode() for body in told]


def breeze_body(code: str, message: str) -> bytes:
    return json.dumps({"ok": False, "code": code, "detail": message, "error": message}).encode()


def bland_shapes(code: str, message: str) -> list[bytes]:
    """An error in each of the shapes that Bland sends."""
    entry = {"error": code, "message": message}
    told: list[Any] = [
        {"error": {"code": code, "message": message}},
        {"status": "error", "errors": [entry]},
        {"data": None, "errors": [entry]},
    ]
    return [json.dumps(body).encode() for body in told]


def sauti_body(code: str, message: str) -> bytes:
    kind = f"https://sauti.finiflowlabs.com/errors/{code}"
    return json.dumps({"type": kind, "title": "A problem", "detail": message}).encode()


def playai_body(code: str | None, message: str) -> bytes:
    return json.dumps({"errorMessage": message, "errorId": code} if code else message).encode()
