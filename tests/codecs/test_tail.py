"""Errors behind headerless audio: found for every cut, and nothing held back that a first frame needs."""

import random
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.codecs import open_decoder
from relay.codecs.base import HEAD_BYTES_MAX, NotAudioError
from relay.codecs.tail import FREE_BYTES, Tail, find_text
from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from tests.covering import base_choices, each
from tests.cuts import CUTS, Cut, cuts_of

QUIET = (np.sin(np.arange(4000) / 9) * 900).astype("<i2").tobytes()
NOISE = np.random.default_rng(5).integers(-32768, 32767, 4000).astype("<i2").tobytes()
JSON = b'{"error":{"code":"quota_exceeded","message":"out of credits"}}'
MARKED = [
    JSON,
    b'\r\n{"detail": "no"}',
    b'[{"loc": ["body"]}]',
    '{"错误": "没有额度了"}'.encode(),
    b"<html><body><h1>502 Bad Gateway</h1></body></html>",
    b'<?xml version="1.0"?><Error><Code>SlowDown</Code></Error>',
    b'data: {"error": "overloaded"}\n\n',
    b"event: error\ndata: {}\n\n",
    b'{"e":1}',
]
WORDS = [b"Internal Server Error", b"Error: the model is overloaded, try again later", b"Bad Gateway\r\n"]


def outcome(width: int, pieces: list[bytes]) -> tuple[bytes, str | None, bytes | None]:
    """What is played, and the error."""
    tail, played, at = Tail(width), b"", 0
    try:
        for piece in pieces:
            played += tail.pass_on(piece, at)
            at += len(piece)
        return played + tail.flush(), None, None
    except NotAudioError as error:
        return played, str(error), error.head


@pytest.mark.parametrize("encoding", [Encoding.PCM_S16LE, Encoding.PCM_F32LE, Encoding.MULAW])
@each("text", [*MARKED, *WORDS])
@each("audio, cut", base_choices([QUIET[:3000], NOISE[:3000]], CUTS))
def test_no_sample_of_a_text_is_played(audio: bytes, text: bytes, encoding: Encoding, cut: Cut) -> None:
    if text in WORDS and encoding is Encoding.MULAW:
        return  # its first 15 letters are played: the next test
    pcm = AudioFormat(encoding=encoding, sample_rate_hz=8000)
    # What ends in a letter or a bracket may be the text's own.
    audio = audio[:-4] + b"\xff\xff\xff\xff"
    decoder, samples = open_decoder(SourceFormat(container=Container.RAW, pcm=pcm), "audio/pcm"), 0
    with pytest.raises(NotAudioError) as raised:
        for piece in cut(audio + text):
            samples += sum(len(block.samples) for block in decoder.feed(piece))
        decoder.flush()
    assert raised.value.head.strip() == text.strip()
    assert samples == len(audio) // pcm.block_align


@pytest.mark.parametrize("cut", CUTS)
def test_of_plain_words_among_8_bit_samples_fifteen_are_played(cut: Cut) -> None:
    words = b"Error: the model is overloaded, try again later"
    assert outcome(1, cut(b"\xff" * 3000 + words)) == (
        b"\xff" * 3000 + words[:15],
        "text in the middle of the audio",
        words,
    )


PARTS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [*MARKED, *WORDS, b'{"', b"{", b"<a", b"\n", b"d", b"data", b"Ab", b"\xe9\x94", b"x" * 30, b"ab cd "]
    ),
    st.text(alphabet='abEZ {}"\n<:,', max_size=30).map(str.encode),
    st.sampled_from([bytes(FREE_BYTES), b"\xff\xfe" * 600]),
)


@given(
    drawn=st.data(),
    width=st.sampled_from([1, 2, 4]),
    parts=st.lists(PARTS, max_size=6).map(b"".join),
    whole=st.booleans(),
)
def test_every_cut_has_the_same_outcome(drawn: st.DataObject, width: int, parts: bytes, whole: bool) -> None:
    expected = outcome(width, [parts])
    assert outcome(width, drawn.draw(cuts_of(parts))) == expected
    assert outcome(width, [parts[at : at + 1] for at in range(len(parts))]) == expected


