import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from relay.codecs import DECODERS, framed, open_decoder, sniff, texts, wav_header
from relay.codecs.base import Block, CorruptAudioError, TruncatedAudioError
from relay.codecs.mp3 import Mp3Decoder
from relay.codecs.signatures import BY_FIRST_BYTE, SIGNATURES, Signature
from relay.codecs.sniff import HEAD_BYTES_MAX, NotAudioError, SniffingDecoder
from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from tests.covering import FULL, each
from tests.cuts import CUTS, Cut, byte_by_byte, cuts_of, run, whole

MP3 = (Path(__file__).parents[1] / "golden" / "mp3" / "bare_24k.mp3").read_bytes()[:1536]
ID3 = b"ID3\x04\0\0\0\0\0\x05hello"
S16 = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000)
PCM = np.random.default_rng(3).integers(-3000, 3000, 700).astype("<i2").tobytes()
WAV = wav_header(AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=16000), len(PCM)) + PCM

RAW = SourceFormat(container=Container.RAW, pcm=S16)
SHAPELESS = SourceFormat(container=Container.RAW)
ASKED_WAV = SourceFormat(container=Container.WAV)
ASKED_MP3 = SourceFormat(container=Container.MP3)
ANYTHING_ASKED = [RAW, SHAPELESS, ASKED_WAV, ASKED_MP3, SourceFormat(container=Container.OGG)]
ANYTHING_SAID = [None, "audio/mpeg", "audio/wav", "audio/pcm;rate=8000", "application/json", "application/octet-stream"]
EXPECTATIONS = [(asked, said) for asked in ANYTHING_ASKED for said in ANYTHING_SAID]


# Of what takes more than a pattern to be recognised, something whole.
CHECKED = (
    bytes.fromhex("00000100 0100 1010 0000 0100 1800 68030000 16000000"),
    b"\0\0\0\x01\x04\n\x81\x02\x01\x02" + bytes(255),
    "\ufeff<html>\r\n502".encode("utf-16-le"),
    "\ufeff<html>\r\n502".encode("utf-16-be"),
)


def samples_of(blocks: list[Block]) -> list[tuple[int, int | float]]:
    """Each sample with its rate."""
    return [(block.sample_rate_hz, sample) for block in blocks for sample in block.samples.tolist()]


def pcm_samples(pcm: bytes, rate_hz: int = 24000) -> list[tuple[int, int | float]]:
    return [(rate_hz, sample) for sample in np.frombuffer(pcm, "<i2").tolist()]


MP3_SAMPLES = samples_of(run(Mp3Decoder(), [MP3]))


