"""Headerless audio as a reply: its samples, without the text that a failing provider writes behind them.

This file does not know who was asked for what, only the shape that the samples are said to have.
"""

from relay.codecs import g711, pcm
from relay.codecs.base import Block, CorruptAudioError, SampleDecoder
from relay.codecs.plausible import Watch
from relay.codecs.tail import SINGLE_TEXT, Tail
from relay.core.formats import AudioFormat

DECODE = {**pcm.DECODE, **g711.DECODE}

# Beyond these a header or a Content-Type is damaged, and what a resampler has to do would know no bound.
RATES_HZ = range(2_000, 384_001)
CHANNELS = (1, 2)


def sample_decoder(form: AudioFormat) -> SampleDecoder:
    """A decoder of samples alone. Raises CorruptAudioError for a rate or channels that it cannot have."""
    _check(form)
    return SampleDecoder(form, DECODE[form.encoding])


def _check(form: AudioFormat) -> None:
    if form.sample_rate_hz not in RATES_HZ:
        raise CorruptAudioError(f"audio at {form.sample_rate_hz} Hz; from {RATES_HZ[0]} to {RATES_HZ[-1]} are played")
    if form.channels not in CHANNELS:
        raise CorruptAudioError(f"audio of {form.channels} channels; one and two are played")


class RawDecoder(SampleDecoder):
    """A decoder of a whole reply of samples. Raises NotAudioError, after the samples, for a text behind them: see
    `tail`. `likelier_encoding` is another encoding in which it would sound like audio, if it does not in its own."""

    def __init__(self, form: AudioFormat) -> None:
        _check(form)
        super().__init__(form, DECODE[form.encoding])
        self._tail = Tail(form.encoding.sample_width)
        self._watch = Watch(form.encoding, form.channels, DECODE)
        self._watching = True

    @property
    def likelier_encoding(self) -> str | None:
        """To be asked once, at the end."""
        return self._watch.likelier()

    def feed(self, piece: bytes) -> list[Block]:
        # Most pieces cost one look at their last byte.
        if piece[-1:] in SINGLE_TEXT or self._tail.run:
            piece = self._tail.pass_on(piece, self._bytes + len(self._carry))
        if self._watching and piece:
            self._watch.feed(piece)
            self._watching = not self._watch.is_full
        return super().feed(piece)

    def flush(self) -> list[Block]:
        blocks = super().feed(self._tail.flush())
        return [*blocks, *super().flush()]
