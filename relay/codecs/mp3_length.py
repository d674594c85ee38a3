"""The exact length of an MP3 that FFmpeg has written, in the tag of LAME in its first frame.

FFmpeg states at most the padding of one frame, but LAME may end with a whole frame of padding and a part of the one
before it; a player then hears up to 46 samples too many. Layout: http://gabriel.mp3-tech.org/mp3infotag.html.
"""

from collections.abc import Sequence
from typing import BinaryIO

# From the first byte of "Xing" or "Info" on, as FFmpeg writes them: with all four fields.
_FRAMES_AT, _DELAY_AT, _CRC_AT = 8, 141, 154
# The tag comes behind the frame's header and side information.
_HEAD_BYTES = 256
_MOST_PADDING = (1 << 12) - 1


def state_length(file: BinaryIO, start: int, samples: int, frame_samples: int) -> None:
    """Corrects the padding in the tag of the MP3 that begins at `start`, whose sound is `samples`. The file stands
    where it stood. Without a tag nothing is changed. Raises OSError."""
    end = file.tell()
    file.seek(start)
    head = bytearray(file.read(_HEAD_BYTES))
    tag = max(head.find(b"Xing"), head.find(b"Info"))
    if tag >= 0 and tag + _CRC_AT + 2 <= len(head):
        frames = int.from_bytes(head[tag + _FRAMES_AT : tag + _FRAMES_AT + 4], "big")
        stated = slice(tag + _DELAY_AT, tag + _DELAY_AT + 3)
        delay = int.from_bytes(head[stated], "big") >> 12
        padding = min(max(frames * frame_samples - delay - samples, 0), _MOST_PADDING)
        head[stated] = (delay << 12 | padding).to_bytes(3, "big")
        head[tag + _CRC_AT : tag + _CRC_AT + 2] = _crc16(head[: tag + _CRC_AT]).to_bytes(2, "big")
        file.seek(start)
        file.write(head)
    file.seek(end)


def _crc16(data: Sequence[int]) -> int:
    """CRC-16/ARC, which LAME's tag has of all that is before it."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc
