import io
import struct
import tracemalloc
import wave
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from relay.codecs import sample_decoder
from relay.codecs.base import Block, CorruptAudioError, NotAudioError, Samples, TruncatedAudioError
from relay.codecs.mp3 import Mp3Decoder
from relay.codecs.wav import WavDecoder
from relay.codecs.wav_format import UNKNOWN_SIZE, wav_header
from relay.core.formats import OUTPUT_ENCODINGS, AudioFormat, Encoding
from tests.covering import each
from tests.cuts import CUTS, Cut, byte_by_byte, cuts_of, run

GOLDENS = sorted((Path(__file__).parents[1] / "golden" / "wav").glob("*.wav"))
NOISE = np.random.default_rng(11)
PCM = bytes(range(1, 101))
SAMPLES = np.frombuffer(PCM, "<i2").tolist()

SUBTYPES = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"]
NO_SIZE = [0, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFF000, 2_000_000_000, 0xFFFFFFFF - 36]


def chunk(name: bytes, payload: bytes, *, pad: bytes = b"\0") -> bytes:
    return struct.pack("<4sI", name, len(payload)) + payload + pad * (len(payload) % 2)


def fmt(tag: int = 1, bits: int = 16, *, channels: int = 1, rate_hz: int = 24000, more: bytes = b"") -> bytes:
    align = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * align, align, bits) + more)


def data(payload: bytes, size: int | None = None) -> bytes:
    return struct.pack("<4sI", b"data", len(payload) if size is None else size) + payload


def riff(*chunks: bytes, size: int = 0) -> bytes:
    return struct.pack("<4sI4s", b"RIFF", size, b"WAVE") + b"".join(chunks)


def decoder() -> WavDecoder:
    return WavDecoder(sample_decoder)


def joined(blocks: list[Block]) -> Samples:
    samples: Samples = np.concatenate([np.zeros(0, np.int16), *(block.samples for block in blocks)])
    return samples


def played(wav: bytes) -> list[float]:
    samples: list[float] = joined(run(decoder(), [wav])).tolist()
    return samples


def written_by_libsndfile(subtype: str, container: str, channels: int) -> bytes:
    file = io.BytesIO()
    noise = NOISE.uniform(-1, 1, (250, channels)).astype(np.float32)
    soundfile.write(file, noise, 22050, subtype=subtype, format=container)
    return file.getvalue()


def read_by_libsndfile(wav: bytes) -> tuple[NDArray[Any], int]:
    """In the type that the relay has for it: int16 for 8 and 16 bits, float32 for the rest. Mono is left of stereo."""
    info = soundfile.info(io.BytesIO(wav))
    dtype: Literal["int16", "float32"] = "int16" if info.subtype in ("PCM_U8", "PCM_16", "ULAW", "ALAW") else "float32"
    samples, rate_hz = soundfile.read(io.BytesIO(wav), dtype=dtype, always_2d=True)
    return np.asarray(samples), rate_hz


def mixed(frames: NDArray[Any]) -> NDArray[Any]:
    if frames.shape[1] == 1:
        return frames[:, 0]
    mean: NDArray[np.float64] = frames.astype(np.float64).mean(1)
    return np.rint(mean).astype(np.int16) if frames.dtype == np.int16 else mean.astype(np.float32)


class TestAgainstLibsndfile:
    @each("channels", [1, 2])
    @each("container", ["WAV", "WAVEX"])
    @each("subtype", SUBTYPES)
    def test_what_it_writes_is_read_alike(self, subtype: str, container: str, channels: int) -> None:
        wav = written_by_libsndfile(subtype, container, channels)
        frames, rate_hz = read_by_libsndfile(wav)
        blocks = run(decoder(), [wav])
        assert {block.sample_rate_hz for block in blocks} == {rate_hz}
        assert blocks[0].samples.dtype == frames.dtype
        np.testing.assert_array_equal(joined(blocks), mixed(frames))

    @each("cut", CUTS)
    @each("golden", GOLDENS)
    def test_what_others_write_is_read_alike_at_every_cut(self, golden: Path, cut: Cut) -> None:
        wav = golden.read_bytes()
        frames, rate_hz = read_by_libsndfile(wav)
        blocks = run(decoder(), cut(wav))
        assert {block.sample_rate_hz for block in blocks} == {rate_hz}
        np.testing.assert_array_equal(joined(blocks), mixed(frames))

    def test_there_are_goldens(self) -> None:
        assert len(GOLDENS) == 5


