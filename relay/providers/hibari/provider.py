"""Hibari: the built-in voice for English. No key, no network, word times; needs the extra `speech-relay[voice]`.

One American voice, which speaks like a person. Facts about the library were measured with hibari-tts 0.2.1; its four
other voices are downloaded when first used, so they are not offered here. This file does not know how a worker talks to
the library.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.core.text.spoken import Phonemes
from relay.errors import ClientError, Code
from relay.providers.base import checks
from relay.providers.base.provider import (
    Ahead,
    Capabilities,
    LocalRequest,
    Package,
    ProviderSettings,
    Speech,
    SpeechRequest,
    Voice,
    VoiceQuery,
    Worker,
)

PROVIDER = "hibari"
WORKER_MODULE = "relay.providers.hibari.worker"
VOICE = Voice(
    id="heart",
    name="Heart",
    languages=("en-US",),
    gender="female",
    description="neural: sounds like a person",
)
# A worker needs 100 ms for so much text (12 s of speech): short enough for requests to take turns at it, long enough
# for all but the longest sentences.
MAX_SEGMENT_CHARS = 200
# One process speaks a hundred times faster than real time, and takes 200 MB.
PROCESSES = 1
SAMPLE_RATE_HZ = 24000
SLOWEST, FASTEST = 0.5, 2.0
"""What `options.speed` may be; 1.0 is the voice's own pace."""


class Hibari:
    """A `base.Provider`. Raises ClientError when the operator's settings are not valid."""

    capabilities = Capabilities(
        formats=(Container.RAW,),
        languages=("en", "en-US"),
        word_times=True,
        phonemes=True,
        max_segment_chars=MAX_SEGMENT_CHARS,
        needs_key=False,
        needs_packages=(
            Package(module="hibari", extra="voice"),
            Package(module="onnxruntime", extra="voice"),
        ),
        options=("speed",),
    )

    def __init__(self, settings: ProviderSettings) -> None:
        self.name = settings.name or PROVIDER
        self._checked(settings.voice, settings.language, settings.model, None)
        self._options = {"speed": 1.0} | self._checked_options(settings.options)

    def resolve(self, wanted: SpeechRequest) -> Speech:
        """See `base.Provider.resolve`."""
        self._checked(wanted.voice, wanted.language, wanted.model, wanted.instructions)
        return Speech(voice=VOICE.id, settings=self._options | self._checked_options(wanted.options))

    def request(self, speech: Speech, text: str) -> LocalRequest:
        return self.pronounce(speech, text, ())

    def pronounce(self, speech: Speech, text: str, phonemes: Sequence[Phonemes]) -> LocalRequest:
        """See `base.PronouncingProvider.pronounce`. At most `pronunciation.MAX_IPA_CHARS` are used."""
        words = [(text[known.start : known.stop], known.ipa) for known in phonemes]
        return self._for_worker({"do": "speak", "text": text, "speed": speech.settings["speed"], "phonemes": words})

    def voices(self) -> list[Voice]:
        return [VOICE]

    def warm(self, _wanted: SpeechRequest) -> list[Ahead]:
        return [Worker(module=WORKER_MODULE, processes=PROCESSES)]

    def check(self) -> VoiceQuery:
        """Answered by a worker, which has loaded the voice."""
        return VoiceQuery(request=self._for_worker({"do": "check"}), parse=lambda _: ([VOICE], None))

    def is_named(self, voice: str, listed: Voice) -> bool:
        return voice.lower() == listed.id

    def _for_worker(self, job: Mapping[str, Any]) -> LocalRequest:
        pcm = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=SAMPLE_RATE_HZ)
        source = SourceFormat(container=Container.RAW, pcm=pcm)
        return LocalRequest(provider=self.name, module=WORKER_MODULE, processes=PROCESSES, job=job, source=source)

    def _checked(self, voice: str | None, language: str | None, model: str | None, instructions: str | None) -> None:
        for field, value in (("model", model), ("instructions", instructions)):
            if value is not None:
                raise checks.invalid(f"{field} is given, but {self.name} has no {field}; leave it out")
        if voice is not None and voice.lower() != VOICE.id:
            raise ClientError(
                Code.VOICE_NOT_FOUND, f"voice is {checks.shown(voice)}; {self.name} has one voice, {VOICE.id}"
            )
        if language is not None and language.replace("_", "-").partition("-")[0].lower() != "en":
            raise checks.invalid(f"language is {checks.shown(language)}; {self.name} speaks English only (en, en-US)")

    def _checked_options(self, options: Mapping[str, Any]) -> dict[str, float]:
        checks.known("options", options, self.capabilities.options)
        for name, value in options.items():
            # A bool is an int to Python, not to the person who wrote it.
            if isinstance(value, bool) or not isinstance(value, int | float) or not SLOWEST <= value <= FASTEST:
                raise checks.invalid(
                    f"options.{name} is {checks.shown(value)}; it must be a number from {SLOWEST} to {FASTEST}"
                    " (default 1.0)"
                )
        return {name: float(value) for name, value in options.items()}
