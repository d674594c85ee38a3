"""ElevenLabs' WebSockets: text as it is written, audio in base64 with the times of its characters.

`multi-stream-input` holds contexts, a turn each, at most five at a time: a turn is over when its context is final, and
only then the next one begins, so that one socket never holds more than two. Closing a context ends it; what was
generated before still comes, and is dropped by its name. `stream-input` is one turn: an empty text ends it and the
socket (SDK 2.78.0, and the plugins for LiveKit 1.8.9 and Pipecat 1.14).
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from relay.core.formats import SourceFormat
from relay.errors import ProviderError
from relay.providers.base import faults
from relay.providers.base.dialogue import Dialogue, DialogueRequest, Heard, Message, SocketAddress, TurnOver
from relay.providers.elevenlabs.account import Account, parsed, tells_error
from relay.providers.elevenlabs.alignment import WordJoiner
from relay.providers.elevenlabs.timed import decoded

# The longest that may be asked for (`inactivity_timeout`); without it 20 s.
IDLE_CLOSE_S = 180


def request(
    api: Account,
    path: str,
    query: Mapping[str, str],
    source: SourceFormat,
    opening: Mapping[str, Any],
    dialogue: Callable[[Account, float, Mapping[str, Any]], Dialogue],
) -> DialogueRequest:
    """`opening` are the settings that go with a turn's first text."""
    assert source.pcm is not None, "times on a socket are counted by its audio, which has no header"
    pcm = source.pcm
    url = api.socket_url(path, query)
    bytes_per_s = pcm.sample_rate_hz * pcm.block_align
    return DialogueRequest(
        provider=api.name,
        key=f"{url} {json.dumps(opening, sort_keys=True)}",
        mint=None,
        connect=lambda _minted: SocketAddress(url=url, secret_headers=api.credentials()),
        dialogue=partial(dialogue, api, bytes_per_s, opening),
        refuse=partial(api.refused, ()),
        source=source,
        idle_close_s=float(IDLE_CLOSE_S),
        greeted=False,
        # Only what is being generated counts against the plan.
        idle_is_free=True,
    )


