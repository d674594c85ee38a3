"""The worker's own parts: which voice a name means, what of an utterance leaves when, and what goes over the pipe."""

import json
import subprocess
import sys
from typing import Any

import pytest

from relay.drivers.local.wire import Kind, Unpacker, pack
from relay.drivers.local.worker import RefusedError
from relay.errors import Code
from relay.providers.base.provider import ProviderSettings, SpeechRequest
from relay.providers.espeak.provider import WORKER_MODULE, Espeak
from relay.providers.espeak.worker import Utterance, VoiceNames


def listed(identifier: str, *languages: tuple[int, str]) -> dict[str, Any]:
    return {"id": identifier, "name": "any", "languages": list(languages), "gender": None}


class TestVoiceNames:
    names = VoiceNames(
        [
            listed("roa/fr-BE", (5, "fr-be"), (8, "fr")),
            listed("roa/fr", (5, "fr-fr"), (5, "fr")),
            listed("iro/chr", (5, "chr-US-Qaaa-x-west")),
            listed("sit/cmn", (5, "cmn"), (5, "zh")),
            listed("sit/cmn-Latn-pinyin", (5, "cmn-latn-pinyin"), (5, "zh")),
            listed("odd/zh-odd", (5, "roa/fr")),
        ],
        [listed("!v/f3"), listed("!v/Mr serious")],
    )

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("roa/fr-BE", "roa/fr-BE"),
            ("ROA/FR-be", "roa/fr-BE"),
            ("fr", "roa/fr"),  # the better priority
            ("zh", "sit/cmn"),  # the first of equals
            ("chr", "iro/chr"),
            ("CHR-us-qaaa-X-west", "iro/chr"),
            ("roa/fr", "roa/fr"),  # an identifier before anything else
            ("fr+F3", "roa/fr+f3"),
            ("fr+mr serious", "roa/fr+Mr serious"),
        ],
    )
    def test_finds(self, name: str, found: str) -> None:
        assert self.names.find(name) == found

    @pytest.mark.parametrize("name", ["", "f", "sit", "fr+", "fr+f", "+f3", "fr +f3"])
    def test_refuses(self, name: str) -> None:
        with pytest.raises(RefusedError) as caught:
            self.names.find(name)
        assert caught.value.code == Code.VOICE_NOT_FOUND.value


