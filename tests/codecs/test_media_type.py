from hypothesis import given
from hypothesis import strategies as st

from relay.codecs.media_type import MediaType, read_media_type
from relay.core.formats import AudioFormat, Container, Encoding
from tests.covering import each

ASKED = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000)


def form(encoding: Encoding, rate_hz: int, channels: int = 1) -> AudioFormat:
    return AudioFormat(encoding=encoding, sample_rate_hz=rate_hz, channels=channels)


@each(
    ("content_type", "container"),
    [
        ("audio/mpeg", Container.MP3),
        ("audio/mp3", Container.MP3),
        ("Audio/MPEG; charset=binary", Container.MP3),
        ("audio/wav", Container.WAV),
        ("audio/x-wav", Container.WAV),
        ("audio/wave", Container.WAV),
        ("audio/vnd.wave;codec=1", Container.WAV),
        ("audio/ogg; codecs=opus", Container.OGG),
        ("audio/flac", Container.FLAC),
        ("audio/aac", Container.AAC),
        ("audio/mp4", Container.MP4),
        ("video/webm; codecs=opus", Container.WEBM),
        ("audio/aiff", Container.AIFF),
        ("audio/G722", Container.G722),
        ("application/vnd.example.speech", None),
        ("application/octet-stream", None),
        ("application/json", None),
        ("", None),
        (";;=;", None),
        (None, None),
    ],
)
def test_containers(content_type: str | None, container: Container | None) -> None:
    media = read_media_type(content_type, ASKED)
    assert (media.container, media.pcm) == (container, ASKED)


@each(
    ("content_type", "shape"),
    [
        ("audio/pcm;rate=16000;channels=2", form(Encoding.PCM_S16LE, 16000, 2)),
        ("audio/pcm; rate=44100", form(Encoding.PCM_S16LE, 44100)),
        ("audio/x-pcm; sample_rate=22050", form(Encoding.PCM_S16LE, 22050)),
        ('AUDIO/PCM ; Rate = "8000" ; Encoding = PCM_F32LE', form(Encoding.PCM_F32LE, 8000)),
        ("audio/pcm;encoding=s24le;rate=48000", form(Encoding.PCM_S24LE, 48000)),
        ("audio/pcm;format=linear16;rate=8000", form(Encoding.PCM_S16LE, 8000)),
        ("audio/pcm", None),
        ("audio/pcm;rate=0", None),
        ("audio/pcm;rate=fast", None),
        ("audio/pcm;rate=-8000", None),
        ("audio/pcm;rate=²", None),
        ("audio/pcm;rate=" + "9" * 5000, None),
        ("audio/L16;rate=24000", form(Encoding.PCM_S16BE, 24000)),
        ("audio/l16; rate=44100; channels=2", form(Encoding.PCM_S16BE, 44100, 2)),
        ("audio/L16", None),
        ("audio/basic", form(Encoding.MULAW, 8000)),
        ("audio/basic;rate=16000", form(Encoding.MULAW, 16000)),
        ("audio/x-mulaw", form(Encoding.MULAW, 8000)),
        ("audio/PCMU", form(Encoding.MULAW, 8000)),
        ("audio/PCMA", form(Encoding.ALAW, 8000)),
        ("audio/x-alaw-basic;rate=16000", form(Encoding.ALAW, 16000)),
        ("audio/L24;rate=48000", form(Encoding.PCM_S24BE, 48000)),
        ("audio/L8;rate=8000", form(Encoding.PCM_U8, 8000)),
        ("audio/L16;rate=24000;endianness=little-endian", form(Encoding.PCM_S16LE, 24000)),
        ("audio/pcm;bits=24;rate=48000", form(Encoding.PCM_S24LE, 48000)),
        ("audio/pcm;bits=8;rate=8000", form(Encoding.PCM_U8, 8000)),
        ("audio/pcm;bits=64;rate=8000", form(Encoding.PCM_F64LE, 8000)),
        ("audio/pcm;encoding=signed-int;bits=16;rate=16000", form(Encoding.PCM_S16LE, 16000)),
        ("audio/pcm;encoding=signed-int;bits=16;endian=big;rate=16000", form(Encoding.PCM_S16BE, 16000)),
        ("audio/pcm;encoding=unsigned-int;bits=8;rate=16000", form(Encoding.PCM_U8, 16000)),
        ("audio/pcm;encoding=float;rate=16000", form(Encoding.PCM_F32LE, 16000)),
        ("audio/pcm;encoding=float32;rate=16000", form(Encoding.PCM_F32LE, 16000)),
        ("audio/pcm;encoding=fp32;rate=16000", form(Encoding.PCM_F32LE, 16000)),
        ("audio/pcm;encoding=f64be;rate=16000", form(Encoding.PCM_F64BE, 16000)),
        ("audio/pcm;format=int16;rate=16000;width=2", form(Encoding.PCM_S16LE, 16000)),
        ("audio/pcm;encoding=ulaw;rate=8000", form(Encoding.MULAW, 8000)),
        ("application/vnd.example.audio-fp32;rate=16000", form(Encoding.PCM_F32LE, 16000)),
        ("audio/vnd.example.pcm;rate=16000", form(Encoding.PCM_S16LE, 16000)),
        # No such number has a decoder.
        ("audio/pcm;encoding=half;rate=16000", None),
    ],
)
def test_the_shape_of_headerless_audio_when_nothing_was_asked_for(content_type: str, shape: AudioFormat | None) -> None:
    assert read_media_type(content_type, None) == MediaType(Container.RAW, shape, text=False)


