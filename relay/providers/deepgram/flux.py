"""Deepgram's WebSocket of Flux voices, `/v2/speak`: turns of their own, which can be interrupted.

What is given up to a `Flush` is one speech of the service: `SpeechStarted`, audio, `Flushed`, `SpeechMetadata`. An
`Interrupt` ends the speech that is on with `SpeechInterrupted`, or is ignored with a warning (no audio yet, say).
Messages, their fields and warnings are those of the vendor's SDK 7.17.0.
"""

import json
from typing import Any

from relay.providers.base import faults
from relay.providers.base.dialogue import Heard, Message, TurnOver
from relay.providers.base.rest import RestApi
from relay.providers.deepgram.socket import no_message, told_error

# Each says that an Interrupt was ignored, or that there is no speech to flush or interrupt.
_NOTHING_ON = ("NO_AUDIO_GENERATED", "NO_ACTIVE_SPEECH", "INTERRUPT_IN_PROGRESS", "INVALID_INTERRUPT_OFFSET")


class FluxDialogue:
    """One socket, one turn after another; a turn is one speech of the service for each of its flushes."""

    def __init__(self, api: RestApi) -> None:
        self._api = api
        self._ids: dict[str, str] = {}
        self._in_turn = self._ended = self._cancelled = False
        # Text that no flush has followed yet, and speeches that were flushed and are not over.
        self._has_unflushed = False
        self._speeches = 0
        # The speech that was interrupted last: what is still said of it is not of the turn after it.
        self._interrupted: str | None = None
        # The turn's text, kept so that an error that quotes it is not passed on; a turn's length is bounded already.
        self._given: list[str] = []

    # What we say.

    def greet(self) -> list[Message]:
        return []

    def begin(self, turn_id: str) -> list[Message]:
        """A turn begins, for the service, with its first text."""
        assert not self._speeches, "a socket with an open speech is not used again"
        self._in_turn, self._ended, self._cancelled = True, False, False
        self._has_unflushed, self._given = False, []
        return []

    def give(self, text: str) -> list[Message]:
        assert not self._ended, "no text follows the end of the text"
        if not text:
            return []
        self._given.append(text)
        self._has_unflushed = True
        return [_json(type="Speak", text=text)]

    def flush(self) -> list[Message]:
        return self._flushed() if self._has_unflushed else []

    def end_text(self) -> list[Message]:
        """Where all was flushed and spoken before, the warning that another flush gets says that the turn is over."""
        self._ended = True
        return self._flushed() if self._has_unflushed or (self._given and not self._speeches) else []

    def cancel(self) -> list[Message]:
        """From here on no audio of the turn is heard, whatever still comes."""
        self._cancelled = True
        return [_json(type="Interrupt")] if self._given else []

    def keep_alive(self) -> list[Message]:
        """There is no such message."""
        return []

    def _flushed(self) -> list[Message]:
        self._has_unflushed = False
        self._speeches += 1
        return [_json(type="Flush")]

    # What the service says.

    def receive(self, message: str | bytes) -> list[Heard]:
        if isinstance(message, bytes):
            return [message] if message and self._in_turn and self._given and not self._cancelled else []
        said = faults.json_object(message.encode("utf-8", "replace"))
        match said.get("type"):
            case "Connected":
                if isinstance(found := said.get("request_id"), str):
                    self._ids = {"request_id": faults.quoted(found, 100)}
            case "SpeechMetadata" if self._interrupted is None or said.get("speech_id") != self._interrupted:
                return self._speech_over()
            case "SpeechInterrupted" if self._cancelled:
                metadata = said.get("metadata")
                found = metadata.get("speech_id") if isinstance(metadata, dict) else None
                self._interrupted = found if isinstance(found, str) else None
                # Speeches behind it, and text that was not flushed yet, may still be spoken.
                is_clean = self._interrupted is not None and self._speeches <= 1 and not self._has_unflushed
                return self._over(reusable=is_clean)
            case "Warning" if said.get("code") in _NOTHING_ON:
                if self._cancelled:
                    return self._over(reusable=False)
                if said["code"] == "NO_ACTIVE_SPEECH" and self._ended:
                    return self._speech_over()
            case "Error":
                raise told_error(self._api, said, "".join(self._given))
            case None:
                raise no_message(self._api)
        return []

    def _speech_over(self) -> list[Heard]:
        self._speeches = max(0, self._speeches - 1)
        return self._over(reusable=True) if self._ended and not self._cancelled and not self._speeches else []

    def _over(self, *, reusable: bool) -> list[Heard]:
        if not self._in_turn:
            return []
        self._in_turn, self._speeches = False, 0
        return [TurnOver(ids=self._ids, reusable=reusable)]


def _json(**message: Any) -> str:
    return json.dumps(message, separators=(",", ":"))