class _Turn:
    """What both sockets know of a turn."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ended = self.cancelled = False
        # Its text, kept so that an error that quotes it is not passed on; a turn's length is bounded already.
        self.given: list[str] = []
        self.words = WordJoiner()
        self.audio_bytes = 0


class MultiDialogue:
    """One socket, one turn after another, a context each."""

    def __init__(self, api: Account, bytes_per_s: float, opening: Mapping[str, Any]) -> None:
        self._api = api
        self._bytes_per_s = bytes_per_s
        self._opening = opening
        self._turn: _Turn | None = None

    # What we say.

    def greet(self) -> list[Message]:
        return []

    def begin(self, turn_id: str) -> list[Message]:
        """A turn begins, for the service, with its first text."""
        self._turn = _Turn(turn_id)
        return []

    def give(self, text: str) -> list[Message]:
        turn = self._current()
        assert not turn.ended, "no text follows the end of the text"
        if not text:
            return []
        # Settings go with a context's first message only: the service refuses them later.
        opened = [] if turn.given else [self._say(text=" ", **self._opening)]
        turn.given.append(text)
        return [*opened, self._say(text=text)]

    def flush(self) -> list[Message]:
        return [self._say(flush=True)] if self._current().given else []

    def end_text(self) -> list[Message]:
        """A flush and then the end: the final message comes once, behind all audio."""
        turn = self._current()
        turn.ended = True
        return [self._say(flush=True), self._say(close_context=True)] if turn.given else []

    def cancel(self) -> list[Message]:
        """From here on no audio of the turn is heard, whatever still comes."""
        turn = self._current()
        turn.cancelled = True
        return [self._say(close_context=True)] if turn.given else []

    def keep_alive(self) -> list[Message]:
        """Each context has a clock of its own; without one there is nothing to keep: a message would open one."""
        turn = self._turn
        return [self._say(text="")] if turn and turn.given and not turn.ended and not turn.cancelled else []

    def _current(self) -> _Turn:
        assert self._turn is not None, "a turn has begun"
        return self._turn

    def _say(self, **message: Any) -> str:
        return _json({**message, "context_id": self._current().name})

    # What the service says.

    def receive(self, message: str | bytes) -> list[Heard]:
        said, turn = parsed(message), self._turn
        if not said:
            raise no_message(self._api)
        name = said.get("contextId", said.get("context_id"))
        if tells_error(said):
            if name is not None and (turn is None or name != turn.name):
                return []
            raise _told(self._api, said, turn)
        if turn is None or name != turn.name:
            return []
        heard = _heard(self._api, said, turn, self._bytes_per_s)
        if _is_final(said):
            self._turn = None
            heard.append(TurnOver())
        return heard


class SingleDialogue:
    """One socket, one turn."""

    def __init__(self, api: Account, bytes_per_s: float, opening: Mapping[str, Any]) -> None:
        self._api = api
        self._bytes_per_s = bytes_per_s
        self._opening = opening
        self._turn: _Turn | None = None

    def greet(self) -> list[Message]:
        return []

    def begin(self, turn_id: str) -> list[Message]:
        self._turn = _Turn(turn_id)
        return []

    def give(self, text: str) -> list[Message]:
        turn = self._current()
        assert not turn.ended, "no text follows the end of the text"
        if not text:
            return []
        opened = [] if turn.given else [_json({"text": " ", **self._opening})]
        turn.given.append(text)
        return [*opened, _json({"text": text})]

    def flush(self) -> list[Message]:
        return [_json({"text": " ", "flush": True})] if self._current().given else []

    def end_text(self) -> list[Message]:
        """The empty text: what is held is spoken, and the socket is closed."""
        turn = self._current()
        turn.ended = True
        return [_json({"text": ""})] if turn.given else []

    def cancel(self) -> list[Message]:
        """There is no such message: the socket is closed."""
        self._current().cancelled = True
        return []

    def keep_alive(self) -> list[Message]:
        """A space; an empty text would end the turn."""
        turn = self._turn
        return [_json({"text": " "})] if turn and turn.given and not turn.ended else []

    def _current(self) -> _Turn:
        assert self._turn is not None, "a turn has begun"
        return self._turn

    def receive(self, message: str | bytes) -> list[Heard]:
        said, turn = parsed(message), self._turn
        if not said:
            raise no_message(self._api)
        if tells_error(said):
            raise _told(self._api, said, turn)
        if turn is None:
            return []
        heard = _heard(self._api, said, turn, self._bytes_per_s)
        if _is_final(said):
            self._turn = None
            heard.append(TurnOver(reusable=False))
        return heard


def _heard(api: Account, said: Mapping[str, Any], turn: _Turn, bytes_per_s: float) -> list[Heard]:
    """Words, then audio: times are from the start of the chunk, the chunk begins where the audio before it ends."""
    if turn.cancelled:
        return []
    encoded = said.get("audio")
    audio = decoded(api.name, encoded) if isinstance(encoded, str) else b""
    offset_s = turn.audio_bytes / bytes_per_s
    turn.audio_bytes += len(audio)
    heard: list[Heard] = [*turn.words.feed(said.get("alignment"), offset_s)]
    if audio:
        heard.append(audio)
    return [*heard, *turn.words.flush()] if _is_final(said) else heard


def _is_final(said: Mapping[str, Any]) -> bool:
    return said.get("isFinal") is True or said.get("is_final") is True


def _told(api: Account, said: Mapping[str, Any], turn: _Turn | None) -> ProviderError:
    return api.told_error(json.dumps(said).encode(), "".join(turn.given) if turn else "")


def no_message(api: Account) -> ProviderError:
    return faults.no_answer(api.name, "a message that is no JSON object")


def _json(message: Mapping[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))
