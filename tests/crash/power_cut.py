"""A disk that keeps only what it was told to keep: what a power cut leaves in the worst case.

The contents of a file are those of its last sync, a name is there or gone as of its folder's last sync. SQLite's files
are taken as they are: its own syncs cannot be seen from here, and it is trusted with them.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any

_OPEN_FILES = Path("/proc/self/fd")


class PowerCut:
    """A steps.Witness that, at the end, writes to `left` what the disk would hold."""

    def __init__(self, root: Path, left: Path) -> None:
        self._root = root
        self._left = left
        self._contents: dict[int, bytes] = {}
        self._names: dict[Path, dict[str, tuple[int, bool]]] = {}
        self._kept: dict[int, int] = {}

    def saw(self, name: str, args: tuple[Any, ...]) -> None:
        if name == "open":
            self._keep(Path(args[0]))
        elif name in {"fsync", "fdatasync"}:
            self._synced(args[0])

    def _synced(self, fd: int) -> None:
        path = (_OPEN_FILES / str(fd)).readlink()
        state = os.fstat(fd)
        if stat.S_ISDIR(state.st_mode):
            self._names[path] = {entry.name: (entry.inode(), entry.is_dir()) for entry in os.scandir(path)}
            for entry in os.scandir(path):
                self._keep(Path(entry.path))
        else:
            self._contents[state.st_ino] = path.read_bytes()

    def _keep(self, path: Path) -> None:
        """Holds the file open: while it is, its inode number is not given to another file."""
        if path.is_file() and (inode := path.stat().st_ino) not in self._kept:
            self._kept[inode] = os.open(path, os.O_RDONLY)

    def end(self) -> None:
        self._write(self._root, self._left)

    def _write(self, folder: Path, to: Path) -> None:
        to.mkdir()
        for name, (inode, is_dir) in self._names.get(folder, {}).items():
            if is_dir:
                self._write(folder / name, to / name)
            elif ".db" not in name:
                to.joinpath(name).write_bytes(self._contents.get(inode, b""))
        if folder == self._root:
            for path in folder.glob("*.db*"):
                shutil.copyfile(path, to / path.name)
