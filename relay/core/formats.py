"""What audio is made of, and exact arithmetic on it.

Durations are integers of samples per channel; milliseconds appear only at the edges and are multiplied before they are
divided, so that 200 ms at 22,050 Hz is 4,410 samples and not 4,400.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from math import gcd
from typing import Literal

from relay.errors import ClientError, Code


class Encoding(StrEnum):
    """The name of the bytes. The first four are what a client may ask for; all are what a provider may send."""

    PCM_S16LE = "pcm_s16le"
    PCM_F32LE = "pcm_f32le"
    MULAW = "mulaw"
    ALAW = "alaw"
    PCM_S16BE = "pcm_s16be"
    PCM_U8 = "pcm_u8"
    PCM_S24LE = "pcm_s24le"
    PCM_S32LE = "pcm_s32le"
    PCM_S8 = "pcm_s8"
    PCM_S24BE = "pcm_s24be"
    PCM_S32BE = "pcm_s32be"
    PCM_F32BE = "pcm_f32be"
    PCM_F64LE = "pcm_f64le"
    PCM_F64BE = "pcm_f64be"

    @property
    def sample_width(self) -> int:
        """Bytes of one sample of one channel."""
        return _WIDTHS[self]

    @property
    def silence(self) -> bytes:
        """One silent sample: 0 for linear PCM; mulaw 0xFF and alaw 0xD5 are the smallest positive values of G.711."""
        return _SILENCES.get(self, bytes(self.sample_width))


_WIDTHS = {
    Encoding.PCM_S16LE: 2,
    Encoding.PCM_F32LE: 4,
    Encoding.MULAW: 1,
    Encoding.ALAW: 1,
    Encoding.PCM_S16BE: 2,
    Encoding.PCM_U8: 1,
    Encoding.PCM_S24LE: 3,
    Encoding.PCM_S32LE: 4,
    Encoding.PCM_S8: 1,
    Encoding.PCM_S24BE: 3,
    Encoding.PCM_S32BE: 4,
    Encoding.PCM_F32BE: 4,
    Encoding.PCM_F64LE: 8,
    Encoding.PCM_F64BE: 8,
}
_SILENCES = {Encoding.MULAW: b"\xff", Encoding.ALAW: b"\xd5", Encoding.PCM_U8: b"\x80"}

OUTPUT_ENCODINGS = (Encoding.PCM_S16LE, Encoding.PCM_F32LE, Encoding.MULAW, Encoding.ALAW)
OUTPUT_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
OUTPUT_CHANNELS = (1, 2)
FRAME_MS_MIN, FRAME_MS_MAX = 5, 1000
# Less than -60 dB leaves 6 bits of 16; more than 30 dB lifts the noise floor of a recording into speech.
GAIN_DB_MIN, GAIN_DB_MAX = -60.0, 30.0
# All of it may be held until the first sound comes: 188 KB of int16 at 48 kHz.
MAX_LEADING_SILENCE_MS_MAX = 2000
# A cancel means "be silent now": longer than this, the voice is heard to go on.
FADE_MS_MAX = 100
# The frame header counts padding in 16 bits.
MAX_PADDING_SAMPLES = 0xFFFF

NATIVE: Literal["native"] = "native"
Tail = Literal["pad", "short"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFormat:
    """Bytes of uncompressed audio: encoding, rate, channels."""

    encoding: Encoding
    sample_rate_hz: int
    channels: int = 1

    @property
    def block_align(self) -> int:
        """Bytes of one sample instant; no cut may fall inside it."""
        return self.encoding.sample_width * self.channels


class Container(StrEnum):
    """The packaging around audio, or the codec where it needs none.

    Which of them have a decoder is in `relay/codecs/__init__.py`; the others are recognised in order to be named.
    """

    RAW = "raw"
    WAV = "wav"  # RIFF, RF64 and BW64
    MP3 = "mp3"
    OGG = "ogg"  # with Opus, Vorbis or FLAC in it
    FLAC = "flac"
    WEBM = "webm"  # and all Matroska
    AAC = "aac"  # ADTS
    MP4 = "mp4"  # and M4A, 3GP, QuickTime
    LATM = "latm"  # AAC in LOAS
    ADIF = "adif"
    MP2 = "mp2"  # MPEG audio of layer I or II
    FREE_MP3 = "free_mp3"  # layer III of free format
    RIFX = "rifx"
    W64 = "w64"
    AIFF = "aiff"  # and AIFF-C
    AU = "au"
    CAF = "caf"
    ASF = "asf"  # WMA
    AMR = "amr"
    SILK = "silk"
    WAVPACK = "wavpack"
    APE = "ape"
    MUSEPACK = "musepack"
    TTA = "tta"
    AC3 = "ac3"
    DTS = "dts"
    DSD = "dsd"
    VOC = "voc"
    SPHERE = "sphere"
    REAL = "real"
    FLV = "flv"
    AVI = "avi"
    MPEG_TS = "mpeg_ts"
    MPEG_PS = "mpeg_ps"
    MIDI = "midi"
    # Headerless codecs that only a media type can name.
    G722 = "g722"
    G726 = "g726"
    G729 = "g729"
    GSM = "gsm"
    ILBC = "ilbc"
    SPEEX = "speex"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFormat:
    """What a provider was asked for, or says it sends. A hint: the bytes decide (see `codecs.sniff`).

    `pcm` is the shape of headerless audio and is needed for RAW only. `encoder_delay_samples` is trimmed from the
    start of an MP3 that carries no tag of its own.
    """

    container: Container
    pcm: AudioFormat | None = None
    encoder_delay_samples: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioRequest:
    """The audio a client asks for. Born valid: an impossible combination raises `invalid_config`, saying what fits.

    With `sample_rate` `"native"` whether `frame_ms` fits is known only when the provider's rate is: see `resolve`.
    """

    encoding: Encoding = Encoding.PCM_S16LE
    sample_rate: int | Literal["native"] = 24000
    channels: int = 1
    frame_ms: int = 20
    tail: Tail = "pad"
    header: bool = False
    # What is done to the samples; the defaults change nothing.
    gain_db: float = 0
    max_leading_silence_ms: float | None = None
    fade_ms: float = 0

    def __post_init__(self) -> None:
        _one_of("audio.encoding", self.encoding, OUTPUT_ENCODINGS)
        object.__setattr__(self, "encoding", Encoding(self.encoding))
        _one_of("audio.sample_rate", self.sample_rate, (*OUTPUT_RATES_HZ, NATIVE))
        _one_of("audio.channels", self.channels, OUTPUT_CHANNELS)
        _one_of("audio.tail", self.tail, ("pad", "short"))
        if not FRAME_MS_MIN <= self.frame_ms <= FRAME_MS_MAX:
            raise ClientError(
                Code.INVALID_CONFIG,
                f"audio.frame_ms is {self.frame_ms}; it must be from {FRAME_MS_MIN} to {FRAME_MS_MAX}",
            )
        _within("audio.gain_db", self.gain_db, GAIN_DB_MIN, GAIN_DB_MAX)
        if self.max_leading_silence_ms is not None:
            _within("audio.max_leading_silence_ms", self.max_leading_silence_ms, 0, MAX_LEADING_SILENCE_MS_MAX)
        _within("audio.fade_ms", self.fade_ms, 0, FADE_MS_MAX)
        if self.sample_rate != NATIVE:
            self.resolve(self.sample_rate)

    def resolve(self, native_rate_hz: int) -> "FrameFormat":
        """The exact frames of this request, given the provider's own rate. Raises `invalid_config` if none fit."""
        rate_hz = native_rate_hz if self.sample_rate == NATIVE else self.sample_rate
        if rate_hz * self.frame_ms % 1000:
            step_ms = 1000 // gcd(rate_hz, 1000)
            fitting = range(-(-FRAME_MS_MIN // step_ms) * step_ms, FRAME_MS_MAX + 1, step_ms)
            advice = f"frame lengths that fit are the multiples of {step_ms} ms from {fitting[0]} to {fitting[-1]}"
            raise ClientError(
                Code.INVALID_CONFIG,
                f"audio.frame_ms {self.frame_ms} at audio.sample_rate {rate_hz} is not a whole number of samples; "
                f"{advice}",
            )
        if self.header and rate_hz * self.frame_ms // 1000 > MAX_PADDING_SAMPLES:
            raise ClientError(
                Code.INVALID_CONFIG,
                f"audio.frame_ms {self.frame_ms} at audio.sample_rate {rate_hz} is more than the {MAX_PADDING_SAMPLES} "
                "samples whose padding a frame header can count; ask for shorter frames, or none of audio.header",
            )
        return _frame_format(
            self.encoding, rate_hz, self.channels, rate_hz * self.frame_ms // 1000, self.tail, self.header
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFormat:
    """Frames of one exact size: `frame_samples` per channel of `audio`."""

    audio: AudioFormat
    frame_samples: int
    tail: Tail = "pad"
    header: bool = False
    frame_bytes: int = field(init=False)
    frame_ms: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "frame_bytes", self.frame_samples * self.audio.block_align)
        object.__setattr__(self, "frame_ms", self.frame_samples * 1000 // self.audio.sample_rate_hz)

    def duration_ms(self, samples: int) -> float:
        """Milliseconds of `samples`, for the edges only."""
        return samples * 1000 / self.audio.sample_rate_hz

    def samples_in(self, duration_ms: float) -> int:
        """Whole samples in a duration, rounded down."""
        return int(duration_ms * self.audio.sample_rate_hz) // 1000


@lru_cache(maxsize=64)  # turns at the provider's own rate wait for it with their first audio in hand
def _frame_format(
    encoding: Encoding, rate_hz: int, channels: int, frame_samples: int, tail: Tail, header: bool
) -> FrameFormat:
    audio = AudioFormat(encoding=encoding, sample_rate_hz=rate_hz, channels=channels)
    return FrameFormat(audio=audio, frame_samples=frame_samples, tail=tail, header=header)


def _within(name: str, value: object, least: float, most: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise ClientError(Code.INVALID_CONFIG, f"{name} is {value!r}; it must be a number from {least:g} to {most:g}")


def _one_of(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed or isinstance(value, bool):
        choices = ", ".join(str(choice) for choice in allowed)
        raise ClientError(Code.INVALID_CONFIG, f"{name} is {value!r}; it must be one of {choices}")