@pytest.mark.parametrize("cut", CUTS)
class TestMagic:
    """What cannot be anything else, whatever was asked for or said."""

    def test_wav(self, cut: Cut) -> None:
        for asked, said in EXPECTATIONS:
            decoder = open_decoder(asked, said)
            assert samples_of(run(decoder, cut(WAV))) == pcm_samples(PCM, 16000), (asked, said)
            assert decoder.container is Container.WAV

    def test_mp3_with_a_tag(self, cut: Cut) -> None:
        for asked, said in EXPECTATIONS:
            decoder = open_decoder(asked, said)
            assert samples_of(run(decoder, cut(ID3 + MP3))) == MP3_SAMPLES, (asked, said)
            assert decoder.container is Container.MP3

    @each("signature", SIGNATURES)
    def test_what_has_no_decoder_is_named(self, cut: Cut, signature: Signature) -> None:
        if signature.container in DECODERS:
            return  # is decoded
        data = next((file for file in CHECKED if signature.fits(file)), signature.value)
        kind = "instead of audio" if signature.container is None else "audio, which has no decoder here"
        # All that may be asked and said with two of the cuts, which hold back nothing and everything.
        for asked, said in EXPECTATIONS if FULL or cut in (whole, byte_by_byte) else EXPECTATIONS[:1]:
            with pytest.raises(CorruptAudioError, match=f"^{re.escape(signature.name)} {kind}$"):
                run(open_decoder(asked, said), cut(data + b"\xfe" * 100))

    @each(
        ("text", "kind"),
        [
            (b'{"error": {"code": "voice_not_found"}}', "JSON"),
            (b' \r\n{\n  "detail": "no credits"}', "JSON"),
            ('{"détail": "crédits épuisés"}'.encode(), "JSON"),
            ('{"错误": "没有额度了，请充值"}'.encode(), "JSON"),
            (b'\xef\xbb\xbf{"error": "with a byte order mark"}', "JSON"),
            (b'[{"loc": ["body"], "msg": "field required"}]', "JSON"),
            (b'["too", "many", "requests"]', "JSON"),
            (b'"Unauthorized: no such key"', "JSON"),
            (b'{"e": 1}', "JSON"),
            (b"{}", "JSON"),
            (b"{ }\n", "JSON"),
            (b"<!DOCTYPE html><html><title>502</title></html>", "HTML"),
            (b"\n\n  <html><body>Bad gateway</body></html>", "HTML"),
            (b"\xef\xbb\xbf<HTML>", "HTML"),
            (b"\xef\xbb\xbfNot now, try again later", "text"),
            (b'<?xml version="1.0"?><Error/>', "XML"),
            (b"<Error><Code>AccessDenied</Code></Error>", "XML"),
            (b"\r\n", "white space"),
        ],
    )
    def test_text(self, cut: Cut, text: bytes, kind: str) -> None:
        for asked, said in EXPECTATIONS:
            with pytest.raises(NotAudioError, match=f"^{kind} instead of audio$") as caught:
                run(open_decoder(asked, said), cut(text))
            assert caught.value.head == text, (asked, said)


class TestText:
    @each("asked", ANYTHING_ASKED)
    @each("cut", CUTS)
    def test_of_a_long_one_the_first_4096_bytes_are_kept(self, asked: SourceFormat, cut: Cut) -> None:
        text = b'{"error": "' + b"x" * 10_000
        decoder, seen = open_decoder(asked), 0
        with pytest.raises(NotAudioError) as caught:
            for piece in cut(text):
                seen += len(piece)
                assert decoder.feed(piece) == []
        assert caught.value.head == text[:HEAD_BYTES_MAX]
        assert seen - len(piece) < HEAD_BYTES_MAX, "raised by the piece that filled the head"

    @each("text", [b"Internal Server Error", b"upstream timed out", "Zugriff gesperrt. Schlüssel?".encode()])
    @each(
        ("asked", "said"), [(ASKED_MP3, None), (ASKED_WAV, "audio/wav"), (RAW, "text/plain"), (RAW, "application/json")]
    )
    @each("cut", CUTS)
    def test_plain_text_is_told_where_it_can_be_nothing_else(
        self, text: bytes, asked: SourceFormat, said: str | None, cut: Cut
    ) -> None:
        with pytest.raises(NotAudioError, match=r"^text instead of audio$") as caught:
            run(open_decoder(asked, said), cut(text))
        assert caught.value.head == text

    def test_the_message_quotes_nothing(self) -> None:
        with pytest.raises(NotAudioError) as caught:
            run(open_decoder(RAW), [b'{"text": "what was to be spoken"}'])
        assert str(caught.value) == "JSON instead of audio"

    @each("said", ["text/html", "application/json"])
    @each("cut", CUTS)
    def test_audio_under_the_name_of_text_is_audio(self, said: str, cut: Cut) -> None:
        assert samples_of(run(open_decoder(RAW, said), cut(PCM))) == pcm_samples(PCM)
        assert samples_of(run(open_decoder(ASKED_MP3, said), cut(MP3))) == MP3_SAMPLES

    def test_compressed_text_is_no_audio(self) -> None:
        for asked in (ASKED_MP3, ASKED_WAV, RAW):
            with pytest.raises(CorruptAudioError, match="gzip-compressed data instead of audio"):
                run(open_decoder(asked), [gzip.compress(b'{"error": 1}')])

    @each(
        ("text", "kind"),
        [
            (b"Internal Server Error", "text"),
            (b"429 Too Many Requests\r\n", "text"),
            (b"Unauthorized", "text"),
            (b"upstream connect error or disconnect/reset before headers. reset reason: overflow", "text"),
            (b'data: {"error": "overloaded"}\n\n', "an event stream"),
            (b"event: error\ndata: {}\n\n", "an event stream"),
            (b"UklGRiQAAABXQVZFZm10IBAAAAABAAEAwF0AAIC7AAACABAAZGF0YQAAAAA=", "base64 text"),
            (b"data:audio/mp3;base64,SUQzBAAAAAAAI1RTU0UAAAAPAAADTGF2ZjU4", "base64 text"),
        ],
    )
    @each("cut", CUTS)
    def test_text_without_a_bracket_is_no_headerless_audio(self, text: bytes, kind: str, cut: Cut) -> None:
        for said in (None, "audio/pcm", "application/octet-stream"):
            with pytest.raises(NotAudioError, match=f"^{kind} instead of audio$") as caught:
                run(open_decoder(RAW, said), cut(text))
            assert caught.value.head == text


class TestMp3:
    @each("cut", CUTS)
    @each(
        ("asked", "said"),
        [
            (ASKED_MP3, None),
            (ASKED_MP3, "audio/mpeg"),
            (ASKED_MP3, "audio/pcm;rate=8000"),
            (ASKED_MP3, "audio/wav"),
            (ASKED_WAV, None),
            (ASKED_WAV, "audio/wav"),
            (ASKED_WAV, "audio/pcm;rate=8000"),
            (RAW, "audio/mpeg"),
            (SHAPELESS, "audio/mpeg"),
            (SourceFormat(container=Container.OGG), None),
        ],
    )
    def test_one_frame_header_is_enough_where_mp3_may_be(self, asked: SourceFormat, said: str | None, cut: Cut) -> None:
        decoder = open_decoder(asked, said)
        assert samples_of(run(decoder, cut(MP3))) == MP3_SAMPLES
        assert decoder.container is Container.MP3

    @each("said", [None, "audio/pcm", "application/octet-stream", "audio/vnd.example"])
    @each("cut", CUTS)
    def test_two_in_a_row_are_needed_where_pcm_is_expected(self, said: str | None, cut: Cut) -> None:
        decoder = open_decoder(RAW, said)
        assert samples_of(run(decoder, cut(MP3))) == MP3_SAMPLES
        assert decoder.container is Container.MP3

    def test_for_the_second_one_frame_waits(self) -> None:
        decoder = open_decoder(RAW)
        assert decoder.feed(MP3[:195]) == []
        assert decoder.feed(MP3[195:196])

    @pytest.mark.parametrize("cut", CUTS)
    def test_one_alone_is_pcm(self, cut: Cut) -> None:
        data = MP3[:192] + bytes(200)
        assert samples_of(run(open_decoder(RAW), cut(data))) == pcm_samples(data)
        assert samples_of(run(open_decoder(RAW), cut(MP3[:100]))) == pcm_samples(MP3[:100])

    def test_two_that_disagree_are_pcm(self) -> None:
        other_rate = bytearray(MP3)
        other_rate[194] ^= 0x04
        other_version = bytearray(MP3)
        other_version[193] ^= 0x08
        for data in (bytes(other_rate), bytes(other_version)):
            assert samples_of(run(open_decoder(RAW), [data])) == pcm_samples(data)

    def test_the_encoders_delay_is_passed_on(self) -> None:
        asked = SourceFormat(container=Container.MP3, encoder_delay_samples=100)
        assert samples_of(run(open_decoder(asked), [MP3])) == MP3_SAMPLES[100:]

    def test_junk_in_front_is_for_the_mp3_decoder_to_skip(self) -> None:
        assert samples_of(run(open_decoder(ASKED_MP3), [b"\0\1\2" + MP3])) == MP3_SAMPLES


