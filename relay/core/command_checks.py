"""What a command says, checked and with the session's defaults filled in, whatever state the session is in."""

import re
from dataclasses import replace

from relay.core.client_strings import check_strings
from relay.core.effects import Effect, NoteUnderruns, OpenTurn
from relay.core.events import Pacing, ReportPlayback, SessionDefaults, TurnRequest
from relay.core.record import TurnRecord
from relay.errors import ClientError, Code

_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")

# An hour between two reports: more is a mistake, and would spoil a sum for good.
MOST_UNDERRUN_MS = 3_600_000


def opening(defaults: SessionDefaults, turn_id: str, index: int, request: TurnRequest) -> OpenTurn:
    """The turn that is asked for. Raises ClientError."""
    check_strings(request)
    audio = replace(defaults.audio, **request.audio) if request.audio else defaults.audio
    if request.window_ms is not None and request.window_ms < audio.frame_ms:
        raise ClientError(
            Code.INVALID_CONFIG,
            f"flow.window_ms is {request.window_ms}; it must be at least audio.frame_ms, which is {audio.frame_ms}",
        )
    return OpenTurn(
        turn_id=turn_id,
        turn_index=index,
        provider=_first_provider(request) or defaults.provider,
        request=request,
        audio=audio,
        pacing=_pacing(defaults.pacing, request),
        record=TurnRecord(turn_id=turn_id, index=index, traceparent=request.traceparent),
    )


def an_id(name: str, value: str, code: Code) -> str:
    """The id of a turn or a flush, if it can be one. Raises ClientError."""
    if not _ID.fullmatch(value):
        raise ClientError(code, f"{name} has {len(value)} characters; it must match {_ID.pattern}")
    return value


def positive(name: str, value: int) -> int:
    if value <= 0:
        raise ClientError(Code.INVALID_MESSAGE, f"{name} is {value}; it must be more than 0")
    return value


def not_negative(name: str, value: int) -> int:
    if value < 0:
        raise ClientError(Code.INVALID_MESSAGE, f"{name} is {value}; it must be 0 or more")
    return value


def underruns(report: ReportPlayback) -> list[Effect]:
    """What the client reports of them; accepted after the turn ended, since playback outlasts sending."""
    for name, value in (("underruns", report.underruns), ("underrun_ms", report.underrun_ms)):
        if not 0 <= value <= MOST_UNDERRUN_MS:
            reason = f"playback.report {name} is {value:g}; it must be 0 to {MOST_UNDERRUN_MS}"
            raise ClientError(Code.INVALID_MESSAGE, reason)
    return [NoteUnderruns(report.underruns, report.underrun_ms)] if report.underruns or report.underrun_ms else []


def _pacing(defaults: Pacing, request: TurnRequest) -> Pacing:
    """A lead of the client's own has a group of its own: the configured one may not fit into it."""
    given = request.pacing
    if not given:
        return defaults
    if "lead_ms" in given and "burst_ms" not in given:
        return replace(defaults, burst_ms=None, **given)
    return replace(defaults, **given)


def _first_provider(request: TurnRequest) -> str | None:
    if request.provider is not None and request.providers:
        raise ClientError(Code.INVALID_CONFIG, "provider and providers are both given; name one provider, or several")
    return request.providers[0].provider if request.providers else request.provider
