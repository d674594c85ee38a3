"""The audio of jobs on disk: samples as they come, under a name of their own, and the whole file when all is there.

Everything here waits for the disk, and runs in a thread. A disk that is full or read-only raises OSError.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from relay.codecs.containers import CONTAINERS, PLAIN
from relay.core.formats import AudioFormat, Encoding
from relay.core.job import Job

# What is read and written at a time: some seconds of audio.
PIECE_BYTES = 256 * 1024
SUFFIXES = {"raw": ".pcm", "wav": ".wav", "flac": ".flac", "mp3": ".mp3", "ogg": ".ogg", "aac": ".aac"}
_SUBTYPES = {Encoding.PCM_S16LE: "PCM_16", Encoding.PCM_F32LE: "FLOAT"}
_DTYPES: dict[Encoding, DTypeLike] = {Encoding.PCM_S16LE: "<i2", Encoding.PCM_F32LE: "<f4"}


class JobFiles:
    """The files in one folder, which is made when it is first needed, for the user that runs the relay alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def result(self, job: Job) -> Path:
        return self.folder / f"{job.id}{SUFFIXES[job.request.container]}"

    def append(self, job: Job, at_bytes: int, data: bytes) -> None:
        """Writes samples behind the first `at_bytes` of the job's; what stood there is replaced. Raises
        FileNotFoundError where another run has taken over."""
        with self._part(job).open("r+b") as part:
            part.seek(at_bytes)
            part.write(data)
            part.truncate()

    def take_over(self, job: Job, size: int) -> bool:
        """Leaves the first `size` bytes of the job's samples, under this attempt's own name, so that a run that has
        lost its lease cannot write into them; False, and none of them, where so many are not there."""
        part = self._part(job)
        for earlier in self._parts(job):
            if earlier != part:
                earlier.replace(part)
        part.touch(mode=0o600)
        whole = part.stat().st_size >= size
        os.truncate(part, size if whole else 0)
        return whole

    def finish(self, job: Job, audio: AudioFormat) -> tuple[str, int]:
        """Makes the job's file of its samples: whole, or not there. Gives its media type and size."""
        part, making, result = self._part(job), self._making(job), self.result(job)
        media_type = CONTAINERS[job.request.container](audio).media_type
        if job.request.container in ("wav", "flac") and audio.encoding in _SUBTYPES:
            self._with_soundfile(part, making, job.request.container, audio)
        else:
            self._packed(part, making, job.request.container, audio)
        with making.open("rb") as whole:
            os.fsync(whole.fileno())
        making.replace(result)
        part.unlink(missing_ok=True)
        return media_type, result.stat().st_size

    def remove(self, job: Job) -> None:
        for path in (*self._parts(job), *self.folder.glob(f".{job.id}.*.making"), self.result(job)):
            path.unlink(missing_ok=True)

    def _with_soundfile(self, part: Path, making: Path, container: str, audio: AudioFormat) -> None:
        import soundfile

        # FLAC has no floats: they are rounded to 24 bits.
        subtype = _SUBTYPES[audio.encoding] if container == "wav" or audio.encoding is Encoding.PCM_S16LE else "PCM_24"
        shape = {"samplerate": audio.sample_rate_hz, "channels": audio.channels, "subtype": subtype}
        with soundfile.SoundFile(making, "w", format=container.upper(), **shape) as file:
            for piece in _pieces(part, audio.block_align):
                file.write(np.frombuffer(piece, _DTYPES[audio.encoding]).reshape(-1, audio.channels))

    def _packed(self, part: Path, making: Path, container: str, audio: AudioFormat) -> None:
        encoder = CONTAINERS[container](audio)
        with making.open("wb") as file:
            size = part.stat().st_size
            file.write(encoder.begin(size))
            for piece in _pieces(part, audio.block_align):
                file.write(encoder.feed(piece))
            file.write(encoder.flush())

    def _part(self, job: Job) -> Path:
        return self.folder / f".{job.id}.{job.attempts}.samples"

    def _parts(self, job: Job) -> list[Path]:
        """Those of all attempts, the newest last."""
        return sorted(self.folder.glob(f".{job.id}.*.samples"), key=lambda path: int(path.name.split(".")[2]))

    def _making(self, job: Job) -> Path:
        return self.folder / f".{job.id}.{job.attempts}.making"


def needs_av(container: str, encoding: Encoding) -> bool:
    """Whether `finish` imports PyAV."""
    return container not in PLAIN and not (container == "flac" and encoding in _SUBTYPES)


def _pieces(part: Path, align: int) -> Iterator[bytes]:
    with part.open("rb") as file:
        while piece := file.read(PIECE_BYTES - PIECE_BYTES % align):
            yield piece
