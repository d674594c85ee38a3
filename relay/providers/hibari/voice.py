"""The neural voice: its network with the durations of its phonemes, and its reading of English text.

`hibari-tts` gives audio without word times. Its network knows them: each phoneme's duration is an inner value, which
becomes an output when its name is added to the network's list of outputs.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from relay.providers.hibari.passages import Passage, passages
from relay.providers.hibari.pronunciation import pronounced
from relay.providers.hibari.sound import Samples

# The voice is pinned: other weights may speak otherwise, or need another value for the durations.
WEIGHTS_SHA256 = "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8"
# The inner value that holds them, in units of two of the network's frames (12.5 ms each).
_DURATIONS = b"/Clip_output_0"
_FRAMES_OF_DURATION = 2
# The same noise every time, so that the same text is the same samples.
_SEED = 0


class WrongWeightsError(Exception):
    """The file of the network is not the one this code was made for."""


class Library:
    """The voice, loaded. One call of `speak` at a time.

    Raises WrongWeightsError, and ImportError where the library is not installed.
    """

    def __init__(self) -> None:
        import onnxruntime
        from hibari import dsp
        from hibari.g2p import G2P
        from hibari.tts import ASSETS, SAMPLE_RATE, Hibari

        weights = (Path(ASSETS) / "hibari.onnx").read_bytes()
        if hashlib.sha256(weights).hexdigest() != WEIGHTS_SHA256:
            raise WrongWeightsError
        options = onnxruntime.SessionOptions()
        # More threads make one sentence no faster, and take the cores from others.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._network = onnxruntime.InferenceSession(
            weights + _output(_DURATIONS), options, providers=["CPUExecutionProvider"]
        )
        self._vocabulary: dict[str, int] = _vocabulary(ASSETS)
        self._split_sentences = Hibari.split_sentences
        self._reader = G2P()
        self._synthesize = dsp.synth
        self._hop = dsp.HOP
        self.sample_rate_hz: int = SAMPLE_RATE

    def passages(self, text: str, pronunciations: Sequence[tuple[str, str]] = ()) -> Iterator[Passage]:
        """What the network is to speak of a text, sentence by sentence. `pronunciations`: words of it with their
        phonemes, in order."""
        from hibari.g2p.normalize import normalize

        words = list(pronunciations)
        for sentence in self._split_sentences(text):
            # `[word](/phonemes/)` is markup to the library. A text is spoken as it is written.
            plain = normalize(sentence).replace("](", "] (")
            tokens = self._reader.phonemize_tokens(pronounced(self._reader.tokenize(plain), words))
            yield from passages(tokens)

    def speak(self, passage: Passage, speed: float) -> tuple[Samples, list[tuple[int, int]]]:
        """The samples of a passage, and the first sample and one after the last of each of its words."""
        ids, places = self._ids(passage.phonemes)
        if not ids:
            return np.zeros(0, np.float32), [(0, 0) for _ in passage.words]
        padded = np.asarray([[0, *ids, 0]], np.int64)
        outputs = self._network.run(None, {"ids": padded, "speed": np.asarray([speed], np.float32)})
        *spectra, durations = (*(output[0] for output in outputs[:-1]), outputs[-1])
        samples: Samples = self._synthesize(*spectra, np.random.default_rng(_SEED))
        return samples, self._timed(passage, places, durations, len(samples))

    def _ids(self, phonemes: str) -> tuple[list[int], list[int]]:
        """What the network takes, and how many of that come before each phoneme: characters it does not know are none.
        The list of places has one entry more, for the end."""
        ids: list[int] = []
        places: list[int] = []
        for phoneme in phonemes:
            places.append(len(ids))
            if (number := self._vocabulary.get(phoneme)) is not None:
                ids.append(number)
        return ids, [*places, len(ids)]

    def _timed(self, passage: Passage, places: list[int], durations: Any, samples: int) -> list[tuple[int, int]]:
        ends = (np.cumsum(durations) * (_FRAMES_OF_DURATION * self._hop)).astype(int)
        assert int(ends[-1]) == samples, "the durations of these weights add up to the samples"
        # The first duration is that of the pad in front: it ends where the first phoneme begins.
        return [(int(ends[places[word.first]]), int(ends[places[word.end]])) for word in passage.words]


def _output(name: bytes) -> bytes:
    """What makes an inner value an output when it is added to the file of a network.

    Protobuf joins the lists of two messages that follow each other: a ModelProto with a GraphProto (field 7) with an
    output (field 12), a ValueInfoProto with nothing but a name (field 1). See onnx.proto and the wire format of
    Protocol Buffers.
    """
    info = _field(1, name)
    return _field(7, _field(12, info))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field; number below 16, content below 128 bytes."""
    assert number < 16 and len(content) < 128
    return bytes((number << 3 | 2, len(content))) + content


def _vocabulary(assets: str) -> dict[str, int]:
    vocabulary: dict[str, int] = json.loads((Path(assets) / "vocab.json").read_text("utf-8"))
    return vocabulary