class TestHeaderless:
    @each("cut", CUTS)
    @each(
        ("asked", "said", "rate_hz"),
        [
            (RAW, None, 24000),
            (RAW, "application/octet-stream", 24000),
            (RAW, "audio/mpeg", 24000),
            (RAW, "audio/wav", 24000),
            (RAW, "audio/pcm", 24000),
            (RAW, "audio/pcm;rate=44100", 44100),
            (SHAPELESS, "audio/pcm;rate=8000", 8000),
            (ASKED_MP3, "audio/pcm;rate=8000", 8000),
            (ASKED_WAV, "audio/pcm;rate=8000", 8000),
        ],
    )
    def test_the_rate_is_that_of_the_reply(self, asked: SourceFormat, said: str | None, rate_hz: int, cut: Cut) -> None:
        decoder = open_decoder(asked, said)
        assert samples_of(run(decoder, cut(PCM))) == pcm_samples(PCM, rate_hz)
        assert decoder.container is Container.RAW

    def test_the_encoding_is_that_of_the_reply(self) -> None:
        assert samples_of(run(open_decoder(RAW, "audio/L16;rate=16000"), [b"\1\2"])) == [(16000, 0x0201)]
        big = "audio/L16;rate=16000;endianness=big-endian"
        assert samples_of(run(open_decoder(RAW, big), [b"\1\2"])) == [(16000, 0x0102)]
        assert samples_of(run(open_decoder(SHAPELESS, "audio/L16;rate=16000"), [b"\1\2"])) == [(16000, 0x0102)]
        assert samples_of(run(open_decoder(RAW, "audio/basic"), [b"\x80\x00"])) == [(8000, 32124), (8000, -32124)]

    def test_channels_are_mixed(self) -> None:
        assert samples_of(run(open_decoder(RAW, "audio/pcm;rate=8000;channels=2"), [b"\2\0\4\0"])) == [(8000, 3)]

    @pytest.mark.parametrize("said", [None, "audio/pcm", "application/octet-stream"])
    def test_without_a_shape_it_is_refused(self, said: str | None) -> None:
        with pytest.raises(CorruptAudioError, match="nothing says its rate and encoding"):
            open_decoder(SHAPELESS, said).feed(PCM)

    def test_with_an_impossible_shape_too(self) -> None:
        with pytest.raises(CorruptAudioError, match="7 channels"):
            open_decoder(RAW, "audio/pcm;rate=8000;channels=7").feed(PCM)

    @pytest.mark.parametrize("asked", [ASKED_WAV, SourceFormat(container=Container.WAV, pcm=S16)])
    def test_it_is_no_wav(self, asked: SourceFormat) -> None:
        with pytest.raises(CorruptAudioError, match="not a WAV"):
            run(open_decoder(asked), [PCM])

    def test_it_is_no_container_that_was_asked_for_in_vain(self) -> None:
        with pytest.raises(CorruptAudioError, match="aiff audio, which has no decoder here"):
            run(open_decoder(SourceFormat(container=Container.AIFF)), [PCM])

    @pytest.mark.parametrize("said", ["audio/G722", "audio/gsm", "audio/speex"])
    def test_it_is_no_headerless_codec_that_is_declared(self, said: str) -> None:
        with pytest.raises(CorruptAudioError, match="audio, which has no decoder here"):
            run(open_decoder(RAW, said), [PCM])

    @each("said", [None, "audio/pcm;rate=44100;channels=2", "audio/wav", "audio/G722", "x/y"])
    @each("cut", CUTS)
    def test_an_operator_knows_better_than_headers(self, said: str | None, cut: Cut) -> None:
        override = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=16000)
        for asked in (RAW, SHAPELESS, ASKED_WAV, ASKED_MP3):
            assert samples_of(run(open_decoder(asked, said, override), cut(PCM))) == pcm_samples(PCM, 16000)
            assert samples_of(run(open_decoder(asked, said, override), cut(WAV))) == pcm_samples(PCM, 16000)
            assert samples_of(run(open_decoder(asked, said, override), cut(ID3 + MP3))) == MP3_SAMPLES


