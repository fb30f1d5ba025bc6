"""How far each file of an emitter is settled: what makes a batch that is written twice be in the files once.

A line of JSON for each batch, appended and synced after the batch's lines are: the file, its length with the batch, the
batch's id. What a file has beyond its settled length was written by a process that ended before it could say so, and is
cut off when the file is next used; a batch whose id stands here is not written again.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

import msgspec

from storage.segment import sync_directory

LONGEST = 1 << 20
"""Bytes of a journal that is then written anew with what still counts."""
REMEMBERED = 256
"""Ids of batches that are known: one is in doubt after a crash, the rest is for batches sent again by hand."""


class Settled(msgspec.Struct, frozen=True):
    """One line.

    Attributes:
        file: whose length this is; empty: only the batch is meant.
        length: bytes of it that are settled.
        since: ns when the file was begun.
        uuid: hex of the batch that ends there; empty: none, the file was taken up as it was.
    """

    file: str
    length: int
    since: int
    uuid: str = ""


class Journal:
    """The journal of one emitter. For one thread; every method may raise OSError."""

    def __init__(self, path: Path) -> None:
        """Reads it; a last line that is not whole was never relied on, and goes."""
        self._path = path
        self._files: dict[str, Settled] = {}
        self._batches: deque[str] = deque(maxlen=REMEMBERED)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._size = self._read()
        os.ftruncate(self._fd, self._size)
        os.fsync(self._fd)
        sync_directory(path.parent)

    def _read(self) -> int:
        good = 0
        for line in self._path.read_bytes().splitlines(keepends=True):
            try:
                settled = msgspec.json.decode(line, type=Settled)
            except msgspec.MsgspecError:
                break
            if not line.endswith(b"\n"):
                break
            self._note(settled)
            good += len(line)
        return good

    def _note(self, settled: Settled) -> None:
        if settled.file:
            self._files[settled.file] = settled
        if settled.uuid:
            self._batches.append(settled.uuid)

    def of(self, file: str) -> Settled | None:
        """What is known of a file; None: nothing."""
        return self._files.get(file)

    def has(self, uuid: str) -> bool:
        """Whether a batch is in a file already."""
        return uuid in self._batches

    def settle(self, settled: Settled) -> None:
        """Durable on return. A line that cannot be written is cut off again: it says what did not happen."""
        line = msgspec.json.encode(settled) + b"\n"
        try:
            _write_at(self._fd, line, self._size)
            os.fdatasync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(line)
        self._note(settled)
        if self._size > LONGEST:
            self._shorten()

    def _shorten(self) -> None:
        """Writes it anew: each file once, and the last batches. A file that is gone is forgotten."""
        kept = [each for each in self._files.values() if Path(each.file).exists()]
        lines = [Settled("", 0, 0, uuid) for uuid in self._batches] + [Settled(e.file, e.length, e.since) for e in kept]
        body = b"".join(msgspec.json.encode(each) + b"\n" for each in lines)
        new = self._path.with_suffix(".new")
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        try:
            _write_at(fd, body, 0)
            os.fsync(fd)
            new.rename(self._path)
            sync_directory(self._path.parent)
        except OSError:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._size = fd, len(body)
        self._files = {each.file: each for each in kept}

    def close(self) -> None:
        """Lets go of it."""
        os.close(self._fd)


def _write_at(fd: int, data: bytes, place: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, place)
        view, place = view[done:], place + done
