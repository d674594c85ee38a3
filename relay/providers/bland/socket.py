"""Bland's WebSocket, `/v2/tts/ws`: text as it is written, headerless audio as it is made.

One socket is one session, with one voice and one format, and speaks one turn at a time. A turn is the text sent under
one `context_id`; it ends with `utterance_end`, whose `reason` is `complete`, `cancelled`, `failed`, or that another
turn took its place. An error that names a turn ends it (the vendor's pages and its plugins for LiveKit 1.8.9 and
Pipecat, 2026-11). This file does not know when a socket is opened, shared or closed.
"""

import json
from collections.abc import Mapping
from typing import Any

from relay.core.formats import AudioFormat, Container, SourceFormat
from relay.errors import Code, ProviderError
from relay.providers.base import faults
from relay.providers.base.dialogue import DialogueRequest, Heard, Message, Ready, SocketAddress, TurnOver
from relay.providers.base.http import ReplyFacts
from relay.providers.bland import errors
from relay.providers.bland.account import Account
from relay.providers.bland.v2 import ENCODINGS, RATES_HZ, V2Settings

PATH = "/v2/tts/ws"
# The session ends after that long without a message from us. There is none that only keeps it open: an idle socket is
# given up, and opened anew.
IDLE_CLOSE_S = 60.0


def request(account: Account, voice: str, settings: V2Settings) -> DialogueRequest:
    url = account.socket_url(PATH)
    opening = {"type": "init", **settings.described(voice)}
    return DialogueRequest(
        provider=account.name,
        key=f"{url} {_json(opening)}",
        mint=None,
        connect=lambda _minted: SocketAddress(url=url, secret_headers=account.bearer()),
        dialogue=lambda: BlandDialogue(opening, settings.form, account),
        # The handshake names no voice yet.
        refuse=lambda refusal: errors.refused(account.name, refusal, speaking=False, secrets=(account.api_key,)),
        source=_source(settings.form),
        idle_close_s=IDLE_CLOSE_S,
    )


class BlandDialogue:
    """One session. The context of a turn is unique within it, whatever the turn is called."""

    def __init__(self, opening: Mapping[str, Any], form: AudioFormat, account: Account) -> None:
        self._opening = opening
        self._form = form
        self._account = account
        self._turns = 0
        self._context: str | None = None
        # The turn's text, kept so that an error that quotes it is not passed on; a turn's length is bounded already.
        self._given: list[str] = []
        self._ended = False
        self._cancelled = False
        # The context that the service says it is speaking; None while it says of none.
        self._speaking: str | None = None

    # What we say.

    def greet(self) -> list[Message]:
        return [_json(self._opening)]

    def begin(self, turn_id: str) -> list[Message]:
        """A turn begins, for the service, with its first text."""
        self._turns += 1
        self._context = f"{turn_id}-{self._turns}"
        self._given = []
        self._ended = self._cancelled = False
        self._speaking = None
        return []

    def give(self, text: str) -> list[Message]:
        assert not self._ended, "no text follows the end of the text"
        if not text:
            return []
        self._given.append(text)
        return [self._about_turn("speak", text=text)]

    def flush(self) -> list[Message]:
        """There is no such message: the service finds the places to speak from itself."""
        return []

    def end_text(self) -> list[Message]:
        self._ended = True
        return [self._about_turn("end_of_turn")] if self._given else []

    def cancel(self) -> list[Message]:
        """From here on no audio of the turn is heard, whatever still comes."""
        self._cancelled = True
        return [self._about_turn("cancel")] if self._given else []

    def keep_alive(self) -> list[Message]:
        return []

    # What the service says.

    def receive(self, message: str | bytes) -> list[Heard]:
        if isinstance(message, bytes):
            return [message] if message and self._is_heard else []
        told = faults.json_object(message.encode("utf-8", "replace"))
        match told.get("type"):
            case "ready":
                return [self._ready(told)]
            case "utterance_start":
                self._speaking = _text(told, "context_id") or self._context
            case "utterance_end":
                return self._utterance_end(told)
            case "error":
                if told.get("context_id") in (None, self._context):
                    raise errors.told_on_socket(self._account.name, told, (self._account.api_key, "".join(self._given)))
            case "done":
                raise errors.failure(self._account.name, Code.PROVIDER_CUT, "ended its session")
            case None:
                raise errors.failure(
                    self._account.name,
                    Code.PROVIDER_UNAVAILABLE,
                    "sent a message that is no JSON object with a type",
                    retryable=False,
                )
        return []

    @property
    def _is_heard(self) -> bool:
        """Whether audio that comes now is the turn's: audio carries no id, and follows its `utterance_start`."""
        return self._context is not None and not self._cancelled and self._speaking == self._context

    def _ready(self, told: Mapping[str, Any]) -> Ready:
        # The format stands at the top; within `audio`, says a client that has seen both (2026).
        audio = told.get("audio")
        said = {**told, **audio} if isinstance(audio, Mapping) else told
        encoding, rate_hz = said.get("encoding", self._form.encoding.value), said.get("sample_rate")
        if rate_hz is None:
            rate_hz = self._form.sample_rate_hz
        if not isinstance(encoding, str) or encoding not in ENCODINGS or rate_hz not in RATES_HZ:
            what = f"is ready to send {faults.quoted(str(encoding), 40)} at {faults.quoted(str(rate_hz), 40)} Hz"
            raise errors.failure(self._account.name, Code.BAD_AUDIO, f"{what}, which nobody asked for")
        session_id = _text(told, "session_id")
        return Ready(
            facts=ReplyFacts(
                source=_source(AudioFormat(encoding=ENCODINGS[encoding], sample_rate_hz=int(rate_hz))),
                ids={"session_id": faults.quoted(session_id, 100)} if session_id else {},
            )
        )

    def _utterance_end(self, told: Mapping[str, Any]) -> list[Heard]:
        self._speaking = None
        context = _text(told, "context_id") or self._context
        if context != self._context or self._context is None:
            return []  # of a turn that is over
        over = TurnOver(ids={"context_id": self._context})
        reason = _text(told, "reason")
        self._context = None
        if self._cancelled:
            # It may have been complete before the cancel came. Any other end leaves the session in doubt.
            return [over if reason in ("cancelled", "complete") else TurnOver(ids=over.ids, reusable=False)]
        if reason == "complete" and self._ended:
            return [over]
        raise self._cut_short(reason)

    def _cut_short(self, reason: str | None) -> ProviderError:
        if reason == "failed":
            return errors.failure(self._account.name, Code.PROVIDER_UNAVAILABLE, "failed to speak the turn")
        if reason == "complete":
            return errors.failure(self._account.name, Code.PROVIDER_CUT, "ended the turn before its text had ended")
        shown = faults.quoted(reason or "no reason", 100, secrets=(self._account.api_key, "".join(self._given)))
        return errors.failure(self._account.name, Code.PROVIDER_CUT, f"ended the turn early: {shown}")

    def _about_turn(self, kind: str, **fields: str) -> str:
        assert self._context is not None, "a turn has begun and is not over"
        return _json({"type": kind, "context_id": self._context, **fields})


def _source(form: AudioFormat) -> SourceFormat:
    return SourceFormat(container=Container.RAW, pcm=form)


def _text(told: Mapping[str, Any], name: str) -> str | None:
    value = told.get(name)
    return value if isinstance(value, str) else None


def _json(message: Mapping[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))