@each(
    ("asked", "content_type", "shape"),
    [
        # What it does not say, was asked for.
        (form(Encoding.PCM_F32LE, 24000), "audio/pcm", form(Encoding.PCM_F32LE, 24000)),
        (form(Encoding.PCM_F32LE, 24000, 2), "audio/pcm;rate=48000", form(Encoding.PCM_F32LE, 48000, 2)),
        (form(Encoding.MULAW, 16000), "audio/basic", form(Encoding.MULAW, 16000)),
        (form(Encoding.PCM_S16BE, 16000, 2), "audio/L16", form(Encoding.PCM_S16BE, 16000, 2)),
        # The byte order: a parameter, what was asked for, the standard.
        (form(Encoding.PCM_S16LE, 16000, 2), "audio/L16", form(Encoding.PCM_S16LE, 16000, 2)),
        (form(Encoding.PCM_S16LE, 16000), "audio/L16;endianness=big-endian", form(Encoding.PCM_S16BE, 16000)),
        (form(Encoding.PCM_S16BE, 16000), "audio/L16;endianness=little-endian", form(Encoding.PCM_S16LE, 16000)),
        (form(Encoding.PCM_S16LE, 24000), "audio/L16;codec=pcm;rate=24000", form(Encoding.PCM_S16LE, 24000)),
        (form(Encoding.PCM_F32LE, 24000), "audio/L16", form(Encoding.PCM_S16BE, 24000)),
        (form(Encoding.PCM_S16LE, 24000), "audio/L24", form(Encoding.PCM_S24BE, 24000)),
        (form(Encoding.PCM_S24LE, 24000), "audio/L24", form(Encoding.PCM_S24LE, 24000)),
        (form(Encoding.PCM_S16LE, 24000), "audio/L8", form(Encoding.PCM_U8, 24000)),
        # What it does say, wins.
        (form(Encoding.PCM_F32LE, 24000), "audio/pcm;encoding=s16le", form(Encoding.PCM_S16LE, 24000)),
        (form(Encoding.PCM_S16LE, 24000), "audio/pcm;channels=2", form(Encoding.PCM_S16LE, 24000, 2)),
        (form(Encoding.PCM_S16LE, 24000), "audio/pcm;encoding=klingon", form(Encoding.PCM_S16LE, 24000)),
        (form(Encoding.PCM_S16LE, 24000), "audio/pcm;encoding=mulaw", form(Encoding.MULAW, 24000)),
        # Another encoding than was asked for comes with a rate of its own.
        (form(Encoding.PCM_S16LE, 24000, 2), "audio/basic", form(Encoding.MULAW, 8000)),
    ],
)
def test_the_shape_beside_what_was_asked_for(asked: AudioFormat, content_type: str, shape: AudioFormat) -> None:
    assert read_media_type(content_type, asked).pcm == shape


@each(
    ("content_type", "text"),
    [
        ("text/html", True),
        ("text/plain; charset=utf-8", True),
        ("application/json", True),
        ("application/problem+json", True),
        ("application/xml", True),
        ("audio/mpeg", False),
        ("audio/pcm", False),
        ("application/octet-stream", False),
        (None, False),
    ],
)
def test_text(content_type: str | None, text: bool) -> None:
    assert read_media_type(content_type, ASKED).text is text


@given(st.text() | st.text(alphabet="audio/pcml16;rate=channels0123 \"'").map("audio/pcm;".__add__))
def test_any_text_is_read(content_type: str) -> None:
    pcm = read_media_type(content_type, None).pcm
    assert pcm is None or (pcm.sample_rate_hz > 0 and pcm.channels > 0)