class TestSizes:
    @each("size", NO_SIZE)
    @each("cut", CUTS)
    def test_an_unknown_size_lasts_until_the_end(self, size: int, cut: Cut) -> None:
        wav = riff(fmt(), data(PCM, size), size=size)
        assert joined(run(decoder(), cut(wav))).tolist() == SAMPLES

    @pytest.mark.parametrize("size", [0, 4, 20, len(PCM) + 36, UNKNOWN_SIZE])
    def test_the_riff_size_says_nothing(self, size: int) -> None:
        assert played(riff(fmt(), data(PCM), size=size)) == SAMPLES

    def test_a_partial_sample_at_an_unknown_end_is_left_out(self) -> None:
        assert played(riff(fmt(), data(PCM + b"\x55", 0))) == SAMPLES

    def test_a_partial_sample_at_a_known_end_does_not_reach_into_the_next_wav(self) -> None:
        one = riff(fmt(), data(PCM + b"\x55") + b"\0")
        assert played(one + one) == SAMPLES * 2

    def test_a_header_without_samples_plays_nothing(self) -> None:
        assert played(riff(fmt(), data(b"", UNKNOWN_SIZE))) == []

    def test_no_bytes_at_all_are_no_error(self) -> None:
        assert run(decoder(), []) == run(decoder(), [b"", b""]) == []


class TestChunks:
    BEFORE = (
        chunk(b"JUNK", bytes(5)),
        chunk(b"LIST", b"INFOISFT" + bytes(3)),
        chunk(b"fact", bytes(4)),
        chunk(b"PAD ", b""),
    )

    @pytest.mark.parametrize("cut", CUTS)
    def test_others_are_skipped_before_and_after(self, cut: Cut) -> None:
        wav = riff(*self.BEFORE, fmt(), *self.BEFORE, data(PCM), *self.BEFORE)
        assert joined(run(decoder(), cut(wav))).tolist() == SAMPLES

    @pytest.mark.parametrize("cut", CUTS)
    def test_an_odd_one_without_its_pad_is_skipped_as_well(self, cut: Cut) -> None:
        odd = chunk(b"LIST", b"odd", pad=b"")
        wav = riff(odd, fmt(), odd, data(PCM), odd)
        assert joined(run(decoder(), cut(wav + wav))).tolist() == SAMPLES * 2

    @pytest.mark.parametrize("end", [b"\0", b"", b"\0\0\0", b"LIS", b"LIST\xff\0\0\0abc", bytes(50), bytes(4000)])
    def test_no_chunk_or_padding_after_the_samples_is_played_or_missed(self, end: bytes) -> None:
        wav = riff(fmt(7, 8), data(b"\xff\x80\x00")) + end
        for cut in CUTS:
            assert joined(run(decoder(), cut(wav))).tolist() == [0, 32124, -32124]

    @each("more", [PCM, bytes(100) + PCM, b"\xff\xff" * 50, b"\x01\x02\xff\xff"])
    @each("cut", CUTS)
    def test_more_samples_than_it_says_are_played(self, more: bytes, cut: Cut) -> None:
        wav = riff(fmt(), data(PCM)) + more
        assert joined(run(decoder(), cut(wav))).tolist() == np.frombuffer(PCM + more, "<i2").tolist()

    @each("size", [None, 0, UNKNOWN_SIZE])
    @each("cut", CUTS)
    def test_several_chunks_of_samples_are_one(self, size: int | None, cut: Cut) -> None:
        wav = riff(fmt(), data(PCM), chunk(b"LIST", b"abc"), data(PCM), data(PCM, size))
        assert joined(run(decoder(), cut(wav))).tolist() == SAMPLES * 3

    @each("size", NO_SIZE)
    @each("cut", CUTS)
    def test_a_list_behind_samples_of_unknown_length_is_not_played(self, size: int, cut: Cut) -> None:
        wav = riff(fmt(), data(PCM, size), chunk(b"LIST", b"INFOISFT\x04\0\0\0Lavf"))
        assert joined(run(decoder(), cut(wav))).tolist() == SAMPLES
        empty = riff(fmt(), data(b"", size), chunk(b"LIST", b"INFOISFT\x04\0\0\0Lavf"))
        assert run(decoder(), cut(empty)) == []

    def test_a_long_one_is_not_held(self) -> None:
        wav, piece = decoder(), bytes(100_000)
        wav.feed(riff(fmt(), struct.pack("<4sI", b"JUNK", 0x40000000)))
        tracemalloc.start()
        try:
            for _ in range(20):
                assert wav.feed(piece) == []
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak_bytes < len(piece)

    def test_too_many_are_disorder(self) -> None:
        with pytest.raises(CorruptAudioError, match="in disorder"):
            played(riff(chunk(b"JUNK", b"") * 65, fmt(), data(PCM)))

    def test_too_many_after_the_samples_are_ignored(self) -> None:
        wav = riff(fmt(), data(PCM), chunk(b"JUNK", b"") * 65, riff(fmt(), data(PCM)))
        assert played(wav) == SAMPLES

    def test_the_last_format_before_the_samples_counts(self) -> None:
        assert played(riff(fmt(1, 8), fmt(), data(PCM))) == SAMPLES


