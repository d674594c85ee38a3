"""eSpeak NG: the built-in voice. No key, no network, 138 voices, word times; needs the extra `speech-relay[espeak]`.

Plain text, in which words may have a pronunciation in IPA. Facts about the library were measured with espeak-ng 1.52.0
as espeakng-loader 0.2.4 ships it. This file does not know how a worker talks to the library.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.core.text.spoken import Phonemes
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

PROVIDER = "espeak"
WORKER_MODULE = "relay.providers.espeak.worker"
# American English: the variant of English that most text for voice agents is written in.
DEFAULT_VOICE = "en-us"
# About 11 s of English at the default rate: short enough for requests to take turns at a worker (10 ms of its time) and
# for a reply to be held while its listener stalls (0.5 MB), long enough for all but the longest sentences.
MAX_SEGMENT_CHARS = 200

# Option -> lowest, default, highest.
OPTIONS: Mapping[str, tuple[int, int, int]] = {
    "rate": (80, 175, 450),  # words a minute, as the library takes them
    "pitch": (0, 50, 99),
    "range": (0, 50, 100),  # how far the pitch moves: 0 is monotone
    "volume": (0, 100, 200),
    # Pause between words, in 10 ms at the default rate. The library sets no limit; half a second keeps any sentence
    # within what is held of a reply.
    "word_gap": (0, 0, 50),
}

# Every language tag of the voices that can speak; each is also the name of the voice that speaks it best.
LANGUAGES = tuple(
    """
    af am an ar as az ba be bg bn bpy bs ca ca-ba ca-nw ca-va chr chr-us-qaaa-x-west cmn cmn-latn-pinyin cs cv cy da de
    el en en-029 en-gb en-gb-scotland en-gb-x-gbclan en-gb-x-gbcwmd en-gb-x-rp en-shaw en-us en-us-nyc eo es es-419
    es-mx et eu fa fa-latn fi fr fr-be fr-ch fr-fr ga gd gn grc gu hak haw hbs he hi hr ht hu hy hy-arevela
    hy-arevmda hyw ia id io is it ja jbo ka kk kl kn ko kok ku ky la lb lfn lt ltg lv mi mk ml mr ms mt mto my nb
    nci ne nl no nog om or pa pap piqd pl pt pt-br pt-pt py qdb qu quc qya ro ru ru-cl ru-lv sd shn si sjn sk sl smj sq
    sr sv sw ta te th ti tk tn tr tt ug uk ur uz vi vi-vn-x-central vi-vn-x-south yue zh zh-cmn zh-yue
    """.split()  # noqa: SIM905 - a table for people
)
# Tags that mean one of these languages under another name, or another one than their first subtag says.
_ALIASES = {"in": "id", "iw": "he", "nn": "nb", "sh": "hbs", "zh-hk": "yue", "zh-mo": "yue"}

# The library's own sample rate, in Hz. A worker reports what it really is, and that counts.
_USUAL_RATE_HZ = 22050
_LONGEST_VOICE_CHARS = 80
# After these the library is asked for the pause that follows them, so that segments join in the rhythm of the whole
# text; a segment that was cut elsewhere is joined without one.
_CLAUSE_ENDS = tuple(".,;:!?…。、，；：！？।॥؟؛،")
_CLOSERS = " \t\r\n\"')]}»”’」』）"


class Espeak:
    """A `base.Provider`. Raises ClientError when the operator's settings are not valid."""

    capabilities = Capabilities(
        formats=(Container.RAW,),
        languages=LANGUAGES,
        word_times=True,
        phonemes=True,
        max_segment_chars=MAX_SEGMENT_CHARS,
        needs_key=False,
        needs_packages=(Package(module="espeakng_loader", extra="espeak"),),
        options=tuple(OPTIONS),
    )

    def __init__(self, settings: ProviderSettings) -> None:
        self.name = settings.name or PROVIDER
        _no_such(self.name, "model", settings.model)
        self._options = {name: default for name, (_, default, _) in OPTIONS.items()} | _checked(settings.options)
        self._voice = _voice_for(self.name, settings.voice, settings.language) or DEFAULT_VOICE

    def resolve(self, wanted: SpeechRequest) -> Speech:
        """See `base.Provider.resolve`. Whether the library has the voice is known when a worker looks for it."""
        _no_such(self.name, "model", wanted.model)
        _no_such(self.name, "instructions", wanted.instructions)
        return Speech(
            voice=_voice_for(self.name, wanted.voice, wanted.language) or self._voice,
            settings=self._options | _checked(wanted.options),
        )

    def request(self, speech: Speech, text: str) -> LocalRequest:
        return self.pronounce(speech, text, ())

    def pronounce(self, speech: Speech, text: str, phonemes: Sequence[Phonemes]) -> LocalRequest:
        """See `base.PronouncingProvider.pronounce`. The worker uses at most `phonemes.MAX_IPA_CHARS` of a request."""
        return self._for_worker(
            {
                "do": "speak",
                "text": text,
                "voice": speech.voice,
                "options": speech.settings,
                "end_pause": text.rstrip(_CLOSERS).endswith(_CLAUSE_ENDS),
                "phonemes": [(known.start, known.stop, known.ipa) for known in phonemes],
            }
        )

    def voices(self) -> VoiceQuery:
        return VoiceQuery(request=self._for_worker({"do": "voices"}), parse=_parse_voices)

    def warm(self, _wanted: SpeechRequest) -> list[Ahead]:
        return [Worker(module=WORKER_MODULE)]

    def check(self) -> VoiceQuery:
        """Answered by a worker, which has loaded the library."""
        return self.voices()

    def is_named(self, voice: str, listed: Voice) -> bool:
        """By id, by the last part of it, or by language; what follows a plus sign varies a voice."""
        name = voice.partition("+")[0].lower()
        tags = (tag.lower() for tag in listed.languages)
        return name in (listed.id.lower(), listed.id.lower().rpartition("/")[2], *tags)

    def _for_worker(self, job: Mapping[str, Any]) -> LocalRequest:
        pcm = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=_USUAL_RATE_HZ)
        source = SourceFormat(container=Container.RAW, pcm=pcm)
        return LocalRequest(provider=self.name, module=WORKER_MODULE, job=job, source=source)


def _parse_voices(body: bytes) -> tuple[list[Voice], VoiceQuery | None]:
    voices = [
        Voice(
            id=voice["id"],
            name=voice["name"],
            languages=tuple(tag for _, tag in voice["languages"]),
            gender=voice["gender"],
            description="formant synthesis: sounds like a robot",
        )
        for voice in json.loads(body)
    ]
    return voices, None


def _voice_for(name: str, voice: str | None, language: str | None) -> str | None:
    """The voice that was named; else the one that speaks the language; None if neither was given."""
    if voice is not None:
        return checks.text("voice", voice, _LONGEST_VOICE_CHARS)
    if language is None:
        return None
    tag = language.replace("_", "-").lower()
    # RFC 4647, 3.4 (lookup): the tag is shortened from its end until there is a match.
    while tag and tag not in LANGUAGES and tag not in _ALIASES:
        tag = tag.rpartition("-")[0]
    if not tag:
        raise checks.invalid(
            f"language is {checks.shown(language)}, which {name} does not speak; it speaks {', '.join(LANGUAGES)}"
        )
    return _ALIASES.get(tag, tag)


def _checked(options: Mapping[str, Any]) -> dict[str, int]:
    checks.known("options", options, tuple(OPTIONS))
    for name, value in options.items():
        low, default, high = OPTIONS[name]
        # A bool is an int to Python, not to the person who wrote it.
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise checks.invalid(
                f"options.{name} is {checks.shown(value)}; it must be a whole number from {low} to {high}"
                f" (default {default})"
            )
    return dict(options)


def _no_such(name: str, field: str, value: str | None) -> None:
    if value is not None:
        raise checks.invalid(f"{field} is given, but {name} has no {field}; leave it out")
