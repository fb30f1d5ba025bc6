"""Files that were moved aside are compressed, on a thread of their own: gzip, which everybody reads.

A `.gz` appears whole, then the file that it was made of goes. Who ends between the two steps is found out at the next
start.
"""

from __future__ import annotations

import gzip
import logging
import os
import re
import threading
from collections.abc import Iterable
from pathlib import Path
from queue import SimpleQueue

from gateway.logs import event
from storage.segment import sync_directory

_log = logging.getLogger("weir.emit")

_ASIDE = re.compile(r"\.\d{8}T\d{6}Z(?:-\d+)?(?P<packed>\.gz)?(?P<half>\.tmp)?", re.ASCII)
_CHUNK = 1 << 20
_LEVEL = 6


class Packer:
    """The thread of one emitter. `close` ends it between two chunks; what is left is done after the next start."""

    def __init__(self, name: str) -> None:
        self._waiting: SimpleQueue[Path | None] = SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"pack-{name}", daemon=True)
        self._thread.start()

    def pack(self, paths: Iterable[Path]) -> None:
        """Has files compressed."""
        for path in paths:
            self._waiting.put(path)

    def close(self) -> None:
        """Ends it. Blocking, a few ms."""
        self._stop.set()
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (path := self._waiting.get()) is not None:
            if self._stop.is_set():
                return
            try:
                self._pack(path)
            except OSError as error:
                event(
                    _log,
                    logging.WARNING,
                    "a file cannot be compressed; the next start tries again",
                    file=str(path),
                    error=error.strerror,
                )

    def _pack(self, path: Path) -> None:
        packed = path.with_name(f"{path.name}.gz")
        half = path.with_name(f"{path.name}.gz.tmp")
        with path.open("rb") as source, open(half, "wb", opener=_private) as raw:
            with gzip.GzipFile(path.name, "wb", _LEVEL, raw) as target:
                while chunk := source.read(_CHUNK):
                    if self._stop.is_set():
                        return
                    target.write(chunk)
            raw.flush()
            os.fchmod(raw.fileno(), os.fstat(source.fileno()).st_mode & 0o777)
            os.fsync(raw.fileno())
        half.rename(packed)
        sync_directory(packed.parent)
        path.unlink()


def _private(path: str, flags: int) -> int:
    """Nobody else may read what is half done; the whole file gets its source's mode."""
    return os.open(path, flags, 0o600)


def left_over(path: Path) -> list[Path]:
    """Files that were moved aside from a path and are to be compressed; what is half done is removed.

    Raises OSError.
    """
    found = []
    for each in sorted(path.parent.glob(f"{_plain(path.name)}.*")):
        match = _ASIDE.fullmatch(each.name[len(path.name) :])
        if match is None:
            continue
        if match["half"]:
            each.unlink()
        elif not match["packed"]:
            if each.with_name(f"{each.name}.gz").exists():
                each.unlink()  # it was whole before it got its name
            else:
                found.append(each)
    return found


def _plain(name: str) -> str:
    """A name as a pattern that finds it alone."""
    return re.sub(r"([*?\[])", r"[\1]", name)