class TestSeveralInARow:
    FIRST = riff(fmt(rate_hz=16000), data(PCM), chunk(b"LIST", b"a RIFF in here is none: RIFF\x04\0\0\0WAVE"))
    SECOND = riff(chunk(b"JUNK", b"xyz"), fmt(7, 8, rate_hz=8000), data(b"\xff\x80\x00") + b"\0")
    THIRD = riff(fmt(), data(PCM, UNKNOWN_SIZE))

    @pytest.mark.parametrize("cut", CUTS)
    def test_each_goes_on_in_its_own_format(self, cut: Cut) -> None:
        blocks = run(decoder(), cut(self.FIRST + self.SECOND + self.THIRD))
        assert joined(blocks).tolist() == [*SAMPLES, 0, 32124, -32124, *SAMPLES]
        rates = [block.sample_rate_hz for block in blocks for _ in block.samples]
        assert rates == [16000] * 50 + [8000] * 3 + [24000] * 50

    @pytest.mark.parametrize("cut", CUTS)
    def test_one_of_unknown_size_ends_where_the_next_begins(self, cut: Cut) -> None:
        for size in NO_SIZE:
            one = riff(fmt(), data(PCM, size))
            wavs = one + one + riff(fmt(), data(PCM, size), chunk(b"LIST", b"INFOabcd")) + self.FIRST
            assert joined(run(decoder(), cut(wavs))).tolist() == SAMPLES * 4

    def test_a_riff_of_another_kind_is_read_over(self) -> None:
        assert played(self.FIRST + b"RIFF\x04\0\0\0AVI " + self.FIRST) == SAMPLES * 2

    @pytest.mark.parametrize("cut", CUTS)
    def test_a_fault_in_the_second_comes_after_the_samples_of_the_first(self, cut: Cut) -> None:
        wav, blocks = decoder(), list[Block]()
        with pytest.raises(CorruptAudioError, match="samples come before their format"):
            for piece in [*cut(self.FIRST + riff(data(PCM))), b"", b""]:
                blocks += wav.feed(piece)
        assert joined(blocks).tolist() == SAMPLES

    def test_a_fault_at_the_end_of_the_last_piece_is_raised_by_flush(self) -> None:
        wav = decoder()
        assert joined(wav.feed(self.FIRST + riff(data(PCM)))).tolist() == SAMPLES
        with pytest.raises(CorruptAudioError, match="samples come before their format"):
            wav.flush()