# All that headerless audio may begin with and still be something else; after each of these the next byte decides.
HELD = [
    *(b"RIFF????WAVE"[:size] for size in range(1, 12)),
    *((b"ID3\4\0\0" + bytes(4))[:size] for size in range(1, 10)),
    *(b"OggS"[:size] for size in range(1, 4)),
    *(b"fLaC"[:size] for size in range(1, 4)),
    *(b'{"error": {"code'[:size] for size in range(1, 16)),
    *(b'[{"error": "code'[:size] for size in range(1, 16)),
    *(b'"Unauthorized. N'[:size] for size in range(1, 16)),
    *(b"<!doctype html><"[:size] for size in range(1, 16)),
    *(b"<html><head><tit"[:size] for size in range(1, 16)),
    *(b"<?xml version=1?"[:size] for size in range(1, 16)),
    *(b'\xef\xbb\xbf {"error":1}'[:size] for size in range(1, 15)),
    *(b" \n\r\t"[:size] for size in range(1, 5)),
]


class TestNothingWaits:
    """Headerless audio flows from its first whole sample on."""

    def test_only_what_may_still_become_something_else_does(self) -> None:
        more = b"\xfe" * 8
        for held in HELD:
            decoder = open_decoder(RAW)
            assert decoder.feed(held) == [], held
            blocks = list(decoder.feed(more))
            assert samples_of(blocks) == pcm_samples((held + more)[: len(held) // 2 * 2 + 8]), held

    @given(st.binary(min_size=1, max_size=40))
    def test_no_other_bytes_do(self, head: bytes) -> None:
        assume(not may_be_more(head))
        decoder = open_decoder(RAW)
        blocks = list(decoder.feed(head))
        assert decoder.container is Container.RAW
        assert samples_of(blocks) == pcm_samples(head[: len(head) // 2 * 2])

    def test_few_first_bytes_wait(self) -> None:
        waiting = []
        for first in range(256):
            decoder = open_decoder(RAW)
            decoder.feed(bytes([first]))
            waiting += [first] if decoder.container is None else []
        assert set(waiting) == set(BY_FIRST_BYTE) | set(framed.FIRST_BYTES) | set(texts.FIRST_BYTES)

    @each(
        "start",
        [
            b"RIFY",
            b"ID3\1" + bytes(6),
            b"ID3\5",
            b"ID3\4\0\0\x80",
            b"Oggs",
            b"fLaX",
            b"{}~{",
            b"{[",
            b"[[",
            b"[]",
            b'""',
            b"<i",
            b"\xef\xbb\xbe",
            b' "#',
            b'{"\0',
            b'{"\x7f',
            b'{"\xff',
            b"\xff\xf3\xf4\xc0",
            b"\xff\xf1\x7c\xc0\0\0\0",
            b"\x56\xc0\0",
        ],
    )
    def test_what_only_resembles_does_not(self, start: bytes) -> None:
        decoder = open_decoder(RAW)
        assert samples_of(list(decoder.feed(start + b"\0\0"))) == pcm_samples(
            (start + b"\0\0")[: len(start) // 2 * 2 + 2]
        )

    @each(
        "quiet_or_smooth",
        [
            bytes([0xFF]) * 160,
            bytes([0x7F, 0x7E, 0x7D, 0x7C, 0x7B] * 32),
            bytes([0x7B, 0x7D, 0x7E] * 60),
            bytes(range(0x5B, 0x7F)) * 4,
            bytes(range(0x22, 0x7F)) * 2,
            bytes([0x5B]) * 160,
            bytes([0x80]) * 160,
        ],
    )
    @each("encoding", [Encoding.MULAW, Encoding.ALAW, Encoding.PCM_U8])
    def test_telephony_is_not_taken_for_text(self, quiet_or_smooth: bytes, encoding: Encoding) -> None:
        pcm = AudioFormat(encoding=encoding, sample_rate_hz=8000)
        decoder = open_decoder(SourceFormat(container=Container.RAW, pcm=pcm))
        assert len(samples_of(list(decoder.feed(quiet_or_smooth)))) == len(quiet_or_smooth)


def may_be_more(head: bytes) -> bool:
    """A second opinion, by the first byte alone: whether anything else begins so."""
    return head[0] in set(BY_FIRST_BYTE) | set(framed.FIRST_BYTES) | set(texts.FIRST_BYTES)


class TestSilence:
    @pytest.mark.parametrize("cut", CUTS)
    def test_the_first_sample_of_declared_silence_does_not_wait(self, cut: Cut) -> None:
        decoder = open_decoder(RAW, "audio/pcm")
        assert samples_of(list(decoder.feed(b"\0\0"))) == [(24000, 0)]
        silence = bytes(8) + PCM
        assert samples_of(run(open_decoder(RAW, "audio/pcm"), cut(silence))) == pcm_samples(silence)

    @each("cut", CUTS)
    @each("more", [b"", bytes(500)])
    def test_a_container_that_begins_with_zeros_is_told_all_the_same(self, more: bytes, cut: Cut) -> None:
        decoder, blocks = open_decoder(RAW, "audio/pcm"), list[Block]()
        if Container.MPEG_PS in DECODERS:
            return
        with pytest.raises(CorruptAudioError, match="MPEG-PS"):
            for piece in [*cut(b"\0\0\1\xba" + more), b"\0"]:
                blocks += decoder.feed(piece)
        assert samples_of(blocks) == [(24000, 0)]
        with pytest.raises(CorruptAudioError, match="MPEG-PS"):
            run(open_decoder(RAW), cut(b"\0\0\1\xba" + more))


class TestEnds:
    def test_no_bytes_give_nothing(self) -> None:
        for asked in ANYTHING_ASKED:
            assert run(open_decoder(asked), []) == run(open_decoder(asked), [b"", b""]) == []

    @pytest.mark.parametrize("size", range(1, 4))
    def test_the_start_of_a_magic_alone_is_pcm(self, size: int) -> None:
        for magic in (b"RIFF", b"OggS", b"fLaC"):
            head = magic[:size]
            assert samples_of(run(open_decoder(RAW), [head])) == pcm_samples(head[: size // 2 * 2])

    @each("size", range(4, 45))
    def test_a_wav_cut_in_its_header_is_never_a_success(self, size: int) -> None:
        for asked, said in EXPECTATIONS:
            with pytest.raises((TruncatedAudioError, CorruptAudioError)):
                run(open_decoder(asked, said), [WAV[:size]])

    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_a_wav_cut_in_its_first_bytes_is_not_text(self, size: int) -> None:
        with pytest.raises(TruncatedAudioError):
            run(open_decoder(ASKED_WAV), [WAV[:size]])


MAKERS: list[Callable[[], SniffingDecoder]] = [
    lambda: open_decoder(RAW),
    lambda: open_decoder(RAW, "audio/mpeg"),
    lambda: open_decoder(RAW, "text/html"),
    lambda: open_decoder(ASKED_MP3),
    lambda: open_decoder(ASKED_WAV),
]
STARTS = [
    b"",
    b"RIFF",
    b"RIFF1234WAVE",
    b"ID3",
    b"ID3\4\0\0\0",
    b'{"',
    b"[",
    b'"',
    b"<ht",
    b" ",
    b"\xef\xbb",
    b"\xff\xf3\x84",
]


def outcome(make: Callable[[], SniffingDecoder], pieces: list[bytes]) -> object:
    try:
        return samples_of(run(make(), pieces))
    except (CorruptAudioError, TruncatedAudioError) as error:
        return type(error), str(error)


@given(drawn=st.data(), make=st.sampled_from(MAKERS), start=st.sampled_from(STARTS), rest=st.binary(max_size=30))
def test_every_cut_has_the_same_outcome(
    drawn: st.DataObject, make: Callable[[], SniffingDecoder], start: bytes, rest: bytes
) -> None:
    data = start + rest
    assert outcome(make, drawn.draw(cuts_of(data))) == outcome(make, [data])


@given(make=st.sampled_from(MAKERS), start=st.sampled_from([b"", *STARTS]), rest=st.binary(min_size=1, max_size=30))
def test_a_first_byte_that_tells_nothing_has_the_outcome_of_all_patterns(
    make: Callable[[], SniffingDecoder], start: bytes, rest: bytes
) -> None:
    quick = outcome(make, [start + rest])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sniff, "_TELLING_STARTS", range(256))
        assert outcome(make, [start + rest]) == quick