class Outgoing:
    """Stands in for a Job: what leaves, and when it is flushed."""

    def __init__(self) -> None:
        self.given: list[Any] = []
        self.flushes = 0
        self.called_off = False

    def give(self, piece: bytes) -> None:
        self.given.append(len(piece) // 2)

    def word(self, text: str, start_s: float, end_s: float) -> None:
        self.given.append((text, start_s, end_s))

    def flush(self) -> None:
        self.flushes += 1

    def stopped(self) -> bool:
        return self.called_off


def chunk(samples: int = 10) -> bytes:
    return bytes(samples * 2)


class TestUtterance:
    def utterance(self, text: str = "one two three") -> tuple[Utterance, Outgoing]:
        """At 10 Hz, where a batch is 2 samples: every chunk is one."""
        outgoing = Outgoing()
        return Utterance(outgoing, text, 10), outgoing  # type: ignore[arg-type]

    def test_the_first_chunk_leaves_at_once_and_later_ones_when_their_words_have_ended(self) -> None:
        utterance, outgoing = self.utterance()
        utterance.take(chunk(), [(0, 0)])
        assert (outgoing.given, outgoing.flushes) == ([10], 1)
        utterance.take(chunk(), [])  # no word begins in it
        assert outgoing.given == [10, 10]
        utterance.take(chunk(), [(4, 25)])  # ends "one", begins "two"
        utterance.take(chunk(), [])
        assert outgoing.given[2:] == [("one", 0.0, 2.5)]
        utterance.take(chunk(), [(8, 45)])  # ends "two": what it was held for may leave
        assert outgoing.given[3:] == [("two", 2.5, 4.5), 20]
        utterance.finish()
        assert outgoing.given[5:] == [("three", 4.5, 5.0), 10]

    def test_a_long_word_leaves_in_pieces_that_fit_a_message(self) -> None:
        utterance, outgoing = self.utterance("1234567890 and")
        utterance.take(chunk(), [(0, 0)])
        utterance.take(chunk(), [(11, 15)])
        for _ in range(100):
            utterance.take(chunk(3000), [])
        utterance.finish()
        assert sum(piece for piece in outgoing.given if isinstance(piece, int)) == 20 + 100 * 3000
        assert max(piece for piece in outgoing.given if isinstance(piece, int)) == 32 * 1024

    def test_what_follows_the_first_chunk_is_sent_in_batches(self) -> None:
        outgoing = Outgoing()
        utterance = Utterance(outgoing, "", 50)  # type: ignore[arg-type]  # a batch is 10 samples
        flushes = []
        for samples in (3, 4, 5, 1, 9, 0, 25, 9):
            utterance.take(chunk(samples), [])
            flushes.append(outgoing.flushes)
        assert flushes == [1, 1, 1, 2, 2, 2, 3, 3]
        assert outgoing.given == [3, 10, 34]

    def test_a_word_that_may_have_begun_holds_its_chunk_as_well(self) -> None:
        utterance, outgoing = self.utterance("a b c")
        utterance.take(chunk(), [(0, 0)])
        utterance.take(chunk(), [(1, 12)])  # on the space: is it "b" already?
        assert outgoing.given == [10]
        utterance.take(chunk(), [(4, 25)])  # it was
        assert outgoing.given[1:] == [("a", 0.0, 1.2), ("b", 1.2, 2.5), 10]

    def test_no_more_is_wanted_once_it_is_called_off(self) -> None:
        utterance, outgoing = self.utterance()
        assert utterance.take(chunk(), [])
        outgoing.called_off = True
        assert not utterance.take(chunk(), [])


def test_the_first_chunk_is_written_with_its_head_before_the_rest() -> None:
    provider = Espeak(ProviderSettings())
    job = provider.request(provider.resolve(SpeechRequest()), "A short sentence.").job
    with subprocess.Popen(
        [sys.executable, "-m", WORKER_MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(pack(Kind.JOB, 7, json.dumps(dict(job)).encode()))
        unpacker = Unpacker()
        messages: list[tuple[Kind, int, bytes]] = []
        while not messages or messages[-1][0] is not Kind.END:
            messages += unpacker.feed(worker.stdout.read(65536))
        worker.stdin.close()
        assert worker.wait(5) == 0
    assert [(kind, request) for kind, request, _ in messages[:3]] == [
        (Kind.READY, 0),
        (Kind.HEAD, 7),
        (Kind.BYTES, 7),
    ]
    assert json.loads(messages[1][2]) == {"sample_rate_hz": 22050}
    assert {request for _, request, _ in messages[1:]} == {7}


SURPRISED = """
import espeakng_loader
from relay.providers.espeak.worker import Library

library = Library(espeakng_loader.get_library_path(), espeakng_loader.get_data_path())
options = {"rate": 175, "pitch": 50, "range": 50, "volume": 100, "word_gap": 0}
chunks = []

def take(chunk, words):
    chunks.append(chunk)
    if len(chunks) == 2:
        raise ValueError("surprise")
    return True

try:
    library.speak("A sentence of several chunks.", "gmw/en-US", options, False, take)
except ValueError as error:
    print(error, len(chunks))
library.speak("Another.", "gmw/en-US", options, False, take)
print("and on:", len(chunks) > 4)
"""


def test_an_exception_passes_by_the_library_and_stops_it() -> None:
    done = subprocess.run([sys.executable, "-c", SURPRISED], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["surprise 2", "and on: True"]
    assert done.stderr == ""


def loaded_by_the_worker() -> set[str]:
    """Modules that a worker has imported when it is ready to look for the library."""
    source = f"import sys, {WORKER_MODULE}; print(*sys.modules)"
    return set(
        subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout.split()
    )


def test_a_worker_imports_no_more_than_it_needs() -> None:
    loaded = loaded_by_the_worker()
    assert not loaded & {"asyncio", "dataclasses", "logging", "numpy", "msgspec", "aiohttp", "inspect"}
    assert {name for name in loaded if name.startswith("relay.")} == {
        "relay.providers",
        "relay.drivers",
        "relay.drivers.local",
        "relay.providers.espeak",
        "relay.providers.espeak.phonemes",
        "relay.providers.espeak.words",
        "relay.providers.espeak.worker",
        "relay.drivers.local.wire",
        "relay.drivers.local.worker",
    }
