import io
from bisect import bisect_right
from itertools import accumulate, pairwise
from typing import Literal

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from relay.codecs import g711
from relay.codecs.base import Samples
from relay.core.formats import Encoding

LAWS = (Encoding.MULAW, Encoding.ALAW)
ALL_INT16 = np.arange(-32768, 32768).astype(np.int16)
ALL_CODES = bytes(range(256))


def decode(law: Encoding, codes: bytes) -> Samples:
    return g711.DECODE[law](codes)


def encode(law: Encoding, samples: Samples) -> bytes:
    return g711.ENCODE[law](samples).tobytes()


# The tables of the Recommendation, from its own words: the sizes of the intervals between decision values, inner to
# outer. Table 2a (mu-law, 14 bits): one of 1, 15 of 2, then 16 of each of 4 ... 256. Table 1a (A-law, 13 bits, whose
# smallest interval is 2): 32 of 2, then 16 of each of 4 ... 128.
INTERVALS = {
    Encoding.MULAW: [1, *[2] * 15, *(2**size for size in range(2, 9) for _ in range(16))],
    Encoding.ALAW: [*[2] * 32, *(2**size for size in range(2, 8) for _ in range(16))],
}
BITS = {Encoding.MULAW: 14, Encoding.ALAW: 13}
# The character signal of interval 0, positive, and which of its bits count down as the interval goes up.
FIRST_CODE = {Encoding.MULAW: 0xFF, Encoding.ALAW: 0xD5}


def code_of(law: Encoding, interval: int, *, negative: bool) -> int:
    magnitude_bits = (0x7F - interval if law is Encoding.MULAW else interval ^ 0x55) & 0x7F
    return magnitude_bits | (0 if negative else 0x80)


@pytest.mark.parametrize("law", LAWS)
def test_there_are_128_intervals_up_to_the_recommendations_last_decision_value(law: Encoding) -> None:
    assert len(INTERVALS[law]) == 128
    assert sum(INTERVALS[law]) == {Encoding.MULAW: 8159, Encoding.ALAW: 4096}[law]
    assert code_of(law, 0, negative=False) == FIRST_CODE[law]


@pytest.mark.parametrize("law", LAWS)
def test_every_sample_gets_the_code_of_its_interval(law: Encoding) -> None:
    decisions = [0, *accumulate(INTERVALS[law])]
    scale = 2 ** (16 - BITS[law])
    expected = bytes(
        code_of(law, min(bisect_right(decisions, abs(sample) / scale) - 1, 127), negative=sample < 0)
        for sample in ALL_INT16.tolist()
    )
    assert encode(law, ALL_INT16) == expected


@pytest.mark.parametrize("law", LAWS)
def test_every_code_gets_the_middle_of_its_interval(law: Encoding) -> None:
    decisions = [0, *accumulate(INTERVALS[law])]
    scale = 2 ** (16 - BITS[law])
    middles = [(low + high) * scale // 2 for low, high in pairwise(decisions)]
    if law is Encoding.MULAW:
        middles[0] = 0  # the innermost interval reaches over both sides of zero
    values = {
        code_of(law, interval, negative=negative): -middle if negative else middle
        for interval, middle in enumerate(middles)
        for negative in (False, True)
    }
    assert decode(law, ALL_CODES).tolist() == [values[code] for code in range(256)]


@pytest.mark.parametrize(("law", "subtype"), [(Encoding.MULAW, "ULAW"), (Encoding.ALAW, "ALAW")])
def test_libsndfile_codes_and_decodes_alike(law: Encoding, subtype: str) -> None:
    coded = io.BytesIO()
    soundfile.write(coded, ALL_INT16, 8000, subtype=subtype, format="RAW")
    assert encode(law, ALL_INT16) == coded.getvalue()
    values, _ = soundfile.read(
        io.BytesIO(ALL_CODES), dtype="int16", samplerate=8000, channels=1, subtype=subtype, format="RAW"
    )
    np.testing.assert_array_equal(decode(law, ALL_CODES), values)


@pytest.mark.parametrize(("law", "name"), [(Encoding.MULAW, "pcm_mulaw"), (Encoding.ALAW, "pcm_alaw")])
def test_ffmpeg_decodes_alike_and_codes_within_one_interval(
    law: Encoding, name: Literal["pcm_mulaw", "pcm_alaw"]
) -> None:
    np.testing.assert_array_equal(decode(law, ALL_CODES), ffmpeg_decode(name, ALL_CODES))
    # FFmpeg picks the nearest value after dropping the low bits of a negative sample downwards; the Recommendation's
    # intervals are not those of the nearest value where segments meet.
    ours, theirs = encode(law, ALL_INT16), ffmpeg_encode(name, ALL_INT16)
    differing = np.flatnonzero(np.frombuffer(ours, np.uint8) != np.frombuffer(theirs, np.uint8))
    assert len(differing) < 0.015 * 65536
    levels = sorted(set(decode(law, ALL_CODES).tolist()))
    our_levels, their_levels = (
        np.searchsorted(levels, decode(law, codes)[differing].astype(np.int64)) for codes in (ours, theirs)
    )
    assert np.abs(our_levels - their_levels).max() == 1


@pytest.mark.parametrize("law", LAWS)
def test_a_decoded_value_is_coded_as_it_was(law: Encoding) -> None:
    coded = bytearray(encode(law, decode(law, ALL_CODES)))
    if law is Encoding.MULAW:
        assert coded[0x7F] == 0xFF  # minus zero and zero are one sample
        coded[0x7F] = 0x7F
    assert coded == ALL_CODES


@pytest.mark.parametrize("law", LAWS)
def test_both_sides_of_zero_are_alike(law: Encoding) -> None:
    positive = np.arange(1, 32768).astype(np.int16)
    coded, mirrored = (np.frombuffer(encode(law, side), np.uint8) for side in (positive, -positive))
    np.testing.assert_array_equal(coded ^ 0x80, mirrored)


@pytest.mark.parametrize("law", LAWS)
def test_zero_is_silence(law: Encoding) -> None:
    assert encode(law, np.zeros(1, np.int16)) == law.silence


@pytest.mark.parametrize("law", LAWS)
def test_floats_are_coded_as_the_int16_they_round_to(law: Encoding) -> None:
    assert encode(law, (ALL_INT16 / 32768).astype(np.float32)) == encode(law, ALL_INT16)


def ffmpeg_decode(name: Literal["pcm_mulaw", "pcm_alaw"], codes: bytes) -> NDArray[np.int16]:
    codec = av.CodecContext.create(name, "r")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout = 8000, "mono"
    [frame] = codec.decode(av.Packet(codes))
    return frame.to_ndarray().ravel().astype(np.int16, casting="equiv")


def ffmpeg_encode(name: Literal["pcm_mulaw", "pcm_alaw"], samples: NDArray[np.int16]) -> bytes:
    codec = av.CodecContext.create(name, "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = 8000, "mono", "s16"
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = 8000
    return b"".join(bytes(packet) for packet in codec.encode(frame))
