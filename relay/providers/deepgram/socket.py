"""Deepgram's WebSocket, `/v1/speak`: text as it is written, headerless audio as it is made.

`Speak` adds text, `Flush` has all of it spoken and is answered by `Flushed`, `Clear` drops what is not sent yet and is
answered by `Cleared`. No reply says which turn it is for: the order of the messages does, so flushes are counted. At
most 20 flushes a minute are taken (the vendor's page); more are answered with a warning (its specification of 2026-07,
its SDK 7.17.0, and the plugins for LiveKit 1.8.9 and Pipecat 1.14).
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from relay.core.formats import SourceFormat
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base import faults
from relay.providers.base.dialogue import DialogueRequest, Heard, Message, SocketAddress, TurnOver
from relay.providers.base.http import Refusal
from relay.providers.base.rest import RestApi
from relay.providers.deepgram.account import CODES


def request(api: RestApi, query: Mapping[str, str], source: SourceFormat) -> DialogueRequest:
    url = api.socket_url("/v1/speak", query)
    return DialogueRequest(
        provider=api.name,
        key=url,
        mint=None,
        connect=lambda _minted: SocketAddress(url=url, secret_headers=api.credentials()),
        dialogue=lambda: DeepgramDialogue(api),
        refuse=partial(api.refused, ()),
        source=source,
        # It says something first, `Metadata`, which nothing depends on.
        greeted=False,
    )


class DeepgramDialogue:
    """One socket, one turn after another."""

    def __init__(self, api: RestApi) -> None:
        self._api = api
        self._ids: dict[str, str] = {}
        self._in_turn = self._ended = self._cancelled = False
        # Text that no flush has followed yet, and flushes that no answer has.
        self._has_unflushed = False
        self._flushes = 0
        # The turn's text, kept so that an error that quotes it is not passed on; a turn's length is bounded already.
        self._given: list[str] = []

    # What we say.

    def greet(self) -> list[Message]:
        return []

    def begin(self, turn_id: str) -> list[Message]:
        """A turn begins, for the service, with its first text."""
        assert not self._flushes, "a socket with an open flush is not used again"
        self._in_turn, self._ended, self._cancelled = True, False, False
        self._has_unflushed, self._given = False, []
        return []

    def give(self, text: str) -> list[Message]:
        assert not self._ended, "no text follows the end of the text"
        if not text:
            return []
        self._given.append(text)
        self._has_unflushed = True
        return [_json({"type": "Speak", "text": text})]

    def flush(self) -> list[Message]:
        return self._flushed() if self._has_unflushed else []

    def end_text(self) -> list[Message]:
        """The last flush ends the turn. Where all text was flushed and spoken before, another one says that it is."""
        self._ended = True
        return self._flushed() if self._has_unflushed or (self._given and not self._flushes) else []

    def cancel(self) -> list[Message]:
        """From here on no audio of the turn is heard, whatever still comes."""
        self._cancelled = True
        return [_json({"type": "Clear"})] if self._given else []

    def keep_alive(self) -> list[Message]:
        """There is no such message."""
        return []

    def _flushed(self) -> list[Message]:
        self._has_unflushed = False
        self._flushes += 1
        return [_json({"type": "Flush"})]

    # What the service says.

    def receive(self, message: str | bytes) -> list[Heard]:
        if isinstance(message, bytes):
            return [message] if message and self._in_turn and self._given and not self._cancelled else []
        said = faults.json_object(message.encode("utf-8", "replace"))
        match said.get("type"):
            case "Metadata":
                if isinstance(found := said.get("request_id"), str):
                    self._ids = {"request_id": faults.quoted(found, 100)}
            case "Flushed":
                self._flushes = max(0, self._flushes - 1)
                if self._in_turn and self._ended and not self._cancelled and not self._flushes:
                    return self._over(reusable=True)
            case "Cleared":
                if self._in_turn and self._cancelled:
                    # The answer to a flush that was cleared may still come, and would be taken for the next turn's.
                    return self._over(reusable=not self._flushes)
            case "Error":
                raise self._failed(message, said)
            case None:
                raise ProviderError(
                    Code.PROVIDER_UNAVAILABLE,
                    f"{self._api.name} sent a message that is no JSON object with a type",
                    retryable=False,
                    provider=ProviderFault(name=self._api.name),
                )
        return []

    def _over(self, *, reusable: bool) -> list[Heard]:
        self._in_turn = False
        return [TurnOver(ids=self._ids, reusable=reusable)]

    def _failed(self, message: str, said: Mapping[str, Any]) -> ProviderError:
        """There is no status: an error of no known name is one of the moment."""
        named = str(said.get("code") or said.get("err_code") or "")
        error = self._api.refused(
            ("".join(self._given),), Refusal(status=503, headers={}, body=message.encode("utf-8", "replace"))
        )
        code = CODES.get(named.lower(), Code.PROVIDER_UNAVAILABLE)
        fault = ProviderFault(name=self._api.name, code=error.provider.code, message=error.provider.message)
        words = error.message.replace("answered 503", "sent an error", 1)
        return ProviderError(code, words, provider=fault)


def _json(message: Mapping[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))
