"""What can be wrong with the disk and the clock of a server process. Nothing in the product knows of it.

A file says what is wrong now, and may change at any time. Each line of it is one thing; no file, or an empty one, is
nothing:

    fail NAME...    the calls os.NAME fail with EIO; sqlite: its transactions fail for want of room
    slow SECONDS    every sync takes so much longer
    read-only       all that would change the disk fails with EROFS, SQLite's transactions too
    clock SECONDS   the time of day is off by so much
"""

from __future__ import annotations

import builtins
import errno
import functools
import io
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

_CHANGING = (
    *("fdatasync", "fsync", "ftruncate", "link", "mkdir", "posix_fallocate"),
    *("rename", "replace", "rmdir", "truncate", "unlink", "write"),
)
_SYNCS = ("fdatasync", "fsync")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_READING = {"SELECT", "PRAGMA"}


class Faults:
    """What the file says. `ahead_of_imports` comes first, `install` in the process that is to suffer."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._folder = ""
        self._time, self._time_ns, self._sleep = time.time, time.time_ns, time.sleep

    def ahead_of_imports(self) -> None:
        """Puts itself in front of the time of day, before anybody takes `time.time_ns` for a default value."""
        time.time = lambda: self._time() + self._shift()
        time.time_ns = lambda: self._time_ns() + round(self._shift() * 1e9)

    def install(self, path: Path, data_dir: Path) -> None:
        """Puts itself in front of all that changes the disk. `data_dir` is what can be read-only."""
        self._path, self._folder = path, f"{data_dir}/"
        for name in _CHANGING:
            setattr(os, name, functools.partial(self._call, name, getattr(os, name)))
        really_open, really_open_file = os.open, io.open

        def open_(name: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if flags & _WRITING:
                self._refuse_if_read_only(name)
            return really_open(name, flags, *args, **kwargs)

        def open_file(name: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if set(mode) & set("wax+"):
                self._refuse_if_read_only(name)
            return really_open_file(name, mode, *args, **kwargs)

        os.open = open_  # type: ignore[assignment]
        io.open = builtins.open = open_file  # type: ignore[assignment]
        connect: Any = functools.partial(sqlite3.connect, factory=self._connection())
        sqlite3.connect = connect

    def _words(self) -> list[list[str]]:
        if self._path is None:
            return []
        try:
            fd = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return []
        try:
            return [line.split() for line in os.read(fd, 1000).decode().splitlines() if line]
        finally:
            os.close(fd)

    def _said(self, what: str) -> list[str] | None:
        return next((words[1:] for words in self._words() if words[0] == what), None)

    def _shift(self) -> float:
        said = self._said("clock")
        return float(said[0]) if said else 0.0

    def _refuse_if_read_only(self, name: Any) -> None:
        if self._said("read-only") is not None and (isinstance(name, int) or str(name).startswith(self._folder)):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def _call(self, name: str, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        for what, *words in self._words():
            if what == "fail" and name in words:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            if what == "slow" and name in _SYNCS:
                self._sleep(float(words[0]))
            if what == "read-only" and not (name == "write" and args[0] in (1, 2)):
                self._refuse_if_read_only(args[0])
        return real(*args, **kwargs)

    def _connection(self) -> type[sqlite3.Connection]:
        said = self._said

        def refuse() -> None:
            code, text = 0, ""
            if said("read-only") is not None:  # what SQLite says of files that it has open when that happens
                code, text = sqlite3.SQLITE_IOERR_WRITE, "disk I/O error"
            elif "sqlite" in (said("fail") or ()):
                code, text = sqlite3.SQLITE_FULL, "database or disk is full"
            if code:
                error = sqlite3.OperationalError(text)
                error.sqlite_errorcode = code
                raise error

        class Connection(sqlite3.Connection):
            """One whose transactions fail."""

            def commit(self) -> None:
                refuse()
                super().commit()

            def __exit__(
                self,
                kind: type[BaseException] | None,
                error: BaseException | None,
                trace: TracebackType | None,
                /,
            ) -> Literal[False]:
                if self.in_transaction and error is None:
                    try:
                        refuse()
                    except sqlite3.OperationalError:
                        self.rollback()
                        raise
                super().__exit__(kind, error, trace)
                return False

        return Connection
