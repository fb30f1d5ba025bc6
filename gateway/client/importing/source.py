"""Files to import: which they are, what tells one from another, and their bytes unpacked, in pieces of whole lines."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from gateway.client.errors import BadArgument, ClientError
from gateway.client.importing.state import SUFFIX

MAX_LINE = 64 << 20
"""Bytes of a line; a longer one is read as several."""
_HEAD = 1024
"""Bytes at the beginning of a file that tell it from another of the same name."""
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or stdin.

    Attributes:
        path: None is stdin.
        name: as it was given, or found in a folder that was.
        size: bytes on disk now, 0 for stdin.
        modified: ns, 0 for stdin.
        packing: "gzip", "zstd" or "".
        identity: what stays while a file grows: a digest of its beginning, or of all that is known of a packed one.
    """

    path: Path | None
    name: str
    size: int
    modified: int
    packing: str
    identity: str

    def open(self, offset: int = 0) -> BinaryIO:
        """Its unpacked bytes from `offset` on. Raises what `faults` names."""
        if self.path is None:
            return cast("BinaryIO", sys.stdin.buffer)
        if self.packing == "gzip":
            opened = cast("BinaryIO", gzip.open(self.path, "rb"))  # noqa: SIM115 - the caller closes it
        elif self.packing == "zstd":
            import zstandard  # noqa: PLC0415 - only where such a file is read

            raw = self.path.open("rb")
            reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=True)
            opened = cast("BinaryIO", io.BufferedReader(cast("io.RawIOBase", reader), 1 << 20))
        else:
            opened = self.path.open("rb")
            opened.seek(offset)
            return opened
        left = offset
        while left and (piece := opened.read(min(left, 1 << 20))):
            left -= len(piece)
        return opened


class BadSource(ClientError):  # noqa: N818 - named for what happened
    """A file that was there cannot be read to its end; what was read of it is stored."""


def faults(source: Source) -> tuple[type[Exception], ...]:
    """What reading a source may raise."""
    if source.packing != "zstd":
        return (OSError, EOFError, zlib.error)
    import zstandard  # noqa: PLC0415 - only where such a file is read

    return (OSError, EOFError, zstandard.ZstdError)


def find_sources(paths: Iterable[str]) -> list[Source]:
    """The files of `paths`, those of folders by name and with all that is below them; `-` is stdin.

    Raises:
        BadArgument: there is no such file, or it cannot be read.
    """
    found: dict[str, Source] = {}
    for given in paths:
        if given == "-":
            found["-"] = Source(None, "-", 0, 0, "", "")
            continue
        try:
            for path in _files(Path(given)):
                source = _source(path)
                found.setdefault(str(path.resolve()), source)
        except OSError as error:
            raise BadArgument(f"cannot read {error.filename or given}: {error.strerror}") from error
    return list(found.values())


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            each = Path(folder) / name
            if not name.endswith(SUFFIX) and each.is_file():
                yield each


def _source(path: Path) -> Source:
    with path.open("rb") as file:
        head = file.read(_HEAD)
        known = os.fstat(file.fileno())
    packing = "gzip" if head.startswith(_GZIP) else "zstd" if head.startswith(_ZSTD) else ""
    # A plain file may grow: its first line stays, and its first bytes are few while it is short.
    told = head if packing else head.split(b"\n", 1)[0]
    digest = hashlib.sha256(told).hexdigest()[:32]
    identity = f"{digest}-{known.st_size}" if packing else f"{digest}-{known.st_dev}-{known.st_ino}"
    return Source(path, str(path), known.st_size, known.st_mtime_ns, packing, identity)


def pieces(file: BinaryIO, start: int, stop: int | None, most_bytes: int, most_lines: int) -> Iterator[bytes]:
    """The bytes of a source in pieces of whole lines; where one ends depends on where it starts and on nothing else.

    Args:
        file: at `start`.
        start: a position in the unpacked source.
        stop: bytes from there on are left alone; None is the end.
        most_bytes: a piece ends with the line that reaches it.
        most_lines: of a piece.
    """
    kept = b""
    at = start
    while True:
        while len(kept) < most_bytes:
            room = most_bytes - len(kept)
            read = file.read(room if stop is None else min(room, stop - at))
            if not read:
                break
            at += len(read)
            kept += read
        if not kept:
            return
        end = kept.find(b"\n", most_bytes - 1) + 1
        if not end and len(kept) >= most_bytes:
            rest = file.readline(MAX_LINE if stop is None else min(MAX_LINE, stop - at))
            at += len(rest)
            kept += rest
        end = end or len(kept)
        parts = kept[:end].split(b"\n", most_lines)
        if len(parts) > most_lines:
            end -= len(parts[-1])
        yield kept[:end]
        kept = kept[end:]
