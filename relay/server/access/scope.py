"""What one session, or one turn over HTTP, may do: everything, or what its token says."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain

from relay.core.effects import OpenTurn
from relay.core.events import SessionDefaults, TurnRequest
from relay.engine.turn import TurnSettings
from relay.errors import ClientError, Code


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScope:
    """None means no bound. `max_chars` is for all turns together; a `voice` is one provider's own, so it comes with
    its `provider`; `session_s` is how long a session may last."""

    max_chars: int | None = None
    provider: str | None = None
    voice: str | None = None
    session_s: float | None = None

    def defaults(self, general: SessionDefaults) -> SessionDefaults:
        """What a turn gets that asks for nothing: what it may have."""
        if self.provider is None:
            return general
        voice = self.voice if self.voice is not None or self.provider != general.provider else general.voice
        return replace(general, provider=self.provider, fallbacks=(), voice=voice)

    def settings(self, resolve: Callable[[OpenTurn], TurnSettings]) -> Callable[[OpenTurn], TurnSettings]:
        """`resolve` for turns that may do this much only: raises ClientError `forbidden` for what is more."""
        return resolve if self.provider is None else lambda opened: self._checked(opened, resolve)

    def _checked(self, opened: OpenTurn, resolve: Callable[[OpenTurn], TurnSettings]) -> TurnSettings:
        settings = resolve(replace(opened, request=self._narrowed(opened.request)))
        for candidate in settings.candidates:
            if candidate.provider.name != self.provider:
                raise ClientError(Code.FORBIDDEN, f"the token is for the provider {self.provider!r} only")
            # What was resolved counts: a language, say, may choose a voice too. A token may have a name of [voices].
            if self.voice is not None and self.voice not in (candidate.speech.voice, candidate.speech.voice_name):
                raise ClientError(Code.FORBIDDEN, f"the token is for the voice {self.voice!r} only")
        if self.voice is not None:
            # A provider's own fields may name voices beside the main one: the second speaker of a dialogue, say.
            request = opened.request
            for name, value in chain(request.options.items(), *(each.options.items() for each in request.providers)):
                if "voice" in name and isinstance(value, str) and value != self.voice:
                    raise ClientError(
                        Code.FORBIDDEN, f"the token is for the voice {self.voice!r} only; options.{name} is another"
                    )
        return settings

    def _narrowed(self, request: TurnRequest) -> TurnRequest:
        provider = request.provider if request.provider or request.providers else self.provider
        return replace(request, provider=provider, voice=self.voice if request.voice is None else request.voice)


EVERYTHING = TokenScope()
