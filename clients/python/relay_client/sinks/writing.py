"""Bytes to a binary file, all of them. This file does not know what they mean."""

import errno
from typing import BinaryIO

__all__ = ["write_all"]


def write_all(file: BinaryIO, data: bytes) -> None:
    """Writes `data` to a buffered or an unbuffered file; the latter may take a part at a time.

    Raises OSError, then with a part of it written. One of them is BlockingIOError: the file was opened without
    blocking, and is full.
    """
    rest = memoryview(data)
    while rest:
        written: int | None = file.write(rest)
        if written is None:  # an unbuffered file says so what a buffered one raises
            raise BlockingIOError(errno.EAGAIN, "not ready for more, and opened without blocking")
        rest = rest[written:]
