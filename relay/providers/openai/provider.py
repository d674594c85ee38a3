"""`POST /audio/speech` as OpenAI has it, and as a dozen servers and clouds copy it: one segment of text a request.

`preset` says which of them it is; what differs is in `presets`. The default format is the one whose first sample is
heard soonest: headerless PCM where its rate is stated, else a WAV, whose header says it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from relay.core.formats import SourceFormat
from relay.providers.base import checks, listings
from relay.providers.base.ahead import ahead
from relay.providers.base.http import HttpRequest
from relay.providers.base.models import check_models
from relay.providers.base.provider import (
    Ahead,
    Capabilities,
    Probe,
    ProviderSettings,
    Speech,
    SpeechRequest,
    Voice,
    VoiceQuery,
)
from relay.providers.base.rates import best_rate_hz
from relay.providers.base.rest import RestApi
from relay.providers.base.sse import AudioEvents, EventAudio
from relay.providers.openai.presets import CODES, CONTAINERS, PRESETS, PRIVATE, RATE_HZ, preset_at

PROVIDER = "openai"
# A server that does not stream makes a minute of speech in less, on a graphics card.
WHOLE_CLIP_TIMEOUT_S = 60.0
_EVENTS = AudioEvents(audio=("audio", "delta", "audio_data"), done=("speech.audio.done",))
_HINTS = dict.fromkeys((404, 405), "is base_url right? It ends before /audio/speech, mostly in /v1")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settings:
    """What a request is made of, but for the text."""

    body: Mapping[str, Any]
    source: SourceFormat
    in_events: bool


class OpenAI:
    """One server of this API."""

    def __init__(self, settings: ProviderSettings) -> None:
        """Raises ClientError for settings that no request could be made with."""
        self.name = name = settings.name or PROVIDER
        given = settings.preset or preset_at(settings.base_url)
        self._preset = preset = PRESETS[checks.one_of(f"{name}.preset", given, PRESETS)]
        self._settings = settings
        url = settings.base_url or preset.base_url
        self._api = RestApi(
            name=name,
            base_url=checks.base_url(f"{name}.base_url", url) if url else "",
            key=checks.api_key(f"{name}.api_key", settings.api_key),
            codes=CODES,
            hints=_HINTS,
        )
        self._options = checks.options(f"{name}.options", settings.options, preset.checks)
        self.capabilities = Capabilities(
            formats=tuple(dict.fromkeys(CONTAINERS[form] for form in preset.formats)),
            max_segment_chars=preset.max_chars,
            lists_every_voice=bool(preset.voices_path or preset.voices),
            needs_key=preset.needs_key,
            needs_base_url=preset.base_url is None,
            options=tuple(preset.checks),
            presets=tuple(PRESETS),
        )

    def resolve(self, wanted: SpeechRequest) -> Speech:
        """See `base.Provider.resolve`. A language is sent where the server has a field for it; else the text tells."""
        preset, settings = self._preset, self._settings
        if preset.needs_key and self._api.key is None:
            raise checks.no_key(self.name, PROVIDER, settings.preset)
        if wanted.instructions and not preset.takes_instructions:
            raise checks.invalid(f"instructions is given, but {self.name} has none; leave it out")
        voice = wanted.voice or settings.voice or preset.voice
        if voice is None:
            raise checks.no_voice(self.name, "a name that the server knows")
        voice = checks.text("voice", voice, 200)
        options = {**self._options, **checks.options("options", wanted.options, preset.checks)}
        form, rate_hz = options.pop("response_format", preset.formats[0]), options.get("sample_rate")
        if preset.rates_hz:
            rate_hz = options["sample_rate"] = rate_hz or best_rate_hz(
                preset.rates_hz, wanted.sample_rate_hz or RATE_HZ
            )
        is_object = preset.object_prefix is not None and voice.startswith(preset.object_prefix)
        body = {**preset.fixed, "model": wanted.model or settings.model or preset.model, **options}
        body |= {preset.voice_field: {"id": voice} if is_object else voice, "instructions": wanted.instructions}
        if preset.language_field and (language := wanted.language or settings.language):
            body[preset.language_field] = language
        if preset.nests_format:
            body["output_format"] = {"codec": form, "sample_rate": body.pop("sample_rate")}
        else:
            body["response_format"] = form
        if form in ("pcm", "wav") and options.get("speed", 1) == 1:
            body |= preset.streaming
        return Speech(
            voice=voice,
            model=body["model"],
            settings=_Settings(
                body={name: value for name, value in body.items() if value not in (None, "")},
                source=preset.source(form, rate_hz),
                in_events=preset.events == "always" or options.get("stream_format") == "sse",
            ),
        )

    def request(self, speech: Speech, text: str) -> HttpRequest:
        settings: _Settings = speech.settings
        assert 1 <= len(text) <= self._preset.max_chars, "the chunker keeps to max_segment_chars"
        return self._api.post(
            self._preset.path,
            {**settings.body, self._preset.text_field: text},
            settings.source,
            private=(text, *(settings.body[name] for name in PRIVATE if name in settings.body)),
            unwrap=partial(EventAudio, self.name, _EVENTS) if settings.in_events else None,
            first_byte_timeout_s=WHOLE_CLIP_TIMEOUT_S if self._preset.whole else None,
        )

    def voices(self) -> list[Voice] | VoiceQuery:
        """The server's list, or the names that its vendor publishes; empty where neither is known."""
        if self._preset.voices_path is None:
            return [Voice(id=name, name=name) for name in self._preset.voices]
        request = self._api.get(self._preset.voices_path)
        return VoiceQuery(request=request, parse=lambda body: (listings.voices_in(self.name, body), None))

    def is_named(self, voice: str, listed: Voice) -> bool:
        """Voices of one's own account are in no list; a mixture, `af_bella(2)+af_sky`, is of voices that are."""
        prefix = self._preset.object_prefix
        of_ones_own = prefix is not None and voice.startswith(prefix)
        return of_ones_own or listed.id in (voice, voice.partition("+")[0].partition("(")[0])

    def warm(self, wanted: SpeechRequest) -> list[Ahead]:
        return ahead(self, wanted, self._api.base_url or None)

    def check(self) -> VoiceQuery | Probe:
        """The list of voices where the server has one; else that of models, which wants the key where there is one."""
        listed = self.voices()
        if isinstance(listed, VoiceQuery):
            return listed
        model = self._settings.model or self._preset.model
        return check_models(self._api, model, listed, lists_models=self._preset.needs_key)
