"""A reply's bytes -> the turn's audio: decode, resample, encode. And what a turn's segments share on that way.

This file does not know which provider is speaking, nor who listens.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from relay.codecs import encoder_for, open_decoder
from relay.codecs.base import Block, CorruptAudioError, TruncatedAudioError
from relay.codecs.gain import Gain
from relay.codecs.onset import OnsetDetector
from relay.codecs.resample import Resampler
from relay.codecs.silence import LeadingSilenceTrimmer
from relay.codecs.sniff import NotAudioError, SniffingDecoder
from relay.core.formats import AudioFormat, AudioRequest, FrameFormat
from relay.core.timings import Timings
from relay.core.transform import Chain, Transform
from relay.engine.codec_warmup import decoder_loaded
from relay.errors import Code, ProviderError, ProviderFault
from relay.providers.base.http import WordTime
from relay.providers.base.provider import Reply

# A provider's chunk is decoded in slices, with the loop's other work in between, so that 64 KiB of MP3 at once (16 s of
# speech) neither holds the loop for milliseconds nor overfills the outbox. The first slices of a reply are small, so
# that the first frame does not wait for the second half of its chunk; then each is twice the one before, until one is
# SLICE_MS of audio or the most bytes: for MP3 of 64 kbit/s that is 4 KiB, for PCM of 24 kHz the most: of that the worst
# input there is, headerless audio made of brackets, holds the loop for half of what may.
FIRST_SLICE_BYTES, MOST_SLICE_BYTES = 1024, 8 * 1024
SLICE_MS = 400
# The loop's other work gets its turn when so much time has gone by since it had one; a slice is not interrupted.
TURN_S = 0.002


class TurnAudio:
    """Blocks of all segments of one turn -> its encoded samples. One resampler for the whole turn, so that segments
    join without a sample lost or added."""

    def __init__(self, frame_format: FrameFormat, wanted: AudioRequest = AudioRequest()) -> None:  # noqa: B008 - frozen
        self._rate_hz = frame_format.audio.sample_rate_hz
        self._onset = OnsetDetector()
        most_ms = wanted.max_leading_silence_ms
        self._trimmer = None if most_ms is None else LeadingSilenceTrimmer(most_ms, self._rate_hz)
        encoder = encoder_for(frame_format.audio)
        last: list[Transform[Any, Any]] = [encoder]
        if wanted.gain_db:
            last.insert(0, Gain(wanted.gain_db, self._rate_hz))
        trimmers = [] if self._trimmer is None else [self._trimmer]
        self._chain: Chain[Block, bytes] = Chain(Resampler(self._rate_hz), *trimmers, *last)
        # What comes behind the trimmer, for what it gives up before the end.
        self._last = last
        # The whole way of what nothing is done to, as long as all input has the turn's rate.
        self._direct = encoder if len(last) == 1 and not trimmers else None
        # Input of the rate now playing, and the output samples that all input before it became.
        self._fed_samples = 0
        self._fed_rate_hz = self._rate_hz
        self._before_samples = 0
        # Whether it is known how much leading silence is left out, and how much that is. Nothing comes out before.
        self.is_settled = self._trimmer is None
        self.trimmed = 0

    @property
    def position(self) -> int:
        """The turn's sample at which the audio that is fed next will be heard; what will be trimmed is not known before
        `is_settled`."""
        return self._before_samples - self.trimmed - (-self._fed_samples * self._rate_hz // self._fed_rate_hz)

    @property
    def taken(self) -> int:
        """The samples of all that was fed, those that are trimmed among them."""
        return self.position + self.trimmed

    def ms_of(self, samples: int) -> float:
        """The time of so many of the turn's samples."""
        return samples * 1000 / self._rate_hz

    @property
    def leading_silence_ms(self) -> float | None:
        """Audio before the first audible sample; None while there was none."""
        return (self._trimmer or self._onset).leading_silence_ms

    def feed(self, blocks: Sequence[Block]) -> bytes:
        """Whole samples."""
        pieces: list[bytes] = []
        for block in blocks:
            if block.sample_rate_hz != self._fed_rate_hz:
                self._before_samples = self.taken
                self._fed_samples, self._fed_rate_hz = 0, block.sample_rate_hz
                self._direct = None
            self._fed_samples += len(block.samples)
            pieces += (self._direct or self._chain).feed(block)
        if not self.is_settled:
            self._look()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def listen(self, blocks: Sequence[Block]) -> None:
        """Looks for the first audible sample in what has been fed: apart, so that no frame waits for it."""
        if self._trimmer is None:
            for block in blocks:
                self._onset.feed(block)

    def settle(self) -> bytes:
        """No sound is waited for any more: silence that is held is trimmed as at the end, and what follows is not."""
        if self._trimmer is None:
            return b""
        finish: Chain[Block, bytes] = Chain(*self._last)
        pieces = [piece for block in self._trimmer.flush() for piece in finish.feed(block)]
        self._look()
        return b"".join(pieces)

    def flush(self) -> bytes:
        """The end of the turn: what the resampler and the trimmer hold."""
        pieces = self._chain.flush()
        self._look()
        return b"".join(pieces)

    def _look(self) -> None:
        if self._trimmer is not None and self._trimmer.is_settled:
            self.is_settled, self.trimmed = True, self._trimmer.trimmed_samples


