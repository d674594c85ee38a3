"""Whether a provider can be spoken with: what `relay check` asks of it. Nothing is spoken.

This file does not know which provider it asks.
"""

import asyncio
from dataclasses import dataclass
from time import monotonic

from relay.core.timings import Timings
from relay.drivers.dispatch import Drivers
from relay.engine.voices import VoiceNames, is_named, spoken_as
from relay.errors import Code, ProviderError, ProviderFault, RelayError
from relay.providers.base.dialogue import DialogueRequest
from relay.providers.base.provider import Origin, Probe, Provider, SpeechRequest, Voice, VoiceQuery

# More than this is a provider gone wrong, not a list of voices.
MAX_VOICE_PAGES = 50
MAX_VOICE_BYTES = 8 * 1024 * 1024
MAX_VOICES = 5000
# Up to so much JSON is read at once, which takes a millisecond.
INLINE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What asking an instance has shown: what is known of it, and what is wrong, each in a few words. `voices` is how
    many it lists, None where it lists none or did not answer."""

    name: str
    known: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    code: Code | None = None
    voices: int | None = None
    took_ms: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.wrong


async def reach(drivers: Drivers, provider: Provider, names: VoiceNames, *, has_default: bool) -> Reached:
    """Asks a provider what `Provider.check` says, and looks for the voices that are configured for it: its default, if
    it `has_default`, and those of `names`. Raises nothing of the provider's."""
    start_s = monotonic()
    known: list[str] = []
    listed: list[Voice] | None = None
    try:
        match check := provider.check():
            case VoiceQuery():
                listed = await every_voice(drivers, provider, check)
                known.append(f"{len(listed)} voice{'' if len(listed) == 1 else 's'}")
            case Probe():
                known.append(check.read(await drivers.http.ask(check.request, Timings())))
            case Origin():
                failed = await drivers.http.warm({provider.name: check.url})
                if error := failed.get(provider.name):
                    raise error
                known.append("it takes connections; whether it takes the key is not known")
            case DialogueRequest():
                await drivers.ws.reach(check)
                known.append("it takes a WebSocket with the key")
    except RelayError as error:
        return Reached(
            name=provider.name, wrong=(error.message,), code=error.code, took_ms=(monotonic() - start_s) * 1000
        )
    wrong, code = _wrong_voices(provider, names, listed, has_default=has_default)
    return Reached(
        name=provider.name,
        known=tuple(known),
        wrong=tuple(wrong),
        code=code,
        voices=None if listed is None else len(listed),
        took_ms=(monotonic() - start_s) * 1000,
    )


async def every_voice(drivers: Drivers, provider: Provider, query: VoiceQuery | None = None) -> list[Voice]:
    """The voices that a provider lists, page by page, from `query` on. Raises ProviderError."""
    answer = query or provider.voices()
    voices: list[Voice] = []
    for _ in range(MAX_VOICE_PAGES):
        if not isinstance(answer, VoiceQuery):
            return voices + answer
        page, following = await _parsed(answer, await _whole_reply(drivers, provider, answer))
        voices += page
        if following is None or len(voices) >= MAX_VOICES:
            return voices[:MAX_VOICES]
        answer = following
    return voices


async def _parsed(query: VoiceQuery, body: bytes) -> tuple[list[Voice], VoiceQuery | None]:
    """A long list is read in a thread, which lets the loop go on between its entries."""
    if len(body) < INLINE_BYTES:
        return query.parse(body)
    return await asyncio.to_thread(query.parse, body)


async def _whole_reply(drivers: Drivers, provider: Provider, query: VoiceQuery) -> bytes:
    body = bytearray()
    async with drivers.open(query.request, Timings()) as reply:
        async for piece in reply:
            body += piece if isinstance(piece, bytes) else b""
            if len(body) > MAX_VOICE_BYTES:
                raise ProviderError(
                    Code.PROVIDER_UNAVAILABLE,
                    f"{provider.name}'s list of voices is longer than {MAX_VOICE_BYTES} bytes",
                    provider=ProviderFault(name=provider.name),
                )
    return bytes(body)


def _wrong_voices(
    provider: Provider, names: VoiceNames, listed: list[Voice] | None, *, has_default: bool
) -> tuple[list[str], Code | None]:
    """What is wrong with the voices that are configured: the provider's default, and those of the names."""
    wanted = {f"voices.{name}": SpeechRequest(voice=name) for name, at in names.items() if provider.name in at}
    if not has_default and listed:
        # Every turn names its own voice: what is configured beside it is looked at with one that there is.
        wanted["its settings"] = SpeechRequest(voice=listed[0].id)
    elif has_default or _speaks_unasked(provider):
        wanted["its default voice"] = SpeechRequest()
    wrong: list[str] = []
    code: Code | None = None
    for what, each in wanted.items():
        try:
            voice = provider.resolve(spoken_as(names, provider.name, each)).voice
        except RelayError as error:
            wrong.append(f"{what}: {error.message}")
            code = code or error.code
            continue
        if (
            listed is not None
            and provider.capabilities.lists_every_voice
            and not any(is_named(provider, voice, each) for each in listed)
        ):
            wrong.append(f"{what} is {voice!r}, which is not among the voices that it lists")
            code = code or Code.VOICE_NOT_FOUND
    return wrong, code


def _speaks_unasked(provider: Provider) -> bool:
    """Whether it has a default voice of its own."""
    try:
        provider.resolve(SpeechRequest())
    except RelayError:
        return False
    return True
