"""What passes between a decoder, the resampler and an encoder."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from relay.core.transform import Transform

# int16 as decoded (so that s16 in, s16 out is the same bytes), or float32 within -1..1.
Samples: TypeAlias = NDArray[np.int16] | NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Block:
    """Mono audio at one rate, of any length > 0."""

    samples: Samples
    sample_rate_hz: int


# Pieces of a provider's bytes, cut anywhere, -> mono blocks. Raises CorruptAudioError for what does not decode;
# all blocks returned before that are good.
Decoder: TypeAlias = Transform[bytes, Block]

# Blocks of one rate -> bytes of an output encoding.
Encoder: TypeAlias = Transform[Block, bytes]


class CorruptAudioError(ValueError):
    """The bytes are not the audio that they claim to be. The message says what was found instead."""


class TruncatedAudioError(ValueError):
    """The input ended inside a unit that says how long it is (raised by `flush` only; earlier blocks are good)."""
