"""Frames without a container are recognised by one another, wherever the input is cut."""

import random

import pytest

from relay.codecs.framed import FRAMINGS, Framing, frames_begin
from relay.core.formats import Container
from tests.covering import FULL, each

MP3 = b"\xff\xf3\x84\xc0" + bytes(188)
MP2 = b"\xff\xfd\x84\x04" + bytes(380)
MP1 = b"\xff\xff\x44\x00" + bytes(124)
ADTS = b"\xff\xf1\x58\x40\x02\x1f\xfc" + bytes(9)
LATM = b"\x56\xe0\x0d" + bytes(13)
AC3 = b"\x0b\x77\x00\x00\x10\x40" + bytes(506)
EAC3 = b"\x0b\x77\x00\x2f\x32\x87" + bytes(90)
FREE = b"\xff\xf3\x04\xc0" + bytes(96)
GSM = bytes.fromhex("d820a2e15a50004924924924500049249249245000492492492450004924924924")
FRAMES = [
    (Container.MP3, MP3),
    (Container.MP2, MP2),
    (Container.MP2, MP1),
    (Container.AAC, ADTS),
    (Container.LATM, LATM),
    (Container.AC3, AC3),
    (Container.AC3, EAC3),
    (Container.FREE_MP3, FREE),
    (Container.GSM, GSM),
]
BY_CONTAINER = {framing.container: framing for framing in FRAMINGS}


@each(("container", "frame"), FRAMES)
def test_as_many_headers_as_are_proof_are_enough(container: Container, frame: bytes) -> None:
    framing = BY_CONTAINER[container]
    stream = frame * (framing.proof + 2)
    enough = len(frame) * (framing.proof - 1) + framing.header_bytes
    answers = [frames_begin(stream[:size], framing, framing.proof, ended=False) for size in range(1, len(stream))]
    assert True in answers
    first = answers.index(True)
    assert set(answers[:first]) == {None}
    assert set(answers[first:]) == {True}
    assert first + 1 <= enough


@each(("container", "frame"), FRAMES)
def test_frames_are_of_one_kind(container: Container, frame: bytes) -> None:
    for framing in FRAMINGS:
        expected = framing.container is container
        stream = frame * (framing.proof + 2)
        assert frames_begin(stream, framing, framing.proof, ended=True) is expected, framing.name


@each(("container", "frame"), FRAMES)
def test_an_input_that_ends_with_its_first_frame_is_one(container: Container, frame: bytes) -> None:
    framing = BY_CONTAINER[container]
    if container is Container.FREE_MP3:
        return  # it does not say how long it is
    assert frames_begin(frame, framing, 2, ended=True) is framing.is_told_by_end
    assert frames_begin(frame[:-1], framing, 2, ended=True) is False


@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.name)
def test_an_answer_once_given_stays(framing: Framing) -> None:
    source = random.Random(3)
    starts = [frame[: framing.header_bytes] for container, frame in FRAMES if container is framing.container]
    for _ in range(300 if FULL else 40):
        data = source.choice(starts) + source.randbytes(3000)
        sizes = [*range(1, 50), *range(50, len(data), 7 if FULL else 31)]
        answers = [frames_begin(data[:size], framing, framing.proof, ended=False) for size in sizes]
        decided = [answer for answer in answers if answer is not None]
        assert len(set(decided)) <= 1
        assert decided, "a frame's length is bounded" if framing.container is not Container.AAC else ""


def test_noise_is_none() -> None:
    source = random.Random(4)
    for _ in range(20_000 if FULL else 6000):
        data = source.choice((b"\xff", b"\x56", b"\x0b", b"\xd8")) + source.randbytes(600)
        for framing in FRAMINGS:
            assert not frames_begin(data, framing, framing.proof, ended=True), data[:8].hex()


def test_near_silence_in_alaw_is_no_gsm() -> None:
    source = random.Random(5)
    framing = BY_CONTAINER[Container.GSM]
    for _ in range(2000 if FULL else 500):
        data = b"\xd5" + bytes(source.choice(b"\xd5\x55\xd4\x54\xd7\x57") for _ in range(600))
        assert frames_begin(data, framing, framing.proof, ended=True) is False
    assert frames_begin(b"\xd5" * 600, framing, framing.proof, ended=False) is False


def test_quiet_samples_in_network_order_are_no_mp3_of_free_format() -> None:
    """They begin with FF Fx often, and go on with it, but not at one distance."""
    source = random.Random(6)
    for _ in range(400):
        samples = [source.choice((-5, -6, -13)), *(round(source.gauss(0, 12)) for _ in range(600))]
        data = b"".join(sample.to_bytes(2, "big", signed=True) for sample in samples)
        for framing in FRAMINGS:
            assert not frames_begin(data, framing, framing.proof, ended=True), (framing.name, data[:8].hex())