async def decoded(
    reply: Reply,
    provider: str,
    request: Timings | None = None,
    *,
    shape: AudioFormat | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[Sequence[Block] | WordTime, None]:
    """A reply's pieces, decoded; of some come no blocks yet. Raises ProviderError after the good audio; a reply without
    audio is one too.

    `request` counts each piece of bytes as it is taken from the reply, and the audio of it that was damaged. `shape` is
    that of headerless audio, as the operator knows it.
    """
    await decoder_loaded(reply.facts.source, reply.content_type)
    decoder = open_decoder(reply.facts.source, reply.content_type, shape)
    slices = _Slices(decoder)
    # Not the caller's clock: this is about how long the loop has been held, whatever time it is in there.
    turn_s = time.monotonic()
    try:
        async for piece in reply:
            if isinstance(piece, WordTime):
                yield piece
                continue
            if request is not None:
                request.received(len(piece), getattr(reply, "piece_came_s", None) or clock())
            slices.take(piece)
            del piece
            while True:
                # Not by a name: who waits here for a listener holds no decoded audio.
                yield slices.decode()
                if time.monotonic() - turn_s > TURN_S:
                    await asyncio.sleep(0)
                    turn_s = time.monotonic()
                if slices.empty:
                    break
        yield slices.flush()
    except NotAudioError as error:
        raise reply.refuse(error.head) or _bad_audio(provider, str(error)) from error
    except TruncatedAudioError as error:
        fault = ProviderFault(name=provider)
        raise ProviderError(Code.PROVIDER_CUT, f"{provider}'s audio ended early: {error}", provider=fault) from error
    except CorruptAudioError as error:
        raise _bad_audio(provider, str(error)) from error
    finally:
        if request is not None:
            request.tally.damaged_ms += decoder.damage.ms
    if request is not None and decoder.likelier_encoding is not None:
        request.tally.implausible_replies += 1
    if not slices.heard:
        raise _bad_audio(provider, "the reply holds no audio")


class _Slices:
    """Decodes pieces slice by slice. `heard`: there was audio."""

    def __init__(self, decoder: SniffingDecoder) -> None:
        self.heard = False
        self._decoder = decoder
        self._slice_bytes = FIRST_SLICE_BYTES
        self._piece = b""
        self._start = 0

    @property
    def empty(self) -> bool:
        """Whether all of the piece was decoded."""
        return not self._piece

    def take(self, piece: bytes) -> None:
        """The next piece, when the last one is empty."""
        self._piece, self._start = piece, 0

    def decode(self) -> Sequence[Block]:
        """The next slice of the piece."""
        piece, start, size = self._piece, self._start, self._slice_bytes
        self._start += size
        if self._start >= len(piece):
            self._piece = b""
        blocks = self._decoder.feed(piece[start : start + size])
        if blocks:
            self.heard = True
            if size < MOST_SLICE_BYTES and start + size <= len(piece) and _ms(blocks) < SLICE_MS:
                self._slice_bytes *= 2
        return blocks

    def flush(self) -> Sequence[Block]:
        """The end of the last piece."""
        blocks = self._decoder.flush()
        self.heard = self.heard or bool(blocks)
        return blocks


def _ms(blocks: Sequence[Block]) -> float:
    return sum(len(block.samples) * 1000 / block.sample_rate_hz for block in blocks)


def _bad_audio(provider: str, reason: str) -> ProviderError:
    return ProviderError(
        Code.BAD_AUDIO, f"what {provider} sent is not audio: {reason}", provider=ProviderFault(name=provider)
    )
