"""A worker that speaks with eSpeak NG: `python -m relay.providers.espeak.worker`, started by the local driver.

The library is GPL-3, keeps one global state and crashes the process if it is entered twice, so it lives in processes of
its own, one utterance at a time. Jobs::

    {"do": "speak", "text": .., "voice": .., "options": {..}, "end_pause": bool,
     "phonemes": [[start, stop, IPA of that part of the text], ..]}                audio and word times
    {"do": "voices"}                                                               a JSON list, as bytes

Signatures and constants: espeak-ng 1.52.0, `src/include/espeak-ng/speak_lib.h`.
"""

import ctypes
import json
from collections import deque
from collections.abc import Callable, Sequence
from ctypes import POINTER, c_char, c_char_p, c_int, c_short, c_size_t, c_ubyte, c_uint, c_void_p
from pathlib import Path
from typing import Any

from relay.drivers.local.worker import CannotWorkError, Job, RefusedError, serve
from relay.providers.espeak.phonemes import MAX_IPA_CHARS, Rendered, mnemonics, rendered, with_genitive
from relay.providers.espeak.words import WordTimes

_AUDIO_OUTPUT_SYNCHRONOUS = 2
# Milliseconds asked for; the library makes chunks of 60 ms whatever smaller value it is given.
_CHUNK_MS = 20
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8, _PHONEMES, _ENDPAUSE = 0x01, 0x100, 0x1000
_POS_CHARACTER = 1
_EVENT_LIST_TERMINATED, _EVENT_WORD = 0, 1
# espeak_PARAMETER of each option.
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4, "word_gap": 7}
_SAMPLE_BYTES = 2
# Audio that is sent in one piece, after the first chunk. It takes the library 0.2 ms, and a sentence sent chunk by
# chunk cost the relay 1.15 ms instead of 0.6 (bench/micro/builtin_voice.py).
BATCH_MS = 200
# Longest piece, well within a message: a word may be a number of twenty digits, and take ten seconds.
_PIECE_BYTES = 64 * 1024
_GENDERS = {1: "male", 2: "female"}


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", c_int),
        ("unique_identifier", c_uint),
        ("text_position", c_int),  # in characters, from 1
        ("length", c_int),
        ("audio_position", c_int),  # in milliseconds; `sample` is the same, exactly
        ("sample", c_int),
        ("user_data", c_void_p),
        ("id", c_char * 8),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", c_char_p),
        # Of each language a byte of priority (less is better) and a string; an empty string ends the list.
        ("languages", POINTER(c_char)),
        ("identifier", c_char_p),
        ("gender", c_ubyte),
        ("age", c_ubyte),
        ("variant", c_ubyte),
        ("xx1", c_ubyte),
        ("score", c_int),
        ("spare", c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(c_int, POINTER(c_short), c_int, POINTER(_Event))


class Library:
    """eSpeak NG, initialised. One call of `speak` at a time."""

    def __init__(self, path: str, data_path: str) -> None:
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            raise CannotWorkError(f"the library of eSpeak NG does not load: {error}") from error
        library.espeak_Initialize.argtypes = (c_int, c_int, c_char_p, c_int)
        library.espeak_ListVoices.argtypes = (POINTER(_Voice),)
        library.espeak_ListVoices.restype = POINTER(POINTER(_Voice))
        library.espeak_Synth.argtypes = (
            c_char_p, c_size_t, c_uint, c_int, c_uint, c_uint, POINTER(c_uint), c_void_p,
        )  # fmt: skip
        library.espeak_TextToPhonemes.argtypes = (POINTER(c_char_p), c_int, c_int)
        library.espeak_TextToPhonemes.restype = c_char_p
        self._library = library
        self._data_path = Path(data_path)
        rate_hz = library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, _CHUNK_MS, data_path.encode(), _INITIALIZE_DONT_EXIT
        )
        if rate_hz <= 0:
            raise CannotWorkError(f"eSpeak NG does not start with its data in {data_path} (status {rate_hz})")
        self.sample_rate_hz: int = rate_hz
        self._take: Callable[[bytes, list[tuple[int, int]]], bool] | None = None
        self._surprise: BaseException | None = None
        # ctypes keeps no reference to a callback; the library calls it as long as it lives.
        self._callback = _Callback(self._called_back)
        library.espeak_SetSynthCallback(self._callback)

    def speak(
        self,
        text: str,
        voice: str,
        options: dict[str, int],
        end_pause: bool,
        take: Callable[[bytes, list[tuple[int, int]]], bool],
        *,
        phonemes: bool = False,
    ) -> None:
        """Gives `take` each chunk of s16 samples with its word events (index from 0, sample), until it returns False.

        `voice` is an identifier of `voices`, perhaps with `+variant`; `text` is `sayable`. With `phonemes` what it has
        between `[[` and `]]` is read as such.
        """
        status = self._library.espeak_SetVoiceByName(voice.encode())
        # The library keeps parameters from one utterance to the next, so all of them are set for each.
        for option, parameter in _PARAMETERS.items():
            status = status or self._library.espeak_SetParameter(parameter, options[option], 0)
        utf8 = text.encode()
        flags = _CHARS_UTF8 | (_ENDPAUSE if end_pause else 0) | (_PHONEMES if phonemes else 0)
        self._take, self._surprise = take, None
        status = status or self._library.espeak_Synth(
            utf8, len(utf8) + 1, 0, _POS_CHARACTER, 0, flags, None, None
        )  # fmt: skip
        if self._surprise is not None:
            raise self._surprise
        if status:
            raise RuntimeError(f"eSpeak NG returned status {status}")

    def known_phonemes(self, voice: str) -> Callable[[str], bool]:
        """Whether `voice` has a phoneme, by its mnemonic; until the next call of `speak`. A phoneme that it does not
        have would end the word there."""
        default = {"rate": 175, "volume": 100, "pitch": 50, "range": 50, "word_gap": 0}
        # Only a synthesis makes the library read `[[`, and it then does so until the next one.
        self.speak(" ", voice, default, False, lambda _chunk, _words: True, phonemes=True)

        def knows(mnemonic: str) -> bool:
            return bool(self._library.espeak_TextToPhonemes(c_char_p(f"[[{mnemonic}]]".encode()), _CHARS_UTF8, 0))

        return knows

    def voices(self) -> list[dict[str, Any]]:
        """The voices that can speak. Some are listed without their dictionary (fo, kaa, xex), and say nothing."""
        return [voice for voice in self._listed() if self._has_dictionary(voice)]

    def variants(self) -> list[dict[str, Any]]:
        """What may follow the `+` of a voice."""
        return self._listed(b"variant")

    def _has_dictionary(self, voice: dict[str, Any]) -> bool:
        """A voice uses the dictionary of its language, or names one in its file."""
        if any((self._data_path / f"{tag.partition('-')[0].lower()}_dict").exists() for _, tag in voice["languages"]):
            return True
        try:
            lines = (self._data_path / "lang" / voice["id"]).read_text("utf-8", "replace").splitlines()
        except OSError:
            return True  # kept elsewhere by another version: nothing speaks against the voice
        named = (line.split()[1] for line in lines if line.startswith("dictionary "))
        return any((self._data_path / f"{name}_dict").exists() for name in named)

    def _listed(self, language: bytes | None = None) -> list[dict[str, Any]]:
        wanted = None
        if language is not None:
            wanted = ctypes.byref(_Voice(languages=ctypes.cast(c_char_p(language), POINTER(c_char))))
        listed = self._library.espeak_ListVoices(wanted)
        voices: list[dict[str, Any]] = []
        while listed[len(voices)]:
            voice = listed[len(voices)].contents
            voices.append(
                {
                    "id": voice.identifier.decode(),
                    "name": voice.name.decode().strip(),
                    "languages": _languages(voice.languages),
                    "gender": _GENDERS.get(voice.gender),
                }
            )
        return voices

    def _called_back(self, samples: Any, count: int, events: Any) -> int:
        """The library's own call, at every chunk: 1 makes it stop there. An exception must not pass through it."""
        try:
            assert self._take is not None, "the library calls back from within speak only"
            words = []
            at = 0
            while events[at].type != _EVENT_LIST_TERMINATED:
                event = events[at]
                if event.type == _EVENT_WORD:
                    words.append((event.text_position - 1, event.sample))
                at += 1
            # The last call of an utterance has no samples.
            chunk = ctypes.string_at(samples, count * _SAMPLE_BYTES) if samples and count > 0 else b""
            return 0 if self._take(chunk, words) else 1
        except BaseException as surprise:
            self._surprise = surprise
            return 1


