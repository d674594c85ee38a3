"""What the first frame of many MP3 files says: not sound, but how much silence the encoder put around the sound.

Layouts: "Xing" and "Info" after LAME's `VbrTag.c` and http://gabriel.mp3-tech.org/mp3infotag.html, "VBRI" after
Fraunhofer's sample code as FFmpeg's `mp3dec.c` reads it.
"""

from dataclasses import dataclass

from relay.codecs.mp3_frames import Mp3Frame

# Every MP3 decoder puts out its first sample this late (528 of the filters, one of the transform): LAME's
# DECDELAY, mpg123's GAPLESS_DELAY.
DECODER_DELAY_SAMPLES = 529

# Only these write delay and padding where LAME does; elsewhere other encoders' bytes may be anything (FFmpeg's rule).
_WRITERS_OF_DELAY = (b"LAME", b"Lavf", b"Lavc", b"L3.9")

_VBRI_AT = 36
_XING_FIELDS_BYTES = {0x1: 4, 0x2: 4, 0x4: 100, 0x8: 4}
_HAS_FRAMES = 0x1
_DELAY_AT = 21


@dataclass(frozen=True, slots=True)
class Info:
    """What an information frame states; None is not stated. The decoder's own delay is not in `delay_samples`."""

    audio_samples: int | None = None
    delay_samples: int | None = None
    padding_samples: int = 0

    def silence(self, default_delay_samples: int) -> list[tuple[int, int]]:
        """The ranges of decoded samples, counted from the frame after this one, that are not sound; in order.

        The end is known beforehand only if the number of frames is stated. More frames than that are played: a
        sender may well join another stream to this one.
        """
        if self.delay_samples is None:
            return [(0, default_delay_samples)]
        start = self.delay_samples + DECODER_DELAY_SAMPLES
        if self.audio_samples is None:
            return [(0, start)]
        # The decoder's delay pushes the sound towards the end, into the padding.
        padding = max(0, self.padding_samples - DECODER_DELAY_SAMPLES)
        return [(0, start), (max(start, self.audio_samples - padding), self.audio_samples)]


def read_info(frame: Mp3Frame) -> Info | None:
    """What `frame` states if it is an information frame, and None if it is sound."""
    header, data = frame
    at = header.side_info_end
    if data.startswith((b"Xing", b"Info"), at):
        return _read_xing(data, at, header.samples) if _silent(data, at) else None
    if data.startswith(b"VBRI\x00\x01", _VBRI_AT):
        return Info() if _silent(data, at) else None
    return None


def _silent(data: bytes, side_info_end: int) -> bool:
    """Whether the frame decodes to nothing, as it must for players that know no tags. A checksum is not looked at."""
    side_info = data[6:side_info_end]
    return side_info.count(0) == len(side_info)


def _read_xing(data: bytes, at: int, samples_per_frame: int) -> Info:
    flags = int.from_bytes(data[at + 4 : at + 8], "big")
    audio_samples = None
    if flags & _HAS_FRAMES:
        # Zero is a place kept free by a writer that could not go back.
        audio_samples = int.from_bytes(data[at + 8 : at + 12], "big") * samples_per_frame or None
    lame = at + 8 + sum(size for flag, size in _XING_FIELDS_BYTES.items() if flags & flag)
    stated = data[lame + _DELAY_AT : lame + _DELAY_AT + 3]
    if len(stated) < 3 or not data.startswith(_WRITERS_OF_DELAY, lame):
        return Info(audio_samples)
    delay, padding = divmod(int.from_bytes(stated, "big"), 1 << 12)
    return Info(audio_samples, delay, padding)
