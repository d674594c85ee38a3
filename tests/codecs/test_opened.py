"""Every container that has a decoder is decoded whatever was asked for and said, the same in every cut."""

import pytest

from relay.codecs import open_decoder
from relay.codecs.aac import AacDecoder
from relay.codecs.base import Decoder, NotAudioError, TruncatedAudioError
from relay.codecs.flac import FlacDecoder
from relay.codecs.mp4 import Mp4Decoder
from relay.codecs.ogg import OggDecoder
from relay.codecs.pull import PullDecoder
from relay.codecs.webm import WebmDecoder
from relay.core.formats import AudioFormat, Container, Encoding, SourceFormat
from relay.testing.conformance.codec import runs_of
from tests.codecs.streams import load, outcome
from tests.covering import base_choices, each
from tests.cuts import CUTS, run

S16 = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000)
ASKED = (
    SourceFormat(container=Container.MP3),
    SourceFormat(container=Container.WAV),
    SourceFormat(container=Container.RAW, pcm=S16),
)
SAID = (None, "audio/mpeg")
FILES: tuple[tuple[str, Container, type[Decoder]], ...] = (
    ("mono.flac", Container.FLAC, FlacDecoder),
    ("pipe.opus", Container.OGG, OggDecoder),
    ("mono.ogg", Container.OGG, OggDecoder),
    ("flac.oga", Container.OGG, OggDecoder),
    ("mono.aac", Container.AAC, AacDecoder),
    ("he.aac", Container.AAC, AacDecoder),
    ("live.webm", Container.WEBM, WebmDecoder),
    ("laced.mka", Container.WEBM, WebmDecoder),
    ("first.m4a", Container.MP4, Mp4Decoder),
    ("fragments.mp4", Container.MP4, Mp4Decoder),
)


@each(("name", "container", "kind"), FILES)
def test_what_comes_is_decoded_whatever_was_asked_for(name: str, container: Container, kind: type[Decoder]) -> None:
    expected = runs_of(run(kind(), [load(name)]))
    for cut, asked, said in base_choices(CUTS, ASKED, SAID):
        decoder = open_decoder(asked, said)
        assert runs_of(run(decoder, cut(load(name)))) == expected, (cut, asked, said)
        assert decoder.container is container


@each(("name", "container", "kind"), FILES)
def test_what_was_asked_for_and_comes_is_decoded(name: str, container: Container, kind: type[Decoder]) -> None:
    decoder = open_decoder(SourceFormat(container=container))
    assert runs_of(run(decoder, [load(name)])) == runs_of(run(kind(), [load(name)]))
    assert decoder.container is container


@each(("name", "container", "kind"), FILES)
def test_a_reply_that_is_cut_is_truncated(name: str, container: Container, kind: type[Decoder]) -> None:
    with pytest.raises(TruncatedAudioError):
        run(open_decoder(ASKED[0]), [load(name)[:-40]])
    with pytest.raises(TruncatedAudioError):
        run(kind(), [load(name)[:-40]])
    assert container


ERRORS = (
    b'{"error": {"code": "quota_exceeded", "message": "no credits"}}',
    b'\n{"detail": "voice not found"}\n',
    b"<html><body><h1>502 Bad Gateway</h1></body></html>",
    b"upstream connect error or disconnect",
)


@each(
    ("name", "kind"),
    [
        ("mono.flac", FlacDecoder),
        ("pipe.opus", OggDecoder),
        ("mono.ogg", OggDecoder),
        ("mono.aac", AacDecoder),
        ("live.webm", WebmDecoder),
        ("first.m4a", Mp4Decoder),
        ("fragments.mp4", Mp4Decoder),
    ],
)
def test_an_error_written_behind_the_audio_is_one_and_is_not_heard(name: str, kind: type[PullDecoder]) -> None:
    data = load(name)
    whole = runs_of(run(kind(), [data]))
    for cut, text in base_choices(CUTS, ERRORS):
        blocks, error, _ = outcome(kind, cut(data + text))
        assert runs_of(blocks) == whole
        assert isinstance(error, NotAudioError)
        assert error.head == text.strip()
        assert error.after_audio


def test_an_error_written_inside_a_frame_is_one() -> None:
    data = load("mono.flac")
    for cut in CUTS:
        blocks, error, _ = outcome(FlacDecoder, cut(data[:-1000] + ERRORS[0]))
        assert blocks
        assert isinstance(error, NotAudioError)
        assert error.head == ERRORS[0]