def _languages(packed: Any) -> list[tuple[int, str]]:
    """Priority and tag of each language of a voice."""
    languages = []
    at = 0
    while packed[at] != b"\0":
        tag = ctypes.string_at(ctypes.addressof(packed.contents) + at + 1)
        languages.append((packed[at][0], tag.decode()))
        at += len(tag) + 2
    return languages


def sayable(text: str) -> str:
    """`text` as the library can take it, in as many characters. A NUL would end it; half a surrogate has no UTF-8."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode()


class VoiceNames:
    """What a voice may be called: its identifier (`gmw/en-US`), a language (`en-us`), or the identifier's end (`chr`).

    Any may be followed by `+` and a variant (`en-us+f3`). Upper and lower case are the same.
    """

    def __init__(self, voices: list[dict[str, Any]], variants: list[dict[str, Any]]) -> None:
        by_language = sorted(
            (priority, place, tag, voice["id"])
            for place, voice in enumerate(voices)
            for priority, tag in voice["languages"]
        )
        self._identifiers: dict[str, str] = {}
        for name, identifier in (
            *((voice["id"], voice["id"]) for voice in voices),
            *((tag, identifier) for _, _, tag, identifier in by_language),
            *((voice["id"].rpartition("/")[2], voice["id"]) for voice in voices),
        ):
            self._identifiers.setdefault(name.lower(), identifier)
        names = (voice["id"].rpartition("/")[2] for voice in variants)
        self._variants = {name.lower(): name for name in names}

    def find(self, voice: str) -> str:
        """The library's own name for `voice`. The library itself ignores a variant it does not know."""
        name, plus, variant = voice.partition("+")
        identifier = self._identifiers.get(name.lower())
        known_variant = self._variants.get(variant.lower()) if plus else ""
        if identifier is None or known_variant is None:
            what = f"voice {voice!r}" if identifier is None else f"variant {variant!r} of voice {voice!r}"
            raise RefusedError(
                "voice_not_found",
                f"espeak has no {what}; `relay voices` and GET /v1/voices?provider=espeak list its voices, and each"
                " can be varied by adding one of +f1 to +f5, +m1 to +m8, +whisper, +croak",
            )
        return identifier + plus + known_variant


