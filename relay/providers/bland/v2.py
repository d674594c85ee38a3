"""Bland's second API: `POST /v2/tts`, headerless audio as it is made, at any rate that a client may play.

Facts are from the vendor's pages and its plugins for LiveKit (1.8.9) and Pipecat (2026-11). Voices go by UUID only.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.providers.base import checks
from relay.providers.base.http import HttpRequest, ReplyFacts
from relay.providers.base.rates import best_rate_hz
from relay.providers.bland import errors, reply
from relay.providers.bland.account import Account

MAX_TEXT_CHARS = 5000  # the vendor's page, 2026-11

OPTIONS = ("audio", "controls", "auto_formatting")
RATES_HZ = (8000, 16000, 24000, 44100, 48000)
ENCODINGS = {"pcm_s16le": Encoding.PCM_S16LE, "mulaw": Encoding.MULAW}
MULAW_RATE_HZ = 8000
_CONTAINERS = {"raw": Container.RAW, "wav": Container.WAV}
_AUDIO = ("encoding", "sample_rate", "container")
_CONTROLS = ("expressiveness", "stability")  # 0 to 1 each

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class V2Settings:
    """What a request, or a session on the WebSocket, is made of, but for the voice and the text."""

    form: AudioFormat
    container: Container = Container.RAW
    controls: Mapping[str, float]
    auto_formatting: bool | None = None

    def described(self, voice: str) -> dict[str, Any]:
        """The fields that a request and a session have in common, as the API spells them."""
        audio: dict[str, Any] = {"encoding": self.form.encoding.value, "sample_rate": self.form.sample_rate_hz}
        if self.container is not Container.RAW:
            audio["container"] = self.container.value
        fields: dict[str, Any] = {"voice": voice, "audio": audio}
        if self.controls:
            fields["controls"] = dict(self.controls)
        if self.auto_formatting is not None:
            fields["auto_formatting"] = self.auto_formatting
        return fields


def checked_options(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, checked one by one; null is as good as absent."""
    options: dict[str, Any] = {}
    if (value := given.get("audio")) is not None:
        options["audio"] = _audio(f"{name}.audio", value)
    if (value := given.get("controls")) is not None:
        controls = checks.mapping(f"{name}.controls", value)
        checks.known(f"{name}.controls", controls, _CONTROLS)
        options["controls"] = {
            field: checks.number(f"{name}.controls.{field}", level, 0.0, 1.0)
            for field, level in controls.items()
            if level is not None
        }
    if (value := given.get("auto_formatting")) is not None:
        options["auto_formatting"] = checks.boolean(f"{name}.auto_formatting", value)
    return options


def _audio(name: str, given: object) -> dict[str, Any]:
    fields = checks.mapping(name, given)
    checks.known(name, fields, _AUDIO)
    audio: dict[str, Any] = {}
    if (value := fields.get("encoding")) is not None:
        audio["encoding"] = checks.one_of(f"{name}.encoding", value, ENCODINGS)
    if (value := fields.get("sample_rate")) is not None:
        if value not in RATES_HZ:
            rates = ", ".join(str(rate_hz) for rate_hz in RATES_HZ)
            raise checks.invalid(f"{name}.sample_rate is {checks.shown(value)}; it must be one of {rates}")
        audio["sample_rate"] = int(value)
    if (value := fields.get("container")) is not None:
        audio["container"] = checks.one_of(f"{name}.container", value, _CONTAINERS)
    return audio


def merged(defaults: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The client's options over the operator's, those of audio and controls field by field."""
    groups = {name: {**defaults.get(name, {}), **wanted.get(name, {})} for name in ("audio", "controls")}
    return {**defaults, **wanted, **groups}


def checked_voice(instance: str, name: str, voice: str) -> str:
    if not _UUID.fullmatch(voice):
        raise checks.invalid(
            f"{name} is {checks.shown(voice)}; v2 of Bland takes the voice's UUID, not its name: `relay voices "
            f"--provider {instance}` lists both, and options.api v1 takes either"
        )
    return voice


def settings(options: Mapping[str, Any], wanted_rate_hz: int | None) -> V2Settings:
    """Fills in the defaults. Raises ClientError for choices that do not go together."""
    audio = options.get("audio", {})
    encoding = ENCODINGS[audio.get("encoding", "pcm_s16le")]
    rate_hz = audio.get("sample_rate")
    if encoding is Encoding.MULAW:
        if rate_hz not in (None, MULAW_RATE_HZ):
            raise checks.invalid(f"options.audio.sample_rate is {rate_hz}; for mulaw it must be {MULAW_RATE_HZ}")
        rate_hz = MULAW_RATE_HZ
    return V2Settings(
        form=AudioFormat(encoding=encoding, sample_rate_hz=rate_hz or best_rate_hz(RATES_HZ, wanted_rate_hz)),
        container=_CONTAINERS[audio.get("container", "raw")],
        controls=options.get("controls", {}),
        auto_formatting=options.get("auto_formatting"),
    )


def request(account: Account, voice: str, settings: V2Settings, text: str) -> HttpRequest:
    source = SourceFormat(container=settings.container, pcm=settings.form)
    return HttpRequest(
        provider=account.name,
        method="POST",
        url=f"{account.base_url}/v2/tts",
        headers={"content-type": "application/json"},
        secret_headers=account.bearer(),
        # ASCII: a lone surrogate, which JSON can carry to us and UTF-8 cannot carry on, is the provider's to judge.
        body=json.dumps({"text": text, **settings.described(voice)}, separators=(",", ":")).encode("ascii"),
        accept=lambda headers: ReplyFacts(source=source, ids=reply.ids(headers)),
        refuse=lambda refusal: errors.refused(account.name, refusal, speaking=True, secrets=(account.api_key, text)),
    )
