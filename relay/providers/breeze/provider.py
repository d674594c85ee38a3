"""Breeze Blue: five ways to the same voices, of which `options.transport` chooses, for the relay or for a turn.

========== =========================================================================================================
stream     `POST .../stream`: audio as it is made, a request a sentence. The default: no session is held open.
realtime   a WebSocket that takes text as it is typed; a session, and its place in the plan, for as long as it lives.
timestamps `POST .../stream/with-timestamps`: as `stream`, with the times of the words.
sync       `POST ...`: the whole clip at once.
job        `POST ...?delivery=async`: a job that is asked about; for text nobody listens to yet.
========== =========================================================================================================

Facts are from the vendor's API pages and its Python SDK 0.21.1 (2026-11), named where they matter. The API has two
vintages in use, which differ in their default format, so the format is always sent.
"""

from collections.abc import Callable

from relay.providers.base import checks
from relay.providers.base.ahead import ahead
from relay.providers.base.dialogue import DialogueRequest
from relay.providers.base.http import HttpRequest
from relay.providers.base.poll import PollRequest
from relay.providers.base.provider import (
    Ahead,
    Capabilities,
    LimitQuery,
    ProviderSettings,
    Query,
    Speech,
    SpeechRequest,
    VoiceQuery,
)
from relay.providers.breeze import account, jobs, realtime
from relay.providers.breeze import settings as own_settings
from relay.providers.breeze.account import Model
from relay.providers.breeze.api import BASE_URL, FORMATS, PROVIDER, Api, as_json
from relay.providers.breeze.settings import MAX_INSTRUCTIONS_CHARS, MAX_MODEL_CHARS, SpeechSettings
from relay.providers.breeze.timestamps import TimedLines

# 1,000 characters are taken, 1,001 give 422 (probed by a third party, 2026-09-13); the vendor states no limit.
MAX_TEXT_CHARS = 1000
# A whole clip of so many characters is a minute of speech; the vendor's own client waits 60 s for it.
WHOLE_CLIP_TIMEOUT_S = 60.0


class Breeze:
    """The speech of Breeze Blue."""

    capabilities = Capabilities(
        formats=tuple(FORMATS.values()),
        models=("breeze-tts-2",),
        word_times=True,
        streaming_text=True,
        max_segment_chars=MAX_TEXT_CHARS,
        options=own_settings.OPTIONS,
    )

    def __init__(self, settings: ProviderSettings) -> None:
        """Raises ClientError for settings that no request could be made with."""
        self.name = settings.name or PROVIDER
        self._api = Api(
            base_url=checks.base_url(f"{self.name}.base_url", settings.base_url or BASE_URL),
            key=checks.api_key(f"{self.name}.api_key", settings.api_key),
            name=self.name,
        )
        self._settings = settings
        self._options = own_settings.checked(f"{self.name}.options", settings.options)
        own_settings.merged(self._options, {})

    def resolve(self, wanted: SpeechRequest) -> Speech:
        settings = self._settings
        if self._api.key is None:
            raise checks.no_key(self.name, PROVIDER)
        voice = wanted.voice or settings.voice
        if voice is None:
            raise checks.no_voice(self.name, "a voice_id, like voc_xeh3w54cqvnp")
        model, language = wanted.model or settings.model, wanted.language or settings.language
        if wanted.instructions:
            checks.text("instructions", wanted.instructions, MAX_INSTRUCTIONS_CHARS)
        own = SpeechSettings(
            **own_settings.merged(self._options, own_settings.checked("options", wanted.options)),
            language_code=own_settings.language(language) if language else None,
            instructions=wanted.instructions or None,
        )
        return Speech(
            voice=checks.path_segment("voice", voice),
            model=checks.text("model", model, MAX_MODEL_CHARS) if model else None,
            streaming_text=own.transport == "realtime",
            settings=own,
        )

    def request(self, speech: Speech, text: str) -> HttpRequest | PollRequest:
        """For a turn over the socket too: the same speech, by `stream`."""
        assert 1 <= len(text) <= MAX_TEXT_CHARS, "the chunker keeps to max_segment_chars"
        settings: SpeechSettings = speech.settings
        match settings.transport:
            case "timestamps":
                return self._timed(speech, text)
            case "sync":
                return self._spoken(speech, text, "", first_byte_timeout_s=WHOLE_CLIP_TIMEOUT_S)
            case "job":
                make = self._spoken(speech, text, "", delivery="async")
                return jobs.poll(self._api, make, FORMATS[settings.output_format], text, settings.instructions)
        return self._spoken(speech, text, "/stream")

    def converse(self, speech: Speech) -> DialogueRequest:
        assert speech.streaming_text, "only the socket takes text as it is typed"
        return realtime.request(self._api, speech)

    def voices(self) -> VoiceQuery:
        return account.voices(self._api)

    def warm(self, wanted: SpeechRequest) -> list[Ahead]:
        return ahead(self, wanted, self._api.base_url)

    def check(self) -> VoiceQuery:
        """The list wants the key."""
        return self.voices()

    def models(self) -> Query[list[Model]]:
        return account.models(self._api)

    def limits(self) -> LimitQuery | None:
        """How many generations the plan lets run at a time."""
        return account.limits(self._api) if self._api.key else None

    def balance(self) -> Query[float]:
        return account.balance(self._api)

    def history_audio(self, history_item_id: str) -> HttpRequest:
        """The audio of the id that a turn's `provider_ids` names."""
        return account.history_audio(self._api, checks.path_segment("history_item_id", history_item_id))

    def _timed(self, speech: Speech, text: str) -> HttpRequest:
        instructions = speech.settings.instructions
        return self._spoken(
            speech,
            text,
            "/stream/with-timestamps",
            unwrap=lambda: TimedLines(self._api, lambda event: self._api.failed("said", event, text, instructions)),
            # The one mode there is, which the vendor's SDK always sends.
            timestamp_mode="chunk",
        )

    def _spoken(
        self,
        speech: Speech,
        text: str,
        route: str,
        *,
        delivery: str | None = None,
        unwrap: Callable[[], TimedLines] | None = None,
        first_byte_timeout_s: float | None = None,
        timestamp_mode: str | None = None,
    ) -> HttpRequest:
        settings: SpeechSettings = speech.settings
        query = {"output_format": settings.output_format, "enable_logging": settings.logging, "delivery": delivery}
        body = {"text": text, **settings.described(speech.model), "timestamp_mode": timestamp_mode}
        return HttpRequest(
            provider=self.name,
            method="POST",
            url=self._api.speech_url(speech.voice, route, **query),
            headers={"content-type": "application/json"},
            secret_headers=self._api.secret_headers(),
            body=as_json(body).encode("ascii"),
            accept=lambda headers: self._api.facts(headers, FORMATS[settings.output_format]),
            refuse=lambda refusal: self._api.refused(refusal, text, settings.instructions, speaking=True),
            unwrap=unwrap,
            first_byte_timeout_s=first_byte_timeout_s,
        )
