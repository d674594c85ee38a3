import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.formats import AudioFormat, Encoding, FrameFormat, Tail
from relay.core.frames import Frame
from relay.core.reframer import Reframer
from tests.cuts import CUTS, Cut, cuts_of, run

FRAME_SAMPLES = 160


def form_of(
    encoding: Encoding = Encoding.PCM_S16LE, *, channels: int = 1, tail: Tail = "pad", header: bool = False
) -> FrameFormat:
    audio = AudioFormat(encoding=encoding, sample_rate_hz=8000, channels=channels)
    return FrameFormat(audio=audio, frame_samples=FRAME_SAMPLES, tail=tail, header=header)


def expected(audio: bytes, form: FrameFormat) -> list[Frame]:
    """What a reframer must give for whole samples, worked out from all of them at once."""
    align, size = form.audio.block_align, form.frame_bytes
    samples = len(audio) // align
    frames = []
    for start in range(0, samples, FRAME_SAMPLES):
        payload = audio[start * align : start * align + size]
        count = len(payload) // align
        padding = FRAME_SAMPLES - count if form.tail == "pad" else 0
        payload += form.audio.encoding.silence * padding * form.audio.channels
        is_end = start + FRAME_SAMPLES >= samples
        frames.append(Frame(start, count, padding, payload, last=is_end and (count < FRAME_SAMPLES or form.header)))
    return frames


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def name_of(form: FrameFormat) -> str:
    return f"{form.audio.encoding}-{form.audio.channels}ch-{form.tail}{'-header' if form.header else ''}"


FORMS = [
    form_of(),
    form_of(tail="short"),
    form_of(header=True),
    form_of(header=True, tail="short"),
    form_of(channels=2),
    form_of(Encoding.MULAW),
    form_of(Encoding.ALAW, channels=2, header=True),
    form_of(Encoding.PCM_F32LE),
]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("form", FORMS, ids=name_of)
def test_every_cut_gives_the_same_frames(cut: Cut, form: FrameFormat) -> None:
    for samples in (0, 1, FRAME_SAMPLES - 1, FRAME_SAMPLES, FRAME_SAMPLES + 1, 5 * FRAME_SAMPLES, 1234):
        audio = noise(samples * form.audio.block_align)
        assert run(Reframer(form), cut(audio)) == expected(audio, form), samples


@given(data=st.data(), samples=st.integers(0, 5 * FRAME_SAMPLES), form=st.sampled_from(FORMS))
def test_counts_are_true_after_every_call(data: st.DataObject, samples: int, form: FrameFormat) -> None:
    audio = noise(samples * form.audio.block_align)
    reframer, fed, frames = Reframer(form), 0, list[Frame]()
    for piece in data.draw(cuts_of(audio)):
        frames += reframer.feed(piece)
        fed += len(piece)
        assert reframer.frames == len(frames)
        assert reframer.samples == sum(frame.samples for frame in frames)
        assert reframer.pending_samples == fed // form.audio.block_align - reframer.samples
        assert reframer.padding_samples == 0
    frames += reframer.flush()
    assert frames == expected(audio, form)
    assert (reframer.frames, reframer.samples) == (len(frames), samples)
    assert reframer.padding_samples == sum(frame.padding for frame in frames)
    assert reframer.pending_samples == 0
    assert reframer.stray_bytes == 0


@pytest.mark.parametrize("form", FORMS, ids=name_of)
def test_the_speech_in_the_frames_is_the_audio(form: FrameFormat) -> None:
    audio = noise(1234 * form.audio.block_align)
    frames = run(Reframer(form), [audio])
    assert b"".join(frame.payload[: frame.samples * form.audio.block_align] for frame in frames) == audio
    assert {len(frame.payload) for frame in frames[:-1]} == {form.frame_bytes}


@pytest.mark.parametrize(
    ("encoding", "silence"),
    [
        (Encoding.PCM_S16LE, b"\0\0"),
        (Encoding.PCM_F32LE, b"\0\0\0\0"),
        (Encoding.MULAW, b"\xff"),
        (Encoding.ALAW, b"\xd5"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_padding_is_the_silence_of_the_encoding(encoding: Encoding, silence: bytes, channels: int) -> None:
    form = form_of(encoding, channels=channels)
    sample = b"\x11" * form.audio.block_align
    [frame] = run(Reframer(form), [sample])
    assert frame.payload == sample + silence * (channels * (FRAME_SAMPLES - 1))
    assert (frame.samples, frame.padding, frame.last) == (1, FRAME_SAMPLES - 1, True)


def test_a_full_frame_waits_for_nothing() -> None:
    form = form_of()
    assert len(Reframer(form).feed(bytes(form.frame_bytes))) == 1


def test_with_a_header_a_full_frame_waits_until_it_is_known_not_to_be_the_last() -> None:
    form = form_of(header=True)
    reframer = Reframer(form)
    assert reframer.feed(bytes(form.frame_bytes)) == []
    assert reframer.pending_samples == FRAME_SAMPLES
    [frame] = reframer.feed(bytes(form.audio.block_align))
    assert not frame.last
    [last] = reframer.flush()
    assert (last.pts, last.last) == (FRAME_SAMPLES, True)


@pytest.mark.parametrize("tail", ["pad", "short"])
def test_a_partial_sample_at_the_end_is_counted_and_left_out(tail: Tail) -> None:
    form = form_of(channels=2, tail=tail)
    reframer = Reframer(form)
    [frame] = run(reframer, [b"\1\1\2\2", b"\3\3\4"])
    assert reframer.stray_bytes == 3
    assert frame.samples == 1
    assert frame.payload.rstrip(b"\0") == b"\1\1\2\2"


def test_nothing_but_a_partial_sample_is_no_frame() -> None:
    reframer = Reframer(form_of())
    assert run(reframer, [b"\1"]) == []
    assert (reframer.frames, reframer.stray_bytes) == (0, 1)


def test_a_partial_sample_at_the_end_does_not_hide_the_last_frame() -> None:
    """With a header a frame waits for the next whole sample: less than one never makes another frame."""
    form = form_of(header=True)
    reframer = Reframer(form)
    assert reframer.feed(bytes(form.frame_bytes + 1)) == []
    [frame] = reframer.flush()
    assert (frame.last, frame.padding, reframer.stray_bytes) == (True, 0, 1)
