"""Headerless ADPCM that providers of telephone audio know, as FFmpeg decodes it: only to recognise it. Pure.

Its bytes are as rough as noise, and nothing in them says what they are.
"""

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# FFmpeg's name, what messages call it, and its rate in Hz.
_CODECS = (("g722", "G.722", 16000), ("adpcm_ima_oki", "VOX ADPCM", 8000))
# Half a second of either: decoded in a millisecond.
LOOKED_AT_BYTES = 4096


def decoded(data: bytes) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """The samples that `data` would be in each, with its name. None where PyAV is not loaded, which it is wherever a
    service may send anything: this must not hold the loop to load it."""
    if "av" not in sys.modules:
        return
    import av
    from av.audio.codeccontext import AudioCodecContext

    for codec, name, rate_hz in _CODECS:
        if codec not in av.codecs_available:
            continue
        context = av.CodecContext.create(codec, "r")
        assert isinstance(context, AudioCodecContext), "a decoder of audio"
        context.sample_rate = rate_hz
        context.layout = "mono"
        try:
            frames = context.decode(av.Packet(data[:LOOKED_AT_BYTES]))
        except av.FFmpegError:
            continue
        if frames:
            yield name, np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.float64)
