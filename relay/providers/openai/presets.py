"""The services that speak this API, and the facts in which they differ: a row each.

Facts are from the openai SDK 3.57.0 and from what the servers publish (2026-11), named where they matter. What a server
does not state is not in its row: its reply says it, or the operator.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.errors import Code
from relay.providers.base import checks
from relay.providers.base.checks import Check

# `response_format` -> what its bytes are. Opus comes in Ogg.
CONTAINERS = {
    "pcm": Container.RAW,
    "wav": Container.WAV,
    "mp3": Container.MP3,
    "opus": Container.OGG,
    "aac": Container.AAC,
    "flac": Container.FLAC,
    "ogg": Container.OGG,
    "mulaw": Container.RAW,
    "alaw": Container.RAW,
}
ENCODINGS = {"mulaw": Encoding.MULAW, "alaw": Encoding.ALAW}
RATE_HZ = 24000
PCM = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=RATE_HZ)
# What the SDK 3.57.0 lists.
VOICES = (
    *("alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse", "marin", "cedar"),
)
# Of `input`: the SDK's docstring.
MAX_CHARS = 4096
_MAX_STRING_CHARS = 2000

_string: Check = partial(checks.text, longest=_MAX_STRING_CHARS)
_amount: Check = partial(checks.number, low=0.0, high=10.0)


def _speed(low: float = 0.25, high: float = 4.0) -> Mapping[str, Check]:
    return {"speed": partial(checks.number, low=low, high=high)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """`formats`: the first is the one that gives the first sample soonest, and the default. `pcm`: what `pcm` is; None
    where that differs by model, and only a header or the operator can say it."""

    formats: tuple[str, ...]
    base_url: str | None = None
    path: str = "/audio/speech"
    needs_key: bool = True
    pcm: AudioFormat | None = PCM
    model: str | None = None
    voice: str | None = None
    # Where voices are listed, or their names where no list can be asked for.
    voices_path: str | None = None
    voices: tuple[str, ...] = ()
    # Ids that begin so are sent as an object, {"id": ...}.
    object_prefix: str | None = None
    max_chars: int = MAX_CHARS
    # Rates that a reply may be asked for; none where it has its own.
    rates_hz: tuple[int, ...] = ()
    # The fields of the request, where they are named otherwise.
    text_field: str = "input"
    voice_field: str = "voice"
    language_field: str | None = None
    takes_instructions: bool = False
    # {"output_format": {"codec", "sample_rate"}} instead of `response_format`.
    nests_format: bool = False
    # Sent with every request; and with those for `streamed` formats at their natural speed, which alone are streamed.
    fixed: Mapping[str, Any] = field(default_factory=dict)
    streaming: Mapping[str, Any] = field(default_factory=dict)
    # Whether audio comes in server-sent events: never, where `stream_format` asks for them, or always.
    events: Literal["never", "asked", "always"] = "never"
    # The answer begins when the whole clip is made.
    whole: bool = False
    options: Mapping[str, Check] = field(default_factory=_speed)

    @property
    def checks(self) -> Mapping[str, Check]:
        """Every option that a request may have, and its check."""
        found: dict[str, Check] = {"response_format": partial(checks.one_of, valid=self.formats), **self.options}
        if self.rates_hz:
            found["sample_rate"] = partial(checks.whole, low=min(self.rates_hz), high=max(self.rates_hz))
        if self.events == "asked":
            found["stream_format"] = partial(checks.one_of, valid=("audio", "sse"))
        return found

    def source(self, form: str, rate_hz: int | None) -> SourceFormat:
        """What a reply in `form` is; `rate_hz` is the rate that was asked for."""
        pcm = self.pcm if form == "pcm" else None
        encoding = ENCODINGS.get(form, pcm.encoding if pcm else None)
        if encoding is None or CONTAINERS[form] is not Container.RAW:
            return SourceFormat(container=CONTAINERS[form])
        rate_hz = rate_hz or (pcm.sample_rate_hz if pcm else 8000)
        return SourceFormat(container=Container.RAW, pcm=AudioFormat(encoding=encoding, sample_rate_hz=rate_hz))


_SIX = ("pcm", "wav", "mp3", "opus", "aac", "flac")
_WAV_FIRST = ("wav", "pcm", "mp3", "opus", "aac", "flac")
_ANY_RATE_HZ = (8000, 16000, 22050, 24000, 44100, 48000)

PRESETS: Mapping[str, Preset] = {
    "openai": Preset(
        base_url="https://api.openai.com/v1",
        formats=_SIX,
        model="gpt-4o-mini-tts",
        voice="alloy",
        voices=VOICES,
        object_prefix="voice_",
        takes_instructions=True,
        events="asked",
    ),
    # Any other server, by its address: the rate of its `pcm` is not known, so a header has to say it.
    "compatible": Preset(formats=_WAV_FIRST, needs_key=False, pcm=None, takes_instructions=True, events="asked"),
    # Kokoro-FastAPI, its source of 2026-08. It streams unless asked not to.
    "kokoro": Preset(
        base_url="http://127.0.0.1:8880/v1",
        formats=_SIX,
        needs_key=False,
        model="kokoro",
        voice="af_bella",
        voices_path="/audio/voices",
        language_field="lang_code",
        options={**_speed(), "volume_multiplier": _amount, "normalization_options": checks.mapping},
    ),
    # Source of 2026-03. Without `sample_rate` its `pcm` has the model's own rate, which nothing says.
    "speaches": Preset(formats=_SIX, needs_key=False, rates_hz=_ANY_RATE_HZ),
    # Its documentation of 2026-11. Fish Speech speaks at 44,100 Hz, others at 24,000 or 16,000.
    "vllm-omni": Preset(
        base_url="http://127.0.0.1:8091/v1",
        formats=("wav", "pcm", "mp3", "opus", "flac"),
        needs_key=False,
        pcm=None,
        voices_path="/audio/voices",
        language_field="language",
        takes_instructions=True,
        streaming={"stream_format": "audio"},
        options={
            **_speed(),
            "task_type": partial(checks.one_of, valid=("CustomVoice", "VoiceDesign", "Base")),
            "max_new_tokens": partial(checks.whole, low=1, high=1_000_000),
            "initial_codec_chunk_frames": partial(checks.whole, low=1, high=1000),
            "ref_audio": partial(checks.text, longest=200_000),
            "ref_text": _string,
        },
    ),
    # SDK 1.7.0. It has no `pcm`. 200 characters are what integrations split at; the API states no limit.
    "groq": Preset(
        base_url="https://api.groq.com/openai/v1",
        formats=("wav", "mp3", "flac", "ogg"),
        model="canopylabs/orpheus-v1-english",
        voice="autumn",
        voices=("autumn", "diana", "hannah", "austin", "daniel", "troy"),
        max_chars=200,
        options={**_speed(), "sample_rate": partial(checks.whole, low=8000, high=48000)},
    ),
    # Over HTTP nothing but the path is stated; a WAV tells the rest.
    "together": Preset(base_url="https://api.together.ai/v1", formats=("wav", "mp3")),
    # Source of 2026-11: whole files, converted by ffmpeg.
    "localai": Preset(
        formats=("wav", "mp3", "opus", "aac", "flac"),
        needs_key=False,
        language_field="language",
        whole=True,
        options={"backend": _string},
    ),
    # chatterbox-tts-api, source of 2025-12: a WAV, whatever is asked for; no speed.
    "chatterbox": Preset(
        formats=("wav",),
        needs_key=False,
        max_chars=3000,
        whole=True,
        options={"exaggeration": _amount, "cfg_weight": _amount, "temperature": _amount},
    ),
    # Orpheus-FastAPI, source of 2025-07: a WAV, whatever is asked for, written to a file first.
    "orpheus": Preset(formats=("wav",), needs_key=False, whole=True, options={}),
    # The server of coqui-tts 0.28: its `pcm` is called audio/L16 and is little-endian, at the model's own rate.
    "coqui": Preset(
        base_url="http://127.0.0.1:5002/v1",
        formats=("wav", "mp3", "opus", "flac"),
        needs_key=False,
        whole=True,
    ),
    # SDK 3.7.0: float samples, in events only.
    "mistral": Preset(
        base_url="https://api.mistral.ai/v1",
        formats=("pcm", "wav", "mp3", "flac", "opus"),
        pcm=AudioFormat(encoding=Encoding.PCM_F32LE, sample_rate_hz=RATE_HZ),
        voice_field="voice_id",
        fixed={"stream": True},
        events="always",
        options={"expressiveness": partial(checks.number, low=1.0, high=100.0)},
    ),
    # As its plugins speak to it (2026-11): the listener's own rate, and no model.
    "xai": Preset(
        base_url="https://api.x.ai/v1",
        path="/tts",
        formats=("pcm", "wav", "mp3", "mulaw", "alaw"),
        text_field="text",
        voice="eve",
        voice_field="voice_id",
        language_field="language",
        max_chars=15_000,
        rates_hz=_ANY_RATE_HZ,
        nests_format=True,
        fixed={"language": "auto"},
        options={
            **_speed(0.5, 2.0),
            "optimize_streaming_latency": partial(checks.whole, low=0, high=4),
            "text_normalization": checks.boolean,
        },
    ),
}

# Words of people in a request, which no error quotes.
PRIVATE = ("instructions", "ref_text", "ref_audio")


def preset_at(base_url: str | None) -> str:
    """The preset of an address that none was named for."""
    if base_url is None:
        return "openai"
    return next((name for name, each in PRESETS.items() if each.base_url == base_url.rstrip("/")), "compatible")


# The names by which errors go, in lower case; what has none goes by its status. The money is as the key: asking again
# does not help, asking another provider does.
CODES: Mapping[str, Code] = {
    "invalid_api_key": Code.PROVIDER_AUTH,
    "invalid_organization": Code.PROVIDER_AUTH,
    "insufficient_quota": Code.PROVIDER_AUTH,
    "billing_hard_limit_reached": Code.PROVIDER_AUTH,
    "unsupported_country_region_territory": Code.PROVIDER_AUTH,
    "permission_denied": Code.PROVIDER_AUTH,
    "rate_limit_exceeded": Code.PROVIDER_RATE_LIMITED,
    "model_not_found": Code.PROVIDER_REJECTED,
    "invalid_model": Code.PROVIDER_REJECTED,
    "voice_not_found": Code.VOICE_NOT_FOUND,
    "string_above_max_length": Code.TEXT_TOO_LONG,
    "string_too_long": Code.TEXT_TOO_LONG,
    "context_length_exceeded": Code.TEXT_TOO_LONG,
    "server_error": Code.PROVIDER_UNAVAILABLE,
    "processing_error": Code.PROVIDER_UNAVAILABLE,
    "engine_overloaded": Code.PROVIDER_UNAVAILABLE,
}
