"""Files copied with their checksums, durably, and how far the work on many files is."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import google_crc32c

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class FileSum:
    """What a file is told by: its size in bytes and the CRC32C of them."""

    size: int
    crc: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a piece of work on files is.

    Attributes:
        name: the file at hand, relative to its folder.
        done: bytes behind it.
        total: bytes of all files that are known by now.
    """

    name: str
    done: int
    total: int


Report: TypeAlias = Callable[[Progress], None]


class Tally:
    """Adds up what is done and tells it."""

    def __init__(self, report: Report, total: int = 0) -> None:
        self._report = report
        self._name = ""
        self._done = 0
        self.total = total

    def begin(self, name: str) -> None:
        """Another file comes next."""
        self._name = name
        self.advance(0)

    def advance(self, size: int) -> None:
        """So many bytes more are done."""
        self._done += size
        self._report(Progress(self._name, self._done, max(self.total, self._done)))


def copy_file(source: BinaryIO, target: Path, tally: Tally, size: int | None = None) -> FileSum:
    """Copies an open file, from where it stands to its end, to a new one with the same rights; synced on return.

    Args:
        source: read in binary.
        target: must not exist.
        tally: told about each piece.
        size: bytes at most.

    Raises:
        OSError: one of them cannot be read or written.
    """
    done = crc = 0
    with target.open("xb") as copy:
        os.fchmod(copy.fileno(), stat.S_IMODE(os.fstat(source.fileno()).st_mode))
        while piece := source.read(_PIECE if size is None else min(_PIECE, size - done)):
            copy.write(piece)
            crc = google_crc32c.extend(crc, piece)
            done += len(piece)
            tally.advance(len(piece))
        copy.flush()
        os.fsync(copy.fileno())
    return FileSum(done, crc)


def sum_file(path: Path, tally: Tally) -> FileSum:
    """Reads a file once. Raises OSError."""
    size = crc = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            crc = google_crc32c.extend(crc, piece)
            size += len(piece)
            tally.advance(len(piece))
    return FileSum(size, crc)
