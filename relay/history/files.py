"""The audio of kept turns on disk: samples as they come, under a name of their own, and the whole file at the end.

Everything here waits for the disk, and runs in a thread. A disk that is full or read-only raises OSError.
"""

import os
import time
from pathlib import Path

from relay.codecs.containers import CONTAINERS
from relay.core.formats import AudioFormat
from relay.core.history import KeptAudio

# What is read and written at a time: some seconds of audio.
PIECE_BYTES = 256 * 1024
# A turn that has written nothing for so long was another process's, which has died.
DEAD_S = 3600.0
CONTAINER = "wav"


class HistoryFiles:
    """The files in one folder, for the user that runs the relay alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make_folder(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def result(self, kept_id: str) -> Path:
        return self.folder / f"{kept_id}.wav"

    def append(self, kept_id: str, data: bytes) -> None:
        with self._part(kept_id).open("ab") as part:
            part.write(data)

    def pack(self, kept_id: str, audio: AudioFormat) -> KeptAudio:
        """Makes the file of the samples, still under another name; `publish` renames it."""
        part, encoder = self._part(kept_id), CONTAINERS[CONTAINER](audio)
        size = part.stat().st_size
        with part.open("rb") as samples, self._making(kept_id).open("wb") as whole:
            whole.write(encoder.begin(size))
            while piece := samples.read(PIECE_BYTES - PIECE_BYTES % audio.block_align):
                whole.write(encoder.feed(piece))
            whole.write(encoder.flush())
        part.unlink()
        duration_ms = round(size / audio.block_align / audio.sample_rate_hz * 1000, 3)
        return KeptAudio(
            media_type=encoder.media_type, bytes=self._making(kept_id).stat().st_size, duration_ms=duration_ms
        )

    def publish(self, kept_id: str) -> None:
        self._making(kept_id).replace(self.result(kept_id))

    def remove(self, kept_id: str) -> None:
        for path in (self._part(kept_id), self._making(kept_id), self.result(kept_id)):
            path.unlink(missing_ok=True)

    def remove_dead(self) -> None:
        """What processes that have died left under temporary names."""
        for path in self.folder.glob(".turn_*"):
            if path.stat().st_mtime < time.time() - DEAD_S:
                path.unlink(missing_ok=True)

    def _part(self, kept_id: str) -> Path:
        return self.folder / f".{kept_id}.samples"

    def _making(self, kept_id: str) -> Path:
        return self.folder / f".{kept_id}.making"


def exists(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK)
