"""What the header of a WAV says of its samples: `fmt ` read, and whole headers written, also for an unknown length.

This file does not know what samples mean: it names their format.
"""

import struct
from typing import Literal, TypeAlias

from relay.codecs.base import CorruptAudioError
from relay.core.formats import AudioFormat, Encoding

UNKNOWN_SIZE = 0xFFFFFFFF

CHUNK = struct.Struct("<4sI")
FORMAT = struct.Struct("<HHIIHH")  # tag, channels, sample rate, bytes per second, block align, bits per sample

_LINEAR, _FLOAT, _ALAW, _MULAW, _EXTENSIBLE = 1, 3, 6, 7, 0xFFFE
_MP3 = 0x55
# Formats that have no decoder here, by the names that mmreg.h gives them.
_OTHER_FORMATS = {
    0x02: "ADPCM",
    0x11: "IMA ADPCM",
    0x31: "GSM 6.10",
    0x45: "G.726",
    0x50: "MPEG audio of layer I or II",
    0x64: "G.726",
    0x65: "G.722",
    0xFF: "AAC",
    0x161: "WMA",
    0x162: "WMA",
    0x2000: "AC-3",
    0x674F: "Vorbis",
}
_ENCODINGS = {
    (_LINEAR, 8): Encoding.PCM_U8,
    (_LINEAR, 16): Encoding.PCM_S16LE,
    (_LINEAR, 24): Encoding.PCM_S24LE,
    (_LINEAR, 32): Encoding.PCM_S32LE,
    (_FLOAT, 32): Encoding.PCM_F32LE,
    (_FLOAT, 64): Encoding.PCM_F64LE,
    (_ALAW, 8): Encoding.ALAW,
    (_MULAW, 8): Encoding.MULAW,
}
_TAGS = {encoding: tag for (tag, _), encoding in _ENCODINGS.items()}
# A sub-format is a tag and these 14 bytes (KSDATAFORMAT_SUBTYPE_*, ksmedia.h), 24 bytes into `fmt `.
_SUB_FORMAT = slice(24, 40)
_SUB_FORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")

# What `fmt ` names.
WavFormat: TypeAlias = AudioFormat | Literal["mp3"]


def read_format(payload: bytes) -> WavFormat:
    """Reads `fmt `. Block align and bytes per second follow from the rest and are not looked at: many a hand-made
    header has them wrong."""
    tag, channels, sample_rate_hz, _, _, bits = FORMAT.unpack_from(payload)
    if tag == _EXTENSIBLE:
        sub_format = payload[_SUB_FORMAT]
        if sub_format[2:] != _SUB_FORMAT_TAIL:
            raise CorruptAudioError(f"a WAV of the unknown sub-format {sub_format.hex()}")
        tag = int.from_bytes(sub_format[:2], "little")
    if tag == _MP3:
        return "mp3"
    encoding = _ENCODINGS.get((tag, bits))
    if encoding is None:
        name = f" ({_OTHER_FORMATS[tag]})" if tag in _OTHER_FORMATS else ""
        raise CorruptAudioError(f"a WAV of {bits} bits in format {tag:#06x}{name}, which has no decoder here")
    return AudioFormat(encoding=encoding, sample_rate_hz=sample_rate_hz, channels=channels)


def wav_header(form: AudioFormat, data_bytes: int | None) -> bytes:
    """What stands before `data_bytes` of samples; None, or more than the field can hold: "until the end".

    Odd `data_bytes` must be followed by one zero byte, as RIFF wants it; that byte is counted here.
    """
    tag, bits = _TAGS[form.encoding], form.encoding.sample_width * 8
    byte_rate = form.sample_rate_hz * form.block_align
    payload = FORMAT.pack(tag, form.channels, form.sample_rate_hz, byte_rate, form.block_align, bits)
    if tag == _LINEAR:
        chunks = CHUNK.pack(b"fmt ", len(payload)) + payload
    else:
        # Anything but linear PCM has an extension, here of no bytes, and counts its samples (WAVEFORMATEX, mmreg.h).
        samples = UNKNOWN_SIZE if data_bytes is None else data_bytes // form.block_align
        chunks = CHUNK.pack(b"fmt ", len(payload) + 2) + payload + bytes(2)
        chunks += CHUNK.pack(b"fact", 4) + min(samples, UNKNOWN_SIZE).to_bytes(4, "little")
    size = 4 + len(chunks) + CHUNK.size + (data_bytes or 0) + (data_bytes or 0) % 2
    if data_bytes is None or size > UNKNOWN_SIZE:
        size = data_bytes = UNKNOWN_SIZE
    return CHUNK.pack(b"RIFF", size) + b"WAVE" + chunks + CHUNK.pack(b"data", data_bytes)
