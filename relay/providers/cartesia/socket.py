"""Cartesia's WebSocket, `/tts/websocket`: text as it is written, audio in base64, times of words.

A turn is a context: its texts are continuations, joined as they are, and an empty one that is not continued ends it.
Every message has its context's name, so that what still comes of a turn that was cancelled is told from the next one.
A context that has run dry expires a second later (the vendor's page on contexts); text that comes after its `done`
opens another one, whose times go on where the audio before it ended (SDK 4.2.0, and the plugins for
LiveKit 1.8.9 and Pipecat 1.14).
"""

import binascii
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from relay.core.formats import SourceFormat
from relay.errors import ProviderError
from relay.providers.base import faults
from relay.providers.base.dialogue import DialogueRequest, Heard, Message, SocketAddress, TurnOver
from relay.providers.base.http import Refusal
from relay.providers.base.rest import RestApi
from relay.providers.cartesia.account import VERSION_HEADER
from relay.providers.cartesia.words import words_in

PATH = "/tts/websocket"
# After that long without a message of ours the socket is closed; there is no message to keep it.
IDLE_CLOSE_S = 300.0


def request(api: RestApi, source: SourceFormat, fields: Mapping[str, Any]) -> DialogueRequest:
    """`fields` go with every text of a turn: they have to stay the same within a context."""
    assert source.pcm is not None, "times are counted by the audio, which has no header"
    bytes_per_s = source.pcm.sample_rate_hz * source.pcm.block_align
    url = api.socket_url(PATH)
    return DialogueRequest(
        provider=api.name,
        key=f"{url} {json.dumps(fields, sort_keys=True)}",
        mint=None,
        connect=lambda _minted: SocketAddress(url=url, headers=VERSION_HEADER, secret_headers=api.credentials()),
        dialogue=partial(CartesiaDialogue, api, bytes_per_s, fields),
        refuse=partial(api.refused, ()),
        source=source,
        idle_close_s=IDLE_CLOSE_S,
        greeted=False,
        # Contexts are what the plan counts; sockets may be ten times as many.
        idle_is_free=True,
    )


class CartesiaDialogue:
    """One socket, one turn after another, a context each."""

    def __init__(self, api: RestApi, bytes_per_s: float, fields: Mapping[str, Any]) -> None:
        self._api = api
        self._bytes_per_s = bytes_per_s
        self._fields = fields
        self._turn = ""
        # The context that is open, how many the turn has had, and whether this one was given text.
        self._context: str | None = None
        self._contexts = 0
        self._has_text = False
        self._ended = self._cancelled = False
        self._audio_bytes = 0
        # Where the context begins in the turn's audio.
        self._offset_s = 0.0
        # The turn's text, kept so that an error that quotes it is not passed on; a turn's length is bounded already.
        self._given: list[str] = []

    # What we say.

    def greet(self) -> list[Message]:
        return []

    def begin(self, turn_id: str) -> list[Message]:
        """A turn begins, for the service, with its first text."""
        self._turn, self._context, self._contexts = turn_id, None, 0
        self._ended = self._cancelled = False
        self._audio_bytes, self._given = 0, []
        return []

    def give(self, text: str) -> list[Message]:
        assert not self._ended, "no text follows the end of the text"
        if not text:
            return []
        self._open()
        self._given.append(text)
        self._has_text = True
        return [self._say(text, goes_on=True)]

    def flush(self) -> list[Message]:
        return [self._say("", goes_on=True, flush=True)] if self._context else []

    def end_text(self) -> list[Message]:
        """Where the last context is done already, an empty one says that the turn is over."""
        self._ended = True
        if not self._given:
            return []
        self._open()
        return [self._say("", goes_on=False)]

    def cancel(self) -> list[Message]:
        """From here on no audio of the turn is heard, whatever still comes."""
        self._cancelled = True
        return [_json({"context_id": self._context, "cancel": True})] if self._context else []

    def keep_alive(self) -> list[Message]:
        """There is no such message."""
        return []

    def _open(self) -> None:
        if self._context is None:
            self._contexts += 1
            self._context = self._turn if self._contexts == 1 else f"{self._turn}.{self._contexts}"
            self._has_text = False
            self._offset_s = self._audio_bytes / self._bytes_per_s

    def _say(self, text: str, *, goes_on: bool, **more: Any) -> str:
        return _json({"context_id": self._context, **self._fields, "transcript": text, "continue": goes_on, **more})

    # What the service says.

    def receive(self, message: str | bytes) -> list[Heard]:
        data = message if isinstance(message, bytes) else message.encode("utf-8", "replace")
        said = faults.json_object(data)
        if not isinstance(kind := said.get("type"), str):
            raise faults.no_answer(self._api.name, "a message that is no JSON object with a type")
        name = said.get("context_id")
        is_ours = self._context is not None and name == self._context
        if kind == "error" and (is_ours or name is None):
            return self._failed(said, is_ours=is_ours)
        if not is_ours:
            return []
        if kind == "done":
            return self._done()
        if self._cancelled:
            return []
        if kind == "chunk":
            return self._audio(said.get("data"))
        return [*words_in(said, self._offset_s)] if kind == "timestamps" else []

    def _audio(self, encoded: object) -> list[Heard]:
        try:
            audio = binascii.a2b_base64(encoded, strict_mode=True) if isinstance(encoded, str) and encoded else b""
        except ValueError:
            raise faults.unreadable(self._api.name, "audio that is not base64") from None
        self._audio_bytes += len(audio)
        return [audio] if audio else []

    def _done(self) -> list[Heard]:
        self._context = None
        return [TurnOver()] if self._ended or self._cancelled else []

    def _failed(self, said: Mapping[str, Any], *, is_ours: bool) -> list[Heard]:
        """Of a context that was cancelled, or that was opened for nothing but the end, an error is an end too."""
        if is_ours and (self._cancelled or (self._ended and not self._has_text)):
            self._context = None
            return [TurnOver()]
        raise told_error(self._api, said, ("".join(self._given),))


def told_error(api: RestApi, said: Mapping[str, Any], private: tuple[str, ...]) -> ProviderError:
    """The error that a message tells, by the status in it; one without is of the moment."""
    status = said.get("status_code")
    known = isinstance(status, int) and not isinstance(status, bool) and 400 <= status <= 599
    body = json.dumps({key: value for key, value in said.items() if key != "type"}).encode()
    return api.refused(private, Refusal(status=int(status) if known and status else 503, headers={}, body=body))


def _json(message: Mapping[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))
