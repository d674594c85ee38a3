"""Codecs that are each wrong in one way, and the words in which a suite has to say so."""

import numpy as np

from relay.codecs import encoder_for, sample_decoder
from relay.codecs.base import Block, Decoder
from relay.core.formats import AudioFormat, Encoding

PCM = AudioFormat(encoding=Encoding.PCM_S16LE, sample_rate_hz=24000)


class LosesHalves:
    """Of a sample that was cut in two."""

    def feed(self, piece: bytes) -> list[Block]:
        return sample_decoder(PCM).feed(piece[: len(piece) // 2 * 2]) if len(piece) > 1 else []

    def flush(self) -> list[Block]:
        return []


class Wraps:
    """A decoder that works, for others to spoil."""

    def __init__(self) -> None:
        self.decoder: Decoder = sample_decoder(PCM)

    def feed(self, piece: bytes) -> list[Block]:
        return list(self.decoder.feed(piece))

    def flush(self) -> list[Block]:
        return list(self.decoder.flush())


class GivesEmptyBlocks(Wraps):
    def flush(self) -> list[Block]:
        return [Block(np.empty(0, np.int16), 24000)]


class OneStepOff(Wraps):
    def feed(self, piece: bytes) -> list[Block]:
        return [Block(block.samples // 2 * 2, block.sample_rate_hz) for block in super().feed(piece)]


class ReusesItsMemory(Wraps):
    def __init__(self) -> None:
        super().__init__()
        self.memory = np.zeros(100_000, np.int16)

    def feed(self, piece: bytes) -> list[Block]:
        given = []
        for block in super().feed(piece):
            place = self.memory[: len(block.samples)]
            place[:] = block.samples
            given.append(Block(place, block.sample_rate_hz))
        return given


class Shares(Wraps):
    """One carry for all."""

    ours = sample_decoder(PCM)

    def __init__(self) -> None:
        self.decoder = self.ours


class BreaksOnNoise(Wraps):
    """With an error that nobody expects."""

    def feed(self, piece: bytes) -> list[Block]:
        blocks = super().feed(piece)
        if any(np.abs(block.samples.astype(np.int32)).max() > 25_000 for block in blocks):
            raise KeyError("loud")
        return blocks


class KeepsOneBack:
    def __init__(self) -> None:
        self.encoder = encoder_for(PCM)
        self.held = b""

    def feed(self, block: Block) -> list[bytes]:
        data = self.held + b"".join(self.encoder.feed(block))
        self.held = data[-2:]
        return [data[:-2]]

    def flush(self) -> list[bytes]:
        return [self.held]


class TurnsAround:
    """Every block of an odd length."""

    def feed(self, block: Block) -> list[bytes]:
        return [(-block.samples if len(block.samples) % 2 else block.samples).tobytes()]

    def flush(self) -> list[bytes]:
        return []


DECODERS = [
    (LosesHalves, "byte_by_byte"),
    (GivesEmptyBlocks, "never empty"),
    (OneStepOff, "1.0 off"),
    (ReusesItsMemory, "was changed after"),
    (Shares, "share something"),
]
ENCODERS = [(KeepsOneBack, "keeps nothing back"), (TurnsAround, "cut as sevens")]
