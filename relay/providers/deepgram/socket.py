"""Deepgram's WebSocket of Aura voices, `/v1/speak`: text as it is written, headerless audio as it is made.

`Speak` adds text, `Flush` has all of it spoken and is answered by `Flushed`, `Clear` drops what is not sent yet and is
answered by `Cleared`. No reply says which turn it is for: the order of the messages does, so flushes are counted. At
most 20 flushes a minute are taken (the vendor's page); more are answered with a warning (its specification of 2026-07,
its SDK 7.17.0, and the plugins for LiveKit 1.8.9 and Pipecat 1.14).
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from relay.core.formats import SourceFormat
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base import faults
from relay.providers.base.dialogue import Dialogue, DialogueRequest, Heard, Message, SocketAddress, TurnOver
from relay.providers.base.http import Refusal
from relay.providers.base.rest import RestApi
from relay.providers.deepgram.account import CODES

# After that long without a message of ours the socket of Flux is closed; of the other nothing is stated.
IDLE_CLOSE_S = 60.0


def request(
    api: RestApi, path: str, query: Mapping[str, str], source: SourceFormat, dialogue: Callable[[RestApi], Dialogue]
) -> DialogueRequest:
    """For the socket of either route; both say something first, which nothing depends on."""
    url = api.socket_url(path, query)
    return DialogueRequest(
        provider=api.name,
        key=url,
        mint=None,
        connect=lambda _minted: SocketAddress(url=url, secret_headers=api.credentials()),
        dialogue=lambda: dialogue(api),
        refuse=partial(api.refused, ()),
        source=source,
        idle_close_s=IDLE_CLOSE_S,
        greeted=False,
    )


class AuraDialogue:
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
                raise told_error(self._api, said, "".join(self._given))
            case None:
                raise no_message(self._api)
        return []

    def _over(self, *, reusable: bool) -> list[Heard]:
        self._in_turn = False
        return [TurnOver(ids=self._ids, reusable=reusable)]


def told_error(api: RestApi, said: Mapping[str, Any], given: str) -> ProviderError:
    """The error that a message tells. There is no status: one of no known name is of the moment."""
    body = json.dumps(said).encode()
    error = api.refused((given,), Refusal(status=503, headers={}, body=body))
    code = CODES.get((error.provider.code or "").lower(), Code.PROVIDER_UNAVAILABLE)
    fault = ProviderFault(name=api.name, code=error.provider.code, message=error.provider.message)
    return ProviderError(code, error.message.replace("answered 503", "sent an error", 1), provider=fault)


def no_message(api: RestApi) -> ProviderError:
    return ProviderError(
        Code.PROVIDER_UNAVAILABLE,
        f"{api.name} sent a message that is no JSON object with a type",
        retryable=False,
        provider=ProviderFault(name=api.name),
    )


def _json(message: Mapping[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))