class Utterance:
    """The chunks and word events of one utterance, and when what of them leaves.

    The first chunk leaves at once. Each later one waits until the words that begin in it have ended, so that a word's
    time comes before its audio, and until there is a batch: half a millisecond of the library's time, while the
    listener hears the first chunk. What is held back is at most the audio of one word and one batch.
    """

    def __init__(self, job: Job, text: str, sample_rate_hz: int) -> None:
        self._job = job
        self._rate_hz = sample_rate_hz
        self._batch_bytes = sample_rate_hz * BATCH_MS // 1000 * _SAMPLE_BYTES
        self._words = WordTimes(text)
        # Chunks that may not leave yet, and what may.
        self._held: deque[bytes] = deque()
        self._ready = bytearray()
        # Samples that came, and samples that may leave or have left.
        self._came = self._released = 0
        self._begun = False

    def take(self, chunk: bytes, events: list[tuple[int, int]]) -> bool:
        """Takes what the library made; False when no more is wanted."""
        for index, sample in events:
            self._tell(self._words.feed(index, sample))
        if chunk:
            self._held.append(chunk)
            self._came += len(chunk) // _SAMPLE_BYTES
        self._release()
        if self._ready and (not self._begun or len(self._ready) >= self._batch_bytes):
            self._give()
            self._job.flush()
        return not self._job.stopped()

    def finish(self) -> None:
        """The library has made everything."""
        self._tell(self._words.flush(self._came))
        self._release()
        self._give()

    def _tell(self, words: list[tuple[str, int, int]]) -> None:
        for spoken, first, end in words:
            self._job.word(spoken, first / self._rate_hz, end / self._rate_hz)

    def _release(self) -> None:
        """Makes the chunks ready in which no word begins that has not ended."""
        awaited = min((sample for sample in self._words.begun if sample >= self._released), default=self._came)
        while self._held and (not self._released or self._released + len(self._held[0]) // _SAMPLE_BYTES <= awaited):
            chunk = self._held.popleft()
            self._released += len(chunk) // _SAMPLE_BYTES
            self._ready += chunk

    def _give(self) -> None:
        for at in range(0, len(self._ready), _PIECE_BYTES):
            self._job.give(bytes(self._ready[at : at + _PIECE_BYTES]))
        self._ready.clear()
        self._begun = True


class Pronunciations:
    """Texts with phonemes for the voices of a library; what a voice was asked is remembered."""

    def __init__(self, library: Library) -> None:
        self._library = library
        # By voice; bounded by the voices and the mnemonics there are.
        self._known: dict[str, dict[str, bool]] = {}

    def render(self, text: str, voice: str, phonemes: list[tuple[int, int, str]]) -> Rendered | None:
        """None where no pronunciation can be used, and the text is to be spoken as it is."""
        # A variant changes the sound, and has the phonemes of its voice.
        known = self._known.setdefault(voice.partition("+")[0], {})
        ask: Callable[[str], bool] | None = None

        def knows(mnemonic: str) -> bool:
            nonlocal ask
            if mnemonic not in known:
                ask = ask or self._library.known_phonemes(voice)
                known[mnemonic] = ask(mnemonic)
            return known[mnemonic]

        usable, left = [], MAX_IPA_CHARS
        for start, stop, ipa in phonemes:
            left -= len(ipa)
            names = mnemonics(ipa, knows) if left >= 0 else None
            if names is not None:
                usable.append((start, *with_genitive(text, stop, names)))
        return rendered(text, usable) if usable else None


def _placed(take: Callable[[bytes, list[tuple[int, int]]], bool], places: Sequence[int]) -> Callable[..., bool]:
    """`take` with the words' places in the text that was given."""

    def taking(chunk: bytes, words: list[tuple[int, int]]) -> bool:
        return take(chunk, [(places[min(max(index, 0), len(places) - 1)], sample) for index, sample in words])

    return taking


def prepare() -> Callable[[Job], None]:
    """Loads and initialises the library: 5 ms, which no request has to wait for."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise CannotWorkError(
            "the built-in voice needs eSpeak NG, which is not installed: pip install 'speech-relay[espeak]'"
        ) from error
    library = Library(espeakng_loader.get_library_path(), espeakng_loader.get_data_path())
    voices = library.voices()
    names = VoiceNames(voices, library.variants())

    pronounced = Pronunciations(library)

    def perform(job: Job) -> None:
        match job.wanted:
            case {"do": "voices"}:
                job.give(json.dumps(voices).encode())
            case {"do": "speak", "text": text, "voice": voice, "options": options, "end_pause": end_pause, **more}:
                identifier, text = names.find(voice), sayable(text)
                job.head(library.sample_rate_hz)
                utterance = Utterance(job, text, library.sample_rate_hz)
                said = pronounced.render(text, identifier, more.get("phonemes", []))
                if said is None:
                    library.speak(text, identifier, options, end_pause, utterance.take)
                else:
                    take = _placed(utterance.take, said.places)
                    library.speak(said.text, identifier, options, end_pause, take, phonemes=True)
                utterance.finish()
            case _:
                raise RefusedError("provider_rejected", "espeak speaks and lists voices; this job is neither")

    return perform


if __name__ == "__main__":
    serve(prepare)
