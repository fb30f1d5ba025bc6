"""Bytes of files: plain ones, which may grow, and packed ones, which do not."""

from __future__ import annotations

import os
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Protocol

from gateway.collect.prints import HEAD, Print, digest

_READ = 256 << 10
_MAGIC = b"\x1f\x8b"
_GZIP = 16 + zlib.MAX_WBITS


class Changed(Exception):  # noqa: N818 - named for what happened
    """What stands before the position is not what stood there: the file was begun anew, or is another one."""


class Damaged(Exception):  # noqa: N818 - named for what was found
    """A packed file ends in the middle, or is none; the text says how. What is before that was read."""


class Source(Protocol):
    """A file at a position."""

    @property
    def before(self) -> bytes:
        """The HEAD bytes before the position, or all there are."""

    @property
    def size(self) -> int | None:
        """Bytes of the file as far as it is known now; None: not before the end of it is read."""

    def peek(self, size: int) -> bytes:
        """Up to `size` bytes from the position on; fewer at the end of what there is.

        Raises:
            Changed, Damaged: as they say.
            OSError: it cannot be read.
        """

    def take(self, data: bytes) -> None:
        """Moves the position behind bytes that were peeked."""

    def close(self) -> None:
        """Gives the file back."""


class PlainFile:
    """A file as it is, held open: it can be read when nothing has its name any more.

    Args:
        path: of the file.
        print_: of the position; it is checked against what is there.

    Raises:
        Changed: it is not there.
        OSError: it cannot be opened.
    """

    def __init__(self, path: str, print_: Print) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._offset = print_.offset
        self.before = b""
        try:
            if not matches(self._file, print_):
                raise Changed
            start = max(0, self._offset - HEAD)
            self.before = os.pread(self._file, self._offset - start, start)
        except BaseException:
            os.close(self._file)
            raise

    @property
    def size(self) -> int:
        """Bytes of the file now."""
        return os.fstat(self._file).st_size

    def peek(self, size: int) -> bytes:
        """As Source."""
        # What stands before the position is read with it: a file that was cut and has grown past it since is noticed.
        checked = min(len(self.before), 256)
        data = os.pread(self._file, checked + size, self._offset - checked)
        if len(data) < checked or not data.startswith(self.before[len(self.before) - checked :]):
            raise Changed
        return data[checked:]

    def take(self, data: bytes) -> None:
        """As Source."""
        self._offset += len(data)
        self.before = data[-HEAD:] if len(data) >= HEAD else (self.before + data)[-HEAD:]

    def restart(self) -> None:
        """Moves the position to the beginning: the content is another."""
        self._offset, self.before = 0, b""

    def has(self, place: int, data: bytes) -> bool:
        """Whether `data` stands at `place`. Raises OSError."""
        return os.pread(self._file, len(data), place) == data

    def close(self) -> None:
        """As Source."""
        os.close(self._file)


class PackedFile:
    """A gzip file, unpacked as it is read; to come to a position all before it is unpacked.

    Args:
        path: of the file.
        print_: of the position; it is checked against what is there.

    Raises:
        Changed: it is not there.
        Damaged: as it says.
        OSError: it cannot be read.
    """

    def __init__(self, path: str, print_: Print) -> None:
        self._pieces = unpacked(path)
        self._kept = b""
        self._is_whole = False
        self._offset = 0
        self.before = b""
        head = self.peek(print_.head_size)
        if digest(head) != print_.head and print_.head_size:
            raise Changed
        while self._offset < print_.offset:
            data = self.peek(min(_READ, print_.offset - self._offset))
            if not data:
                raise Changed
            self.take(data)
        if print_.tail_size and digest(self.before[-print_.tail_size :]) != print_.tail:
            raise Changed

    @property
    def size(self) -> int | None:
        """Unpacked bytes, once they are known."""
        return self._offset + len(self._kept) if self._is_whole else None

    def peek(self, size: int) -> bytes:
        """As Source."""
        while len(self._kept) < size and not self._is_whole:
            piece = next(self._pieces, None)
            if piece is None:
                self._is_whole = True
            else:
                self._kept += piece
        return self._kept[:size]

    def take(self, data: bytes) -> None:
        """As Source."""
        self._offset += len(data)
        self._kept = self._kept[len(data) :]
        self.before = data[-HEAD:] if len(data) >= HEAD else (self.before + data)[-HEAD:]

    def close(self) -> None:
        """As Source."""
        self._pieces.close()


def matches(file: int, print_: Print) -> bool:
    """Whether an open plain file has the content that a print is of."""
    if print_.offset and not os.pread(file, 1, print_.offset - 1):
        return False
    if print_.head_size and digest(os.pread(file, print_.head_size, 0)) != print_.head:
        return False
    tail = os.pread(file, print_.tail_size, print_.offset - print_.tail_size)
    return not print_.tail_size or digest(tail) == print_.tail


def is_packed(path: str) -> bool:
    """Whether a file is gzip. Raises OSError."""
    with open(path, "rb") as file:  # noqa: PTH123 - paths are text here: thousands are looked at every second
        return file.read(2) == _MAGIC


def unpacked(path: str) -> Generator[bytes]:
    """The unpacked bytes of a gzip file, in pieces of at most 256 KB; a Generator, to be closed.

    Raises:
        Damaged: it ends in the middle, or is none.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file, _as_damage():  # noqa: PTH123 - as above
        member = zlib.decompressobj(_GZIP)
        rest = b""
        is_begun = False
        while True:
            data = rest or file.read(_READ)
            if not data:
                break
            is_begun = True
            piece = member.decompress(data, _READ)
            rest = member.unconsumed_tail
            if piece:
                yield piece
            if member.eof:
                # Padding of zeros may follow, or another member.
                rest = member.unused_data.lstrip(b"\0")
                member = zlib.decompressobj(_GZIP)
                is_begun = bool(rest)
        if is_begun:
            raise Damaged("it ends in the middle")


@contextmanager
def _as_damage() -> Iterator[None]:
    try:
        yield
    except zlib.error as error:
        raise Damaged(str(error)) from error