@pytest.mark.parametrize("width", [1, 2, 4])
def test_what_is_no_text_is_passed_on_whole(width: int) -> None:
    source = random.Random(8)
    for audio in (QUIET, NOISE, *(source.randbytes(3000) for _ in range(300))):
        played, error, _ = outcome(width, [audio])
        assert (played, error) == (audio, None)


@pytest.mark.parametrize("width", [1, 2])
def test_no_first_byte_waits_for_a_single_character(width: int) -> None:
    for last in range(256):
        piece = b"\xff" * (FREE_BYTES - 1) + bytes([last])
        assert Tail(width).pass_on(piece, 0) == piece


def test_what_waits_of_noise_is_little() -> None:
    source, held, pieces = random.Random(9), 0, 4000
    for _ in range(pieces):
        piece = source.randbytes(200)
        held += len(piece) - len(Tail(2).pass_on(piece, FREE_BYTES))
    assert held / pieces < 0.1, "bytes a piece"


def test_a_long_text_is_not_waited_for() -> None:
    tail, given = Tail(2), tuple(b'{"error": "' + b"x" * HEAD_BYTES_MAX)
    assert tail.pass_on(QUIET, 0) == QUIET
    with pytest.raises(NotAudioError) as raised:
        for at in range(0, len(given), 100):
            tail.pass_on(bytes(given[at : at + 100]), len(QUIET))
        tail.pass_on(b" ", len(QUIET))
    assert len(raised.value.head) == HEAD_BYTES_MAX


@pytest.mark.parametrize(
    "data", [b'{"' * 8000, b"a b " * 4000, b'{"a' * 5000 + b"\xff\xfe", b"\x80" * 16_000, b"Z z " * 4000]
)
def test_what_looks_like_a_text_at_every_place_is_no_work(data: bytes) -> None:
    """16 KiB at once: a few milliseconds, held here by the number of places that are looked at."""
    tail, looked = Tail(2), 0
    original = Tail._failed

    def counting(self: Tail) -> int | None:
        nonlocal looked
        looked += 1
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tail, "_failed", counting)
        tail.pass_on(data[:16_384], 0)
    assert looked < 10_000


def test_a_text_is_found_where_it_begins() -> None:
    assert find_text(b"\xff\xfb" + bytes(100) + JSON) == 102
    assert find_text(JSON + b"\0") is None
    assert find_text(b'\0{"a') is None


def test_tones_in_mulaw_that_look_like_tags_are_audio() -> None:
    """Slow tones walk through the bytes between `<` and `>`."""
    for wave in (
        "2c30322e2824252d42d8bfbbbdc7df46302c2f4b",
        "687c543c2f2b2c30322e2824252d42",
        "543b3c613e3f464c4c443b332e2d2d",
    ):
        tail = Tail(1)
        head = bytes([0xFF] * 2000)
        assert tail.pass_on(head, 0) + tail.pass_on(
            bytes.fromhex(wave), len(head)
        ) + tail.flush() == head + bytes.fromhex(wave)


@pytest.mark.parametrize(
    "text", [b"<Error><Code>Quota</Code></Error>", b'<?xml version="1.0"?><Error/>', b"<error code='5'/> "]
)
def test_xml_behind_audio_is_an_error(text: bytes) -> None:
    tail = Tail(1)
    head = bytes([0xFF] * 2000)
    tail.pass_on(head + text, 0)
    with pytest.raises(NotAudioError):
        tail.flush()


@pytest.mark.parametrize("made_of", [b"{[<", b"{", b"[ ", b"<", b"\r\n", b'{"', b"data:event", b"Ee"])
@pytest.mark.parametrize("width", [1, 2])
def test_no_slice_holds_the_loop(made_of: bytes, width: int) -> None:
    """CPU time, with room for slow machines: what it was took 60 ms, at 20 ms another session's audio is late."""
    tail, slice_ = Tail(width), made_of * (8192 // len(made_of))
    took_s = []
    for number in range(4):
        start_s = time.process_time()
        try:
            tail.pass_on(slice_, number * len(slice_))
        except NotAudioError:
            tail = Tail(width)
        took_s.append(time.process_time() - start_s)
    assert min(took_s[1:]) < 0.02