class TestLong:
    """RF64 and BW64."""

    @each("name", [b"RF64", b"BW64"])
    @each("cut", CUTS)
    def test_the_size_stands_in_a_chunk_of_its_own(self, name: bytes, cut: Cut) -> None:
        ds64 = chunk(b"ds64", struct.pack("<QQQI", 0, len(PCM), len(PCM) // 2, 0))
        body = riff(ds64, fmt(), data(PCM, UNKNOWN_SIZE), chunk(b"LIST", b"abc"))
        wav = name + struct.pack("<I", UNKNOWN_SIZE) + body[8:]
        assert joined(run(decoder(), cut(wav + wav))).tolist() == SAMPLES * 2
        short = decoder()
        short.feed(wav[: wav.index(PCM) + 50])
        with pytest.raises(TruncatedAudioError, match="ended 50 bytes short"):
            short.flush()

    @pytest.mark.parametrize("size", [0, UNKNOWN_SIZE, 2**64 - 1])
    def test_or_is_unknown(self, size: int) -> None:
        ds64 = chunk(b"ds64", struct.pack("<QQQI", size, size, 0, 0))
        wav = b"RF64" + riff(ds64, fmt(), data(PCM, UNKNOWN_SIZE))[4:]
        assert played(wav) == SAMPLES


class TestErrorsBehindTheSamples:
    TEXTS = (
        b'{"error":{"code":"quota_exceeded","message":"out of credits"}}',
        b"<html><body><h1>502 Bad Gateway</h1></body></html>",
        b'data: {"error": "overloaded"}\n\n',
        b"Internal Server Error",
    )

    @each("text", TEXTS)
    @each("size", [None, *NO_SIZE])
    @each("cut", CUTS)
    def test_are_raised_after_them(self, text: bytes, size: int | None, cut: Cut) -> None:
        wav, blocks = decoder(), list[Block]()
        pcm = bytes(4000) + b"\x10\x00\xf0\xff" * 20
        with pytest.raises(NotAudioError) as raised:
            for piece in cut(riff(fmt(), data(pcm, size)) + text):
                blocks += wav.feed(piece)
            wav.flush()
        assert raised.value.head.strip() == text.strip()
        assert joined(blocks).tolist() == np.frombuffer(pcm, "<i2").tolist()

    @pytest.mark.parametrize("cut", CUTS)
    def test_also_where_more_samples_were_promised(self, cut: Cut) -> None:
        wav, blocks = decoder(), list[Block]()
        with pytest.raises(NotAudioError):
            for piece in cut(riff(fmt(), data(bytes(3000) + self.TEXTS[0], 50_000))):
                blocks += wav.feed(piece)
            wav.flush()
        assert len(joined(blocks)) == 1500


@each("cut", CUTS)
@each("size", [None, UNKNOWN_SIZE])
def test_mp3_in_a_wav(size: int | None, cut: Cut) -> None:
    mp3 = (GOLDENS[0].parents[1] / "mp3" / "bare_24k.mp3").read_bytes()[:1920]
    header = chunk(b"fmt ", struct.pack("<HHIIHHH", 0x55, 1, 24000, 8000, 1, 0, 12) + bytes(12))
    wav = riff(header, data(mp3, size))
    blocks = run(WavDecoder(sample_decoder, Mp3Decoder), cut(wav))
    np.testing.assert_array_equal(joined(blocks), joined(run(Mp3Decoder(), [mp3])))


class LateByOne:
    """A decoder of bytes that gives each sample when the next one comes: how one with a delay would do."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, piece: bytes) -> list[Block]:
        held = self._held + piece
        self._held = held[-1:]
        return [Block(np.frombuffer(held[:-1], np.uint8).astype(np.int16), 8000)] if held[:-1] else []

    def flush(self) -> list[Block]:
        return [Block(np.frombuffer(self._held, np.uint8).astype(np.int16), 8000)] if self._held else []


@each("cut", CUTS)
@each("size", [3, UNKNOWN_SIZE])
def test_what_the_decoder_of_the_samples_holds_at_their_end_is_played(size: int, cut: Cut) -> None:
    blocks = run(WavDecoder(lambda _: LateByOne()), cut(riff(fmt(), data(b"\1\2\3", size))))
    assert joined(blocks).tolist() == [1, 2, 3]


class TestCutShort:
    @pytest.mark.parametrize("missing", [1, 2, 51, len(PCM)])
    def test_samples_that_were_promised_are_missed_by_the_byte(self, missing: int) -> None:
        wav = decoder()
        blocks = wav.feed(riff(fmt(), data(PCM))[:-missing])
        with pytest.raises(TruncatedAudioError, match=f"ended {missing} bytes short of the 100 bytes of samples"):
            wav.flush()
        assert joined(blocks).tolist() == SAMPLES[: (len(PCM) - missing) // 2]

    @pytest.mark.parametrize(
        ("start", "message"),
        [
            (riff()[:5], "inside the first bytes of a WAV"),
            (riff(fmt())[:-1], "1 bytes short of the chunk b'fmt '"),
            (riff(fmt(), chunk(b"LIST", bytes(10)))[:-3], "3 bytes short of the chunk b'LIST'"),
            (riff(fmt(), data(PCM))[:40], "inside the header of a WAV, after b'fmt '"),
        ],
    )
    def test_a_header_that_was_begun_is_missed(self, start: bytes, message: str) -> None:
        for cut in CUTS:
            with pytest.raises(TruncatedAudioError, match=message):
                run(decoder(), cut(start))

    @pytest.mark.parametrize("cut", [CUTS[0], byte_by_byte])
    def test_no_end_inside_is_a_success(self, cut: Cut) -> None:
        second = riff(chunk(b"LIST", b"abcde"), fmt(), data(PCM))
        first = second + chunk(b"LIST", b"abcde")
        for end in range(1, len(first + second)):
            wav, blocks = decoder(), list[Block]()
            for piece in cut((first + second)[:end]):
                blocks += wav.feed(piece)
            # Chunks after the samples may be cut; the name of another WAV may not.
            complete = len(second) <= end < len(first) + 4
            if complete:
                blocks += wav.flush()
            else:
                with pytest.raises((TruncatedAudioError, CorruptAudioError)):
                    wav.flush()
            header_bytes = len(second) - len(PCM)
            heard = [min(max(end - start - header_bytes, 0), len(PCM)) // 2 for start in (0, len(first))]
            assert joined(blocks).tolist() == SAMPLES[: heard[0]] + SAMPLES[: heard[1]]

    @pytest.mark.parametrize("golden", GOLDENS, ids=lambda path: path.stem)
    def test_every_golden_has_its_invalid_twins(self, golden: Path) -> None:
        whole = golden.read_bytes()
        start = whole.index(b"data") + 8
        for end in range(1, start - 1):
            with pytest.raises((TruncatedAudioError, CorruptAudioError)):
                run(decoder(), [whole[:end]])


class TestDisorder:
    @each(
        ("wav", "message"),
        [
            (b"RIFX\0\0\0\0WAVEfmt ", r"not a WAV: it begins with b'RIFX\\x00\\x00\\x00\\x00WAVE'"),
            (b"RIFF\x04\0\0\0AVI LIST", r"not a WAV: .*AVI"),
            (b"oops", "not a WAV: it begins with b'oops'"),
            (riff(data(PCM)), "samples come before their format"),
            (riff(fmt(), chunk(b"LIST", b"abc")), r"without samples: it holds b'fmt ', b'LIST'"),
            (riff(), "without samples: it holds nothing"),
            (riff(fmt(), b"\xff\xfe\xfd\xfc\0\0\0\0"), r"in disorder: b'fmt ', b'\\xff\\xfe\\xfd\\xfc' before"),
            (riff(chunk(b"fmt ", bytes(15))), "format takes 15 bytes"),
            (riff(chunk(b"fmt ", bytes(4097))), "format takes 4097 bytes"),
            (riff(fmt(0x55, 16), data(PCM)), "MP3 in a WAV, which has no decoder here"),
            (riff(fmt(2, 4), data(PCM)), r"4 bits in format 0x0002 \(ADPCM\)"),
            (riff(fmt(1, 20)), "20 bits in format 0x0001"),
            (riff(fmt(0xFFFE, 16, more=b"\x16\0" + bytes(6) + b"\1\0" + bytes(14))), "unknown sub-format 0100"),
            (riff(fmt(0xFFFE, 16)), "unknown sub-format"),
            (riff(fmt(channels=6), data(PCM)), "6 channels"),
            (riff(fmt(rate_hz=0), data(PCM)), "audio at 0 Hz"),
        ],
    )
    def test_what_was_found_is_named(self, wav: bytes, message: str) -> None:
        for cut in CUTS:
            with pytest.raises(CorruptAudioError, match=message):
                run(decoder(), cut(wav))

    def test_after_an_error_every_call_raises_it(self) -> None:
        wav = decoder()
        for piece in (riff(data(PCM)), PCM, b""):
            with pytest.raises(CorruptAudioError, match="samples come before their format"):
                wav.feed(piece)
        with pytest.raises(CorruptAudioError, match="samples come before their format"):
            wav.flush()

    def test_a_header_made_by_hand_may_have_its_sums_wrong(self) -> None:
        header = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 24000, 0, 16, 16))
        assert played(riff(header, data(PCM))) == SAMPLES


@st.composite
def wavs(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    """Up to three WAVs in a row, chunks of any length around their samples, and the samples."""
    others = st.lists(st.builds(chunk, st.sampled_from([b"LIST", b"fact", b"id3 "]), st.binary(max_size=9)), max_size=3)
    pieces, samples = [], list[int]()
    for _ in range(draw(st.integers(1, 3))):
        pcm = draw(st.binary(min_size=1, max_size=15)) * 2
        pieces.append(riff(*draw(others), fmt(), *draw(others), data(pcm), *draw(others)))
        samples += np.frombuffer(pcm, "<i2").tolist()
    return b"".join(pieces), samples


@given(drawn=st.data(), wav=wavs())
def test_any_wavs_cut_anywhere(drawn: st.DataObject, wav: tuple[bytes, list[int]]) -> None:
    whole, samples = wav
    assert joined(run(decoder(), drawn.draw(cuts_of(whole)))).tolist() == samples


@given(st.binary(max_size=80), st.sampled_from([b"", b"RIFF", riff(), riff(fmt()), riff(fmt(), data(PCM))]))
def test_no_bytes_raise_anything_but_what_is_promised(junk: bytes, start: bytes) -> None:
    for cut in (CUTS[0], byte_by_byte):
        try:
            run(decoder(), cut(start + junk))
        except (CorruptAudioError, TruncatedAudioError) as error:
            assert str(error)


class TestWavHeader:
    @each("known", [True, False])
    @each("channels", [1, 2])
    @each("encoding", OUTPUT_ENCODINGS)
    def test_others_read_what_stands_behind_it(self, encoding: Encoding, channels: int, known: bool) -> None:
        form = AudioFormat(encoding=encoding, sample_rate_hz=11025, channels=channels)
        audio = NOISE.uniform(-1, 1, 101 * channels).astype("<f4").tobytes()
        audio = audio[: 101 * form.block_align]
        if encoding is Encoding.PCM_F32LE:
            assert np.isfinite(np.frombuffer(audio, "<f4")).all()
        wav = wav_header(form, len(audio) if known else None) + audio + b"\0" * (known and len(audio) % 2)
        frames, rate_hz = read_by_libsndfile(wav)
        assert (rate_hz, frames.shape) == (11025, (101, channels))
        np.testing.assert_array_equal(joined(run(decoder(), [wav])), mixed(frames))
        np.testing.assert_array_equal(joined(run(sample_decoder(form), [audio])), mixed(frames))

    def test_of_pcm_it_is_the_44_bytes_that_python_writes(self) -> None:
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            writer.setparams((2, 2, 48000, 0, "NONE", "not compressed"))
            writer.writeframes(PCM)
        form = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=48000, channels=2)
        assert wav_header(form, len(PCM)) + PCM == file.getvalue()

    @pytest.mark.parametrize("data_bytes", [None, UNKNOWN_SIZE - 35, UNKNOWN_SIZE, 2**40])
    def test_what_the_fields_cannot_hold_is_unknown(self, data_bytes: int | None) -> None:
        header = wav_header(AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=8000), data_bytes)
        assert header[4:8] == header[40:44] == b"\xff\xff\xff\xff"

    def test_the_longest_it_can_hold_is_not(self) -> None:
        header = wav_header(AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=8000), UNKNOWN_SIZE - 37)
        assert (header[4:8], header[40:44]) == (b"\xfe\xff\xff\xff", b"\xda\xff\xff\xff")

    def test_an_odd_size_counts_its_pad(self) -> None:
        header = wav_header(AudioFormat(encoding=Encoding.MULAW, sample_rate_hz=8000), 3)
        assert int.from_bytes(header[4:8], "little") == len(header) - 8 + 3 + 1
        assert int.from_bytes(header[-4:], "little") == 3
