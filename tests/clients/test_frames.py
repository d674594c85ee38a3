"""Binary messages -> frames: what is accepted, and everything that is not."""

import pytest
from relay_client.errors import ProtocolError
from relay_client.frames import AudioFormat, FrameReader

from tests.clients.scripted import frames_of, header, samples_of
from tests.covering import each

FORMAT = AudioFormat(
    encoding="pcm_s16le", sample_rate=8000, channels=1, frame_ms=20, frame_samples=160, frame_bytes=320, tail="pad"
)
SHORT = AudioFormat(
    encoding="pcm_s16le", sample_rate=8000, channels=1, frame_ms=20, frame_samples=160, frame_bytes=320, tail="short"
)


def reader(audio: AudioFormat = FORMAT) -> FrameReader:
    return FrameReader(audio, 0)


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 320, 1000])
def test_every_sample_comes_back_in_place(samples: int) -> None:
    one = reader()
    frames = [one.read(message) for message in frames_of(samples)]
    assert b"".join(frame.speech for frame in frames) == samples_of(0, samples)
    assert [frame.pts for frame in frames] == list(range(0, samples, 160))
    assert [frame.last for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert (one.frames, one.samples, one.padding_samples) == (len(frames), samples, -samples % 160)
    assert all(len(frame.payload) == 320 for frame in frames)


def test_a_short_tail_is_a_frame_without_padding() -> None:
    frame = reader(SHORT).read(header(0, last=True) + samples_of(0, 7))
    assert (frame.samples, frame.padding, frame.payload) == (7, 0, samples_of(0, 7))


def test_padding_of_two_channels_is_cut_at_a_whole_sample() -> None:
    stereo = AudioFormat(
        encoding="pcm_s16le", sample_rate=8000, channels=2, frame_ms=20, frame_samples=160, frame_bytes=640
    )
    frame = FrameReader(stereo, 0).read(header(0, padding=60, last=True) + samples_of(0, 200) + bytes(240))
    assert (frame.samples, frame.speech) == (100, samples_of(0, 200))


FULL = samples_of(0, 160)
WRONG = {
    "shorter than its header": (header(0)[:15], "too short"),
    "another version": (header(0, version=2) + FULL, "version 2"),
    "another turn": (header(0, turn_index=1) + FULL, "turn index 1"),
    "a gap": (header(160) + FULL, "starts at sample 160"),
    "an odd size": (header(0) + FULL[:-1], "319 bytes"),
    "too long": (header(0) + FULL + b"ab", "322 bytes"),
    "short where tails are padded": (header(0, last=True) + FULL[:-2], "318 bytes"),
    "more padding than audio": (header(0, padding=161, last=True) + FULL, "161 samples of padding"),
    "nothing after the header": (header(0, last=True), "0 bytes"),
}


@each("name", WRONG)
def test_a_wrong_message_is_refused(name: str) -> None:
    message, reason = WRONG[name]
    with pytest.raises(ProtocolError, match=reason):
        reader().read(message)


@pytest.mark.parametrize(
    "message",
    [
        header(0) + FULL[:-1],
        header(0) + b"",
    ],
)
def test_a_short_tail_is_whole_samples(message: bytes) -> None:
    with pytest.raises(ProtocolError):
        reader(SHORT).read(message)


def test_a_repeated_frame_is_refused() -> None:
    one = reader()
    one.read(header(0) + FULL)
    with pytest.raises(ProtocolError, match="ended at 160"):
        one.read(header(0) + FULL)


@pytest.mark.parametrize(
    "last", [header(0, last=True) + FULL, header(0, padding=1) + FULL], ids=["marked", "known by its padding"]
)
def test_nothing_follows_the_last_frame(last: bytes) -> None:
    one = reader()
    frame = one.read(last)
    with pytest.raises(ProtocolError, match="after the last frame"):
        one.read(header(frame.samples) + FULL)


def test_nothing_follows_a_short_frame() -> None:
    one = reader(SHORT)
    one.read(header(0) + FULL[:20])
    with pytest.raises(ProtocolError, match="after the last frame"):
        one.read(header(10) + FULL)


@pytest.mark.parametrize(
    "wrong", [{"encoding": "opus"}, {"sample_rate": 0}, {"frame_ms": 0}, {"frame_bytes": 321}, {"channels": 2}]
)
def test_an_impossible_format_is_refused(wrong: dict[str, object]) -> None:
    right: dict[str, object] = {
        "encoding": "pcm_s16le",
        "sample_rate": 8000,
        "channels": 1,
        "frame_ms": 20,
        "frame_samples": 160,
        "frame_bytes": 320,
    }
    with pytest.raises(ProtocolError, match="announced"):
        AudioFormat(**{**right, **wrong})  # type: ignore[arg-type]
