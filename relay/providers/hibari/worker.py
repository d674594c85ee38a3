"""A worker that speaks with the neural voice: `python -m relay.providers.hibari.worker`, started by the local driver.

It is a process of its own because a sentence takes it up to a tenth of a second of a core. Jobs::

    {"do": "speak", "text": .., "speed": ..,
     "phonemes": [[word of the text, its IPA], ..]}   audio and word times, sentence by sentence
    {"do": "check"}                                   `ok`, when the voice is loaded
"""

from collections import deque
from collections.abc import Callable

from relay.drivers.local.worker import CannotWorkError, Job, RefusedError, serve
from relay.providers.hibari import sound
from relay.providers.hibari.passages import Passage
from relay.providers.hibari.pronunciation import MAX_IPA_CHARS, voiced
from relay.providers.hibari.speakable import UnspeakableError, has_sound, speakable
from relay.providers.hibari.voice import Library, WrongWeightsError
from relay.providers.hibari.words import matches

# Longest piece, well within a message.
_PIECE_BYTES = 64 * 1024
# A known and an unknown word: all of the voice is loaded, and has run once.
_WARMING = "Hello, zorblax."


class Utterance:
    """Speaks one text: each passage leaves as soon as it is made, behind the times of its words."""

    def __init__(self, job: Job, library: Library, speed: float) -> None:
        self._job = job
        self._library = library
        self._speed = speed
        self._given_samples = 0
        # First and end sample of each word that was read so far.
        self._times: list[tuple[int, int]] = []

    def speak(self, text: str, phonemes: list[tuple[str, str]]) -> None:
        """Raises UnspeakableError for a text that the voice would leave something out of."""
        said = speakable(text)
        rate_hz = self._library.sample_rate_hz
        self._job.head(rate_hz)
        passages = list(self._library.passages(said, _voiced(phonemes)))
        if not passages or not has_sound(said):
            self._job.give(sound.silence(rate_hz, sound.SENTENCE_END_MS))
            return
        awaited = deque(matches(text, [word.text for passage in passages for word in passage.words]))
        for passage in passages:
            if self._job.stopped():
                return
            piece = self._made(passage)
            while awaited and awaited[0].end <= len(self._times):
                match = awaited.popleft()
                first, end = self._times[match.first][0], self._times[match.end - 1][1]
                self._job.word(match.text, first / rate_hz, end / rate_hz)
            self._give(piece)

    def _made(self, passage: Passage) -> bytes:
        """The passage's audio, trimmed and raised; notes when its words are spoken."""
        samples, words = self._library.speak(passage, self._speed)
        tail_ms = sound.SENTENCE_END_MS if passage.ends_clause else sound.BREATH_MS
        samples, cut = sound.trimmed(samples * sound.GAIN, self._library.sample_rate_hz, tail_ms=tail_ms)
        for first, end in words:
            inside = (min(max(at - cut, 0), len(samples)) + self._given_samples for at in (first, end))
            self._times.append((next(inside), next(inside)))
        self._given_samples += len(samples)
        return sound.s16(samples)

    def _give(self, piece: bytes) -> None:
        for at in range(0, len(piece), _PIECE_BYTES):
            self._job.give(piece[at : at + _PIECE_BYTES])
        self._job.flush()


def _voiced(phonemes: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The words, as the library reads them, whose pronunciation the voice has; at most MAX_IPA_CHARS are used."""
    told, left = [], MAX_IPA_CHARS
    for word, ipa in phonemes:
        left -= len(ipa)
        letters = voiced(ipa) if left >= 0 else None
        if letters is not None:
            told.append((speakable(word), letters))
    return told


def prepare() -> Callable[[Job], None]:
    """Loads the voice and speaks once: half a second, which no request has to wait for."""
    try:
        library = Library()
    except ImportError as error:
        raise CannotWorkError(
            "the built-in voice for English needs hibari-tts, which is not installed: pip install 'speech-relay[voice]'"
        ) from error
    except WrongWeightsError as error:
        raise CannotWorkError(
            "the weights of hibari-tts are not those this relay was made for: pip install 'speech-relay[voice]'"
        ) from error
    for passage in library.passages(_WARMING):
        library.speak(passage, 1.0)

    def perform(job: Job) -> None:
        match job.wanted:
            case {"do": "check"}:
                job.give(b"ok")
            case {"do": "speak", "text": text, "speed": speed, "phonemes": phonemes}:
                try:
                    Utterance(job, library, speed).speak(text, phonemes)
                except UnspeakableError as error:
                    raise RefusedError(
                        "provider_rejected",
                        f"hibari speaks English, and the text has {error.what}, which it would leave out;"
                        " name a language or another voice",
                    ) from error
            case _:
                raise RefusedError("provider_rejected", "hibari speaks; this job is something else")

    return perform


if __name__ == "__main__":
    serve(prepare)
