"""Batches that are on their way, on disk: a file each, there before the batch is sent and until it is acknowledged.

A file is `weir-batch 1`, the sizes of head and body, a CRC32 over both, then the head (JSON) and the body, which is
what is sent, byte by byte. So a batch that is sent again, by this process or the next one, is the same batch under the
same id, whatever has become of the files and the settings since.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import msgspec

from gateway.collect.positions import Position, sync_folder
from gateway.logs import event

_log = logging.getLogger("weir.collect")

_MAGIC = b"weir-batch 1\n"
_HEAD = struct.Struct(f"<{len(_MAGIC)}sIII")
_SUFFIX = ".batch"


class Head(msgspec.Struct, frozen=True):
    """What is said of a batch.

    Attributes:
        number: of it, without gaps.
        id: under which it is sent.
        lines: in it.
        bytes: of its lines.
        moved: where its files are behind it.
    """

    number: int
    id: UUID
    lines: int
    bytes: int
    moved: Sequence[Position] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Sealed:
    """A batch that is on disk.

    Attributes:
        head: of it.
        body: snappy of a logproto.PushRequest.
    """

    head: Head
    body: bytes


class Spool:
    """The folder of batches.

    Args:
        folder: it is made where it is not there.

    Raises:
        OSError: it cannot be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def put(self, sealed: Sealed) -> None:
        """Makes a batch durable. Raises OSError; then it is not there."""
        head = msgspec.json.encode(sealed.head)
        crc = zlib.crc32(sealed.body, zlib.crc32(head))
        path = self._path(sealed.head.number)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            try:
                parts = [_HEAD.pack(_MAGIC, len(head), len(sealed.body), crc), head, sealed.body]
                if os.writev(file, parts) != sum(map(len, parts)):
                    raise OSError(28, "No space left on device", str(path))
                os.fsync(file)
            finally:
                os.close(file)
            sync_folder(self._folder)
        except OSError:
            path.unlink(missing_ok=True)
            raise

    def drop(self, number: int) -> None:
        """A batch is counted in the positions. Raises OSError."""
        self._path(number).unlink(missing_ok=True)

    def left(self, upto: int) -> list[Sealed]:
        """The batches after number `upto`, in order; the others are removed.

        One that is not whole was never sent: the process, or the machine, ended while it was written.

        Raises:
            OSError: they cannot be read.
        """
        found: list[Sealed] = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            sealed = _read(path.read_bytes())
            if sealed is None:
                event(_log, logging.WARNING, "a batch that was not written to its end is dropped", file=str(path))
            if sealed is None or sealed.head.number <= upto:
                path.unlink()
            else:
                found.append(sealed)
        return found

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:016d}{_SUFFIX}"


def _read(data: bytes) -> Sealed | None:
    if len(data) < _HEAD.size:
        return None
    magic, head_size, body_size, crc = _HEAD.unpack_from(data)
    head, body = data[_HEAD.size : _HEAD.size + head_size], data[_HEAD.size + head_size :]
    if magic != _MAGIC or len(body) != body_size or zlib.crc32(body, zlib.crc32(head)) != crc:
        return None
    return Sealed(msgspec.json.decode(head, type=Head), body)
